//! Reads sessions: one by its name, or a subject's, paged from the ledger.
//!
//! **Invariant:** the ledger is a hint and the rows are the truth: what is over does not count.

use std::sync::Arc;

use curfew_core::claims::{Claim, Claims};
use curfew_core::ids::{ClientId, DeviceId, SessionId, SubjectId, TenantId};
use curfew_core::refusal::{Reason, Refusal, RevokedBy, Stage};
use curfew_core::session::Row;
use curfew_core::stored::Key;
use curfew_core::subject::Gate;

use crate::answer::{Answer, store_unavailable};
use crate::directory::Loaded;
use crate::node::Authority;
use crate::page::PageScope;
use crate::seen::Seen;

/// Sessions of one page when the caller names no size.
const PAGE_DEFAULT: usize = 50;
/// The largest page: a page is one read of that many rows.
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

/// A session as the coverage function sees it.
pub(crate) struct RowClaims<'a>(pub(crate) &'a Row);

impl Claims for RowClaims<'_> {
    fn claim(&self, name: &str) -> Option<Claim<'_>> {
        match name {
            "sid" => Some(Claim::Text(self.0.sid.to_string().into())),
            "sub" | "oid" => Some(Claim::text(self.0.subject.as_str())),
            "tid" => Some(Claim::Text(self.0.tenant.to_string().into())),
            "idp" => self.0.idp.as_deref().map(Claim::text),
            "deviceid" => self
                .0
                .device
                .as_ref()
                .map(|device| Claim::text(device.id.as_str())),
            _ => None,
        }
    }
}

impl Authority {
    /// One session's row, of this tenant.
    pub(crate) async fn row(&self, tenant: TenantId, sid: SessionId) -> Answer<Arc<Row>> {
        let keys = [Key::Session(sid)];
        let view = self
            .parts
            .store
            .read(sid.partition(), &keys)
            .await
            .map_err(store_unavailable)?;
        let row = Seen::new(&keys, view).row(sid);
        row.filter(|row| row.tenant == tenant)
            .ok_or_else(|| Refusal::new(Stage::Request, Reason::SessionUnknown).about(sid.to_string()))
    }

    /// One session.
    pub async fn get_session(&self, tenant: TenantId, sid: SessionId) -> Answer<SessionView> {
        let loaded = self.fresh_directory().await?;
        let row = self.row(tenant, sid).await?;
        let key = loaded.ring.subject_key(tenant, &row.subject)?;
        let keys = [Key::Gate(key)];
        let view = self
            .parts
            .store
            .read(key.partition(), &keys)
            .await
            .map_err(store_unavailable)?;
        let gate = Seen::new(&keys, view).gate(key);
        Ok(self.session_view(&loaded, row, gate.as_deref()))
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
        let keys = [Key::Gate(key), Key::Ledger(key)];
        let view = self
            .parts
            .store
            .read(key.partition(), &keys)
            .await
            .map_err(store_unavailable)?;
        let seen = Seen::new(&keys, view);
        let gate = seen.gate(key);
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
        let keys: Vec<Key> = page.iter().map(|sid| Key::Session(*sid)).collect();
        let view = self
            .parts
            .store
            .read(key.partition(), &keys)
            .await
            .map_err(store_unavailable)?;
        let seen = Seen::new(&keys, view);
        let sessions = page
            .iter()
            .filter_map(|sid| seen.row(*sid))
            .map(|row| self.session_view(&loaded, row, gate.as_deref()))
            .filter(|view| matches(view, filter))
            .collect();
        let last = page.last().filter(|_| has_more);
        let next_page_token = last
            .map(|sid| scope.seal(page_key, sid.as_bytes()))
            .unwrap_or_default();
        Ok(SessionPage {
            sessions,
            next_page_token,
        })
    }

    /// Whether a row is alive, by itself, its gate, the directory and this authority's index.
    pub(crate) fn session_view(&self, loaded: &Loaded, row: Arc<Row>, gate: Option<&Gate>) -> SessionView {
        let now = self.wall();
        let stage = Stage::Request;
        let refuse = |reason| Some(Refusal::new(stage, reason));
        let by_row = match row.life.ending() {
            Some(ending) => {
                Some(Refusal::new(stage, Reason::SessionEnded).about(format!("cause {}", ending.cause)))
            }
            None if now >= row.expires_at => refuse(Reason::SessionExpired),
            None if now >= row.idle_expires_at() => refuse(Reason::SessionIdle),
            None => None,
        };
        let by_gate = || match gate {
            None => refuse(Reason::SubjectUnknown),
            Some(gate) if gate.subject != row.subject => refuse(Reason::SubjectMismatch),
            Some(gate) if gate.is_disabled() => refuse(Reason::SubjectDisabled),
            Some(_) => None,
        };
        let by_mark = || {
            let (tenant, issuer) = (row.tenant, row.tenant.own_issuer());
            let claims = RowClaims(&row);
            let gate_index = gate.map(Gate::index).unwrap_or_default();
            let state = self.follower.of(row.sid.partition());
            let found = gate_index
                .covered(tenant, issuer, &claims)
                .ok()
                .flatten()
                .or_else(|| {
                    loaded
                        .view
                        .wide_index
                        .covered(tenant, issuer, &claims)
                        .ok()
                        .flatten()
                })
                .map(|covering| RevokedBy::of(covering.winner));
            let found = found.or_else(|| {
                let covering = state.as_ref()?.index.covered(tenant, issuer, &claims).ok()??;
                Some(RevokedBy::of(covering.winner))
            });
            found.map(|by| Refusal::new(stage, Reason::Revoked).by(by))
        };
        let over = by_row.or_else(by_gate).or_else(by_mark);
        SessionView { row, over }
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
