//! A call that arrives: what it weighs, how long its caller will wait, its place and its turn.
//!
//! **Invariant:** before anybody is known, a call costs a place in the house and no more; the share, the
//! rate and the turn are taken of whoever proved itself, so nobody uses up another's by claiming its name.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_transport::Peer;
use http::{Extensions, HeaderMap};
use tokio::time::Instant;
use tonic::Status;
use tonic_types::FieldViolation;

use crate::access::{Pace, Rule};
use crate::caller::Caller;
use crate::foreign;
use crate::limits::{self, Claimed, Full, Place, ShareHeld, Shed, Source, Try, Turn, deadline};
use crate::shared::Shared;
use crate::status::{self, Of};

/// A call whose caller is not known yet.
pub(crate) struct Arrival {
    pub(crate) rule: &'static Rule,
    /// `None`: a stream, which its handler counts for as long as it lives.
    place: Option<Place>,
    /// How long the caller will wait, where it says so.
    pub(crate) patience: Option<Duration>,
    deadline: Option<Instant>,
}

/// What an admitted call holds until it is answered.
pub(crate) struct Admitted {
    // Dropped in this order: the next one's turn comes with its place.
    pub(crate) turn: Held,
    _place: Option<Place>,
}

/// A call's turn, which it may give back before it is answered: one that only waits any more keeps nobody waiting.
#[derive(Clone, Debug)]
pub(crate) struct Held(Arc<Mutex<Option<Turn>>>);

impl Held {
    /// The turn is another's from here on.
    pub(crate) fn give_back(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        // The request, which holds it as well, may live longer.
        self.turn.give_back();
    }
}

impl Arrival {
    /// The line of the table, and a place in the house.
    pub(crate) fn of<B>(shared: &Shared, request: &http::Request<B>) -> Result<Self, Status> {
        let words = shared.words(None);
        let refuse = |refusal: &Refusal| status::status_of(refusal, Of::Request, words);
        let Some(rule) = Rule::of(request.uri().path()) else {
            let refusal = Refusal::new(Stage::Request, Reason::NotImplemented);
            return Err(refuse(&refusal.about("there is no such method")));
        };
        let patience = weigh(shared, request.headers())?;
        if let Some(encoding) = foreign::encoding(request) {
            return Err(foreign::compressed(&encoding, words));
        }
        let house = match rule.pace {
            Pace::Call => Some(&shared.limits.calls),
            Pace::Wait => Some(&shared.limits.waits),
            Pace::Stream => None,
        };
        let place = house.map(|house| house.enter(limits::standing(rule.rank)));
        let place = place.transpose().map_err(|Full| {
            let delay = shared.limits.admission.later();
            let refusal = limits::over(Reason::Overloaded, delay, shared.authority.now().wall);
            refuse(&refusal.about("too many calls in progress"))
        })?;
        Ok(Self {
            rule,
            place,
            patience,
            deadline: patience.and_then(|patience| Instant::now().checked_add(patience)),
        })
    }

    /// The caller's share, its rate, and a turn.
    pub(crate) async fn admit(self, shared: &Shared, caller: &Caller) -> Result<Admitted, Status> {
        let now = || shared.authority.now().wall;
        let refuse = |refusal: Refusal| status::status_of(&refusal, Of::Request, shared.words(Some(caller)));
        let mut place = self.place;
        if let Some(id) = caller.id() {
            shared.limits.rates.caller(id).map_err(|delay| {
                refuse(limits::over(Reason::RateLimited, delay, now()).about(format!("calls of `{id}`")))
            })?;
            let named = place.map(|place| place.named(id)).transpose();
            place = named.map_err(|ShareHeld(held)| refuse(limits::share_held(id, held, "calls", now())))?;
        }
        let turn = match self.rule.pace {
            // Neither works while it waits.
            Pace::Wait | Pace::Stream => None,
            Pace::Call => {
                let left = self
                    .deadline
                    .map(|deadline| deadline.saturating_duration_since(Instant::now()));
                let admission = &shared.limits.admission;
                let turn = admission.turn(self.rule.rank, caller.id().cloned(), left).await;
                Some(turn.map_err(|shed| {
                    let (delay, about) = match shed {
                        Shed::Busy(delay) => (delay, "too many calls wait for their turn"),
                        Shed::Deadline(delay) => (delay, "the call's turn comes after its deadline"),
                    };
                    refuse(limits::over(Reason::Overloaded, delay, now()).about(about))
                })?)
            }
        };
        Ok(Admitted {
            turn: Held(Arc::new(Mutex::new(turn))),
            _place: place,
        })
    }
}

/// Whether the metadata is too much, and the caller's patience in it.
fn weigh(shared: &Shared, headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let mut faults = Vec::new();
    // As HTTP/2 counts them (RFC 9113 section 6.5.2).
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    let bytes_max = shared.settings.metadata_bytes_max;
    if bytes > bytes_max {
        faults.push(FieldViolation::new(
            "(metadata)",
            format!("{bytes} bytes; at most {bytes_max} are taken"),
        ));
    }
    let patience = deadline::of(headers).map_err(|fault| {
        faults.push(FieldViolation::new("(metadata) grpc-timeout", fault));
    });
    match patience {
        Ok(patience) if faults.is_empty() => Ok(patience),
        Ok(_) | Err(()) => Err(status::violations(faults, shared.words(None))),
    }
}

/// A try of a peer that is not known yet.
pub(crate) fn tried(extensions: &Extensions, claimed: Claimed, secret: &[u8]) -> Try {
    let address = extensions.get::<Peer>().map(|peer| peer.address.ip());
    Try::new(Source::peer(address), claimed, secret)
}
