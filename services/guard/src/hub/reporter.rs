//! Reports of a guard that reads the log itself: it is registered, listed and waited for as one that follows a hub.

use curfew_core::place::LogIdentity;
use curfew_proto::revocation::v1 as pb;
use tonic::Status;

use super::{HubSource, progress};
use crate::guard::Guard;

/// Registers a guard and reports for it; records come from elsewhere.
#[derive(Clone, Debug)]
pub struct Reporter(HubSource);

/// The service has not registered the guard, which is not ready before.
#[derive(Debug, thiserror::Error)]
pub enum NotRegistered {
    /// It did not answer, or refused.
    #[error("the service did not register this guard")]
    Refused(#[source] Box<Status>),
    /// It follows another log.
    #[error("the service follows another log than this guard")]
    OtherLog,
}

impl Reporter {
    /// To the service that this hub is of, under the same name and with the same token and routes.
    #[must_use]
    pub fn to(hub: HubSource) -> Self {
        Self(HubSource {
            source: pb::FollowerSource::Log,
            ..hub
        })
    }

    /// Registers the guard, before it reads the log: whoever waits for ENFORCED waits for it from then on.
    ///
    /// # Errors
    /// It is not registered; try again.
    pub async fn register(&self, guard: &Guard, log: LogIdentity) -> Result<(), NotRegistered> {
        let request = pb::ReportProgressRequest {
            subscriber: Some(self.0.subscriber(guard)),
            log_id: log.log_id.to_vec(),
            report_id: progress::report_id().to_string(),
            ..Default::default()
        };
        let refused = |status| NotRegistered::Refused(Box::new(status));
        let request = self.0.authorized(request).await.map_err(refused)?;
        let told = self.0.client().report_progress(request).await.map_err(refused)?;
        if told.into_inner().reload {
            return Err(NotRegistered::OtherLog);
        }
        Ok(())
    }

    /// Reports for as long as it is polled.
    pub async fn run(&self, guard: &Guard) {
        progress::report(&self.0, guard).await;
    }
}
