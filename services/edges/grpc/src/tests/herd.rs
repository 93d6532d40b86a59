//! Ten thousand at once after a pause; and clients that leave in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use curfew_proto::token::v1 as token;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use futures_util::StreamExt as _;
use tokio::sync::Barrier;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::world::{TENANT, World, by};
use crate::Rate;

const GRANTS: usize = 10_000;
/// Of so many clients one sends everything twice.
const TWICE: usize = 10;
/// A connection carries a thousand calls at once; these carry them all.
const CHANNELS: usize = 12;
/// A herd of ten thousand needs a dozen rounds; a hundred are a client that will never get through.
const TRIES_MAX: u32 = 100;

/// What a phone does: it repeats where it is told to, after the told delay, and signs out on nothing else.
struct Phone {
    channel: Channel,
    backend: String,
    client_authentication: token::ClientAuthentication,
    shed: Arc<AtomicU64>,
}

impl Phone {
    async fn refresh(&self, refresh_token: &str) -> Result<String, Status> {
        let request = token::RefreshTokensRequest {
            refresh_token: refresh_token.to_owned(),
            client: format!("{TENANT}/clients/web"),
            client_authentication: Some(self.client_authentication.clone()),
            ..Default::default()
        };
        let mut tokens = TokenServiceClient::new(self.channel.clone());
        for _ in 0..TRIES_MAX {
            let refused = match tokens.refresh_tokens(by(&self.backend, request.clone())).await {
                Ok(answer) => return Ok(answer.into_inner().tokens.unwrap().refresh_token),
                Err(refused) => refused,
            };
            if !matches!(refused.code(), Code::ResourceExhausted | Code::Unavailable) {
                return Err(refused);
            }
            self.shed.fetch_add(1, Ordering::Relaxed);
            let details = refused.get_error_details();
            let delay = details.retry_info().and_then(|info| info.retry_delay);
            let delay = delay.unwrap_or_else(|| panic!("shed, and not told when to come again: {refused:?}"));
            tokio::time::sleep(delay).await;
        }
        Err(Status::deadline_exceeded("never let in"))
    }
}

async fn channels(world: &World) -> Vec<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", world.address)).unwrap();
    let endpoint = endpoint.connect_timeout(Duration::from_secs(60));
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        channels.push(endpoint.connect().await.unwrap());
    }
    channels
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_of_ten_thousand_refreshes_loses_no_grant_and_signs_nobody_out() {
    let world = World::with(|settings| {
        // So few that shedding is certain, on any machine.
        settings.calls_max = 256;
        // Rates are told in the world's time, which stands still here.
        (settings.caller_rate, settings.client_rate) = (Rate::NONE, Rate::NONE);
    })
    .await;
    let first: Vec<String> = futures_util::stream::iter(0..GRANTS)
        .map(|n| {
            let world = &world;
            async move {
                let session = world.open(&format!("subject-{n}")).await;
                world.issue(&session).await.refresh_token
            }
        })
        .buffer_unordered(64)
        .collect()
        .await;
    let shed = Arc::new(AtomicU64::new(0));
    let channels = channels(&world).await;
    let start = Arc::new(Barrier::new(GRANTS));
    let mut herd = Vec::with_capacity(GRANTS);
    for (n, refresh_token) in first.into_iter().enumerate() {
        let phone = Phone {
            channel: channels[n % CHANNELS].clone(),
            backend: world.backend.clone(),
            client_authentication: world.web(),
            shed: shed.clone(),
        };
        let start = start.clone();
        herd.push(tokio::spawn(async move {
            start.wait().await;
            if n % TWICE == 0 {
                let both = tokio::join!(phone.refresh(&refresh_token), phone.refresh(&refresh_token));
                let (one, other) = (both.0?, both.1?);
                assert_eq!(one, other, "both have the one successor");
                return Ok(one);
            }
            phone.refresh(&refresh_token).await
        }));
    }
    let mut successors = Vec::with_capacity(GRANTS);
    for phone in herd {
        let successor: Result<String, Status> = phone.await.unwrap();
        successors.push(successor.unwrap_or_else(|status| panic!("signed out: {status:?}")));
    }
    assert!(
        shed.load(Ordering::Relaxed) > 0,
        "nothing was shed: this was no herd"
    );
    // And every hundredth goes on with what it has.
    for successor in successors.iter().step_by(100) {
        world.refresh(successor).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_refresh_converges_with_its_retry() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let mut present = world.issue(&session).await.refresh_token;
    let mut was_rotated_unheard = 0;
    for round in 0..20 {
        // The commit stands still until the client is gone; whether it is carried out is then up to the server.
        let held = world.store.delay_next();
        let request = token::RefreshTokensRequest {
            refresh_token: present.clone(),
            client: format!("{TENANT}/clients/web"),
            client_authentication: Some(world.web()),
            ..Default::default()
        };
        let mut tokens = world.tokens();
        let request = by(&world.backend, request);
        let leaving = tokio::spawn(async move { tokens.refresh_tokens(request).await });
        held.arrived().await;
        if round % 2 == 0 {
            // Before the store has done it, or at the moment at which it does.
            leaving.abort();
            held.release();
        } else {
            held.release();
            tokio::task::yield_now().await;
            leaving.abort();
        }
        drop(leaving.await);
        let again = world.refresh(&present).await.unwrap();
        let cause = again.cause();
        was_rotated_unheard += u32::from(cause != token::RefreshCause::Rotated);
        let successor = again.tokens.unwrap().refresh_token;
        let once_more = world.refresh(&present).await.unwrap().tokens.unwrap();
        assert_eq!(once_more.refresh_token, successor, "round {round}: one successor");
        present = successor;
    }
    assert!(
        was_rotated_unheard > 0,
        "no answer was ever lost: nothing was tested"
    );
}
