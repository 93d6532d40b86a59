//! The check, in DESIGN section 7's order: decode → `typ` → signature by `kid` → `iss` → `aud` → time →
//! claims of the kind → sender binding → scopes and roles → step-up → index and freshness.
//!
//! **Invariant:** in memory; nothing here waits but [`Guard::check_asking`], and that only where the
//! view is stale and the ladder leads to a question.
//! **Invariant:** what is remembered between calls is that a signature was good (finding P42); time, marks
//! and freshness are judged at every call.
//! **Invariant:** the marks are consulted whatever the freshness: a covered token is dead on every rung.

use std::sync::Arc;

use curfew_core::claims::{JsonClaims, Malformed};
use curfew_core::index::Covering;
use curfew_core::refusal::{Reason, Refusal, RevokedBy, Stage};
use curfew_core::session::KeyBinding;
use curfew_core::time::Now;
use curfew_jose::SignatureRefused;

use crate::admission::{Admission, Ground};
use crate::guard::Guard;
use crate::refused::{More, Refused, StepUp};
use crate::route::{Presented, Requirements};
use crate::stale::{Rung, climb};
use crate::token::{self, Kind, Known, refusal};

/// What a call comes to before anybody is asked.
enum Verdict {
    Admit(Ground),
    /// Stale; an authority may know. The reason is what is refused without it.
    Ask(Reason),
}

impl Guard {
    /// Judges one call. Where the ladder leads to a question, this refuses as stale:
    /// [`Guard::check_asking`] asks.
    ///
    /// # Errors
    /// Why the token does not authorize this call. In report-only mode only tokens that are none at
    /// all (form, signature, issuer, audience, time, kind) are: there is nothing to admit with.
    pub fn check<'a>(
        &self,
        presented: impl Into<Presented<'a>>,
        route: &Requirements,
    ) -> Result<Admission, Refused> {
        let presented = presented.into();
        let now = self.now();
        let known = self.know(presented, route, now)?;
        let ground = match self.judge(&known, presented.key, route, now) {
            Ok(Verdict::Admit(ground)) => Ok(ground),
            Ok(Verdict::Ask(reason)) => Err(self.stale_refusal(reason)),
            Err(refused) => Err(refused),
        };
        self.conclude(known, ground, route, now)
    }

    /// [`Guard::check`], and the question to an authority where the ladder leads to one.
    ///
    /// # Errors
    /// As [`Guard::check`].
    pub async fn check_asking<'a>(
        &self,
        presented: impl Into<Presented<'a>>,
        route: &Requirements,
    ) -> Result<Admission, Refused> {
        let presented = presented.into();
        let now = self.now();
        let known = self.know(presented, route, now)?;
        let ground = match self.judge(&known, presented.key, route, now) {
            Ok(Verdict::Admit(ground)) => Ok(ground),
            Ok(Verdict::Ask(reason)) => self.ask(&known, presented.token, reason, now).await,
            Err(refused) => Err(refused),
        };
        self.conclude(known, ground, route, now)
    }

    /// Judges a token again that was admitted before: time, marks, freshness.
    pub(crate) fn judge_again(&self, known: &Known, route: &Requirements) -> Result<(), Refused> {
        let now = self.now();
        let judged = known
            .times
            .judge(self.judged_at(now), known.issuer.foreign.as_ref());
        let verdict = judged
            .map_err(|refusal| about(known, refusal))
            .and_then(|()| self.judge_marks(known, route, now));
        match verdict {
            Ok(Verdict::Admit(_)) => Ok(()),
            Ok(Verdict::Ask(reason)) => Err(self.stale_refusal(reason)),
            Err(refused) => Err(refused),
        }
        .map_err(|refused| self.explained(refused))
        .inspect_err(|refused| self.note_refusal(Some(known), refused, route, now))
    }

    /// What the token is, as far as that does not depend on the route. Refusals are counted.
    fn know(&self, presented: Presented<'_>, route: &Requirements, now: Now) -> Result<Arc<Known>, Refused> {
        self.read(presented.token, now)
            .map(Arc::new)
            .map_err(|refused| self.explained(refused))
            .inspect_err(|refused| self.note_refusal(None, refused, route, now))
    }

    fn read(&self, text: &str, now: Now) -> Result<Known, Refused> {
        let jws = token::decode(text)?;
        // Unverified, and used for nothing but finding the entry whose key must verify it.
        let spelling = token::claimed_issuer(&jws)?;
        let place = self
            .0
            .by_spelling
            .get(spelling)
            .ok_or_else(|| refusal(Reason::IssuerUnknown))?;
        let (issuer, ring) = self
            .0
            .issuers
            .get(*place)
            .ok_or_else(|| refusal(Reason::IssuerUnknown))?;
        token::judge_type(&jws, issuer)?;
        let no_kid = || refusal(Reason::KeyUnknown).about("the token's header has no `kid`");
        let kid = jws.kid().filter(|kid| !kid.is_empty()).ok_or_else(no_kid)?;
        let key = ring
            .get(kid, now)
            .map_err(|why| refusal(Reason::KeyUnknown).about(why.as_str()))?;
        self.0
            .signatures
            .verify_cached(&key, &jws)
            .map_err(|cause| match cause {
                SignatureRefused::WrongAlgorithm(_) => refusal(Reason::AlgorithmRefused),
                SignatureRefused::BadSignature => refusal(Reason::SignatureWrong),
            })?;
        // From here the claims are the issuer's words; `iss` led to this entry, so it is right.
        let foreign = issuer.foreign.as_ref();
        token::judge_audience(
            jws.claims(),
            foreign.map_or(&self.0.audiences, |foreign| &foreign.audiences),
        )?;
        let times = crate::validity::Times::read(jws.claims())?;
        let of_cp1 = |refusal| {
            Refused::new(
                refusal,
                More {
                    cp1: token::handles_challenges(jws.claims()),
                    ..More::default()
                },
            )
        };
        times.judge(self.judged_at(now), foreign).map_err(of_cp1)?;
        let (kind, partitions) = token::judge_kind(jws.claims(), issuer)?;
        let kid = kid.into();
        Ok(Known {
            issuer: issuer.clone(),
            kind,
            partitions,
            times,
            kid,
            claims: jws.into_claims(),
        })
    }

    fn judge(
        &self,
        known: &Known,
        key: Option<&KeyBinding>,
        route: &Requirements,
        now: Now,
    ) -> Result<Verdict, Refused> {
        token::judge_binding(&known.claims, key).map_err(|refusal| about(known, refusal))?;
        let scopes = token::scopes(&known.claims)?;
        let roles = token::texts(&known.claims, "roles")?;
        if !route.are_met_by(&scopes, &roles) {
            let wanted = route
                .scopes_all
                .iter()
                .chain(&route.scopes_any)
                .cloned()
                .collect();
            return Err(Refused::new(
                refusal(Reason::ScopeInsufficient),
                More {
                    scopes: wanted,
                    ..More::default()
                },
            ));
        }
        self.judge_step_up(known, route, now)?;
        self.judge_marks(known, route, now)
    }

    /// RFC 9470: the authentication behind the token, not the token.
    fn judge_step_up(&self, known: &Known, route: &Requirements, now: Now) -> Result<(), Refused> {
        let acr_meets = route.acr_any.is_empty()
            || known
                .claims
                .get("acr")
                .and_then(|acr| acr.as_str())
                .is_some_and(|acr| route.acr_any.iter().any(|any| any == acr));
        let age_meets = match route.auth_age_max_s {
            None => true,
            Some(max_s) => curfew_jose::numeric_date(&known.claims, "auth_time")
                .map_err(|wrong| refusal(Reason::ClaimMalformed).about(wrong.to_string()))?
                .is_some_and(|at_ms| {
                    let age_ms = self.judged_at(now).as_unix_ms().saturating_sub(at_ms);
                    age_ms <= max_s.saturating_mul(1_000)
                }),
        };
        if acr_meets && age_meets {
            return Ok(());
        }
        let step_up = StepUp {
            acr_values: route.acr_any.clone(),
            max_age_s: route.auth_age_max_s,
        };
        let detail = if acr_meets {
            "the sign-in is too long ago for this call"
        } else {
            "this call needs another authentication context"
        };
        Err(Refused::new(
            Refusal::new(Stage::AdditionalControls, Reason::SignInFrequency).about(detail),
            More {
                step_up: Some(step_up),
                ..More::default()
            },
        ))
    }

    /// The index, then freshness, of every partition that an id of the token names.
    fn judge_marks(&self, known: &Known, route: &Requirements, now: Now) -> Result<Verdict, Refused> {
        let view = self.view();
        let mut stale = None;
        if let Some(view) = view.as_ref() {
            let claims = match known.kind {
                Kind::Foreign => JsonClaims::foreign(&known.claims, Some(&known.kid)),
                Kind::Delegated | Kind::AppOnly => token::own_claims(&known.claims, Some(&known.kid))?,
            };
            let base = view.base.load();
            judge_index(
                known,
                base.covered(known.issuer.tenant, known.issuer.entry, &claims),
            )?;
            for partition in known.partitions.iter() {
                let Some(state) = view.follower.of(partition) else {
                    stale = Some(Reason::FreshnessStale);
                    continue;
                };
                judge_index(
                    known,
                    state
                        .index
                        .covered(known.issuer.tenant, known.issuer.entry, &claims),
                )?;
                if state.frozen.is_some() {
                    stale = Some(Reason::FreshnessFrozen);
                } else if !view.is_fresh(&state, now, self.0.bound_ms) {
                    stale = stale.or(Some(Reason::FreshnessStale));
                }
            }
        } else {
            stale = Some(Reason::FreshnessStale);
        }
        let Some(reason) = stale else {
            return Ok(Verdict::Admit(Ground::Fresh));
        };
        let rule = route.stale.unwrap_or(self.0.stale);
        match climb(rule, &known.times, self.judged_at(now), self.0.asker.is_some()) {
            Rung::Pass(ground) => Ok(Verdict::Admit(ground)),
            Rung::Ask => Ok(Verdict::Ask(reason)),
            Rung::Deny => Err(self.stale_refusal(reason)),
        }
    }
}

fn judge_index(known: &Known, covered: Result<Option<Covering<'_>>, Malformed>) -> Result<(), Refused> {
    let Some(covering) = covered.map_err(|cause| token::of_malformed(&cause))? else {
        return Ok(());
    };
    let mut refused = about(
        known,
        refusal(Reason::TokenRevoked).by(RevokedBy::of(covering.winner)),
    );
    refused.set_not_issued_before(covering.before.unwrap_or(covering.winner.decided_at));
    Err(refused)
}

/// A refusal of a token that was read: what its client can be told besides.
pub(crate) fn about(known: &Known, refusal: Refusal) -> Refused {
    let more = More {
        cp1: token::handles_challenges(&known.claims),
        authorization_uri: known.issuer.authorization_uri.clone(),
        ..More::default()
    };
    Refused::new(refusal, more)
}

#[cfg(test)]
mod tests;
