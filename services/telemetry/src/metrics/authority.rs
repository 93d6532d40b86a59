//! What the authority counts, and what it holds.

use std::fmt;

use curfew_authority::{Authority, CommitEnd, Loaded, LogOperation, Metrics, RefreshEnd, StoreOperation};
use curfew_core::directory::{KeyState, KeyUse};
use curfew_core::index::MARK_BYTES;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::family::{counter, float, gauge, ms_in_seconds, seconds};

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, authority: &Authority) -> fmt::Result {
    counted(encoder, authority.metrics())?;
    ports(encoder, authority.metrics(), authority)?;
    follower(encoder, authority)?;
    keys(encoder, authority)
}

fn counted(encoder: &mut DescriptorEncoder<'_>, metrics: &Metrics) -> fmt::Result {
    let ends = RefreshEnd::ALL.iter();
    counter(
        encoder,
        "curfew_refreshes",
        "Refreshes by how they ended",
        ends.map(|end| (vec![("outcome", end.as_str())], metrics.refreshes(*end))),
    )?;
    seconds(
        encoder,
        "curfew_revoke_to_applied",
        "From the decision of a revocation until this node's follower applied it",
        [(vec![], metrics.revoke_to_applied())],
    )?;
    counter(
        encoder,
        "curfew_revocations_applied",
        "Revocations that this node's follower applied, copies and repetitions included",
        [(vec![], metrics.applied())],
    )?;
    counter(
        encoder,
        "curfew_log_reloads",
        "How often the log was read again from its oldest record",
        [(vec![], metrics.reloads())],
    )?;
    counter(
        encoder,
        "curfew_partitions_opened",
        "Partitions that this node opened after the store had become another history",
        [(vec![], metrics.partitions_opened())],
    )?;
    counter(
        encoder,
        "curfew_records_merged",
        "Records of the log that this node merged into the store",
        [(vec![], metrics.records_merged())],
    )
}

fn ports(encoder: &mut DescriptorEncoder<'_>, metrics: &Metrics, authority: &Authority) -> fmt::Result {
    let store = authority.store().kind();
    let log = authority.log().kind();
    let operations = StoreOperation::ALL.iter();
    seconds(
        encoder,
        "curfew_store_operation",
        "How long the store took, its durable write included",
        operations.clone().filter_map(|operation| {
            let labels = vec![("store", store), ("operation", operation.as_str())];
            Some((labels, metrics.store(*operation)?))
        }),
    )?;
    counter(
        encoder,
        "curfew_store_errors",
        "Calls of the store whose outcome is not known",
        operations.map(|operation| {
            let labels = vec![("store", store), ("operation", operation.as_str())];
            (labels, metrics.store_errors(*operation))
        }),
    )?;
    let ends = CommitEnd::ALL.iter();
    counter(
        encoder,
        "curfew_store_commits",
        "Commits by how they ended",
        ends.map(|end| {
            let labels = vec![("store", store), ("outcome", end.as_str())];
            (labels, metrics.commits(*end))
        }),
    )?;
    let operations = LogOperation::ALL.iter();
    seconds(
        encoder,
        "curfew_log_operation",
        "How long the log took; what the embedded engine appends with a commit is in that commit",
        operations.clone().filter_map(|operation| {
            let labels = vec![("log", log), ("operation", operation.as_str())];
            Some((labels, metrics.log(*operation)?))
        }),
    )?;
    counter(
        encoder,
        "curfew_log_errors",
        "Calls of the log whose outcome is not known",
        operations.map(|operation| {
            let labels = vec![("log", log), ("operation", operation.as_str())];
            (labels, metrics.log_errors(*operation))
        }),
    )
}

/// A partition that never had a heartbeat has no age, and its line is not there.
fn follower(encoder: &mut DescriptorEncoder<'_>, authority: &Authority) -> fmt::Result {
    let follower = authority.follower();
    let now = authority.now();
    let partitions: Vec<_> = follower
        .log()
        .all()
        .map(|partition| (partition.0.to_string(), partition))
        .collect();
    let ages = partitions.iter().filter_map(|(name, partition)| {
        let age_ms = follower.state(*partition)?.age_ms(now)?;
        Some((vec![("partition", name.as_str())], ms_in_seconds(age_ms)))
    });
    gauge(
        encoder,
        "curfew_watermark_age",
        "Age of the newest heartbeat of each log partition, by this node's follower",
        Some(&Unit::Seconds),
        ages,
    )?;
    let frozen = partitions.iter().filter_map(|(name, partition)| {
        let is_frozen = follower.state(*partition)?.frozen.is_some();
        Some((vec![("partition", name.as_str())], float(usize::from(is_frozen))))
    });
    gauge(
        encoder,
        "curfew_partition_frozen",
        "1 where a log partition holds a record that this node cannot read",
        None,
        frozen,
    )?;
    let numbers = [
        (
            "curfew_partitions_fenced",
            "Partitions that were fenced at the end of this node's last round over all of them",
            authority.metrics().partitions_fenced(),
        ),
        (
            "curfew_partitions_lost",
            "Partitions that open only by an operator's word",
            authority.metrics().partitions_lost(),
        ),
        (
            "curfew_unmerged_records",
            "Records past the checkpoints that this node keeps",
            u64::try_from(authority.unmerged_len()).unwrap_or(u64::MAX),
        ),
    ];
    for (name, help, value) in numbers {
        let value = float(usize::try_from(value).unwrap_or(usize::MAX));
        gauge(encoder, name, help, None, [(vec![], value)])?;
    }
    let entries = follower.len();
    gauge(
        encoder,
        "curfew_index_entries",
        "Marks in the index of this node",
        None,
        [(vec![], float(entries))],
    )?;
    gauge(
        encoder,
        "curfew_index",
        "What the index takes in memory, about",
        Some(&Unit::Bytes),
        [(vec![], float(entries.saturating_mul(MARK_BYTES)))],
    )?;
    gauge(
        encoder,
        "curfew_followers",
        "Guards and authorities of the whole fleet that are registered, as far as this node knows",
        None,
        [(vec![], float(authority.subscribers_len()))],
    )
}

fn keys(encoder: &mut DescriptorEncoder<'_>, authority: &Authority) -> fmt::Result {
    let loaded = authority.directory().loaded();
    let now = authority.now().wall;
    let age = |key_use: KeyUse| {
        let view = &loaded.view;
        let active = view
            .keys
            .values()
            .find(|key| key.key_use == key_use && key.state == KeyState::Active)?;
        Some(ms_in_seconds(
            now.ms_since(active.activated_at.unwrap_or(active.created_at)),
        ))
    };
    let uses = [(KeyUse::Sign, "sign"), (KeyUse::Mac, "mac")];
    gauge(
        encoder,
        "curfew_key_age",
        "Since when the key in use is in use",
        Some(&Unit::Seconds),
        uses.into_iter()
            .filter_map(|(key_use, word)| Some((vec![("use", word)], age(key_use)?))),
    )?;
    gauge(
        encoder,
        "curfew_signing_key_standby",
        "Published signing keys that wait to be used; 0 means that a revocation of the key stops issuance",
        None,
        [(vec![], float(standby(&loaded)))],
    )?;
    let age_ms = now.ms_since(authority.directory().read_at());
    gauge(
        encoder,
        "curfew_directory_age",
        "Since when the view of the directory is what decisions stand on; above 3 s everything is refused",
        Some(&Unit::Seconds),
        [(vec![], ms_in_seconds(age_ms))],
    )
}

fn standby(loaded: &Loaded) -> usize {
    let keys = loaded.view.keys.values();
    keys.filter(|key| key.key_use == KeyUse::Sign && key.state == KeyState::Standby)
        .count()
}
