//! `curfew token`: takes tokens apart, and issues, renews and revokes them for trying out.
//!
//! **Invariant:** a token is printed whole only where it is what was asked for: by `--only` and in the JSON of a command that makes one.

mod ask;
mod inspect;
mod presented;
mod read;
mod report;
mod verdict;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use curfew_proto::token::v1 as pb;
use curfew_proto::token::v1::client_authentication::Method;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;

use super::acknowledged::Level;
use super::exit::Exit;
use super::fault::Fault;
use super::name::Tenant;
use super::progress::waiting;
use super::{Common, acknowledged, json, print, time, word};
use crate::cli::Failure;
use crate::client::connection::read_secret;
use crate::client::{Calls, request_id};
use presented::Presented;

/// Takes tokens apart and says why they live or not; issues, renews and revokes them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Token {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Say what a token is, for whom, what it permits, until when, and whether and why an API would refuse it.
    ///
    /// Works without a node; where the caller's credentials are given, the node is asked whether it is alive.
    /// Ends with 3 where it is refused, and with 5 where the node was asked and could not say.
    Inspect(inspect::Inspect),
    /// Ask the node why a token lives or not, at which stage it is refused, and who can fix that.
    Explain {
        #[command(flatten)]
        presented: Presented,
        /// The audience that it was sent to.
        #[arg(long, value_name = "AUDIENCE", default_value = "", hide_default_value = true)]
        sent_to: String,
    },
    /// Issue the first tokens of a new grant, for trying out: back ends do this at an authorization.
    Issue(Issue),
    /// Renew tokens with a refresh token, for trying out.
    Refresh(Refresh),
    /// Revoke a token at its client's wish (RFC 7009): a refresh token ends its grant, an access token itself.
    Revoke {
        #[command(flatten)]
        presented: Presented,
        #[command(flatten)]
        client: Client,
        /// How far the revocation is to be before the command ends.
        #[arg(long, value_enum, default_value_t = Level::Durable)]
        level: Level,
    },
}

/// The client that holds a token.
#[derive(Args, Clone, Debug)]
struct Client {
    /// The client: its id, or its full name.
    #[arg(long, value_name = "CLIENT")]
    client: String,
    /// The file of the client's secret, where it has one; nobody but its owner may read it.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct Issue {
    /// The session: its `sid`, or its full name.
    #[arg(long, value_name = "SESSION")]
    session: String,
    #[command(flatten)]
    client: Client,
    /// The resource that the access token is for: its id, or its full name. By default the issuer itself.
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<String>,
    /// A scope that the subject granted; may be repeated. `openid` gives an ID token, `offline_access` a
    /// refresh token.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Print only this token, and nothing else.
    #[arg(long, value_enum, value_name = "TOKEN", conflicts_with = "json")]
    only: Option<Only>,
}

#[derive(Args, Clone, Debug)]
struct Refresh {
    #[command(flatten)]
    presented: Presented,
    #[command(flatten)]
    client: Client,
    /// The resource that the access token is for: its id, or its full name. By default the grant's first.
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<String>,
    /// Narrow this access token to this scope; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Print only this token, and nothing else.
    #[arg(long, value_enum, value_name = "TOKEN", conflicts_with = "json")]
    only: Option<Only>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// The access token.
    Access,
    /// The refresh token.
    Refresh,
    /// The ID token.
    Id,
}

impl Client {
    fn name(&self, tenant: &Tenant) -> Result<String, Fault> {
        tenant.of("clients", &self.client)
    }

    fn authentication(&self) -> Result<Option<pb::ClientAuthentication>, Fault> {
        let Some(file) = &self.client_secret_file else {
            return Ok(None);
        };
        let secret = read_secret(file)?.expose_text().to_owned();
        Ok(Some(pb::ClientAuthentication {
            method: Some(Method::ClientSecret(secret)),
        }))
    }
}

pub(crate) async fn run(args: Token) -> Result<Exit, Failure> {
    let Token { verb, tenant, common } = args;
    match verb {
        Verb::Inspect(asked) => return inspect::run(&common, &tenant, &asked).await,
        Verb::Explain { presented, sent_to } => explain(&common, &tenant, &presented, sent_to).await?,
        Verb::Issue(asked) => issue(&common, &tenant, &asked).await?,
        Verb::Refresh(asked) => refresh(&common, &tenant, &asked).await?,
        Verb::Revoke {
            presented,
            client,
            level,
        } => revoke(&common, &tenant, &presented, &client, level).await?,
    }
    Ok(Exit::Done)
}

async fn open(common: &Common) -> Result<TokenServiceClient<Calls>, Failure> {
    Ok(TokenServiceClient::new(common.connection.open().await?))
}

async fn explain(
    common: &Common,
    tenant: &Tenant,
    presented: &Presented,
    sent_to: String,
) -> Result<(), Failure> {
    let request = pb::ExplainTokenRequest {
        parent: tenant.name()?,
        token: presented.read()?,
        sent_to,
    };
    let answer = open(common).await?.explain_token(request).await?;
    let told = answer.into_inner().explanation.unwrap_or_default();
    common.show(|| json::of(&told), || report::explanation(&told))
}

async fn issue(common: &Common, tenant: &Tenant, asked: &Issue) -> Result<(), Failure> {
    let resource = asked.resource.as_deref();
    let request = pb::IssueTokensRequest {
        session: tenant.of("sessions", &asked.session)?,
        client: asked.client.name(tenant)?,
        client_authentication: asked.client.authentication()?,
        resource: resource.map_or(Ok(String::new()), |text| tenant.of("resources", text))?,
        scopes: asked.scopes.clone(),
        request_id: request_id(),
        ..Default::default()
    };
    let answer = open(common).await?.issue_tokens(request).await?.into_inner();
    let tokens = answer.tokens.clone().unwrap_or_default();
    show(common, asked.only, &tokens, "", || json::of(&answer))
}

async fn refresh(common: &Common, tenant: &Tenant, asked: &Refresh) -> Result<(), Failure> {
    let resource = asked.resource.as_deref();
    let request = pb::RefreshTokensRequest {
        refresh_token: asked.presented.read()?,
        client: asked.client.name(tenant)?,
        client_authentication: asked.client.authentication()?,
        resource: resource.map_or(Ok(String::new()), |text| tenant.of("resources", text))?,
        scopes: asked.scopes.clone(),
        ..Default::default()
    };
    let answer = open(common).await?.refresh_tokens(request).await?.into_inner();
    let tokens = answer.tokens.clone().unwrap_or_default();
    let cause = word(answer.cause().as_str_name(), "REFRESH_CAUSE_");
    show(common, asked.only, &tokens, &cause, || json::of(&answer))
}

/// Prints tokens: one of them alone, all of them for programs, or what is to be said of them.
fn show(
    common: &Common,
    only: Option<Only>,
    tokens: &pb::TokenSet,
    cause: &str,
    json: impl FnOnce() -> Result<serde_json::Value, Failure>,
) -> Result<(), Failure> {
    let Some(only) = only else {
        return common.show(json, || told(tokens, cause));
    };
    let (name, text) = match only {
        Only::Access => ("access", &tokens.access_token),
        Only::Refresh => ("refresh", &tokens.refresh_token),
        Only::Id => ("ID", &tokens.id_token),
    };
    if text.is_empty() {
        let what = format!("no {name} token was issued");
        return Err(Fault::new(Exit::Refused, what)
            .fix("ask for the scope `openid` or `offline_access`")
            .into());
    }
    print::text(&format!("{text}\n"))
}

fn told(tokens: &pb::TokenSet, cause: &str) -> String {
    let now = time::now();
    let expires = |text: &str, at| match text {
        "" => String::new(),
        _ => format!("expires {}", time::near(at, now)),
    };
    let mut text = print::fields([
        (
            "access token",
            expires(&tokens.access_token, tokens.access_token_expire_time),
        ),
        (
            "refresh token",
            expires(&tokens.refresh_token, tokens.refresh_token_expire_time),
        ),
        ("ID token", expires(&tokens.id_token, tokens.id_token_expire_time)),
        ("type", tokens.token_type.clone()),
        ("audience", tokens.audience.clone()),
        ("scopes", tokens.scopes.join(" ")),
        ("jti", tokens.jti.clone()),
        ("grant", tokens.grant.clone()),
        ("cause", cause.to_owned()),
    ]);
    text.push_str("The tokens themselves: `--only access`, `--only refresh`, `--only id`, or `--json`.\n");
    text
}

async fn revoke(
    common: &Common,
    tenant: &Tenant,
    presented: &Presented,
    client: &Client,
    level: Level,
) -> Result<(), Failure> {
    let request = pb::RevokeTokenRequest {
        client: client.name(tenant)?,
        client_authentication: client.authentication()?,
        token: presented.read()?,
        ack_level: level.to_proto().into(),
        request_id: request_id(),
        ..Default::default()
    };
    let mut tokens = open(common).await?;
    let answer = waiting("waiting for the revocation", tokens.revoke_token(request))
        .await?
        .into_inner();
    common.show(
        || json::of(&answer),
        || {
            let kind = word(answer.kind().as_str_name(), "TOKEN_KIND_");
            let mut lines = vec![("kind", kind)];
            lines.extend(acknowledged::lines(answer.acknowledgement.as_ref()));
            print::fields(lines)
        },
    )
}
