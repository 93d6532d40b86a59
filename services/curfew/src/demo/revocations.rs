//! Sign out everywhere else; revoke→reject, timed; a thousand sessions by one record.

use std::time::{Duration, Instant};

use curfew_proto::revocation::v1 as revocation;
use curfew_proto::session::v1 as session;

use crate::cli::Failure;
use crate::client::request_id;
use crate::demo::story::Story;
use crate::demo::world::{ORDERS, TENANT, Tokens, World};

/// Revocations that are timed.
const TIMED: u64 = 200;
/// Sessions of one subject that one record cuts off.
const SESSIONS: usize = 1_000;

/// *Sign out everywhere else* spares the session that asks.
pub(crate) async fn sign_out_elsewhere(
    story: &mut Story,
    world: &mut World,
    current: &str,
    current_tokens: &Tokens,
) -> Result<(), Failure> {
    story.begin(
        "alice, signed in on two more devices, signs out everywhere else",
        2,
    );
    let (second, third) = (world.sign_in("alice").await?, world.sign_in("alice").await?);
    let (second, third) = (world.issue(&second).await?, world.issue(&third).await?);
    let request = session::EndOtherSessionsRequest {
        name: current.to_owned(),
        cause: "user_signed_out_elsewhere".to_owned(),
        initiator: curfew_proto::log::v1::Initiator::User.into(),
        request_id: request_id(),
        ..Default::default()
    };
    world.sessions.end_other_sessions(request).await?;
    world.until_refused(&second.access_token).await?;
    world.until_refused(&third.access_token).await?;
    world.note("an access token of another session", &second.access_token, ORDERS);
    let (status, _) = world.call_orders(&current_tokens.access_token).await?;
    let refreshed = world.refresh(&current_tokens.refresh_token).await;
    let told = format!(
        "the others: 401; this session: {status}, and its refresh succeeds: {}",
        refreshed.is_ok()
    );
    story.check("sign_out_elsewhere", status == 200 && refreshed.is_ok(), &told);
    Ok(())
}

/// A session is revoked and its still unexpired access token refused, 200 times over.
pub(crate) async fn timed(story: &mut Story, world: &mut World) -> Result<(), Failure> {
    story.begin(
        "200 sessions are revoked, one after another; each one's live access token is tried all the while",
        7,
    );
    let mut taken = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let bar = story.progress(TIMED);
    for n in 0..TIMED {
        bar.inc(1);
        let session = world.sign_in(&format!("user-{n}")).await?;
        let tokens = world.issue(&session).await?;
        let (status, body) = world.call_orders(&tokens.access_token).await?;
        if status != 200 {
            return Err(format!("a fresh token was refused: {status} {body}").into());
        }
        let request = session::EndSessionRequest {
            name: session,
            cause: "signed_out".to_owned(),
            initiator: curfew_proto::log::v1::Initiator::User.into(),
            request_id: request_id(),
            ..Default::default()
        };
        let mut sessions = world.sessions.clone();
        let began = now();
        let revoked = async {
            sessions.end_session(request).await?;
            Ok::<_, Failure>(())
        };
        let refused = async {
            world.until_refused(&tokens.access_token).await?;
            Ok::<_, Failure>(began.elapsed())
        };
        let (revoked, refused) = tokio::join!(revoked, refused);
        revoked?;
        taken.record(u64::try_from(refused?.as_micros())?)?;
        if n == 0 {
            world.note(
                "an access token of a revoked session",
                &tokens.access_token,
                ORDERS,
            );
        }
    }
    bar.finish_and_clear();
    let ms = |micros: u64| (Duration::from_micros(micros).as_secs_f64() * 1e5).round() / 1e2;
    let (p50, p99, max) = (
        ms(taken.value_at_quantile(0.5)),
        ms(taken.value_at_quantile(0.99)),
        ms(taken.max()),
    );
    story.timed(TIMED, p50, p99, max);
    let told =
        format!("from the call that revokes to the first refusal: p50 {p50} ms, p99 {p99} ms, max {max} ms");
    story.check("revoke_to_reject", max < 5_000.0, &told);
    Ok(())
}

/// One record for a thousand sessions.
pub(crate) async fn a_thousand_sessions(story: &mut Story, world: &mut World) -> Result<(), Failure> {
    story.begin("a subject with 1,000 sessions is cut off", 2);
    let first = world.sign_in("carol").await?;
    let bar = story.progress(u64::try_from(SESSIONS)?);
    for _ in 2..SESSIONS {
        bar.inc(1);
        world.sign_in("carol").await?;
    }
    bar.finish_and_clear();
    let last = world.sign_in("carol").await?;
    let (first, last) = (world.issue(&first).await?, world.issue(&last).await?);
    let request = revocation::CreateRevocationRequest {
        parent: TENANT.to_owned(),
        scope: Some(revocation::create_revocation_request::Scope::Subject(
            revocation::SubjectScope {
                subject: format!("{TENANT}/subjects/carol"),
                except: Vec::new(),
            },
        )),
        ack_level: revocation::AckLevel::Durable.into(),
        cause: "risk_raised".to_owned(),
        initiator: curfew_proto::log::v1::Initiator::Policy.into(),
        request_id: request_id(),
        ..Default::default()
    };
    let mut preview = request.clone();
    preview.validate_only = true;
    preview.request_id = request_id();
    let preview = world
        .revocations
        .create_revocation(preview)
        .await?
        .into_inner()
        .preview
        .unwrap_or_default();
    let answer = world.revocations.create_revocation(request).await?.into_inner();
    let positions = answer
        .acknowledgement
        .map_or(0, |acknowledgement| acknowledgement.positions.len());
    world.until_refused(&first.access_token).await?;
    world.until_refused(&last.access_token).await?;
    world.note(
        "an access token of a subject that was cut off",
        &last.access_token,
        ORDERS,
    );
    let refresh = world
        .refresh(&last.refresh_token)
        .await
        .err()
        .map(|status| super::world::reason_of(&status));
    let told = format!(
        "{} sessions, {positions} record; access tokens of the first and the last: 401; refresh: {}",
        preview.session_count,
        refresh.as_deref().unwrap_or("taken"),
    );
    let ok = preview.session_count == i64::try_from(SESSIONS)? && positions == 1 && refresh.is_some();
    story.check("thousand_sessions", ok, &told);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demonstration measures; nothing is decided by it"
)]
fn now() -> Instant {
    Instant::now()
}
