//! ENFORCED over a fleet: registrations in the directory, reports at one node, answers at another.

use std::sync::Arc;
use std::time::Duration;

use curfew_authority::{Authority, Instant, Subscriber, Target};
use curfew_core::directory::{KeyState, KeyUse, Lease, RouteBound, StaleRule};
use curfew_core::enforced::{Counted, Enforced};
use curfew_core::ids::SubjectId;
use curfew_core::place::{Partition, Position};
use curfew_core::refusal::Reason;
use curfew_core::stored::{Key, Record};
use curfew_core::time::Clock as _;
use curfew_ports::testing::FakeWatermarks;

use crate::world::{World, node};

/// X of the guards here, ms.
const X: i64 = 5_000;
/// Past everything that lies on the log: how much that is in a partition depends on whose home it is.
const PAST: u64 = 1_000;

fn guard(replica: &str, bound_ms: Option<i64>) -> Subscriber {
    Subscriber {
        name: "orders".into(),
        replica: replica.into(),
        caller: "guards".into(),
        version: "1".into(),
        source: "hub".into(),
        audiences: vec!["https://orders.example".into()],
        min_reader: 1,
        routes: vec![RouteBound {
            route: "*".into(),
            rule: StaleRule::Deny,
            bound_ms,
            report_only: false,
        }],
        bound_ms,
    }
}

/// Another node, which shares the exchange, and an exchange that the test can cut.
fn pair(world: &World) -> (Authority, Authority, FakeWatermarks) {
    let exchange = FakeWatermarks::default();
    let mut parts = world.parts.clone();
    parts.watermarks = Arc::new(exchange.clone());
    let here = node(&parts, "here", world.identity);
    let there = node(&parts, "there", world.identity);
    (here, there, exchange)
}

async fn heard(node: &Authority) {
    node.poll_directory().await.unwrap();
    node.catch_up().await.unwrap();
}

/// Signs alice out everywhere; where the record lies.
async fn revoked(world: &World) -> Vec<Position> {
    let alice = Target::Subject(SubjectId::new("alice").unwrap(), None);
    let answer = world.revoke(alice).await.unwrap();
    answer.published[0].positions.clone()
}

/// How far it is now, without waiting.
async fn look(world: &World, node: &Authority, positions: &[Position]) -> Enforced {
    let durable_at = world.clock.now().wall;
    node.wait_enforced(positions, durable_at, Instant::now())
        .await
        .unwrap()
}

fn names(list: &[Counted]) -> Vec<String> {
    let name = |counted: &Counted| format!("{} {}", counted.lease.name, counted.lease.replica);
    list.iter().map(name).collect()
}

async fn stored(world: &World, replica: &str) -> Option<Arc<Lease>> {
    let key = Key::Lease("orders".into(), replica.into());
    match world.stored(Partition::DIRECTORY, key).await {
        Some(Record::Lease(lease)) => Some(lease),
        _ => None,
    }
}

#[tokio::test]
async fn a_node_that_took_no_report_waits_for_whoever_registered_elsewhere() {
    let world = World::new().await;
    let (here, there, _) = pair(&world);
    for node in [&here, &there] {
        heard(node).await;
    }
    here.report_progress(guard("r1", Some(X)), vec![0; 4])
        .await
        .unwrap();
    assert!(stored(&world, "r1").await.is_some(), "before it is ready");
    let positions = revoked(&world).await;
    let told = look(&world, &there, &positions).await;
    assert_eq!(names(&told.pending), ["orders r1"]);
    let listed = there.list_subscribers().await.unwrap();
    assert_eq!(listed.len(), 1, "the list is the fleet's as well");
}

#[tokio::test(start_paused = true)]
async fn a_report_at_one_node_is_heard_at_another_within_its_own_time() {
    let world = World::new().await;
    let (here, there, exchange) = pair(&world);
    for node in [&here, &there] {
        heard(node).await;
        node.register_self().await.unwrap();
    }
    here.report_progress(guard("r1", Some(X)), vec![0; 4])
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for node in [&here, &there] {
        let (keep, hear) = (node.clone(), node.clone());
        tasks.spawn(async move { keep.keep_leases().await });
        tasks.spawn(async move { hear.hear_watermarks().await });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let positions = revoked(&world).await;
    let durable_at = world.clock.now().wall;
    for node in [&here, &there] {
        heard(node).await;
    }
    let until = Instant::now() + Duration::from_secs(4);
    let waiting = there.wait_enforced(&positions, durable_at, until);
    let reporting = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        here.report_progress(guard("r1", Some(X)), vec![PAST; 4])
            .await
            .unwrap();
    };
    let (told, ()) = tokio::join!(waiting, reporting);
    let told = told.unwrap();
    assert!(told.is_reached(), "{told:?}");
    // The wall clock stood still, so nobody was waited out: reports alone confirmed.
    assert_eq!(
        names(&told.confirmed),
        ["authority here", "authority there", "orders r1"]
    );
    assert!(exchange.told().len() < 12, "a few messages, however many reports");
}

#[tokio::test(start_paused = true)]
async fn without_the_exchange_the_store_tells_the_same_later() {
    let world = World::new().await;
    let (here, there, exchange) = pair(&world);
    exchange.set_down(true);
    for node in [&here, &there] {
        heard(node).await;
    }
    here.report_progress(guard("r1", Some(600_000)), vec![0; 4])
        .await
        .unwrap();
    let positions = revoked(&world).await;
    let durable_at = world.clock.now().wall;
    let mut tasks = tokio::task::JoinSet::new();
    let (keep, too) = (here.clone(), there.clone());
    tasks.spawn(async move { keep.keep_leases().await });
    tasks.spawn(async move { too.keep_leases().await });
    let clock = world.run_the_clock();
    let reports = here.clone();
    tasks.spawn(async move {
        loop {
            reports
                .report_progress(guard("r1", Some(600_000)), vec![PAST; 4])
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let until = Instant::now() + Duration::from_secs(60);
    let told = there.wait_enforced(&positions, durable_at, until).await.unwrap();
    assert_eq!(
        names(&told.confirmed),
        ["orders r1"],
        "long before its bound of ten minutes"
    );
    clock.abort();
}

#[tokio::test]
async fn a_guard_that_leaves_in_good_order_is_waited_for_by_nobody() {
    let world = World::new().await;
    let (here, there, _) = pair(&world);
    for node in [&here, &there] {
        heard(node).await;
    }
    here.report_progress(guard("r1", Some(X)), vec![0; 4])
        .await
        .unwrap();
    let positions = revoked(&world).await;
    assert!(!look(&world, &there, &positions).await.is_reached());
    here.leave(&"orders".into(), &"r1".into()).await;
    assert!(stored(&world, "r1").await.is_none());
    assert!(look(&world, &here, &positions).await.is_reached());
    // Whoever knew it forgets it with the next read, unless it was heard a moment ago.
    world.clock.advance(2_000);
    world.hear().await;
    heard(&there).await;
    assert!(look(&world, &there, &positions).await.is_reached());
}

#[tokio::test]
async fn q19_after_a_failover_of_the_directory_every_answer_waits_the_largest_bound() {
    let world = World::new().await;
    world
        .authority
        .report_progress(guard("capped", Some(60_000)), vec![PAST; 4])
        .await
        .unwrap();
    let positions = revoked(&world).await;
    assert!(look(&world, &world.authority, &positions).await.is_reached());
    // The registration is lost, and the node that took it remembers how large a bound there was.
    world.store.fail_over(1);
    let refused = world
        .authority
        .wait_enforced(&positions, world.clock.now().wall, Instant::now())
        .await
        .unwrap_err();
    assert_eq!(
        refused.reason,
        Reason::Fenced,
        "not even asked before it is recovered"
    );
    world.open_partitions().await;
    let told = look(&world, &world.authority, &positions).await;
    assert!(told.pending.is_empty() && !told.is_reached());
    let now = world.clock.now().wall;
    assert_eq!(told.lost_until, Some(now.plus_ms(60_000 + 1_000)));
}

#[tokio::test]
async fn another_callers_guard_keeps_its_name_at_every_node() {
    let world = World::new().await;
    let (here, there, _) = pair(&world);
    here.report_progress(guard("r1", Some(X)), vec![0; 4])
        .await
        .unwrap();
    let mut thief = guard("r1", Some(X));
    thief.caller = "thief".into();
    let refused = there.report_progress(thief, vec![PAST; 4]).await.unwrap_err();
    assert_eq!(refused.reason, Reason::AlreadyExists);
    assert_eq!(&*stored(&world, "r1").await.unwrap().caller, "guards");
}

#[tokio::test]
async fn a_thousand_guards_register_in_a_few_commits_and_change_no_directory() {
    let world = World::new().await;
    let version = world.authority.directory().loaded().view.version;
    let before = world.store.counts();
    let mut all = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let authority = world.authority.clone();
        all.spawn(async move {
            let guard = guard(&format!("r{n}"), Some(X));
            authority.report_progress(guard, vec![0; 4]).await.unwrap();
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
    let commits = world.store.counts().commits - before.commits;
    assert!(commits <= 40, "{commits} commits for a thousand registrations");
    assert_eq!(world.authority.list_subscribers().await.unwrap().len(), 1_000);
    world.authority.poll_directory().await.unwrap();
    assert_eq!(
        world.authority.directory().loaded().view.version,
        version,
        "no node reads its directory again"
    );
    // A report in between writes nothing.
    let before = world.store.counts();
    world
        .authority
        .report_progress(guard("r7", Some(X)), vec![1; 4])
        .await
        .unwrap();
    assert_eq!(world.store.counts(), before);
}

#[tokio::test]
async fn a_key_signs_only_after_the_largest_bound_of_any_guard() {
    let world = World::new().await;
    let twenty_minutes = 20 * 60_000;
    world
        .authority
        .report_progress(guard("capped", Some(twenty_minutes)), vec![0; 4])
        .await
        .unwrap();
    world.clock.advance(twenty_minutes);
    let refused = world.authority.rotate(KeyUse::Sign).await.unwrap_err();
    assert_eq!(
        refused.reason,
        Reason::KeyUnavailable,
        "its JWKS is old enough, its record is not"
    );
    world.clock.advance(1_000);
    world.authority.rotate(KeyUse::Sign).await.unwrap();
}

#[tokio::test]
async fn a_key_signs_only_once_the_log_has_its_record() {
    let world = World::with_outbox().await;
    world.clock.advance(10 * 60_000);
    let refused = world.authority.rotate(KeyUse::Sign).await.unwrap_err();
    assert!(refused.to_string().contains("log"), "{refused}");
    world.authority.relay(Partition::DIRECTORY).await.unwrap();
    world.authority.rotate(KeyUse::Sign).await.unwrap();
    let keys = world.authority.directory().loaded();
    let mut standby = keys.view.keys.values();
    assert!(standby.any(|key| key.key_use == KeyUse::Sign && key.state == KeyState::Standby));
}
