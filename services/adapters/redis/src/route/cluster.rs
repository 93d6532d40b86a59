//! Slots of a Redis Cluster: one map from partitions to nodes, asked for again whenever there is doubt.
//!
//! Ours, because all that is needed is one slot per call, and because the client's own map was seen to
//! hang for good after a failover.
//!
//! **Invariant:** a redirection is never followed; it only says that the map is old.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use curfew_core::place::Partition;
use redis::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::dial::Dial;
use crate::fault::{Effect, Fault};
use crate::keys::Keys;
use crate::link::Link;
use crate::options::{Address, Options};
use crate::wire::{array, text};

/// Two maps are not asked for within this: a failover takes seconds, and every call may doubt.
const REFRESH_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Cluster {
    seeds: Vec<Address>,
    dial: Arc<Dial>,
    options: Options,
    map: ArcSwap<Map>,
    is_doubted: AtomicBool,
    /// One asks at a time; when it was last done.
    asking: Mutex<Option<Instant>>,
}

/// Who has what.
#[derive(Debug, Default)]
struct Map {
    links: HashMap<Address, Arc<Link>>,
    /// By partition's number; empty while nothing is known.
    owners: Vec<Option<Arc<Link>>>,
}

/// A range of slots and its primary.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Range {
    first: u16,
    last: u16,
    primary: Address,
}

impl Cluster {
    pub(crate) fn new(seeds: Vec<Address>, dial: Arc<Dial>, options: &Options) -> Self {
        Self {
            seeds,
            dial,
            options: options.clone(),
            map: ArcSwap::default(),
            is_doubted: AtomicBool::new(true),
            asking: Mutex::new(None),
        }
    }

    /// Ask for the map again before the next use.
    pub(crate) fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Release);
    }

    pub(crate) async fn link_of(&self, partition: Partition) -> Result<Arc<Link>, Fault> {
        self.refresh_if_doubted().await?;
        let map = self.map.load();
        let owner = map.owners.get(usize::from(partition.number()));
        owner.and_then(Clone::clone).ok_or_else(|| {
            self.doubt();
            Fault::new(Effect::Moved, "no node of the cluster has this partition's slot")
        })
    }

    pub(crate) async fn all(&self) -> Result<Vec<(Arc<Link>, Partition)>, Fault> {
        self.refresh_if_doubted().await?;
        let map = self.map.load();
        let mut all: Vec<(Arc<Link>, Partition)> = Vec::new();
        for (owner, partition) in map.owners.iter().zip(Partition::all()) {
            let owner = owner
                .as_ref()
                .ok_or_else(|| Fault::new(Effect::Moved, "a slot of the cluster has no node"))?;
            if !all.iter().any(|(link, _)| Arc::ptr_eq(link, owner)) {
                all.push((owner.clone(), partition));
            }
        }
        Ok(all)
    }

    async fn refresh_if_doubted(&self) -> Result<(), Fault> {
        if !self.is_doubted.load(Ordering::Acquire) {
            return Ok(());
        }
        // While somebody asks, and while no node answers, the map that is known stays in use: a node that it names
        // wrongly refuses.
        let is_known = !self.map.load().links.is_empty();
        let mut last = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) if is_known => return Ok(()),
            Err(_) => self.asking.lock().await,
        };
        let is_recent = last.is_some_and(|at| at.elapsed() < REFRESH_EVERY);
        if is_recent || !self.is_doubted.load(Ordering::Acquire) {
            return Ok(());
        }
        *last = Some(Instant::now());
        let ranges = match self.ranges().await {
            Ok(ranges) => ranges,
            Err(_) if is_known => return Ok(()),
            Err(fault) => return Err(fault),
        };
        // Doubt that comes from the new map asks again.
        self.is_doubted.store(false, Ordering::Release);
        self.map.store(Arc::new(self.map_of(&ranges)));
        Ok(())
    }

    /// Asks the nodes that are known, then the seeds; the first answer counts: a wrong one is found out.
    async fn ranges(&self) -> Result<Vec<Range>, Fault> {
        let known = self.map.load_full();
        let others = self.seeds.iter().filter(|seed| !known.links.contains_key(*seed));
        let mut last = Fault::new(Effect::Nothing, "the cluster has no node");
        for address in known.links.keys().chain(others) {
            match self.ask(address).await {
                Ok(ranges) => return Ok(ranges),
                Err(fault) => last = fault,
            }
        }
        Err(last.before_sending())
    }

    async fn ask(&self, address: &Address) -> Result<Vec<Range>, Fault> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let answer = self.dial.ask_once(address, &command).await?;
        let rows = array(answer, "CLUSTER SLOTS")?;
        let ranges = rows.into_iter().map(|row| range_of(row, address));
        let ranges: Option<Vec<_>> = ranges.collect();
        let ranges = ranges.ok_or_else(|| Fault::unreadable("CLUSTER SLOTS"))?;
        if ranges.is_empty() {
            return Err(Fault::new(Effect::Moved, "the cluster has no slots yet").at(&address.to_string()));
        }
        Ok(ranges)
    }

    /// Links of nodes that stay are kept, with their connections.
    fn map_of(&self, ranges: &[Range]) -> Map {
        let before = self.map.load();
        let mut links: HashMap<Address, Arc<Link>> = HashMap::new();
        let owners = Partition::all().map(|partition| {
            let slot = Keys::slot_of(partition);
            let range = ranges
                .iter()
                .find(|range| (range.first..=range.last).contains(&slot))?;
            let link = links.entry(range.primary.clone()).or_insert_with(|| {
                let kept = before.links.get(&range.primary).cloned();
                kept.unwrap_or_else(|| Link::new(range.primary.clone(), self.dial.clone(), &self.options))
            });
            Some(link.clone())
        });
        let owners = owners.collect();
        Map { links, owners }
    }
}

/// `[first, last, [host, port, …], replicas …]`; a node that does not know its own address sends an
/// empty one: it is where it was asked.
fn range_of(row: Value, asked: &Address) -> Option<Range> {
    let row = array(row, "CLUSTER SLOTS").ok()?;
    let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = row.as_slice() else {
        return None;
    };
    let [host, Value::Int(port), ..] = primary.as_slice() else {
        return None;
    };
    let host = text(host).filter(|host| !host.is_empty()).unwrap_or(&asked.host);
    Some(Range {
        first: u16::try_from(*first).ok()?,
        last: u16::try_from(*last).ok()?,
        primary: Address::new(host, u16::try_from(*port).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_its_primary_and_an_empty_host_is_the_one_that_was_asked() {
        let asked = Address::new("10.0.0.1", 7_000);
        let row = |host: &str| {
            let node = vec![
                Value::BulkString(host.as_bytes().to_vec()),
                Value::Int(7_001),
                Value::BulkString(b"id".to_vec()),
                Value::Array(Vec::new()),
            ];
            Value::Array(vec![Value::Int(0), Value::Int(5_460), Value::Array(node)])
        };
        let range = range_of(row("10.0.0.2"), &asked).unwrap();
        assert_eq!((range.first, range.last), (0, 5_460));
        assert_eq!(range.primary, Address::new("10.0.0.2", 7_001));
        assert_eq!(
            range_of(row(""), &asked).unwrap().primary,
            Address::new("10.0.0.1", 7_001)
        );
        assert_eq!(range_of(Value::Array(vec![Value::Int(1)]), &asked), None);
    }
}
