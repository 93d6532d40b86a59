//! What a new log is told after the one before was lost, so that its readers deny what the old one's did.
//!
//! **Invariant 7:** the records that come out deny exactly what the marks that went in deny.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::decide::{cause, in_whole_units};
use crate::ids::{IssuerId, RecordId, SessionId, TenantId};
use crate::index::{Entry, Index};
use crate::mac::Entropy;
use crate::place::Partition;
use crate::record::{Before, Criterion, EXCEPT_MAX, Initiator, Revocation};
use crate::time::{KEEP_SLACK_MS, Millis};

/// The marks of an index that these records do not give, as records of their own.
///
/// Whoever wrote the original knew which row it ended; that is told by its copies alone.
pub fn rest_of(
    index: &Index,
    told: &[&Revocation],
    home: Partition,
    entropy: &mut Entropy,
) -> Vec<Revocation> {
    let mut known = Index::default();
    told.iter().for_each(|revocation| known.insert(revocation));
    let known: HashMap<_, _> = known
        .entries()
        .map(|entry| (place_of(&entry), entry.cut))
        .collect();
    let unknown = index
        .entries()
        .filter(|entry| known.get(&place_of(entry)) != Some(&entry.cut));
    unknown
        .flat_map(|entry| records_of(&entry, home, entropy))
        .collect()
}

/// What one mark is about.
type Place = (TenantId, IssuerId, Vec<Criterion>, Option<Arc<str>>);

fn place_of(entry: &Entry) -> Place {
    let claim = entry.cut.as_ref().map(|(claim, _)| claim.clone());
    (entry.tenant, entry.issuer, entry.all_of.clone(), claim)
}

/// One mark as records: one for each instant that holds for some session, sparing those for which a lower one does.
fn records_of(entry: &Entry, home: Partition, entropy: &mut Entropy) -> Vec<Revocation> {
    let Some((claim, cut_off)) = &entry.cut else {
        return vec![record_of(entry, entry.winner.id, None, Vec::new(), home)];
    };
    let own: Vec<_> = cut_off.own_instants().collect();
    let mut instants: BTreeSet<Millis> = own.iter().map(|(_, instant)| *instant).collect();
    instants.insert(cut_off.default_instant());
    let mut records = Vec::new();
    for instant in instants.into_iter().filter(|instant| *instant > Millis::ZERO) {
        let spared = own.iter().filter(|(_, own)| *own < instant);
        // A session that was born after it is alive without being spared.
        let spared = spared.filter(|(sid, _)| &**claim != "sid" || sid.birth() < instant);
        let mut spared: Vec<_> = spared.map(|(sid, _)| *sid).collect();
        // A record spares so many and no more; the newest are the likeliest to be in use.
        spared.sort_unstable_by_key(|sid| std::cmp::Reverse(sid.birth()));
        spared.truncate(EXCEPT_MAX);
        spared.sort_unstable();
        let is_whole = instant == cut_off.default_instant();
        let id = match is_whole {
            true => entry.winner.id,
            false => RecordId::from_random(entropy.draw()),
        };
        let before = Before {
            claim: claim.clone(),
            instant,
        };
        records.push(record_of(entry, id, Some(before), spared, home));
    }
    records
}

fn record_of(
    entry: &Entry,
    id: RecordId,
    before: Option<Before>,
    except: Vec<SessionId>,
    home: Partition,
) -> Revocation {
    Revocation {
        id,
        operation: None,
        tenant: entry.tenant,
        issuer: entry.issuer,
        all_of: entry.all_of.clone(),
        before,
        except,
        keep_until: entry.keep_until,
        decided_at: entry.winner.decided_at,
        cause: entry.winner.cause.clone(),
        initiator: entry.winner.initiator,
        home,
        wide: false,
        sequence: 0,
        incarnation: None,
        subject_key: None,
        row: None,
        scope: "handed_over".into(),
        correlation_id: None,
        trace: None,
    }
}

/// The record that ends every access token of an issuer entry that was issued before now, where nobody is left who
/// knows which were revoked: clients refresh, and nobody is signed out.
#[must_use]
pub fn issued_before(
    tenant: TenantId,
    issuer: IssuerId,
    all_of: Criterion,
    keep_ms: i64,
    now: Millis,
    entropy: &mut Entropy,
) -> Revocation {
    Revocation {
        id: RecordId::from_random(entropy.draw()),
        operation: None,
        tenant,
        issuer,
        all_of: vec![all_of],
        before: Some(Before {
            claim: "iat".into(),
            instant: in_whole_units(now.plus_ms(1), "iat"),
        }),
        except: Vec::new(),
        keep_until: now.plus_ms(keep_ms.saturating_add(KEEP_SLACK_MS)),
        decided_at: now,
        cause: cause::log_lost(),
        initiator: Initiator::Admin,
        home: Partition::DIRECTORY,
        wide: true,
        sequence: 0,
        incarnation: None,
        subject_key: None,
        row: None,
        scope: "issued_before".into(),
        correlation_id: None,
        trace: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::JsonClaims;
    use crate::cutoff::CutOff;
    use crate::index::Winner;
    use proptest::prelude::*;
    use serde_json::json;

    const TENANT: TenantId = TenantId::from_bytes([3; 16]);

    fn sid(n: u8) -> SessionId {
        SessionId::new(
            Millis::from_unix_ms(i64::from(n) * 10),
            Partition::DIRECTORY,
            [n; 8],
        )
    }

    fn marks() -> impl Strategy<Value = Index> {
        let own = proptest::collection::vec((0_u8..6, -1_i64..60), 0..4);
        let one = (0_u8..3, proptest::option::of((1_i64..60, own)));
        proptest::collection::vec(one, 0..8).prop_map(|marks| {
            let mut index = Index::default();
            for (value, cut) in marks {
                let cut = cut.map(|(default, own)| {
                    let own = own.into_iter().map(|(n, at)| (sid(n), Millis::from_unix_ms(at)));
                    (
                        "sid".into(),
                        CutOff::from_parts(Millis::from_unix_ms(default), own),
                    )
                });
                index.insert_entry(Entry {
                    tenant: TENANT,
                    issuer: TENANT.own_issuer(),
                    all_of: vec![Criterion::new("oid", value.to_string())],
                    cut,
                    keep_until: Millis::MAX,
                    winner: Winner {
                        id: RecordId::from_bytes([value; 16]),
                        cause: cause::log_lost(),
                        initiator: Initiator::User,
                        decided_at: Millis::from_unix_ms(60),
                    },
                });
            }
            index
        })
    }

    proptest! {
        #[test]
        fn q33_what_is_handed_over_denies_exactly_what_the_index_denies(index in marks(), seed in any::<[u8; 32]>()) {
            let mut entropy = Entropy::new(seed);
            let mut heard = Index::default();
            for record in rest_of(&index, &[], Partition::DIRECTORY, &mut entropy) {
                prop_assert_eq!(record.validate(), Ok(()));
                heard.insert(&record);
            }
            for (subject, session) in (0_u8..3).flat_map(|subject| (0_u8..7).map(move |n| (subject, n))) {
                let claims = json!({"oid": subject.to_string(), "sid": sid(session).to_string()});
                let claims = JsonClaims::own(claims.as_object().unwrap(), None).unwrap();
                let is_covered = |index: &Index| {
                    index.covered(TENANT, TENANT.own_issuer(), &claims).unwrap().is_some()
                };
                prop_assert_eq!(is_covered(&heard), is_covered(&index), "{} {}", subject, session);
            }
        }
    }

    #[test]
    fn what_its_own_records_give_is_not_told_twice() {
        let mut entropy = Entropy::new([1; 32]);
        let now = Millis::from_unix_ms(1_000_500);
        let all_of = Criterion::new("tid", TENANT.to_string());
        let record = issued_before(TENANT, TENANT.own_issuer(), all_of, 1, now, &mut entropy);
        record.validate().unwrap();
        let mut index = Index::default();
        index.insert(&record);
        assert!(rest_of(&index, &[&record], Partition::DIRECTORY, &mut entropy).is_empty());
        assert_eq!(rest_of(&index, &[], Partition::DIRECTORY, &mut entropy).len(), 1);
        let before = record.before.as_ref().unwrap();
        assert_eq!(
            (&*before.claim, before.instant),
            ("iat", Millis::from_unix_ms(1_001_000))
        );
    }
}
