//! Messages as JSON: the canonical mapping of protocol buffers, so that names are those of the `.proto` files.

use std::sync::OnceLock;

use curfew_proto::{FILE_DESCRIPTOR_SET, admin, revocation, session, token};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::cli::Failure;

/// A message that can be told as JSON.
pub(crate) trait Told: prost::Message {
    /// Its full name.
    const NAME: &'static str;
}

macro_rules! told {
    ($($package:ident: $($message:ident),*;)*) => {
        $($(
            impl Told for $package::v1::$message {
                const NAME: &'static str =
                    concat!("curfew.", stringify!($package), ".v1.", stringify!($message));
            }
        )*)*

        /// Every name, for the test that looks them up.
        #[cfg(test)]
        const NAMES: &[&str] = &[$($(<$package::v1::$message as Told>::NAME),*),*];
    };
}

told! {
    admin: AdoptLogResponse, GetRecoveryStateResponse, GetServerInfoResponse, Key, ListKeysResponse, OpenPartitionsResponse, RevokeKeyResponse,
        RotateKeyResponse, SkipRecordResponse;
    revocation: CreateRevocationResponse;
    session: CreateSessionResponse, EndGrantResponse, EndOtherSessionsResponse, EndSessionResponse,
        ListDevicesResponse, ListGrantsResponse, ListSessionsResponse, Session;
    token: IssueTokensResponse, RefreshTokensResponse, RevokeTokenResponse, TokenExplanation;
}

fn pool() -> Option<&'static DescriptorPool> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok())
        .as_ref()
}

/// A message as JSON. Fields that are not set have their default, so that a program finds every name.
pub(crate) fn of<M: Told>(message: &M) -> Result<Value, Failure> {
    let descriptor = pool()
        .and_then(|pool| pool.get_message_by_name(M::NAME))
        .ok_or_else(|| format!("no descriptor of {}", M::NAME))?;
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message)?;
    let options = SerializeOptions::new().skip_default_fields(false);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_in_the_published_descriptors() {
        assert!(NAMES.len() > 8);
        for name in NAMES {
            assert!(pool().unwrap().get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn names_instants_and_words_are_those_of_the_canonical_mapping() {
        let told = of(&session::v1::Session {
            name: "tenants/a/sessions/b".to_owned(),
            state: session::v1::SessionState::Active.into(),
            create_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            ..Default::default()
        });
        let told = told.unwrap();
        assert_eq!(told["name"], "tenants/a/sessions/b");
        assert_eq!(told["state"], "SESSION_STATE_ACTIVE");
        assert_eq!(told["createTime"], "1970-01-01T00:00:01Z");
        assert_eq!(told["grantCount"], 0);
    }
}
