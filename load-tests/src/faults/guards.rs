//! Two guards, one on a node's stream and one on the log itself, and what they say of tokens that were revoked.

use curfew_core::refusal::Reason;
use curfew_guard::{Guard, Requirements, Running, Stale};

use super::calls::Held;
use crate::backend::Backend;
use crate::claims::Claims;
use crate::failure::Failure;
use crate::part::guard::{Settings, Topic, guard, of_hub, of_topic};

/// A guard and the name it has in the report.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) name: &'static str,
    guard: Guard,
    route: Requirements,
    _running: Running,
}

/// What a guard says of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Admitted,
    Revoked,
    /// It can prove nothing just now.
    Nothing,
    /// The token is over by itself.
    Expired,
    /// Refused for a reason that says nothing of a revocation.
    Other,
}

impl Watcher {
    pub(crate) fn is_ready(&self) -> bool {
        self.guard.is_ready()
    }

    pub(crate) fn check(&self, access_token: &str) -> Said {
        match self.guard.check(access_token, &self.route) {
            Ok(_) => Said::Admitted,
            Err(refused) if refused.reason == Reason::TokenRevoked => Said::Revoked,
            Err(refused) if refused.reason == Reason::TokenExpired => Said::Expired,
            Err(refused) if refused.is_retryable() => Said::Nothing,
            Err(_) => Said::Other,
        }
    }
}

/// Starts both; they get ready by themselves.
pub(crate) async fn start(
    node: &Backend,
    address: &str,
    topic: Topic,
    sample: &Held,
) -> Result<Vec<Watcher>, Failure> {
    let claims = Claims::read(&sample.access_token)?;
    let keys = String::from_utf8(node.key_set().await?)?;
    let identity = node.identity();
    let settings = |replica, topic| Settings {
        address: address.to_owned(),
        caller: identity.caller.clone(),
        secret: identity.secret.clone(),
        tenant: claims.tid.clone(),
        issuer: claims.iss.clone(),
        audience: claims.aud.clone(),
        scope: identity.scope.clone(),
        keys: keys.clone(),
        replica,
        ask_every_us: 0,
        topic,
    };
    let mut watchers = Vec::new();
    // Both have the bound of Kafka, which is what the log is.
    for (replica, name) in [(0, "the hub's guard"), (1, "the log's guard")] {
        let settings = settings(replica, Some(topic.clone()));
        let guard = guard(&settings)?;
        let source = if replica == 0 {
            of_hub(&settings)?
        } else {
            of_topic(&topic)?
        };
        watchers.push(Watcher {
            name,
            _running: guard.start([source]),
            guard,
            // What cannot be proven fresh is denied.
            route: Requirements::scope(settings.scope.as_str())
                .named("faults")
                .stale(Stale::Deny),
        });
    }
    Ok(watchers)
}
