//! `curfew demo`: the whole story, with real tokens over real sockets.
//!
//! One process plays everybody: the node, the back end that signs people in, two guarded APIs, a
//! foreign issuer, a thief. Nothing is faked but the people.

mod foreign;
mod mixups;
mod revocations;
mod story;
mod theft;
mod why;
mod world;

use std::process::ExitCode;

use crate::cli::Failure;
use crate::config::{self, Config, Servers};
use story::Story;
use world::World;

/// Tells the story; the exit code says whether every step went as it should.
pub(crate) async fn run(servers: &Servers, json: bool) -> Result<ExitCode, Failure> {
    let data = tempfile::tempdir()?;
    // On servers that others use as well, the story has names of its own and meets nothing of theirs.
    let mark = format!("demo-{}", crate::client::request_id());
    let config = config::plain(data.path(), servers.named(), &mark)?;
    let kinds = match config.shared {
        Some(_) => ("redis", "kafka"),
        None => ("embedded", "embedded"),
    };
    let mut story = Story::new(json, kinds);
    let told = tell(&mut story, config).await;
    if let Err(error) = &told {
        story.broke(&**error);
    }
    story.summary();
    Ok(if told.is_ok() && story.went_well() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn tell(story: &mut Story, config: Config) -> Result<(), Failure> {
    story.begin("a node starts on an empty directory", 1);
    let mut world = World::start(config).await?;
    story.end(
        "node",
        &format!("gRPC {}, HTTP {}", world.node.grpc, world.node.http),
    );

    story.begin("a tenant, a client, two APIs and a foreign issuer are seeded", 1);
    world.seed().await?;
    story.end(
        "seed",
        "tenants/acme: client web, APIs orders and files, one foreign issuer",
    );

    story.begin("alice signs in", 2);
    let alice = world.sign_in("alice").await?;
    story.end("sign_in", &format!("session {}", world::short(&alice)));

    story.begin("the client gets an ID, an access and a refresh token", 6);
    let tokens = world.issue(&alice).await?;
    story.end(
        "issue",
        &format!(
            "scopes {}; access token for {}",
            tokens.scopes.join(" "),
            tokens.audience
        ),
    );

    story.begin("the client calls the orders API", 7);
    let (status, body) = world.call_orders(&tokens.access_token).await?;
    story.check("call", status == 200, &format!("{status} {body}"));

    mixups::tell(story, &world, &tokens).await?;
    let tokens = mixups::ten_refreshes(story, &world, &tokens).await?;
    theft::tell(story, &mut world).await?;
    revocations::sign_out_elsewhere(story, &mut world, &alice, &tokens).await?;
    revocations::timed(story, &mut world).await?;
    revocations::a_thousand_sessions(story, &mut world).await?;
    foreign::tell(story, &mut world).await?;
    why::tell(story, &world).await?;
    world.stop().await;
    Ok(())
}
