//! This authority's own registration: it follows the log as guards do, and is waited for as they are.

use std::sync::Arc;

use curfew_core::directory::{Lease, RouteBound, StaleRule};
use curfew_core::record::READER;

use super::Subscriber;
use crate::answer::Answer;
use crate::node::Authority;

/// What authorities call themselves.
const AUTHORITY: &str = "authority";

impl Authority {
    /// Registers this authority itself, before it answers anybody.
    pub async fn register_self(&self) -> Answer<()> {
        let positions = self.follower.positions().unwrap_or_default();
        self.report_progress(self.own_subscriber(), positions)
            .await
            .map(drop)
    }

    /// This authority leaves in good order.
    pub async fn unregister_self(&self) {
        let own = self.own_subscriber();
        self.leave(&own.name, &own.replica).await;
    }

    /// Notes how far this authority itself is, where it is registered.
    pub(crate) fn note_own_place(&self) {
        let own = self.own_subscriber();
        let is_registered = self
            .leases
            .get(&(own.name.clone(), own.replica.clone()))
            .is_some();
        if let (true, Some(positions)) = (is_registered, self.follower.positions()) {
            let lease = self.lease_of(own, positions);
            // It is there, so there is room for it.
            drop(self.leases.note(lease, self.wall()));
        }
    }

    /// All that are known, and this authority itself as it is now.
    pub(crate) fn leases_now(&self) -> Vec<Arc<Lease>> {
        let mut all = self.leases.all();
        let is_own = |lease: &&mut Arc<Lease>| {
            *lease.name == *AUTHORITY && *lease.replica == *self.config.replica && lease.caller.is_empty()
        };
        if let (Some(own), Some(positions)) = (all.iter_mut().find(is_own), self.follower.positions()) {
            let own = Arc::make_mut(own);
            own.positions = positions;
            own.hear(self.wall(), self.config.lease_ms);
        }
        all
    }

    fn own_subscriber(&self) -> Subscriber {
        // It answers an introspection only while its own tail is younger than that (DESIGN section 6).
        let bound_ms = Some(self.config.staleness_ms);
        Subscriber {
            name: AUTHORITY.into(),
            replica: self.config.replica.as_str().into(),
            caller: "".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            source: AUTHORITY.into(),
            audiences: Vec::new(),
            min_reader: READER,
            routes: vec![RouteBound {
                route: "introspection".into(),
                rule: StaleRule::Deny,
                bound_ms,
                report_only: false,
            }],
            bound_ms,
        }
    }
}
