//! Refusals: the stage of the pipeline, the reason, its RFC word and catalogue code.
//!
//! A refusal is an outcome, known and final for what was asked; it is never an error.
//!
//! **Invariant:** one table, next to the enum; every edge takes its words from here.
//! **Invariant:** a reason is told at the stages that the table lists for it, and at no other.

mod answer;
mod stage;

use std::fmt;

use crate::ids::{Cause, RecordId};
use crate::index::Winner;
use crate::record::Initiator;
use crate::time::Millis;

pub use answer::{AtResource, Class, GrpcCode};
pub use stage::Stage;

/// Who can mend it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Fixer {
    /// Whoever wrote the client.
    ClientDeveloper,
    /// Whoever runs the API.
    ApiOwner,
    /// The user, by signing in again.
    User,
    /// The tenant's administrator.
    TenantAdmin,
    /// Whoever runs Curfew.
    Operator,
}

impl Fixer {
    /// Everybody who can.
    pub const ALL: [Self; 5] = [
        Self::ClientDeveloper,
        Self::ApiOwner,
        Self::User,
        Self::TenantAdmin,
        Self::Operator,
    ];

    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientDeveloper => "client developer",
            Self::ApiOwner => "API owner",
            Self::User => "user",
            Self::TenantAdmin => "tenant administrator",
            Self::Operator => "operator",
        }
    }
}

macro_rules! reasons {
    ($( $name:ident $code:literal [$($stage:literal)+] $rfc:literal $class:ident $fixer:ident $what:literal $fix:literal; )*) => {
        /// Why something was refused.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum Reason {
            $( #[doc = $what] $name, )*
        }

        impl Reason {
            /// Every reason, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            /// The stable catalogue code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $( Self::$name => concat!("CURFEW_", $code), )* }
            }

            /// The numbers of the stages at which it is told, as a set of bits.
            const fn stages_as_bits(self) -> u16 {
                match self { $( Self::$name => 0 $( | 1 << $stage )+, )* }
            }

            /// What OAuth callers are told (RFC 6749 section 5.2, RFC 6750 section 3.1, RFC 8707).
            #[must_use]
            pub const fn rfc_word(self) -> &'static str {
                match self { $( Self::$name => $rfc, )* }
            }

            /// How the answer is classed.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $( Self::$name => Class::$class, )* }
            }

            /// Who can mend it.
            #[must_use]
            pub const fn fixer(self) -> Fixer {
                match self { $( Self::$name => Fixer::$fixer, )* }
            }

            /// What is so, in words.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $( Self::$name => $what, )* }
            }

            /// What to do.
            #[must_use]
            pub const fn fix(self) -> &'static str {
                match self { $( Self::$name => $fix, )* }
            }
        }
    };
}

reasons! {
    // The token's form.
    TokenMissing "TOKEN_MISSING" [7] "invalid_request" Unauthenticated ClientDeveloper "no token was sent" "send the access token as `Authorization: Bearer`";
    TokenMalformed "TOKEN_MALFORMED" [1 7 8] "invalid_token" Unauthenticated ClientDeveloper "the token is malformed" "send the token byte for byte as it was issued";
    TokenVersion "TOKEN_VERSION" [8] "invalid_grant" Invalid ClientDeveloper "the token has a version that this server does not know" "send the token to the server that issued it";
    TokenForged "TOKEN_FORGED" [8] "invalid_grant" Invalid ClientDeveloper "the token's tag is wrong" "send the token byte for byte as it was issued, to its own tenant";
    TokenIsIdToken "TOKEN_IS_ID_TOKEN" [1 7 8] "invalid_token" Unauthenticated ClientDeveloper "an ID token was sent where an access token belongs: it proves who to a client and authorizes nothing" "send the access token";
    TokenIsAccessToken "TOKEN_IS_ACCESS_TOKEN" [8] "invalid_grant" Invalid ClientDeveloper "an access token was sent where a refresh token belongs" "send the refresh token";
    TokenIsRefreshToken "TOKEN_IS_REFRESH_TOKEN" [7] "invalid_token" Unauthenticated ClientDeveloper "a refresh token was sent where an access token belongs" "send the access token; keep refresh tokens for the token service";
    TokenTypeUnknown "TOKEN_TYPE_UNKNOWN" [7] "invalid_token" Unauthenticated ClientDeveloper "the token's `typ` is not that of an access token" "send an access token (RFC 9068)";
    CriticalHeader "TOKEN_CRITICAL_HEADER" [1 7] "invalid_token" Unauthenticated ClientDeveloper "the token has a critical header that is not understood" "send a token without `crit`";
    AlgorithmRefused "TOKEN_ALGORITHM" [1 7] "invalid_token" Unauthenticated ClientDeveloper "the token's algorithm is not permitted for its key" "send a token signed with the key's own algorithm";
    KeyUnknown "KEY_UNKNOWN" [1 7] "invalid_token" Unauthenticated ApiOwner "no key of this issuer has the token's `kid`" "check that the API fetches the issuer's key set";
    SignatureWrong "SIGNATURE_WRONG" [1 7] "invalid_token" Unauthenticated ClientDeveloper "the token's signature is wrong" "send the token byte for byte as it was issued";
    IssuerUnknown "ISSUER_UNKNOWN" [1 7] "invalid_token" Unauthenticated ApiOwner "the token's issuer is not one that this API trusts" "register the issuer, or get a token from one that is registered";
    IssuerTemplate "ISSUER_TEMPLATE" [1] "invalid_request" Invalid ApiOwner "an issuer with a `{tenantid}` template is not supported" "register each tenant's issuer by itself";
    AudienceWrong "AUDIENCE_WRONG" [1 7] "invalid_token" Unauthenticated ClientDeveloper "the token is for another API" "ask for a token for this API's audience";
    TokenExpired "TOKEN_EXPIRED" [1 7] "invalid_token" Unauthenticated ClientDeveloper "the token has expired" "refresh it";
    TokenNotYetValid "TOKEN_NOT_YET_VALID" [1 7] "invalid_token" Unauthenticated Operator "the token is not valid yet" "compare the clocks of issuer and API";
    TokenLivesTooLong "TOKEN_LIVES_TOO_LONG" [7] "invalid_token" Unauthenticated ApiOwner "the token lives longer than its issuer's entry permits" "raise the entry's longest token life, or shorten the issuer's";
    ClaimMissing "CLAIM_MISSING" [1 7] "invalid_token" Unauthenticated ClientDeveloper "the token lacks a claim that its kind must have" "send an access token of this issuer, as it was issued";
    ClaimMalformed "CLAIM_MALFORMED" [1 2 4 6 7 8] "invalid_token" Unauthenticated ApiOwner "a claim of the token has a type that cannot be compared" "have the issuer send strings, integers or lists of them";
    TooManyLookUps "TOO_MANY_LOOK_UPS" [7] "invalid_token" Unauthenticated ApiOwner "comparing the token with the revocations would take too many look-ups" "shorten the token's lists";
    BindingMissing "BINDING_MISSING" [1 7 8] "invalid_token" Unauthenticated ClientDeveloper "the token is bound to a key and came without proof of it" "send the DPoP proof, or the client certificate";
    BindingWrong "BINDING_WRONG" [7 8] "invalid_token" Unauthenticated ClientDeveloper "the token is bound to another key" "prove the key that the token is bound to";
    ScopeInsufficient "SCOPE_INSUFFICIENT" [7] "insufficient_scope" Denied ClientDeveloper "the token lacks a scope or role that this call needs" "ask for a token with that scope";
    TokenRevoked "TOKEN_REVOKED" [1 7] "invalid_token" Unauthenticated User "the token was revoked" "get a new token; sign in again if that is refused";
    FreshnessStale "FRESHNESS_STALE" [7] "temporarily_unavailable" Retry Operator "this API cannot prove that it has heard of every revocation" "look at the guard's connection to its source";
    FreshnessFrozen "FRESHNESS_FROZEN" [7] "temporarily_unavailable" Retry Operator "the log holds a record that this reader cannot read" "upgrade the reader, or have the record skipped";
    // Sessions, grants, subjects.
    SessionUnknown "SESSION_UNKNOWN" [1 4 6 7 8] "invalid_grant" Dead User "there is no such session" "sign in again";
    SessionEnded "SESSION_ENDED" [1 4 6 7 8] "invalid_grant" Dead User "the session has ended" "sign in again";
    SessionExpired "SESSION_EXPIRED" [1 4 6 8] "invalid_grant" Dead User "the session has reached its longest life" "sign in again";
    SessionIdle "SESSION_IDLE" [1 4 6 8] "invalid_grant" Dead User "the session was not used for too long" "sign in again";
    GrantUnknown "GRANT_UNKNOWN" [1 6 7 8] "invalid_grant" Dead User "there is no such grant" "sign in again";
    GrantEnded "GRANT_ENDED" [6 7 8] "invalid_grant" Dead User "the grant has ended" "sign in again";
    GrantExpired "GRANT_EXPIRED" [8] "invalid_grant" Dead User "the grant has reached its longest life" "sign in again";
    Revoked "REVOKED" [1 2 4 6 8] "invalid_grant" Dead User "a revocation covers it" "sign in again";
    FloorPassed "FLOOR_PASSED" [1 4 6 8] "invalid_grant" Dead User "it was last written before the floor of a restored store" "sign in again";
    SignInFrequency "SIGN_IN_FREQUENCY" [4 6 8] "invalid_grant" Dead User "the sign-in is older than the tenant permits" "sign in again";
    RefreshReused "REFRESH_REUSED" [8] "invalid_grant" Dead User "a superseded refresh token was presented: theft is assumed and the grant was revoked" "sign in again; look for who else holds the token";
    RefreshRolledBack "REFRESH_ROLLED_BACK" [8] "invalid_grant" Dead User "the session was opened in what a failover lost" "sign in again";
    RefreshImpossible "REFRESH_IMPOSSIBLE" [8] "invalid_grant" Dead Operator "the token is ahead of the store: a forged key, or an undetected loss" "look at the key ring and at the store's history";
    SubjectUnknown "SUBJECT_UNKNOWN" [1 4 6 7 8] "invalid_grant" Dead User "nothing is known of the subject" "sign in again";
    SubjectMismatch "SUBJECT_MISMATCH" [1 2 4 6 7 8] "invalid_grant" Dead Operator "the stored record is of another subject" "report it: two subjects have one key";
    SubjectDisabled "SUBJECT_DISABLED" [1 2 4 6 7 8] "invalid_grant" Dead TenantAdmin "the subject is disabled" "enable the subject";
    // Clients, resources, tenants.
    TenantUnknown "TENANT_UNKNOWN" [1 2 6 7 8] "invalid_request" NotFound ClientDeveloper "there is no such tenant" "name a tenant that is registered";
    TenantDisabled "TENANT_DISABLED" [1 2 4 6 8] "invalid_request" Dead Operator "the tenant is disabled" "enable the tenant";
    ClientUnknown "CLIENT_UNKNOWN" [1 6 8] "invalid_client" NotFound ClientDeveloper "there is no such client" "register the client";
    ClientDisabled "CLIENT_DISABLED" [6 8] "invalid_client" Dead TenantAdmin "the client is disabled" "enable the client";
    ClientAuthenticationFailed "CLIENT_AUTHENTICATION" [1 6 8] "invalid_client" Unauthenticated ClientDeveloper "the client did not prove itself" "send the client's own secret, assertion or certificate";
    ClientMismatch "CLIENT_MISMATCH" [1 8] "invalid_grant" Denied ClientDeveloper "the token belongs to another client" "send the token that this client was given";
    ClientNotPermitted "CLIENT_NOT_PERMITTED" [6] "unauthorized_client" Denied TenantAdmin "the client may not do this" "change the client's record";
    ResourceUnknown "RESOURCE_UNKNOWN" [1 6 8] "invalid_target" NotFound ClientDeveloper "there is no such resource" "name a resource that is registered";
    ResourceNotPermitted "RESOURCE_NOT_PERMITTED" [6 8] "invalid_target" Denied TenantAdmin "the client or grant may not name this resource" "change the client's record, or authorize again";
    ScopeWidened "SCOPE_WIDENED" [8] "invalid_scope" Invalid ClientDeveloper "a scope was asked for that the grant does not hold" "ask for granted scopes, or authorize again";
    ScopeUnknown "SCOPE_UNKNOWN" [6 8] "invalid_scope" Invalid ClientDeveloper "the resource or client does not know this scope" "ask for scopes that are registered";
    RoleNotHeld "ROLE_NOT_HELD" [6] "invalid_scope" Denied TenantAdmin "the client does not hold this app role" "grant the role to the client";
    IssuerEntryUnknown "ISSUER_ENTRY_UNKNOWN" [1] "invalid_request" NotFound TenantAdmin "the tenant has no such issuer entry" "register the issuer in this tenant";
    ClaimNotCarried "CLAIM_NOT_CARRIED" [1] "invalid_request" Invalid TenantAdmin "the issuer's tokens do not carry this claim" "revoke by a claim that the issuer's entry lists";
    TooManyShapes "TOO_MANY_SHAPES" [1] "invalid_request" Limit TenantAdmin "the tenant has too many shapes of revocations" "revoke by claims that are in use already";
    CriteriaInvalid "CRITERIA_INVALID" [1] "invalid_request" Invalid ClientDeveloper "the revocation's criteria are invalid" "see the message";
    ExceptedNotAlive "EXCEPTED_NOT_ALIVE" [1] "invalid_request" Dead ClientDeveloper "the session to be spared is not alive" "name the live session that asks";
    CapSessions "CAP_SESSIONS" [2] "invalid_request" Limit TenantAdmin "the subject has the most live sessions permitted" "end one, or let the tenant end the longest unused";
    CapGrants "CAP_GRANTS" [6] "invalid_request" Limit TenantAdmin "the session has the most live grants permitted" "end one, or let the tenant end the longest unused";
    CapMarks "CAP_MARKS" [1] "invalid_request" Limit TenantAdmin "the subject or tenant has the most revocation marks permitted" "cut the subject or tenant off as a whole";
    // Calls of Curfew's own services.
    FieldInvalid "FIELD_INVALID" [1 4] "invalid_request" Invalid ClientDeveloper "a field of the request is invalid" "see the field violations";
    CallerUnknown "CALLER_UNKNOWN" [1] "invalid_client" Unauthenticated ClientDeveloper "the caller did not prove itself" "send an app-only token of a registered caller";
    CallerRole "CALLER_ROLE" [1] "unauthorized_client" Denied Operator "the caller lacks the role for this call" "give the caller the role";
    CallerTenant "CALLER_TENANT" [1] "unauthorized_client" Denied Operator "the caller may not touch this tenant" "give the caller the tenant";
    RequestIdReused "REQUEST_ID_REUSED" [1] "invalid_request" Exists ClientDeveloper "the request id was used for other content" "use a new id for a new request";
    AlreadyExists "ALREADY_EXISTS" [1] "invalid_request" Exists ClientDeveloper "it exists already" "read it, or choose another id";
    NotFound "NOT_FOUND" [1] "invalid_request" NotFound ClientDeveloper "it does not exist" "check the name";
    PageToken "PAGE_TOKEN" [1] "invalid_request" Invalid ClientDeveloper "the page token is not of this caller and filter" "begin again without a page token";
    NotImplemented "NOT_IMPLEMENTED" [1] "invalid_request" Invalid Operator "this server does not offer that yet" "see the release notes";
    // Not now.
    CutoffPending "CUTOFF_PENDING" [1 2 6 8] "temporarily_unavailable" Retry ClientDeveloper "a cut-off of this scope is about to take effect" "repeat after the told delay";
    DirectoryStale "DIRECTORY_STALE" [1 2 6 7 8] "temporarily_unavailable" Retry Operator "the directory was not read for too long" "look at the store";
    ClockSuspect "CLOCK_SUSPECT" [1 2 6 7 8] "temporarily_unavailable" Retry Operator "this node's clock and the store's differ too much" "set the node's clock";
    StoreUnavailable "STORE_UNAVAILABLE" [1] "temporarily_unavailable" Retry Operator "the store did not say what happened" "repeat with the same request id";
    LogUnavailable "LOG_UNAVAILABLE" [1] "temporarily_unavailable" Retry Operator "the log did not say what happened" "repeat with the same request id";
    Fenced "FENCED" [1 2 6 7 8] "temporarily_unavailable" Retry Operator "the partition is being recovered" "repeat after the told delay";
    Conflict "CONFLICT" [1 2 6 7 8] "temporarily_unavailable" Retry ClientDeveloper "others kept changing the same thing" "repeat with the same request id";
    KeyUnavailable "KEY_UNAVAILABLE" [1 6 8] "temporarily_unavailable" Retry Operator "no key can sign" "look at the key ring";
    Overloaded "OVERLOADED" [1] "temporarily_unavailable" Limit Operator "the server has more to do than it can" "repeat after the told delay";
    RateLimited "RATE_LIMITED" [1] "temporarily_unavailable" Limit ClientDeveloper "more was asked in a short time than may be" "repeat after the told delay, and ask less often";
    CallerShare "CALLER_SHARE" [1] "temporarily_unavailable" Limit ClientDeveloper "the caller has as much in progress as one caller may" "let calls end before beginning more, and repeat after the told delay";
}

impl Reason {
    /// Whether it is told at this stage.
    #[must_use]
    pub const fn occurs_at(self, stage: Stage) -> bool {
        self.stages_as_bits() & (1 << stage.number()) != 0
    }

    /// The stages at which it is told, in the order of the pipeline.
    pub fn stages(self) -> impl Iterator<Item = Stage> {
        Stage::ALL.into_iter().filter(move |stage| self.occurs_at(*stage))
    }
}

/// What was refused, where and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Where in the pipeline.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// Which thing, for people: a field, a name, a claim; never a secret or a token.
    pub detail: Option<String>,
    /// What the revocation said, where one is behind it.
    pub by: Option<RevokedBy>,
    /// Repeat not before this.
    pub not_before: Option<Millis>,
}

/// The revocation behind a refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokedBy {
    /// Its id; told to callers with `sessions.read` only.
    pub record: RecordId,
    /// Why.
    pub cause: Cause,
    /// Who began it.
    pub initiator: Initiator,
    /// When.
    pub decided_at: Millis,
}

impl RevokedBy {
    /// From the record that decides.
    #[must_use]
    pub fn of(winner: &Winner) -> Self {
        Self {
            record: winner.id,
            cause: winner.cause.clone(),
            initiator: winner.initiator,
            decided_at: winner.decided_at,
        }
    }
}

impl Refusal {
    /// A refusal at a stage.
    #[must_use]
    pub const fn new(stage: Stage, reason: Reason) -> Self {
        // So every test of the workspace that meets a refusal judges the table as well.
        debug_assert!(
            reason.occurs_at(stage),
            "the table does not list this reason at this stage"
        );
        Self {
            stage,
            reason,
            detail: None,
            by: None,
            not_before: None,
        }
    }

    /// With the thing that it is about.
    #[must_use]
    pub fn about(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With the revocation behind it.
    #[must_use]
    pub fn by(mut self, by: RevokedBy) -> Self {
        self.by = Some(by);
        self
    }

    /// With the instant from which a repetition makes sense.
    #[must_use]
    pub const fn until(mut self, not_before: Millis) -> Self {
        self.not_before = Some(not_before);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stage {} {}: {}",
            self.stage.number(),
            self.stage.as_str(),
            self.reason.what()
        )?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        if let Some(by) = &self.by {
            write!(f, "; cause {}, by {}", by.cause, by.initiator.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own_and_an_rfc_word() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(!reason.what().is_empty() && !reason.fix().is_empty());
            assert!(
                reason
                    .rfc_word()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
        }
    }

    #[test]
    fn every_reason_has_a_stage_and_every_stage_that_this_release_has_a_reason() {
        for reason in Reason::ALL {
            assert_ne!(reason.stages().count(), 0, "{reason:?}");
        }
        let is_told = |stage: &Stage| Reason::ALL.iter().any(|reason| reason.occurs_at(*stage));
        let without: Vec<_> = Stage::ALL.into_iter().filter(|stage| !is_told(stage)).collect();
        // Policy and authorization codes are not offered yet.
        assert_eq!(without, [Stage::ConditionalAccess, Stage::Code]);
    }

    #[test]
    #[should_panic = "the table does not list this reason at this stage"]
    fn a_reason_at_a_stage_that_the_table_does_not_list_is_found_by_any_test() {
        let _ = Refusal::new(Stage::ResourceCall, Reason::CapSessions);
    }

    #[test]
    fn what_may_be_repeated_never_looks_like_a_dead_grant() {
        for reason in Reason::ALL {
            if matches!(reason.class(), Class::Retry) {
                assert_eq!(reason.rfc_word(), "temporarily_unavailable");
            }
            if matches!(reason.class(), Class::Retry | Class::Limit) {
                assert_ne!(reason.rfc_word(), "invalid_grant");
            }
        }
    }
}
