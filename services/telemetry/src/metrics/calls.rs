//! What the gRPC edge counts, and what it holds.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::family::{counter, float, gauge, seconds};

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, edge: &curfew_grpc::Metrics) -> fmt::Result {
    let methods: Vec<_> = edge.methods().collect();
    counter(
        encoder,
        "curfew_rpc_calls",
        "Calls by method and gRPC code; a stream counts when it begins",
        methods.iter().flat_map(|calls| {
            let method = calls.method;
            calls
                .codes()
                .map(move |(code, count)| (vec![("method", method), ("code", code)], count))
        }),
    )?;
    seconds(
        encoder,
        "curfew_rpc_duration",
        "How long calls took, by method; waits and streams are not among them",
        methods
            .iter()
            .filter(|calls| calls.took().count() > 0)
            .map(|calls| (vec![("method", calls.method)], calls.took())),
    )?;
    counter(
        encoder,
        "curfew_refusals",
        "Refused calls by stage of the pipeline and reason",
        edge.refusals().map(|(stage, reason, count)| {
            let labels = vec![("stage", stage.as_str()), ("reason", reason.code())];
            (labels, count)
        }),
    )?;
    counter(
        encoder,
        "curfew_refusal_lines_dropped",
        "Refused calls of which no line was logged, because there were too many in one second",
        [(vec![], edge.lines_dropped())],
    )?;
    held(encoder, edge)
}

fn held(encoder: &mut DescriptorEncoder<'_>, edge: &curfew_grpc::Metrics) -> fmt::Result {
    let held = [
        ("call", edge.calls()),
        ("wait", edge.waits()),
        ("stream", edge.streams()),
    ];
    gauge(
        encoder,
        "curfew_rpc_in_progress",
        "Calls, waits and streams in progress",
        None,
        held.map(|(kind, (present, _))| (vec![("kind", kind)], float(present))),
    )?;
    gauge(
        encoder,
        "curfew_rpc_in_progress_max",
        "How many of each there may be; beyond, calls are refused as overload",
        None,
        held.map(|(kind, (_, max))| (vec![("kind", kind)], float(max))),
    )?;
    gauge(
        encoder,
        "curfew_stream_queued",
        "What is queued for subscribers that have not read it yet, all of them together",
        Some(&Unit::Bytes),
        [(
            vec![],
            float(usize::try_from(edge.queued_bytes()).unwrap_or(usize::MAX)),
        )],
    )
}
