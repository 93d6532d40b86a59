//! The key ring.

use curfew_proto::admin::v1 as pb;
use tonic::Code;

use super::{Pair, Way, sessions, tokens};
use crate::process::request_id;
use crate::servers::{told, until};

async fn listed(pair: &Pair, wanted: pb::KeyUse) -> Vec<pb::Key> {
    let listed = pair.pages(async |way, page_token| {
        let request = pb::ListKeysRequest {
            page_size: 1,
            page_token,
            r#use: wanted.into(),
        };
        let page = way.keys().list_keys(request).await?.into_inner();
        Ok((page.keys, page.next_page_token))
    });
    listed.await
}

async fn state(way: &Way, name: &str) -> pb::KeyState {
    let request = pb::GetKeyRequest {
        name: name.to_owned(),
    };
    let found = way.keys().get_key(request).await.unwrap().into_inner();
    found.key.unwrap().state()
}

/// A tagging key rotated here tags there; a signing key revoked here signs nothing there.
pub(super) async fn keys_changed_here_are_used_there(pair: &Pair) {
    let session = sessions::open(&pair.here, "erin").await;
    let old = tokens::issue(&pair.there, &session).await.unwrap();
    // A key that was published a moment ago may be unknown somewhere: until it is old enough, rotation is refused.
    let rotated = until("the standby is old enough", async || {
        let request = pb::RotateKeyRequest {
            r#use: pb::KeyUse::Mac.into(),
            request_id: request_id(),
            ..Default::default()
        };
        match pair.here.keys().rotate_key(request).await {
            Ok(rotated) => Some(rotated.into_inner()),
            Err(status) => {
                assert_eq!(
                    told(&status),
                    (Code::Unavailable, "KEY_UNAVAILABLE".to_owned(), true)
                );
                None
            }
        }
    });
    let rotated = rotated.await;
    let active = rotated.active.unwrap().name;
    // At once, though the other node has not looked yet: the key was published before it tagged.
    let new = tokens::issue(&pair.here, &session).await.unwrap();
    let new = tokens::refresh(&pair.there, &new.refresh_token).await.unwrap();
    until("the other node has looked", async || {
        (state(&pair.there, &active).await == pb::KeyState::Active).then_some(())
    })
    .await;
    tokens::refresh(&pair.here, &new.refresh_token).await.unwrap();
    tokens::refresh(&pair.there, &old.refresh_token).await.unwrap();
    assert_eq!(listed(pair, pb::KeyUse::Mac).await.len(), 3);

    let signing = listed(pair, pb::KeyUse::Sign).await;
    let signing = signing
        .iter()
        .find(|key| key.state() == pb::KeyState::Active)
        .unwrap();
    let request = pb::RevokeKeyRequest {
        name: signing.name.clone(),
        request_id: request_id(),
        ..Default::default()
    };
    let revoked = pair.here.keys().revoke_key(request).await.unwrap().into_inner();
    assert_eq!(revoked.key.unwrap().state(), pb::KeyState::Revoked);
    // Every token that it signed is dead, the caller's own too.
    until("the other node refuses what the key signed", async || {
        let request = pb::GetKeyRequest {
            name: signing.name.clone(),
        };
        let refused = pair.there.keys().get_key(request).await.err()?;
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
        Some(())
    })
    .await;
    pair.sign_in().await;
    assert_eq!(state(&pair.there, &signing.name).await, pb::KeyState::Revoked);
    let signed = tokens::issue(&pair.there, &session).await.unwrap();
    tokens::refresh(&pair.here, &signed.refresh_token).await.unwrap();
}
