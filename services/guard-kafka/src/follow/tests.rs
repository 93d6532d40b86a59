//! What a log does, and what the guard makes of it: on the fake log, in virtual time.

use curfew_core::place::LogPartition;
use curfew_core::record::{LogRecord, Skip, UnknownRecord};
use curfew_core::refusal::Reason;
use curfew_core::time::Millis;
use curfew_ports::testing::FakeLog;
use curfew_testkit::ManualClock;
use tokio::task::JoinHandle;

use super::*;
use crate::desk::{Desk, HOME, until};

const LOG: LogIdentity = match LogIdentity::new([7; 16], 4) {
    Some(log) => log,
    None => panic!("4 divides 1,024"),
};
const OTHER: LogIdentity = match LogIdentity::new([8; 16], 4) {
    Some(log) => log,
    None => panic!("4 divides 1,024"),
};
const BOUND_MS: i64 = 5_000;
const STALE: Option<Reason> = Some(Reason::FreshnessStale);
const REVOKED: Option<Reason> = Some(Reason::TokenRevoked);

#[async_trait]
impl OpenLog for FakeLog {
    async fn open(&self, expected: Option<LogIdentity>) -> Result<Arc<dyn Log>, OpenError> {
        let found = self.identity().await?;
        match expected {
            Some(expected) if expected != found => Err(OpenError::OtherLog {
                topic: "fake".to_owned(),
                partition: HOME,
                offset: 0,
                found,
                expected,
            }),
            Some(_) | None => Ok(Arc::new(self.clone())),
        }
    }
}

struct Scene {
    clock: ManualClock,
    log: FakeLog,
    desk: Arc<Desk>,
    _following: JoinHandle<()>,
}

impl Scene {
    /// A guard that follows this log.
    async fn follow(log: impl FnOnce(&ManualClock) -> FakeLog) -> Self {
        let clock = ManualClock::at(Millis::from_unix_seconds(1_800_000_000));
        let log = log(&clock);
        let desk = Arc::new(Desk::new(Arc::new(clock.clone()), BOUND_MS));
        let following = tokio::spawn({
            let (log, guard) = (log.clone(), desk.guard.clone());
            async move { follow(&log, &guard, None, None).await }
        });
        Self {
            clock,
            log,
            desk,
            _following: following,
        }
    }

    /// One that is fresh, and has read that the first session is over.
    async fn fresh() -> Self {
        let scene = Self::follow(|clock| FakeLog::new(LOG, Arc::new(clock.clone()))).await;
        scene.append(HOME, &scene.desk.revocation(1)).await;
        scene.is_fresh_after_beats(LOG).await;
        assert_eq!(scene.desk.refusal(1), REVOKED);
        assert_eq!(scene.desk.guard.metrics().reloads(), 0);
        scene
    }

    async fn append(&self, partition: LogPartition, record: &LogRecord) {
        self.log.append(partition, record).await.unwrap();
    }

    /// Time passes, and every partition has a heartbeat behind it.
    async fn beats(&self, log: LogIdentity) {
        self.clock.advance(10);
        for partition in log.all() {
            self.append(partition, &self.desk.beat(log, None)).await;
        }
    }

    async fn is_fresh_after_beats(&self, log: LogIdentity) {
        // Heartbeats stamped before the guard had begun prove nothing: it may begin later than this.
        let is_fresh = async {
            loop {
                self.beats(log).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                if self.desk.refusal(2).is_none() && !self.desk.guard.is_stale() {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(120), is_fresh)
            .await
            .unwrap();
        assert!(self.desk.guard.is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn p37_what_is_read_denies_at_once_and_nothing_is_fresh_before_the_end_noted_at_the_start() {
    let far = LogPartition(3);
    let scene = Scene::follow(|clock| {
        let log = FakeLog::new(LOG, Arc::new(clock.clone()));
        log.hold_back(far);
        log
    })
    .await;
    // The task has not begun yet: all of this lies on the log when it does.
    scene.append(HOME, &scene.desk.revocation(1)).await;
    scene.append(far, &scene.desk.revocation(3)).await;
    until("the first record denies", || scene.desk.refusal(1) == REVOKED).await;
    scene.beats(LOG).await;
    scene.append(HOME, &scene.desk.revocation(4)).await;
    until("what follows denies too", || scene.desk.refusal(4) == REVOKED).await;
    // A young heartbeat was read in this partition, and another one is not read up to the end.
    assert_eq!(scene.desk.refusal(2), STALE);
    scene.log.let_through(far);
    until("it is whole", || scene.desk.refusal(2).is_none()).await;
    assert!(scene.desk.guard.is_ready());
}

#[tokio::test(start_paused = true)]
async fn p6_a_heartbeat_from_before_the_start_proves_nothing() {
    let scene = Scene::follow(|clock| FakeLog::new(LOG, Arc::new(clock.clone()))).await;
    for partition in LOG.all() {
        scene.append(partition, &scene.desk.beat(LOG, None)).await;
    }
    scene.append(HOME, &scene.desk.revocation(1)).await;
    until("it is read", || scene.desk.refusal(1) == REVOKED).await;
    assert_eq!(scene.desk.guard.freshness_age_ms(), Some(0));
    assert_eq!(scene.desk.refusal(2), STALE);
    scene.is_fresh_after_beats(LOG).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_away_is_gone_on_with_where_it_broke() {
    let scene = Scene::fresh().await;
    let tails = scene.log.counts().tails;
    scene.log.go_down();
    until("it tries", || scene.log.counts().tails > tails + 1).await;
    // Freshness ends by its age, and not before.
    assert_eq!(scene.desk.refusal(2), None);
    scene.clock.advance(BOUND_MS);
    assert_eq!(scene.desk.refusal(2), STALE);
    assert_eq!(scene.desk.refusal(1), REVOKED);
    scene.log.come_up();
    scene.append(HOME, &scene.desk.revocation(3)).await;
    scene.is_fresh_after_beats(LOG).await;
    assert_eq!(scene.desk.refusal(3), REVOKED);
    assert_eq!(scene.desk.guard.metrics().reloads(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_tail_is_opened_again() {
    let scene = Scene::fresh().await;
    let tails = scene.log.counts().tails;
    until("it is opened again", || scene.log.counts().tails > tails).await;
    assert_eq!(scene.desk.guard.metrics().reloads(), 0);
}

#[tokio::test(start_paused = true)]
async fn p10_what_was_trimmed_before_it_was_read_has_the_log_read_again_and_the_marks_stay() {
    let scene = Scene::fresh().await;
    scene.log.hold_back(HOME);
    scene.append(HOME, &scene.desk.revocation(3)).await;
    scene.append(HOME, &scene.desk.revocation(4)).await;
    let end = scene.log.bounds().await.unwrap()[HOME.index()].end;
    scene.log.trim(HOME, end - 1);
    until("it begins again", || scene.desk.guard.metrics().reloads() == 1).await;
    // Nothing is fresh although no time has passed, and what was trimmed goes on denying.
    assert_eq!(scene.desk.refusal(2), STALE);
    assert_eq!(scene.desk.refusal(1), REVOKED);
    scene.log.let_through(HOME);
    scene.is_fresh_after_beats(LOG).await;
    assert_eq!(scene.desk.refusal(1), REVOKED);
    assert_eq!(scene.desk.refusal(4), REVOKED);
    assert_eq!(scene.desk.guard.metrics().reloads(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_record_where_the_last_one_was_read_is_another_history() {
    let scene = Scene::fresh().await;
    scene.append(HOME, &scene.desk.revocation(3)).await;
    until("it is read", || scene.desk.refusal(3) == REVOKED).await;
    let tails = scene.log.counts().tails;
    scene.log.go_down();
    until("it tries", || scene.log.counts().tails > tails).await;
    scene.log.come_up();
    let end = scene.log.bounds().await.unwrap()[HOME.index()].end;
    scene.log.truncate(HOME, end - 1);
    scene.append(HOME, &scene.desk.revocation(4)).await;
    until("it begins again", || scene.desk.guard.metrics().reloads() == 1).await;
    assert_eq!(scene.desk.refusal(2), STALE);
    scene.is_fresh_after_beats(LOG).await;
    for n in [1, 3, 4] {
        assert_eq!(scene.desk.refusal(n), REVOKED, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn p9_another_log_in_its_place_is_refused_and_freshness_ends_at_once() {
    let scene = Scene::fresh().await;
    scene.log.replace(OTHER);
    until("it is not fresh", || scene.desk.refusal(2) == STALE).await;
    // However many heartbeats it has.
    for _ in 0..3 {
        scene.beats(OTHER).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(scene.desk.refusal(2), STALE);
    }
    assert_eq!(scene.desk.refusal(1), REVOKED);
    assert!(!scene.desk.guard.is_ready());
    scene.log.replace(LOG);
    scene.is_fresh_after_beats(LOG).await;
    assert_eq!(scene.desk.refusal(1), REVOKED);
}

#[tokio::test(start_paused = true)]
async fn p9_a_heartbeat_of_another_log_ends_freshness_at_once() {
    let scene = Scene::fresh().await;
    scene.append(HOME, &scene.desk.beat(OTHER, None)).await;
    until("it is not fresh", || scene.desk.refusal(2) == STALE).await;
    scene.beats(LOG).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(scene.desk.refusal(2), STALE);
    assert_eq!(scene.desk.refusal(1), REVOKED);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_no_heartbeat_has_named_is_not_kept_to() {
    let scene = Scene::follow(|clock| FakeLog::new(LOG, Arc::new(clock.clone()))).await;
    scene.append(HOME, &scene.desk.revocation(1)).await;
    until("it is read", || scene.desk.refusal(1) == REVOKED).await;
    scene.log.replace(OTHER);
    scene.is_fresh_after_beats(OTHER).await;
    assert_eq!(scene.desk.refusal(1), REVOKED);
}

#[tokio::test(start_paused = true)]
async fn q20_a_record_that_cannot_be_read_freezes_its_partition_until_it_is_skipped() {
    let scene = Scene::fresh().await;
    let raw: Arc<[u8]> = b"2027".as_slice().into();
    let unknown = LogRecord::Unknown(UnknownRecord {
        raw: raw.clone(),
        why: "min_reader 2".into(),
    });
    let position = scene.log.append(HOME, &unknown).await.unwrap();
    scene.append(HOME, &scene.desk.revocation(3)).await;
    until("it is read", || scene.desk.refusal(3) == REVOKED).await;
    scene.beats(LOG).await;
    assert_eq!(scene.desk.guard.frozen(), [HOME]);
    assert_eq!(scene.desk.refusal(2), Some(Reason::FreshnessFrozen));
    let skip = LogRecord::Skip(Skip {
        log: LOG,
        partition: HOME,
        offset: position.offset,
        record_hash: curfew_core::mac::sha256(&raw),
        by: "ops".into(),
        reason: "of a release that was taken back".into(),
    });
    scene.append(HOME, &skip).await;
    scene.is_fresh_after_beats(LOG).await;
}
