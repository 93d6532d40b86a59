//! One token never passes for another; ten refreshes of one token converge.

use std::collections::BTreeSet;

use curfew_proto::token::v1::RefreshCause;

use crate::cli::Failure;
use crate::demo::story::Story;
use crate::demo::world::{ORDERS, Tokens, World, reason_of};

/// An ID token at the API, a refresh token at the API, an access token at the token service.
pub(crate) async fn tell(story: &mut Story, world: &World, tokens: &Tokens) -> Result<(), Failure> {
    story.begin("the ID token is sent to the API", 7);
    let (status, body) = world.call_orders(&tokens.id_token).await?;
    world.note("an ID token at an API", &tokens.id_token, ORDERS);
    story.check(
        "id_token_at_api",
        status == 401 && body.contains("TOKEN_IS_ID_TOKEN"),
        &one_line(status, &body),
    );

    story.begin("the refresh token is sent to the API", 7);
    let (status, body) = world.call_orders(&tokens.refresh_token).await?;
    world.note("a refresh token at an API", &tokens.refresh_token, ORDERS);
    story.check(
        "refresh_token_at_api",
        status == 401 && body.contains("TOKEN_IS_REFRESH_TOKEN"),
        &one_line(status, &body),
    );

    story.begin("the access token is sent to the token service", 8);
    match world.refresh(&tokens.access_token).await {
        Ok(_) => story.check("access_token_at_token_service", false, "it was taken"),
        Err(status) => {
            let reason = reason_of(&status);
            let told = format!("{reason}: {}", status.message());
            story.check(
                "access_token_at_token_service",
                reason.contains("TOKEN_IS_ACCESS_TOKEN"),
                &told,
            );
        }
    }
    Ok(())
}

/// Ten parallel refreshes of one token give one successor: one rotates, the others are replays of it.
pub(crate) async fn ten_refreshes(
    story: &mut Story,
    world: &World,
    tokens: &Tokens,
) -> Result<Tokens, Failure> {
    story.begin("ten refreshes of one token arrive at once", 8);
    let parallel = (0..10).map(|_| world.refresh(&tokens.refresh_token));
    let answers = futures_util::future::join_all(parallel).await;
    let mut successors = BTreeSet::new();
    let mut rotated = 0;
    let mut last = None;
    for answer in answers {
        let (next, cause) = answer?;
        rotated += usize::from(cause == RefreshCause::Rotated);
        successors.insert(next.refresh_token.clone());
        last = Some(next);
    }
    let told = format!(
        "{} successor, {rotated} rotation, {} replays of it",
        successors.len(),
        10 - rotated
    );
    story.check(
        "ten_parallel_refreshes",
        successors.len() == 1 && rotated == 1,
        &told,
    );
    last.ok_or_else(|| "no refresh was answered".into())
}

fn one_line(status: u16, body: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let code = parsed
        .get("code")
        .and_then(|code| code.as_str())
        .unwrap_or_default();
    let why = parsed
        .get("description")
        .and_then(|why| why.as_str())
        .unwrap_or(body);
    format!("{status} {code}: {why}")
}
