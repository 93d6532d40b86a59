//! Which node decides for a partition.
//!
//! **Invariant:** a wrong route is refused by the node that it leads to; it never decides anything.

mod cluster;
mod sentinel;

use std::sync::Arc;

use curfew_core::place::Partition;

use crate::dial::Dial;
use crate::fault::{Effect, Fault};
use crate::link::Link;
use crate::options::{Options, Servers};
use crate::tls::TlsError;

use cluster::Cluster;
use sentinel::Sentinel;

/// The route.
#[derive(Debug)]
pub(crate) enum Route {
    Single(Arc<Link>),
    Sentinel(Arc<Sentinel>),
    Cluster(Box<Cluster>),
}

impl Route {
    pub(crate) fn new(options: &Options) -> Result<Self, TlsError> {
        let dial = Arc::new(Dial::to_nodes(options)?);
        Ok(match &options.servers {
            Servers::Single(address) => Self::Single(Link::new(address.clone(), dial, options)),
            Servers::Sentinel {
                sentinels,
                master,
                credentials,
            } => {
                let to_sentinels = Dial::to_sentinels(options, credentials.as_ref())?;
                Self::Sentinel(Sentinel::new(
                    sentinels.clone(),
                    master,
                    to_sentinels,
                    dial,
                    options,
                ))
            }
            Servers::Cluster { seeds } => Self::Cluster(Box::new(Cluster::new(seeds.clone(), dial, options))),
        })
    }

    /// Whether somebody else may decide soon, so that trying on is worth while.
    pub(crate) const fn fails_over(&self) -> bool {
        match self {
            Self::Single(_) => false,
            Self::Sentinel(_) | Self::Cluster(_) => true,
        }
    }

    /// The node for a partition.
    pub(crate) async fn link_of(&self, partition: Partition) -> Result<Arc<Link>, Fault> {
        match self {
            Self::Single(link) => Ok(link.clone()),
            Self::Sentinel(sentinel) => sentinel.link().await,
            Self::Cluster(cluster) => cluster.link_of(partition).await,
        }
    }

    /// Every node that decides, and one of its partitions.
    pub(crate) async fn all(&self) -> Result<Vec<(Arc<Link>, Partition)>, Fault> {
        match self {
            Self::Single(link) => Ok(vec![(link.clone(), Partition::DIRECTORY)]),
            Self::Sentinel(sentinel) => Ok(vec![(sentinel.link().await?, Partition::DIRECTORY)]),
            Self::Cluster(cluster) => cluster.all().await,
        }
    }

    /// What a fault means for the route that led there.
    pub(crate) fn blame(&self, link: &Arc<Link>, fault: &Fault) {
        let is_wrong = match fault.effect {
            Effect::Demoted | Effect::Moved | Effect::Broken | Effect::Silent | Effect::Nothing => true,
            Effect::NoScript | Effect::Refused | Effect::Full => false,
        };
        if !is_wrong {
            return;
        }
        match self {
            Self::Single(_) => {}
            Self::Sentinel(sentinel) => sentinel.doubt(link),
            Self::Cluster(cluster) => cluster.doubt(),
        }
    }
}
