//! The samples hold every kind, and nothing that no reader would accept.

use std::collections::{BTreeMap, BTreeSet};

use curfew_core::record::LogRecord;
use curfew_core::stored::Record;

use crate::testing::{sample_log_records, sample_records};

/// How many samples the kind needs: with every field set and with none, where some may be absent.
const fn least(record: &Record) -> (&'static str, usize) {
    match record {
        Record::Partition(_) => ("partition", 1),
        Record::Sequence(_) => ("sequence", 1),
        Record::Checkpoint(_) => ("checkpoint", 1),
        Record::Session(_) => ("session", 2),
        Record::Gate(_) => ("gate", 2),
        Record::Ledger(_) => ("ledger", 2),
        Record::Tombstone(_) => ("tombstone", 1),
        Record::Operation(_) => ("operation", 2),
        Record::SingleUse(_) => ("single use", 5),
        Record::Outbox(_) => ("outbox", 2),
        Record::DirectoryVersion => ("directory version", 1),
        Record::LogIdentity(_) => ("log identity", 1),
        Record::Lifetimes(_) => ("lifetimes", 1),
        Record::WideMark(_) => ("wide mark", 2),
        Record::Tenant(_) => ("tenant", 2),
        Record::Client(_) => ("client", 2),
        Record::Resource(_) => ("resource", 2),
        Record::Issuer(_) => ("issuer", 2),
        Record::Caller(_) => ("caller", 2),
        Record::RingKey(_) => ("key", 2),
        Record::Lease(_) => ("lease", 2),
    }
}

#[test]
fn every_kind_of_stored_record_has_its_samples_under_distinct_keys() {
    const KINDS: usize = 21;
    let samples = sample_records();
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for (_, record) in &samples {
        *counts.entry(least(record)).or_default() += 1;
    }
    assert_eq!(counts.len(), KINDS, "{counts:?}");
    for ((kind, least), count) in counts {
        assert!(count >= least, "{kind}: {count} of {least}");
    }
    let keys: BTreeSet<_> = samples.iter().map(|(key, _)| key.to_bytes()).collect();
    assert_eq!(keys.len(), samples.len());
}

#[test]
fn every_kind_of_log_record_has_its_samples_and_revocations_are_valid() {
    let mut kinds = BTreeSet::new();
    let samples = sample_log_records();
    for record in &samples {
        kinds.insert(match record {
            LogRecord::Revocation(revocation) => {
                assert_eq!(revocation.validate(), Ok(()));
                "revocation"
            }
            LogRecord::Heartbeat(_) => "heartbeat",
            LogRecord::SubjectState(_) => "subject state",
            LogRecord::Directory(_) => "directory",
            LogRecord::Skip(_) => "skip",
            LogRecord::Unknown(_) | LogRecord::Withheld => panic!("no sample of what no log holds"),
        });
    }
    assert_eq!(kinds.len(), 5);
    let ids: BTreeSet<_> = samples.iter().filter_map(LogRecord::event_id).collect();
    assert_eq!(
        ids.len(),
        samples
            .iter()
            .filter(|record| record.event_id().is_some())
            .count()
    );
}
