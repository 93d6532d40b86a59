//! A token of another provider: issued there, revoked here.

use curfew_jose::{Algorithm, SigningKey};
use curfew_proto::revocation::v1 as revocation;
use serde_json::json;

use crate::cli::Failure;
use crate::client::request_id;
use crate::demo::story::Story;
use crate::demo::world::{ORDERS, TENANT, World};

/// The other provider: its issuer and its one key.
#[derive(Debug)]
pub(crate) struct Provider {
    key: SigningKey,
}

impl Provider {
    pub(crate) fn new() -> Result<Self, Failure> {
        let pkcs8 = SigningKey::generate_pkcs8(Algorithm::Es256)?;
        Ok(Self {
            key: SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8, "provider-1")?,
        })
    }

    /// Its `iss`.
    pub(crate) const fn issuer(&self) -> &'static str {
        "https://login.before.example/"
    }

    /// Its published keys.
    pub(crate) fn key_set(&self) -> Vec<u8> {
        curfew_jose::serialize_key_set(&[self.key.public_jwk().clone()])
    }

    /// An access token for the orders API, good for an hour less a minute.
    pub(crate) fn token(&self, subject: &str, now_s: i64) -> Result<String, Failure> {
        let claims = json!({
            "iss": self.issuer(), "sub": subject, "aud": ORDERS, "scp": "orders.read",
            "iat": now_s, "exp": now_s + 3_540,
        });
        Ok(self.key.sign_compact("at+jwt", claims.to_string().as_bytes())?)
    }
}

/// A live token that Curfew never issued is revoked by `sub`.
pub(crate) async fn tell(story: &mut Story, world: &mut World) -> Result<(), Failure> {
    let issuer = world.provider_name.clone();
    story.begin("dave calls the API with a token of another provider", 7);
    let now_s = world.node.authority.now().wall.seconds_floor();
    let token = world.provider.token("dave", now_s - 5)?;
    let (status, body) = world.call_orders(&token).await?;
    story.check("foreign_token", status == 200, &format!("{status} {body}"));

    story.begin("dave's tokens of that provider are revoked here, by `sub`", 2);
    let request = revocation::CreateRevocationRequest {
        parent: TENANT.to_owned(),
        issuer,
        scope: Some(revocation::create_revocation_request::Scope::Criteria(
            revocation::Criteria {
                all_of: vec![curfew_proto::log::v1::ClaimMatch {
                    claim: "sub".to_owned(),
                    value: "dave".to_owned(),
                }],
                ..Default::default()
            },
        )),
        cause: "account_disabled_upstream".to_owned(),
        initiator: curfew_proto::log::v1::Initiator::Admin.into(),
        request_id: request_id(),
        ..Default::default()
    };
    world.revocations.create_revocation(request).await?;
    world.until_refused(&token).await?;
    let (status, body) = world.call_orders(&token).await?;
    let (other, _) = world
        .call_orders(&world.provider.token("erin", now_s - 5)?)
        .await?;
    let told = format!("dave: {status} CURFEW_TOKEN_REVOKED; erin, of the same provider: {other}");
    story.check(
        "foreign_revoked",
        body.contains("TOKEN_REVOKED") && other == 200,
        &told,
    );
    Ok(())
}
