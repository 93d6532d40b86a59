//! What clients ask while servers fail, and what they do who are told to repeat.

use std::time::Duration;

use curfew_proto::revocation::v1::AckLevel;
use curfew_proto::session::v1 as session;
use curfew_proto::token::v1 as token;
use curfew_proto::token::v1::RefreshCause;
use tonic::{Code, Request, Status};

use super::process::{Backend, TENANT, request_id};
use super::servers::{told, until};

/// What a caller waits for.
const DEADLINE: Duration = Duration::from_secs(4);

/// Nobody knows, or it is to be repeated: a connection that broke under a call is `Unknown` to the client library.
fn is_hiccup(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DeadlineExceeded, Unavailable, Unknown};
    [Aborted, Cancelled, DeadlineExceeded, Unavailable, Unknown].contains(&code)
}

/// Asks again until there is an answer that is one.
pub(crate) async fn answered<T>(
    what: &str,
    mut call: impl AsyncFnMut() -> Result<T, Status>,
) -> Result<T, Status> {
    until(what, async || match call().await {
        Err(status) if is_hiccup(status.code()) => None,
        answered => Some(answered),
    })
    .await
}

fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

/// A session and its tokens, as a client holds them.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) session: String,
    pub(crate) refresh_token: String,
    pub(crate) access_token: String,
}

/// Tokens are not printed.
impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({}, ..)", self.session)
    }
}

/// Signs in and gets tokens, asking again where told to.
pub(crate) async fn opened(backend: &Backend, subject: &str) -> Held {
    let session = answered("a session", async || backend.sign_in(subject).await)
        .await
        .unwrap();
    let tokens = answered("tokens", async || backend.issue(&session).await)
        .await
        .unwrap();
    Held {
        session,
        refresh_token: tokens.refresh_token,
        access_token: tokens.access_token,
    }
}

/// One refresh: the successor, and why.
pub(crate) async fn refresh_once(backend: &Backend, held: &Held) -> Result<(Held, RefreshCause), Status> {
    let request = patient(token::RefreshTokensRequest {
        refresh_token: held.refresh_token.clone(),
        client: format!("{TENANT}/clients/web"),
        ..Default::default()
    });
    let answer = backend.tokens.clone().refresh_tokens(request).await?.into_inner();
    let cause = answer.cause();
    let tokens = answer.tokens.unwrap();
    let next = Held {
        session: held.session.clone(),
        refresh_token: tokens.refresh_token,
        access_token: tokens.access_token,
    };
    Ok((next, cause))
}

/// A refresh, asked again where told to.
pub(crate) async fn refreshed(backend: &Backend, held: &Held) -> Result<(Held, RefreshCause), Status> {
    answered("a refresh", async || refresh_once(backend, held).await).await
}

/// The reason for which a refresh is refused for good.
pub(crate) async fn refused(backend: &Backend, held: &Held) -> String {
    match refreshed(backend, held).await {
        Ok((_, cause)) => panic!("{} was refreshed: {cause:?}", held.session),
        Err(status) => told(&status).1,
    }
}

/// Ends a session once; how far the revocation had come.
pub(crate) async fn end_once(backend: &Backend, session: &str, id: &str) -> Result<AckLevel, Status> {
    let request = patient(session::EndSessionRequest {
        name: session.to_owned(),
        cause: "signed_out".to_owned(),
        request_id: id.to_owned(),
        ..Default::default()
    });
    let ended = backend.sessions.clone().end_session(request).await?.into_inner();
    Ok(ended.acknowledgement.unwrap().level())
}

/// Ends a session, DURABLE: asked again, with the same id, where it was not known or not that far yet.
pub(crate) async fn ended(backend: &Backend, session: &str) {
    let id = request_id();
    until("a DURABLE revocation", async || {
        match end_once(backend, session, &id).await {
            Ok(level) => (level == AckLevel::Durable).then_some(()),
            Err(status) if is_hiccup(status.code()) => None,
            Err(status) => panic!("{session}: {status:?}"),
        }
    })
    .await;
}

/// Whether the store itself calls a session alive.
pub(crate) async fn is_active(backend: &Backend, session: &str) -> Result<bool, Status> {
    answered("a session's state", async || {
        let request = patient(session::GetSessionRequest {
            name: session.to_owned(),
        });
        let found = backend.sessions.clone().get_session(request).await?.into_inner();
        Ok(found.session.unwrap().state() == session::SessionState::Active)
    })
    .await
}
