//! `curfew bootstrap`: the first administrator, made if absent.
//!
//! Works beside a running node (over its socket, proved by the root key of the data directory) and
//! without one (on the data itself).

use curfew_proto::admin::v1 as admin;

use crate::cli::Failure;
use crate::client::{Credential, connect, request_id};
use crate::config::{self, Config, ConfigArgs};
use crate::node::{Node, Start, address_of};

pub(crate) async fn run(node: &ConfigArgs, json: bool) -> Result<(), Failure> {
    let config = config::load(node, &[])?;
    let root_key = config.root_key.clone();
    let (node, address) = attach(config).await?;
    // Only now: a directory that is new has its key from the node.
    let made = async { first_admin(&address, Credential::root(root_key.key()?.proof())?).await }.await;
    if let Some(node) = node {
        node.stop().await;
    }
    let (id, secret) = made?;
    match (secret, json) {
        (Some(secret), true) => println!(
            "{}",
            serde_json::json!({"caller": id, "secret": secret, "created": true})
        ),
        (None, true) => println!("{}", serde_json::json!({"caller": id, "created": false})),
        (Some(secret), false) => {
            println!("The first administrator was made. Its secret is shown this once:\n");
            println!("  caller  {id}\n  secret  {secret}\n");
            println!("Other commands take it as CURFEW_CALLER and CURFEW_SECRET.");
        }
        (None, false) => println!("There is an administrator already; nothing was made."),
    }
    Ok(())
}

/// The running node of the data directory, or one that is started for this command.
pub(crate) async fn attach(config: Config) -> Result<(Option<Node>, String), Failure> {
    let data = config.data.clone();
    match Node::start(config.on_free_ports(), Start::default()).await {
        Ok(node) => {
            let address = node.operator.to_string();
            Ok((Some(node), address))
        }
        Err(error) if crate::node::is_in_use(&*error) => Ok((None, address_of(&data)?)),
        Err(error) => Err(error),
    }
}

/// The first admin and its secret; no secret: there was one already.
pub(crate) async fn first_admin(
    address: &str,
    operator: Credential,
) -> Result<(String, Option<String>), Failure> {
    let channel = connect(address).await?;
    let mut callers = admin::caller_service_client::CallerServiceClient::with_interceptor(channel, operator);
    let id = "admin".to_owned();
    let request = admin::CreateCallerRequest {
        caller_id: id.clone(),
        caller: None,
        request_id: request_id(),
        correlation_id: String::new(),
    };
    match callers.create_caller(request).await {
        Err(status) if status.code() == tonic::Code::AlreadyExists => Ok((id, None)),
        Err(status) => Err(status.into()),
        Ok(made) => Ok((id, Some(made.into_inner().secret_value))),
    }
}
