//! `curfew session`: looks sessions up, and ends them.

mod table;

use clap::{Args, Subcommand, ValueEnum};
use curfew_proto::log::v1::Initiator;
use curfew_proto::session::v1 as pb;
use curfew_proto::session::v1::session_service_client::SessionServiceClient;
use prost_types::Timestamp;

use super::acknowledged::Motive;
use super::name::Tenant;
use super::page::{Page, more};
use super::progress::waiting;
use super::{Common, acknowledged, json, print, time};
use crate::cli::Failure;
use crate::client::{Calls, request_id};

/// Looks sessions up, and ends them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Session {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List sessions, youngest first. A list of one subject's is cheap; others walk the tenant.
    List(List),
    /// Show one session.
    Get {
        /// The session: its `sid` with `--tenant`, or its full name.
        session: String,
    },
    /// Open a session, for trying out: back ends do this after they have authenticated somebody.
    Create(Create),
    /// End a session with every grant and token of it, and publish that.
    End {
        /// The session: its `sid` with `--tenant`, or its full name.
        session: String,
        #[command(flatten)]
        motive: Motive,
    },
    /// End every other session of the same subject: "sign out everywhere else".
    EndOthers {
        /// The session that stays: its `sid` with `--tenant`, or its full name.
        session: String,
        #[command(flatten)]
        motive: Motive,
    },
    /// List the grants of a session: which clients have tokens of it.
    Grants {
        /// The session: its `sid` with `--tenant`, or its full name.
        session: String,
        /// Only those alive.
        #[arg(long)]
        active: bool,
    },
    /// End one grant with its tokens: the client is out, the session stays.
    EndGrant {
        /// The grant: `{session}/{grant}` with `--tenant`, or its full name.
        grant: String,
        #[command(flatten)]
        motive: Motive,
    },
    /// List the devices on which a subject has live sessions.
    Devices {
        /// The subject: its id with `--tenant`, or its full name.
        subject: String,
        #[command(flatten)]
        page: Page,
    },
}

#[derive(Args, Clone, Debug)]
struct List {
    /// Only of this subject: its id, or its full name.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only those in one of these states.
    #[arg(long, value_enum, value_name = "STATE")]
    state: Vec<State>,
    /// Only on the device with this id.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Only with a live grant of this client: its id, or its full name.
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// Only those opened then or later, such as `2026-01-31T12:00:00Z`.
    #[arg(long, value_name = "INSTANT", value_parser = time::instant)]
    since: Option<Timestamp>,
    /// Only those opened before then.
    #[arg(long, value_name = "INSTANT", value_parser = time::instant)]
    before: Option<Timestamp>,
    #[command(flatten)]
    page: Page,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Alive.
    Active,
    /// Ended by somebody or something.
    Ended,
    /// Over by itself.
    Expired,
}

#[derive(Args, Clone, Debug)]
struct Create {
    /// Whose session it is: the subject's id, or its full name.
    #[arg(long, value_name = "SUBJECT")]
    subject: String,
    /// How the subject was authenticated (RFC 8176); may be repeated.
    #[arg(long, value_name = "METHOD", default_value = "pwd")]
    amr: Vec<String>,
    /// The authentication context class.
    #[arg(long, value_name = "CLASS", default_value = "", hide_default_value = true)]
    acr: String,
    /// The device's id.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// What people call the device.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        requires = "device"
    )]
    device_label: String,
}

pub(crate) async fn run(args: Session) -> Result<(), Failure> {
    let Session { verb, tenant, common } = args;
    match verb {
        Verb::List(asked) => list(&common, &tenant, &asked).await,
        Verb::Get { session } => get(&common, tenant.of("sessions", &session)?).await,
        Verb::Create(asked) => create(&common, &tenant, &asked).await,
        Verb::End { session, motive } => end(&common, tenant.of("sessions", &session)?, motive).await,
        Verb::EndOthers { session, motive } => {
            end_others(&common, tenant.of("sessions", &session)?, motive).await
        }
        Verb::Grants { session, active } => grants(&common, tenant.of("sessions", &session)?, active).await,
        Verb::EndGrant { grant, motive } => end_grant(&common, tenant.grant(&grant)?, motive).await,
        Verb::Devices { subject, page } => devices(&common, tenant.of("subjects", &subject)?, &page).await,
    }
}

async fn open(common: &Common) -> Result<SessionServiceClient<Calls>, Failure> {
    Ok(SessionServiceClient::new(common.connection.open().await?))
}

async fn list(common: &Common, tenant: &Tenant, asked: &List) -> Result<(), Failure> {
    let named = |collection: &str, text: &Option<String>| match text {
        Some(text) => tenant.of(collection, text),
        None => Ok(String::new()),
    };
    let subject = named("subjects", &asked.subject)?;
    let client = named("clients", &asked.client)?;
    let state = |state: &State| match state {
        State::Active => pb::SessionState::Active,
        State::Ended => pb::SessionState::Ended,
        State::Expired => pb::SessionState::Expired,
    };
    let filter = pb::SessionFilter {
        client,
        device: asked.device.clone().unwrap_or_default(),
        states: asked.state.iter().map(|one| state(one).into()).collect(),
        create_time_from: asked.since,
        create_time_before: asked.before,
        subject,
        ..Default::default()
    };
    let parent = tenant.parent(&filter.subject)?;
    let mut sessions = open(common).await?;
    let ask = async |page_size, page_token| {
        let request = pb::ListSessionsRequest {
            parent: parent.clone(),
            page_size,
            page_token,
            filter: Some(filter.clone()),
            ..Default::default()
        };
        let answer = sessions.list_sessions(request).await?.into_inner();
        Ok((answer.sessions, answer.next_page_token))
    };
    let (sessions, next_page_token) = waiting("listing sessions", asked.page.all(ask)).await?;
    let answer = pb::ListSessionsResponse {
        sessions,
        next_page_token,
    };
    common.show(
        || json::of(&answer),
        || table::sessions(&answer.sessions) + more(&answer.next_page_token),
    )
}

async fn get(common: &Common, name: String) -> Result<(), Failure> {
    let mut sessions = open(common).await?;
    let answer = sessions.get_session(pb::GetSessionRequest { name }).await?;
    let session = answer.into_inner().session.unwrap_or_default();
    common.show(|| json::of(&session), || table::session(&session))
}

async fn create(common: &Common, tenant: &Tenant, asked: &Create) -> Result<(), Failure> {
    let subject = tenant.of("subjects", &asked.subject)?;
    let request = pb::CreateSessionRequest {
        parent: tenant.parent(&subject)?,
        session: Some(pb::Session {
            subject,
            amr: asked.amr.clone(),
            acr: asked.acr.clone(),
            device: asked.device.as_ref().map(|id| pb::Device {
                id: id.clone(),
                label: asked.device_label.clone(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        request_id: request_id(),
        ..Default::default()
    };
    let mut sessions = open(common).await?;
    let answer = sessions.create_session(request).await?.into_inner();
    common.show(
        || json::of(&answer),
        || {
            let mut text = table::session(&answer.session.clone().unwrap_or_default());
            if let Some(ended) = &answer.ended_session {
                text.push_str(&format!(
                    "The subject was at its cap: {} was ended.\n",
                    print::plain(&ended.session)
                ));
            }
            text
        },
    )
}

async fn end(common: &Common, name: String, motive: Motive) -> Result<(), Failure> {
    let request = pb::EndSessionRequest {
        name: name.clone(),
        cause: motive.cause,
        initiator: Initiator::Admin.into(),
        ack_level: motive.level.to_proto().into(),
        request_id: request_id(),
        correlation_id: motive.correlation_id,
    };
    let mut sessions = open(common).await?;
    let answer = waiting("waiting for the revocation", sessions.end_session(request)).await?;
    let answer = answer.into_inner();
    common.show(
        || json::of(&answer),
        || {
            // Ended in the log while the store is away: its row cannot be read.
            let state = answer.session.as_ref().map_or("ended".into(), table::state);
            let mut lines = vec![("session", name.clone()), ("state", state)];
            lines.extend(acknowledged::lines(answer.acknowledgement.as_ref()));
            print::fields(lines)
        },
    )
}

async fn end_others(common: &Common, name: String, motive: Motive) -> Result<(), Failure> {
    let request = pb::EndOtherSessionsRequest {
        name: name.clone(),
        cause: motive.cause,
        initiator: Initiator::Admin.into(),
        ack_level: motive.level.to_proto().into(),
        request_id: request_id(),
        correlation_id: motive.correlation_id,
        ..Default::default()
    };
    let mut sessions = open(common).await?;
    let answer = waiting("waiting for the revocation", sessions.end_other_sessions(request)).await?;
    let answer = answer.into_inner();
    common.show(
        || json::of(&answer),
        || {
            let mut lines = vec![("stays", name), ("ended", answer.ended_count.to_string())];
            lines.extend(acknowledged::lines(answer.acknowledgement.as_ref()));
            print::fields(lines)
        },
    )
}

async fn grants(common: &Common, parent: String, only_active: bool) -> Result<(), Failure> {
    let request = pb::ListGrantsRequest {
        parent,
        only_active,
        ..Default::default()
    };
    // A session keeps at most 64 live grants: the answer is one page.
    let mut sessions = open(common).await?;
    let answer = sessions.list_grants(request).await?.into_inner();
    common.show(|| json::of(&answer), || table::grants(&answer.grants))
}

async fn end_grant(common: &Common, name: String, motive: Motive) -> Result<(), Failure> {
    let request = pb::EndGrantRequest {
        name,
        cause: motive.cause,
        initiator: Initiator::Admin.into(),
        ack_level: motive.level.to_proto().into(),
        request_id: request_id(),
        correlation_id: motive.correlation_id,
    };
    let mut sessions = open(common).await?;
    let answer = waiting("waiting for the revocation", sessions.end_grant(request)).await?;
    let answer = answer.into_inner();
    common.show(
        || json::of(&answer),
        || {
            let grant = answer.grant.clone().unwrap_or_default();
            let mut lines = vec![("grant", grant.name.clone()), ("client", grant.client)];
            lines.extend(acknowledged::lines(answer.acknowledgement.as_ref()));
            print::fields(lines)
        },
    )
}

async fn devices(common: &Common, parent: String, page: &Page) -> Result<(), Failure> {
    let mut sessions = open(common).await?;
    let ask = async |page_size, page_token| {
        let request = pb::ListDevicesRequest {
            parent: parent.clone(),
            page_size,
            page_token,
        };
        let answer = sessions.list_devices(request).await?.into_inner();
        Ok((answer.devices, answer.next_page_token))
    };
    let (devices, next_page_token) = waiting("listing devices", page.all(ask)).await?;
    let answer = pb::ListDevicesResponse {
        devices,
        next_page_token,
    };
    common.show(
        || json::of(&answer),
        || table::devices(&answer.devices) + more(&answer.next_page_token),
    )
}
