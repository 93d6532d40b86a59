//! Reports to the hub: how far this guard is, what it refused, what it saw.
//!
//! **Invariant:** a report that was not taken is lost but for its positions, which the next one repeats.

use std::time::Duration;

use curfew_core::ids::RecordId;
use curfew_proto::revocation::v1 as pb;
use tokio::time::Instant;
use tonic::Status;

use super::{HubSource, duration, ms_of, timestamp};
use crate::guard::Guard;
use crate::refused::short_code;
use crate::report::{Activity, Batch, RefusalKind, Refusals, Sample};
use crate::wait::chance;

/// How often, until the hub says otherwise: a lease holds 30 s, so five reports may be lost.
const EVERY: Duration = Duration::from_secs(5);
/// What the hub may ask for.
const EVERY_MS: std::ops::RangeInclusive<i64> = 200..=10_000;

/// From the first revocation that was applied to the report of it: those of one moment are told together, and guards
/// do not all report at once.
const GATHER_MS: std::ops::Range<u64> = 20..80;
/// From one report to the next, while revocations come one after the other: doubled with each, up to the last. A
/// thousand guards are then a thousand reports a second and no more, and ENFORCED takes a second at the most.
const GAP_FIRST: Duration = Duration::from_millis(250);
const GAP_LAST: Duration = Duration::from_secs(1);

/// Reports for as long as it is polled: now and then all that was seen, and soon after a revocation was applied how
/// far the guard is.
pub(super) async fn report(hub: &HubSource, guard: &Guard) {
    guard.0.reports.enable();
    let mut every = EVERY;
    let (mut sent_at, mut gap) = (Instant::now(), GAP_FIRST);
    let mut whole_at = sent_at + every;
    loop {
        let is_whole = tokio::select! {
            () = tokio::time::sleep_until(whole_at) => true,
            () = guard.0.applied.notified() => {
                let now = Instant::now();
                gap = if now < sent_at + gap * 2 { GAP_LAST.min(gap * 2) } else { GAP_FIRST };
                let gather = GATHER_MS.start + chance() % (GATHER_MS.end - GATHER_MS.start);
                let at = (now + Duration::from_millis(gather)).max(sent_at + gap);
                tokio::time::sleep_until(at.min(whole_at)).await;
                at >= whole_at
            }
        };
        sent_at = Instant::now();
        let batch = if is_whole {
            guard.0.reports.take()
        } else {
            Batch::default()
        };
        // Without a view there is no log whose positions could be told.
        if let Some(request) = request_of(hub, guard, batch) {
            match hub.tell(request).await {
                Ok(wait) => every = wait.unwrap_or(every),
                Err(status) => tracing::warn!(%status, "a report was not taken"),
            }
        }
        if is_whole {
            whole_at = sent_at + every;
        }
    }
}

impl HubSource {
    /// One report; answers how often the service wants one.
    async fn tell(&self, request: pb::ReportProgressRequest) -> Result<Option<Duration>, Status> {
        let told = self
            .client()
            .report_progress(self.authorized(request).await?)
            .await?;
        let wait = told.into_inner().report_interval;
        Ok(wait.map(|wait| {
            let ms = ms_of(wait.seconds, wait.nanos).clamp(*EVERY_MS.start(), *EVERY_MS.end());
            Duration::from_millis(ms.unsigned_abs())
        }))
    }
}

fn request_of(hub: &HubSource, guard: &Guard, batch: Batch) -> Option<pb::ReportProgressRequest> {
    let view = guard.view();
    let follower = &view.as_ref()?.follower;
    let now = guard.now();
    let positions = follower.log().all().filter_map(|partition| {
        let next_offset = follower.state(partition)?.next?;
        Some(pb::Watermark {
            partition: partition.0.into(),
            next_offset,
        })
    });
    let audience = guard.0.audiences.first().cloned().unwrap_or_default();
    let refusal = |(kind, refusals)| refusal_of(kind, refusals, &audience);
    let activity = |(gid, seen): (curfew_core::ids::GrantId, Activity)| pb::ActivityReport {
        sid: seen.sid.map(|sid| sid.to_string()).unwrap_or_default(),
        gid: gid.to_string(),
        last_time: Some(timestamp(seen.last)),
        count: seen.count,
        audience: audience.clone(),
        tenant: seen.tenant.as_bytes().to_vec(),
    };
    Some(pb::ReportProgressRequest {
        subscriber: Some(hub.subscriber(guard)),
        log_id: follower.log().log_id.to_vec(),
        positions: positions.collect(),
        refusals: batch.refusals.into_iter().map(refusal).collect(),
        activity: batch.activity.into_iter().map(activity).collect(),
        health: Some(pb::GuardHealth {
            ready: guard.is_ready(),
            index_size: u64::try_from(guard.index_len()).unwrap_or(u64::MAX),
            oldest_heartbeat_age: guard.freshness_age_ms().map(duration),
            frozen_partitions: guard
                .frozen()
                .into_iter()
                .map(|partition| partition.0.into())
                .collect(),
            clock_time: Some(timestamp(now.wall)),
        }),
        report_id: report_id().to_string(),
        leaving: false,
        tenants: Vec::new(),
    })
}

fn refusal_of(kind: RefusalKind, refusals: Refusals, audience: &str) -> pb::RefusalReport {
    pb::RefusalReport {
        reason: short_code(kind.reason).to_owned(),
        audience: audience.to_owned(),
        route: kind.route.to_string(),
        count: refusals.count,
        first_time: Some(timestamp(refusals.first)),
        last_time: Some(timestamp(refusals.last)),
        report_only: kind.report_only,
        samples: refusals.samples.into_iter().map(sample_of).collect(),
    }
}

fn sample_of(sample: Sample) -> pb::RefusalSample {
    pb::RefusalSample {
        time: Some(timestamp(sample.at)),
        issuer: sample
            .issuer
            .map(|issuer| issuer.as_bytes().to_vec())
            .unwrap_or_default(),
        jti: sample.jti.unwrap_or_default(),
        sid: sample.sid.map(|sid| sid.to_string()).unwrap_or_default(),
        gid: sample.gid.map(|gid| gid.to_string()).unwrap_or_default(),
        client_id: sample.client.unwrap_or_default(),
        record_id: sample
            .record
            .map(|record| record.as_bytes().to_vec())
            .unwrap_or_default(),
        since_decision: sample.since_decision_ms.map(duration),
        client_ip: String::new(),
        trace: String::new(),
    }
}

pub(super) fn report_id() -> RecordId {
    let mut random = [0; 16];
    let (left, right) = random.split_at_mut(8);
    left.copy_from_slice(&chance().to_be_bytes());
    right.copy_from_slice(&chance().to_be_bytes());
    RecordId::from_random(random)
}
