//! Refusals as gRPC statuses: the one table, and the details of `google.rpc`.
//!
//! A client tells by the code alone whether it is nobody (UNAUTHENTICATED), whether what it named is
//! dead (FAILED_PRECONDITION), or whether to repeat (UNAVAILABLE and nothing else).
//!
//! **Invariant:** a fault of a token *in* a request is never UNAUTHENTICATED: that is said of the
//! caller and of the client that must prove itself, and of nothing else.

use std::collections::HashMap;
use std::time::Duration;

use curfew_core::refusal::{Class, Fixer, Reason, Refusal};
use curfew_core::time::Millis;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// The domain of every reason.
pub(crate) const DOMAIN: &str = "curfew";
/// A retry after a hiccup.
const SOON: Duration = Duration::from_secs(1);
/// A retry of what an operator must mend first.
const LATER: Duration = Duration::from_secs(5);
/// A retry of what is full: something has to end first.
const MUCH_LATER: Duration = Duration::from_secs(60);

/// What a refusal is said of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Of {
    /// What the request names or holds: a session, a client, a token.
    Request,
    /// A resource that a management call names: what is unknown is NOT_FOUND, not dead.
    Named,
}

/// How a refusal is told on this edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    /// Where the catalogue is.
    pub(crate) help_base: &'a str,
    /// The present instant.
    pub(crate) now: Millis,
    /// Whether the caller may see which record is behind it (`sessions.read`).
    pub(crate) tells_records: bool,
}

/// The code of a reason: the table's, or NOT_FOUND of what a management call names.
pub(crate) fn code_of(reason: Reason, of: Of) -> Code {
    if of == Of::Named && is_unknown(reason) {
        return Code::NotFound;
    }
    Code::from_i32(reason.grpc_code().number())
}

/// The reason on the wire: the catalogue code, without its prefix.
pub(crate) fn word_of(reason: Reason, of: Of) -> &'static str {
    let reason = if of == Of::Named && is_unknown(reason) {
        Reason::NotFound
    } else {
        reason
    };
    short(reason)
}

/// `CURFEW_REVOKED` is `REVOKED` in the domain `curfew`.
pub(crate) fn short(reason: Reason) -> &'static str {
    let code = reason.code();
    code.strip_prefix("CURFEW_").unwrap_or(code)
}

fn is_unknown(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SessionUnknown | Reason::GrantUnknown | Reason::SubjectUnknown
    )
}

/// When a repetition makes sense; `None`: never.
pub(crate) fn retry_after(refusal: &Refusal, now: Millis) -> Option<Duration> {
    if let Some(instant) = refusal.not_before {
        let ms = u64::try_from(instant.ms_since(now)).unwrap_or(0).max(1);
        return Some(Duration::from_millis(ms));
    }
    let needs_an_operator = [
        Reason::ClockSuspect,
        Reason::KeyUnavailable,
        Reason::FreshnessFrozen,
    ];
    let passes_soon = [Reason::Overloaded, Reason::RateLimited, Reason::CallerShare];
    match refusal.reason.class() {
        Class::Retry if refusal.reason == Reason::Conflict => None,
        Class::Retry if needs_an_operator.contains(&refusal.reason) => Some(LATER),
        Class::Retry => Some(SOON),
        Class::Limit if passes_soon.contains(&refusal.reason) => Some(SOON),
        Class::Limit => Some(MUCH_LATER),
        Class::Invalid
        | Class::Unauthenticated
        | Class::Denied
        | Class::Dead
        | Class::NotFound
        | Class::Exists => None,
    }
}

/// A refusal as a status.
pub(crate) fn status_of(refusal: &Refusal, of: Of, words: Words<'_>) -> Status {
    status_with(
        code_of(refusal.reason, of),
        word_of(refusal.reason, of),
        refusal,
        words,
    )
}

/// Why a caller is nobody: the reason is always the same, the words say more.
pub(crate) fn nobody(refusal: &Refusal, words: Words<'_>) -> Status {
    match refusal.reason.class() {
        Class::Retry | Class::Limit => status_of(refusal, Of::Request, words),
        Class::Invalid
        | Class::Unauthenticated
        | Class::Denied
        | Class::Dead
        | Class::NotFound
        | Class::Exists => status_with(
            Code::Unauthenticated,
            short(Reason::CallerUnknown),
            refusal,
            words,
        ),
    }
}

fn status_with(code: Code, word: &str, refusal: &Refusal, words: Words<'_>) -> Status {
    let reason = refusal.reason;
    let mut about = HashMap::from([
        ("stage".to_owned(), refusal.stage.as_str().to_owned()),
        ("stage_number".to_owned(), refusal.stage.number().to_string()),
        ("rfc_word".to_owned(), reason.rfc_word().to_owned()),
        ("fixer".to_owned(), reason.fixer().as_str().to_owned()),
        ("code".to_owned(), reason.code().to_owned()),
    ]);
    if let Some(detail) = &refusal.detail {
        about.insert("detail".to_owned(), detail.clone());
    }
    if let Some(by) = &refusal.by {
        about.insert("cause".to_owned(), by.cause.to_string());
        about.insert("initiator".to_owned(), by.initiator.as_str().to_owned());
        if words.tells_records {
            about.insert("revocation".to_owned(), by.record.to_string());
        }
    }
    let mut details = ErrorDetails::with_error_info(word, DOMAIN, about);
    if let Some(delay) = retry_after(refusal, words.now) {
        details.set_retry_info(Some(delay));
    }
    let page = format!("{}/{}", words.help_base, reason.code());
    details.add_help_link(reason.fix(), page);
    if reason.fixer() == Fixer::User {
        details.set_localized_message("en", format!("{}: {}", reason.what(), reason.fix()));
    }
    Status::with_error_details(code, refusal.to_string(), details)
}

/// Fields that are wrong, all of them at once.
pub(crate) fn violations(faults: Vec<FieldViolation>, words: Words<'_>) -> Status {
    let reason = Reason::FieldInvalid;
    let message = faults
        .iter()
        .map(|fault| format!("{}: {}", fault.field, fault.description))
        .collect::<Vec<_>>()
        .join("; ");
    let about = HashMap::from([
        ("stage".to_owned(), "request".to_owned()),
        ("stage_number".to_owned(), "1".to_owned()),
        ("code".to_owned(), reason.code().to_owned()),
    ]);
    let mut details = ErrorDetails::with_error_info(short(reason), DOMAIN, about);
    details.set_bad_request(faults);
    details.add_help_link(reason.fix(), format!("{}/{}", words.help_base, reason.code()));
    Status::with_error_details(Code::InvalidArgument, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_core::refusal::Stage;

    fn words() -> Words<'static> {
        Words {
            help_base: "https://x.example/errors",
            now: Millis::ZERO,
            tells_records: false,
        }
    }

    #[test]
    fn what_is_unknown_is_dead_in_a_request_and_not_found_where_it_is_named() {
        for reason in Reason::ALL {
            let code = code_of(*reason, Of::Request);
            // The words of the table are those of gRPC.
            assert_eq!(
                format!("{code:?}").to_ascii_uppercase(),
                reason.grpc_code().as_str().replace('_', "")
            );
            let named = if is_unknown(*reason) { Code::NotFound } else { code };
            assert_eq!(code_of(*reason, Of::Named), named, "{reason:?}");
        }
    }

    #[test]
    fn a_code_alone_tells_dead_from_hiccup_from_nobody() {
        for reason in Reason::ALL {
            let code = code_of(*reason, Of::Request);
            let may_retry = reason.class() == Class::Retry && *reason != Reason::Conflict;
            assert_eq!(code == Code::Unavailable, may_retry, "{reason:?}");
            let of_caller_or_client = [
                Reason::CallerUnknown,
                Reason::ClientAuthenticationFailed,
                Reason::BindingMissing,
                Reason::BindingWrong,
            ];
            assert_eq!(
                code == Code::Unauthenticated,
                of_caller_or_client.contains(reason),
                "{reason:?}"
            );
            let is_dead = reason.class() == Class::Dead
                || [Reason::TokenExpired, Reason::TokenRevoked].contains(reason);
            assert_eq!(code == Code::FailedPrecondition, is_dead, "{reason:?}");
        }
    }

    #[test]
    fn every_status_names_reason_stage_page_and_when_to_repeat() {
        for reason in Reason::ALL {
            let stage = reason.stages().next().unwrap();
            let refusal = Refusal::new(stage, *reason).about("it");
            let status = status_of(&refusal, Of::Request, words());
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (short(*reason), "curfew")
            );
            assert_eq!(format!("CURFEW_{}", info.reason), info.metadata["code"]);
            assert_eq!(
                (&*info.metadata["stage"], &*info.metadata["stage_number"]),
                (stage.as_str(), &*stage.number().to_string())
            );
            assert_eq!(info.metadata["detail"], "it");
            let page = &details.help().unwrap().links[0].url;
            assert_eq!(*page, format!("https://x.example/errors/{}", reason.code()));
            let repeats = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
            assert_eq!(details.retry_info().is_some(), repeats, "{reason:?}");
            let is_for_users = reason.fixer() == Fixer::User;
            assert_eq!(details.localized_message().is_some(), is_for_users);
        }
    }

    #[test]
    fn the_record_behind_a_refusal_is_named_to_whoever_may_know_and_its_class_to_all() {
        let by = curfew_core::refusal::RevokedBy {
            record: curfew_core::ids::RecordId::from_bytes([1; 16]),
            cause: curfew_core::ids::Cause::new("sign_out").unwrap(),
            initiator: curfew_core::record::Initiator::User,
            decided_at: Millis::ZERO,
        };
        let refusal = Refusal::new(Stage::SilentRenewal, Reason::Revoked).by(by);
        for tells_records in [false, true] {
            let status = status_of(
                &refusal,
                Of::Request,
                Words {
                    tells_records,
                    ..words()
                },
            );
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!(
                (&*info.metadata["cause"], &*info.metadata["initiator"]),
                ("sign_out", "user")
            );
            assert_eq!(info.metadata.contains_key("revocation"), tells_records);
        }
    }

    #[test]
    fn an_instant_to_wait_for_is_told_as_a_delay() {
        let until = Refusal::new(Stage::Issuance, Reason::CutoffPending).until(Millis::from_unix_ms(2_500));
        assert_eq!(
            retry_after(&until, Millis::from_unix_ms(1_000)),
            Some(Duration::from_millis(1_500))
        );
        assert_eq!(
            retry_after(&until, Millis::from_unix_ms(9_000)),
            Some(Duration::from_millis(1))
        );
    }
}
