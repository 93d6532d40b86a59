//! Clients that open, refresh and revoke without a pause worth the name, and remember what they were told.
//!
//! **Invariant:** a session belongs to one client, which never has two calls under way: what it knows is in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::Mutex;

use super::calls::{self, Held, Not, Scope};
use super::history::Level;
use super::world::{World, ms};
use crate::backend::{Backend, request_id};
use crate::clock::Mono;

/// Between two calls of one client.
const PAUSE: Duration = Duration::from_millis(25);
/// Sessions that a client keeps alive, at most.
const ALIVE_MAX: usize = 24;
/// And those that it goes on asking about though they are over.
const OVER_MAX: usize = 32;

/// A revocation that nobody has acknowledged yet; a repeat has the same id.
#[derive(Clone, Debug)]
struct Pending {
    held: Vec<Held>,
    scope: Scope,
    id: String,
}

/// A session that is over, and how.
#[derive(Clone, Debug)]
pub(crate) struct Over {
    pub(crate) held: Held,
    pub(crate) scope: Scope,
}

/// What one client holds.
#[derive(Debug)]
pub(crate) struct Hand {
    pub(crate) alive: Vec<Held>,
    pub(crate) over: VecDeque<Over>,
    pending: Option<Pending>,
    number: usize,
    opened: usize,
    rng: Rng,
}

/// A client; it works until its runtime ends.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) hand: Arc<Mutex<Hand>>,
    nodes: Arc<[Backend]>,
    world: Arc<World>,
}

impl Client {
    pub(crate) fn new(number: usize, seed: u64, nodes: Arc<[Backend]>, world: Arc<World>) -> Self {
        let hand = Hand {
            alive: Vec::new(),
            over: VecDeque::new(),
            pending: None,
            number,
            opened: 0,
            rng: Rng::with_seed(seed),
        };
        Self {
            hand: Arc::new(Mutex::new(hand)),
            nodes,
            world,
        }
    }

    pub(crate) async fn work(self) {
        loop {
            self.world.unpaused().await;
            let mut hand = self.hand.lock().await;
            self.turn(&mut hand).await;
            drop(hand);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn turn(&self, hand: &mut Hand) {
        let chosen = hand.rng.usize(0..self.nodes.len().max(1));
        let Some(node) = self.nodes.get(chosen) else {
            return;
        };
        if hand.pending.is_some() {
            return self.revoke(node, hand).await;
        }
        match hand.rng.u32(0..100) {
            _ if hand.alive.len() < 4 => self.open(node, hand).await,
            0..=11 if hand.alive.len() < ALIVE_MAX => self.open(node, hand).await,
            0..=21 => self.begin_to_revoke(node, hand).await,
            22..=31 if !hand.over.is_empty() => self.probe(node, hand).await,
            _ => {
                let at = hand.rng.usize(0..hand.alive.len());
                if !self.refresh(node, hand, at).await {
                    hand.alive.swap_remove(at);
                }
            }
        }
    }

    /// Half of all subjects have two sessions.
    async fn open(&self, node: &Backend, hand: &mut Hand) {
        let subject = format!("c{}-{}", hand.number, hand.opened / 2);
        let is_over = hand.over.iter().any(|over| over.held.subject == subject);
        hand.opened += if is_over { 2 } else { 1 + hand.rng.usize(0..2) };
        if is_over {
            return;
        }
        match calls::open(node, &subject).await {
            Ok(held) => {
                self.world.answered();
                self.world.history().opened(&held.name, ms(Mono::now()));
                hand.alive.push(held);
            }
            // Nobody holds a token of it.
            Err(_) => self.world.missed(),
        }
    }

    /// `false`: it was refused for good.
    pub(crate) async fn refresh(&self, node: &Backend, hand: &mut Hand, at: usize) -> bool {
        let Some(held) = hand.alive.get_mut(at) else {
            return true;
        };
        self.refresh_held(node, held).await.unwrap_or(true)
    }

    /// `None`: nobody answered. Whatever is answered, the history is told.
    pub(crate) async fn refresh_held(&self, node: &Backend, held: &mut Held) -> Option<bool> {
        let sent = Mono::now();
        match calls::refresh(node, &held.refresh_token).await {
            Ok(renewed) => {
                self.world.answered();
                let mut history = self.world.history();
                history.refreshed(&held.name, ms(sent), ms(Mono::now()), renewed.is_healed);
                drop(history);
                held.refresh_token = renewed.refresh_token;
                held.access_token = renewed.access_token;
                Some(true)
            }
            Err(Not::Refused(reason)) => {
                self.world.answered();
                self.world.history().refused(&held.name, ms(sent), &reason);
                Some(false)
            }
            Err(Not::Known(_)) => {
                self.world.missed();
                None
            }
        }
    }

    async fn begin_to_revoke(&self, node: &Backend, hand: &mut Hand) {
        let at = hand.rng.usize(0..hand.alive.len());
        let first = hand.alive.swap_remove(at);
        let scopes = [
            Scope::Session,
            Scope::Session,
            Scope::Grant,
            Scope::Subject,
            Scope::Device,
        ];
        let scope = hand.rng.choice(scopes).unwrap_or(Scope::Session);
        let mut held = Vec::new();
        if matches!(scope, Scope::Subject | Scope::Device) {
            held.extend(hand.alive.extract_if(.., |other| other.subject == first.subject));
        }
        held.insert(0, first);
        for one in &held {
            self.world.history().revoking(&one.name, ms(Mono::now()));
        }
        hand.pending = Some(Pending {
            held,
            scope,
            id: request_id(),
        });
        self.revoke(node, hand).await;
    }

    async fn revoke(&self, node: &Backend, hand: &mut Hand) {
        let Some(pending) = hand.pending.clone() else {
            return;
        };
        let Some(first) = pending.held.first() else {
            return;
        };
        match calls::revoke(node, first, pending.scope, &pending.id).await {
            Ok(level) => {
                // One that is only stored is well done, and yet not all that was asked for.
                if level == Level::Durable {
                    self.world.answered();
                } else {
                    self.world.missed();
                }
                let at = ms(Mono::now());
                for held in &pending.held {
                    self.world.history().revoked(&held.name, level, at);
                    if level == Level::Durable {
                        self.world.watch(&held.name, &held.access_token);
                    }
                }
            }
            // It is not there any more: a failover lost it, and nobody is told that it was revoked.
            Err(Not::Refused(_)) => self.world.answered(),
            Err(Not::Known(_)) => return self.world.missed(),
        }
        hand.pending = None;
        for held in pending.held {
            let scope = pending.scope;
            hand.over.push_back(Over { held, scope });
        }
        while hand.over.len() > OVER_MAX {
            if let Some(oldest) = hand.over.pop_front() {
                self.world.history().forget(&oldest.held.name);
            }
        }
    }

    /// Presents a token that is dead.
    async fn probe(&self, node: &Backend, hand: &mut Hand) {
        let at = hand.rng.usize(0..hand.over.len());
        if let Some(over) = hand.over.get_mut(at) {
            self.refresh_held(node, &mut over.held).await;
        }
    }
}
