//! With service back: everybody presents what they hold, alive or over, and the guards are asked.
//!
//! **Invariant:** nothing is skipped: a session that nobody answers for is told as service that is not back.

use std::time::Duration;

use super::calls::{self, Not, Scope};
use super::clients::{Client, Over};
use super::guards::{Said, Watcher};
use super::history::Broken;
use super::world::{World, ms};
use crate::backend::Backend;
use crate::clock::Mono;

/// How often one question is asked: with pauses a while longer than any call may take.
const TRIES_MAX: usize = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// What was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Swept {
    pub(crate) alive: u64,
    pub(crate) over: u64,
    /// Refusals of guards, because a token was revoked.
    pub(crate) refused: u64,
}

/// Looks at everything that this client holds.
pub(crate) async fn sweep(client: &Client, nodes: &[Backend], watchers: &[Watcher], world: &World) -> Swept {
    let mut hand = client.hand.lock().await;
    let mut swept = Swept::default();
    let mut alive = Vec::new();
    for (turn, mut held) in std::mem::take(&mut hand.alive).into_iter().enumerate() {
        swept.alive += 1;
        let mut is_alive = None;
        for again in 0..TRIES_MAX {
            if let Some(node) = turn_of(nodes, turn + again) {
                is_alive = client.refresh_held(node, &mut held).await;
            }
            if is_alive.is_some() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if is_alive.is_none() {
            not_answered(world, &held.name);
        }
        if is_alive != Some(false) {
            alive.push(held);
        }
    }
    hand.alive = alive;
    for (turn, over) in hand.over.iter_mut().enumerate() {
        // What was not durable may be either.
        if world.history().durable_since(&over.held.name).is_none() {
            continue;
        }
        swept.over += 1;
        in_store(client, nodes, world, over, turn).await;
        swept.refused += at_guards(watchers, world, over).await;
    }
    swept
}

fn turn_of(nodes: &[Backend], turn: usize) -> Option<&Backend> {
    nodes.get(turn.checked_rem(nodes.len())?)
}

async fn in_store(client: &Client, nodes: &[Backend], world: &World, over: &mut Over, turn: usize) {
    let name = over.held.name.clone();
    let mut is_known = None;
    for again in 0..TRIES_MAX {
        if let Some(node) = turn_of(nodes, turn + again) {
            is_known = client.refresh_held(node, &mut over.held).await;
        }
        if is_known.is_some() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    match is_known {
        None => not_answered(world, &name),
        Some(true) => world.history().lives_in_store(&name, ms(Mono::now())),
        Some(false) => {}
    }
    // The row itself: a refresh may have been refused by what a node heard on the log alone.
    if over.scope != Scope::Session {
        return;
    }
    for again in 0..TRIES_MAX {
        let Some(node) = turn_of(nodes, turn + again) else {
            return;
        };
        match calls::is_active(node, &name).await {
            Ok(true) => return world.history().lives_in_store(&name, ms(Mono::now())),
            // A row that was lost is absent, and a tombstone says so.
            Ok(false) | Err(Not::Refused(_)) => return,
            Err(Not::Known(_)) => tokio::time::sleep(PAUSE).await,
        }
    }
    not_answered(world, &name);
}

/// How many of them refuse it as revoked.
async fn at_guards(watchers: &[Watcher], world: &World, over: &Over) -> u64 {
    let name = &over.held.name;
    let mut refused = 0;
    for watcher in watchers {
        let mut said = Said::Nothing;
        for _ in 0..TRIES_MAX {
            said = watcher.check(&over.held.access_token);
            // It may not have read so far yet, or prove nothing for a moment: how long is judged elsewhere.
            if matches!(said, Said::Revoked | Said::Other | Said::Expired) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        match said {
            Said::Revoked => refused += 1,
            Said::Expired => {}
            Said::Admitted | Said::Other => {
                world
                    .history()
                    .lives_at_guard(name, watcher.name, ms(Mono::now()));
            }
            Said::Nothing => {
                let told = format!("{name}: {} proves nothing", watcher.name);
                world.history().broken(Broken::NotBack, ms(Mono::now()), told);
            }
        }
    }
    refused
}

fn not_answered(world: &World, name: &str) {
    let told = format!("{name}: nobody answers for it");
    world.history().broken(Broken::NotBack, ms(Mono::now()), told);
}
