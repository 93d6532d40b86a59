//! What follows from a token's text and from what the node said of it.

use curfew_core::refusal::{Reason, Refusal};
use curfew_core::time::Millis;
use curfew_proto::token::v1 as pb;

use super::ask::Said;
use super::read::{Read, refusal};
use crate::commands::exit::Exit;
use crate::commands::{time, word};

/// Who judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Judge {
    /// The node.
    Node,
    /// The token's own form and time, and nothing else.
    Text,
}

/// Whether a token is alive, and why it is refused.
#[derive(Debug)]
pub(super) struct Verdict {
    /// `None`: not known.
    pub(super) is_alive: Option<bool>,
    pub(super) judge: Judge,
    pub(super) refused: Option<Refused>,
    /// What else is wrong with it: catalogue codes.
    pub(super) further: Vec<&'static str>,
    /// What is not known, and why.
    pub(super) note: String,
    /// Whether somebody was asked and could not say.
    was_not_told: bool,
}

/// Why it is refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) stage_number: u8,
    pub(super) stage: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) fixer: String,
    pub(super) fix: String,
    pub(super) help: String,
    pub(super) covered_by: Option<pb::CoveringRecord>,
}

impl Refused {
    fn here(refusal: &Refusal) -> Self {
        let reason = refusal.reason;
        let detail = refusal.detail.as_ref();
        Self {
            stage_number: refusal.stage.number(),
            stage: refusal.stage.as_str().to_owned(),
            reason: short(reason).to_owned(),
            message: detail.map_or_else(
                || reason.what().to_owned(),
                |detail| format!("{} ({detail})", reason.what()),
            ),
            fixer: reason.fixer().as_str().to_owned(),
            fix: reason.fix().to_owned(),
            help: String::new(),
            covered_by: None,
        }
    }

    /// What the node explained.
    pub(super) fn by_node(told: &pb::TokenExplanation) -> Self {
        let code = format!("CURFEW_{}", told.reason);
        let known = Reason::ALL.iter().find(|reason| reason.code() == code);
        // A newer node may know reasons that this release does not: its own words hold then.
        let (fixer, fix) = known.map_or_else(
            || {
                let (fixer, fix) = told.remedy.split_once(": ").unwrap_or(("", &told.remedy));
                (fixer.to_owned(), fix.to_owned())
            },
            |reason| (reason.fixer().as_str().to_owned(), reason.fix().to_owned()),
        );
        let stage = word(told.stage().as_str_name(), "STAGE_");
        let prefix = format!("stage {} {stage}: ", told.stage);
        Self {
            stage_number: u8::try_from(told.stage).unwrap_or_default(),
            reason: told.reason.clone(),
            message: told
                .message
                .strip_prefix(&prefix)
                .unwrap_or(&told.message)
                .to_owned(),
            stage,
            fixer,
            fix,
            help: told.help_uri.clone(),
            covered_by: told.covered_by.clone(),
        }
    }
}

fn short(reason: Reason) -> &'static str {
    reason.code().strip_prefix("CURFEW_").unwrap_or(reason.code())
}

impl Verdict {
    /// By the text alone.
    pub(super) fn of_text(refusal: Option<&Refusal>, note: &str) -> Self {
        Self {
            is_alive: refusal.map(|_| false),
            judge: Judge::Text,
            refused: refusal.map(Refused::here),
            further: Vec::new(),
            note: note.to_owned(),
            was_not_told: false,
        }
    }

    /// With what the node said.
    pub(super) fn of(read: &Read, sent_to: Option<&str>, now: Millis, said: &Said) -> Self {
        let own = read.judge(sent_to, now);
        let also = |reason: &str| -> Vec<&'static str> {
            let own = own.iter().map(|own| short(own.reason));
            own.filter(|own| *own != reason).collect()
        };
        match said {
            Said::Explained(told) => Self {
                is_alive: Some(told.alive),
                judge: Judge::Node,
                refused: (!told.alive).then(|| Refused::by_node(told)),
                further: if told.alive {
                    Vec::new()
                } else {
                    also(&told.reason)
                },
                note: String::new(),
                was_not_told: false,
            },
            Said::Introspected(true) => Self {
                is_alive: Some(true),
                judge: Judge::Node,
                ..Self::of_text(None, "")
            },
            Said::Introspected(false) => Self {
                is_alive: Some(false),
                judge: Judge::Node,
                ..Self::of_text(
                    own.as_ref(),
                    "the node says that it is not active; why, it tells callers with the role `sessions.read`",
                )
            },
            Said::Foreign(entry) => {
                let life_ms = |span: &prost_types::Duration| span.seconds.saturating_mul(1_000);
                let longest_ms = entry.longest_life.as_ref().map_or(i64::MAX, life_ms);
                let lives_ms = read.instant("exp").zip(read.instant("iat"));
                let lives_ms = lives_ms.map_or(0, |(expires, issued)| expires.ms_since(issued));
                let is_listed = |sent_to: &str| entry.audiences.iter().any(|audience| audience == sent_to);
                let by_entry = if sent_to.is_some_and(|sent_to| !is_listed(sent_to)) {
                    let about = format!("{} does not list it among its audiences", entry.name);
                    Some(refusal(Reason::AudienceWrong).about(about))
                } else {
                    (lives_ms > longest_ms)
                        .then(|| refusal(Reason::TokenLivesTooLong).about(entry.name.clone()))
                };
                let note = format!(
                    "of the foreign issuer {}; whether it was revoked, the guards of its API know",
                    entry.name
                );
                Self::of_text(own.or(by_entry).as_ref(), &note)
            }
            Said::NotNamed(parent) => {
                let refused = refusal(Reason::IssuerUnknown).about(format!("{parent} has no entry for it"));
                Self {
                    further: also(short(Reason::IssuerUnknown)),
                    judge: Judge::Node,
                    ..Self::of_text(Some(&refused), "")
                }
            }
            Said::Nothing(why) => Self {
                was_not_told: true,
                ..Self::of_text(own.as_ref(), &format!("the node could not say: {why}"))
            },
        }
    }

    /// How the command ends.
    pub(super) const fn exit(&self) -> Exit {
        match (self.is_alive, self.was_not_told) {
            (Some(false), _) => Exit::Refused,
            (None, true) => Exit::TryAgain,
            (Some(true), _) | (None, false) => Exit::Done,
        }
    }
}

/// How a token stands in time, for people.
pub(super) fn in_time(read: &Read, now: Millis) -> String {
    let told = |name: &str, verb: &str| {
        let at = read.instant(name)?;
        Some(format!("{verb} {}", time::of_ms(at.as_unix_ms(), now)))
    };
    let expires = match read.instant("exp") {
        Some(at) if at <= now => told("exp", "expired"),
        Some(_) | None => told("exp", "expires"),
    };
    [told("iat", "issued"), told("nbf", "valid from"), expires]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}
