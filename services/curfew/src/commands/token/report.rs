//! What is told of a token: `aud` first, then issuer, permissions, time; then what it is, and why it is refused.
//!
//! **Invariant:** no signature and no token is in it.

use curfew_core::time::Millis;
use curfew_proto::token::v1 as pb;
use serde_json::{Value, json};

use super::ask::Said;
use super::read::Read;
use super::verdict::{Judge, Refused, Verdict, in_time};
use crate::commands::{print, time, word};

/// Everything that is known of one token.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) read: &'a Read,
    pub(super) sent_to: Option<&'a str>,
    pub(super) verdict: &'a Verdict,
    pub(super) said: Option<&'a Said>,
    pub(super) now: Millis,
}

impl Report<'_> {
    fn explained(&self) -> Option<&pb::TokenExplanation> {
        match self.said {
            Some(Said::Explained(told)) => Some(told),
            Some(Said::Introspected(_) | Said::Foreign(_) | Said::NotNamed(_) | Said::Nothing(_)) | None => {
                None
            }
        }
    }

    /// The node's full name where it told one, else the claim.
    fn named(&self, of_node: impl Fn(&pb::TokenExplanation) -> &String, claim: &str) -> String {
        let told = self.explained().map(of_node).filter(|name| !name.is_empty());
        told.cloned().unwrap_or_else(|| self.read.text(claim).to_owned())
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let read = self.read;
        let words = |name: &str, words: Vec<&str>| match words.as_slice() {
            [] => None,
            words => Some(format!("{name} {}", words.join(" "))),
        };
        let permissions = [words("scopes", read.scopes()), words("roles", read.roles())];
        let header = |name: &str| read.header.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut lines = vec![
            ("audience", read.audiences().join(" ")),
            ("issuer", read.text("iss").to_owned()),
            (
                "permissions",
                permissions.into_iter().flatten().collect::<Vec<_>>().join(", "),
            ),
            ("time", in_time(read, self.now)),
            ("kind", read.kind.told().to_owned()),
            ("subject", read.text("sub").to_owned()),
            ("client", read.text("client_id").to_owned()),
            ("session", self.named(|told| &told.session, "sid")),
            ("grant", self.named(|told| &told.grant, "gid")),
            ("jti", read.text("jti").to_owned()),
            (
                "key",
                format!("{} {}", header("kid"), header("alg")).trim().to_owned(),
            ),
            ("alive", self.alive()),
            ("sent to", self.sent_to.unwrap_or_default().to_owned()),
            ("note", self.verdict.note.clone()),
        ];
        if let Some(refused) = &self.verdict.refused {
            lines.extend(refusal_lines(refused, self.now));
        }
        if !self.verdict.further.is_empty() {
            lines.push(("besides", self.verdict.further.join(" ")));
        }
        print::fields(lines)
    }

    fn alive(&self) -> String {
        let judge = match self.verdict.judge {
            Judge::Node => "the node says so",
            Judge::Text => "by its form and time",
        };
        match self.verdict.is_alive {
            Some(true) => format!("yes ({judge})"),
            Some(false) => format!("no ({judge})"),
            None => "not known; its form and time are right".to_owned(),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let read = self.read;
        let at = |name: &str| read.instant(name).map(|at| time::iso(at.as_unix_ms()));
        json!({
            "kind": read.kind.word(),
            "audience": read.audiences(),
            "issuer": text(read.text("iss")),
            "permissions": {"scopes": read.scopes(), "roles": read.roles()},
            "time": {
                "issueTime": at("iat"),
                "notBeforeTime": at("nbf"),
                "expireTime": at("exp"),
            },
            "subject": text(read.text("sub")),
            "client": text(read.text("client_id")),
            "session": text(&self.named(|told| &told.session, "sid")),
            "grant": text(&self.named(|told| &told.grant, "gid")),
            "alive": self.verdict.is_alive,
            "judgedBy": match self.verdict.judge {
                Judge::Node => "node",
                Judge::Text => "text",
            },
            "authentic": self.explained().map(|told| told.authentic),
            "sentTo": self.sent_to,
            "refusal": self.verdict.refused.as_ref().map(refusal_json),
            "furtherReasons": self.verdict.further,
            "note": text(&self.verdict.note),
            "header": read.header,
            "claims": read.claims,
        })
    }
}

/// A text that is not there is null.
fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

fn refusal_lines(refused: &Refused, now: Millis) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("refused", refused.message.clone()),
        ("stage", format!("{} {}", refused.stage_number, refused.stage)),
        ("reason", format!("{} (CURFEW_{0})", refused.reason)),
        ("who fixes it", refused.fixer.clone()),
        ("fix", refused.fix.clone()),
        ("help", refused.help.clone()),
    ];
    if let Some(record) = &refused.covered_by {
        lines.push((
            "revoked by",
            format!(
                "{} {}: {} by {}",
                time::near(record.decide_time, now),
                record.revocation,
                record.cause,
                word(record.initiator().as_str_name(), "INITIATOR_")
            ),
        ));
    }
    lines
}

fn refusal_json(refused: &Refused) -> Value {
    json!({
        "stage": {"number": refused.stage_number, "word": refused.stage},
        "reason": refused.reason,
        "code": format!("CURFEW_{}", refused.reason),
        "message": refused.message,
        "fixer": refused.fixer,
        "fix": refused.fix,
        "help": text(&refused.help),
        "coveredBy": refused.covered_by.as_ref().map(|record| json!({
            "revocation": text(&record.revocation),
            "cause": record.cause,
            "initiator": record.initiator().as_str_name(),
            "decideTime": text(&time::at(record.decide_time)),
            "scope": text(&record.scope),
        })),
    })
}

/// What the node explained, for people.
pub(super) fn explanation(told: &pb::TokenExplanation) -> String {
    let now = time::now();
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut lines = vec![
        ("kind", word(told.kind().as_str_name(), "TOKEN_KIND_")),
        ("authentic", yes(told.authentic)),
        ("alive", yes(told.alive)),
        ("issuer", told.issuer.clone()),
        ("session", told.session.clone()),
        ("grant", told.grant.clone()),
        ("sent to", told.sent_to.clone()),
    ];
    if !told.alive {
        lines.extend(refusal_lines(&Refused::by_node(told), now));
    }
    lines.push(("besides", told.further_reasons.join(" ")));
    lines.push(("true at", time::at(told.explain_time)));
    print::fields(lines)
}
