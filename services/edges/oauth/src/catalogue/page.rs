//! A page as what it says: blocks of words. How it looks is the renderers' matter.

/// A page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    pub(crate) title: &'static str,
    pub(crate) blocks: Vec<Block>,
}

/// A part of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Block {
    /// A heading below the title.
    Heading(&'static str),
    /// The heading of an entry, which links lead to.
    Entry(&'static str),
    Paragraph(Words),
    /// A list, each item with items of its own.
    List(Vec<Item>),
    /// Rows below a head.
    Table(Vec<&'static str>, Vec<Vec<Words>>),
    /// Names and what they stand for.
    Facts(Vec<(&'static str, Words)>),
}

/// An item of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Item {
    pub(crate) words: Words,
    pub(crate) below: Vec<Words>,
}

/// Words in a row.
pub(crate) type Words = Vec<Word>;

/// Words of one sort.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    Text(String),
    /// As machines write it.
    Code(String),
    Strong(String),
    /// A link to an entry of this page, by its code.
    ToEntry(&'static str),
    /// A link to the whole catalogue.
    ToAll(&'static str),
}

/// A code without the prefix that all have: what a link shows.
pub(crate) fn short(code: &'static str) -> &'static str {
    code.strip_prefix("CURFEW_").unwrap_or(code)
}

/// Plain text, in which what stands between backticks is code.
pub(crate) fn text(text: &str) -> Words {
    text.split('`')
        .enumerate()
        .filter(|(_, part)| !part.is_empty())
        .map(|(i, part)| match i % 2 {
            0 => Word::Text(part.to_owned()),
            _ => Word::Code(part.to_owned()),
        })
        .collect()
}
