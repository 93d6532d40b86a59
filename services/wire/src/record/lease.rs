//! Registrations of followers.

use curfew_core::directory::{Lease, RouteBound, StaleRule};
use curfew_proto::row::v1 as row;

use crate::error::DecodeError;
use crate::field::{Decoded, each, fixed, free_texts, ms, strings};

pub(super) fn encode_lease(lease: &Lease) -> row::Lease {
    let positions = (0..).zip(&lease.positions);
    row::Lease {
        name: lease.name.to_string(),
        replica: lease.replica.to_string(),
        audiences: strings(&lease.audiences),
        min_reader: lease.min_reader,
        largest_bound_ms: lease.bound_ms,
        positions: positions
            .map(|(partition, next_offset)| row::LeasePosition {
                partition,
                next_offset: *next_offset,
            })
            .collect(),
        log_id: lease.log_id.to_vec(),
        seen_ms: lease.seen.as_unix_ms(),
        counts_until_ms: lease.counts_until.as_unix_ms(),
        registered_ms: lease.registered.as_unix_ms(),
        version: lease.version.to_string(),
        source_name: lease.source.to_string(),
        caller: lease.caller.to_string(),
        routes: lease.routes.iter().map(encode_route).collect(),
        ..Default::default()
    }
}

fn encode_route(route: &RouteBound) -> row::LeaseRoute {
    row::LeaseRoute {
        route: route.route.to_string(),
        stale_rule: route.rule.as_str().to_owned(),
        bound_ms: route.bound_ms,
        report_only: route.report_only,
    }
}

pub(super) fn decode_lease(lease: row::Lease) -> Decoded<Lease> {
    let in_order = (0..)
        .zip(&lease.positions)
        .all(|(n, position): (u32, _)| position.partition == n);
    if !in_order {
        return Err(DecodeError::invalid(
            "positions",
            "not one for each log partition, in order",
        ));
    }
    Ok(Lease {
        name: lease.name.into(),
        replica: lease.replica.into(),
        caller: lease.caller.into(),
        version: lease.version.into(),
        source: lease.source_name.into(),
        audiences: free_texts(lease.audiences),
        min_reader: lease.min_reader,
        routes: each(lease.routes, "routes", decode_route)?,
        bound_ms: lease.largest_bound_ms,
        positions: lease
            .positions
            .iter()
            .map(|position| position.next_offset)
            .collect(),
        log_id: fixed(&lease.log_id, "log_id")?,
        registered: ms(lease.registered_ms),
        seen: ms(lease.seen_ms),
        counts_until: ms(lease.counts_until_ms),
    })
}

fn decode_route(route: row::LeaseRoute) -> Decoded<RouteBound> {
    let mut rules = StaleRule::ALL.into_iter();
    let rule = rules.find(|rule| rule.as_str() == route.stale_rule);
    Ok(RouteBound {
        route: route.route.into(),
        rule: rule.ok_or_else(|| DecodeError::unknown("stale_rule", route.stale_rule))?,
        bound_ms: route.bound_ms,
        report_only: route.report_only,
    })
}
