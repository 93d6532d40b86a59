//! The ring: rotation, emergency revocation, overlap, and what a broken or planted key can do.

use std::sync::Arc;

use curfew_core::directory::{KeyRecord, KeyState, KeyUse};
use curfew_core::ids::KeyId;
use curfew_core::place::Partition;
use curfew_core::refusal::{Class, Reason};
use curfew_core::stored::{Key, Record};

use crate::asks::tenant_named;
use crate::world::{RIVAL, World};

fn keys(world: &World, key_use: KeyUse, state: KeyState) -> Vec<Arc<KeyRecord>> {
    let loaded = world.authority.directory().loaded();
    let keys = loaded.view.keys.values();
    keys.filter(|key| key.key_use == key_use && key.state == state)
        .cloned()
        .collect()
}

fn the_only(world: &World, key_use: KeyUse, state: KeyState) -> Arc<KeyRecord> {
    let found = keys(world, key_use, state);
    assert_eq!(found.len(), 1, "{key_use:?} {state:?}");
    found[0].clone()
}

async fn change_key(world: &World, key: &KeyRecord, change: impl FnOnce(&mut KeyRecord)) {
    let mut key = key.clone();
    change(&mut key);
    world
        .write_directory(vec![(
            Key::RingKey(key.kid.clone()),
            Record::RingKey(Arc::new(key)),
        )])
        .await;
}

fn published(world: &World) -> Vec<KeyId> {
    let loaded = world.authority.directory().loaded();
    let document: serde_json::Value = serde_json::from_slice(&loaded.ring.key_set_json()).unwrap();
    let keys = document["keys"].as_array().unwrap().iter();
    keys.map(|key| KeyId::new(key["kid"].as_str().unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn p18_revoking_the_signing_key_activates_the_standby_in_the_same_commit_and_twice() {
    let world = World::new().await;
    for _ in 0..2 {
        let tokens = world.sign_in("alice", "web").await;
        let (active, standby) = (
            the_only(&world, KeyUse::Sign, KeyState::Active).kid.clone(),
            the_only(&world, KeyUse::Sign, KeyState::Standby).kid.clone(),
        );
        let before = world.store.counts();
        world
            .authority
            .revoke_key(&active, &world.motive())
            .await
            .unwrap();
        assert_eq!(world.store.counts().committed - before.committed, 1);
        assert_eq!(the_only(&world, KeyUse::Sign, KeyState::Active).kid, standby);
        assert_ne!(
            the_only(&world, KeyUse::Sign, KeyState::Standby).kid,
            standby,
            "a new one is published"
        );
        assert!(!published(&world).contains(&active));
        world.hear().await;
        // What it signed is dead; what it signed for is not.
        let why = world.why_inactive(&tokens.access_token).await.unwrap();
        assert_eq!(why.reason, Reason::KeyUnknown);
        let refreshed = world.refresh("web", &tokens.refresh_token).await.unwrap();
        assert!(world.why_inactive(&refreshed.access_token).await.is_none());
    }
}

#[tokio::test]
async fn a_revocation_of_more_tenants_than_a_commit_holds_tells_them_all_and_is_finished_by_a_repetition() {
    let world = World::new().await;
    for n in 0..90_u8 {
        let id = curfew_core::ids::TenantId::from_bytes([n.wrapping_add(100); 16]);
        let tenant = Arc::new(tenant_named(id, &format!("tenant-{n}")));
        let (key, record) = (Key::Tenant(id), Record::Tenant(tenant));
        let write = curfew_core::stored::Write::put(record);
        world.write(Partition::DIRECTORY, vec![(key, write)]).await;
    }
    world.write_directory(Vec::new()).await;
    let tenants = world.authority.directory().loaded().view.tenants.len();
    let kid = the_only(&world, KeyUse::Sign, KeyState::Active).kid.clone();
    let motive = world.motive();
    // The answer of the first commit is lost: the ring has changed, and half of the tenants are not told.
    world.store.lose_answers(1);
    let refused = world.authority.revoke_key(&kid, &motive).await.unwrap_err();
    assert_eq!(refused.reason.class(), Class::Retry);
    assert!(!world.revocations().is_empty() && world.revocations().len() < tenants);
    world.authority.revoke_key(&kid, &motive).await.unwrap();
    assert_eq!(world.revocations().len(), tenants, "each exactly once");
    assert!(world.revocations().values().any(|mark| mark.tenant == RIVAL));
}

#[tokio::test]
async fn a_standby_signs_once_its_key_set_is_old_enough_and_no_verification_fails_over_a_rotation() {
    let world = World::new().await;
    let refused = world.authority.rotate(KeyUse::Sign).await.unwrap_err();
    assert_eq!(refused.reason, Reason::KeyUnavailable);
    world.clock.advance(10 * 60_000);
    let old = world.sign_in("alice", "web").await;
    let standby = the_only(&world, KeyUse::Sign, KeyState::Standby).kid.clone();
    world.authority.rotate(KeyUse::Sign).await.unwrap();
    assert_eq!(the_only(&world, KeyUse::Sign, KeyState::Active).kid, standby);
    world.hear().await;
    assert!(world.why_inactive(&old.access_token).await.is_none());
    let new = world.refresh("web", &old.refresh_token).await.unwrap();
    assert!(world.why_inactive(&new.access_token).await.is_none());
    assert_eq!(published(&world).len(), 3);
    // A retired key is published until its last token is over, and no longer.
    world.clock.advance(2 * 3_600_000);
    world.write_directory(Vec::new()).await;
    assert_eq!(published(&world).len(), 2);
}

#[tokio::test]
async fn what_is_due_is_rotated_once_though_two_nodes_look() {
    let world = World::new().await;
    let other = world.another_node("other", 9);
    world.clock.advance(world.authority.config().key_life_ms);
    assert!(other.rotate_due_keys().await.unwrap().len() >= 2);
    assert_eq!(world.authority.rotate_due_keys().await.unwrap(), Vec::new());
    assert_eq!(other.rotate_due_keys().await.unwrap(), Vec::new());
    for key_use in [KeyUse::Sign, KeyUse::Mac] {
        world.authority.poll_directory().await.unwrap();
        the_only(&world, key_use, KeyState::Active);
        the_only(&world, key_use, KeyState::Standby);
        the_only(&world, key_use, KeyState::VerifyOnly);
    }
}

#[tokio::test]
async fn p48_a_token_of_the_last_tagging_key_is_refreshed_and_its_successor_has_the_new_one() {
    let world = World::new().await;
    let old = world.sign_in("alice", "web").await;
    let refused = world.authority.rotate(KeyUse::Mac).await.unwrap_err();
    assert_eq!(
        refused.reason,
        Reason::KeyUnavailable,
        "other nodes may not know the standby yet"
    );
    world.clock.advance(10_000);
    let replay_before = world.refresh("web", &old.refresh_token).await.unwrap();
    world.authority.rotate(KeyUse::Mac).await.unwrap();
    let replay_after = world.refresh("web", &old.refresh_token).await.unwrap();
    // The same successor: generation and salt are equal, the bytes are tagged by another key.
    let of = |token: &curfew_authority::RefreshedTokens| token.refreshed.refresh.generation;
    assert_eq!(of(&replay_before), of(&replay_after));
    assert!(
        replay_before
            .refreshed
            .refresh
            .salt
            .matches(&replay_after.refreshed.refresh.salt)
    );
    assert_ne!(replay_before.refresh_token, replay_after.refresh_token);
    let next = world.refresh("web", &replay_before.refresh_token).await.unwrap();
    assert_eq!(next.refreshed.outcome.as_str(), "rotated");
    world.refresh("web", &next.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_public_half_that_is_not_the_keys_own_is_not_published_and_not_believed() {
    let world = World::new().await;
    let active = the_only(&world, KeyUse::Sign, KeyState::Active);
    let standby = the_only(&world, KeyUse::Sign, KeyState::Standby);
    let thief = World::new().await;
    let planted = the_only(&thief, KeyUse::Sign, KeyState::Active);
    // In the place of the standby's own half, and as a whole new key that no root key has sealed.
    change_key(&world, &standby, |key| {
        key.public_jwk = planted.public_jwk.clone()
    })
    .await;
    change_key(&world, &planted, |key| key.state = KeyState::VerifyOnly).await;
    assert_eq!(published(&world), vec![active.kid.clone()]);
    // Under another name than its own, nothing of ours opens either.
    let renamed = KeyId::new("another-name").unwrap();
    change_key(&world, &active, |key| {
        key.kid = renamed.clone();
        key.state = KeyState::Standby;
    })
    .await;
    assert_eq!(published(&world), vec![active.kid.clone()]);
    world.sign_in("alice", "web").await;
}

#[tokio::test]
async fn a_key_that_cannot_be_opened_takes_only_its_own_work_with_it() {
    let world = World::new().await;
    let tokens = world.sign_in("alice", "web").await;
    world.clock.advance(10 * 60_000);
    world.authority.rotate(KeyUse::Mac).await.unwrap();
    world.hear().await;
    let broken = |key: &mut KeyRecord| key.sealed = Arc::from([1, 2, 3].as_slice());
    // A tagging key that only verifies: its tokens may be good, so nobody is told that they are dead.
    let retired = the_only(&world, KeyUse::Mac, KeyState::VerifyOnly);
    change_key(&world, &retired, broken).await;
    let refused = world.refresh("web", &tokens.refresh_token).await.unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::KeyUnavailable, Class::Retry)
    );
    let other = world.sign_in("bob", "web").await;
    let other = world.refresh("web", &other.refresh_token).await.unwrap();
    // The signing key: nothing is minted, everything else goes on, and an operator can put it right.
    let active = the_only(&world, KeyUse::Sign, KeyState::Active);
    change_key(&world, &active, broken).await;
    let refused = world.refresh("web", &other.refresh_token).await.unwrap_err();
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::KeyUnavailable, Class::Retry)
    );
    let session = curfew_authority::Target::Session(tokens.issued.refresh.sid);
    assert_eq!(world.revoke(session).await.unwrap().published.len(), 1);
    world
        .authority
        .revoke_key(&active.kid, &world.motive())
        .await
        .unwrap();
    // No generation was spent while nothing could be signed.
    let second = world.refresh("web", &other.refresh_token).await.unwrap();
    assert_eq!(second.refreshed.outcome.as_str(), "rotated");
    world.hear().await;
    assert!(world.why_inactive(&second.access_token).await.is_none());
}

#[tokio::test]
async fn two_who_change_the_ring_at_once_never_undo_one_another() {
    let world = World::new().await;
    world.clock.advance(10 * 60_000);
    let active = the_only(&world, KeyUse::Sign, KeyState::Active).kid.clone();
    // A rotation has decided to keep the active key for verification, and stands before its commit.
    let held = world.store.delay_next();
    let authority = world.authority.clone();
    let rotating = tokio::spawn(async move { authority.rotate(KeyUse::Sign).await });
    held.arrived().await;
    let other = world.another_node("other", 10);
    other.revoke_key(&active, &world.motive()).await.unwrap();
    held.release();
    assert_eq!(rotating.await.unwrap().unwrap_err().reason, Reason::Conflict);
    world.authority.poll_directory().await.unwrap();
    assert_eq!(the_only(&world, KeyUse::Sign, KeyState::Revoked).kid, active);
    the_only(&world, KeyUse::Sign, KeyState::Active);
}
