//! `curfew guards`: who follows, how far each is, and what it does while its view is stale.

use std::collections::BTreeMap;

use clap::Args;
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;

use super::{Common, json, print, time, word};
use crate::cli::Failure;

/// Followers of one answer.
const PAGE: i32 = 500;
/// Answers that are asked for: as many followers as a fleet may have, and some more.
const PAGES_MAX: usize = 30;

/// Lists guards and authorities, how far each is, and what it does while its view is stale.
#[derive(Args, Clone, Debug)]
pub(crate) struct Guards {
    /// Only those that guard this audience.
    #[arg(long, value_name = "AUDIENCE", default_value = "", hide_default_value = true)]
    audience: String,
    /// Only those of this name.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Leave out those that have lapsed and are only waited out.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

pub(crate) async fn run(args: Guards) -> Result<(), Failure> {
    let mut revocations = RevocationServiceClient::new(args.common.connection.open().await?);
    let mut all = pb::ListSubscribersResponse::default();
    let mut request = pb::ListSubscribersRequest {
        page_size: PAGE,
        audience: args.audience.clone(),
        name: args.name.clone(),
        include_lapsed: !args.live,
        ..Default::default()
    };
    for _ in 0..PAGES_MAX {
        let page = revocations.list_subscribers(request.clone()).await?.into_inner();
        all.subscribers.extend(page.subscribers);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    args.common.show(|| json::of(&all), || table(&all.subscribers))
}

/// The furthest place of each log partition that anybody has told.
fn heads(all: &[pb::SubscriberLease]) -> BTreeMap<u32, u64> {
    let mut heads = BTreeMap::new();
    for mark in all.iter().flat_map(|lease| &lease.positions) {
        let head = heads.entry(mark.partition).or_insert(0);
        *head = mark.next_offset.max(*head);
    }
    heads
}

fn table(all: &[pb::SubscriberLease]) -> String {
    let heads = heads(all);
    let now = time::now();
    let row = |lease: &pb::SubscriberLease| {
        let who = lease.subscriber.clone().unwrap_or_default();
        [
            who.name.clone(),
            who.replica.clone(),
            who.audiences.join(" "),
            word(who.source().as_str_name(), "FOLLOWER_SOURCE_"),
            rule(lease, &who.routes),
            lag(lease, &heads),
            time::near(lease.seen_time, now),
            if lease.lapsed { "lapsed" } else { "" }.to_owned(),
        ]
    };
    let headings = [
        "NAME",
        "REPLICA",
        "AUDIENCE",
        "SOURCE",
        "STALE RULE",
        "LAG",
        "LAST SEEN",
        "",
    ];
    print::rows(headings, all.iter().map(row))
}

/// The rule of the route with the largest bound, and that bound.
fn rule(lease: &pb::SubscriberLease, routes: &[pb::RouteBound]) -> String {
    let bound = |route: &pb::RouteBound| {
        // No bound is the largest one.
        route
            .bound
            .map_or((i64::MAX, 0), |bound| (bound.seconds, bound.nanos))
    };
    let Some(widest) = routes.iter().max_by_key(|route| bound(route)) else {
        return "none told".to_owned();
    };
    let rule = word(widest.stale_rule().as_str_name(), "STALE_RULE_");
    match (lease.largest_bound, widest.report_only) {
        (_, true) => format!("{rule}, report only"),
        (Some(bound), false) => format!("{rule} {bound}"),
        (None, false) => format!("{rule}, no bound"),
    }
}

/// Records that it has not told to have applied.
fn lag(lease: &pb::SubscriberLease, heads: &BTreeMap<u32, u64>) -> String {
    if lease.positions.is_empty() {
        return "not told".to_owned();
    }
    let behind = lease.positions.iter().map(|mark| {
        let head = heads.get(&mark.partition).copied().unwrap_or(0);
        head.saturating_sub(mark.next_offset)
    });
    behind.sum::<u64>().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(replica: &str, next: &[u64], bound_s: Option<i64>) -> pb::SubscriberLease {
        let bound = bound_s.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let rule = if bound.is_some() {
            pb::StaleRule::AgeCap
        } else {
            pb::StaleRule::Allow
        };
        let positions = (0..).zip(next).map(|(partition, next_offset)| pb::Watermark {
            partition,
            next_offset: *next_offset,
        });
        pb::SubscriberLease {
            subscriber: Some(pb::Subscriber {
                name: "orders".to_owned(),
                replica: replica.to_owned(),
                source: pb::FollowerSource::Log.into(),
                audiences: vec!["https://orders.example".to_owned()],
                routes: vec![pb::RouteBound {
                    route: "*".to_owned(),
                    stale_rule: rule.into(),
                    bound,
                    report_only: false,
                }],
                ..Default::default()
            }),
            positions: positions.collect(),
            largest_bound: bound,
            lapsed: replica == "r2",
            ..Default::default()
        }
    }

    #[test]
    fn each_is_told_with_its_rule_and_how_far_it_is_behind_the_furthest() {
        let all = [
            lease("r1", &[7, 20], Some(600)),
            lease("r2", &[9, 10], None),
            lease("r3", &[], Some(5)),
        ];
        let table = table(&all);
        let line = |replica: &str| {
            table
                .lines()
                .find(|line| line.contains(replica))
                .unwrap()
                .to_owned()
        };
        let words = |replica: &str| {
            line(replica)
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(words("r1"), "orders r1 https://orders.example log age_cap 600s 2");
        assert_eq!(
            words("r2"),
            "orders r2 https://orders.example log allow, no bound 10 lapsed"
        );
        assert_eq!(
            words("r3"),
            "orders r3 https://orders.example log age_cap 5s not told"
        );
    }
}
