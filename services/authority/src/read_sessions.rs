//! Reads sessions: one by its name, or a subject's, paged from the ledger.
//!
//! **Invariant:** the ledger is a hint and the rows are the truth: what is over does not count.

use std::sync::Arc;

use curfew_core::decide::session_claims::SessionClaims;
use curfew_core::decide::{Context, Verdict, mint};
use curfew_core::ids::{ClientId, DeviceId, SessionId, SubjectId, SubjectKey, TenantId};
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::session::Row;
use curfew_core::stored::{Decision, Key};
use curfew_core::subject::Gate;

use crate::answer::Answer;
use crate::node::Authority;
use crate::page::PageScope;
use crate::transact::Ask;

/// Sessions of one page when the caller names no size.
const PAGE_DEFAULT: usize = 50;
/// The largest page: a page is one read of that many rows, a gate and what every decision reads, and a
/// store answers 64 keys at once.
pub(crate) const PAGE_SESSIONS_MAX: usize = 60;

/// A session, and whether it is alive.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Its row.
    pub row: Arc<Row>,
    /// Why it is not alive, if it is not.
    pub over: Option<Refusal>,
}

/// Which sessions to list.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SessionFilter {
    /// On this device.
    pub device: Option<DeviceId>,
    /// With a live grant of this client.
    pub client: Option<ClientId>,
    /// Alive ones only.
    pub alive_only: bool,
    /// Youngest birth first.
    pub youngest_first: bool,
}

/// A page of sessions, in order of birth.
#[derive(Clone, Debug)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionView>,
    /// Leads on; empty: that was all.
    pub next_page_token: String,
}

impl Authority {
    /// One session's row, of this tenant.
    pub(crate) async fn row(&self, tenant: TenantId, sid: SessionId) -> Answer<Arc<Row>> {
        let keys = [Key::Session(sid)];
        let seen = self.see(sid.partition(), &keys).await?;
        let row = seen.row(sid);
        row.filter(|row| row.tenant == tenant)
            .ok_or_else(|| Refusal::new(Stage::Request, Reason::SessionUnknown).about(sid.to_string()))
    }

    /// One session.
    pub async fn get_session(&self, tenant: TenantId, sid: SessionId) -> Answer<SessionView> {
        let key = self.subject_key_of(tenant, sid).await?;
        let mut views = self.session_views(tenant, key, &[sid]).await?;
        views
            .pop()
            .ok_or_else(|| Refusal::new(Stage::Request, Reason::SessionUnknown).about(sid.to_string()))
    }

    /// The sessions of one subject that are there, each judged as its refresh would be.
    pub(crate) async fn session_views(
        &self,
        tenant: TenantId,
        key: SubjectKey,
        sids: &[SessionId],
    ) -> Answer<Vec<SessionView>> {
        let mut keys = vec![Key::Gate(key)];
        keys.extend(sids.iter().map(|sid| Key::Session(*sid)));
        let ask = Ask {
            tenant: tenant.into(),
            partition: key.partition(),
            keys,
            stage: Stage::Request,
        };
        let verdict = self
            .consider(ask, |context, seen, _| {
                let gate = seen.gate(key);
                let rows = sids.iter().filter_map(|sid| seen.row(*sid));
                let views = rows
                    .filter(|row| row.tenant == tenant)
                    .map(|row| session_view(context, row, gate.as_deref()))
                    .collect();
                Decision::of(context.partition, Verdict::Granted(views))
            })
            .await?;
        match verdict {
            Verdict::Granted(views) => Ok(views),
            Verdict::Refused(refusal) => Err(refusal),
            Verdict::NotBefore(_) | Verdict::NeedsRow(_) => Ok(Vec::new()),
        }
    }

    /// A subject's sessions.
    pub async fn list_sessions(
        &self,
        tenant: TenantId,
        subject: &SubjectId,
        filter: &SessionFilter,
        scope: &PageScope<'_>,
        page_size: usize,
        page_token: &str,
    ) -> Answer<SessionPage> {
        let loaded = self.fresh_directory().await?;
        let page_key = loaded.ring.page()?;
        let cursor = scope.open(page_key, page_token)?;
        let after = match cursor {
            None => None,
            Some(bytes) => {
                let bytes = bytes
                    .try_into()
                    .map_err(|_| Refusal::new(Stage::Request, Reason::PageToken))?;
                Some(
                    SessionId::from_bytes(bytes)
                        .map_err(|_| Refusal::new(Stage::Request, Reason::PageToken))?,
                )
            }
        };
        let limit = if page_size == 0 {
            PAGE_DEFAULT
        } else {
            page_size.min(PAGE_SESSIONS_MAX)
        };
        let key = loaded.ring.subject_key(tenant, subject)?;
        let keys = [Key::Ledger(key)];
        let seen = self.see(key.partition(), &keys).await?;
        let Some(ledger) = seen
            .ledger(key)
            .filter(|l| l.subject == *subject && l.tenant == tenant)
        else {
            return Ok(SessionPage {
                sessions: Vec::new(),
                next_page_token: String::new(),
            });
        };
        // Ids of one partition are in order of birth.
        let entries = ledger.sessions.iter().map(|entry| entry.sid);
        let mut rest: Box<dyn Iterator<Item = SessionId> + Send> = if filter.youngest_first {
            Box::new(entries.rev().filter(|sid| after.is_none_or(|a| *sid < a)))
        } else {
            Box::new(entries.filter(|sid| after.is_none_or(|a| *sid > a)))
        };
        let page: Vec<SessionId> = rest.by_ref().take(limit).collect();
        let has_more = rest.next().is_some();
        drop(rest);
        let views = self.session_views(tenant, key, &page).await?;
        let sessions = views.into_iter().filter(|view| matches(view, filter)).collect();
        let last = page.last().filter(|_| has_more);
        let next_page_token = last
            .map(|sid| scope.seal(page_key, sid.as_bytes()))
            .unwrap_or_default();
        Ok(SessionPage {
            sessions,
            next_page_token,
        })
    }
}

/// Whether a row is alive, by itself, its gate, the directory and this authority's index.
fn session_view(context: &Context<'_>, row: Arc<Row>, gate: Option<&Gate>) -> SessionView {
    let stage = Stage::Request;
    let by_marks = || {
        let claims = SessionClaims::of_row(&row, context.now);
        match mint::coverage(context, gate, &claims, stage)? {
            None => Ok(()),
            Some((by, _)) => Err(Refusal::new(stage, Reason::Revoked).by(by)),
        }
    };
    let alive = mint::row_is_alive(context, &row, stage)
        .and_then(|()| mint::gate_permits(gate, &row, stage))
        .and_then(|()| by_marks());
    SessionView {
        over: alive.err(),
        row,
    }
}

fn matches(view: &SessionView, filter: &SessionFilter) -> bool {
    let on_device = filter.device.as_ref().is_none_or(|device| {
        view.row
            .device
            .as_ref()
            .is_some_and(|present| present.id == *device)
    });
    let of_client = filter
        .client
        .as_ref()
        .is_none_or(|client| view.row.live_grants().any(|grant| grant.client == *client));
    on_device && of_client && !(filter.alive_only && view.over.is_some())
}
