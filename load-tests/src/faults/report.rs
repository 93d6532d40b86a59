//! What a run with faults found: one JSON document, a table for people, a page.
//!
//! **Invariant:** what did not hold is told whole; the table only counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Topology};
use super::history::{Tally, Violation};
use super::page;
use super::world::Second;
use crate::failure::Failure;
use crate::machine::{Machine, Versions};

/// One fault, and what followed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Episode {
    pub(crate) fault: Fault,
    pub(crate) store: Topology,
    /// Since its layout was set up, s.
    pub(crate) at_s: f64,
    /// How long it was made to last; 0 where that is nobody's choice.
    pub(crate) lasted_s: f64,
    /// What the servers themselves took to have a primary again.
    pub(crate) servers_s: f64,
    /// From the loss of the primary, or from the end of the outage, until everybody was answered; `None`: too long.
    pub(crate) recovery_s: Option<f64>,
    /// Sessions that were looked at afterwards, alive and revoked.
    pub(crate) alive: u64,
    pub(crate) over: u64,
    /// How often a guard refused one of the latter, as revoked.
    pub(crate) refused_at_guards: u64,
    pub(crate) tally: Tally,
    pub(crate) violations: Vec<Violation>,
}

/// A layout under load, second by second.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Stretch {
    pub(crate) store: Topology,
    pub(crate) seconds: Vec<Second>,
}

/// Everything.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) began_unix_ms: i64,
    pub(crate) machine: Machine,
    pub(crate) versions: Versions,
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) took_s: f64,
    pub(crate) episodes: Vec<Episode>,
    pub(crate) stretches: Vec<Stretch>,
    /// What kept a run from going on as it was to: servers that did not do what they were told.
    pub(crate) troubles: Vec<String>,
}

/// All of one fault.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) count: usize,
    pub(crate) tally: Tally,
    /// Half of the recoveries took at most this, and none took longer than that; s.
    pub(crate) recovery: Option<(f64, f64)>,
    pub(crate) servers: Option<(f64, f64)>,
    pub(crate) not_back: usize,
}

impl Report {
    pub(crate) fn violations(&self) -> impl Iterator<Item = (&Episode, &Violation)> {
        self.episodes.iter().flat_map(|episode| {
            episode
                .violations
                .iter()
                .map(move |violation| (episode, violation))
        })
    }

    /// One line for each fault in each layout, and two for all.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut kinds: BTreeMap<_, Vec<&Episode>> = BTreeMap::new();
        for episode in &self.episodes {
            kinds
                .entry((episode.store, episode.fault))
                .or_default()
                .push(episode);
        }
        let mut lines: Vec<_> = kinds
            .into_iter()
            .map(|((store, fault), episodes)| line(format!("{}: {}", store.text(), fault.text()), &episodes))
            .collect();
        let failovers = self
            .episodes
            .iter()
            .filter(|episode| episode.fault.changes_history());
        lines.push(line(
            "all that give the store another history".to_owned(),
            &failovers.collect::<Vec<_>>(),
        ));
        lines.push(line("all".to_owned(), &self.episodes.iter().collect::<Vec<_>>()));
        lines
    }

    /// The table of the summary, as Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("| {} |\n|{}\n", HEADS.join(" | "), "---|".repeat(HEADS.len()));
        for line in self.lines() {
            text.push_str(&format!("| {} |\n", line.cells().join(" | ")));
        }
        text
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<Vec<PathBuf>, Failure> {
        std::fs::create_dir_all(directory)?;
        let paths = ["faults.json", "faults.html", "faults.md"].map(|name| directory.join(name));
        let [json, html, markdown] = &paths;
        std::fs::write(json, serde_json::to_string_pretty(self)?)?;
        std::fs::write(html, page::page(self)?)?;
        std::fs::write(markdown, self.markdown())?;
        Ok(paths.into())
    }

    /// For a terminal: the same, with columns of one width.
    pub(crate) fn text(&self) -> String {
        self.markdown()
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "# Faults\n\nSeed {}, {} nodes, {:.0} minutes, {}, {} cores.\n\n{}",
            self.seed,
            self.nodes,
            self.took_s / 60.0,
            self.versions.curfew,
            self.machine.cores,
            self.table()
        );
        let broken: Vec<_> = self.violations().collect();
        text.push_str(&format!("\nSentences that did not hold: {}.\n", broken.len()));
        for (episode, violation) in broken {
            let place = (episode.store.text(), episode.fault.text());
            text.push_str(&format!(
                "- {:?} after {} ({}): {}\n",
                violation.what, place.1, place.0, violation.told
            ));
        }
        for trouble in &self.troubles {
            text.push_str(&format!("- The run itself: {trouble}\n"));
        }
        text
    }
}

/// What the columns are.
pub(crate) const HEADS: [&str; 12] = [
    "fault",
    "count",
    "lost",
    "signed out wrongly",
    "over the bound",
    "else",
    "rolled back",
    "healed",
    "DURABLE",
    "not answered",
    "recovery p50, max s",
    "of it servers p50, max s",
];

impl Line {
    pub(crate) fn cells(&self) -> Vec<String> {
        let times = |times: Option<(f64, f64)>| match times {
            Some((half, most)) => format!("{half:.1}, {most:.1}"),
            None => "–".to_owned(),
        };
        let mut recovery = times(self.recovery);
        if self.not_back > 0 {
            recovery.push_str(&format!(" ({} not back)", self.not_back));
        }
        let tally = &self.tally;
        let mut cells = vec![self.name.clone(), self.count.to_string()];
        let counts = [
            tally.lost,
            tally.signed_out,
            tally.over_bound,
            tally.other,
            tally.rolled_back,
            tally.healed,
            tally.durable,
            tally.unanswered,
        ];
        cells.extend(counts.iter().map(u64::to_string));
        cells.extend([recovery, times(self.servers)]);
        cells
    }
}

fn line(name: String, episodes: &[&Episode]) -> Line {
    let mut tally = Tally::default();
    for episode in episodes {
        tally = tally.and(episode.tally);
    }
    let recoveries = episodes.iter().filter_map(|episode| episode.recovery_s);
    let servers = episodes.iter().map(|episode| episode.servers_s);
    Line {
        name,
        count: episodes.len(),
        tally,
        recovery: half_and_most(recoveries.collect()),
        servers: half_and_most(servers.filter(|took| *took > 0.0).collect()),
        not_back: episodes
            .iter()
            .filter(|episode| episode.recovery_s.is_none())
            .count(),
    }
}

/// The median (the lower of two) and the largest.
fn half_and_most(mut times: Vec<f64>) -> Option<(f64, f64)> {
    times.sort_by(f64::total_cmp);
    let half = times.get(times.len().saturating_sub(1) / 2)?;
    Some((*half, *times.last()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::faults::history::Broken;

    pub(crate) fn episode(fault: Fault, recovery_s: Option<f64>) -> Episode {
        Episode {
            fault,
            store: Topology::Single,
            at_s: 3.0,
            lasted_s: 1.0,
            servers_s: 0.5,
            recovery_s,
            alive: 10,
            over: 4,
            refused_at_guards: 8,
            tally: Tally {
                durable: 3,
                ..Tally::default()
            },
            violations: Vec::new(),
        }
    }

    pub(crate) fn report() -> Report {
        let mut lost = episode(Fault::RedisKilled, None);
        lost.tally.lost = 1;
        lost.violations.push(Violation {
            what: Broken::LostInStore,
            at_ms: 9,
            told: "<b>sessions/1</b>: alive in the store".to_owned(),
        });
        Report {
            began_unix_ms: 0,
            machine: Machine::this(),
            versions: Versions::of(None),
            seed: 7,
            nodes: 2,
            took_s: 120.0,
            episodes: vec![
                episode(Fault::RedisKilled, Some(1.0)),
                episode(Fault::RedisKilled, Some(3.0)),
                lost,
                episode(Fault::NodeHangs, Some(0.0)),
            ],
            stretches: vec![Stretch {
                store: Topology::Single,
                seconds: vec![Second::default(); 5],
            }],
            troubles: vec!["a broker did not answer".to_owned()],
        }
    }

    #[test]
    fn a_line_counts_all_of_one_fault_and_the_last_counts_everything() {
        let lines = report().lines();
        let killed = &lines[0];
        assert_eq!((killed.count, killed.tally.durable, killed.tally.lost), (3, 9, 1));
        assert_eq!((killed.recovery, killed.not_back), (Some((1.0, 3.0)), 1));
        let all = lines.last().unwrap();
        assert_eq!((all.count, all.tally.durable), (4, 12));
        assert_eq!(killed.cells().len(), HEADS.len());
    }

    #[test]
    fn what_did_not_hold_is_told_whole_beside_the_table() {
        let text = report().markdown();
        for told in [
            "Sentences that did not hold: 1.",
            "LostInStore after Redis killed, started again (one Redis)",
            "sessions/1",
            "a broker did not answer",
            "1.0, 3.0 (1 not back)",
        ] {
            assert!(text.contains(told), "no `{told}` in {text}");
        }
    }

    #[test]
    fn a_report_is_written_as_json_that_reads_back_a_page_and_a_table() {
        let dir = tempfile::tempdir().unwrap();
        let paths = report().write(dir.path()).unwrap();
        let json = std::fs::read_to_string(&paths[0]).unwrap();
        let back: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(back.episodes, report().episodes);
        assert!(paths.iter().all(|path| path.is_file()));
    }
}
