//! Changes of the directory: records, and keys of the ring.
//!
//! Each change is a commit of the directory and a record of the log with the sealed body, so that a
//! directory recovers as revocations do (Q4).
//!
//! **Invariant:** revoking the signing key activates the standby in the same commit (P18); a key is
//! revoked for every tenant's tokens at once.

use std::sync::Arc;

use crate::decide::{Book, Context, Draft, Motive, Verdict};
use crate::directory::{KeyRecord, KeyState, KeyUse, WideMark};
use crate::ids::KeyId;
use crate::mac::Entropy;
use crate::record::{
    Criterion, DirectoryChange, JOSE_KID_CLAIM, LogRecord, OperationRef, Outgoing, Revocation,
};
use crate::refusal::{Reason, Refusal, Stage};
use crate::stored::{Decision, Key, Record, Write};
use crate::time::Millis;

/// A directory record and its sealed form for the log.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Its key.
    pub key: Key,
    /// The record.
    pub record: Record,
    /// The same, sealed under the root key, bound to its name.
    pub body: Vec<u8>,
}

impl Book<'_> {
    /// Writes a directory record, and tells the log.
    pub fn change_directory(&mut self, sealed: Sealed, operation: Option<OperationRef>) {
        let id = self.record_id();
        if let Some(name) = sealed.key.directory_name() {
            let change = DirectoryChange {
                id,
                operation,
                name: name.into(),
                version: self.context.now,
                body: Some(sealed.body),
                sequence: self.next_sequence(),
                incarnation: Some(self.context.incarnation),
                trace: None,
            };
            let record = LogRecord::Directory(Arc::new(change));
            self.publish(Outgoing {
                home: self.context.partition,
                wide: false,
                record,
            });
        }
        self.write(sealed.key, Write::put(sealed.record));
        self.write(Key::DirectoryVersion, Write::put(Record::DirectoryVersion));
    }
}

/// Creates records that must not be there yet; `exists` says which is, if one is.
pub fn create(
    context: &Context<'_>,
    records: Vec<Sealed>,
    exists: Option<&Key>,
    operation: Option<OperationRef>,
    entropy: &mut Entropy,
    result: impl FnOnce() -> Vec<u8>,
) -> Decision<Verdict<()>> {
    if let Some(key) = exists {
        let refusal = Refusal::new(Stage::Request, Reason::AlreadyExists).about(format!("{key:?}"));
        return Decision::of(context.partition, Verdict::Refused(refusal));
    }
    let mut book = Book::new(context, entropy);
    for sealed in records {
        book.change_directory(sealed, operation);
    }
    book.remember(context.tenant.id, operation, result());
    book.close(Verdict::Granted(()))
}

/// The states of a ring after a rotation: the standby becomes active, the active only verifies.
///
/// `None`: no standby of this use may be used yet. A key signs once its JWKS is older than `age_ms` and its record has
/// been DURABLE for longer than `enforced_ms`, the largest bound of whoever must have heard of it: both end by time.
#[must_use]
pub fn rotated(
    keys: &[&KeyRecord],
    key_use: KeyUse,
    age_ms: i64,
    enforced_ms: i64,
    now: Millis,
) -> Option<Vec<KeyRecord>> {
    let is_enforced = |key: &KeyRecord| {
        let since = key.durable_at.map(|durable| now.ms_since(durable));
        since.is_some_and(|since| since >= enforced_ms)
    };
    let standby = keys
        .iter()
        .filter(|key| key.key_use == key_use && key.state == KeyState::Standby)
        .filter(|key| now.ms_since(key.published_at) >= age_ms && is_enforced(key))
        .min_by_key(|key| key.published_at)?;
    Some(promoted(keys, key_use, standby, KeyState::VerifyOnly, now))
}

fn promoted(
    keys: &[&KeyRecord],
    key_use: KeyUse,
    standby: &KeyRecord,
    retired: KeyState,
    now: Millis,
) -> Vec<KeyRecord> {
    let active = keys
        .iter()
        .filter(|key| key.key_use == key_use && key.state == KeyState::Active);
    let mut changed: Vec<KeyRecord> = active
        .map(|key| KeyRecord {
            state: retired,
            retired_at: Some(now),
            ..(*key).clone()
        })
        .collect();
    changed.push(KeyRecord {
        state: KeyState::Active,
        activated_at: Some(now),
        ..standby.clone()
    });
    changed
}

/// The states of a ring after its key `kid` was revoked: at once, whatever the standby's age.
pub fn revoked(keys: &[&KeyRecord], kid: &KeyId, now: Millis) -> Result<Vec<KeyRecord>, Refusal> {
    let refuse = |reason| Refusal::new(Stage::Request, reason).about(kid.to_string());
    let key = keys
        .iter()
        .find(|key| key.kid == *kid)
        .ok_or_else(|| refuse(Reason::NotFound))?;
    if key.key_use != KeyUse::Sign {
        return Err(refuse(Reason::FieldInvalid));
    }
    let standby = keys
        .iter()
        .find(|other| other.key_use == KeyUse::Sign && other.state == KeyState::Standby);
    match (key.state, standby) {
        (KeyState::Active, Some(standby)) => {
            Ok(promoted(keys, KeyUse::Sign, standby, KeyState::Revoked, now))
        }
        (KeyState::Active, None) => Err(Refusal::new(Stage::Request, Reason::KeyUnavailable)),
        (KeyState::Standby | KeyState::VerifyOnly | KeyState::Revoked, _) => Ok(vec![KeyRecord {
            state: KeyState::Revoked,
            retired_at: Some(now),
            ..(*key).clone()
        }]),
    }
}

/// Changes the ring in one commit; a revoked key is told to every tenant's guards, plainly and at once.
pub fn change_ring(
    context: &Context<'_>,
    records: Vec<Sealed>,
    revoke: Option<&KeyId>,
    motive: &Motive,
    entropy: &mut Entropy,
    result: impl FnOnce(&[Revocation]) -> Vec<u8>,
) -> Decision<Verdict<Vec<Revocation>>> {
    let mut book = Book::new(context, entropy);
    for sealed in records {
        book.change_directory(sealed, motive.operation);
    }
    let mut revocations = Vec::new();
    for tenant in context.directory.tenants.keys().filter(|_| revoke.is_some()) {
        let Some(kid) = revoke else { break };
        let draft = Draft {
            issuer: tenant.own_issuer(),
            all_of: vec![Criterion::new(JOSE_KID_CLAIM, kid.as_str())],
            before: None,
            except: Vec::new(),
            keep_until: context.keep_until_of_cutoff(),
            wide: true,
            subject_key: None,
            row: None,
            scope: "key",
        };
        let revocation = book.revoke_for(*tenant, draft, motive);
        // The key is gone from the ring, so no refresh mints under it: the mark lives as long as tokens do.
        let lives_until = revocation.keep_until;
        let mark = WideMark {
            record: revocation.clone(),
            lives_until,
            last_copy_at: context.now,
        };
        book.write(
            Key::WideMark(revocation.id),
            Write::until(Record::WideMark(Arc::new(mark)), lives_until),
        );
        revocations.push(revocation);
    }
    book.remember(context.tenant.id, motive.operation, result(&revocations));
    book.close(Verdict::Granted(revocations))
}
