//! A page's blocks: what is run, and what it is said to print.

/// A `sh` block with the `text` block that follows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins, counted from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    /// Lines that it prints, in this order; `…` stands for anything.
    pub(crate) prints: Vec<String>,
}

/// The blocks of a page, in order. A fence in a language that nobody runs is no block; an unknown one is an error.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::<Block>::new();
    let mut lines = page.lines().zip(1..);
    while let Some((fence, line)) = lines.next() {
        let Some(language) = fence.strip_prefix("```") else {
            continue;
        };
        let inside: Vec<_> = lines
            .by_ref()
            .map(|(text, _)| text)
            .take_while(|text| *text != "```")
            .collect();
        match (language, blocks.last_mut()) {
            ("sh", _) => blocks.push(Block {
                line,
                text: inside.join("\n") + "\n",
                prints: Vec::new(),
            }),
            ("text", Some(block)) if block.prints.is_empty() => {
                block.prints = inside.into_iter().map(str::to_owned).collect();
            }
            ("mermaid", _) => {}
            (other, _) => panic!("line {line}: nobody knows what to do with a block of `{other}`"),
        }
    }
    blocks
}

/// The first line of `prints` that is not among the lines of `printed`, after those before it.
pub(crate) fn missing_line<'a>(prints: &'a [String], printed: &str) -> Option<&'a str> {
    let mut rest = printed.lines();
    prints
        .iter()
        .map(String::as_str)
        .find(|wanted| !rest.any(|line| is_like(line.trim_end(), wanted)))
}

/// Whether a line is `wanted`, in which `…` stands for anything.
fn is_like(line: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
}

#[test]
fn blocks_are_read_in_order_with_what_they_print() {
    let page = "a\n```sh\none\ntwo\n```\nb\n```text\n1\n2\n```\n```mermaid\nx\n```\n```sh\nthree\n```\n";
    let block = |line, text: &str, prints: &[&str]| Block {
        line,
        text: text.to_owned(),
        prints: prints.iter().map(|&line| line.to_owned()).collect(),
    };
    assert_eq!(
        blocks(page),
        [block(2, "one\ntwo\n", &["1", "2"]), block(14, "three\n", &[])]
    );
}

#[test]
#[should_panic(expected = "line 1: nobody knows what to do with a block of `bash`")]
fn a_block_that_nobody_would_run_is_an_error() {
    blocks("```bash\nrm\n```\n");
}

#[test]
fn what_a_page_says_is_found_in_order_or_told() {
    let check = |wanted: &[&str], printed: &str, missing: Option<&str>| {
        let wanted: Vec<_> = wanted.iter().map(|&line| line.to_owned()).collect();
        assert_eq!(missing_line(&wanted, printed), missing);
    };
    check(&["a", "c"], "a\nb\nc\n", None);
    check(&["c", "a"], "a\nb\nc\n", Some("a"));
    check(&["a"], "ab\n", Some("a"));
    check(&["a…", "…c"], "ab\nbc\n", None);
    check(&["a…c…e"], "a b c d e\n", None);
    check(&["a…c…e"], "a e c\n", Some("a…c…e"));
    check(&["x", "…"], "x\n", Some("…"));
}
