//! A guard with one issuer, tokens for it, and records that cover them.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;
use std::time::Duration;

use curfew_core::ids::{Cause, GrantId, RecordId, SessionId, TenantId, TokenId};
use curfew_core::place::{LogIdentity, LogPartition, Partition};
use curfew_core::record::{Criterion, Heartbeat, Initiator, LogRecord, PreviousHeartbeat, Revocation};
use curfew_core::refusal::Reason;
use curfew_core::time::{Clock, Millis};
use curfew_guard::{Config, Guard, JwksSource, OwnIssuer, Requirements, Stale};
use curfew_jose::{Algorithm, SigningKey, serialize_key_set};
use serde_json::json;

const ISSUER: &str = "https://login.example/acme";
const AUDIENCE: &str = "https://api.example";

pub(crate) struct Desk {
    pub(crate) guard: Guard,
    clock: Arc<dyn Clock>,
    signer: SigningKey,
    born: Millis,
}

impl Desk {
    /// A guard that is never fresh for longer than `bound_ms`, and denies what it is not fresh for.
    pub(crate) fn new(clock: Arc<dyn Clock>, bound_ms: i64) -> Self {
        let pkcs8 = SigningKey::generate_pkcs8(Algorithm::Es256).unwrap();
        let signer = SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8, "k1").unwrap();
        let keys = JwksSource::of_bytes(serialize_key_set(&[signer.public_jwk().clone()]));
        let mut config = Config::new([AUDIENCE]);
        config.bound_ms = bound_ms;
        config.stale = Stale::Deny;
        config.own.push(OwnIssuer::new(tenant(), ISSUER, keys));
        let guard = Guard::new(config, clock.clone()).unwrap();
        let born = clock.now().wall;
        Self {
            guard,
            clock,
            signer,
            born,
        }
    }

    /// Why a token of the `n`th session is refused; `None`: it is admitted.
    pub(crate) fn refusal(&self, n: u8) -> Option<Reason> {
        let now_s = self.clock.now().wall.seconds_floor();
        let gid = GrantId::new(self.born, home(), [n; 8]).to_string();
        let jti = TokenId::new(self.born, home(), [n; 8]).to_string();
        let claims = json!({
            "iss": ISSUER, "sub": "alice", "oid": "alice", "aud": AUDIENCE, "client_id": "web",
            "tid": tenant().to_string(), "sid": self.sid(n).to_string(), "gid": gid, "jti": jti,
            "scp": "read", "auth_time": now_s, "iat": now_s, "exp": now_s + 600,
        });
        let token = self.signer.sign_compact("at+jwt", claims.to_string().as_bytes());
        let checked = self.guard.check(token.unwrap().as_str(), &Requirements::any());
        checked.err().map(|refused| refused.reason)
    }

    fn sid(&self, n: u8) -> SessionId {
        SessionId::new(self.born, home(), [n; 8])
    }

    /// The end of the `n`th session.
    pub(crate) fn revocation(&self, n: u8) -> LogRecord {
        let now = self.clock.now().wall;
        LogRecord::Revocation(Arc::new(Revocation {
            id: RecordId::from_random([n; 16]),
            operation: None,
            tenant: tenant(),
            issuer: tenant().own_issuer(),
            all_of: vec![Criterion::new("sid", self.sid(n).to_string().as_str())],
            before: None,
            except: Vec::new(),
            keep_until: now.plus_ms(3_600_000),
            decided_at: now,
            cause: Cause::new("sign_out").unwrap(),
            initiator: Initiator::User,
            home: home(),
            wide: false,
            sequence: u64::from(n),
            incarnation: None,
            subject_key: None,
            row: None,
            scope: "session".into(),
            correlation_id: None,
            trace: None,
        }))
    }

    /// A heartbeat of now.
    pub(crate) fn beat(&self, log: LogIdentity, previous: Option<PreviousHeartbeat>) -> LogRecord {
        let stamp = self.clock.now().wall;
        let id = stamp.as_unix_ms().to_be_bytes().repeat(2);
        LogRecord::Heartbeat(Heartbeat {
            id: RecordId::from_random(id.try_into().unwrap()),
            log,
            stamp,
            emitter: "desk".into(),
            interval_ms: 1_000,
            previous,
        })
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::from_bytes([0x11; 16])
}

/// The partition of every id here; of four log partitions, the third.
fn home() -> Partition {
    Partition::new(6).unwrap()
}

pub(crate) const HOME: LogPartition = LogPartition(2);

/// Waits for what a guard does by itself.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(120), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}
