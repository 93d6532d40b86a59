//! Registrations of followers: guards and authorities, and how far each has applied the log.
//!
//! **Invariant:** a registration counts for as long as its follower may admit by what it heard last: until it
//! lapses, and its largest bound beyond that.

use std::sync::Arc;

use crate::time::Millis;

/// What a guard's route does while its view is stale (DESIGN section 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum StaleRule {
    /// Tokens younger than the cap pass.
    AgeCap,
    /// An authority is asked.
    Introspect,
    /// The call is refused.
    Deny,
    /// The call passes.
    Allow,
}

impl StaleRule {
    /// Every rule.
    pub const ALL: [Self; 4] = [Self::AgeCap, Self::Introspect, Self::Deny, Self::Allow];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgeCap => "age_cap",
            Self::Introspect => "introspect",
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

/// A route of a guard, and what it promises.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteBound {
    /// What the guard calls it.
    pub route: Arc<str>,
    /// What it does while its view is stale.
    pub rule: StaleRule,
    /// How long a covered token may still be admitted, ms; `None`: for as long as it lives.
    pub bound_ms: Option<i64>,
    /// Whether its refusals are only reported.
    pub report_only: bool,
}

/// A follower that registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// What it is.
    pub name: Arc<str>,
    /// Which instance.
    pub replica: Arc<str>,
    /// The caller that registered it; empty for an authority, which registers itself.
    pub caller: Arc<str>,
    /// Its program's version.
    pub version: Arc<str>,
    /// Where it reads from: `hub`, `log`, `ssf`, or `authority` for one of those.
    pub source: Arc<str>,
    /// The APIs that it protects.
    pub audiences: Vec<Arc<str>>,
    /// The newest format that it reads.
    pub min_reader: u32,
    /// Its routes.
    pub routes: Vec<RouteBound>,
    /// The largest bound of its routes, ms; `None`: it has none.
    pub bound_ms: Option<i64>,
    /// The next offset of each log partition that it will apply; empty: it has not told any yet.
    pub positions: Vec<u64>,
    /// The log that the positions are of.
    pub log_id: [u8; 16],
    /// Since when it is registered without a break.
    pub registered: Millis,
    /// When it was heard last.
    pub seen: Millis,
    /// Until when it counts: lapse and largest bound.
    pub counts_until: Millis,
}

impl Lease {
    /// Heard at this instant: it holds for so long, and counts for its bound beyond that.
    pub fn hear(&mut self, at: Millis, lease_ms: i64) {
        self.seen = self.seen.max(at);
        let lapse = self.seen.plus_ms(lease_ms);
        self.counts_until = lapse.plus_ms(self.bound_ms.unwrap_or(0));
    }

    /// When it lapses, unless it is heard again.
    #[must_use]
    pub fn lapse(&self) -> Millis {
        self.counts_until.plus_ms(-self.bound_ms.unwrap_or(0))
    }

    /// Whether it holds: it was heard within its time. One that was heard in the future was heard before a clock
    /// was set back, and is waited for.
    #[must_use]
    pub fn is_live(&self, now: Millis) -> bool {
        self.seen <= now && now < self.lapse()
    }

    /// Takes the place of what was known of the same follower: it stays registered as long as it was, and its positions
    /// only rise.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.registered = self.registered.min(before.registered);
        self.positions = joined(
            (before.log_id, &before.positions),
            (self.log_id, &self.positions),
            true,
        );
        self
    }

    /// Joins what another told of the same follower: positions only rise, the newest word on everything else holds.
    pub fn join(&mut self, other: &Self) {
        let registered = self.registered.min(other.registered);
        let counts_until = self.counts_until.max(other.counts_until);
        let positions = joined(
            (self.log_id, &self.positions),
            (other.log_id, &other.positions),
            other.seen > self.seen,
        );
        if other.seen > self.seen {
            *self = other.clone();
        }
        self.registered = registered;
        self.counts_until = counts_until;
        self.positions = positions;
    }
}

/// The further of two on one log; of two logs, the one that was told last.
fn joined(ours: ([u8; 16], &[u64]), theirs: ([u8; 16], &[u64]), theirs_is_newer: bool) -> Vec<u64> {
    match (ours, theirs) {
        ((ours_log, ours), (theirs_log, theirs)) if ours_log == theirs_log && ours.len() == theirs.len() => {
            ours.iter()
                .zip(theirs)
                .map(|(ours, theirs)| *ours.max(theirs))
                .collect()
        }
        // Whoever tells none has not begun to apply: what it told before still holds, on the same log.
        ((ours_log, ours), (theirs_log, [])) if ours_log == theirs_log => ours.to_vec(),
        ((ours_log, []), (theirs_log, theirs)) if ours_log == theirs_log => theirs.to_vec(),
        ((_, ours), (_, theirs)) => if theirs_is_newer { theirs } else { ours }.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(seen: i64, positions: &[u64]) -> Lease {
        let mut lease = Lease {
            name: "orders".into(),
            replica: "r1".into(),
            caller: "guards".into(),
            version: "1".into(),
            source: "hub".into(),
            audiences: Vec::new(),
            min_reader: 1,
            routes: Vec::new(),
            bound_ms: Some(5_000),
            positions: positions.to_vec(),
            log_id: [7; 16],
            registered: Millis::from_unix_ms(seen),
            seen: Millis::from_unix_ms(seen),
            counts_until: Millis::ZERO,
        };
        lease.hear(Millis::from_unix_ms(seen), 30_000);
        lease
    }

    #[test]
    fn positions_only_rise_whichever_word_is_newer() {
        let (old, new) = (lease(1_000, &[5, 9]), lease(2_000, &[7, 3]));
        for (mut ours, theirs) in [(old.clone(), &new), (new.clone(), &old)] {
            ours.join(theirs);
            assert_eq!(ours.positions, [7, 9]);
            assert_eq!(ours.registered, Millis::from_unix_ms(1_000));
            assert_eq!(ours.seen, Millis::from_unix_ms(2_000));
            assert_eq!(ours.counts_until, Millis::from_unix_ms(37_000));
        }
    }

    #[test]
    fn positions_of_another_log_are_the_newest_ones_alone() {
        let mut ours = lease(1_000, &[5, 9]);
        let mut theirs = lease(2_000, &[1, 1]);
        theirs.log_id = [8; 16];
        ours.join(&theirs);
        assert_eq!(
            (ours.log_id, ours.positions.as_slice()),
            ([8; 16], [1, 1].as_slice())
        );
    }

    #[test]
    fn one_that_starts_anew_keeps_what_it_has_told_and_since_when() {
        let mut ours = lease(1_000, &[5, 9]);
        ours.join(&lease(2_000, &[]));
        assert_eq!(ours.positions, [5, 9]);
        assert_eq!(ours.registered, Millis::from_unix_ms(1_000));
    }

    #[test]
    fn a_lease_holds_until_it_lapses_and_counts_for_its_bound_beyond() {
        let lease = lease(1_000, &[]);
        assert!(lease.is_live(Millis::from_unix_ms(30_999)));
        assert!(!lease.is_live(Millis::from_unix_ms(31_000)));
        assert!(!lease.is_live(Millis::from_unix_ms(999)), "heard in the future");
        assert_eq!(lease.counts_until, Millis::from_unix_ms(36_000));
    }
}
