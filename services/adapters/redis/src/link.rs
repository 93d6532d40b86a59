//! All connections to one node, and the watch that replaces them when they are dead.
//!
//! **Invariant:** nothing is asked of a node that decides and is not set as it must be.
//! **Invariant:** connections that were found dead are never used again, whatever the client makes of them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::check;
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
    options: Options,
    live: ArcSwapOption<Live>,
    /// One dials at a time; the others take over what came of it.
    dialing: Mutex<Option<(Instant, Fault)>>,
}

/// Connections that work, as far as is known.
#[derive(Debug)]
pub(crate) struct Live {
    wires: Vec<Wire>,
    next: AtomicUsize,
    /// What is wrong with the node's settings.
    wrong: ArcSwapOption<Fault>,
    /// The incarnation under which they were judged.
    judged: AtomicU64,
}

impl Live {
    /// The connections in turns.
    pub(crate) fn wire(&self) -> Result<&Wire, Fault> {
        if let Some(wrong) = &*self.wrong.load() {
            return Err(Fault::clone(wrong));
        }
        self.any()
    }

    /// The same, whatever is wrong with the settings.
    pub(crate) fn any(&self) -> Result<&Wire, Fault> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let wire = turn
            .checked_rem(self.wires.len())
            .and_then(|at| self.wires.get(at));
        wire.ok_or_else(|| Fault::new(Effect::Nothing, "there is no connection"))
    }

    /// Whether the settings may be others than those that were judged, or are known to be wrong: another history
    /// is another server, or one that was promoted.
    fn is_doubtful(&self) -> Result<bool, Fault> {
        let present = u64::from_be_bytes(self.any()?.incarnation().0);
        Ok(self.wrong.load().is_some() || self.judged.load(Ordering::Acquire) != present)
    }

    async fn judge(&self, options: &Options, address: &Address) -> Result<(), Fault> {
        let wire = self.any()?;
        let present = u64::from_be_bytes(wire.incarnation().0);
        let wrong = check::fault_of(options, address.to_string(), wire).await?;
        let was_wrong = self.wrong.load().is_some();
        match &wrong {
            Some(why) if !was_wrong => {
                tracing::error!(%address, %why, "redis is not as it must be; nothing is asked of it until it is");
            }
            None if was_wrong => tracing::info!(%address, "redis is as it must be again"),
            Some(_) | None => {}
        }
        self.wrong.store(wrong.map(Arc::new));
        self.judged.store(present, Ordering::Release);
        Ok(())
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
            options: options.clone(),
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
        let mut wires = Vec::with_capacity(self.options.connections);
        for _ in 0..self.options.connections {
            wires.push(Wire::open(&self.dial, &self.address).await?);
        }
        tracing::debug!(address = %self.address, connections = wires.len(), "connected to redis");
        let live = Live {
            wires,
            next: AtomicUsize::new(0),
            wrong: ArcSwapOption::empty(),
            judged: AtomicU64::new(0),
        };
        let judged = live.judge(&self.options, &self.address).await;
        judged.map_err(Fault::before_sending)?;
        Ok(live)
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
        let judged = match live.is_doubtful() {
            Ok(true) => live.judge(&self.options, &self.address).await,
            Ok(false) => Ok(()),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = judged {
            // The next look judges.
            tracing::debug!(address = %self.address, why = %fault, "redis settings cannot be looked at");
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
