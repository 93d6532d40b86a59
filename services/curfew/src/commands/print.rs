//! What is printed: tables for people, JSON for programs.
//!
//! **Invariant:** no control character of a name, a label or a claim reaches a terminal: somebody else chose them.

use std::io::Write as _;

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::cli::Failure;

/// A text without its control characters: they are spelt out.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        // Marks that turn the direction of writing can make one text look like another.
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Prints text to standard output; a reader that has gone is an error like any other.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints one value on one line.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    text(&format!("{value}\n"))
}

/// A table with a line of headings.
pub(crate) fn rows<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    for row in rows {
        table.add_row(row.map(|cell| plain(&cell)));
    }
    trimmed(&mut table)
}

/// One thing: a line for each of its fields that is not empty.
pub(crate) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in fields {
        if !value.is_empty() {
            table.add_row([name.to_owned(), plain(&value)]);
        }
    }
    trimmed(&mut table)
}

fn trimmed(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_headings_and_lines_end_where_their_text_ends() {
        let table = rows(["NAME", "STATE"], [["a".into(), "active".into()]]);
        assert_eq!(table, "NAME  STATE\na     active\n");
    }

    #[test]
    fn a_field_without_a_value_is_not_shown() {
        let table = fields([("name", "a".into()), ("device", String::new())]);
        assert_eq!(table, "name  a\n");
    }

    #[test]
    fn what_could_steer_a_terminal_is_spelt_out() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
    }
}
