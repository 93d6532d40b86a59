//! The feed: what a verifier needs, and what it reports.
//!
//! **Invariant:** what was stamped elsewhere is forwarded, never stamped again; a stream ends with a
//! typed Resume or not at all.

mod batch;
mod feed;
mod place;
mod progress;
mod queue;
mod scope;

use std::pin::Pin;

use curfew_core::record::READER;
use curfew_core::refusal::Reason;
use curfew_proto::revocation::v1 as pb;
use futures_util::stream::Stream;
use tonic::Status;

use crate::check::{Check, LIST_MAX, TEXT_MAX};
use crate::limits::{self, ShareHeld, Standing};
use crate::shared::Call;
use crate::status::Of;
use feed::Feed;
pub(crate) use progress::{list, report};
use scope::Scope;

/// Frames, as they are sent.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Result<pb::WatchRevocationsResponse, Status>> + Send>>;

/// The smallest frame that may be asked for, bytes.
const FRAME_BYTES_MIN: u32 = 64 << 10;
/// The largest frame that may be asked for, bytes.
const FRAME_BYTES_MAX: u32 = 4 << 20;

/// Checks a request and begins its stream.
pub(crate) async fn begin(call: Call, request: pb::WatchRevocationsRequest) -> Result<Frames, Status> {
    let mut check = Check::default();
    let tenants = call.places(&mut check, "tenants", &request.tenants)?;
    let scope = Scope::of(&mut check, &call, tenants, &request.issuers)?;
    check.texts("audiences", &request.audiences, LIST_MAX, TEXT_MAX);
    let frame_bytes = match request.max_frame_bytes {
        0 => call.shared.settings.frame_bytes_max,
        bytes if (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&bytes) => usize::try_from(bytes)
            .map_or(call.shared.settings.frame_bytes_max, |bytes| {
                bytes.min(call.shared.settings.frame_bytes_max)
            }),
        _ => {
            check.fault("max_frame_bytes", "not between 64 KiB and 4 MiB");
            0
        }
    };
    let resume = progress::positions(&mut check, &call, &request.positions, &request.log_id);
    if request.positions.is_empty() != request.log_id.is_empty() {
        check.fault(
            "log_id",
            "positions and the log that they are of are sent together",
        );
    }
    let caller = call.caller_id()?;
    let subscriber = request
        .subscriber
        .as_ref()
        .and_then(|subscriber| progress::subscriber(&mut check, caller, subscriber, &request.audiences));
    let is_too_old = request
        .subscriber
        .as_ref()
        .is_some_and(|subscriber| (1..READER).contains(&subscriber.min_reader));
    let (resume, scope) = call.done(check, resume.zip(Some(scope)))?;
    let Ok(place) = call.shared.limits.subscribers.enter(Standing::Common) else {
        return Err(call.because(Of::Request, Reason::Overloaded, "too many subscribers"));
    };
    let place = place.named(caller).map_err(|ShareHeld(held)| {
        let now = call.authority().now().wall;
        call.refused(Of::Request, &limits::share_held(caller, held, "streams", now))
    })?;
    if let Some(subscriber) = subscriber {
        progress::is_ones_own(&call, &subscriber)?;
        // Registered before the snapshot is copied: a heartbeat stamped later proves the whole way.
        let positions = match &resume {
            progress::From::Here(positions) => positions.clone(),
            progress::From::Start | progress::From::OtherLog => Vec::new(),
        };
        let registered = call.authority().report_progress(subscriber, positions).await;
        registered.map_err(call.refuse(Of::Request))?;
    }
    let feed = Feed {
        shared: call.shared.clone(),
        caller: call.caller_id()?.clone(),
        presented: call.presented.clone(),
        scope,
        frame_bytes,
        is_too_old,
        place,
    };
    Ok(feed.start(resume))
}
