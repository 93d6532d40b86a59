//! Admission against a server that does one thing at a time, in virtual time.

use tokio::sync::mpsc;

use super::*;

const TARGET: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_millis(250);

fn whose(text: &str) -> Whose {
    Some(text.parse().unwrap())
}

/// What became of a call, and how long that took.
#[derive(Debug)]
struct Told {
    shed: Option<Shed>,
    took: Duration,
}

/// Calls that arrive `per_ms` each millisecond for `ms`, at a server that needs 1 ms for each, one at a time.
async fn flood(admission: &Arc<Admission>, rank: Rank, per_ms: usize, ms: u64) -> Vec<Told> {
    let server = Arc::new(tokio::sync::Mutex::new(()));
    let (tell, mut told) = mpsc::unbounded_channel();
    for _ in 0..ms {
        for n in 0..per_ms {
            let (admission, server, tell) = (admission.clone(), server.clone(), tell.clone());
            tokio::spawn(async move {
                let began = Instant::now();
                let turn = admission.turn(rank, whose(&format!("caller-{n}")), None).await;
                if turn.is_ok() {
                    let _one_at_a_time = server.lock().await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tell.send(Told {
                    took: began.elapsed(),
                    shed: turn.err(),
                })
                .unwrap();
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(tell);
    let mut all = Vec::new();
    while let Some(one) = told.recv().await {
        all.push(one);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn three_times_too_much_keeps_the_tail_of_what_is_admitted_and_the_server_busy() {
    let admission = Admission::new(2_048, TARGET, WAIT_MAX);
    let all = flood(&admission, Rank::Tokens, 3, 10_000).await;
    let mut took: Vec<_> = all
        .iter()
        // The first seconds find out how much is too much.
        .skip(all.len() / 2)
        .filter(|told| told.shed.is_none())
        .map(|told| told.took)
        .collect();
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    assert!(p99 <= WAIT_MAX + TARGET * 2, "{p99:?}");
    let admitted = all.iter().filter(|told| told.shed.is_none()).count();
    assert!(admitted > 9_000, "{admitted} of the 10,000 that it can do");
    let shed = all.iter().filter(|told| told.shed.is_some()).count();
    assert!(shed > 10_000, "{shed}");
    // Told at once, most of them: an answer that says no is of use while it is early.
    let at_once = all
        .iter()
        .filter(|told| told.shed.is_some() && told.took.is_zero())
        .count();
    assert!(at_once * 10 > shed * 8, "{at_once} of {shed}");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_can_do_is_never_shed() {
    let admission = Admission::new(2_048, TARGET, WAIT_MAX);
    let server_can = flood(&admission, Rank::Tokens, 1, 5_000).await;
    assert!(server_can.iter().all(|told| told.shed.is_none()));
}

#[tokio::test(start_paused = true)]
async fn the_refused_are_told_times_of_their_own() {
    let admission = Admission::new(2_048, TARGET, WAIT_MAX);
    let all = flood(&admission, Rank::Tokens, 5, 1_500).await;
    let mut delays: Vec<_> = all
        .iter()
        .filter_map(|told| told.shed)
        .map(|shed| match shed {
            Shed::Busy(delay) | Shed::Deadline(delay) => delay,
        })
        .collect();
    assert!(delays.len() > 1_000);
    assert!(delays.iter().all(|delay| *delay <= RETRY_MAX && !delay.is_zero()));
    delays.sort_unstable();
    delays.dedup_by_key(|delay| delay.as_millis() / 100);
    assert!(delays.len() > 20, "spread over seconds: {delays:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_the_turn_would_miss_is_refused_at_once() {
    let admission = Admission::new(2_048, TARGET, WAIT_MAX);
    flood(&admission, Rank::Tokens, 3, 3_000).await;
    // The server is known now: 1 ms a call. All turns are taken, and 50 wait.
    let at_once = admission.lock().window.at_once();
    let mut turns = Vec::new();
    for _ in 0..at_once {
        turns.push(admission.turn(Rank::Tokens, None, None).await.unwrap());
    }
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let admission = admission.clone();
        waiting.push(tokio::spawn(async move {
            admission.turn(Rank::Tokens, None, None).await.map(drop)
        }));
    }
    tokio::task::yield_now().await;
    let now = Instant::now();
    let left = Some(Duration::from_millis(10));
    let refused = admission.turn(Rank::Tokens, None, left).await.unwrap_err();
    assert!(matches!(refused, Shed::Deadline(_)), "{refused:?}");
    assert_eq!(now.elapsed(), Duration::ZERO);
    // Another caller's first is next in turn, and what ends things does not wait at all.
    let ends = admission.turn(Rank::Ends, None, left).await;
    assert!(ends.is_ok());
    drop((turns, ends));
    for one in waiting {
        one.await.unwrap().unwrap();
    }
    let state = admission.lock();
    assert_eq!((state.running, state.lanes.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_takes_nobodys_turn() {
    let admission = Admission::new(1, TARGET, WAIT_MAX);
    let turn = admission.turn(Rank::Tokens, None, None).await.unwrap();
    let impatient = {
        let admission = admission.clone();
        tokio::spawn(async move { admission.turn(Rank::Tokens, whose("a"), None).await.map(drop) })
    };
    let patient = {
        let admission = admission.clone();
        tokio::spawn(async move { admission.turn(Rank::Tokens, whose("b"), None).await.map(drop) })
    };
    tokio::task::yield_now().await;
    assert_eq!(admission.lock().lanes.len(), 2);
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    drop(turn);
    patient.await.unwrap().unwrap();
    let state = admission.lock();
    assert_eq!((state.running, state.lanes.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_the_bound_when_nothing_departs() {
    let admission = Admission::new(1, TARGET, WAIT_MAX);
    let _stuck = admission.turn(Rank::Tokens, None, None).await.unwrap();
    let now = Instant::now();
    let refused = admission.turn(Rank::Reads, None, None).await.unwrap_err();
    assert!(matches!(refused, Shed::Busy(_)));
    assert_eq!(now.elapsed(), WAIT_MAX);
    assert_eq!(admission.lock().lanes.len(), 0);
}
