//! What becomes of a judgement: the question to an authority, report-only, what is counted and told.
//!
//! **Invariant:** every refusal and every admission is counted once, whichever way it came.

use std::sync::Arc;

use curfew_core::refusal::Reason;
use curfew_core::time::Now;

use crate::admission::{Admission, Ground};
use crate::check::about;
use crate::guard::{Guard, RevokeToReject};
use crate::refused::{More, Refused};
use crate::route::Requirements;
use crate::stale::Question;
use crate::token::{Known, refusal};

impl Guard {
    pub(crate) async fn ask(
        &self,
        known: &Known,
        text: &str,
        reason: Reason,
        now: Now,
    ) -> Result<Ground, Refused> {
        let Some(asker) = &self.0.asker else {
            return Err(self.stale_refusal(reason));
        };
        let question = Question {
            token: text,
            tenant: known.issuer.tenant,
            issuer: known.issuer.entry,
            tenant_name: known.issuer.tenant_name.as_deref(),
        };
        match asker.ask(question, now.boot_ms).await {
            Ok(is_active) => {
                self.0.metrics.introspect();
                if is_active {
                    Ok(Ground::Introspected)
                } else {
                    Err(about(
                        known,
                        refusal(Reason::TokenRevoked).about("an authority says that it is not active"),
                    ))
                }
            }
            Err(cause) => {
                tracing::warn!(%cause, "no authority said whether a token is active; denied");
                Err(self.stale_refusal(reason))
            }
        }
    }

    pub(crate) fn conclude(
        &self,
        known: Arc<Known>,
        ground: Result<Ground, Refused>,
        route: &Requirements,
        now: Now,
    ) -> Result<Admission, Refused> {
        match ground {
            Ok(ground) => {
                if ground == Ground::Allowed {
                    tracing::warn!(
                        route = route.name(),
                        "stale view, and the route lets everything pass"
                    );
                }
                self.0.metrics.admit(ground != Ground::Fresh);
                self.0.reports.saw(&known, &self.0.metrics, now.wall);
                Ok(Admission {
                    known,
                    ground,
                    would_refuse: None,
                })
            }
            Err(refused) => {
                let refused = self.explained(refused);
                self.note_refusal(Some(&known), &refused, route, now);
                if self.only_reports(route) {
                    Ok(Admission {
                        known,
                        ground: Ground::Allowed,
                        would_refuse: Some(refused),
                    })
                } else {
                    Err(refused)
                }
            }
        }
    }

    /// With the place of the catalogue: every refusal that leaves the guard links to its entry.
    pub(crate) fn explained(&self, refused: Refused) -> Refused {
        refused.explained_at(self.0.error_pages.clone())
    }

    pub(crate) fn only_reports(&self, route: &Requirements) -> bool {
        self.0.report_only || route.report_only
    }

    pub(crate) fn stale_refusal(&self, reason: Reason) -> Refused {
        // By then either a heartbeat has come or the source is down for longer than it may be.
        let seconds = u32::try_from(self.0.bound_ms.saturating_add(999) / 1_000).unwrap_or(u32::MAX);
        Refused::new(
            refusal(reason),
            More {
                retry_after_s: Some(seconds),
                ..More::default()
            },
        )
    }

    pub(crate) fn note_refusal(
        &self,
        known: Option<&Known>,
        refused: &Refused,
        route: &Requirements,
        now: Now,
    ) {
        let reported_only = self.only_reports(route);
        self.0.metrics.refuse(refused.reason, reported_only);
        self.0
            .reports
            .refused(known, refused, route, reported_only, &self.0.metrics, now.wall);
        let Some(by) = &refused.by else { return };
        if self.0.sampled.get(&by.record).is_none() {
            self.0.sampled.insert(by.record, ());
            let sample = RevokeToReject {
                record: by.record,
                decided_at: by.decided_at,
                refused_at: now.wall,
            };
            self.0
                .metrics
                .sample_revoke_to_reject(now.wall.ms_since(by.decided_at));
            if let Some(hook) = &self.0.on_revoke_to_reject {
                hook(sample);
            }
        }
    }
}
