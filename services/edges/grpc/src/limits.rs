//! How much: places, turns, rates and tries. `services/LIMITS.md` lists every limit with its arithmetic.
//!
//! **Invariant:** over a limit a call is told RESOURCE_EXHAUSTED and when to come again, which looks neither
//! dead nor like nobody; nothing was begun.

mod admission;
pub(crate) mod deadline;
mod guesses;
mod lanes;
mod pool;
mod rates;
mod window;

use std::sync::Arc;
use std::time::Duration;

use curfew_authority::Authority;
use curfew_core::ids::CallerId;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::time::Millis;

pub(crate) use admission::{Admission, Shed, Turn};
pub(crate) use guesses::{Claimed, Guesses, Source, Try};
pub(crate) use pool::{Full, Place, Pool, ShareHeld, Standing};
use rates::{Rates, SinceBoot};

use crate::access::Rank;
use crate::settings::Settings;

/// How often keys that are whole again are forgotten: at 150 B a key and 10,000 new ones a second, 15 MB.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// One call in so many is kept for what ends things: of 2,048 calls 256, which at 10 ms each are 25,600 a second.
const RESERVE_PART: usize = 8;
/// When a place of one's own may be free again: a call takes milliseconds.
const SHARE_RETRY_MS: i64 = 100;

/// The limits of the edge, and what is used of them.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) calls: Arc<Pool>,
    pub(crate) waits: Arc<Pool>,
    pub(crate) subscribers: Arc<Pool>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) rates: Rates,
    pub(crate) guesses: Guesses,
}

impl Limits {
    pub(crate) fn new(settings: &Settings, authority: &Authority) -> Self {
        let clock = SinceBoot(authority.clone());
        Self {
            calls: Pool::new(settings.calls_max, settings.calls_max / RESERVE_PART),
            waits: Pool::new(settings.waits_max, 0),
            subscribers: Pool::new(settings.subscribers_max, 0),
            admission: Admission::new(
                settings.calls_max,
                settings.call_time_target,
                settings.call_wait_max,
            ),
            rates: Rates::new(settings.caller_rate, settings.client_rate, &clock),
            guesses: Guesses::new(settings.guess_rate, clock),
        }
    }

    /// Forgets, now and then, whose budget is whole again; without end.
    pub(crate) async fn keep(&self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.rates.sweep();
            self.guesses.sweep();
        }
    }
}

/// The standing of a rank in a pool.
pub(crate) const fn standing(rank: Rank) -> Standing {
    match rank {
        Rank::Ends => Standing::Outranking,
        Rank::Tokens | Rank::Reads => Standing::Common,
    }
}

/// A refusal with the delay after which to come again.
pub(crate) fn over(reason: Reason, delay: Duration, now: Millis) -> Refusal {
    // Rounded up: a retry that comes a millisecond early is refused again.
    let ms = i64::try_from(delay.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX);
    Refusal::new(Stage::Request, reason).until(now.plus_ms(ms.max(1)))
}

/// The caller holds its share of a pool.
pub(crate) fn share_held(caller: &CallerId, held: usize, of: &str, now: Millis) -> Refusal {
    Refusal::new(Stage::Request, Reason::CallerShare)
        .about(format!("{held} {of} of `{caller}` are in progress"))
        .until(now.plus_ms(SHARE_RETRY_MS))
}
