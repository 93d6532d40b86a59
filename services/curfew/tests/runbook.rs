//! Every page of deploy/RUNBOOK.md is followed: its blocks are run as they stand, on a loss that is real.
//!
//! **Invariant:** no block is skipped, and each page does what it says to who was concerned and to who was not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod page;
mod process;
#[path = "shared/servers.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod servers;
mod terminal;

#[path = "runbook/log.rs"]
mod log;
#[path = "runbook/restore.rs"]
mod restore;
#[path = "runbook/store.rs"]
mod store;

use std::os::unix::fs::symlink;
use std::path::Path;

use curfew_guard::{Guard, Requirements};
use page::{Block, blocks, missing_line};
use terminal::Terminal;

const RUNBOOK: &str = include_str!("../../../deploy/RUNBOOK.md");
/// The pages that have blocks, and how many: one that is added or lost is noticed.
const PAGES: [(&str, usize); 4] = [
    ("A record that nobody can read", 3),
    ("A data directory comes back from a copy", 2),
    ("A partition is lost", 3),
    ("The topic is lost", 3),
];

#[test]
fn every_page_that_can_be_run_has_a_test() {
    let all = blocks(RUNBOOK).len();
    let known: usize = PAGES.iter().map(|(_, count)| count).sum();
    assert_eq!(all, known);
    for (name, count) in PAGES {
        assert_eq!(blocks_of(name).len(), count, "{name}");
    }
}

/// The blocks below a heading.
fn blocks_of(name: &str) -> Vec<Block> {
    let heading = format!("\n## {name}\n");
    let (before, rest) = RUNBOOK
        .split_once(&heading)
        .unwrap_or_else(|| panic!("no page {name}"));
    let lines = before.lines().count();
    let page = rest.split_once("\n## ").map_or(rest, |(page, _)| page);
    let mut blocks = blocks(&format!("{page}\n"));
    for block in &mut blocks {
        block.line += lines + 2;
    }
    blocks
}

/// A page, being followed at a terminal.
struct Following {
    terminal: Terminal,
    blocks: std::vec::IntoIter<Block>,
}

impl Following {
    /// Begins with a page in a directory; `environment` says where the node is, and who asks.
    fn page(name: &str, directory: &Path, environment: &[(&str, &str)]) -> Self {
        let bin = directory.join(".bin");
        std::fs::create_dir_all(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_curfew"), bin.join("curfew")).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut all = vec![("PATH".to_owned(), path)];
        all.extend(
            environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Self {
            terminal: Terminal::open(directory, &all),
            blocks: blocks_of(name).into_iter(),
        }
    }

    /// Runs the next block, which prints what the page says.
    fn next(&mut self) -> String {
        let Block { line, text, prints } = self.blocks.next().expect("the page has another block");
        let printed = self.terminal.run(&text);
        let printed =
            printed.unwrap_or_else(|failed| panic!("RUNBOOK.md:{line}: {}\n{}", failed.what, failed.printed));
        if let Some(missing) = missing_line(&prints, &printed) {
            panic!("RUNBOOK.md:{line}: the page says that it prints\n{missing}\nbut it printed\n{printed}");
        }
        printed
    }

    /// No block is left.
    fn end(mut self) {
        assert_eq!(self.blocks.next(), None);
    }
}

/// Whether the guard refuses the token as revoked, once it has heard of it.
async fn refuses(guard: &Guard, token: &str) {
    servers::until("the guard refuses it", async || {
        let refused = guard.check(token, &Requirements::any()).err()?;
        (refused.refusal().reason == curfew_core::refusal::Reason::TokenRevoked).then_some(())
    })
    .await;
}

/// Whether the guard admits the token, once it is fresh.
async fn admits(guard: &Guard, token: &str) {
    servers::until("the guard admits it", async || {
        guard.check(token, &Requirements::any()).ok().map(drop)
    })
    .await;
}
