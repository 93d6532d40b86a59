//! Keys, tokens, records and a clock for this crate's own tests; never built otherwise.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use curfew_core::ids::{Cause, GrantId, IssuerId, RecordId, SessionId, TenantId, TokenId};
use curfew_core::mac::foreign_partition;
use curfew_core::place::{LogIdentity, LogPartition, Partition, Position};
use curfew_core::record::{Before, Criterion, Heartbeat, Initiator, LogRecord, Revocation};
use curfew_core::refusal::Reason;
use curfew_core::time::{Clock, Millis, Now};
use curfew_jose::{Algorithm, SigningKey, serialize_key_set};
use serde_json::{Value, json};

use crate::config::{Config, Foreign, ForeignIssuer, OwnIssuer};
use crate::feed::Feed;
use crate::guard::Guard;
use crate::keys::JwksSource;
use crate::refused::Refused;
use crate::route::{Requirements, Stale};

/// When the tests begin.
pub(crate) const NOW: Millis = Millis::from_unix_seconds(1_800_000_000);
pub(crate) const ISSUER: &str = "https://login.example/acme";
pub(crate) const FORMER: &str = "https://old.example/acme";
pub(crate) const FOREIGN_ISSUER: &str = "https://idp.example/v2";
pub(crate) const AUDIENCE: &str = "https://api.example";
pub(crate) const FOREIGN_AUDIENCE: &str = "api://orders";
pub(crate) const BOUND_MS: i64 = 5_000;
pub(crate) const LOG: LogIdentity = match LogIdentity::new([7; 16], 4) {
    Some(log) => log,
    None => panic!("4 divides 1,024"),
};

pub(crate) fn tenant() -> TenantId {
    TenantId::from_bytes([0x11; 16])
}

pub(crate) fn entry() -> IssuerId {
    IssuerId::from_bytes([0x22; 16])
}

/// A clock that moves only when a test moves it.
#[derive(Clone, Debug)]
pub(crate) struct TestClock(Arc<Mutex<Now>>);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Now { wall: NOW, boot_ms: 1_000_000 })))
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.set(|now| Now { wall: now.wall.plus_ms(ms), boot_ms: now.boot_ms + ms });
    }

    pub(crate) fn set(&self, change: impl FnOnce(Now) -> Now) {
        let mut now = self.0.lock().unwrap();
        *now = change(*now);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        *self.0.lock().unwrap()
    }
}

pub(crate) fn key(algorithm: Algorithm, kid: &str) -> SigningKey {
    SigningKey::from_pkcs8(algorithm, &SigningKey::generate_pkcs8(algorithm).unwrap(), kid).unwrap()
}

pub(crate) fn set_of(keys: &[&SigningKey]) -> Vec<u8> {
    serialize_key_set(keys.iter().map(|key| key.public_jwk())).to_string().into_bytes()
}

pub(crate) fn foreign(longest_life_ms: i64, clock_error_ms: i64) -> Foreign {
    Foreign {
        audiences: vec![FOREIGN_AUDIENCE.into()],
        longest_life_ms,
        clock_error_ms,
        carries: BTreeSet::new(),
        client_ids: BTreeSet::from(["portal".to_owned()]),
        partition: foreign_partition(tenant(), entry()),
    }
}
