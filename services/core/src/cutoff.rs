//! Cut-offs: "everything born before B is dead", with exceptions, as a join-semilattice.
//!
//! An exception holds against its own record only, so an element is one default instant and, for
//! each excepted session, a lower one of its own; the join is the pointwise maximum
//! (DESIGN section 4; `reference` finding Q1).
//!
//! **Invariant:** join is commutative, associative and idempotent; there is no way back.

use std::collections::BTreeMap;

use crate::ids::SessionId;
use crate::time::Millis;

/// Older than every birth: what an absent instant counts as, and what bottom holds.
const OLDEST: Millis = Millis::from_unix_ms(-1);

/// A cut-off as gate, index and snapshot keep it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutOff {
    default: Millis,
    own: BTreeMap<SessionId, Millis>,
}

impl CutOff {
    /// Covers nothing.
    #[must_use]
    pub const fn bottom() -> Self {
        Self {
            default: OLDEST,
            own: BTreeMap::new(),
        }
    }

    /// What one record says: everything before `before` is dead, but the excepted sessions.
    pub fn of_record(before: Millis, except: impl IntoIterator<Item = SessionId>) -> Self {
        Self::from_parts(before, except.into_iter().map(|sid| (sid, OLDEST)))
    }

    /// From its stored parts; own instants that are not lower than the default say nothing and go.
    pub fn from_parts(default: Millis, own: impl IntoIterator<Item = (SessionId, Millis)>) -> Self {
        let own = own
            .into_iter()
            .filter(|(_, instant)| *instant < default)
            .collect();
        Self { default, own }
    }

    /// The instant that holds for every session without one of its own.
    #[must_use]
    pub const fn default_instant(&self) -> Millis {
        self.default
    }

    /// The lower instants of excepted sessions.
    pub fn own_instants(&self) -> impl ExactSizeIterator<Item = (SessionId, Millis)> + '_ {
        self.own.iter().map(|(sid, instant)| (*sid, *instant))
    }

    /// The instant that holds for this session.
    #[must_use]
    pub fn instant_for(&self, session: Option<SessionId>) -> Millis {
        session
            .and_then(|sid| self.own.get(&sid).copied())
            .unwrap_or(self.default)
    }

    /// The pointwise maximum.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let default = self.default.max(other.default);
        let own = self.own.keys().chain(other.own.keys()).map(|sid| {
            (
                *sid,
                self.instant_for(Some(*sid)).max(other.instant_for(Some(*sid))),
            )
        });
        Self::from_parts(default, own)
    }

    /// Whether what was born at `born` (absent counts as older than everything) is dead.
    #[must_use]
    pub fn is_dead(&self, born: Option<Millis>, session: Option<SessionId>) -> bool {
        let instant = self.instant_for(session);
        // Bottom and a session excepted from every record cover nothing, not even what has no birth.
        instant > OLDEST && born.is_none_or(|born| born < instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Partition;
    use proptest::prelude::*;

    fn sid(n: u8) -> SessionId {
        SessionId::new(Millis::from_unix_ms(5), Partition::DIRECTORY, [n; 8])
    }

    fn records() -> impl Strategy<Value = Vec<(i64, Vec<u8>)>> {
        proptest::collection::vec((1_i64..12, proptest::collection::vec(0_u8..3, 0..3)), 0..6)
    }

    fn element((before, except): &(i64, Vec<u8>)) -> CutOff {
        CutOff::of_record(Millis::from_unix_ms(*before), except.iter().map(|n| sid(*n)))
    }

    proptest! {
        #[test]
        fn q1_the_join_denies_exactly_what_some_record_denies(records in records(), shuffle in any::<u64>()) {
            let joined = records.iter().map(element).fold(CutOff::bottom(), |a, b| a.join(&b));
            let mut other = records.clone();
            other.extend(records.iter().take(3).cloned());
            other.sort_by_key(|(b, e)| crate::mac::sha256(format!("{shuffle}{b}{e:?}").as_bytes()));
            let shuffled = other.iter().map(element).fold(CutOff::bottom(), |a, b| b.join(&a));
            prop_assert_eq!(&joined, &shuffled);
            for n in 0..4 {
                for birth in 0..13 {
                    let dead = records.iter().any(|(b, except)| birth < *b && !except.contains(&n));
                    prop_assert_eq!(joined.is_dead(Some(Millis::from_unix_ms(birth)), Some(sid(n))), dead);
                }
            }
        }
    }

    #[test]
    fn q1_an_exception_is_no_way_back_from_an_earlier_cut_off() {
        let first = CutOff::of_record(Millis::from_unix_ms(10), []);
        let second = CutOff::of_record(Millis::from_unix_ms(20), [sid(1)]);
        let both = first.join(&second);
        assert!(both.is_dead(Some(Millis::from_unix_ms(5)), Some(sid(1))));
        assert!(!both.is_dead(Some(Millis::from_unix_ms(15)), Some(sid(1))));
        assert!(both.is_dead(Some(Millis::from_unix_ms(15)), Some(sid(2))));
    }

    #[test]
    fn what_has_no_birth_is_older_than_every_cut_off() {
        assert!(CutOff::of_record(Millis::from_unix_ms(1), []).is_dead(None, None));
        assert!(!CutOff::bottom().is_dead(None, None));
    }
}
