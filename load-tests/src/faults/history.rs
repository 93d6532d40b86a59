//! What was promised to whom, and whether it was kept: the judge of a run with faults.
//!
//! It is told what was acknowledged, what was answered and which faults there were, each with its instant, and knows
//! nothing else. What is not known (an answer that never came) binds nobody.
//!
//! **Invariant:** pure: no I/O, no clock, no chance; the same events give the same verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An instant of the machine's monotonic clock, ms.
pub(crate) type Ms = u64;

/// How long a refresh may succeed after its DURABLE revocation while the history of the store changes, ms: the larger
/// of the staleness bound of an authority and the replica-lag limit (invariant 3 of the protocol).
pub(crate) const FAILOVER_BOUND_MS: Ms = 15_000;
/// How long a guard may admit a token after its DURABLE revocation, ms: X + ε (G1).
pub(crate) const GUARD_BOUND_MS: Ms = 16_000;
/// A history that changed so long ago excuses nothing any more, ms.
const SETTLED_MS: Ms = 60_000;

/// What a client is told whose session was opened in what a failover lost.
pub(crate) const ROLLED_BACK: &str = "REFRESH_ROLLED_BACK";

/// How far an acknowledged revocation had come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Level {
    /// Nobody answered: it may have come about, or not.
    Unknown,
    Stored,
    Durable,
}

/// A sentence that did not hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Broken {
    /// A DURABLE revocation holds no more in the store, once service was back.
    LostInStore,
    /// The same, at a guard.
    LostAtGuard,
    /// A refresh succeeded, or a guard admitted, later after a revocation than it may.
    OverBound,
    /// A client was refused whose grant nobody revoked and no fault lost.
    SignedOut,
    /// A rotation was told as healed that no fault lost.
    HealedWithoutLoss,
    /// A primary without replicas answered a commit.
    ZombieAnswered,
    /// Service was not back within the stated time.
    NotBack,
}

/// It, told for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Violation {
    pub(crate) what: Broken,
    pub(crate) at_ms: Ms,
    pub(crate) told: String,
}

/// What happened since the last fault began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// DURABLE revocations that were acknowledged.
    pub(crate) durable: u64,
    /// Revocations that were only STORED when they were answered.
    pub(crate) stored: u64,
    pub(crate) refreshed: u64,
    /// Refreshes, openings and revocations that nobody answered, or that were to be repeated.
    pub(crate) unanswered: u64,
    pub(crate) healed: u64,
    /// Sessions opened in what was lost, and told so.
    pub(crate) rolled_back: u64,
    /// Refreshes after a DURABLE revocation and within the bound.
    pub(crate) late: u64,
    pub(crate) lost: u64,
    pub(crate) signed_out: u64,
    pub(crate) over_bound: u64,
    /// Whatever else did not hold.
    pub(crate) other: u64,
}

impl Tally {
    /// Both together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            durable: self.durable + other.durable,
            stored: self.stored + other.stored,
            refreshed: self.refreshed + other.refreshed,
            unanswered: self.unanswered + other.unanswered,
            healed: self.healed + other.healed,
            rolled_back: self.rolled_back + other.rolled_back,
            late: self.late + other.late,
            lost: self.lost + other.lost,
            signed_out: self.signed_out + other.signed_out,
            over_bound: self.over_bound + other.over_bound,
            other: self.other + other.other,
        }
    }
}

#[derive(Clone, Debug)]
struct Session {
    opened: Ms,
    /// When its newest refresh token was answered.
    renewed: Ms,
    revoked: Option<(Level, Ms)>,
    is_gone: bool,
}

/// A fault that gave the store another history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Change {
    /// What was acknowledged in it may be lost.
    lost_from: Ms,
    /// `None`: it goes on.
    until: Option<Ms>,
}

impl Change {
    fn may_have_lost(self, at: Ms) -> bool {
        at >= self.lost_from && self.until.is_none_or(|until| at <= until)
    }

    /// Whether it was not over, for long enough, at this instant.
    fn is_felt_at(self, at: Ms) -> bool {
        self.until
            .is_none_or(|until| at < until.saturating_add(SETTLED_MS))
    }
}

/// Everything that was acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    sessions: BTreeMap<String, Session>,
    changes: Vec<Change>,
    tally: Tally,
    violations: Vec<Violation>,
}

impl History {
    /// A session with its grant was opened and answered.
    pub(crate) fn opened(&mut self, session: &str, at: Ms) {
        let session = session.to_owned();
        let new = Session {
            opened: at,
            renewed: at,
            revoked: None,
            is_gone: false,
        };
        self.sessions.insert(session, new);
    }

    /// The store gets another history; what was acknowledged from `lost_from` on may be lost.
    pub(crate) fn history_changes(&mut self, lost_from: Ms) {
        self.changes.push(Change {
            lost_from,
            until: None,
        });
    }

    /// From here on nothing more is lost by it.
    pub(crate) fn history_changed(&mut self, at: Ms) {
        for change in &mut self.changes {
            change.until.get_or_insert(at);
        }
    }

    /// A call was not answered, or was to be repeated.
    pub(crate) fn unanswered(&mut self) {
        self.tally.unanswered += 1;
    }

    /// Somebody asks to revoke it; from here on it may be revoked.
    pub(crate) fn revoking(&mut self, session: &str, sent: Ms) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.revoked.get_or_insert((Level::Unknown, sent));
        }
    }

    /// It was acknowledged.
    pub(crate) fn revoked(&mut self, session: &str, level: Level, at: Ms) {
        match level {
            Level::Durable => self.tally.durable += 1,
            Level::Stored => self.tally.stored += 1,
            Level::Unknown => {}
        }
        if let Some(session) = self.sessions.get_mut(session) {
            match &mut session.revoked {
                Some((known, _)) if *known >= level => {}
                known => *known = Some((level, at)),
            }
        }
    }

    /// A refresh that was sent then succeeded.
    pub(crate) fn refreshed(&mut self, name: &str, sent: Ms, answered: Ms, is_healed: bool) {
        self.tally.refreshed += 1;
        let Some(session) = self.sessions.get_mut(name) else {
            return;
        };
        let renewed = std::mem::replace(&mut session.renewed, answered);
        let revoked = session.revoked;
        if is_healed {
            self.tally.healed += 1;
            if !self.may_have_lost(renewed) {
                let told = format!("{name}: its token was answered at {renewed}, when nothing was lost");
                self.broken(Broken::HealedWithoutLoss, sent, told);
            }
        }
        let Some((level, at)) = revoked.filter(|(_, at)| sent > *at) else {
            return;
        };
        let late = sent.saturating_sub(at);
        let is_felt = self.is_felt(at, sent);
        let is_kept = match level {
            Level::Unknown => true,
            // A failover may lose what only the store had.
            Level::Stored => is_felt,
            Level::Durable => is_felt && late <= FAILOVER_BOUND_MS,
        };
        if !is_kept {
            let told = format!("{name}: refreshed {late} ms after its revocation was {level:?}");
            self.broken(Broken::OverBound, sent, told);
        } else if level == Level::Durable {
            self.tally.late += 1;
        }
    }

    /// A refresh that was sent then was refused for good.
    pub(crate) fn refused(&mut self, name: &str, sent: Ms, reason: &str) {
        let Some(session) = self.sessions.get_mut(name) else {
            return;
        };
        let (opened, is_over) = (session.opened, session.revoked.is_some() || session.is_gone);
        session.is_gone = true;
        if is_over {
            return;
        }
        if reason != ROLLED_BACK {
            let told = format!("{name}: refused as {reason}, and nobody revoked it");
            self.broken(Broken::SignedOut, sent, told);
        } else if self.may_have_lost(opened) {
            self.tally.rolled_back += 1;
        } else {
            let told = format!("{name}: told as rolled back, but opened at {opened}, when nothing was lost");
            self.broken(Broken::SignedOut, sent, told);
        }
    }

    /// A guard admitted a token of it.
    pub(crate) fn admitted(&mut self, name: &str, guard: &str, at: Ms) {
        let Some(since) = self.durable_since(name) else {
            return;
        };
        let late = at.saturating_sub(since);
        if late > GUARD_BOUND_MS {
            let told = format!("{name}: admitted by {guard} {late} ms after its revocation was Durable");
            self.broken(Broken::OverBound, at, told);
        }
    }

    /// With service back, the store still gives tokens for it, or calls it alive.
    pub(crate) fn lives_in_store(&mut self, name: &str, at: Ms) {
        if self.durable_since(name).is_some() {
            self.broken(Broken::LostInStore, at, format!("{name}: alive in the store"));
        }
    }

    /// With service back, a guard that is ready does not refuse it as revoked.
    pub(crate) fn lives_at_guard(&mut self, name: &str, guard: &str, at: Ms) {
        if self.durable_since(name).is_some() {
            self.broken(Broken::LostAtGuard, at, format!("{name}: not revoked at {guard}"));
        }
    }

    /// The instant since which its revocation is DURABLE.
    pub(crate) fn durable_since(&self, name: &str) -> Option<Ms> {
        match self.sessions.get(name)?.revoked? {
            (Level::Durable, at) => Some(at),
            (Level::Unknown | Level::Stored, _) => None,
        }
    }

    /// Another sentence did not hold.
    pub(crate) fn broken(&mut self, what: Broken, at_ms: Ms, told: String) {
        match what {
            Broken::LostInStore | Broken::LostAtGuard => self.tally.lost += 1,
            Broken::SignedOut => self.tally.signed_out += 1,
            Broken::OverBound => self.tally.over_bound += 1,
            Broken::HealedWithoutLoss | Broken::ZombieAnswered | Broken::NotBack => self.tally.other += 1,
        }
        self.violations.push(Violation { what, at_ms, told });
    }

    /// What happened since this was asked last.
    pub(crate) fn take(&mut self) -> (Tally, Vec<Violation>) {
        (
            std::mem::take(&mut self.tally),
            std::mem::take(&mut self.violations),
        )
    }

    /// Forgets a session: nobody asks about it any more.
    pub(crate) fn forget(&mut self, name: &str) {
        self.sessions.remove(name);
    }

    fn may_have_lost(&self, at: Ms) -> bool {
        self.changes.iter().any(|change| change.may_have_lost(at))
    }

    /// Whether some change was felt between two instants.
    fn is_felt(&self, from: Ms, at: Ms) -> bool {
        let mut changes = self.changes.iter();
        // A change that was over before the first says nothing about what came after.
        changes.any(|change| change.until.is_none_or(|until| until >= from) && change.is_felt_at(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(history: &mut History) -> Vec<Broken> {
        history
            .take()
            .1
            .into_iter()
            .map(|violation| violation.what)
            .collect()
    }

    fn opened() -> History {
        let mut history = History::default();
        history.opened("s", 1_000);
        history
    }

    fn durable() -> History {
        let mut history = opened();
        history.revoking("s", 1_900);
        history.revoked("s", Level::Durable, 2_000);
        history
    }

    #[test]
    fn a_refresh_after_a_durable_revocation_is_over_the_bound_unless_the_history_changes() {
        let mut history = durable();
        // It was on its way when the revocation was acknowledged.
        history.refreshed("s", 1_999, 2_100, false);
        assert_eq!(told(&mut history), []);
        history.refreshed("s", 2_001, 2_100, false);
        assert_eq!(told(&mut history), [Broken::OverBound]);

        history.history_changes(3_000);
        history.refreshed("s", 2_000 + FAILOVER_BOUND_MS, 20_000, false);
        let (tally, violations) = history.take();
        assert_eq!((tally.late, violations), (1, Vec::new()));
        history.refreshed("s", 2_001 + FAILOVER_BOUND_MS, 20_000, false);
        assert_eq!(told(&mut history), [Broken::OverBound]);
    }

    #[test]
    fn a_change_before_the_revocation_excuses_nothing_after_it() {
        let mut history = opened();
        history.history_changes(1_100);
        history.history_changed(1_200);
        history.revoked("s", Level::Durable, 2_000);
        history.refreshed("s", 2_001, 2_100, false);
        assert_eq!(told(&mut history), [Broken::OverBound]);
    }

    #[test]
    fn what_was_only_stored_may_be_lost_by_a_failover_and_by_nothing_else() {
        let mut history = opened();
        history.revoked("s", Level::Stored, 2_000);
        history.refreshed("s", 2_001, 2_100, false);
        assert_eq!(told(&mut history), [Broken::OverBound]);
        history.history_changes(2_200);
        history.refreshed("s", 2_300, 2_400, false);
        assert_eq!(told(&mut history), []);
        // Delivered later.
        history.revoked("s", Level::Durable, 3_000);
        assert_eq!(history.durable_since("s"), Some(3_000));
    }

    #[test]
    fn what_nobody_answered_binds_nobody() {
        let mut history = opened();
        history.revoking("s", 2_000);
        history.refreshed("s", 2_500, 2_600, false);
        history.lives_in_store("s", 3_000);
        history.refused("s", 3_100, "SESSION_ENDED");
        assert_eq!(told(&mut history), []);
    }

    #[test]
    fn a_client_that_is_refused_without_a_revocation_was_signed_out() {
        let mut history = opened();
        history.refused("s", 2_000, "REFRESH_REUSED");
        assert_eq!(told(&mut history), [Broken::SignedOut]);
    }

    #[test]
    fn a_session_is_rolled_back_only_where_it_was_opened_in_what_was_lost() {
        for (from, until, broken) in [
            (900, Some(1_500), None),
            (900, None, None),
            (1_001, None, Some(Broken::SignedOut)),
            (500, Some(999), Some(Broken::SignedOut)),
        ] {
            let mut history = opened();
            history.history_changes(from);
            if let Some(until) = until {
                history.history_changed(until);
            }
            history.refused("s", 2_000, ROLLED_BACK);
            let (tally, violations) = history.take();
            assert_eq!(violations.first().map(|violation| violation.what), broken);
            assert_eq!(tally.rolled_back, u64::from(broken.is_none()));
        }
    }

    #[test]
    fn a_rotation_is_healed_only_where_it_was_lost() {
        let mut history = opened();
        history.refreshed("s", 1_400, 1_500, false);
        history.refreshed("s", 2_000, 2_100, true);
        assert_eq!(told(&mut history), [Broken::HealedWithoutLoss]);
        history.history_changes(2_050);
        history.refreshed("s", 3_000, 3_100, true);
        let (tally, violations) = history.take();
        assert_eq!((tally.healed, violations), (1, Vec::new()));
    }

    #[test]
    fn a_durable_revocation_that_holds_no_more_is_lost_wherever_it_does_not() {
        let mut history = durable();
        history.lives_in_store("s", 9_000);
        history.lives_at_guard("s", "hub", 9_000);
        let (tally, violations) = history.take();
        let whats: Vec<_> = violations.iter().map(|violation| violation.what).collect();
        assert_eq!(whats, [Broken::LostInStore, Broken::LostAtGuard]);
        assert_eq!(tally.lost, 2);
    }

    #[test]
    fn a_guard_may_admit_until_its_bound_and_no_longer() {
        let mut history = durable();
        history.admitted("s", "hub", 2_000 + GUARD_BOUND_MS);
        assert_eq!(told(&mut history), []);
        history.admitted("s", "hub", 2_001 + GUARD_BOUND_MS);
        assert_eq!(told(&mut history), [Broken::OverBound]);
        let mut history = opened();
        history.admitted("s", "hub", 90_000);
        assert_eq!(told(&mut history), [], "nobody revoked it");
    }

    #[test]
    fn whatever_else_breaks_is_told_and_counted() {
        let mut history = History::default();
        history.broken(Broken::ZombieAnswered, 1, "a commit".to_owned());
        history.broken(Broken::NotBack, 1, "after 60 s".to_owned());
        let (tally, violations) = history.take();
        assert_eq!((tally.other, violations.len()), (2, 2));
        assert_eq!(history.take(), (Tally::default(), Vec::new()), "taken once");
    }
}
