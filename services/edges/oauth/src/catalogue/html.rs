//! A page as HTML: no script, no request beyond itself.

use super::PLACE;
use super::page::{Block, Item, Page, Word, short};

const STYLE: &str = "body{font-family:system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem;line-height:1.4}\
    h3{font-family:monospace;font-size:1rem;margin-top:2rem}dt{font-weight:600;float:left;clear:left;width:9rem}\
    dd{margin-left:9.5rem}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3rem .5rem;text-align:left;\
    vertical-align:top}";

pub(super) fn render(page: &Page) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Curfew: {title}</title>\
         <style>{STYLE}</style><h1>{title}</h1>\n",
        title = escaped(page.title)
    );
    for part in &page.blocks {
        out += &block(part);
        out.push('\n');
    }
    out + "</html>\n"
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(title) => format!("<h2>{}</h2>", escaped(title)),
        Block::Entry(code) => format!("<h3 id=\"{code}\">{code}</h3>"),
        Block::Paragraph(said) => format!("<p>{}</p>", words(said)),
        Block::List(items) => format!("<ul>{}</ul>", items.iter().map(item).collect::<String>()),
        Block::Table(head, rows) => {
            let head: String = head
                .iter()
                .map(|name| format!("<th>{}</th>", escaped(name)))
                .collect();
            let row = |cells: &Vec<Vec<Word>>| {
                let cells: String = cells
                    .iter()
                    .map(|cell| format!("<td>{}</td>", words(cell)))
                    .collect();
                format!("<tr>{cells}</tr>")
            };
            let rows: String = rows.iter().map(row).collect();
            format!("<table><tr>{head}</tr>{rows}</table>")
        }
        Block::Facts(facts) => {
            let fact = |(name, said): &(&str, Vec<Word>)| {
                format!("<dt>{}</dt><dd>{}</dd>", escaped(name), words(said))
            };
            format!("<dl>{}</dl>", facts.iter().map(fact).collect::<String>())
        }
    }
}

fn item(item: &Item) -> String {
    if item.below.is_empty() {
        return format!("<li>{}</li>", words(&item.words));
    }
    let below: String = item
        .below
        .iter()
        .map(|said| format!("<li>{}</li>", words(said)))
        .collect();
    format!("<li>{}<ul>{below}</ul></li>", words(&item.words))
}

fn words(words: &[Word]) -> String {
    words
        .iter()
        .map(|word| match word {
            Word::Text(text) => escaped(text),
            Word::Code(text) => format!("<code>{}</code>", escaped(text)),
            Word::Strong(text) => format!("<strong>{}</strong>", escaped(text)),
            Word::ToEntry(code) => format!("<a href=\"{PLACE}/{code}\">{}</a>", short(code)),
            Word::ToAll(text) => format!("<a href=\"{PLACE}\">{}</a>", escaped(text)),
        })
        .collect()
}

/// The texts are constants of this program; one with a bracket in it must still be shown as written.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
