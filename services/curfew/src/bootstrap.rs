//! `curfew bootstrap`: the first administrator, made if absent.
//!
//! Works beside a running node (over its socket, proved by the root key of the data directory) and
//! without one (on the data itself).

use std::path::Path;

use curfew_proto::admin::v1 as admin;

use crate::cli::{DataArgs, Failure, HTTP_DEFAULT};
use crate::client::{Credential, connect, request_id};
use crate::node::{Node, Settings, address_of, root_key};

pub(crate) async fn run(data: &DataArgs, json: bool) -> Result<(), Failure> {
    let (node, address) = attach(data).await?;
    let made = first_admin(&address, operator(&data.data)?).await;
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
pub(crate) async fn attach(data: &DataArgs) -> Result<(Option<Node>, String), Failure> {
    // What is made now keeps its issuer, so it must not be called after a port of this moment.
    let base_url = data
        .base_url
        .clone()
        .unwrap_or_else(|| format!("http://{HTTP_DEFAULT}"));
    let settings = Settings {
        base_url: Some(base_url),
        ..Settings::on_free_ports(&data.data)
    };
    match Node::start(settings).await {
        Ok(node) => {
            let address = node.grpc.to_string();
            Ok((Some(node), address))
        }
        Err(error) if crate::node::is_in_use(&*error) => Ok((None, address_of(&data.data)?)),
        Err(error) => Err(error),
    }
}

/// The credential of whoever holds the data directory.
pub(crate) fn operator(data: &Path) -> Result<Credential, Failure> {
    Credential::root(root_key(data)?.proof())
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
        Err(status) => Err(status.message().to_owned().into()),
        Ok(made) => Ok((id, Some(made.into_inner().secret_value))),
    }
}
