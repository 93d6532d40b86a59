//! `curfew serve`: a durable node on this machine, until it is asked to stop.

use std::path::Path;

use curfew_core::directory::{KeyState, KeyUse};

use crate::apply;
use crate::bootstrap::first_admin;
use crate::cli::{Failure, ServeArgs};
use crate::client::{Credential, token_of};
use crate::config::{self, RootKeySource};
use crate::node::{Node, Start};
use crate::seeds::Seeds;

pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let flags = [
        ("--roles", "roles", args.roles.as_deref()),
        ("--grpc", "grpc.listen", args.grpc.as_deref()),
        ("--http", "http.listen", args.http.as_deref()),
        (
            "--signing-algorithm",
            "keys.signing_algorithm",
            args.signing_algorithm.as_deref(),
        ),
    ];
    let config = config::load(&args.node, &flags)?;
    let root_key = config.root_key.clone();
    let whose = args.node.words(&config);
    let start = Start {
        accept_clock: args.accept_clock,
        adopt_log: args.adopt_log,
    };
    let node = Node::start(config, start).await?;
    if let Some(seed) = &args.seed {
        plant(&node, seed, &root_key).await?;
    }
    tell(&node, &whose);
    stopped(&node).await?;
    tracing::info!("draining");
    node.stop().await;
    Ok(())
}

/// Seeds a directory that has no administrator yet; what has one is left alone.
async fn plant(node: &Node, seed: &Path, root_key: &RootKeySource) -> Result<(), Failure> {
    let seeds = Seeds::read(seed)?;
    let address = node.operator.to_string();
    let operator = Credential::root(root_key.key()?.proof())?;
    let (admin, Some(secret)) = first_admin(&address, operator).await? else {
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

/// `whose`: the arguments by which other commands find the same state.
fn tell(node: &Node, whose: &str) {
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
    println!(
        "grpc       {}{}",
        node.grpc,
        if node.is_grpc_secure { " (TLS)" } else { "" }
    );
    println!("http       {}", node.http_url());
    if let Some(metrics) = node.metrics {
        println!("metrics    {metrics}/metrics");
    }
    println!("data       {}", node.state);
    println!(
        "key ring   signing {signing}; {} standby, {} verifying only, {} revoked; {} for refresh tokens",
        count(KeyUse::Sign, KeyState::Standby),
        count(KeyUse::Sign, KeyState::VerifyOnly),
        count(KeyUse::Sign, KeyState::Revoked),
        count(KeyUse::Mac, KeyState::Active),
    );
    let callers = loaded.view.callers.len();
    if callers == 0 {
        println!("callers    none yet; get the first administrator with: curfew bootstrap{whose}");
    } else {
        println!("callers    {callers}");
    }
    println!("ready");
}

/// Waits until it is asked to stop; SIGHUP reads certificates again.
async fn stopped(node: &Node) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => node.reload_certificates(),
        }
    }
}
