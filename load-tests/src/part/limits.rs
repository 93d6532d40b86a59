//! The physical limits in a process of their own: bare commits of the engine, bare signatures.
//!
//! A commit writes one row as a refresh does, compares the records that a refresh compares but finds
//! them absent, reads nothing and publishes nothing.
//!
//! **Invariant:** every commit is durable: the engine answers after its fsync.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use curfew_clock::SystemClock;
use curfew_core::ids::{ClientId, GrantId, ResourceId, Scope, SessionId, SubjectId, TenantId};
use curfew_core::place::{PARTITIONS, Partition};
use curfew_core::secret::GrantSecret;
use curfew_core::session::{Grant, Life, Proof, Row};
use curfew_core::stored::{Key, Record, Write};
use curfew_core::time::Clock as _;
use curfew_embedded::{Embedded, Options};
use curfew_jose::{Algorithm, SigningKey};
use curfew_ports::entropy::EntropySource;
use curfew_ports::store::{Commit, CommitOutcome, Store as _};
use serde::{Deserialize, Serialize};

use crate::clock::Mono;
use crate::failure::Failure;
use crate::latency::Latencies;
use crate::usage::Usage;

/// Rows that commits take turns to write: the population of a usual run.
const ROWS: u64 = 4_000;
/// What is signed: as long as the header and claims of an access token.
const CLAIMS_BYTES: usize = 600;

/// Bare commits by so many callers at once.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Commits {
    pub(crate) callers: u64,
    pub(crate) per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Processor time of the whole process for each commit, µs.
    pub(crate) cpu_us: f64,
}

/// What this part found.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) commits_alone: Commits,
    pub(crate) commits_together: Commits,
    /// One ES256 signature over an access token's claims on one core, µs.
    pub(crate) signature_us: f64,
}

/// Chance that is none, for an engine that nobody attacks.
#[derive(Debug)]
struct Seeded(AtomicU64);

impl EntropySource for Seeded {
    fn draw(&self) -> [u8; 32] {
        let mut chance = fastrand::Rng::with_seed(self.0.fetch_add(1, Ordering::Relaxed));
        let mut bytes = [0; 32];
        chance.fill(&mut bytes);
        bytes
    }
}

/// Measures in `data`, which is to lie on the disk that a node's data lies on, and prints what it found.
pub(crate) fn run(data: &Path, length: Duration, callers: u64) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let options = Options::new(Arc::new(SystemClock), Arc::new(Seeded(AtomicU64::new(1))));
    let engine = Embedded::open(data, options)?;
    let rows = Arc::new((0..ROWS).map(row).collect::<Result<Vec<_>, _>>()?);
    // Every row is there before anything is measured.
    runtime.block_on(commits(&engine, &rows, callers, Rounds::Count(ROWS)))?;
    let found = Found {
        commits_alone: runtime.block_on(commits(&engine, &rows, 1, Rounds::Time(length)))?,
        commits_together: runtime.block_on(commits(&engine, &rows, callers, Rounds::Time(length)))?,
        signature_us: signature_us(length / 2)?,
    };
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Rounds {
    Count(u64),
    Time(Duration),
}

type Rows = Arc<Vec<(Partition, Key, Record)>>;

async fn commits(engine: &Embedded, rows: &Rows, callers: u64, rounds: Rounds) -> Result<Commits, Failure> {
    let (begun, before) = (Mono::now(), Usage::own());
    let next = Arc::new(AtomicU64::new(0));
    let tasks = (0..callers).map(|_| {
        let (engine, rows, next) = (engine.clone(), rows.clone(), next.clone());
        tokio::spawn(async move {
            let mut latencies = Latencies::new(3);
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let is_over = match rounds {
                    Rounds::Count(count) => n >= count,
                    Rounds::Time(length) => Mono::now().since(begun) >= length,
                };
                if is_over {
                    return Ok(latencies);
                }
                let asked = Mono::now();
                commit(&engine, &rows, n).await?;
                latencies.record(Mono::now().since(asked));
            }
        })
    });
    let mut all = Latencies::new(3);
    for task in tasks.collect::<Vec<_>>() {
        all.add(&task.await?.map_err(|error: String| error)?);
    }
    let told = all.percentiles();
    let count = told.count.max(1) as f64;
    Ok(Commits {
        callers,
        per_s: told.count as f64 / Mono::now().since(begun).as_secs_f64(),
        p50_ms: told.p50,
        p99_ms: told.p99,
        cpu_us: Usage::own().cpu_ms_since(&before) * 1e3 / count,
    })
}

async fn commit(engine: &Embedded, rows: &Rows, n: u64) -> Result<(), String> {
    let turn = usize::try_from(n % ROWS).unwrap_or(0);
    let (partition, key, record) = rows.get(turn).ok_or("no such row")?;
    let commit = Commit {
        partition: *partition,
        incarnation: engine.incarnation(),
        now: SystemClock.now().wall,
        nonce: n.to_be_bytes(),
        expected: vec![(Key::Partition, None), (Key::Checkpoint, None)],
        writes: vec![(key.clone(), Write::put(record.clone()))],
        publish: Vec::new(),
    };
    match engine.commit(commit).await {
        Ok(CommitOutcome::Committed(_)) => Ok(()),
        Ok(other) => Err(format!("a bare commit was answered {other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// The `n`th row: a session with one grant, as a sign-in leaves it.
fn row(n: u64) -> Result<(Partition, Key, Record), Failure> {
    let now = SystemClock.now().wall;
    let number = u16::try_from(n % u64::from(PARTITIONS))?;
    let partition = Partition::new(number).ok_or("no such partition")?;
    let sid = SessionId::new(now, partition, n.to_be_bytes());
    let later = now.plus_ms(3_600_000);
    let proof = Proof {
        auth_time: now,
        acr: None,
        amr: vec!["pwd".into()],
    };
    let grant = Grant {
        gid: GrantId::new(now, partition, n.to_be_bytes()),
        client: ClientId::new("web")?,
        resources: vec![ResourceId::new("orders")?],
        scopes: vec![Scope::new("offline_access")?, Scope::new("orders.read")?],
        proof: proof.clone(),
        binding: None,
        life: Life::Alive,
        expires_at: later,
        secret: GrantSecret::new([7; 16]),
        generation: 1,
        presented: Some(0),
        rotated_at: now,
        last_used: now,
        latest_expiry: later,
        incarnation: curfew_core::place::Incarnation([1; 8]),
        cp1: false,
    };
    let row = Row {
        sid,
        tenant: TenantId::from_random([1; 16]),
        subject: SubjectId::new(&format!("load-00000000-{n}"))?,
        life: Life::Alive,
        proof,
        idp: None,
        idp_session_id: None,
        device: None,
        claims: serde_json::Map::new(),
        persistent: false,
        idle_timeout_ms: 3_600_000,
        last_used: now,
        expires_at: later,
        created_at: now,
        written_at: now,
        latest_expiry: later,
        login_hint_hash: None,
        client_ip: None,
        user_agent: None,
        grants: vec![grant],
    };
    Ok((partition, Key::Session(sid), Record::Session(Arc::new(row))))
}

/// µs of one signature, over so much time of one core.
fn signature_us(length: Duration) -> Result<f64, Failure> {
    let pkcs8 = SigningKey::generate_pkcs8(Algorithm::Es256)?;
    let key = SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8, "limit")?;
    let claims = format!("{{\"a\":\"{}\"}}", "a".repeat(CLAIMS_BYTES));
    let (begun, mut count) = (Mono::now(), 0_u32);
    loop {
        std::hint::black_box(key.sign_compact("at+jwt", claims.as_bytes())?);
        count = count.saturating_add(1);
        let taken = Mono::now().since(begun);
        if taken >= length {
            return Ok(taken.as_secs_f64() * 1e6 / f64::from(count));
        }
    }
}
