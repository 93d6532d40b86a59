//! Entries of the index as the hub's feed carries them, and the checksum of a snapshot.
//!
//! **Invariant:** an entry that cannot be read whole is refused: a reader starts again, it does not
//! go on with less.

use curfew_core::cutoff::CutOff;
use curfew_core::ids::{IssuerId, RecordId, TenantId};
use curfew_core::index::{Entry, Winner};
use curfew_core::mac::sha256;
use curfew_core::record::validate_criteria;
use curfew_core::time::Millis;
use curfew_proto::revocation::v1 as feed;
use curfew_proto::revocation::v1::snapshot_entry::Element;

use crate::error::DecodeError;
use crate::field::{Decoded, each, id, message, ms, session_id, text};
use crate::revocation::{decode_criteria, decode_initiator, encode_criteria, encode_initiator};

/// One element of the index, for the feed.
#[must_use]
pub fn encode_entry(entry: &Entry) -> feed::SnapshotEntry {
    let element = match &entry.cut {
        None => Element::Plain(feed::Plain {}),
        Some((claim, cut_off)) => Element::Cut(feed::Cut {
            claim: claim.to_string(),
            default_ms: cut_off.default_instant().as_unix_ms(),
            own: cut_off
                .own_instants()
                .map(|(sid, instant)| feed::OwnInstant {
                    sid: sid.as_bytes().to_vec(),
                    instant_ms: instant.as_unix_ms(),
                })
                .collect(),
        }),
    };
    feed::SnapshotEntry {
        tenant: entry.tenant.as_bytes().to_vec(),
        issuer: entry.issuer.as_bytes().to_vec(),
        all_of: encode_criteria(&entry.all_of),
        keep_until_ms: entry.keep_until.as_unix_ms(),
        winner_id: entry.winner.id.as_bytes().to_vec(),
        cause: entry.winner.cause.to_string(),
        initiator: encode_initiator(entry.winner.initiator).into(),
        decided_at_ms: entry.winner.decided_at.as_unix_ms(),
        element: Some(element),
        ..Default::default()
    }
}

/// The element of the index that a feed's entry is.
pub fn decode_entry(entry: feed::SnapshotEntry) -> Decoded<Entry> {
    let all_of = decode_criteria(entry.all_of);
    validate_criteria(&all_of).map_err(|error| DecodeError::invalid("all_of", error))?;
    let cut = message(entry.element, "element", |element| match element {
        Element::Plain(feed::Plain {}) => Ok(None),
        Element::Cut(cut) => {
            if !matches!(&*cut.claim, "sid" | "gid" | "iat" | "auth_time") {
                return Err(DecodeError::unknown("claim", cut.claim));
            }
            let default = ms(cut.default_ms);
            let own = each(cut.own, "own", |own| {
                if ms(own.instant_ms) >= default {
                    return Err(DecodeError::invalid("instant_ms", "not below the default"));
                }
                Ok((session_id(&own.sid, "sid")?, ms(own.instant_ms)))
            })?;
            Ok(Some((cut.claim.into(), CutOff::from_parts(default, own))))
        }
    })?;
    Ok(Entry {
        tenant: id(&entry.tenant, "tenant", TenantId::from_bytes)?,
        issuer: id(&entry.issuer, "issuer", IssuerId::from_bytes)?,
        all_of,
        cut,
        keep_until: ms(entry.keep_until_ms),
        winner: Winner {
            id: id(&entry.winner_id, "winner_id", RecordId::from_bytes)?,
            cause: text(&entry.cause, "cause")?,
            initiator: decode_initiator(entry.initiator, "initiator")?,
            decided_at: ms(entry.decided_at_ms),
        },
    })
}

/// What `SnapshotEnd` holds against a frame that was lost or changed: sender and reader feed it alike.
///
/// SHA-256 over, in the order sent, each entry's `winner_id` and `keep_until_ms` (8 bytes,
/// big-endian) and each raw record's bytes.
#[derive(Clone, Debug, Default)]
pub struct SnapshotSum {
    // The whole input of the hash: 24 bytes an entry, 24 MB for a million of them.
    fed: Vec<u8>,
    count: u64,
}

impl SnapshotSum {
    /// An entry was sent or received.
    pub fn entry(&mut self, winner: RecordId, keep_until: Millis) {
        self.fed.extend_from_slice(winner.as_bytes());
        self.fed.extend_from_slice(&keep_until.as_unix_ms().to_be_bytes());
        self.count += 1;
    }

    /// A record that the sender cannot read was sent or received.
    pub fn raw(&mut self, raw: &[u8]) {
        self.fed.extend_from_slice(raw);
        self.count += 1;
    }

    /// How many entries and raw records there were, and the checksum over them.
    #[must_use]
    pub fn end(self) -> (u64, [u8; 32]) {
        (self.count, sha256(&self.fed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    proptest! {
        #[test]
        fn every_entry_round_trips(entry in strategies::entry()) {
            prop_assert_eq!(decode_entry(encode_entry(&entry)).unwrap(), entry);
        }

        #[test]
        fn a_snapshot_covers_what_its_index_covers(records in proptest::collection::vec(strategies::revocation(), 0..8)) {
            let (mut index, mut copy) = (curfew_core::index::Index::default(), curfew_core::index::Index::default());
            records.iter().for_each(|record| index.insert(record));
            for entry in index.entries() {
                copy.insert_entry(decode_entry(encode_entry(&entry)).unwrap());
            }
            prop_assert_eq!(copy, index);
        }
    }

    #[test]
    fn an_entry_is_refused_by_the_name_of_its_field() {
        let record = curfew_ports::testing::samples::sample_revocation(1);
        let refused = |change: &dyn Fn(&mut feed::SnapshotEntry)| {
            let mut entry = encode_entry(&Entry::of(&record));
            change(&mut entry);
            decode_entry(entry).unwrap_err().to_string()
        };
        assert_eq!(refused(&|e| e.element = None), "field `element` is missing");
        assert_eq!(refused(&|e| e.winner_id.clear()), "field `winner_id` is missing");
        assert_eq!(
            refused(&|e| e.all_of.clear()),
            "field `all_of` is invalid: `all_of` is empty"
        );
        let cut = feed::Cut {
            claim: "jti".to_owned(),
            ..Default::default()
        };
        let unknown = Some(Element::Cut(cut));
        assert_eq!(
            refused(&|e| e.element = unknown.clone()),
            "field `element.claim` has the unknown value jti"
        );
    }

    #[test]
    fn a_sum_tells_a_lost_a_changed_and_a_swapped_frame() {
        let (a, b) = (RecordId::from_bytes([1; 16]), RecordId::from_bytes([2; 16]));
        let sum = |frames: &[RecordId]| {
            let mut sum = SnapshotSum::default();
            frames.iter().for_each(|id| sum.entry(*id, ms(5)));
            sum.raw(b"raw");
            sum.end()
        };
        assert_eq!(sum(&[a, b]), sum(&[a, b]));
        assert_eq!(sum(&[a, b]).0, 3);
        assert_ne!(sum(&[a, b]), sum(&[b, a]));
        assert_ne!(sum(&[a, b]), sum(&[a]));
    }
}
