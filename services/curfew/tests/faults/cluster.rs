//! A replica of a cluster that takes over without having everything, by force and from a primary that lives; and slots
//! that are moved.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use curfew_core::ids::SessionId;
use curfew_proto::token::v1::RefreshCause;
use curfew_servers::{ClusterOptions, Direction, Failover, Kafka, Peer, RedisCluster};

use super::ask::{Held, ended, is_active, opened, refresh_once, refreshed, refused};
use super::group::{Group, REPLICATED, cluster, refuses};
use super::process::Backend;
use super::servers::{backend, guard, id_of, until};

/// The hash tag of the partition that a session lies in.
fn key_of(session: &str) -> String {
    let id: SessionId = id_of(session).parse().unwrap();
    format!("curfew{{{:03x}}}", id.partition().number())
}

/// A session of whoever lies on this primary.
async fn opened_on(
    group: &Group<curfew_servers::RedisCluster>,
    backend: &Backend,
    name: &str,
    is_wanted: impl Fn(usize) -> bool,
) -> Held {
    for number in 0..200 {
        let held = opened(backend, &format!("{name}-{number}")).await;
        if is_wanted(group.store.master_of(&key_of(&held.session)).unwrap()) {
            return held;
        }
    }
    panic!("nobody lies there");
}

async fn a_takeover_with_loss(failover: Failover) {
    let mut group = Group::of(cluster(), Kafka::start().unwrap());
    let ([first, second], secret) = group.nodes();
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let kept = opened(&on_first, "alice").await;
    let key = key_of(&kept.session);
    let old = group.store.master_of(&key).unwrap();
    let rotated = opened_on(&group, &on_first, "bob", |master| master == old).await;
    let doomed = opened_on(&group, &on_first, "carol", |master| master == old).await;
    let mut elsewhere = opened_on(&group, &on_second, "frank", |master| master != old).await;
    let (guard, _running) = guard(&second, &on_second, &kept.access_token).await;
    group.store.node_mut(old).unwrap().wait_for_replicas(1).unwrap();

    group
        .store
        .proxy(old)
        .unwrap()
        .hold(Peer::Replica, Direction::FromServer);
    let (rotated, _) = refreshed(&on_second, &rotated).await.unwrap();
    let (rotated, _) = refreshed(&on_first, &rotated).await.unwrap();
    ended(&on_first, &doomed.session).await;
    let young = opened_on(&group, &on_second, "dave", |master| master == old).await;

    match failover {
        Failover::Forced => group.store.node_mut(old).unwrap().kill(),
        Failover::Agreed | Failover::TakenOver => {}
    }
    if failover == Failover::Forced {
        group.store.proxy(old).unwrap().cut(Peer::Replica);
    }
    group.store.fail_over(&key, failover).unwrap();
    // Whoever lies on the others' slots: its partition never was another history.
    (elsewhere, _) = refreshed(&on_first, &elsewhere).await.unwrap();
    group.store.proxy(old).unwrap().cut(Peer::Replica);
    group.store.proxy(old).unwrap().mend();
    if failover == Failover::Forced {
        group.store.node_mut(old).unwrap().restart().unwrap();
    }
    group.store.wait_until_well().unwrap();

    let (rotated, cause) = refreshed(&on_first, &rotated).await.unwrap();
    assert_eq!(cause, RefreshCause::Healed, "it was really lost");
    assert_eq!(refused(&on_second, &young).await, "REFRESH_ROLLED_BACK");
    for backend in [&on_first, &on_second] {
        assert_eq!(refused(backend, &doomed).await, "SESSION_ENDED");
        assert!(!is_active(backend, &doomed.session).await.unwrap());
    }
    refuses(&guard, &doomed.access_token).await;
    for held in [&kept, &rotated, &elsewhere] {
        let (_, cause) = refreshed(&on_second, held).await.unwrap();
        assert_eq!(cause, RefreshCause::Rotated, "{}", held.session);
    }
    refresh_once(&on_first, &opened(&on_first, "gina").await)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_failover_of_a_dead_primary_loses_no_revocation_and_signs_nobody_out() {
    a_takeover_with_loss(Failover::Forced).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_from_a_living_primary_loses_no_revocation_and_signs_nobody_out() {
    a_takeover_with_loss(Failover::TakenOver).await;
}

/// Slots that are moved: an eleventh of all, and so many partitions.
const SLOTS: &str = "1500";
/// Sessions, of which some lie there.
const SESSIONS: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn while_slots_are_moved_their_partitions_alone_wait_and_nobody_is_signed_out() {
    let options = ClusterOptions {
        lines: REPLICATED.map(str::to_owned).into(),
        ..ClusterOptions::default()
    };
    let group = Group::of(
        RedisCluster::start_with(&options).unwrap(),
        Kafka::start().unwrap(),
    );
    let ([first, second], secret) = group.nodes();
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let master = |held: &Held| group.store.master_of(&key_of(&held.session)).unwrap();
    let mut all = Vec::new();
    for number in 0..SESSIONS {
        let held = opened(&on_first, &format!("user-{number}")).await;
        all.push((master(&held), held));
    }
    let (from, to, other) = (0, 1, 2);
    let doomed = opened_on(&group, &on_first, "carol", |at| at == from).await;
    ended(&on_first, &doomed.session).await;
    let mut bystander = opened_on(&group, &on_second, "frank", |at| at == other).await;

    let node = group.store.node(from).unwrap();
    let id = |index: usize| {
        let told = group.store.node(index).unwrap().command(&["CLUSTER", "MYID"]);
        told.unwrap().trim().to_owned()
    };
    let (source, target, address) = (id(from), id(to), format!("127.0.0.1:{}", node.port()));
    let reshard = [
        "--cluster",
        "reshard",
        &address,
        "--cluster-from",
        &source,
        "--cluster-to",
        &target,
    ];
    let reshard = [&reshard[..], &["--cluster-slots", SLOTS, "--cluster-yes"]].concat();
    let is_over = AtomicBool::new(false);
    let asked = async {
        // Its partition lies on a third primary, and is never another history.
        let mut asked = 0;
        while !is_over.load(Ordering::SeqCst) {
            (bystander, _) = refresh_once(&on_second, &bystander).await.unwrap();
            asked += 1;
        }
        asked
    };
    let began = Instant::now();
    let moving = async {
        let mut cli = Command::new("redis-cli")
            .args(&reshard)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let status = until("the slots are moved", async || cli.try_wait().unwrap()).await;
        assert!(status.success(), "{status}");
        is_over.store(true, Ordering::SeqCst);
        began.elapsed()
    };
    let (asked, took) = tokio::join!(asked, moving);

    let moved_at = Instant::now();
    let mut moved = 0;
    for (before, held) in &all {
        moved += usize::from(*before != master(held));
        let (_, cause) = refreshed(&on_first, held).await.unwrap();
        assert_eq!(cause, RefreshCause::Rotated, "{}: nothing was lost", held.session);
    }
    assert!(moved > 0, "no session lies in a slot that was moved");
    assert_eq!(refused(&on_second, &doomed).await, "SESSION_ENDED");
    println!(
        "{SLOTS} slots moved in {took:.2?}, {asked} calls elsewhere answered meanwhile; all {SESSIONS} sessions, {moved} of \
         them moved, refreshed {:.2?} later",
        moved_at.elapsed()
    );
}
