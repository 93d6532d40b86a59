//! Who follows and how far: registrations, reports, the list of followers.
//!
//! **Invariant:** a follower of another log is told to reload, and confirms nothing.

use curfew_authority::Subscriber;
use curfew_core::directory::{Lease, RouteBound, StaleRule};
use curfew_core::ids::{CallerId, OperationId};
use curfew_core::refusal::Reason;
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
/// Refused where the name is another caller's, for as long as that one is heard: nobody speaks for
/// another's guard, or takes it off the list.
pub(super) fn is_ones_own(call: &Call, subscriber: &Subscriber) -> Result<(), Status> {
    let authority = call.authority();
    let known = authority.subscriber(&subscriber.name, &subscriber.replica);
    let now = authority.now().wall;
    if known.is_some_and(|lease| lease.caller != subscriber.caller && lease.is_live(now)) {
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
    caller: &CallerId,
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
    let routes = routes(check, &told.routes);
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
        caller: caller.as_str().into(),
        version: version.unwrap_or_default(),
        source: source.into(),
        audiences,
        min_reader: told.min_reader,
        bound_ms: largest(&routes),
        routes,
    })
}

/// The largest bound; `None`: a route has none, or there is no route.
fn largest(routes: &[RouteBound]) -> Option<i64> {
    let bounds: Option<Vec<_>> = routes.iter().map(|route| route.bound_ms).collect();
    bounds?.into_iter().max()
}

fn routes(check: &mut Check, routes: &[pb::RouteBound]) -> Vec<RouteBound> {
    if !check.count("subscriber.routes", routes.len(), LIST_MAX) {
        return Vec::new();
    }
    let route = |(i, route): (usize, &pb::RouteBound)| {
        let field = format!("subscriber.routes[{i}]");
        let name = check.required(&format!("{field}.route"), &route.route, TEXT_MAX);
        let rule = match pb::StaleRule::try_from(route.stale_rule) {
            Ok(pb::StaleRule::AgeCap) => Some(StaleRule::AgeCap),
            Ok(pb::StaleRule::Introspect) => Some(StaleRule::Introspect),
            Ok(pb::StaleRule::Deny) => Some(StaleRule::Deny),
            Ok(pb::StaleRule::Allow) => Some(StaleRule::Allow),
            Ok(pb::StaleRule::Unspecified) | Err(_) => {
                check.fault(format!("{field}.stale_rule"), "required");
                None
            }
        };
        let bound = check.span_ms(&format!("{field}.bound"), route.bound, 0).flatten();
        let rule = rule?;
        Some(RouteBound {
            route: name?,
            rule,
            bound_ms: bound.filter(|_| !route.report_only && rule != StaleRule::Allow),
            report_only: route.report_only,
        })
    };
    routes.iter().enumerate().filter_map(route).collect()
}

/// What of a report is only bounded here: the sign-in log and activity come with later releases.
fn bounded(check: &mut Check, request: &pb::ReportProgressRequest) {
    check.count("activity", request.activity.len(), ACTIVITY_MAX);
    if check.count("refusals", request.refusals.len(), REFUSALS_MAX) {
        for (i, refusal) in request.refusals.iter().enumerate() {
            let field = format!("refusals[{i}]");
            check.text(&format!("{field}.reason"), &refusal.reason, TEXT_MAX);
            check.text(&format!("{field}.audience"), &refusal.audience, TEXT_MAX);
            check.text(&format!("{field}.route"), &refusal.route, TEXT_MAX);
            check.count(&format!("{field}.samples"), refusal.samples.len(), SAMPLES_MAX);
        }
    }
}

/// ReportProgress.
pub(crate) async fn report(
    call: &Call,
    request: pb::ReportProgressRequest,
) -> Result<pb::ReportProgressResponse, Status> {
    let mut check = Check::default();
    call.places(&mut check, "tenants", &request.tenants)?;
    let report: Option<OperationId> = check.id("report_id", &request.report_id);
    bounded(&mut check, &request);
    if request.log_id.is_empty() {
        check.fault("log_id", "required");
    }
    let from = positions(&mut check, call, &request.positions, &request.log_id);
    let caller = call.caller_id()?;
    let subscriber = match &request.subscriber {
        Some(told) => subscriber(&mut check, caller, told, &[]),
        None => {
            check.fault("subscriber", "required");
            None
        }
    };
    // Positions only rise, so a repeat of a report changes nothing.
    let (subscriber, (from, _)) = call.done(check, subscriber.zip(from.zip(report)))?;
    is_ones_own(call, &subscriber)?;
    let authority = call.authority();
    let now = authority.now().wall;
    let told = pb::ReportProgressResponse {
        server_time: Some(timestamp(now)),
        report_interval: Some(duration(authority.config().lease_ms / 6)),
        ..Default::default()
    };
    let is_other = request.log_id != authority.follower().log().log_id;
    if is_other || from == From::OtherLog {
        return Ok(pb::ReportProgressResponse { reload: true, ..told });
    }
    if request.leaving {
        authority.leave(&subscriber.name, &subscriber.replica).await;
        return Ok(told);
    }
    let next = match from {
        From::Here(next) => next,
        From::Start | From::OtherLog => Vec::new(),
    };
    let lease = authority.report_progress(subscriber, next).await;
    let lease = lease.map_err(call.refuse(Of::Request))?;
    Ok(pb::ReportProgressResponse {
        lease_expire_time: Some(timestamp(lease.lapse())),
        counts_until_time: Some(timestamp(lease.counts_until)),
        registered_time: Some(timestamp(lease.registered)),
        ..told
    })
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
    let now = authority.now().wall;
    let sees_all = call.caller.may_touch_all();
    let own = call.caller_id()?;
    let listed = authority.list_subscribers().await;
    let mut leases = Vec::new();
    for lease in listed.map_err(call.refuse(Of::Request))? {
        let is_lapsed = now >= lease.lapse();
        // Followers do not say which tenants they follow: a caller of some tenants sees its own.
        let is_seen = (sees_all || *lease.caller == *own.as_str())
            && (!is_lapsed || request.include_lapsed)
            && audience
                .as_ref()
                .is_none_or(|audience| lease.audiences.contains(audience))
            && name.as_ref().is_none_or(|name| *name == lease.name);
        if !is_seen {
            continue;
        }
        let mut cursor = lease.name.as_bytes().to_vec();
        // No text holds a control character, so names and replicas cannot run into one another.
        cursor.push(0);
        cursor.extend_from_slice(lease.replica.as_bytes());
        leases.push((cursor, lease_on_wire(&lease, is_lapsed)));
    }
    leases.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (subscribers, next_page_token) = paged.take(call, leases).await?;
    Ok(pb::ListSubscribersResponse {
        subscribers,
        next_page_token,
    })
}

fn lease_on_wire(lease: &Lease, lapsed: bool) -> pb::SubscriberLease {
    let source = match &*lease.source {
        "hub" => pb::FollowerSource::Hub,
        "log" => pb::FollowerSource::Log,
        "ssf" => pb::FollowerSource::Ssf,
        "authority" => pb::FollowerSource::Authority,
        _ => pb::FollowerSource::Unspecified,
    };
    let route = |route: &RouteBound| pb::RouteBound {
        route: route.route.to_string(),
        stale_rule: match route.rule {
            StaleRule::AgeCap => pb::StaleRule::AgeCap,
            StaleRule::Introspect => pb::StaleRule::Introspect,
            StaleRule::Deny => pb::StaleRule::Deny,
            StaleRule::Allow => pb::StaleRule::Allow,
        }
        .into(),
        bound: bound(route.bound_ms),
        report_only: route.report_only,
    };
    let caller = Some(&*lease.caller).filter(|caller| !caller.is_empty());
    pb::SubscriberLease {
        subscriber: Some(pb::Subscriber {
            name: lease.name.to_string(),
            replica: lease.replica.to_string(),
            version: lease.version.to_string(),
            min_reader: lease.min_reader,
            source: source.into(),
            audiences: lease.audiences.iter().map(ToString::to_string).collect(),
            routes: lease.routes.iter().map(route).collect(),
            ..Default::default()
        }),
        log_id: lease.log_id.to_vec(),
        positions: watermarks(&lease.positions),
        largest_bound: bound(lease.bound_ms),
        create_time: Some(timestamp(lease.registered)),
        seen_time: Some(timestamp(lease.seen)),
        counts_until_time: Some(timestamp(lease.counts_until)),
        lapsed,
        health: None,
        caller: caller
            .map(|caller| crate::name::top("callers", caller))
            .unwrap_or_default(),
    }
}
