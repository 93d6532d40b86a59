//! What this Redis can do at most: bare compare-and-commits a second, what `INFO` in the script costs, and
//! what a session weighs. `cargo bench -p curfew-redis` starts a Redis of its own.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use curfew_core::ids::{ClientId, GrantId, Scope, SessionId, SubjectId, SubjectKey, TenantId};
use curfew_core::place::{Incarnation, Partition};
use curfew_core::secret::GrantSecret;
use curfew_core::session::{Grant, Life, Proof, Row};
use curfew_core::stored::{Key, Record, Write};
use curfew_core::subject::{Gate, Ledger, LedgerEntry};
use curfew_core::time::Millis;
use curfew_ports::store::{Commit, CommitOutcome, Store};
use curfew_redis::{Options, Redis};
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

const SESSIONS: u64 = 100_000;
const COMMITS: u64 = 200_000;
const CALLERS: u64 = 64;
const DAY_MS: i64 = 24 * 3_600_000;
const SCRIPT: &str = include_str!("../src/commit.lua");

fn main() {
    // `cargo test --all-targets` runs benches as well, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(weights());
    runtime.block_on(rates());
}

/// The `n`th session, and its subject's key.
fn session(n: u64) -> (Partition, SessionId, SubjectKey) {
    let key = SubjectKey(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let partition = Partition::from_first_bits([key.0[0], key.0[1]]);
    (partition, SessionId::new(now(), partition, n.to_be_bytes()), key)
}

const fn now() -> Millis {
    Millis::from_unix_ms(1_760_000_000_000)
}

fn row(sid: SessionId, n: u64) -> Row {
    let proof = Proof {
        auth_time: now(),
        acr: None,
        amr: vec!["pwd".into(), "otp".into()],
    };
    let end = now().plus_ms(30 * DAY_MS);
    let grant = Grant {
        gid: GrantId::new(now(), Partition::DIRECTORY, n.to_be_bytes()),
        client: ClientId::new("web-app").unwrap(),
        resources: Vec::new(),
        scopes: ["openid", "orders.read"]
            .map(|scope| Scope::new(scope).unwrap())
            .to_vec(),
        proof: proof.clone(),
        binding: None,
        life: Life::Alive,
        expires_at: end,
        secret: GrantSecret::new([0x5e; 16]),
        generation: 12,
        presented: Some(11),
        rotated_at: now(),
        last_used: now(),
        latest_expiry: now().plus_ms(600_000),
        incarnation: Incarnation([7; 8]),
        cp1: true,
    };
    Row {
        sid,
        tenant: tenant(),
        subject: subject(n),
        life: Life::Alive,
        proof,
        idp: None,
        idp_session_id: None,
        device: None,
        claims: serde_json::Map::new(),
        persistent: true,
        idle_timeout_ms: DAY_MS,
        last_used: now(),
        expires_at: end,
        created_at: now(),
        written_at: now(),
        latest_expiry: now().plus_ms(600_000),
        login_hint_hash: None,
        client_ip: None,
        user_agent: None,
        grants: vec![grant],
    }
}

fn tenant() -> TenantId {
    TenantId::from_random([3; 16])
}

fn subject(n: u64) -> SubjectId {
    SubjectId::new(&format!("00u{n:017x}")).unwrap()
}

async fn start() -> (curfew_servers::Redis, Redis) {
    let server = curfew_servers::Redis::start().unwrap();
    let options = Options::from_url(&server.url()).unwrap();
    let store = Redis::open(&options).await.unwrap();
    (server, store)
}

fn info(server: &curfew_servers::Redis, section: &str, field: &str) -> f64 {
    let text = server.command(&["INFO", section]).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap().trim().parse().unwrap()
}

/// Fills a store with one kind of record after the other, and tells what each adds to `used_memory`.
async fn weights() {
    let (server, store) = start().await;
    println!("bytes of used_memory for each of {SESSIONS} sessions with one grant, subjects all different");
    let mut total = 0.0;
    for kind in ["row", "gate", "ledger"] {
        let before = info(&server, "memory", "used_memory");
        let record_bytes = Arc::new(AtomicU64::new(0));
        let tasks = (0..CALLERS).map(|caller| {
            let (store, record_bytes) = (store.clone(), record_bytes.clone());
            tokio::spawn(async move {
                for n in (caller..SESSIONS).step_by(CALLERS as usize) {
                    let (partition, write) = record(kind, n);
                    if let Write::Put { record, .. } = &write.1 {
                        let length = curfew_wire::encode_record(record).len();
                        record_bytes.fetch_add(length as u64, Ordering::Relaxed);
                    }
                    write_one(&store, partition, write).await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let each = |bytes: f64| bytes / SESSIONS as f64;
        let added = each(info(&server, "memory", "used_memory") - before);
        total += added;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let length = each(record_bytes.load(Ordering::Relaxed) as f64);
        println!("  {kind:7} {added:6.1}  (record {length:.1}, version 16, key 28 or less)");
    }
    println!("  all     {total:6.1}");
}

fn record(kind: &str, n: u64) -> (Partition, (Key, Write)) {
    let (partition, sid, key) = session(n);
    let row = row(sid, n);
    let end = row.expires_at.plus_ms(DAY_MS * 3_650);
    let write = match kind {
        "row" => (
            Key::Session(sid),
            Write::until(Record::Session(Arc::new(row)), end),
        ),
        "gate" => {
            let mut gate = Gate::open(tenant(), subject(n));
            gate.needed_for(row.expires_at);
            (Key::Gate(key), Write::until(Record::Gate(Arc::new(gate)), end))
        }
        _ => {
            let mut ledger = Ledger::new(tenant(), subject(n));
            ledger.clock = now();
            ledger.add(LedgerEntry {
                sid,
                last_used: now(),
                expires_at: row.expires_at,
            });
            (
                Key::Ledger(key),
                Write::until(Record::Ledger(Arc::new(ledger)), end),
            )
        }
    };
    (partition, write)
}

/// On a busy machine the read may be old when the commit arrives: ten times in a row it is not.
async fn write_one(store: &Redis, partition: Partition, write: (Key, Write)) {
    for nonce in 0..10 {
        let view = store.read(partition, &[]).await.unwrap();
        let commit = Commit {
            partition,
            incarnation: view.incarnation,
            now: view.store_time,
            nonce: [nonce; 8],
            expected: Vec::new(),
            writes: vec![write.clone()],
            publish: Vec::new(),
        };
        if let CommitOutcome::Committed(_) = store.commit(commit).await.unwrap() {
            return;
        }
    }
    unreachable!("ten commits in a row were too late");
}

/// The script alone, over one connection: a refresh's five records compared, one row written.
async fn rates() {
    let (server, _store) = start().await;
    let hex = server.command(&["INFO", "replication"]).unwrap();
    let hex = hex
        .lines()
        .find_map(|line| line.strip_prefix("master_replid:"))
        .unwrap();
    let hex = hex[..16].to_owned();
    let start = SCRIPT.find("local info =").unwrap();
    let end = SCRIPT.find("local time =").unwrap();
    let without = format!("{}{}", &SCRIPT[..start], &SCRIPT[end..]);
    println!(
        "compare-and-commit of 5 records, 1 written, over one connection, {CALLERS} callers, {COMMITS} commits"
    );
    for round in 1..=3 {
        for (name, script) in [("with INFO", SCRIPT), ("without INFO", &without)] {
            let (rate, micros) = rate(&server, script, &hex).await;
            println!("  {round}: {name:13} {rate:9.0} a second, {micros:.1} µs of Redis each");
        }
    }
}

async fn rate(server: &curfew_servers::Redis, script: &str, hex: &str) -> (f64, f64) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut load = redis::cmd("SCRIPT");
    let sha: String = load
        .arg("LOAD")
        .arg(script)
        .query_async(&mut connection)
        .await
        .unwrap();
    let cpu = || info(server, "cpu", "used_cpu_user") + info(server, "cpu", "used_cpu_sys");
    let (before, since) = (cpu(), Instant::now());
    let tasks = (0..CALLERS).map(|caller| {
        let (connection, sha, hex) = (connection.clone(), sha.clone(), hex.to_owned());
        tokio::spawn(async move {
            for n in (caller..COMMITS).step_by(CALLERS as usize) {
                commit_raw(connection.clone(), &sha, &hex, n % 10_000).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let commits = COMMITS as f64;
    let rate = commits / since.elapsed().as_secs_f64();
    (rate, (cpu() - before) * 1e6 / commits)
}

/// Four records that are absent and one that is written over, whatever it was.
async fn commit_raw(mut connection: MultiplexedConnection, sha: &str, hex: &str, n: u64) {
    let tag = format!("bare{{{:03x}}}", n % 1_024);
    let mut command = redis::cmd("EVALSHA");
    command.arg(sha).arg(6);
    for key in ["p", "p", "q", "g23456789", "t23456789abcdef01"] {
        command.arg(format!("{tag}{key}"));
    }
    command.arg(format!("{tag}s{n:016}"));
    // No clock is compared: the permitted difference is the largest.
    command.arg(hex).arg(0).arg(i64::MAX).arg(4).arg(1);
    command.arg("").arg("").arg("").arg("");
    command.arg([7_u8; 250].as_slice()).arg("4102444800000");
    let answer: i64 = command.query_async(&mut connection).await.unwrap();
    assert_eq!(answer, 1);
}
