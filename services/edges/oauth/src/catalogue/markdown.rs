//! A page as Markdown: what is read in a terminal, and in the repository.

use super::page::{Block, Page, Word, short};

pub(super) fn render(page: &Page) -> String {
    let mut out = format!("# {}\n", page.title);
    for part in &page.blocks {
        out.push('\n');
        out += &block(part);
    }
    out
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(title) => format!("## {title}\n"),
        Block::Entry(code) => format!("### {code}\n"),
        Block::Paragraph(said) => format!("{}\n", words(said)),
        Block::List(items) => items
            .iter()
            .map(|item| {
                let below: String = item
                    .below
                    .iter()
                    .map(|said| format!("  - {}\n", words(said)))
                    .collect();
                format!("- {}\n{below}", words(&item.words))
            })
            .collect(),
        Block::Table(head, rows) => {
            let rule = head.iter().map(|_| "---").collect::<Vec<_>>();
            let row =
                |cells: &Vec<Vec<Word>>| line(&cells.iter().map(|cell| words(cell)).collect::<Vec<_>>());
            let rows: String = rows.iter().map(row).collect();
            line(head) + &line(&rule) + &rows
        }
        Block::Facts(facts) => facts
            .iter()
            .map(|(name, said)| format!("- {name}: {}\n", words(said)))
            .collect(),
    }
}

fn line<T: AsRef<str>>(cells: &[T]) -> String {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn words(words: &[Word]) -> String {
    words
        .iter()
        .map(|word| match word {
            Word::Text(text) => text.clone(),
            Word::Code(text) => format!("`{text}`"),
            Word::Strong(text) => format!("**{text}**"),
            // The anchor of a heading, as forges make it.
            Word::ToEntry(code) => format!("[{}](#{})", short(code), code.to_ascii_lowercase()),
            Word::ToAll(text) => (*text).to_owned(),
        })
        .collect()
}
