//! Proptest strategies for what is stored and logged.

mod rows;

use std::sync::Arc;

use curfew_core::ids::{
    Cause, GrantId, IssuerId, OperationId, RecordId, SessionId, SubjectId, SubjectKey, TenantId,
};
use curfew_core::place::{Incarnation, LogIdentity, LogPartition, Partition};
use curfew_core::record::{
    Before, Criterion, DirectoryChange, Heartbeat, Initiator, LogRecord, OperationRef, PreviousHeartbeat,
    Revocation, Skip, SubjectChange, SubjectState,
};
use curfew_core::time::Millis;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

pub(crate) use rows::{entry, gate, row};

fn ms() -> impl Strategy<Value = Millis> {
    prop_oneof![Just(0), 1..(1_i64 << 47), any::<i64>()].prop_map(Millis::from_unix_ms)
}

fn birth() -> impl Strategy<Value = Millis> {
    (0_i64..(1 << 47)).prop_map(Millis::from_unix_ms)
}

fn partition() -> impl Strategy<Value = Partition> {
    (0_u16..1_024).prop_map(|number| Partition::new(number).unwrap())
}

fn session_id() -> impl Strategy<Value = SessionId> {
    (birth(), partition(), any::<[u8; 8]>()).prop_map(|(birth, at, random)| SessionId::new(birth, at, random))
}

fn grant_id() -> impl Strategy<Value = GrantId> {
    (birth(), partition(), any::<[u8; 8]>()).prop_map(|(birth, at, random)| GrantId::new(birth, at, random))
}

fn record_id() -> impl Strategy<Value = RecordId> {
    any::<[u8; 16]>().prop_map(RecordId::from_bytes)
}

fn tenant_id() -> impl Strategy<Value = TenantId> {
    any::<[u8; 16]>().prop_map(TenantId::from_bytes)
}

/// Never empty: an empty text of an optional field is an absent one.
fn text() -> impl Strategy<Value = Arc<str>> {
    "[^\\pC]{1,12}".prop_map(Into::into)
}

fn cause() -> impl Strategy<Value = Cause> {
    "[a-z0-9_.-]{1,64}".prop_map(|text| Cause::new(&text).unwrap())
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    any::<[u8; 8]>().prop_map(Incarnation)
}

fn initiator() -> impl Strategy<Value = Initiator> {
    prop_oneof![
        Just(Initiator::User),
        Just(Initiator::Admin),
        Just(Initiator::Policy),
        Just(Initiator::System)
    ]
}

fn operation() -> impl Strategy<Value = Option<OperationRef>> {
    let some = (any::<[u8; 16]>(), any::<[u8; 32]>());
    of(some.prop_map(|(id, request_hash)| OperationRef {
        id: OperationId::from_bytes(id),
        request_hash,
    }))
}

fn log_identity() -> impl Strategy<Value = LogIdentity> {
    (any::<[u8; 16]>(), 0_u32..=10).prop_map(|(id, log2)| LogIdentity::new(id, 1 << log2).unwrap())
}

fn all_of() -> impl Strategy<Value = Vec<Criterion>> {
    proptest::collection::btree_map("[a-z.]{1,8}", text(), 1..=4).prop_map(|claims| {
        claims
            .into_iter()
            .map(|(claim, value)| Criterion {
                claim: claim.into(),
                value,
            })
            .collect()
    })
}

/// `before` and `except`, as far ahead of the decision as is permitted at most.
fn cut() -> impl Strategy<Value = (Option<(&'static str, i64)>, Vec<SessionId>)> {
    let claim = prop_oneof![Just("sid"), Just("gid"), Just("iat"), Just("auth_time")];
    let some = (claim, -1_000_000_i64..=10_000, vec(session_id(), 0..4));
    of(some).prop_map(|cut| match cut {
        None => (None, Vec::new()),
        Some((claim, ahead, except)) => (Some((claim, ahead)), except),
    })
}

pub(crate) fn revocation() -> impl Strategy<Value = Revocation> {
    let ids = (record_id(), operation(), tenant_id(), any::<[u8; 16]>());
    let what = (all_of(), cut(), ms(), birth(), cause(), initiator());
    let place = (
        partition(),
        any::<bool>(),
        any::<u64>(),
        of(incarnation()),
        of(any::<[u8; 8]>()),
    );
    let rest = (of(session_id()), text(), of(text()));
    (ids, what, place, rest).prop_map(|(ids, what, place, rest)| {
        let (id, operation, tenant, issuer) = ids;
        let (all_of, (before, except), keep_until, decided_at, cause, initiator) = what;
        let (home, wide, sequence, incarnation, subject_key) = place;
        let (row, scope, correlation_id) = rest;
        let before = before
            .map(|(claim, ahead)| Before {
                claim: claim.into(),
                instant: decided_at.plus_ms(ahead),
            })
            .filter(|_| all_of.iter().all(|criterion| &*criterion.claim != "jose.kid"));
        let except = if before.is_some() { except } else { Vec::new() };
        Revocation {
            id,
            operation,
            tenant,
            issuer: IssuerId::from_bytes(issuer),
            all_of,
            before,
            except,
            keep_until,
            decided_at,
            cause,
            initiator,
            home,
            wide,
            sequence,
            incarnation,
            subject_key: subject_key.map(SubjectKey),
            row,
            scope,
            correlation_id,
            trace: None,
        }
    })
}

fn subject() -> impl Strategy<Value = SubjectId> {
    "[^\\pC]{1,40}".prop_map(|text| SubjectId::new(&text).unwrap())
}

pub(crate) fn log_record() -> impl Strategy<Value = LogRecord> {
    let heartbeat = (
        (record_id(), log_identity(), ms(), text()),
        (any::<i64>(), of((record_id(), any::<u64>()))),
    );
    let heartbeat = heartbeat.prop_map(|((id, log, stamp, emitter), (interval_ms, previous))| {
        let previous = previous.map(|(id, records_between)| PreviousHeartbeat { id, records_between });
        LogRecord::Heartbeat(Heartbeat {
            id,
            log,
            stamp,
            emitter,
            interval_ms,
            previous,
        })
    });
    let change = prop_oneof![
        Just(SubjectChange::Disable),
        vec(record_id(), 0..4).prop_map(|lifts| SubjectChange::Enable { lifts }),
    ];
    let state = (
        (record_id(), operation(), tenant_id(), subject(), any::<[u8; 8]>()),
        (
            partition(),
            any::<u64>(),
            of(incarnation()),
            change,
            ms(),
            cause(),
        ),
    );
    let state = state.prop_map(|(who, what)| {
        let (id, operation, tenant, subject, subject_key) = who;
        let (partition, sequence, incarnation, change, decided_at, cause) = what;
        LogRecord::SubjectState(Arc::new(SubjectState {
            id,
            operation,
            tenant,
            subject,
            subject_key: SubjectKey(subject_key),
            partition,
            sequence,
            incarnation,
            change,
            decided_at,
            cause,
            trace: None,
        }))
    });
    let body = of(vec(any::<u8>(), 0..40));
    let directory = (
        record_id(),
        operation(),
        text(),
        ms(),
        body,
        any::<u64>(),
        of(incarnation()),
    );
    let directory = directory.prop_map(|(id, operation, name, version, body, sequence, incarnation)| {
        let change = DirectoryChange {
            id,
            operation,
            name,
            version,
            body,
            sequence,
            incarnation,
            trace: None,
        };
        LogRecord::Directory(Arc::new(change))
    });
    let skip = (
        log_identity(),
        0_u16..1_024,
        any::<u64>(),
        any::<[u8; 32]>(),
        text(),
        text(),
    );
    let skip = skip.prop_map(|(log, partition, offset, record_hash, by, reason)| {
        LogRecord::Skip(Skip {
            log,
            partition: LogPartition(partition),
            offset,
            record_hash,
            by,
            reason,
        })
    });
    let revocation = revocation().prop_map(|revocation| LogRecord::Revocation(Arc::new(revocation)));
    let record = prop_oneof![revocation, heartbeat, state, directory, skip];
    let trace = of("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]");
    (record, trace).prop_map(|(mut record, trace)| {
        if let Some(trace) = trace {
            record.set_trace(&trace.into());
        }
        record
    })
}
