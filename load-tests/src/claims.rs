//! What an access token says of itself, read to set up guards that will verify it.
//!
//! **Invariant:** nothing is trusted by these words: the guards verify every token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::failure::Failure;

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) tid: String,
}

impl Claims {
    pub(crate) fn read(token: &str) -> Result<Self, Failure> {
        let payload = token.split('.').nth(1).ok_or("an access token has no claims")?;
        let payload = URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| "an access token's claims are not base64url")?;
        serde_json::from_slice(&payload)
            .map_err(|error| format!("an access token's claims cannot be read: {error}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_and_what_is_no_token_is_named_without_it() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"iss":"i","aud":"a","tid":"t","sub":"s"}"#);
        let claims = Claims::read(&format!("e30.{payload}.c2ln")).unwrap();
        assert_eq!(
            (claims.iss.as_str(), claims.aud.as_str(), claims.tid.as_str()),
            ("i", "a", "t")
        );
        for bad in ["secret", "a.sec!ret.c", "a.c2VjcmV0.c"] {
            let said = Claims::read(bad).unwrap_err().to_string();
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
