//! One layout of the store under load: clients, guards, and the way from one fault to the next.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use curfew_servers::Kafka;
use fastrand::Rng;
use futures_util::future::join_all;

use super::calls;
use super::clients::Client;
use super::fault::{Fault, Topology};
use super::ground::Ground;
use super::guards::{self, Said, Watcher};
use super::history::Broken;
use super::inject::{Injected, Victims, inject};
use super::report::Episode;
use super::sweep::{Swept, sweep};
use super::world::{World, ms};
use crate::backend::Backend;
use crate::clock::Mono;
use crate::failure::Failure;
use crate::part::guard::Topic;

/// Clients, each with some sessions.
const CLIENTS: u64 = 8;
/// How often guards are asked about what was revoked lately.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Service is back within this time after the servers are, or it is told.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// It is back when for so long everybody was answered.
const QUIET: Duration = Duration::from_secs(3);
/// And so often.
const QUIET_ANSWERS: u64 = 50;
const LOOK: Duration = Duration::from_millis(50);
/// Before a fault, so that there is something to lose.
const LOAD_BEFORE: Duration = Duration::from_millis(2_500);

/// What stands while faults are injected into one layout.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) topology: Topology,
    pub(crate) world: Arc<World>,
    ground: Ground,
    nodes: Arc<[Backend]>,
    clients: Vec<Client>,
    watchers: Arc<[Watcher]>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    runtime: tokio::runtime::Handle,
}

impl Stand {
    pub(crate) fn set(
        topology: Topology,
        kafka: &Kafka,
        nodes: usize,
        curfew: &Path,
        runtime: &tokio::runtime::Handle,
        seed: u64,
    ) -> Result<Self, Failure> {
        let ground = Ground::start(topology, kafka, nodes, curfew)?;
        let world = Arc::new(World::new(runtime.clone()));
        let addresses = ground.addresses();
        let nodes: Arc<[Backend]> = runtime.block_on(connect(&addresses, &ground))?.into();
        let first = nodes.first().ok_or("there is no node")?;
        let sample = runtime.block_on(calls::open(first, "sample"));
        let sample = sample.map_err(|not| format!("the first session was not opened: {not:?}"))?;
        let topic = Topic {
            bootstrap: kafka.bootstrap(),
            prefix: ground.topic_prefix.clone(),
        };
        let address = addresses.first().ok_or("there is no node")?;
        let watchers: Arc<[Watcher]> = runtime
            .block_on(guards::start(first, address, topic, &sample))?
            .into();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                Client::new(
                    n as usize,
                    seed.wrapping_mul(CLIENTS) + n,
                    nodes.clone(),
                    world.clone(),
                )
            })
            .collect();
        let mut tasks: Vec<_> = clients
            .iter()
            .map(|client| runtime.spawn(client.clone().work()))
            .collect();
        tasks.push(runtime.spawn(ask(watchers.clone(), world.clone())));
        tasks.extend(nodes.iter().map(|node| runtime.spawn(node.clone().keep_fresh())));
        Ok(Self {
            topology,
            world,
            ground,
            nodes,
            clients,
            watchers,
            tasks,
            runtime: runtime.clone(),
        })
    }

    /// Service is there before the first fault.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        match self.back_since(Mono::now()) {
            Some(_) => Ok(()),
            None => Err(format!("no service before the first fault: {}", self.ground.logged()).into()),
        }
    }

    /// Injects one fault, waits until service is back, and looks at everything.
    pub(crate) fn episode(
        &mut self,
        kafka: &mut Kafka,
        fault: Fault,
        rng: &mut Rng,
    ) -> Result<Episode, Failure> {
        std::thread::sleep(LOAD_BEFORE);
        // What came before is nobody's.
        let before = self.world.history().take();
        let lasts = fault.lasts(rng);
        let began = Mono::now();
        let mut victims = Victims {
            ground: &mut self.ground,
            kafka,
            world: &self.world,
        };
        let Injected { from, servers } = inject(&mut victims, fault, lasts, rng)?;
        let back = self.back_since(from);
        if back.is_none() {
            let told = format!(
                "no service {BACK_WITHIN:?} after {}: {}",
                fault.text(),
                self.ground.logged()
            );
            self.world
                .history()
                .broken(Broken::NotBack, ms(Mono::now()), told);
        }
        self.world.pause();
        let swept = self.sweep();
        self.world.go_on();
        let (tally, mut violations) = self.world.history().take();
        violations.splice(0..0, before.1);
        Ok(Episode {
            fault,
            store: self.topology,
            at_s: began.since(self.world.begun()).as_secs_f64(),
            lasted_s: lasts.as_secs_f64(),
            servers_s: servers.as_secs_f64(),
            recovery_s: back.map(|back| back.as_secs_f64()),
            alive: swept.alive,
            over: swept.over,
            refused_at_guards: swept.refused,
            tally,
            violations,
        })
    }

    /// How long after `from` nobody was unanswered any more; `None`: it took too long.
    fn back_since(&self, from: Mono) -> Option<Duration> {
        let until = Mono::now().plus(BACK_WITHIN);
        loop {
            let pulse = self.world.pulse();
            let missed = pulse.missed.map_or(from, |missed| missed.max(from));
            let is_quiet = Mono::now().since(missed) >= QUIET && pulse.well >= QUIET_ANSWERS;
            if is_quiet && self.watchers.iter().all(Watcher::is_ready) {
                return Some(missed.since(from));
            }
            if Mono::now() > until {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    fn sweep(&self) -> Swept {
        let all = self.clients.iter();
        let swept = all.map(|client| sweep(client, &self.nodes, &self.watchers, &self.world));
        let swept = self.runtime.block_on(join_all(swept));
        swept.into_iter().fold(Swept::default(), |sum, one| Swept {
            alive: sum.alive + one.alive,
            over: sum.over + one.over,
            refused: sum.refused + one.refused,
        })
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// A back end at each node: it reads once a second whom it knows.
async fn connect(addresses: &[String], ground: &Ground) -> Result<Vec<Backend>, Failure> {
    let mut nodes = Vec::new();
    for address in addresses {
        let one = std::slice::from_ref(address);
        nodes.push(Backend::connect(one, ground.identity.clone(), 1).await?);
    }
    Ok(nodes)
}

/// Asks guards about what was revoked lately, for as long as it is polled.
async fn ask(watchers: Arc<[Watcher]>, world: Arc<World>) {
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        for (session, access_token) in world.watched() {
            for watcher in watchers.iter() {
                let at = Mono::now();
                if watcher.check(&access_token) == Said::Admitted {
                    world.history().admitted(&session, watcher.name, ms(at));
                }
            }
        }
    }
}
