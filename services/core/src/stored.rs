//! What a store holds: keys, records, and the writes of a decision.
//!
//! **Invariant:** a key's bytes are the same in every store and never change.

use std::sync::Arc;

use crate::directory::{
    Caller, Client, ForeignIssuer, KeyRecord, Lease, Lifetimes, Resource, Tenant, WideMark,
};
use crate::ids::{
    CallerId, ClientId, IssuerId, KeyId, OperationId, RecordId, ResourceId, SessionId, SubjectKey, TenantId,
};
use crate::place::{Incarnation, LogIdentity, Partition};
use crate::record::Outgoing;
use crate::session::Row;
use crate::subject::{Gate, Ledger, Tombstone};
use crate::time::Millis;

/// The name of one record in its partition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Key {
    /// The partition record.
    Partition,
    /// The partition's sequence of log records.
    Sequence,
    /// How far its log partition has been merged.
    Checkpoint,
    /// A session's row.
    Session(SessionId),
    /// A subject's gate.
    Gate(SubjectKey),
    /// A subject's ledger.
    Ledger(SubjectKey),
    /// A revoked session without a row.
    Tombstone(SessionId),
    /// The result of an operation, by tenant: one tenant's ids never meet another's.
    Operation(TenantId, OperationId),
    /// A single-use item: its kind and the hash of its value.
    SingleUse(SingleUseKind, [u8; 32]),
    /// A record that the log may not have yet.
    Outbox(RecordId),
    /// The polled key of the directory.
    DirectoryVersion,
    /// Which log.
    LogIdentity,
    /// `L`.
    Lifetimes,
    /// A wide mark.
    WideMark(RecordId),
    /// A tenant.
    Tenant(TenantId),
    /// A client.
    Client(TenantId, ClientId),
    /// A resource.
    Resource(TenantId, ResourceId),
    /// A foreign issuer.
    Issuer(TenantId, IssuerId),
    /// A caller.
    Caller(CallerId),
    /// A key of the ring.
    RingKey(KeyId),
    /// A registration.
    Lease(Arc<str>, Arc<str>),
}

/// Kinds of keys that a store can list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Listed {
    /// Everything that the directory holds, but its version, log identity, `L` and registrations.
    Directory,
    /// Registrations: many, short-lived, and no part of what decisions stand on.
    Leases,
    /// The outbox of the partition.
    Outbox,
}

/// Kinds of single-use items (DESIGN section 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum SingleUseKind {
    /// An authorization code.
    Code,
    /// A pushed `request_uri` (RFC 9126).
    RequestUri,
    /// The `jti` of a client assertion (RFC 7523) or of a DPoP proof (RFC 9449).
    AssertionId,
    /// A login challenge.
    LoginChallenge,
    /// A device code (RFC 8628).
    DeviceCode,
}

impl Key {
    /// Where a directory record lies, and what it is called on the log; `None` for all others.
    #[must_use]
    pub fn directory_name(&self) -> Option<String> {
        match self {
            Self::Tenant(id) => Some(format!("tenants/{id}")),
            Self::Client(tenant, id) => Some(format!("tenants/{tenant}/clients/{id}")),
            Self::Resource(tenant, id) => Some(format!("tenants/{tenant}/resources/{id}")),
            Self::Issuer(tenant, id) => Some(format!("tenants/{tenant}/issuers/{id}")),
            Self::Caller(id) => Some(format!("callers/{id}")),
            Self::RingKey(kid) => Some(format!("keys/{kid}")),
            Self::Lifetimes => Some("lifetimes".to_owned()),
            Self::Partition
            | Self::Sequence
            | Self::Checkpoint
            | Self::Session(_)
            | Self::Gate(_)
            | Self::Ledger(_)
            | Self::Tombstone(_)
            | Self::Operation(..)
            | Self::SingleUse(..)
            | Self::Outbox(_)
            | Self::DirectoryVersion
            | Self::LogIdentity
            | Self::WideMark(_)
            | Self::Lease(..) => None,
        }
    }

    /// The key of a directory record of this name: the inverse of [`Key::directory_name`].
    #[must_use]
    pub fn of_directory_name(name: &str) -> Option<Self> {
        let mut parts = name.split('/');
        let key = match (parts.next()?, parts.next(), parts.next(), parts.next()) {
            ("lifetimes", None, None, None) => Self::Lifetimes,
            ("callers", Some(id), None, None) => Self::Caller(id.parse().ok()?),
            ("keys", Some(kid), None, None) => Self::RingKey(kid.parse().ok()?),
            ("tenants", Some(id), None, None) => Self::Tenant(id.parse().ok()?),
            ("tenants", Some(tenant), Some(kind), Some(id)) => {
                let tenant = tenant.parse().ok()?;
                match kind {
                    "clients" => Self::Client(tenant, id.parse().ok()?),
                    "resources" => Self::Resource(tenant, id.parse().ok()?),
                    "issuers" => Self::Issuer(tenant, id.parse().ok()?),
                    _ => return None,
                }
            }
            _ => return None,
        };
        parts.next().is_none().then_some(key)
    }

    /// Whether, and in which list, a store lists it.
    #[must_use]
    pub const fn listed(&self) -> Option<Listed> {
        match self {
            Self::WideMark(_)
            | Self::Tenant(_)
            | Self::Client(..)
            | Self::Resource(..)
            | Self::Issuer(..)
            | Self::Caller(_)
            | Self::RingKey(_) => Some(Listed::Directory),
            Self::Lease(..) => Some(Listed::Leases),
            Self::Outbox(_) => Some(Listed::Outbox),
            Self::Partition
            | Self::Sequence
            | Self::Checkpoint
            | Self::Session(_)
            | Self::Gate(_)
            | Self::Ledger(_)
            | Self::Tombstone(_)
            | Self::Operation(..)
            | Self::SingleUse(..)
            | Self::DirectoryVersion
            | Self::LogIdentity
            | Self::Lifetimes => None,
        }
    }

    /// The key's bytes: a letter for the kind, then ids; text parts are length-prefixed but the last.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let fixed = |letter: u8, parts: &[&[u8]]| {
            // One allocation: every refresh makes eleven of these.
            let length = parts.iter().map(|part| part.len()).sum::<usize>();
            let mut bytes = Vec::with_capacity(1 + length);
            bytes.push(letter);
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
            bytes
        };
        match self {
            Self::Partition => b"p".to_vec(),
            Self::Sequence => b"q".to_vec(),
            Self::Checkpoint => b"k".to_vec(),
            Self::Session(sid) => fixed(b's', &[sid.as_bytes()]),
            Self::Gate(subject) => fixed(b'g', &[&subject.0]),
            Self::Ledger(subject) => fixed(b'l', &[&subject.0]),
            Self::Tombstone(sid) => fixed(b't', &[sid.as_bytes()]),
            Self::Operation(tenant, id) => fixed(b'o', &[tenant.as_bytes(), id.as_bytes()]),
            Self::SingleUse(kind, hash) => fixed(b'u', &[&[kind.number()], hash]),
            Self::Outbox(id) => fixed(b'x', &[id.as_bytes()]),
            Self::DirectoryVersion => b"dv".to_vec(),
            Self::LogIdentity => b"di".to_vec(),
            Self::Lifetimes => b"dl".to_vec(),
            Self::WideMark(id) => fixed(b'd', &[b"w", id.as_bytes()]),
            Self::Tenant(id) => fixed(b'd', &[b"t", id.as_bytes()]),
            Self::Client(tenant, id) => fixed(b'd', &[b"c", tenant.as_bytes(), id.as_str().as_bytes()]),
            Self::Resource(tenant, id) => fixed(b'd', &[b"r", tenant.as_bytes(), id.as_str().as_bytes()]),
            Self::Issuer(tenant, id) => fixed(b'd', &[b"f", tenant.as_bytes(), id.as_bytes()]),
            Self::Caller(id) => fixed(b'd', &[b"a", id.as_str().as_bytes()]),
            Self::RingKey(kid) => fixed(b'd', &[b"k", kid.as_str().as_bytes()]),
            Self::Lease(name, replica) => {
                let length = u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes();
                fixed(b'd', &[b"e", &length, name.as_bytes(), replica.as_bytes()])
            }
        }
    }
}

impl SingleUseKind {
    const fn number(self) -> u8 {
        match self {
            Self::Code => 1,
            Self::RequestUri => 2,
            Self::AssertionId => 3,
            Self::LoginChallenge => 4,
            Self::DeviceCode => 5,
        }
    }
}

/// The partition record: it changes only when the partition opens, so every commit may compare it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionRecord {
    /// The incarnation that it was opened for.
    pub incarnation: Incarnation,
    /// When it was last unfenced; 0 at bootstrap.
    pub opened: Millis,
    /// What was last written before this is over.
    pub floor: Millis,
    /// The log whose records it has merged.
    pub log: LogIdentity,
}

/// How far a partition's log has been merged into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The next offset to be merged.
    pub offset: u64,
    /// The incarnation under which it moved.
    pub incarnation: Incarnation,
    /// When it moved.
    pub at: Millis,
}

/// The result of an operation, remembered so that a retry knows its own work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The caller's id.
    pub id: OperationId,
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// The outcome, in the use case's own form.
    pub result: Arc<[u8]>,
    /// The records that it wrote.
    pub records: Vec<RecordId>,
    /// When.
    pub at: Millis,
}

/// Something that may be used once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SingleUse {
    /// When it was issued; one from before the partition was opened is refused.
    pub issued_at: Millis,
    /// Until when it may be used.
    pub expires_at: Millis,
    /// Whether it has been.
    pub used: bool,
    /// What it stands for.
    pub body: Arc<[u8]>,
}

/// A record that was committed and that the log may not have yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxEntry {
    /// The record.
    pub outgoing: Outgoing,
    /// When it was committed.
    pub at: Millis,
    /// Log partitions that still lack it.
    pub lacking: Vec<u16>,
}

/// A stored record.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// See [`PartitionRecord`].
    Partition(PartitionRecord),
    /// The number of the newest log record of the partition.
    Sequence(u64),
    /// See [`Checkpoint`].
    Checkpoint(Checkpoint),
    /// A session.
    Session(Arc<Row>),
    /// A gate.
    Gate(Arc<Gate>),
    /// A ledger.
    Ledger(Arc<Ledger>),
    /// A tombstone.
    Tombstone(Tombstone),
    /// An operation.
    Operation(Operation),
    /// A single-use item.
    SingleUse(SingleUse),
    /// An outbox entry.
    Outbox(OutboxEntry),
    /// The directory's version says what it says by its own version.
    DirectoryVersion,
    /// Which log.
    LogIdentity(LogIdentity),
    /// `L`.
    Lifetimes(Lifetimes),
    /// A wide mark.
    WideMark(Arc<WideMark>),
    /// A tenant.
    Tenant(Arc<Tenant>),
    /// A client.
    Client(Arc<Client>),
    /// A resource.
    Resource(Arc<Resource>),
    /// A foreign issuer.
    Issuer(Arc<ForeignIssuer>),
    /// A caller.
    Caller(Arc<Caller>),
    /// A key.
    RingKey(Arc<KeyRecord>),
    /// A registration.
    Lease(Arc<Lease>),
}

/// What a decision wants done to one record.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// Written; collected after `collect_at`, where there is one.
    Put {
        /// The record.
        record: Record,
        /// Garbage collection only, a day after the logical end; no rule depends on it.
        collect_at: Option<Millis>,
    },
    /// Deleted.
    Delete,
}

impl Write {
    /// A record that stays.
    #[must_use]
    pub const fn put(record: Record) -> Self {
        Self::Put {
            record,
            collect_at: None,
        }
    }

    /// A record that may be collected a day after its logical end.
    #[must_use]
    pub const fn until(record: Record, end: Millis) -> Self {
        Self::Put {
            record,
            collect_at: Some(end.plus_ms(crate::time::COLLECT_AFTER_MS)),
        }
    }
}

/// What a decision is: an outcome, and what makes it true.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision<T> {
    /// The partition that all of it lies in.
    pub partition: Partition,
    /// The answer, once the rest is committed.
    pub outcome: T,
    /// Records to write.
    pub writes: Vec<(Key, Write)>,
    /// Records to publish, in the same commit.
    pub publish: Vec<Outgoing>,
}

impl<T> Decision<T> {
    /// A decision that writes nothing; it is committed all the same, so that the fence is checked.
    #[must_use]
    pub const fn of(partition: Partition, outcome: T) -> Self {
        Self {
            partition,
            outcome,
            writes: Vec::new(),
            publish: Vec::new(),
        }
    }
}
