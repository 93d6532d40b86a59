//! What the node says of a token.
//!
//! **Invariant:** a node that cannot say is never taken for one that said yes.

use curfew_proto::admin::v1 as admin;
use curfew_proto::admin::v1::issuer_service_client::IssuerServiceClient;
use curfew_proto::token::v1 as pb;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use tonic::{Code, Status};

use super::read::{Kind, Read};
use crate::cli::Failure;
use crate::client::Calls;
use crate::commands::Common;
use crate::commands::exit::Exit;
use crate::commands::fault::Fault;
use crate::commands::name::Tenant;

/// Foreign issuers of one tenant; one page of the list.
const ISSUERS_MAX: i32 = 500;

/// What the node said.
#[derive(Debug)]
pub(super) enum Said {
    /// Everything.
    Explained(Box<pb::TokenExplanation>),
    /// Whether it is active, and nothing else: the caller may not have it explained.
    Introspected(bool),
    /// It is of this foreign issuer, which the tenant names.
    Foreign(Box<admin::Issuer>),
    /// It is of an issuer that the tenant does not name.
    NotNamed(String),
    /// Nothing, because of this.
    Nothing(String),
}

/// Asks. Whoever cannot prove to be a caller is told so; whatever else is in the way is an answer.
pub(super) async fn ask(
    common: &Common,
    tenant: &Tenant,
    text: &str,
    read: &Read,
    sent_to: Option<&str>,
) -> Result<Said, Failure> {
    let calls = match common.connection.open().await {
        Ok(calls) => calls,
        Err(error) => {
            let by_node = error
                .downcast_ref::<Status>()
                .map(|status| Exit::of(status.code()));
            let exit = by_node.or_else(|| error.downcast_ref::<Fault>().map(Fault::exit));
            if exit == Some(Exit::TryAgain) {
                return Ok(Said::Nothing(error.to_string()));
            }
            return Err(error);
        }
    };
    let said = match read.kind {
        Kind::Refresh => match tenant.name() {
            Ok(parent) => explain(calls, parent, text, sent_to).await,
            Err(_) => Ok(Said::Nothing(
                "only `--tenant` tells whose refresh token it is".to_owned(),
            )),
        },
        Kind::Access | Kind::App | Kind::Exchanged => {
            explain(calls, own_parent(tenant, read), text, sent_to).await
        }
        Kind::Id => match explain(calls.clone(), own_parent(tenant, read), text, sent_to).await {
            Ok(Said::Explained(told)) if !told.authentic => foreign(calls, tenant, read.text("iss")).await,
            Err(status) if status.code() == Code::NotFound => foreign(calls, tenant, read.text("iss")).await,
            said => said,
        },
        Kind::Foreign | Kind::ForeignRefresh | Kind::Other | Kind::Unreadable => {
            foreign(calls, tenant, read.text("iss")).await
        }
    };
    Ok(said.unwrap_or_else(|status| Said::Nothing(status.message().to_owned())))
}

/// The tenant that a token of Curfew says it is of: an issuer is `{base}/{tenant}`, and its base may be one of
/// before. Where it says none, the one that was named.
fn own_parent(tenant: &Tenant, read: &Read) -> String {
    let issuer = read.text("iss");
    let path = issuer.split_once("://").map_or("", |(_, rest)| rest);
    let said = path
        .rsplit_once('/')
        .map(|(_, name)| name)
        .filter(|name| !name.is_empty());
    match (said, tenant.name()) {
        (Some(name), _) => format!("tenants/{name}"),
        (None, named) => named.unwrap_or_default(),
    }
}

async fn explain(calls: Calls, parent: String, text: &str, sent_to: Option<&str>) -> Result<Said, Status> {
    let mut tokens = TokenServiceClient::new(calls);
    let request = pb::ExplainTokenRequest {
        parent: parent.clone(),
        token: text.to_owned(),
        sent_to: sent_to.unwrap_or_default().to_owned(),
    };
    match tokens.explain_token(request).await {
        Ok(answer) => {
            let explanation = answer.into_inner().explanation.unwrap_or_default();
            Ok(Said::Explained(Box::new(explanation)))
        }
        // Whoever may not have it explained may still ask whether it is active.
        Err(status) if status.code() == Code::PermissionDenied => {
            let request = pb::IntrospectTokenRequest {
                parent,
                token: text.to_owned(),
                audience: sent_to.unwrap_or_default().to_owned(),
                ..Default::default()
            };
            let answer = tokens.introspect_token(request).await?;
            Ok(Said::Introspected(answer.into_inner().active))
        }
        Err(status) => Err(status),
    }
}

async fn foreign(calls: Calls, tenant: &Tenant, issuer: &str) -> Result<Said, Status> {
    let Ok(parent) = tenant.name() else {
        return Ok(Said::Nothing(
            "another issuer's: only `--tenant` tells by whose entries it is judged".to_owned(),
        ));
    };
    let request = admin::ListIssuersRequest {
        parent: parent.clone(),
        page_size: ISSUERS_MAX,
        ..Default::default()
    };
    let answer = IssuerServiceClient::new(calls)
        .list_issuers(request)
        .await?
        .into_inner();
    let is_it = |entry: &admin::Issuer| entry.spellings.iter().any(|spelling| spelling == issuer);
    match answer.issuers.into_iter().find(is_it) {
        Some(entry) => Ok(Said::Foreign(Box::new(entry))),
        None if !answer.next_page_token.is_empty() => Ok(Said::Nothing(format!(
            "{parent} names more issuers than were looked at"
        ))),
        None => Ok(Said::NotNamed(parent)),
    }
}
