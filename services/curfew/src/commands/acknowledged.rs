//! How far a revocation is, and how far it is to be before a command ends.

use clap::ValueEnum;
use curfew_proto::revocation::v1 as pb;

use super::{time, word};

/// How far a revocation is to be before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// The store has committed it: enforced at every refresh, survives a restart.
    Stored,
    /// The log has it: survives the loss of the store and of any process.
    Durable,
    /// Every registered guard and authority has applied it, or its own bound is over.
    Enforced,
}

impl Level {
    pub(crate) const fn to_proto(self) -> pb::AckLevel {
        match self {
            Self::Stored => pb::AckLevel::Stored,
            Self::Durable => pb::AckLevel::Durable,
            Self::Enforced => pb::AckLevel::Enforced,
        }
    }
}

/// Why something is ended, and how far that is to be.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Motive {
    /// Why: a stable lower-case word, such as `sign_out`.
    #[arg(
        long,
        global = true,
        value_name = "WORD",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) cause: String,
    /// How far the revocation is to be before the command ends.
    #[arg(long, global = true, value_enum, default_value_t = Level::Durable)]
    pub(crate) level: Level,
    /// A text that ties it to your own logs; it stands in the record.
    #[arg(
        long,
        global = true,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) correlation_id: String,
}

/// The lines that tell people of an acknowledgement.
pub(crate) fn lines(acknowledgement: Option<&pb::Acknowledgement>) -> Vec<(&'static str, String)> {
    let Some(told) = acknowledgement else {
        return vec![("revocation", "none: there was nothing to publish".to_owned())];
    };
    let now = time::now();
    let level = word(told.level().as_str_name(), "ACK_LEVEL_");
    vec![
        ("revocation", told.revocation.clone()),
        ("level", level),
        ("positions", positions(&told.positions)),
        ("cut-off", time::near(told.cut_off_time, now)),
        ("not before", time::near(told.not_before_time, now)),
        ("keep until", time::near(told.keep_until_time, now)),
        ("confirmed", followers(&told.confirmed)),
        ("waited out", followers(&told.waited_out)),
        ("without a bound", followers(&told.unbounded)),
        ("still pending", followers(&told.pending)),
    ]
}

/// How many, and the first few.
fn followers(all: &[pb::FollowerStatus]) -> String {
    /// A fleet may have thousands; a line holds this many.
    const SHOWN: usize = 3;
    if all.is_empty() {
        return String::new();
    }
    let shown = all.iter().take(SHOWN);
    let names: Vec<_> = shown.map(|one| format!("{} {}", one.name, one.replica)).collect();
    let dots = if all.len() > SHOWN { ", …" } else { "" };
    format!("{}: {}{dots}", all.len(), names.join(", "))
}

/// `partition:offset`, of the first few.
fn positions(positions: &[pb::Position]) -> String {
    /// A wide record lies in every log partition; a line holds this many.
    const SHOWN: usize = 4;
    let shown = positions.iter().take(SHOWN);
    let mut text = shown
        .map(|position| format!("{}:{}", position.partition, position.offset))
        .collect::<Vec<_>>()
        .join(" ");
    if let Some(rest) = positions.len().checked_sub(SHOWN).filter(|rest| *rest > 0) {
        text.push_str(&format!(" and {rest} more"));
    }
    text
}
