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
        Self(Arc::new(Mutex::new(Now {
            wall: NOW,
            boot_ms: 1_000_000,
        })))
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.set(|now| Now {
            wall: now.wall.plus_ms(ms),
            boot_ms: now.boot_ms + ms,
        });
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
    serialize_key_set(
        &keys
            .iter()
            .map(|key| key.public_jwk().clone())
            .collect::<Vec<_>>(),
    )
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

/// The partition of every id that the builders below make.
pub(crate) fn partition() -> Partition {
    Partition::new(6).unwrap()
}

pub(crate) fn sid(n: u8) -> SessionId {
    SessionId::new(NOW.plus_ms(-600_000), partition(), [n; 8])
}

pub(crate) fn gid(n: u8) -> GrantId {
    GrantId::new(NOW.plus_ms(-600_000), partition(), [n; 8])
}

pub(crate) fn jti(n: u8) -> TokenId {
    TokenId::new(NOW.plus_ms(-60_000), partition(), [n; 8])
}

/// A guard with its own issuer, a foreign one, and a view that is fed by hand.
pub(crate) struct Bench {
    pub(crate) clock: TestClock,
    pub(crate) guard: Guard,
    pub(crate) feed: Feed,
    pub(crate) signer: SigningKey,
    pub(crate) foreign_signer: SigningKey,
    offsets: Mutex<[u64; 4]>,
}

pub(crate) fn config(signer: &SigningKey, foreign_signer: &SigningKey) -> Config {
    let mut config = Config::new([AUDIENCE]);
    config.bound_ms = BOUND_MS;
    config.stale = Stale::Deny;
    config.own.push(OwnIssuer {
        spellings: vec![ISSUER.into(), FORMER.into()],
        authorization_uri: Some("https://login.example/acme/authorize".into()),
        tenant_name: Some("acme".into()),
        ..OwnIssuer::new(tenant(), ISSUER, JwksSource::of_bytes(set_of(&[signer])))
    });
    config.foreign.push(ForeignIssuer {
        tenant: tenant(),
        entry: entry(),
        spellings: vec![FOREIGN_ISSUER.into(), "https://idp.example/v1".into()],
        keys: JwksSource::of_bytes(set_of(&[foreign_signer])),
        audiences: vec![FOREIGN_AUDIENCE.into()],
        longest_life_ms: 3_600_000,
        clock_error_ms: 0,
        carries: BTreeSet::from(["sub".to_owned(), "oid".to_owned()]),
        client_ids: BTreeSet::from(["portal".to_owned()]),
        authorization_uri: None,
        tenant_name: None,
    });
    config
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::build(change, |builder| builder)
    }

    pub(crate) fn build(
        change: impl FnOnce(&mut Config),
        hooks: impl FnOnce(crate::GuardBuilder) -> crate::GuardBuilder,
    ) -> Self {
        let clock = TestClock::new();
        // Both issuers call their key by the same name: a `kid` alone finds nothing.
        let (signer, foreign_signer) = (key(Algorithm::Es256, "k1"), key(Algorithm::Es256, "k1"));
        let mut config = config(&signer, &foreign_signer);
        change(&mut config);
        let guard = hooks(Guard::builder(config, Arc::new(clock.clone())))
            .build()
            .unwrap();
        let feed = guard.follow(LOG, NOW.plus_ms(-1));
        let bench = Self {
            clock,
            guard,
            feed,
            signer,
            foreign_signer,
            offsets: Mutex::new([0; 4]),
        };
        bench.beat();
        bench
    }

    /// A heartbeat in every log partition.
    pub(crate) fn beat(&self) {
        for partition in LOG.all() {
            self.beat_in(partition, self.clock.now().wall);
        }
    }

    pub(crate) fn beat_in(&self, partition: LogPartition, stamp: Millis) {
        self.apply(partition, &heartbeat(stamp));
    }

    pub(crate) fn apply(&self, partition: LogPartition, record: &LogRecord) {
        let mut offsets = self.offsets.lock().unwrap();
        let offset = &mut offsets[partition.index()];
        self.feed
            .apply(
                Position {
                    partition,
                    offset: *offset,
                },
                record,
            )
            .unwrap();
        *offset += 1;
    }

    /// A revocation, where tokens of the builders below are judged.
    pub(crate) fn revoke(&self, revocation: Revocation) {
        self.apply(
            LOG.home_of(partition()),
            &LogRecord::Revocation(Arc::new(revocation)),
        );
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        sign(&self.signer, "at+jwt", claims)
    }

    /// A delegated token with one claim changed; `null` takes it away.
    pub(crate) fn token_with(&self, name: &str, value: Value) -> String {
        self.sign(&with(delegated(), name, value))
    }

    pub(crate) fn token(&self) -> String {
        self.sign(&delegated())
    }

    pub(crate) fn foreign_token_with(&self, typ: &str, name: &str, value: Value) -> String {
        sign(&self.foreign_signer, typ, &with(foreign_claims(), name, value))
    }

    pub(crate) fn check(&self, token: &str) -> Result<crate::Admission, Refused> {
        self.guard.check(token, &Requirements::any())
    }

    #[track_caller]
    pub(crate) fn refused(&self, token: &str, reason: Reason) -> Refused {
        match self.check(token) {
            Err(refused) if refused.reason == reason => refused,
            Err(other) => panic!("expected {reason:?}, was {other:?}"),
            Ok(_) => panic!("expected {reason:?}, was admitted"),
        }
    }

    #[track_caller]
    pub(crate) fn admitted(&self, token: &str) -> crate::Admission {
        self.check(token).unwrap()
    }
}

pub(crate) fn sign(signer: &SigningKey, typ: &str, claims: &Value) -> String {
    signer.sign_compact(typ, claims.to_string().as_bytes()).unwrap()
}

pub(crate) fn with(mut claims: Value, name: &str, value: Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
    claims
}

pub(crate) fn delegated() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "oid": "alice", "aud": AUDIENCE, "client_id": "web",
        "tid": tenant().to_string(), "jti": jti(1).to_string(), "gid": gid(1).to_string(),
        "sid": sid(1).to_string(), "scp": "read write", "acr": "pwd",
        "auth_time": NOW.seconds_floor() - 600, "iat": NOW.seconds_floor() - 60,
        "nbf": NOW.seconds_floor() - 60, "exp": NOW.seconds_floor() + 540,
    })
}

pub(crate) fn app_only() -> Value {
    json!({
        "iss": ISSUER, "sub": "job", "oid": "job", "aud": AUDIENCE, "client_id": "job",
        "tid": tenant().to_string(), "jti": jti(2).to_string(), "gid": jti(2).to_string(),
        "roles": ["Orders.Read"], "iat": NOW.seconds_floor() - 60, "exp": NOW.seconds_floor() + 540,
    })
}

pub(crate) fn foreign_claims() -> Value {
    json!({
        "iss": FOREIGN_ISSUER, "sub": "bob", "oid": "b0b", "aud": FOREIGN_AUDIENCE, "azp": "portal",
        "scp": "read", "iat": NOW.seconds_floor() - 60, "exp": NOW.seconds_floor() + 540,
    })
}

pub(crate) fn heartbeat(stamp: Millis) -> LogRecord {
    LogRecord::Heartbeat(Heartbeat {
        id: RecordId::from_random(stamp.as_unix_ms().to_be_bytes().repeat(2).try_into().unwrap()),
        log: LOG,
        stamp,
        emitter: "test".into(),
        interval_ms: 1_000,
        previous: None,
    })
}

/// A revocation of the tenant's own tokens with this claim.
pub(crate) fn revocation(claim: &str, value: &str) -> Revocation {
    Revocation {
        id: RecordId::from_random([9; 16]),
        operation: None,
        tenant: tenant(),
        issuer: tenant().own_issuer(),
        all_of: vec![Criterion::new(claim, value)],
        before: None,
        except: Vec::new(),
        keep_until: NOW.plus_ms(7_200_000),
        decided_at: NOW,
        cause: Cause::new("sign_out").unwrap(),
        initiator: Initiator::User,
        home: partition(),
        wide: false,
        sequence: 1,
        incarnation: None,
        subject_key: None,
        row: None,
        scope: "test".into(),
        correlation_id: None,
        trace: None,
    }
}

pub(crate) fn before(mut revocation: Revocation, claim: &str, instant: Millis) -> Revocation {
    revocation.before = Some(Before {
        claim: claim.into(),
        instant,
    });
    revocation
}
