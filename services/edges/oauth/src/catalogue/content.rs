//! What the catalogue says: the decision tree, then an entry for each reason.
//!
//! The symptom names the stage, the stage names who can mend it.
//!
//! **Invariant:** what is said of a reason is read from the table beside the enum, never written here.

use curfew_core::refusal::{Class, Fixer, GrpcCode, Reason, Stage};

use super::page::{Block, Item, Page, Word, Words, text};

/// The whole catalogue.
pub(super) fn whole() -> Page {
    let mut blocks = vec![
        Block::Paragraph(text("Read the result, find the stage, fix the one thing.")),
        Block::Heading("1. Read the result"),
        Block::Paragraph(text(
            "The code alone says whether a repetition makes sense and whether anybody has to sign in again.",
        )),
        Block::Table(vec!["gRPC", "at an API", "OAuth", "so"], results()),
        Block::Heading("2. Find the stage"),
        Block::Paragraph(text(
            "Every refusal names its stage: `stage` among the metadata of `google.rpc.ErrorInfo`, `stage` in a JSON \
             body, and what `InspectToken` answers about a token that an API refused (name the API in `sent_to`). \
             The symptom tells it as well.",
        )),
        Block::List(Stage::ALL.into_iter().map(stage).collect()),
        Block::Heading("3. Fix the one thing"),
        Block::Paragraph(text(
            "Each code has an entry, and every error answer links to its own: a `google.rpc.Help` link, `error_uri` in a \
             challenge (RFC 6750 section 3) and in a JSON body.",
        )),
    ];
    for reason in Reason::ALL {
        blocks.extend(entry(*reason));
    }
    Page {
        title: "Why was it refused?",
        blocks,
    }
}

/// One entry by itself.
pub(super) fn single(reason: Reason) -> Page {
    let mut blocks = entry(reason);
    blocks.push(Block::Paragraph(vec![Word::ToAll(
        "How to read a refusal, and all reasons",
    )]));
    Page {
        title: "Why was it refused?",
        blocks,
    }
}

/// What each result means, the ones that people confuse first.
fn results() -> Vec<Vec<Words>> {
    let row = |grpc: &[GrpcCode], at_api: &str, oauth: &str, so: &str| {
        let codes: Vec<_> = grpc.iter().map(|code| format!("`{}`", code.as_str())).collect();
        vec![text(&codes.join(", ")), text(at_api), text(oauth), text(so)]
    };
    vec![
        row(
            &[GrpcCode::Unavailable],
            "503",
            "`temporarily_unavailable`",
            "A hiccup: repeat with the same arguments after the told delay. Sign nobody out.",
        ),
        row(
            &[GrpcCode::ResourceExhausted],
            "503",
            "`temporarily_unavailable`, `invalid_request`",
            "A limit: wait for the told delay; nothing is dead.",
        ),
        row(
            &[GrpcCode::Aborted],
            "",
            "`temporarily_unavailable`",
            "Others were faster: repeat at once with the same arguments.",
        ),
        row(
            &[GrpcCode::FailedPrecondition],
            "401",
            "`invalid_grant`, `invalid_token`",
            "Over: a repetition is useless. Get a new token; sign in again if that is refused.",
        ),
        row(
            &[GrpcCode::Unauthenticated],
            "401",
            "`invalid_client`, `invalid_token`",
            "Nobody: the caller, the client or the token did not prove itself.",
        ),
        row(
            &[GrpcCode::PermissionDenied],
            "403",
            "`insufficient_scope`, `unauthorized_client`",
            "Known, and not permitted: a right is missing.",
        ),
        row(
            &[
                GrpcCode::InvalidArgument,
                GrpcCode::NotFound,
                GrpcCode::AlreadyExists,
                GrpcCode::Unimplemented,
            ],
            "401",
            "`invalid_request`, `invalid_scope`, `invalid_target`",
            "The request itself: the code says what to change.",
        ),
    ]
}

/// A stage: its symptom, then who mends what.
fn stage(stage: Stage) -> Item {
    let symptom = match stage {
        Stage::Request => "a call of Curfew's own services was refused for what it is or for who made it",
        Stage::PrimaryAuthentication => "`CreateSession` was refused: nobody was signed in",
        Stage::ConditionalAccess => "a policy said no; this release has none",
        Stage::AdditionalControls => {
            "more was asked of the user than was proven: an API's step-up, or the step-up itself was refused"
        }
        Stage::Code => "an authorization code was not redeemed; this release has none",
        Stage::Issuance => "signed in, but `IssueTokens` or `IssueAppToken` was refused",
        Stage::ResourceCall => {
            "an API answered 401, 403 or 503: first ask whether it was an access token for this API, then whether it was revoked"
        }
        Stage::SilentRenewal => "`RefreshTokens` was refused: it worked until now, without the user",
    };
    let mut words = vec![Word::Strong(format!(
        "Stage {}, {}",
        stage.number(),
        stage.as_str().replace('_', " ")
    ))];
    words.extend(text(&format!(": {symptom}.")));
    let below = Fixer::ALL.into_iter().filter_map(|fixer| mended_by(stage, fixer));
    Item {
        words,
        below: below.collect(),
    }
}

/// The reasons of a stage that one of them mends.
fn mended_by(stage: Stage, fixer: Fixer) -> Option<Words> {
    let mut reasons = Reason::ALL
        .iter()
        .filter(|reason| reason.occurs_at(stage) && reason.fixer() == fixer)
        .peekable();
    reasons.peek()?;
    let mut words = text(&format!("the {} mends: ", fixer.as_str()));
    for (i, reason) in reasons.enumerate() {
        if i > 0 {
            words.push(Word::Text(", ".to_owned()));
        }
        words.push(Word::ToEntry(reason.code()));
    }
    Some(words)
}

fn entry(reason: Reason) -> Vec<Block> {
    let stages: Vec<_> = reason
        .stages()
        .map(|stage| format!("{} {}", stage.number(), stage.as_str().replace('_', " ")))
        .collect();
    let again = match reason.class() {
        Class::Retry => "yes, with the same arguments, after the told delay",
        Class::Limit => "yes, after the told delay",
        Class::Dead => "no: it is over",
        Class::Invalid | Class::Unauthenticated | Class::Denied | Class::NotFound | Class::Exists => {
            "not before something is changed"
        }
    };
    let mut facts = vec![
        ("what to do", text(reason.fix())),
        ("who", text(reason.fixer().as_str())),
        ("stage", text(&stages.join("; "))),
        ("retry", text(again)),
        ("gRPC", vec![Word::Code(reason.grpc_code().as_str().to_owned())]),
        ("OAuth", vec![Word::Code(reason.rfc_word().to_owned())]),
    ];
    if is_told_by_guards(reason) {
        let answer = reason.at_resource();
        facts.push((
            "at an API",
            vec![
                Word::Text(format!("{}, ", answer.http_status())),
                Word::Code(answer.grpc_code().as_str().to_owned()),
            ],
        ));
    }
    vec![
        Block::Entry(reason.code()),
        Block::Paragraph(text(&format!("{}.", first_upper(reason.what())))),
        Block::Facts(facts),
    ]
}

/// Whether a guard says so to its callers. What rows and stores say at stage 7 is told by the authority
/// that was asked about a token; a guard knows the token, the marks and its own freshness, and asks for a
/// step-up (RFC 9470).
fn is_told_by_guards(reason: Reason) -> bool {
    let of_token = match reason.class() {
        Class::Unauthenticated | Class::Denied => true,
        Class::Retry => matches!(reason, Reason::FreshnessStale | Reason::FreshnessFrozen),
        Class::Invalid | Class::Dead | Class::NotFound | Class::Exists | Class::Limit => false,
    };
    of_token && reason.occurs_at(Stage::ResourceCall) || reason == Reason::SignInFrequency
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}
