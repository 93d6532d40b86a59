//! How often a client is asked for, and how often its secret may be guessed.
//!
//! **Invariant:** only clients of the directory are counted: a made-up id opens no budget, and the use case
//! refuses it.

use curfew_authority::ClientProof;
use curfew_core::ids::{ClientId, TenantId};
use curfew_core::refusal::{Reason, Refusal};
use tonic::Status;

use crate::limits::{self, Claimed, Source, Try};
use crate::shared::Call;
use crate::status::Of;

/// A call for a client within its rate; `Some`: the secret that it came with.
pub(super) fn begin(
    call: &Call,
    tenant: TenantId,
    client: &ClientId,
    proof: &ClientProof,
    client_ip: &str,
) -> Result<Option<Try>, Status> {
    if call.loaded.view.client(tenant, client).is_none() {
        return Ok(None);
    }
    let limits = &call.shared.limits;
    let over = |delay, about: String| {
        let now = call.authority().now().wall;
        call.refused(
            Of::Request,
            &limits::over(Reason::RateLimited, delay, now).about(about),
        )
    };
    let rate = limits.rates.client(tenant, client);
    rate.map_err(|delay| over(delay, format!("calls for the client `{client}`")))?;
    let secret = match proof {
        ClientProof::Secret(secret) => secret,
        // A certificate was verified by the transport, and nothing is guessed of a public client.
        ClientProof::Certificate(_) | ClientProof::None => return Ok(None),
    };
    let claimed = Claimed::Client(tenant, client.clone());
    let tried = Try::new(
        Source::caller(call.caller_id()?.clone(), client_ip),
        claimed,
        secret.as_bytes(),
    );
    let guesses = &limits.guesses;
    guesses
        .may_judge(&tried)
        .map_err(|delay| over(delay, format!("wrong secrets of the client `{client}`")))?;
    // Known at once, so that the others that come in this moment with the same secret are no guesses.
    if call.authority().is_client_secret(tenant, client, secret) {
        guesses.judged(&tried, true);
    }
    Ok(Some(tried))
}

/// What the use case said of it.
pub(super) fn judged<T>(call: &Call, tried: Option<&Try>, answer: &Result<T, Refusal>) {
    let is_wrong = answer
        .as_ref()
        .is_err_and(|refusal| refusal.reason == Reason::ClientAuthenticationFailed);
    if let (Some(tried), true) = (tried, is_wrong) {
        call.shared.limits.guesses.judged(tried, false);
    }
}
