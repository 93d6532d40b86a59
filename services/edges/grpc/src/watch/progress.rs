//! Who follows and how far: registrations, reports, the list of followers.
//!
//! **Invariant:** a follower of another log is told to reload, and confirms nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use curfew_authority::{Progress, Subscriber};
use curfew_core::ids::{CallerId, OperationId};
use curfew_core::refusal::Reason;
use curfew_core::time::Millis;
use curfew_proto::revocation::v1 as pb;
use prost::Message as _;
use tonic::Status;

use crate::check::{Check, LIST_MAX, TEXT_MAX};
use crate::convert::{duration, timestamp};
use crate::page::Paged;
use crate::published::bound;
use crate::shared::Call;
use crate::status::Of;

use super::queue::watermarks;

/// Refusals of one report.
const REFUSALS_MAX: usize = 256;
/// Lines of activity of one report.
const ACTIVITY_MAX: usize = 4_096;
/// Samples of one line of refusals.
const SAMPLES_MAX: usize = 16;
/// Followers whose caller and last report are remembered: as many as the registry keeps.
const REMEMBERED_MAX: usize = 10_000;

type Who = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Known {
    caller: CallerId,
    last_report: Option<OperationId>,
}

/// Which caller registered which follower, and its last report, so that a repeat is counted once.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    known: Mutex<HashMap<Who, Known>>,
}

impl Reports {
    /// A follower registers.
    pub(super) fn register(&self, subscriber: &Subscriber, caller: &CallerId) {
        self.note(subscriber, caller, None);
    }

    /// Whether this report is new; a registration is none.
    fn note(&self, subscriber: &Subscriber, caller: &CallerId, report: Option<OperationId>) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let who = (subscriber.name.clone(), subscriber.replica.clone());
        if known.len() >= REMEMBERED_MAX && !known.contains_key(&who) {
            // The registry forgets as well; a repeat across this point counts refusals twice.
            known.clear();
        }
        let entry = known.entry(who).or_insert_with(|| Known {
            caller: caller.clone(),
            last_report: None,
        });
        entry.caller = caller.clone();
        let is_new = report.is_some() && entry.last_report != report;
        if report.is_some() {
            entry.last_report = report;
        }
        is_new
    }

    fn caller_of(&self, subscriber: &Subscriber) -> Option<CallerId> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let who = (subscriber.name.clone(), subscriber.replica.clone());
        known.get(&who).map(|known| known.caller.clone())
    }
}

/// Refused where the name is another caller's, for as long as that one is heard: nobody speaks for
/// another's guard, or takes it off the list.
pub(super) fn is_ones_own(call: &Call, subscriber: &Subscriber) -> Result<(), Status> {
    let owner = call.shared.reports.caller_of(subscriber);
    let is_others = owner.is_some_and(|owner| Some(&owner) != call.caller_id().ok());
    let authority = call.authority();
    if is_others && authority.is_subscriber_live(&subscriber.name, &subscriber.replica) {
        let about = format!(
            "subscriber {} {} is another caller's",
            subscriber.name, subscriber.replica
        );
        return Err(call.because(Of::Request, Reason::AlreadyExists, about));
    }
    Ok(())
}

/// Where a stream or a report stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum From {
    /// Nowhere yet.
    Start,
    /// At these offsets of this log.
    Here(Vec<u64>),
    /// In another log, or in one of another shape.
    OtherLog,
}

/// The positions of a request; `None`: a fault.
pub(super) fn positions(
    check: &mut Check,
    call: &Call,
    positions: &[pb::Watermark],
    log_id: &[u8],
) -> Option<From> {
    let log = call.authority().follower().log();
    if !check.count("positions", positions.len(), 1_024) {
        return None;
    }
    if !log_id.is_empty() && log_id.len() != 16 {
        check.fault("log_id", "not 16 bytes");
        return None;
    }
    if positions.is_empty() {
        return Some(From::Start);
    }
    if log_id != log.log_id {
        return Some(From::OtherLog);
    }
    let mut next = vec![None; usize::from(log.partitions)];
    for (i, watermark) in positions.iter().enumerate() {
        let place = usize::try_from(watermark.partition)
            .ok()
            .and_then(|partition| next.get_mut(partition));
        match place {
            Some(place @ None) => *place = Some(watermark.next_offset),
            Some(Some(_)) => check.fault(format!("positions[{i}].partition"), "named twice"),
            None => check.fault(
                format!("positions[{i}].partition"),
                "the log has no such partition",
            ),
        }
    }
    match next.into_iter().collect::<Option<Vec<u64>>>() {
        Some(next) => Some(From::Here(next)),
        None => {
            check.fault("positions", "not one for each log partition");
            None
        }
    }
}

/// Who follows; `None`: a fault.
pub(super) fn subscriber(
    check: &mut Check,
    told: &pb::Subscriber,
    audiences: &[String],
) -> Option<Subscriber> {
    let name = check.required("subscriber.name", &told.name, TEXT_MAX);
    let replica = check.required("subscriber.replica", &told.replica, TEXT_MAX);
    let version = check.text("subscriber.version", &told.version, TEXT_MAX);
    check.texts("subscriber.capabilities", &told.capabilities, LIST_MAX, TEXT_MAX);
    let own = check.texts("subscriber.audiences", &told.audiences, LIST_MAX, TEXT_MAX);
    let source = match pb::FollowerSource::try_from(told.source) {
        Ok(pb::FollowerSource::Hub) => "hub",
        Ok(pb::FollowerSource::Log) => "log",
        Ok(pb::FollowerSource::Ssf) => "ssf",
        Ok(pb::FollowerSource::Authority) => "authority",
        Ok(pb::FollowerSource::Unspecified) | Err(_) => {
            check.fault("subscriber.source", "required");
            ""
        }
    };
    let bound_ms = routes(check, &told.routes);
    let audiences = if own.is_empty() {
        audiences
            .iter()
            .map(|audience| audience.as_str().into())
            .collect()
    } else {
        own
    };
    Some(Subscriber {
        name: name?,
        replica: replica?,
        version: version.unwrap_or_default(),
        source: source.into(),
        audiences,
        min_reader: told.min_reader,
        bound_ms,
    })
}

/// The largest bound; `None`: a route has none, or there is no route.
fn routes(check: &mut Check, routes: &[pb::RouteBound]) -> Option<i64> {
    if !check.count("subscriber.routes", routes.len(), LIST_MAX) {
        return None;
    }
    let mut largest = (!routes.is_empty()).then_some(0);
    for (i, route) in routes.iter().enumerate() {
        let field = format!("subscriber.routes[{i}]");
        check.required(&format!("{field}.route"), &route.route, TEXT_MAX);
        let rule = pb::StaleRule::try_from(route.stale_rule).unwrap_or(pb::StaleRule::Unspecified);
        if rule == pb::StaleRule::Unspecified {
            check.fault(format!("{field}.stale_rule"), "required");
        }
        let bound = check.span_ms(&format!("{field}.bound"), route.bound, 0).flatten();
        let bound = bound.filter(|_| !route.report_only && rule != pb::StaleRule::Allow);
        largest = largest
            .zip(bound)
            .map(|(largest, bound): (i64, i64)| largest.max(bound));
    }
    largest
}

/// What of a report is only bounded here: the sign-in log and activity come with later releases.
fn bounded(check: &mut Check, request: &pb::ReportProgressRequest) -> u64 {
    check.count("activity", request.activity.len(), ACTIVITY_MAX);
    let mut refusals = 0_u64;
    if check.count("refusals", request.refusals.len(), REFUSALS_MAX) {
        for (i, refusal) in request.refusals.iter().enumerate() {
            let field = format!("refusals[{i}]");
            check.text(&format!("{field}.reason"), &refusal.reason, TEXT_MAX);
            check.text(&format!("{field}.audience"), &refusal.audience, TEXT_MAX);
            check.text(&format!("{field}.route"), &refusal.route, TEXT_MAX);
            check.count(&format!("{field}.samples"), refusal.samples.len(), SAMPLES_MAX);
            refusals = refusals.saturating_add(refusal.count);
        }
    }
    refusals
}

/// ReportProgress.
pub(crate) fn report(
    call: &Call,
    request: pb::ReportProgressRequest,
) -> Result<pb::ReportProgressResponse, Status> {
    let mut check = Check::default();
    call.places(&mut check, "tenants", &request.tenants)?;
    let report: Option<OperationId> = check.id("report_id", &request.report_id);
    let refusals = bounded(&mut check, &request);
    if request.log_id.is_empty() {
        check.fault("log_id", "required");
    }
    let from = positions(&mut check, call, &request.positions, &request.log_id);
    let subscriber = match &request.subscriber {
        Some(told) => subscriber(&mut check, told, &[]),
        None => {
            check.fault("subscriber", "required");
            None
        }
    };
    let (subscriber, (from, report)) = call.done(check, subscriber.zip(from.zip(report)))?;
    is_ones_own(call, &subscriber)?;
    let authority = call.authority();
    let config = authority.config();
    let now = authority.now().wall;
    let interval = Some(duration(config.lease_ms / 6));
    let is_other = request.log_id != authority.follower().log().log_id;
    if is_other || from == From::OtherLog {
        return Ok(pb::ReportProgressResponse {
            server_time: Some(timestamp(now)),
            report_interval: interval,
            reload: true,
            ..Default::default()
        });
    }
    if request.leaving {
        authority.leave(&subscriber.name, &subscriber.replica);
        return Ok(pb::ReportProgressResponse {
            server_time: Some(timestamp(now)),
            report_interval: interval,
            ..Default::default()
        });
    }
    let next = match from {
        From::Here(next) => next,
        From::Start | From::OtherLog => Vec::new(),
    };
    let is_new = call
        .shared
        .reports
        .note(&subscriber, call.caller_id()?, Some(report));
    let progress = authority.report_progress(subscriber, next, if is_new { refusals } else { 0 });
    let lease = lease_of(&progress, config.lease_ms);
    Ok(pb::ReportProgressResponse {
        server_time: Some(timestamp(now)),
        lease_expire_time: Some(timestamp(lease)),
        counts_until_time: Some(timestamp(counts_until(&progress, lease))),
        report_interval: interval,
        registered_time: Some(timestamp(progress.registered_at)),
        reload: false,
    })
}

fn lease_of(progress: &Progress, lease_ms: i64) -> Millis {
    progress.seen_at.plus_ms(lease_ms)
}

/// A follower that lapsed is waited out for as long as it may still admit.
fn counts_until(progress: &Progress, lease: Millis) -> Millis {
    lease.plus_ms(progress.subscriber.bound_ms.unwrap_or(0))
}

/// ListSubscribers.
pub(crate) async fn list(
    call: &Call,
    request: pb::ListSubscribersRequest,
) -> Result<pb::ListSubscribersResponse, Status> {
    let mut check = Check::default();
    let canonical = pb::ListSubscribersRequest {
        page_size: 0,
        page_token: String::new(),
        ..request.clone()
    };
    let paged = Paged::of(
        &mut check,
        request.page_size,
        &request.page_token,
        "ListSubscribers",
        canonical.encode_to_vec(),
    );
    let audience = check.text("audience", &request.audience, TEXT_MAX);
    let name = check.text("name", &request.name, TEXT_MAX);
    let paged = call.done(check, paged)?;
    let authority = call.authority();
    let lease_ms = authority.config().lease_ms;
    let now = authority.now().wall;
    let sees_all = call.caller.may_touch_all();
    let own = call.caller_id()?;
    let mut leases = Vec::new();
    for progress in authority.list_subscribers() {
        let subscriber = &progress.subscriber;
        let caller = call.shared.reports.caller_of(subscriber);
        let lease = lease_of(&progress, lease_ms);
        let is_lapsed = now >= lease;
        // Followers do not say which tenants they follow: a caller of some tenants sees its own.
        let is_seen = (sees_all || caller.as_ref() == Some(own))
            && (!is_lapsed || (request.include_lapsed && now < counts_until(&progress, lease)))
            && audience
                .as_ref()
                .is_none_or(|audience| subscriber.audiences.contains(audience))
            && name.as_ref().is_none_or(|name| *name == subscriber.name);
        if !is_seen {
            continue;
        }
        let mut cursor = subscriber.name.as_bytes().to_vec();
        // No text holds a control character, so names and replicas cannot run into one another.
        cursor.push(0);
        cursor.extend_from_slice(subscriber.replica.as_bytes());
        leases.push((
            cursor,
            lease_on_wire(call, &progress, caller, lease_ms, is_lapsed),
        ));
    }
    leases.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (subscribers, next_page_token) = paged.take(call, leases).await?;
    Ok(pb::ListSubscribersResponse {
        subscribers,
        next_page_token,
    })
}

fn lease_on_wire(
    call: &Call,
    progress: &Progress,
    caller: Option<CallerId>,
    lease_ms: i64,
    lapsed: bool,
) -> pb::SubscriberLease {
    let subscriber = &progress.subscriber;
    let source = match &*subscriber.source {
        "hub" => pb::FollowerSource::Hub,
        "log" => pb::FollowerSource::Log,
        "ssf" => pb::FollowerSource::Ssf,
        "authority" => pb::FollowerSource::Authority,
        _ => pb::FollowerSource::Unspecified,
    };
    let lease = lease_of(progress, lease_ms);
    pb::SubscriberLease {
        subscriber: Some(pb::Subscriber {
            name: subscriber.name.to_string(),
            replica: subscriber.replica.to_string(),
            version: subscriber.version.to_string(),
            min_reader: subscriber.min_reader,
            source: source.into(),
            audiences: subscriber.audiences.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }),
        log_id: call.authority().follower().log().log_id.to_vec(),
        positions: watermarks(&progress.positions),
        largest_bound: bound(subscriber.bound_ms),
        create_time: Some(timestamp(progress.registered_at)),
        seen_time: Some(timestamp(progress.seen_at)),
        counts_until_time: Some(timestamp(counts_until(progress, lease))),
        lapsed,
        health: None,
        caller: caller
            .map(|caller| crate::name::top("callers", caller))
            .unwrap_or_default(),
    }
}
