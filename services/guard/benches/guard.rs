//! What a check costs: the index alone, the whole check of a token seen before, and a mark's memory.
//!
//! Memory is the growth of the process's resident set while 100,000 marks are inserted: an allocator
//! that counts would need `unsafe`. Pages that were resident before are reused, so it errs low by what
//! was free; the figure is printed once, before the timings.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot be set up says so by a panic"
)]

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use criterion::{Criterion as Bench, Throughput, criterion_group, criterion_main};
use curfew_core::claims::JsonClaims;
use curfew_core::ids::{Cause, GrantId, RecordId, SessionId, TenantId, TokenId};
use curfew_core::index::Index;
use curfew_core::place::{LogIdentity, LogPartition, Partition, Position};
use curfew_core::record::{Before, Criterion, Heartbeat, Initiator, LogRecord, Revocation};
use curfew_core::time::{Clock, Millis, Now};
use curfew_guard::{Config, Feed, Guard, JwksSource, OwnIssuer, Requirements};
use curfew_jose::{Algorithm, SigningKey, serialize_key_set};
use serde_json::{Map, Value, json};

const MARKS: u64 = 100_000;
const NOW: Millis = Millis::from_unix_seconds(1_800_000_000);
const ISSUER: &str = "https://login.example/acme";
const AUDIENCE: &str = "https://api.example";

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Now {
        Now {
            wall: NOW,
            boot_ms: 1_000_000,
        }
    }
}

fn tenant() -> TenantId {
    TenantId::from_bytes([0x11; 16])
}

/// A mark: by turns of a subject, a session, a device, a client: four shapes, as in life.
fn mark(n: u64) -> Revocation {
    let birth = NOW.plus_ms(-3_600_000);
    let session = SessionId::new(birth, Partition::DIRECTORY, n.to_be_bytes());
    let (claim, value, before) = match n % 4 {
        0 => (
            "sub",
            format!("subject-{n}"),
            Some(Before {
                claim: "sid".into(),
                instant: NOW,
            }),
        ),
        1 => ("sid", session.to_string(), None),
        2 => (
            "deviceid",
            format!("device-{n}"),
            Some(Before {
                claim: "sid".into(),
                instant: NOW,
            }),
        ),
        _ => ("gid", session.to_string(), None),
    };
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    Revocation {
        id: RecordId::from_bytes(id),
        operation: None,
        tenant: tenant(),
        issuer: tenant().own_issuer(),
        all_of: vec![Criterion::new(claim, value)],
        before,
        except: Vec::new(),
        keep_until: NOW.plus_ms(7_200_000),
        decided_at: NOW,
        cause: Cause::new("sign_out").expect("a cause"),
        initiator: Initiator::User,
        home: Partition::DIRECTORY,
        wide: false,
        sequence: n,
        incarnation: None,
        subject_key: None,
        row: None,
        scope: "session".into(),
        correlation_id: None,
        trace: None,
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok())
        .unwrap_or_default()
        * 1_024
}

/// The index, and the bytes of resident memory that one mark of it costs.
fn index() -> (Index, u64) {
    let before = resident_bytes();
    let mut index = Index::default();
    for n in 0..MARKS {
        index.insert(&mark(n));
    }
    let per_mark = resident_bytes().saturating_sub(before) / MARKS;
    (index, per_mark)
}

fn claims() -> Value {
    let birth = NOW.plus_ms(-60_000);
    json!({
        "iss": ISSUER, "sub": "alice", "oid": "alice", "aud": AUDIENCE, "client_id": "web",
        "tid": tenant().to_string(), "scp": "read write", "acr": "mfa", "deviceid": "laptop-7",
        "jti": TokenId::new(birth, Partition::DIRECTORY, [1; 8]).to_string(),
        "gid": GrantId::new(birth, Partition::DIRECTORY, [2; 8]).to_string(),
        "sid": SessionId::new(birth, Partition::DIRECTORY, [3; 8]).to_string(),
        "auth_time": NOW.seconds_floor() - 60, "iat": NOW.seconds_floor() - 60,
        "nbf": NOW.seconds_floor() - 60, "exp": NOW.seconds_floor() + 540,
    })
}

fn guard(index: Index, signatures_max: usize) -> (Guard, Feed, String) {
    let pkcs8 = SigningKey::generate_pkcs8(Algorithm::Es256).expect("a key");
    let signer = SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8, "k1").expect("a key");
    let mut config = Config::new([AUDIENCE]);
    config.signatures_max = signatures_max;
    let keys = JwksSource::of_bytes(serialize_key_set(&[signer.public_jwk().clone()]));
    config.own.push(OwnIssuer::new(tenant(), ISSUER, keys));
    let guard = Guard::new(config, Arc::new(Standing)).expect("a configuration");
    let log = LogIdentity::new([7; 16], 1).expect("a log");
    let feed = guard.begin(log, NOW.plus_ms(-1));
    feed.load_base(index);
    feed.load_snapshot(LogPartition(0), Index::default(), 0, None, Vec::new());
    feed.go_live();
    let beat = LogRecord::Heartbeat(Heartbeat {
        id: RecordId::from_bytes([1; 16]),
        log,
        stamp: NOW,
        emitter: "bench".into(),
        interval_ms: 1_000,
        previous: None,
    });
    feed.apply(
        Position {
            partition: LogPartition(0),
            offset: 0,
        },
        &beat,
    )
    .expect("applied");
    let token = signer
        .sign_compact("at+jwt", claims().to_string().as_bytes())
        .expect("signed");
    (guard, feed, token)
}

fn checks(bench: &mut Bench) {
    let (index, per_mark) = index();
    let mut memory = bench.benchmark_group("core/index");
    memory.throughput(Throughput::Bytes(per_mark));
    memory.bench_function("bytes_per_entry", |b| b.iter(|| black_box(&index).len()));
    memory.finish();
    let claims = claims();
    let members: &Map<String, Value> = claims.as_object().expect("an object");
    let token = JsonClaims::own(members, Some("k1")).expect("claims");
    bench.bench_function("guard/deny_check/100,000 marks of four shapes", |b| {
        b.iter(|| {
            index
                .covered(tenant(), tenant().own_issuer(), black_box(&token))
                .expect("comparable")
                .is_some()
        });
    });
    let (seen, feed, text) = guard(index.clone(), 1_024);
    let route = Requirements::scope("read");
    bench.bench_function("guard/check_seen", |b| {
        b.iter(|| seen.check(black_box(text.as_str()), &route).expect("admitted"));
    });
    let next = Mutex::new(1);
    bench.bench_function("guard/apply_record", |b| {
        b.iter(|| {
            let mut next = next.lock().expect("alone");
            let record = LogRecord::Revocation(Arc::new(mark(MARKS + *next)));
            feed.apply(
                Position {
                    partition: LogPartition(0),
                    offset: *next,
                },
                &record,
            )
            .expect("applied");
            *next += 1;
        });
    });
    let (unseen, _feed, text) = guard(index, 0);
    bench.bench_function("guard/check_unseen/ES256", |b| {
        b.iter(|| unseen.check(black_box(text.as_str()), &route).expect("admitted"));
    });
}

criterion_group!(benches, checks);
criterion_main!(benches);
