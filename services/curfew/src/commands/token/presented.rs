//! A token as it is presented to a command: best on standard input, where no process list shows it.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use clap::Args;

use crate::commands::fault::Fault;

/// Longer texts are no tokens: twice what a node reads at all, twice over.
const BYTES_MAX: u64 = 64 << 10;

/// A token that is read by a command.
#[derive(Args, Clone)]
pub(super) struct Presented {
    /// The token: `-` for standard input, a file, or the token itself. Standard input is best: an argument
    /// shows in process lists and stays in the history of the shell.
    #[arg(value_name = "TOKEN", default_value = "-")]
    token: String,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented(..)")
    }
}

impl Presented {
    /// The token, without what often stands around it.
    pub(super) fn read(&self) -> Result<String, Fault> {
        let text = if self.token == "-" {
            if std::io::stdin().is_terminal() {
                eprintln!("Paste the token, then press Enter and Ctrl-D.");
            }
            bounded("standard input", std::io::stdin().lock())?
        } else if Path::new(&self.token).is_file() {
            let file = std::fs::File::open(&self.token);
            let file = file.map_err(|error| Fault::usage(format!("{}: {error}", self.token)))?;
            bounded(&self.token, file)?
        } else {
            self.token.clone()
        };
        let token = bare(&text);
        if token.is_empty() {
            return Err(Fault::usage("there is no token").fix("give it on standard input"));
        }
        Ok(token.to_owned())
    }
}

fn bounded(name: &str, source: impl std::io::Read) -> Result<String, Fault> {
    let mut text = String::new();
    let read = source.take(BYTES_MAX + 1).read_to_string(&mut text);
    let bytes = read.map_err(|error| Fault::usage(format!("{name}: {error}")))?;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > BYTES_MAX) {
        return Err(Fault::usage(format!("{name} is longer than any token")));
    }
    Ok(text)
}

/// People copy the header together with the token.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    for before in ["authorization:", "bearer ", "dpop "] {
        if let Some((start, rest)) = text.split_at_checked(before.len())
            && start.eq_ignore_ascii_case(before)
        {
            text = rest.trim_start();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_was_copied_with_the_token_is_taken_off() {
        for text in [
            "a.b.c",
            " a.b.c\n",
            "Bearer a.b.c",
            "Authorization: Bearer a.b.c\n",
            "authorization: DPoP a.b.c",
        ] {
            assert_eq!(bare(text), "a.b.c");
        }
    }

    #[test]
    fn an_endless_input_is_not_read_to_its_end() {
        assert!(bounded("it", std::io::repeat(b'a')).is_err());
        assert!(bounded("it", &[0xff_u8][..]).is_err());
        assert_eq!(bounded("it", &b"abc"[..]).unwrap(), "abc");
    }

    #[test]
    fn it_does_not_show_in_debug() {
        let presented = Presented {
            token: "cfr_topsecret".to_owned(),
        };
        assert!(!format!("{presented:?}").contains("topsecret"));
    }
}
