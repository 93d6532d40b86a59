//! Updates a living session, or steps it up.

use curfew_core::decide::update;
use curfew_core::ids::{SessionId, TenantId};
use curfew_core::refusal::Stage;
use curfew_core::session::Row;
use curfew_core::stored::{Decision, Key};

use crate::answer::Answer;
use crate::node::Authority;
use crate::operation::Remembered;
use crate::transact::Ask;

/// What is asked.
#[derive(Clone, Debug)]
pub struct UpdateSessionRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The session.
    pub sid: SessionId,
    /// What to change.
    pub change: update::Request,
}

impl Authority {
    /// Updates a session; with a proof it is a step-up, which reaches no grant that exists.
    pub async fn update_session(&self, request: UpdateSessionRequest) -> Answer<Row> {
        let UpdateSessionRequest {
            tenant,
            sid,
            mut change,
        } = request;
        let loaded = self.fresh_directory().await?;
        // Gate and row lie together; which gate, only the row says.
        let subject = self.row(tenant, sid).await?.subject.clone();
        let key = loaded.ring.subject_key(tenant, &subject)?;
        let operation = change.operation.take();
        let mut keys = vec![Key::Session(sid), Key::Gate(key)];
        keys.extend(operation.map(|operation| Key::Operation(tenant, operation.id)));
        let ask = Ask {
            tenant: tenant.into(),
            partition: sid.partition(),
            keys,
            stage: Stage::Request,
        };
        let change = update::Request { operation, ..change };
        let done = self
            .transact(ask, |context, seen, entropy| {
                let row = seen.row(sid);
                let known = seen.recall(tenant, operation, |remembered| {
                    if let Remembered::Session { .. } = remembered {
                        row.as_deref().cloned()
                    } else {
                        None
                    }
                });
                match known {
                    Some(verdict) => Decision::of(context.partition, verdict),
                    None => {
                        let result = || Remembered::Session { sid, ended: None }.to_bytes();
                        update::update(
                            context,
                            row.as_deref(),
                            seen.gate(key).as_deref(),
                            &change,
                            entropy,
                            result,
                        )
                    }
                }
            })
            .await?;
        Ok(done.value)
    }
}
