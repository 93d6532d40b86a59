//! The bearer token of SASL `OAUTHBEARER`, read from the file that somebody else keeps fresh.
//!
//! **Invariant:** the token is passed on and never judged here: brokers verify it. It is in no error.

use std::error::Error;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

/// The longest token that is read: a file of the wrong kind is not read whole.
const TOKEN_LEN_MAX: u64 = 64 << 10;

/// Who the token names and until when: all that the client library wants to know.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
}

pub(crate) fn read(path: &Path) -> Result<OAuthToken, Box<dyn Error>> {
    let len = std::fs::metadata(path)?.len();
    if len > TOKEN_LEN_MAX {
        return Err(format!("{} is longer than a token", path.display()).into());
    }
    let text = std::fs::read_to_string(path)?;
    parse(text.trim()).ok_or_else(|| format!("{} holds no JWT with `sub` and `exp`", path.display()).into())
}

fn parse(token: &str) -> Option<OAuthToken> {
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    // Seconds of a date that a token can have: far below what loses precision.
    let lifetime_ms = format!("{:.0}", claims.exp * 1_000.0).parse().ok()?;
    Some(OAuthToken {
        token: token.to_owned(),
        principal_name: claims.sub,
        lifetime_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("e30.{}.", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn a_token_tells_its_subject_and_its_end() {
        let read = parse(&token(r#"{"sub":"curfew","exp":1700000000.5,"iat":1}"#)).unwrap();
        assert_eq!(
            (read.principal_name.as_str(), read.lifetime_ms),
            ("curfew", 1_700_000_000_500)
        );
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        for wrong in ["", "secret", "a.b.c", &token("[]"), &token(r#"{"sub":"curfew"}"#)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("token");
            std::fs::write(&path, wrong).unwrap();
            let told = read(&path).err().unwrap().to_string();
            assert!(
                told.contains("holds no JWT") && !told.contains("secret"),
                "{told}"
            );
        }
    }
}
