//! Guesses: how often a credential that was never right here may be tried.
//!
//! A try is counted before it is judged: judging first would tell a guesser that its guess was right
//! however many it had made. What was right once is remembered by its digest and is no guess any more, so
//! whoever holds the secret passes while another guesses beside it.
//! A try is counted by where it comes from *and* by whom it claims to be: a stranger's guesses use up the
//! stranger's budget and leave the caller's own address alone. There is no budget by the claimed id alone,
//! because anybody could use that one up and lock the caller out.
//!
//! Tokens are not counted: a signature cannot be guessed, and an honest caller whose token is over must
//! hear so at once.
//!
//! **Invariant:** no budget of others stands between a caller and a secret that was right before.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use curfew_core::ids::{CallerId, ClientId, TenantId};
use curfew_core::mac::sha256;
use quick_cache::sync::Cache;

use super::rates::{Cells, SinceBoot};
use crate::settings::Rate;

/// Credentials that were right and are remembered; at 32 B and some 40 of the cache, 1 MB.
const PROVEN_MAX: usize = 10_000;

/// Where a try comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Source {
    /// A peer that proved nothing yet.
    Peer(Option<IpAddr>),
    /// A caller that asks for a client, and the client's address where the caller told it.
    Caller(CallerId, Option<IpAddr>),
}

impl Source {
    /// The peer of a connection.
    pub(crate) fn peer(address: Option<IpAddr>) -> Self {
        Self::Peer(address.map(network))
    }

    /// A caller on behalf of whoever has this address.
    pub(crate) fn caller(caller: CallerId, client_ip: &str) -> Self {
        Self::Caller(caller, client_ip.parse().ok().map(network))
    }
}

/// An IPv6 network is one peer: the lower half is its own to choose (RFC 4291 section 2.5.4).
const fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Whom a try claims to be.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Claimed {
    /// A caller of the directory.
    Caller(CallerId),
    /// A client of the directory.
    Client(TenantId, ClientId),
    /// Whoever holds the root key.
    RootKey,
    /// Nobody that is known: all such names are one, or each guess would open a budget.
    Nobody,
}

/// A try: from where, as whom, with what.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) source: Source,
    pub(crate) claimed: Claimed,
    digest: [u8; 32],
}

impl Try {
    pub(crate) fn new(source: Source, claimed: Claimed, secret: &[u8]) -> Self {
        // Whose secret it is belongs to it: another's right secret is a guess here.
        let mut bytes = sha256(secret).to_vec();
        bytes.extend_from_slice(format!("{claimed:?}").as_bytes());
        let digest = sha256(&bytes);
        Self {
            source,
            claimed,
            digest,
        }
    }
}

/// What was tried and what was right.
pub(crate) struct Guesses {
    budgets: Cells<(Source, Claimed)>,
    proven: Cache<[u8; 32], ()>,
}

impl std::fmt::Debug for Guesses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guesses")
            .field("budgets", &self.budgets)
            .finish_non_exhaustive()
    }
}

impl Guesses {
    pub(crate) fn new(rate: Rate, clock: SinceBoot) -> Self {
        Self {
            budgets: Cells::new(rate, clock),
            proven: Cache::new(PROVEN_MAX),
        }
    }

    /// Whether the try may be judged; `Err`: when the next one may.
    pub(crate) fn may_judge(&self, tried: &Try) -> Result<(), Duration> {
        if self.proven.get(&tried.digest).is_some() {
            return Ok(());
        }
        self.budgets.take(&(tried.source.clone(), tried.claimed.clone()))
    }

    /// What became of it.
    pub(crate) fn judged(&self, tried: &Try, is_right: bool) {
        if is_right {
            self.proven.insert(tried.digest, ());
        } else {
            // A secret that was ended is a guess again.
            self.proven.remove(&tried.digest);
        }
    }

    pub(crate) fn sweep(&self) {
        self.budgets.sweep();
    }
}
