//! What goes wrong between us and a server, and what may be done about it.
//!
//! **Invariant:** a fault counts as "nothing happened" only where the server said so, or nothing was sent.

use std::sync::Arc;

use curfew_ports::store::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What a fault says of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// It did not happen, and another try, perhaps elsewhere, may succeed.
    Nothing,
    /// It did not happen: this server is no longer the one that decides (a failover).
    Demoted,
    /// It did not happen: another node has this slot, or nobody yet.
    Moved,
    /// It did not happen: the script is not there.
    NoScript,
    /// It did not happen, and no try will help until somebody acts.
    Refused,
    /// It did not happen: no room.
    Full,
    /// It may have happened, the connection is broken.
    Broken,
    /// It may have happened, no answer came in time.
    Silent,
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Fault {
    pub(crate) effect: Effect,
    why: Arc<str>,
}

impl Fault {
    pub(crate) fn new(effect: Effect, why: impl AsRef<str>) -> Self {
        Self {
            effect,
            why: why.as_ref().into(),
        }
    }

    /// An answer that this version does not understand. What was asked has happened or not.
    pub(crate) fn unreadable(what: &str) -> Self {
        Self::new(Effect::Broken, format!("the answer to {what} cannot be read"))
    }

    pub(crate) fn silent(address: &str, ms: u64) -> Self {
        Self::new(Effect::Silent, format!("{address} did not answer within {ms} ms"))
    }

    /// Where it happened, for people.
    pub(crate) fn at(self, address: &str) -> Self {
        let why = format!("{address}: {}", self.why);
        Self::new(self.effect, why)
    }

    /// The same, of something that was never sent.
    pub(crate) fn before_sending(self) -> Self {
        let effect = match self.effect {
            Effect::Broken | Effect::Silent => Effect::Nothing,
            Effect::Nothing
            | Effect::Demoted
            | Effect::Moved
            | Effect::NoScript
            | Effect::Refused
            | Effect::Full => self.effect,
        };
        Self { effect, ..self }
    }

    pub(crate) fn of_store(self, what: &'static str) -> StoreError {
        if self.effect == Effect::Full {
            return StoreError::Full {
                source: Box::new(self),
            };
        }
        let source = Box::new(self.clone());
        match self.effect {
            Effect::Broken | Effect::Silent => StoreError::Unavailable { what, source },
            Effect::Nothing
            | Effect::Demoted
            | Effect::Moved
            | Effect::NoScript
            | Effect::Refused
            | Effect::Full => StoreError::Refused { what, source },
        }
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::new(effect_of(&error), error.to_string())
    }
}

fn effect_of(error: &RedisError) -> Effect {
    // Codes that the client has no name for.
    match error.code() {
        Some("OOM") => return Effect::Full,
        Some("NOREPLICAS" | "MISCONF" | "BUSY") => return Effect::Nothing,
        Some("UNBLOCKED") => return Effect::Demoted,
        Some("NOAUTH" | "WRONGPASS") => return Effect::Refused,
        Some(_) | None => {}
    }
    let kind = error.kind();
    if let ErrorKind::Server(kind) = kind {
        return of_server(kind);
    }
    if kind == ErrorKind::Extension || kind == ErrorKind::AuthenticationFailed {
        return Effect::Refused;
    }
    Effect::Broken
}

fn of_server(kind: ServerErrorKind) -> Effect {
    const DEMOTED: [ServerErrorKind; 2] = [ServerErrorKind::ReadOnly, ServerErrorKind::MasterDown];
    const MOVED: [ServerErrorKind; 2] = [ServerErrorKind::Moved, ServerErrorKind::ClusterDown];
    // A slot that is being moved is unavailable until it has been moved: its keys are asked for nowhere.
    const LATER: [ServerErrorKind; 3] = [
        ServerErrorKind::BusyLoading,
        ServerErrorKind::Ask,
        ServerErrorKind::TryAgain,
    ];
    if kind == ServerErrorKind::NoScript {
        Effect::NoScript
    } else if DEMOTED.contains(&kind) {
        Effect::Demoted
    } else if MOVED.contains(&kind) {
        Effect::Moved
    } else if LATER.contains(&kind) {
        Effect::Nothing
    } else {
        Effect::Refused
    }
}
