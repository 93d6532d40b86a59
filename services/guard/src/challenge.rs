//! How a refusal is said to a client: `WWW-Authenticate` in both dialects.
//!
//! RFC 6750 section 3 (with `error_uri`) and RFC 9470 section 3 for everybody; Microsoft Entra's claims challenge, in
//! the same field and before it, for clients whose token says `xms_cc: cp1` (they promised to handle it).
//!
//! **Invariant:** no part of a token comes back, and nothing leaves a quoted string early.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curfew_core::refusal::{AtResource, Reason};

use crate::refused::Refused;

impl Refused {
    /// The `WWW-Authenticate` field's value; `None` where the answer is no challenge (503).
    #[must_use]
    pub fn www_authenticate(&self) -> Option<String> {
        if self.answer() == AtResource::Unavailable {
            return None;
        }
        // RFC 6750 section 3.1: a call without any authentication gets no error code.
        if self.reason == Reason::TokenMissing {
            return Some("Bearer".to_owned());
        }
        let more = self.more();
        let mut standard = Challenge::default();
        standard.put("error", self.rfc_word());
        standard.put(
            "error_description",
            &format!("{}: {}", self.reason.code(), self.reason.what()),
        );
        if let Some(uri) = self.error_uri() {
            standard.put("error_uri", &uri);
        }
        if let Some(step_up) = &more.step_up {
            if !step_up.acr_values.is_empty() {
                standard.put("acr_values", &step_up.acr_values.join(" "));
            }
            if let Some(max_age_s) = step_up.max_age_s {
                standard.put("max_age", &max_age_s.to_string());
            }
        }
        if self.answer() == AtResource::Denied && !more.scopes.is_empty() {
            standard.put("scope", &more.scopes.join(" "));
        }
        Some(match self.claims_challenge() {
            Some(claims) => format!("{}, {}", claims.text(), standard.text()),
            None => standard.text(),
        })
    }

    /// Entra's dialect: "bring a token that was not issued before T".
    fn claims_challenge(&self) -> Option<Challenge> {
        let more = self.more();
        if self.answer() != AtResource::Unauthenticated || !more.cp1 {
            return None;
        }
        // Receivers that know only seconds are told the cut-off rounded up (DESIGN section 4).
        let seconds = more.not_issued_before?.seconds_ceil();
        let claims = format!(r#"{{"access_token":{{"nbf":{{"essential":true,"value":"{seconds}"}}}}}}"#);
        let mut challenge = Challenge::default();
        challenge.put("realm", "");
        if let Some(uri) = &more.authorization_uri {
            challenge.put("authorization_uri", uri);
        }
        challenge.put("error", "insufficient_claims");
        challenge.put("claims", &STANDARD.encode(claims));
        Some(challenge)
    }

    /// The body of an HTTP answer.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let description = match &self.detail {
            Some(detail) => format!("{} ({detail})", self.reason.what()),
            None => self.reason.what().to_owned(),
        };
        let mut body = serde_json::json!({
            "error": self.rfc_word(),
            "code": self.reason.code(),
            "stage": self.stage.as_str(),
            "description": description,
            "help": self.reason.fix(),
        });
        if let (Some(uri), Some(members)) = (self.error_uri(), body.as_object_mut()) {
            members.insert("error_uri".to_owned(), uri.into());
        }
        body
    }
}

/// One challenge: a scheme and its parameters.
#[derive(Default)]
struct Challenge {
    parameters: String,
}

impl Challenge {
    fn put(&mut self, name: &str, value: &str) {
        self.parameters
            .push_str(if self.parameters.is_empty() { " " } else { ", " });
        self.parameters.push_str(name);
        self.parameters.push_str("=\"");
        for character in value.chars() {
            match character {
                // RFC 9110 section 5.6.4.
                '"' | '\\' => self.parameters.extend(['\\', character]),
                ' '..='~' => self.parameters.push(character),
                // A header field is ASCII; what is not has no business in these values.
                _ => self.parameters.push('?'),
            }
        }
        self.parameters.push('"');
    }

    fn text(&self) -> String {
        format!("Bearer{}", self.parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refused::{More, StepUp};
    use curfew_core::refusal::{Refusal, Stage};
    use curfew_core::time::Millis;

    fn refused(reason: Reason, more: More) -> Refused {
        let stage = if reason == Reason::SignInFrequency {
            Stage::AdditionalControls
        } else {
            Stage::ResourceCall
        };
        Refused::new(Refusal::new(stage, reason), more)
    }

    #[track_caller]
    fn check(reason: Reason, more: More, expected: &str) {
        assert_eq!(
            refused(reason, more).www_authenticate().as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn everybody_gets_the_standard_challenge_with_the_catalogue_code() {
        check(
            Reason::TokenRevoked,
            More {
                not_issued_before: Some(Millis::from_unix_ms(1_000)),
                ..More::default()
            },
            r#"Bearer error="invalid_token", error_description="CURFEW_TOKEN_REVOKED: the token was revoked""#,
        );
        check(Reason::TokenMissing, More::default(), "Bearer");
    }

    #[test]
    fn a_challenge_and_a_body_link_to_the_entry_of_the_catalogue() {
        let refused = refused(Reason::TokenRevoked, More::default());
        let refused = refused.explained_at(Some("https://id.example/errors".into()));
        let page = "https://id.example/errors/CURFEW_TOKEN_REVOKED";
        let challenge = refused.www_authenticate().unwrap();
        assert!(
            challenge.ends_with(&format!(r#", error_uri="{page}""#)),
            "{challenge}"
        );
        assert_eq!(refused.to_json()["error_uri"], page);
        assert_eq!(
            challenge.matches("error_uri").count(),
            1,
            "RFC 6750 section 3: once"
        );
    }

    #[test]
    fn clients_that_said_cp1_get_the_claims_challenge_as_well_in_the_same_field() {
        let more = More {
            cp1: true,
            // A cut-off inside a second is told as the next one.
            not_issued_before: Some(Millis::from_unix_ms(1_604_106_650_001)),
            authorization_uri: Some("https://login.example/acme/authorize".into()),
            ..More::default()
        };
        check(
            Reason::TokenRevoked,
            more,
            "Bearer realm=\"\", authorization_uri=\"https://login.example/acme/authorize\", \
             error=\"insufficient_claims\", \
             claims=\"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ==\", \
             Bearer error=\"invalid_token\", \
             error_description=\"CURFEW_TOKEN_REVOKED: the token was revoked\"",
        );
    }

    #[test]
    fn the_claims_are_entras_own_with_padding() {
        let claims = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;
        assert_eq!(
            STANDARD.encode(claims),
            "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ=="
        );
    }

    #[test]
    fn an_expired_token_of_a_cp1_client_is_no_claims_challenge() {
        check(
            Reason::TokenExpired,
            More {
                cp1: true,
                ..More::default()
            },
            r#"Bearer error="invalid_token", error_description="CURFEW_TOKEN_EXPIRED: the token has expired""#,
        );
    }

    #[test]
    fn missing_scopes_and_missing_proof_are_named() {
        check(
            Reason::ScopeInsufficient,
            More {
                scopes: vec!["read".into(), "write".into()],
                ..More::default()
            },
            "Bearer error=\"insufficient_scope\", error_description=\"CURFEW_SCOPE_INSUFFICIENT: the token lacks \
             a scope or role that this call needs\", scope=\"read write\"",
        );
        let step_up = StepUp {
            acr_values: vec!["mfa".into(), "phr".into()],
            max_age_s: Some(300),
        };
        let text = refused(
            Reason::SignInFrequency,
            More {
                step_up: Some(step_up),
                ..More::default()
            },
        )
        .www_authenticate()
        .unwrap();
        assert!(
            text.starts_with(r#"Bearer error="insufficient_user_authentication""#),
            "{text}"
        );
        assert!(text.ends_with(r#"acr_values="mfa phr", max_age="300""#), "{text}");
    }

    #[test]
    fn staleness_is_no_challenge() {
        assert_eq!(
            refused(Reason::FreshnessStale, More::default()).www_authenticate(),
            None
        );
    }

    #[test]
    fn nothing_leaves_a_quoted_string_early() {
        let more = More {
            scopes: vec!["a\"b\\c\r\nd\u{e9}".into()],
            ..More::default()
        };
        let text = refused(Reason::ScopeInsufficient, more)
            .www_authenticate()
            .unwrap();
        assert!(text.ends_with(r#"scope="a\"b\\c??d?""#), "{text}");
        assert!(http::HeaderValue::from_str(&text).is_ok());
    }
}
