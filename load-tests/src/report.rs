//! What is reported: one JSON document, which the HTML page and the comparison are made from.
//!
//! **Invariant:** numbers are unrounded, times are in the unit that their names end in.

#[cfg(test)]
pub(crate) mod sample;

use std::path::{Path, PathBuf};

use curfew_core::time::Clock as _;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::html;
use crate::machine::{Machine, Versions};
use crate::measure::{Ceiling, Run};
use crate::scenario::capacity::Capacity;
use crate::scenario::limits::Limits;
use crate::scenario::revoke::RevokeToReject;
use crate::scenario::streams::Streams;
use crate::usage::PartSamples;
use crate::verdict::Verdict;

/// The form of the document; it rises when a reader of the old form would misread the new one.
pub(crate) const FORM: u32 = 1;

/// Everything that was measured at one time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) form: u32,
    /// The subcommand.
    pub(crate) what: String,
    /// When it began, ms since 1970.
    pub(crate) began_unix_ms: i64,
    pub(crate) machine: Machine,
    pub(crate) versions: Versions,
    /// From the start of the node's process until it was ready, s; where it was started by us.
    pub(crate) start_up_s: Option<f64>,
    /// Nodes that were started by us.
    #[serde(default)]
    pub(crate) nodes: usize,
    /// The physical limits, where they were measured in the same run.
    pub(crate) limits: Option<Limits>,
    /// Closed loops: the most that the node does.
    pub(crate) ceilings: Vec<Ceiling>,
    /// Open loops.
    pub(crate) runs: Vec<Run>,
    /// One for each number of guards.
    pub(crate) revoke_to_reject: Vec<RevokeToReject>,
    /// What many sessions cost.
    pub(crate) capacity: Option<Capacity>,
    /// What many streams cost.
    #[serde(default)]
    pub(crate) streams: Option<Streams>,
    /// Processor time and memory of each part, once a second, over the whole time.
    pub(crate) parts: Vec<PartSamples>,
}

impl Report {
    pub(crate) fn begin(what: &str, curfew: Option<&Path>) -> Self {
        Self {
            form: FORM,
            what: what.to_owned(),
            began_unix_ms: curfew_clock::SystemClock.now().wall.as_unix_ms(),
            machine: Machine::this(),
            versions: Versions::of(curfew),
            start_up_s: None,
            nodes: 0,
            limits: None,
            ceilings: Vec::new(),
            runs: Vec::new(),
            revoke_to_reject: Vec::new(),
            capacity: None,
            streams: None,
            parts: Vec::new(),
        }
    }

    /// Reads a document that [`Self::write`] wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| format!("{} is no JSON: {error}", path.display()))?;
        // Before the rest: another form may lack what this one needs.
        match value.get("form").and_then(serde_json::Value::as_u64) {
            Some(form) if form == u64::from(FORM) => {}
            Some(form) => {
                let path = path.display();
                return Err(format!(
                    "{path} has form {form}, and this program reads form {FORM}; measure again"
                )
                .into());
            }
            None => return Err(format!("{} is no report of curfew-load", path.display()).into()),
        }
        serde_json::from_value(value)
            .map_err(|error| format!("{} is no whole report: {error}", path.display()).into())
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<Vec<PathBuf>, Failure> {
        std::fs::create_dir_all(directory)?;
        let json = directory.join(format!("{}.json", self.what));
        std::fs::write(&json, serde_json::to_string_pretty(self)?)?;
        let page = directory.join(format!("{}.html", self.what));
        std::fs::write(&page, html::page(self)?)?;
        Ok(vec![json, page])
    }

    /// Whether any run is void.
    pub(crate) fn has_void(&self) -> bool {
        let of_guards = self.revoke_to_reject.iter().map(|found| &found.verdict);
        let mut verdicts = self.runs.iter().map(|run| &run.verdict).chain(of_guards);
        verdicts.any(Verdict::is_void)
    }
}
