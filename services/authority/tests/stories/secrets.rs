//! What must not leave: no request, answer, part or refusal prints a token, a secret or a key.

use std::fmt::Debug;

use curfew_authority::{ClientProof, Credentials, PageScope, SessionFilter, Target, UpdateSessionRequest};
use curfew_core::ids::{CallerId, ClientId, SubjectId};

use crate::asks::{SECRET, proof_of};
use crate::world::World;

#[derive(Default)]
struct Printed(Vec<String>);

impl Printed {
    fn add(&mut self, value: &(impl Debug + ?Sized)) {
        self.0.push(format!("{value:?} {value:#?}"));
    }
}

#[tokio::test]
async fn nothing_public_prints_a_token_or_a_secret() {
    let world = World::new().await;
    let authority = &world.authority;
    let (id, admin_secret) = authority.create_first_admin().await.unwrap().unwrap();
    let mut printed = Printed::default();

    let opening = world.opening("alice");
    printed.add(&opening);
    let session = authority.create_session(opening).await.unwrap();
    printed.add(&session);
    let issuing = world.issuing(session.row.sid, "web");
    printed.add(&issuing);
    let tokens = authority.issue_tokens(issuing).await.unwrap();
    printed.add(&tokens);
    let app = world.app("web");
    printed.add(&app);
    let app = authority.issue_app_token(app).await.unwrap();
    printed.add(&app);
    let refreshing = world.refreshing("web", &tokens.refresh_token);
    printed.add(&refreshing);
    let refreshed = authority.refresh_tokens(refreshing).await.unwrap();
    printed.add(&refreshed);
    let id_token = refreshed.id_token.clone().unwrap();
    world.hear().await;

    let secrets = [
        tokens.refresh_token.clone(),
        tokens.access_token.clone(),
        tokens.id_token.clone().unwrap(),
        refreshed.refresh_token.clone(),
        refreshed.access_token.clone(),
        id_token,
        app.access_token.clone(),
        SECRET.to_owned(),
        admin_secret.clone(),
    ];
    let update = UpdateSessionRequest {
        tenant: world.tenant,
        sid: session.row.sid,
        change: curfew_core::decide::update::Request::default(),
    };
    printed.add(&update);
    let caller = CallerId::new("one").unwrap();
    let scope = PageScope {
        caller: &caller,
        method: "ListSessions",
        filter: b"",
    };
    let alice = SubjectId::new("alice").unwrap();
    let filter = SessionFilter::default();
    printed.add(
        &authority
            .list_sessions(world.tenant, &alice, &filter, &scope, 0, "")
            .await
            .unwrap(),
    );
    printed.add(
        &authority
            .get_session(world.tenant, session.row.sid)
            .await
            .unwrap(),
    );
    printed.add(&authority.get_subject(world.tenant, &alice).await.unwrap());
    for secret in &secrets {
        printed.add(&authority.explain(world.tenant, secret, None).await);
        printed.add(&authority.introspect(world.tenant, secret).await);
        printed.add(&Credentials::Bearer(secret.clone()));
        printed.add(&ClientProof::Secret(secret.clone()));
        // What is refused is told without repeating what was sent.
        printed.add(&authority.authenticate(&Credentials::Bearer(secret.clone())).await);
        printed.add(&world.refresh("web", &format!("{secret}x")).await.map(drop));
        printed.add(&world.refresh("spa", secret).await.map(drop));
        let (web, proof) = (ClientId::new("web").unwrap(), proof_of("web"));
        let motive = world.motive();
        printed.add(
            &authority
                .revoke_token(world.tenant, &web, &proof, None, secret, &motive)
                .await,
        );
    }
    let by_secret = Credentials::Secret {
        id,
        secret: admin_secret,
    };
    printed.add(&by_secret);
    printed.add(&authority.authenticate(&by_secret).await);
    let revoking = world.revoking(Target::Tenant);
    printed.add(&revoking);
    printed.add(&authority.create_revocation(revoking).await);
    printed.add(&authority.snapshot());
    printed.add(authority);
    printed.add(&world.parts);

    assert!(printed.0.len() > 80 && printed.0.iter().all(|text| text.len() > 2));
    for text in &printed.0 {
        for secret in &secrets {
            // The signature or the tagged body is what makes a token one; header and claims are shown to whoever asks why.
            let telling = secret.rsplit('.').next().unwrap();
            assert!(
                !text.contains(telling),
                "{telling} in {}",
                &text[..text.len().min(200)]
            );
        }
        for word in ["GrantSecret(", "MacKey(", "Salt("] {
            assert!(text.matches(word).count() == text.matches(&format!("{word}..")).count());
        }
    }
}
