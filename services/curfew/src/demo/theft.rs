//! A stolen, superseded refresh token is presented by its owner: theft shows.

use crate::cli::Failure;
use crate::demo::story::Story;
use crate::demo::world::{ORDERS, World, reason_of};

/// The thief copies a token and goes on with it; its owner presents the original, two generations behind.
pub(crate) async fn tell(story: &mut Story, world: &mut World) -> Result<(), Failure> {
    story.begin("a thief copies bob's refresh token and refreshes twice", 8);
    let session = world.sign_in("bob").await?;
    let stolen = world.issue(&session).await?;
    let (thief, _) = world.refresh(&stolen.refresh_token).await?;
    let (thief, _) = world.refresh(&thief.refresh_token).await?;
    let before = (
        world.call_orders(&stolen.access_token).await?.0,
        world.call_orders(&thief.access_token).await?.0,
    );
    let told = format!(
        "both access tokens are taken by the API: {} and {}",
        before.0, before.1
    );
    story.check("theft", before == (200, 200), &told);

    story.begin("bob presents his superseded token", 8);
    let answer = world.refresh(&stolen.refresh_token).await;
    let (ok, told) = match &answer {
        Ok(_) => (false, "it was taken".to_owned()),
        Err(status) => (
            reason_of(status).contains("REFRESH_REUSED"),
            format!("{}: {}", reason_of(status), status.message()),
        ),
    };
    world.note("a superseded refresh token", &stolen.refresh_token, "");
    story.check("reuse_detected", ok, &told);

    story.begin(
        "the live access tokens of thief and victim are sent to the API",
        7,
    );
    world.until_refused(&thief.access_token).await?;
    world.until_refused(&stolen.access_token).await?;
    let (_, body) = world.call_orders(&thief.access_token).await?;
    world.note("an access token of a revoked family", &thief.access_token, ORDERS);
    story.check(
        "family_revoked",
        body.contains("TOKEN_REVOKED"),
        "both refused: 401 CURFEW_TOKEN_REVOKED",
    );

    story.begin("the thief refreshes", 8);
    let answer = world.refresh(&thief.refresh_token).await;
    let told = answer.as_ref().err().map(reason_of).unwrap_or_default();
    story.check("thief_is_out", told.contains("GRANT_ENDED"), &told);
    Ok(())
}
