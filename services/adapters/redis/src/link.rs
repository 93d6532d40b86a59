//! All connections to one node, and the watch that replaces them when they are dead.
//!
//! **Invariant:** connections that were found dead are never used again, whatever the client makes of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::dial::Dial;
use crate::fault::{Effect, Fault};
use crate::options::{Address, Options};
use crate::wire::Wire;

/// Answers in a row that may fail to come before the connections are taken as dead.
const SILENCES_MAX: u32 = 3;

/// One node.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: Address,
    dial: Arc<Dial>,
    connections: usize,
    live: ArcSwapOption<Live>,
    /// One dials at a time; the others take over what came of it.
    dialing: Mutex<Option<(Instant, Fault)>>,
}

/// Connections that work, as far as is known.
#[derive(Debug)]
pub(crate) struct Live {
    wires: Vec<Wire>,
    next: AtomicUsize,
}

impl Live {
    /// The connections in turns.
    pub(crate) fn wire(&self) -> Result<&Wire, Fault> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let wire = turn
            .checked_rem(self.wires.len())
            .and_then(|at| self.wires.get(at));
        wire.ok_or_else(|| Fault::new(Effect::Nothing, "there is no connection"))
    }

    /// Whether somebody answers in time.
    fn is_silent(&self) -> bool {
        let silences = self
            .wires
            .iter()
            .map(|wire| wire.silences.load(Ordering::Relaxed));
        silences.max().is_some_and(|most| most >= SILENCES_MAX)
    }
}

impl Link {
    /// A node; nothing is connected to before somebody asks, or the watch looks.
    pub(crate) fn new(address: Address, dial: Arc<Dial>, options: &Options) -> Arc<Self> {
        let link = Arc::new(Self {
            address,
            dial,
            connections: options.connections,
            live: ArcSwapOption::empty(),
            dialing: Mutex::new(None),
        });
        let every = Duration::from_millis(options.probe_ms);
        tokio::spawn(watch(Arc::downgrade(&link), every));
        link
    }

    /// Its connections; dialled where there are none.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, Fault> {
        if let Some(live) = self.live.load_full() {
            return Ok(live);
        }
        let since = Instant::now();
        let mut last = self.dialing.lock().await;
        if let Some(live) = self.live.load_full() {
            return Ok(live);
        }
        // Whoever waited while another one dialled in vain has its answer.
        if let Some((at, fault)) = &*last
            && *at >= since
        {
            return Err(fault.clone());
        }
        match self.dialled().await {
            Ok(live) => {
                *last = None;
                let live = Arc::new(live);
                self.live.store(Some(live.clone()));
                Ok(live)
            }
            Err(fault) => {
                *last = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    async fn dialled(&self) -> Result<Live, Fault> {
        let mut wires = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            wires.push(Wire::open(&self.dial, &self.address).await?);
        }
        tracing::debug!(address = %self.address, connections = wires.len(), "connected to redis");
        Ok(Live {
            wires,
            next: AtomicUsize::new(0),
        })
    }

    /// What a fault means for the connections that it came from.
    pub(crate) fn blame(&self, live: &Arc<Live>, fault: &Fault) {
        match fault.effect {
            Effect::Broken | Effect::Demoted => self.give_up(live, fault),
            Effect::Silent if live.is_silent() => self.give_up(live, fault),
            Effect::Silent
            | Effect::Moved
            | Effect::Nothing
            | Effect::NoScript
            | Effect::Refused
            | Effect::Full => {}
        }
    }

    /// Connections that are dead are not used again; calls under way keep them until they end.
    fn give_up(&self, live: &Arc<Live>, fault: &Fault) {
        let present = self.live.load();
        if present.as_ref().is_some_and(|present| Arc::ptr_eq(present, live)) {
            let before = self.live.compare_and_swap(&*present, None);
            if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, live)) {
                tracing::warn!(address = %self.address, why = %fault, "redis connections given up");
            }
        }
    }

    /// One look of the watch.
    async fn look(&self) {
        let live = match self.live().await {
            Ok(live) => live,
            Err(fault) => {
                tracing::debug!(address = %self.address, why = %fault, "redis cannot be reached");
                return;
            }
        };
        for wire in &live.wires {
            if let Err(fault) = wire.probe().await {
                // Nothing else waits for as long: a probe without an answer is answer enough.
                self.give_up(&live, &fault);
                return;
            }
        }
    }
}

/// Looks until the node is no longer used.
async fn watch(link: Weak<Link>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(link) = link.upgrade() else { return };
        link.look().await;
    }
}
