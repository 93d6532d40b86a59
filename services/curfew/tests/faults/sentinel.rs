//! A primary under Sentinels that is replaced: with and without loss, there and back.

use curfew_proto::token::v1::RefreshCause;
use curfew_servers::{Direction, Peer};

use super::ask::{Held, ended, is_active, opened, refreshed, refused};
use super::group::{Group, refuses, sentinels};
use super::servers::{backend, guard};
use curfew_servers::Kafka;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failover_lost_is_healed_rolled_back_and_revoked_again_and_nobody_else_notices() {
    let mut group = Group::of(sentinels(), Kafka::start().unwrap());
    let ([first, second], secret) = group.nodes();
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let kept = opened(&on_first, "alice").await;
    let rotated = opened(&on_first, "bob").await;
    let doomed = opened(&on_first, "carol").await;
    let (guard, _running) = guard(&second, &on_second, &kept.access_token).await;
    let old = group.store.master().unwrap();
    group.store.redis_mut(old).unwrap().wait_for_replicas(2).unwrap();

    // From here on everything is acknowledged, and only the primary has it.
    group
        .store
        .proxy(old)
        .unwrap()
        .hold(Peer::Replica, Direction::FromServer);
    let (rotated, _) = refreshed(&on_second, &rotated).await.unwrap();
    let (rotated, cause) = refreshed(&on_first, &rotated).await.unwrap();
    assert_eq!(cause, RefreshCause::Rotated);
    ended(&on_first, &doomed.session).await;
    let young = opened(&on_second, "dave").await;
    let young_and_over = opened(&on_second, "erin").await;
    ended(&on_first, &young_and_over.session).await;

    group.store.redis_mut(old).unwrap().kill();
    group.store.proxy(old).unwrap().cut(Peer::Replica);
    group.store.wait_for_master_other_than(old).unwrap();
    group.store.proxy(old).unwrap().mend();
    group.store.redis_mut(old).unwrap().restart().unwrap();

    // It was really lost: that is what both are told as.
    let (rotated, cause) = refreshed(&on_first, &rotated).await.unwrap();
    assert_eq!(cause, RefreshCause::Healed);
    assert_eq!(refused(&on_second, &young).await, "REFRESH_ROLLED_BACK");
    // What was revoked stays revoked: in the row, at every node, at the guard.
    for backend in [&on_first, &on_second] {
        assert_eq!(refused(backend, &doomed).await, "SESSION_ENDED");
        assert!(!is_active(backend, &doomed.session).await.unwrap());
        refused(backend, &young_and_over).await;
    }
    for held in [&doomed, &young_and_over] {
        refuses(&guard, &held.access_token).await;
    }
    // And nobody else was signed out.
    for held in [&kept, &rotated] {
        let (_, cause) = refreshed(&on_second, held).await.unwrap();
        assert_eq!(cause, RefreshCause::Rotated, "{}", held.session);
    }
    // What comes back with the old primary is not what counts.
    group.store.wait_for_replica(old).unwrap();
    assert_eq!(refused(&on_second, &doomed).await, "SESSION_ENDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_demoted_and_promoted_again_lost_nothing_and_is_another_history_each_time() {
    let group = Group::of(sentinels(), Kafka::start().unwrap());
    let ([first, second], secret) = group.nodes();
    let (on_first, on_second) = (backend(&first, &secret).await, backend(&second, &secret).await);
    let mut kept = opened(&on_first, "alice").await;
    let original = group.store.master().unwrap();
    let mut over: Vec<Held> = Vec::new();
    let mut master = original;
    // Only one other may be promoted, so that the next turn is the first one's again.
    let priority = ["CONFIG", "SET", "replica-priority", "0"];
    let third = group.store.redis((original + 2) % 3).unwrap();
    third.command(&priority).unwrap();
    // Sentinels hear of it within ten seconds; until then it may be the third one's turn.
    for turn in 0..8 {
        let doomed = opened(&on_second, &format!("user-{turn}")).await;
        ended(&on_first, &doomed.session).await;
        over.push(doomed);
        let next = group.store.fail_over().unwrap();
        group.store.wait_for_replica(master).unwrap();
        master = next;
        (kept, _) = refreshed(&on_second, &kept).await.unwrap();
        for held in &over {
            refused(&on_first, held).await;
            assert!(!is_active(&on_second, &held.session).await.unwrap_or(false));
        }
        if turn > 0 && master == original {
            break;
        }
    }
    assert_eq!(master, original, "it was never promoted again");
    refreshed(&on_first, &kept).await.unwrap();
}
