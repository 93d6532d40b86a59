//! `curfew key`: the key ring, without its secrets.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use curfew_proto::admin::v1 as pb;
use curfew_proto::admin::v1::key_service_client::KeyServiceClient;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::acknowledged::Motive;
use super::fault::Fault;
use super::name::last;
use super::page::{Page, more};
use super::progress::waiting;
use super::{Common, acknowledged, json, print, time, word};
use crate::cli::Failure;
use crate::client::{Calls, request_id};

/// A node that says no delay is asked again after this.
const PAUSE: Duration = Duration::from_secs(1);
/// Nobody waits longer between two questions: a clock may have been set meanwhile.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Looks at the keys that sign and tag tokens, rotates and revokes them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Key {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List the keys.
    List {
        /// Only keys for this.
        #[arg(long = "use", value_enum, value_name = "USE")]
        key_use: Option<Use>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one key, with its public part.
    Get {
        /// The key: its `kid`, or `keys/{kid}`.
        kid: String,
    },
    /// Make the standby key the one that signs, and a new one the standby.
    Rotate {
        /// What the key is for.
        #[arg(long = "use", value_enum, value_name = "USE", default_value_t = Use::Sign)]
        key_use: Use,
        /// Wait at most that long until the standby may sign, such as `90m`: verifiers must have fetched it.
        #[arg(long, value_name = "SPAN", value_parser = time::span)]
        wait: Option<Duration>,
    },
    /// Revoke a key that was stolen: nothing that it signed is accepted, whenever that was.
    Revoke {
        /// The key: its `kid`, or `keys/{kid}`.
        kid: String,
        /// Yes, every token that it signed.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        motive: Motive,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Use {
    /// Signs tokens.
    Sign,
    /// Tags refresh tokens.
    Mac,
    /// Tags page tokens.
    Page,
    /// Makes subject keys.
    Subject,
}

impl Use {
    const fn to_proto(self) -> pb::KeyUse {
        match self {
            Self::Sign => pb::KeyUse::Sign,
            Self::Mac => pb::KeyUse::Mac,
            Self::Page => pb::KeyUse::Page,
            Self::Subject => pb::KeyUse::Subject,
        }
    }
}

pub(crate) async fn run(args: Key) -> Result<(), Failure> {
    let Key { verb, common } = args;
    match verb {
        Verb::List { key_use, page } => list(&common, key_use, &page).await,
        Verb::Get { kid } => get(&common, named(&kid)).await,
        Verb::Rotate { key_use, wait } => rotate(&common, key_use, wait).await,
        Verb::Revoke { kid, yes, motive } => {
            if !yes {
                let what = format!("this ends every token that {} has signed", named(&kid));
                return Err(Fault::usage(what).fix("say `--yes` if that is meant").into());
            }
            revoke(&common, named(&kid), motive).await
        }
    }
}

fn named(key: &str) -> String {
    if key.starts_with("keys/") {
        key.to_owned()
    } else {
        format!("keys/{key}")
    }
}

async fn open(common: &Common) -> Result<KeyServiceClient<Calls>, Failure> {
    Ok(KeyServiceClient::new(common.connection.open().await?))
}

async fn list(common: &Common, key_use: Option<Use>, page: &Page) -> Result<(), Failure> {
    let mut service = open(common).await?;
    let ask = async |page_size, page_token| {
        let request = pb::ListKeysRequest {
            page_size,
            page_token,
            r#use: key_use.map_or(0, |key_use| key_use.to_proto().into()),
        };
        let answer = service.list_keys(request).await?.into_inner();
        Ok((answer.keys, answer.next_page_token))
    };
    let (keys, next_page_token) = waiting("listing keys", page.all(ask)).await?;
    let answer = pb::ListKeysResponse {
        keys,
        next_page_token,
    };
    common.show(
        || json::of(&answer),
        || table(&answer.keys) + more(&answer.next_page_token),
    )
}

fn table(keys: &[pb::Key]) -> String {
    print::rows(
        ["KID", "USE", "STATE", "ALGORITHM", "MADE", "ACTIVATED", "RETIRED"],
        keys.iter().map(|key| {
            [
                last(&key.name).to_owned(),
                word(key.r#use().as_str_name(), "KEY_USE_"),
                state(key),
                key.alg.clone(),
                time::at(key.create_time),
                time::at(key.activate_time),
                time::at(key.retire_time),
            ]
        }),
    )
}

fn state(key: &pb::Key) -> String {
    word(key.state().as_str_name(), "KEY_STATE_")
}

async fn get(common: &Common, name: String) -> Result<(), Failure> {
    let answer = open(common).await?.get_key(pb::GetKeyRequest { name }).await?;
    let key = answer.into_inner().key.unwrap_or_default();
    common.show(
        || json::of(&key),
        || {
            let now = time::now();
            print::fields([
                ("name", key.name.clone()),
                ("use", word(key.r#use().as_str_name(), "KEY_USE_")),
                ("state", state(&key)),
                ("algorithm", key.alg.clone()),
                ("made", time::near(key.create_time, now)),
                ("published", time::near(key.publish_time, now)),
                ("may sign", time::near(key.usable_time, now)),
                ("activated", time::near(key.activate_time, now)),
                ("retired", time::near(key.retire_time, now)),
                ("revocations", key.revocations.join(" ")),
            ])
        },
    )
}

async fn rotate(common: &Common, key_use: Use, wait: Option<Duration>) -> Result<(), Failure> {
    let mut service = open(common).await?;
    let request = pb::RotateKeyRequest {
        r#use: key_use.to_proto().into(),
        request_id: request_id(),
        ..Default::default()
    };
    let rotated = async {
        // Bounded by the time that whoever asks is ready to wait.
        loop {
            match service.rotate_key(request.clone()).await {
                Err(status) if wait.is_some() && status.code() == Code::Unavailable => {
                    tokio::time::sleep(pause(&status)).await;
                }
                answer => return answer,
            }
        }
    };
    let rotated = async {
        match wait {
            None => rotated.await,
            Some(wait) => tokio::time::timeout(wait, rotated).await.unwrap_or_else(|_| {
                Err(Status::deadline_exceeded(
                    "the standby may not sign yet; nothing was rotated",
                ))
            }),
        }
    };
    let answer = waiting("waiting until the standby may sign", rotated)
        .await?
        .into_inner();
    common.show(
        || json::of(&answer),
        || {
            let name = |key: &Option<pb::Key>| key.as_ref().map(|key| key.name.clone()).unwrap_or_default();
            print::fields([
                ("active", name(&answer.active)),
                ("standby", name(&answer.standby)),
                ("retired", name(&answer.retired)),
            ])
        },
    )
}

fn pause(status: &Status) -> Duration {
    let told = status
        .get_error_details()
        .retry_info()
        .and_then(|info| info.retry_delay);
    told.unwrap_or(PAUSE).clamp(PAUSE, PAUSE_MAX)
}

async fn revoke(common: &Common, name: String, motive: Motive) -> Result<(), Failure> {
    let request = pb::RevokeKeyRequest {
        name,
        cause: motive.cause,
        ack_level: motive.level.to_proto().into(),
        request_id: request_id(),
        correlation_id: motive.correlation_id,
    };
    let mut service = open(common).await?;
    let answer = waiting("waiting for the revocation", service.revoke_key(request))
        .await?
        .into_inner();
    common.show(
        || json::of(&answer),
        || {
            let name = |key: &Option<pb::Key>| key.as_ref().map(|key| key.name.clone()).unwrap_or_default();
            let mut text = print::fields([("revoked", name(&answer.key)), ("active", name(&answer.active))]);
            for acknowledgement in &answer.acknowledgements {
                text.push('\n');
                text.push_str(&print::fields(acknowledged::lines(Some(acknowledgement))));
            }
            text
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_what_the_node_says_within_reason() {
        let told = |delay| {
            let details = tonic_types::ErrorDetails::with_retry_info(delay);
            pause(&Status::with_error_details(Code::Unavailable, "", details))
        };
        assert_eq!(told(Some(Duration::from_secs(5))), Duration::from_secs(5));
        assert_eq!(told(Some(Duration::from_secs(3_600))), PAUSE_MAX);
        assert_eq!(told(Some(Duration::ZERO)), PAUSE);
        assert_eq!(pause(&Status::unavailable("")), PAUSE);
    }
}
