//! How every partition stands, and what freezes the log: what an operator looks at first.
//!
//! **Invariant:** reads only.

use curfew_core::decide::floor::{Found, Standing};
use curfew_core::follow::Frozen;
use curfew_core::place::{LogPartition, Partition};
use curfew_core::stored::{Key, Record};
use curfew_core::time::Millis;
use curfew_ports::log::{Bounds, TailFrom};
use curfew_ports::store::View;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout_at};

use crate::answer::{Answer, log_unavailable, store_unavailable};
use crate::node::Authority;

/// Partitions that are read at once: each is one round trip.
const AT_ONCE: usize = 32;
/// How long the oldest record of each log partition is waited for: they come with the first fetch.
const OLDEST_WITHIN: Duration = Duration::from_secs(10);

/// A partition that does not serve.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// What is there of it.
    pub found: Found,
    /// How it stands.
    pub standing: Standing,
    /// The least floor that it opens with.
    pub least_floor: Millis,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Partitions that serve.
    pub open: usize,
    /// Those that do not, in order.
    pub troubles: Vec<Trouble>,
    /// What freezes freshness here.
    pub frozen: Vec<(LogPartition, Frozen)>,
    /// Whether the log that was followed is lost.
    pub log_is_lost: bool,
}

/// The keys of a partition's own records, in the order in which they are read.
pub(super) const OWN_KEYS: [Key; 3] = [Key::Partition, Key::Sequence, Key::Checkpoint];

impl Authority {
    /// Looks at every partition, and at what was read of the log.
    pub async fn examine(&self) -> Answer<Examined> {
        let bounds = self.parts.log.bounds().await.map_err(log_unavailable)?;
        let mut found = self.find(Partition::all(), &bounds).await?;
        found.retain(|found| found.standing() != Standing::Open);
        let open = Partition::all().count() - found.len();
        let oldest = self.oldest_where_needed(&found, &bounds).await?;
        let now = self.wall();
        let troubles = found.into_iter().map(|found| Trouble {
            standing: found.standing(),
            least_floor: found.least_floor(self.oldest_of(&oldest, found.partition), now),
            found,
        });
        Ok(Examined {
            open,
            troubles: troubles.collect(),
            frozen: self.frozen(),
            log_is_lost: self.log_is_lost().await?,
        })
    }

    /// What freezes freshness here, by log partition.
    #[must_use]
    pub fn frozen(&self) -> Vec<(LogPartition, Frozen)> {
        let mut frozen = Vec::new();
        for partition in self.follower.log().all() {
            if let Some(state) = self.follower.state(partition) {
                frozen.extend(state.all_frozen().map(|frozen| (partition, frozen.clone())));
            }
        }
        frozen
    }

    /// What is there of these partitions, in order.
    pub(super) async fn find(
        &self,
        partitions: impl Iterator<Item = Partition>,
        bounds: &[Bounds],
    ) -> Answer<Vec<Found>> {
        let mut partitions = partitions.peekable();
        let mut reads = JoinSet::new();
        let mut found = Vec::new();
        loop {
            while reads.len() < AT_ONCE
                && let Some(partition) = partitions.next()
            {
                let store = self.parts.store.clone();
                reads.spawn(async move { (partition, store.read(partition, &OWN_KEYS).await) });
            }
            match reads.join_next().await {
                None => break,
                Some(Ok((partition, view))) => {
                    let view = view.map_err(store_unavailable)?;
                    found.push(self.found_in(partition, &view, bounds));
                }
                Some(Err(error)) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a look at a partition ended without an answer"
                ),
            }
        }
        found.sort_unstable_by_key(|found| found.partition);
        Ok(found)
    }

    pub(super) fn found_in(&self, partition: Partition, view: &View, bounds: &[Bounds]) -> Found {
        let log = self.follower.log();
        let mut found = Found {
            partition,
            incarnation: view.incarnation,
            record: None,
            sequence: None,
            checkpoint: None,
            log,
            log_start: bounds
                .get(log.home_of(partition).index())
                .map_or(0, |bounds| bounds.start),
        };
        for value in view.values.iter().flatten() {
            if let Record::Partition(record) = &value.record {
                found.record = Some(*record);
            } else if let Record::Sequence(sequence) = &value.record {
                found.sequence = Some(*sequence);
            } else if let Record::Checkpoint(checkpoint) = &value.record {
                found.checkpoint = Some(*checkpoint);
            }
        }
        found
    }

    /// When the oldest record of each log partition was appended, where a partition that was found needs to know.
    pub(super) async fn oldest_where_needed(
        &self,
        found: &[Found],
        bounds: &[Bounds],
    ) -> Answer<Vec<Option<Millis>>> {
        let mut oldest = vec![None; bounds.len()];
        let home = |found: &Found| self.follower.log().home_of(found.partition).index();
        let mut wanted = vec![false; bounds.len()];
        for found in found.iter().filter(|found| found.standing().needs_an_operator()) {
            if let (Some(wanted), Some(bounds)) = (wanted.get_mut(home(found)), bounds.get(home(found))) {
                *wanted = bounds.start < bounds.end;
            }
        }
        if !wanted.contains(&true) {
            return Ok(oldest);
        }
        let until = Instant::now() + OLDEST_WITHIN;
        let mut tail = self
            .parts
            .log
            .tail(TailFrom::Oldest)
            .await
            .map_err(log_unavailable)?;
        while wanted.contains(&true) {
            // What did not come in time counts as if the log had nothing: the floor is now then.
            let Ok(entries) = timeout_at(until, tail.next()).await else {
                break;
            };
            for entry in entries.map_err(log_unavailable)? {
                let index = entry.position.partition.index();
                if let (Some(place), Some(wanted)) = (oldest.get_mut(index), wanted.get_mut(index))
                    && place.is_none()
                {
                    *place = Some(entry.appended_at);
                    *wanted = false;
                }
            }
        }
        Ok(oldest)
    }

    pub(super) fn oldest_of(&self, oldest: &[Option<Millis>], partition: Partition) -> Option<Millis> {
        let home = self.follower.log().home_of(partition);
        oldest.get(home.index()).copied().flatten()
    }
}
