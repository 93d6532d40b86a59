//! The faults, where each can be injected, and in which order.
//!
//! **Invariant:** the same seed gives the same faults in the same order; all of a topology come before one comes again.

use std::time::Duration;

use clap::ValueEnum;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// How the store is laid out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Topology {
    /// One Redis, without a replica.
    Single,
    /// A primary with two replicas under three Sentinels.
    Sentinel,
    /// Three primaries with a replica each.
    Cluster,
}

impl Topology {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Single => "one Redis",
            Self::Sentinel => "Sentinels",
            Self::Cluster => "a Cluster",
        }
    }
}

macro_rules! faults {
    ($($name:ident $text:literal [$($topology:ident)*];)*) => {
        /// Something that fails.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(crate) enum Fault {
            $(#[doc = $text] $name,)*
        }

        impl Fault {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// For people.
            pub(crate) const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Where it can be injected.
            pub(crate) const fn topologies(self) -> &'static [Topology] {
                match self {
                    $(Self::$name => &[$(Topology::$topology,)*],)*
                }
            }
        }
    };
}

faults! {
    RedisKilled "Redis killed, started again" [Single];
    RedisHangs "Redis stopped for a while" [Single];
    RedisDiskFull "disk of Redis full for a while" [Single];
    FailoverOrdered "failover ordered" [Sentinel Cluster];
    FailoverForced "failover forced" [Cluster];
    FailoverLossy "replica held back, primary killed" [Sentinel Cluster];
    PrimaryKilled "primary killed, comes back as a replica" [Sentinel Cluster];
    PrimaryHangs "primary stopped until it is replaced" [Sentinel];
    TakeoverLossy "replica held back, takes over from a living primary" [Cluster];
    DemotedAndBack "primary demoted and promoted again" [Sentinel];
    ZombiePrimary "primary that only clients reach" [Sentinel];
    BrokerKilled "one broker of three killed" [Single Sentinel Cluster];
    BrokerHangs "one broker of three stopped" [Single Sentinel Cluster];
    BrokerDiskFull "disk of one broker full" [Single Sentinel Cluster];
    AllBrokersKilled "all brokers killed" [Single Sentinel Cluster];
    NodeKilled "a node killed" [Single Sentinel Cluster];
    NodeHangs "a node stopped for a while" [Single Sentinel Cluster];
}

impl Fault {
    /// How long it lasts, where somebody decides that: short ones are likelier, the longest outlasts every bound.
    pub(crate) fn lasts(self, rng: &mut Rng) -> Duration {
        let ms = match self {
            Self::NodeHangs => rng.u64(500..20_000),
            Self::AllBrokersKilled | Self::RedisHangs | Self::RedisDiskFull => rng.u64(500..8_000),
            Self::BrokerHangs | Self::BrokerKilled => rng.u64(1_000..8_000),
            // For so long writes are acknowledged and lost.
            Self::FailoverLossy | Self::TakeoverLossy => rng.u64(500..4_000),
            Self::RedisKilled
            | Self::FailoverOrdered
            | Self::FailoverForced
            | Self::PrimaryKilled
            | Self::PrimaryHangs
            | Self::DemotedAndBack
            | Self::ZombiePrimary
            | Self::BrokerDiskFull
            | Self::NodeKilled => 0,
        };
        Duration::from_millis(ms)
    }

    /// Whether the store has another history afterwards.
    pub(crate) const fn changes_history(self) -> bool {
        match self {
            Self::RedisKilled
            | Self::FailoverOrdered
            | Self::FailoverForced
            | Self::FailoverLossy
            | Self::PrimaryKilled
            | Self::PrimaryHangs
            | Self::TakeoverLossy
            | Self::DemotedAndBack
            | Self::ZombiePrimary => true,
            Self::RedisHangs
            | Self::RedisDiskFull
            | Self::BrokerKilled
            | Self::BrokerHangs
            | Self::BrokerDiskFull
            | Self::AllBrokersKilled
            | Self::NodeKilled
            | Self::NodeHangs => false,
        }
    }
}

/// Faults in a random order, all before any comes again.
#[derive(Debug)]
pub(crate) struct Bag {
    all: Vec<Fault>,
    left: Vec<Fault>,
}

impl Bag {
    /// Those of `wanted` that this topology has; all of them where none is named.
    pub(crate) fn of(topology: Topology, wanted: &[Fault]) -> Self {
        let is_wanted = |fault: &Fault| wanted.is_empty() || wanted.contains(fault);
        let all = Fault::ALL.iter().copied().filter(is_wanted);
        Self {
            all: all
                .filter(|fault| fault.topologies().contains(&topology))
                .collect(),
            left: Vec::new(),
        }
    }

    /// `None`: there is none.
    pub(crate) fn draw(&mut self, rng: &mut Rng) -> Option<Fault> {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            rng.shuffle(&mut self.left);
        }
        self.left.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, topology: Topology) -> Vec<Fault> {
        let mut rng = Rng::with_seed(seed);
        let mut bag = Bag::of(topology, &[]);
        (0..40).filter_map(|_| bag.draw(&mut rng)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_gives_others() {
        assert_eq!(drawn(7, Topology::Cluster), drawn(7, Topology::Cluster));
        assert_ne!(drawn(7, Topology::Cluster), drawn(8, Topology::Cluster));
    }

    #[test]
    fn every_fault_of_a_topology_comes_before_one_comes_again() {
        for topology in [Topology::Single, Topology::Sentinel, Topology::Cluster] {
            let all = Bag::of(topology, &[]).all.len();
            let mut first = drawn(1, topology)[..all].to_vec();
            first.sort_unstable();
            first.dedup();
            assert_eq!(first.len(), all, "{topology:?}");
        }
    }

    #[test]
    fn every_fault_has_a_place() {
        assert!(Fault::ALL.iter().all(|fault| !fault.topologies().is_empty()));
        let wanted = [Fault::ZombiePrimary];
        assert!(Bag::of(Topology::Single, &wanted).draw(&mut Rng::new()).is_none());
        let drawn = Bag::of(Topology::Sentinel, &wanted).draw(&mut Rng::new());
        assert_eq!(drawn, Some(Fault::ZombiePrimary));
    }
}
