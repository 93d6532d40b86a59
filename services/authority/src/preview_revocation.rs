//! Counts what a revocation would end, without ending it.

use curfew_core::ids::{SessionId, TenantId};
use curfew_core::stored::Key;

use crate::answer::Answer;
use crate::create_revocation::Target;
use crate::node::Authority;

/// What a revocation would end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Preview {
    /// Live sessions; `None`: the scope spans subjects, and counting would read them all.
    pub sessions: Option<usize>,
    /// Live grants, likewise.
    pub grants: Option<usize>,
}

impl Authority {
    /// What a revocation would end, without ending it.
    pub async fn preview_revocation(&self, tenant: TenantId, target: &Target) -> Answer<Preview> {
        let count = |rows: &[crate::SessionView]| {
            let alive: Vec<_> = rows.iter().filter(|view| view.over.is_none()).collect();
            Preview {
                sessions: Some(alive.len()),
                grants: Some(alive.iter().map(|view| view.row.live_grants().count()).sum()),
            }
        };
        match target {
            Target::Session(sid) => Ok(count(&[self.get_session(tenant, *sid).await?])),
            Target::Grant(sid, gid) => {
                let view = self.get_session(tenant, *sid).await?;
                let is_live = view.over.is_none() && view.row.grant(*gid).is_some_and(|g| g.life.is_alive());
                Ok(Preview {
                    sessions: Some(0),
                    grants: Some(usize::from(is_live)),
                })
            }
            Target::Subject(subject, spared) => {
                let loaded = self.fresh_directory().await?;
                let key = loaded.ring.subject_key(tenant, subject)?;
                let keys = [Key::Ledger(key)];
                let seen = self.see(key.partition(), &keys).await?;
                let ledger = seen.ledger(key);
                let sids: Vec<SessionId> = ledger
                    .iter()
                    .flat_map(|ledger| ledger.sessions.iter().map(|entry| entry.sid))
                    .filter(|sid| Some(*sid) != *spared)
                    .collect();
                let mut views = Vec::with_capacity(sids.len());
                for chunk in sids.chunks(crate::read_sessions::PAGE_SESSIONS_MAX) {
                    views.extend(self.session_views(tenant, key, chunk).await?);
                }
                // Two subjects with one key are told apart by the rows, which hold the whole subject.
                views.retain(|view| view.row.subject == *subject);
                Ok(count(&views))
            }
            Target::Token(_) => Ok(Preview {
                sessions: Some(0),
                grants: Some(0),
            }),
            Target::Device(_)
            | Target::Client(_)
            | Target::Tenant
            | Target::Key(_)
            | Target::Provider(_)
            | Target::Criteria(..) => Ok(Preview::default()),
        }
    }
}
