//! New secrets of clients and callers: made here, told once, stored as a hash.
//!
//! **Invariant:** at most two are alive at once, so that one can be rotated without a gap; a retry
//! cannot be told the secret again, and says so.

use std::sync::Arc;

use curfew_core::decide::{Verdict, directory_change};
use curfew_core::directory::SecretHash;
use curfew_core::ids::{CallerId, ClientId, TenantId};
use curfew_core::place::Partition;
use curfew_core::record::OperationRef;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::{Decision, Key, Record};
use curfew_core::time::Millis;

use crate::answer::Answer;
use crate::node::Authority;
use crate::operation::Remembered;
use crate::transact::{Ask, AskTenant};

/// Live secrets of one client or caller.
const SECRETS_MAX: usize = 2;

impl Authority {
    /// Makes a secret for a client; the text is told this once.
    pub async fn create_client_secret(
        &self,
        tenant: TenantId,
        client: &ClientId,
        label: &str,
        expires_at: Option<Millis>,
        operation: Option<OperationRef>,
    ) -> Answer<(String, SecretHash)> {
        let key = Key::Client(tenant, client.clone());
        self.create_secret(
            AskTenant::Known(tenant),
            tenant,
            key,
            label,
            expires_at,
            operation,
        )
        .await
    }

    /// Makes a secret for a caller; the text is told this once.
    pub async fn create_caller_secret(
        &self,
        caller: &CallerId,
        label: &str,
        expires_at: Option<Millis>,
        operation: Option<OperationRef>,
    ) -> Answer<(String, SecretHash)> {
        let system = self.system_tenant().await?;
        let tenant = system.id;
        let key = Key::Caller(caller.clone());
        self.create_secret(
            AskTenant::Given(system),
            tenant,
            key,
            label,
            expires_at,
            operation,
        )
        .await
    }

    async fn create_secret(
        &self,
        ask_tenant: AskTenant,
        tenant: TenantId,
        key: Key,
        label: &str,
        expires_at: Option<Millis>,
        operation: Option<OperationRef>,
    ) -> Answer<(String, SecretHash)> {
        let (text, mut stored) = self.new_secret(label);
        stored.expires_at = expires_at;
        let mut keys = vec![key.clone(), Key::DirectoryVersion];
        keys.extend(operation.map(|operation| Key::Operation(tenant, operation.id)));
        let ask = Ask {
            tenant: ask_tenant,
            partition: Partition::DIRECTORY,
            keys,
            stage: Stage::Request,
        };
        self.transact(ask, |context, seen, entropy| {
            let refuse = |refusal| Decision::of(context.partition, Verdict::Refused(refusal));
            if let Some(verdict) = seen.recall::<()>(tenant, operation, |_| None) {
                return Decision::of(context.partition, verdict);
            }
            let record = match with_secret(seen.any(&key), &stored, context.now) {
                Ok(record) => record,
                Err(refusal) => return refuse(refusal),
            };
            match self.seal(vec![(key.clone(), record)]) {
                Err(refusal) => refuse(refusal),
                Ok(sealed) => directory_change::create(context, sealed, None, operation, entropy, || {
                    Remembered::Expired.to_bytes()
                }),
            }
        })
        .await?;
        self.poll_after_commit().await;
        Ok((text, stored))
    }
}

fn with_secret(record: Option<&Record>, secret: &SecretHash, now: Millis) -> Answer<Record> {
    let add = |secrets: &[SecretHash]| {
        let is_live = |present: &&SecretHash| present.expires_at.is_none_or(|end| now < end);
        let mut kept: Vec<SecretHash> = secrets.iter().filter(is_live).cloned().collect();
        if kept.len() >= SECRETS_MAX {
            let refusal = Refusal::new(Stage::Request, Reason::AlreadyExists);
            return Err(refusal.about("two secrets are alive: end one first"));
        }
        kept.push(secret.clone());
        Ok(kept)
    };
    if let Some(Record::Client(client)) = record {
        let mut client = (**client).clone();
        client.secrets = add(&client.secrets)?;
        return Ok(Record::Client(Arc::new(client)));
    }
    if let Some(Record::Caller(caller)) = record {
        let mut caller = (**caller).clone();
        caller.secrets = add(&caller.secrets)?;
        return Ok(Record::Caller(Arc::new(caller)));
    }
    Err(Refusal::new(Stage::Request, Reason::NotFound))
}
