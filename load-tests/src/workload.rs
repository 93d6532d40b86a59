//! What the open loop sends to a node: refreshes alone, or a mix with openings and revocations.
//!
//! **Invariant:** what a mix does next comes from a seed, not from how the target answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::open_loop::Target;
use crate::recorder::Operation;
use crate::sessions::{Lease, Sessions};

/// Parts of a mix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Mix {
    pub(crate) refresh: u32,
    pub(crate) open: u32,
    pub(crate) revoke: u32,
}

impl Mix {
    pub(crate) const REFRESH: Self = Self {
        refresh: 1,
        open: 0,
        revoke: 0,
    };
    /// A busy sign-in system: each session is refreshed often, and one in ten is signed out.
    pub(crate) const MIXED: Self = Self {
        refresh: 100,
        open: 10,
        revoke: 1,
    };

    /// What a draw below the sum of the parts means.
    const fn operation(self, drawn: u32) -> Operation {
        if drawn < self.refresh {
            Operation::Refresh
        } else if drawn < self.refresh + self.open {
            Operation::Open
        } else {
            Operation::Revoke
        }
    }

    const fn sum(self) -> u32 {
        self.refresh + self.open + self.revoke
    }
}

/// Requests of a mix over a set of sessions.
#[derive(Debug)]
pub(crate) struct Workload {
    backend: Backend,
    sessions: Sessions,
    mix: Mix,
    chance: Mutex<fastrand::Rng>,
    /// Names of new subjects begin with it.
    name: String,
    opened: AtomicU64,
}

impl Workload {
    pub(crate) fn new(backend: Backend, sessions: Sessions, mix: Mix, seed: u64) -> Self {
        Self {
            backend,
            sessions,
            mix,
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            name: format!("mixed-{:08x}", fastrand::u32(..)),
            opened: AtomicU64::new(0),
        }
    }
}

/// One request.
#[derive(Debug)]
pub(crate) enum Job {
    Refresh(Lease),
    Open(String),
    Revoke(Lease),
}

impl Target for Workload {
    type Job = Job;

    fn choose(&self) -> (Operation, Option<Job>) {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let operation = self.mix.operation(chance.u32(0..self.mix.sum().max(1)));
        let job = match operation {
            Operation::Refresh => self.sessions.lease().map(Job::Refresh),
            Operation::Open => {
                let n = self.opened.fetch_add(1, Ordering::Relaxed);
                Some(Job::Open(format!("{}-{n}", self.name)))
            }
            Operation::Revoke => self.sessions.lease().map(Job::Revoke),
        };
        (operation, job)
    }

    async fn send(&self, job: Job) -> Result<(), String> {
        match job {
            Job::Refresh(mut lease) => {
                let successor = self.backend.refresh(lease.refresh_token()).await?;
                lease.renew(successor);
            }
            Job::Open(subject) => self.sessions.put(self.backend.open(&subject).await?.session),
            Job::Revoke(lease) => {
                self.backend.end(lease.name()).await?;
                lease.end();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_has_its_parts() {
        let operations = (0..Mix::MIXED.sum()).map(|drawn| Mix::MIXED.operation(drawn));
        let mut counts = std::collections::BTreeMap::new();
        for operation in operations {
            *counts.entry(operation).or_insert(0) += 1;
        }
        assert_eq!(counts[&Operation::Refresh], 100);
        assert_eq!(counts[&Operation::Open], 10);
        assert_eq!(counts[&Operation::Revoke], 1);
        assert_eq!(Mix::REFRESH.operation(0), Operation::Refresh);
    }
}
