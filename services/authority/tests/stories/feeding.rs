//! Followers of one node: they share what it reads, and one that lies far back comes near by itself.

use curfew_authority::{Authority, FeedTail, LogError, LogOperation, Target};
use curfew_ports::log::Log as _;
use tokio::task::JoinHandle;

use crate::world::World;

/// Follows the log as a running node does, from what it has read.
async fn following(world: &World) -> JoinHandle<()> {
    world.authority.catch_up().await.unwrap();
    let authority = world.authority.clone();
    let following = tokio::spawn(async move { authority.follow().await });
    // Once it has applied something it has begun.
    revoke(world).await;
    following
}

/// Revokes a session, and waits until the node has read of it.
async fn revoke(world: &World) {
    let tokens = world.sign_in("alice", "web").await;
    let target = Target::Session(tokens.issued.refresh.sid);
    let id = world.revoke(target).await.unwrap().record.unwrap();
    world.authority.journal().wait_for(id).await;
}

/// The offsets after the newest records.
async fn ends(world: &World) -> Vec<u64> {
    let bounds = world.log.bounds().await.unwrap();
    bounds.iter().map(|bounds| bounds.end).collect()
}

/// The offsets of the oldest records.
async fn starts(world: &World) -> Vec<u64> {
    let bounds = world.log.bounds().await.unwrap();
    bounds.iter().map(|bounds| bounds.start).collect()
}

fn readers(authority: &Authority) -> u64 {
    authority.metrics().log(LogOperation::Tail).unwrap().count()
}

/// Reads until it is at the log's end; how many records lay before.
async fn read_all(world: &World, tail: &mut FeedTail, mut next: Vec<u64>) -> usize {
    let ends = ends(world).await;
    let mut count = 0;
    while next != ends {
        for entry in tail.next().await.unwrap().iter() {
            let next = &mut next[entry.position.partition.index()];
            if entry.position.offset >= *next {
                assert_eq!(entry.position.offset, *next, "no gap");
                *next += 1;
                count += 1;
            }
        }
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_thousand_followers_near_the_end_cost_no_reader_of_the_log() {
    let world = World::new().await;
    let following = following(&world).await;
    let ends = ends(&world).await;
    let before = readers(&world.authority);
    let mut tails = Vec::new();
    for _ in 0..1_000 {
        tails.push(world.authority.tail_from(ends.clone()).await.unwrap());
    }
    revoke(&world).await;
    for tail in &mut tails {
        assert_eq!(read_all(&world, tail, ends.clone()).await, 1);
    }
    assert_eq!(readers(&world.authority), before);
    following.abort();
}

#[tokio::test(start_paused = true)]
async fn one_that_lies_far_back_reads_for_itself_until_it_has_come_near() {
    let world = World::new().await;
    revoke_unheard(&world).await;
    let following = following(&world).await;
    let before = readers(&world.authority);
    let start = starts(&world).await;
    let mut tail = world.authority.tail_from(start.clone()).await.unwrap();
    assert_eq!(readers(&world.authority), before + 1);
    let count = read_all(&world, &mut tail, start).await;
    assert!(count >= 2, "{count}");
    let ends = ends(&world).await;
    revoke(&world).await;
    assert_eq!(read_all(&world, &mut tail, ends).await, 1);
    assert!(
        format!("{tail:?}").contains("reads: Recent"),
        "it shares what the node reads: {tail:?}"
    );

    // Only so many at once; the next waits for one of them to come near, or to go.
    let far = starts(&world).await;
    let mut reading = Vec::new();
    for _ in 0..8 {
        reading.push(world.authority.tail_from(far.clone()).await.unwrap());
    }
    let authority = world.authority.clone();
    let waiting = tokio::spawn(async move { authority.tail_from(far).await.map(drop) });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    reading.pop();
    waiting.await.unwrap().unwrap();
    following.abort();
}

/// Before anybody follows.
async fn revoke_unheard(world: &World) {
    let tokens = world.sign_in("bob", "web").await;
    world
        .revoke(Target::Session(tokens.issued.refresh.sid))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn offsets_that_the_log_does_not_have_are_told_and_so_is_another_history() {
    let world = World::new().await;
    let following = following(&world).await;
    let ends = ends(&world).await;
    let beyond: Vec<_> = ends.iter().map(|end| end + 1).collect();
    for (next, is_right) in [
        (
            beyond,
            (|error| matches!(error, LogError::OutOfRange { .. })) as fn(&LogError) -> bool,
        ),
        (vec![0], |error| matches!(error, LogError::NoSuchPartition(_))),
    ] {
        match world.authority.tail_from(next).await {
            Err(error) => assert!(is_right(&error), "{error}"),
            Ok(tail) => panic!("{tail:?}"),
        }
    }

    let mut tail = world.authority.tail_from(ends.clone()).await.unwrap();
    let partition = curfew_core::place::LogPartition(0);
    // A leader that never had the end of it: the node begins again, and so must whoever follows it.
    world.log.truncate(partition, ends[0] - 1);
    world.log.go_down();
    tokio::task::yield_now().await;
    world.log.come_up();
    let told = loop {
        match tail.next().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(told, LogError::OutOfRange { .. }), "{told}");
    following.abort();
}
