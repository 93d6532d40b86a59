//! What is reported: one JSON document, which the HTML page and the comparison are made from.
//!
//! **Invariant:** numbers are unrounded, times are in the unit that their names end in.

use std::path::{Path, PathBuf};

use curfew_core::time::Clock as _;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::machine::{Machine, Versions};
use crate::measure::Run;
use crate::usage::PartSamples;

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
    /// Open loops.
    pub(crate) runs: Vec<Run>,
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
            runs: Vec::new(),
            parts: Vec::new(),
        }
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<Vec<PathBuf>, Failure> {
        std::fs::create_dir_all(directory)?;
        let json = directory.join(format!("{}.json", self.what));
        std::fs::write(&json, serde_json::to_string_pretty(self)?)?;
        Ok(vec![json])
    }

    /// Whether any run is void.
    pub(crate) fn has_void(&self) -> bool {
        self.runs.iter().any(|run| run.verdict.is_void())
    }
}
