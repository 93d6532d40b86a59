//! Who else recovers: the nodes that are heard on the log, and whose turn it is.
//!
//! **Invariant:** a turn only spares work; whoever takes it out of turn is refused by the store, or finds it done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use curfew_core::mac::sha256;
use curfew_core::place::Partition;

/// What one place in the order waits (DESIGN section 5).
const TURN: Duration = Duration::from_millis(200);
/// Nodes that are remembered; beyond, those heard longest ago are forgotten.
const PEERS_MAX: usize = 64;
/// The longest wait, whatever the place: some of those before may be gone.
const PLACES_MAX: u32 = 8;

/// Nodes, and when each was heard last, on the boot clock in ms.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    heard: Mutex<BTreeMap<Arc<str>, i64>>,
}

impl Peers {
    /// A node was heard.
    pub(crate) fn hear(&self, node: &Arc<str>, boot_ms: i64) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(node.clone(), boot_ms);
        if heard.len() > PEERS_MAX {
            let oldest = heard
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(node, _)| node.clone());
            oldest.and_then(|node| heard.remove(&node));
        }
    }

    /// How long this node leaves a partition to others: its place in the partition's own order of those that were
    /// heard within `age_ms` (rendezvous hashing).
    pub(crate) fn turn(&self, partition: Partition, own: &str, boot_ms: i64, age_ms: i64) -> Duration {
        let weight = |node: &str| sha256(&[node.as_bytes(), &partition.number().to_be_bytes()].concat());
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let before = heard.iter().filter(|(node, at)| {
            &***node != own && boot_ms.saturating_sub(**at) < age_ms && weight(node) > weight(own)
        });
        let place = u32::try_from(before.count())
            .unwrap_or(PLACES_MAX)
            .min(PLACES_MAX);
        TURN.saturating_mul(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_exactly_one_first_node_and_each_node_its_share() {
        let peers = Peers::default();
        let nodes = ["a", "b", "c"];
        for node in nodes {
            peers.hear(&node.into(), 1_000);
        }
        let mut firsts = [0; 3];
        for partition in Partition::all() {
            let mut turns: Vec<_> = nodes
                .iter()
                .map(|node| peers.turn(partition, node, 1_500, 1_000))
                .collect();
            let first = turns.iter().position(Duration::is_zero).unwrap();
            firsts[first] += 1;
            turns.sort();
            assert_eq!(turns, [Duration::ZERO, TURN, 2 * TURN]);
        }
        assert!(firsts.iter().all(|share| *share > 250), "{firsts:?}");
        // Those that are no longer heard take no turn.
        assert_eq!(
            peers.turn(Partition::DIRECTORY, "d", 9_000, 1_000),
            Duration::ZERO
        );
    }
}
