//! A caller's own app-only token, fetched by its id and secret and fetched again before it ends.
//!
//! **Invariant:** the secret goes to the token service alone, and into no message of this crate.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curfew_proto::token::v1::IssueAppTokenRequest;
use curfew_proto::token::v1::token_service_client::TokenServiceClient;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use super::BearerToken;
use crate::stale::NoAnswer;
use crate::wait::chance;

/// The part of a token's life after which it is fetched again: a hub that is away for a moment is no trouble.
const FRESH_PART: u32 = 2;
/// The life that is reckoned with where the answer names none.
const LIFE_DEFAULT: Duration = Duration::from_secs(60);
/// How long one fetch may take.
const FETCH_TIME_MAX: Duration = Duration::from_secs(5);

/// A token of this caller, kept fresh.
pub struct CallerToken {
    channel: Channel,
    id: String,
    secret: String,
    kept: Mutex<Option<(String, Instant)>>,
}

impl CallerToken {
    /// For a caller with the role `revocations.read`, over a channel to an authority.
    #[must_use]
    pub fn new(channel: Channel, id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            channel,
            id: id.into(),
            secret: secret.into(),
            kept: Mutex::new(None),
        }
    }

    async fn fetch(&self) -> Result<(String, Duration), NoAnswer> {
        let basic = STANDARD.encode(format!("{}:{}", self.id, self.secret));
        let mut value = AsciiMetadataValue::try_from(format!("Basic {basic}"))
            .map_err(|_| NoAnswer::new("the caller's id or secret is not printable"))?;
        value.set_sensitive(true);
        let mut request = Request::new(IssueAppTokenRequest {
            client: format!("tenants/curfew/clients/{}", self.id),
            resource: "tenants/curfew/resources/curfew".to_owned(),
            request_id: request_id(),
            ..Default::default()
        });
        request.metadata_mut().insert("authorization", value);
        let mut tokens = TokenServiceClient::new(self.channel.clone());
        let answer = tokio::time::timeout(FETCH_TIME_MAX, tokens.issue_app_token(request))
            .await
            .map_err(|_| NoAnswer::new("no token for the hub in time"))?
            .map_err(|status| NoAnswer::new(format!("no token for the hub: {}", status.message())))?;
        let tokens = answer.into_inner().tokens.unwrap_or_default();
        Ok((
            tokens.access_token.clone(),
            life_of(&tokens.access_token).unwrap_or(LIFE_DEFAULT),
        ))
    }
}

impl fmt::Debug for CallerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallerToken({}, ..)", self.id)
    }
}

#[async_trait]
impl BearerToken for CallerToken {
    async fn token(&self) -> Result<String, NoAnswer> {
        // One fetch at a time; the others wait and find it done.
        let mut kept = self.kept.lock().await;
        if let Some((token, until)) = &*kept
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let (token, life) = self.fetch().await?;
        *kept = Some((token.clone(), Instant::now() + life / FRESH_PART));
        Ok(token)
    }
}

/// `exp − iat` of our own token, which needs no clock.
fn life_of(token: &str) -> Option<Duration> {
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1)?)
        .ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let seconds = claims
        .get("exp")?
        .as_u64()?
        .checked_sub(claims.get("iat")?.as_u64()?)?;
    Some(Duration::from_secs(seconds))
}

/// A version 4 UUID: the request is safe to repeat, so chance is only there to tell two apart.
fn request_id() -> String {
    let (a, b) = (chance(), chance());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 48 & 0x3fff | 0x8000,
        b & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_version_4_uuid_and_the_secret_is_never_printed() {
        let id = request_id();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let token = CallerToken::new(channel.connect_lazy(), "guards", "cfs_very_secret");
        assert_eq!(format!("{token:?}"), "CallerToken(guards, ..)");
    }

    #[test]
    fn the_life_of_a_token_is_read_from_its_own_claims() {
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"iat":100,"exp":700}"#);
        assert_eq!(
            life_of(&format!("e30.{claims}.c2ln")),
            Some(Duration::from_secs(600))
        );
        assert_eq!(life_of("not a token"), None);
    }
}
