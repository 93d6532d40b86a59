//! `curfew serve`: a durable node on this machine, until it is asked to stop.

use std::path::Path;

use curfew_core::directory::{KeyState, KeyUse};

use crate::apply;
use crate::bootstrap::{first_admin, operator};
use crate::cli::{Failure, ServeArgs};
use crate::client::token_of;
use crate::node::{Node, Settings};
use crate::seeds::Seeds;

pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let settings = Settings {
        data: args.data.data.clone(),
        grpc: args.grpc,
        http: args.http,
        base_url: args.data.base_url.clone(),
        signing_algorithm: args.signing_algorithm.clone(),
        accept_clock: args.accept_clock,
    };
    let node = Node::start(settings).await?;
    if let Some(seed) = &args.seed {
        plant(&node, seed, &args.data.data).await?;
    }
    tell(&node, &args.data.data);
    stopped().await?;
    tracing::info!("draining");
    node.stop().await;
    Ok(())
}

/// Seeds a directory that has no administrator yet; what has one is left alone.
async fn plant(node: &Node, seed: &Path, data: &Path) -> Result<(), Failure> {
    let seeds = Seeds::read(seed)?;
    let address = node.grpc.to_string();
    let (admin, Some(secret)) = first_admin(&address, operator(data)?).await? else {
        println!(
            "seeded     before; use `curfew apply {}` for what is new in it",
            seed.display()
        );
        return Ok(());
    };
    let applied = apply::apply(&seeds, &address, token_of(&address, &admin, &secret).await?).await?;
    println!("seeded     {} records; secrets, shown this once:", applied.len());
    println!("           callers/{admin}: {secret}");
    for applied in applied {
        if let Some(secret) = applied.secret {
            println!("           {}: {secret}", applied.name);
        }
    }
    Ok(())
}

fn tell(node: &Node, data: &Path) {
    let loaded = node.authority.directory().loaded();
    let count = |key_use, state| {
        loaded
            .view
            .keys
            .values()
            .filter(|key| key.key_use == key_use && key.state == state)
            .count()
    };
    let signing = loaded
        .ring
        .signing_key()
        .map_or_else(|| "none".to_owned(), ToString::to_string);
    println!("grpc       {}", node.grpc);
    println!("http       http://{}", node.http);
    println!("data       {} (store and log: embedded, durable)", data.display());
    println!(
        "key ring   signing {signing}; {} standby, {} verifying only, {} revoked; {} for refresh tokens",
        count(KeyUse::Sign, KeyState::Standby),
        count(KeyUse::Sign, KeyState::VerifyOnly),
        count(KeyUse::Sign, KeyState::Revoked),
        count(KeyUse::Mac, KeyState::Active),
    );
    let callers = loaded.view.callers.len();
    if callers == 0 {
        println!(
            "callers    none yet; get the first administrator with: curfew bootstrap --data {}",
            data.display()
        );
    } else {
        println!("callers    {callers}");
    }
    println!("ready");
}

async fn stopped() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
