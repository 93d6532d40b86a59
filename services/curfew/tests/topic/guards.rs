//! A guard on the hub's stream and one on the topic itself see the same.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_clock::SystemClock;
use curfew_core::ids::TenantId;
use curfew_core::refusal::Reason;
use curfew_guard::{
    BOUND_KAFKA_MS, Config, FixedToken, Guard, HubSource, JwksSource, OwnIssuer, Requirements, Running,
    Source, Stale,
};
use curfew_guard_kafka::{KafkaSource, options};
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::revocation::v1::{ClientScope, SubjectScope, TokenScope};
use curfew_proto::token::v1::IssueTokensRequest;
use serde_json::Value;

use crate::process::{TENANT, request_id};
use crate::{World, until};

/// The eight log partitions of a topic that a node makes.
const PARTITIONS: usize = 8;

/// What a guard must be told, whoever feeds it.
struct Issuer {
    tenant: TenantId,
    spelling: String,
}

struct Guarded {
    guard: Guard,
    _running: Running,
}

impl Guarded {
    fn start(world: &World, issuer: &Issuer, source: Box<dyn Source>) -> Self {
        let mut config = Config::new(["https://orders.acme.example"]);
        assert_eq!(config.bound_ms, BOUND_KAFKA_MS);
        // What is stale is refused, so that whatever is admitted is admitted because it is known to be alive.
        config.stale = Stale::Deny;
        let keys = JwksSource::Url(format!("{}/.well-known/jwks.json", world.node.http));
        config
            .own
            .push(OwnIssuer::new(issuer.tenant, issuer.spelling.as_str(), keys));
        let guard = Guard::new(config, Arc::new(SystemClock)).unwrap();
        let running = guard.start([source]);
        Self {
            guard,
            _running: running,
        }
    }

    /// The hub's.
    fn of_hub(world: &World, issuer: &Issuer) -> Self {
        let address = format!("http://{}", world.node.grpc);
        let source = HubSource::connect(&address, "orders", "hub").unwrap();
        let bearer = Arc::new(FixedToken(world.backend.token.clone()));
        Self::start(world, issuer, source.bearer(bearer).boxed())
    }

    /// The topic's.
    fn of_kafka(world: &World, issuer: &Issuer) -> Self {
        let source = KafkaSource::new(options(&world.kafka.bootstrap())).unwrap();
        Self::start(world, issuer, source.boxed())
    }

    /// Why each token is refused; `None`: it is admitted.
    fn judge(&self, tokens: &[Token]) -> Vec<Option<Reason>> {
        let refused = |token: &Token| {
            let checked = self.guard.check(token.text.as_str(), &Requirements::any());
            checked.err().map(|refused| refused.reason)
        };
        tokens.iter().map(refused).collect()
    }
}

/// Waits until it judges the tokens so.
async fn judges(guarded: &Guarded, tokens: &[Token], expected: &[Option<Reason>]) {
    let mut judged = guarded.judge(tokens);
    // As long as `until`.
    for _ in 0..12_000 {
        if judged == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        judged = guarded.judge(tokens);
    }
    panic!("{judged:?}, expected {expected:?}");
}

struct Token {
    session: String,
    text: String,
}

impl Token {
    async fn of(world: &World, subject: &str, client: &str) -> Self {
        let session = world.backend.sign_in(subject).await.unwrap();
        let request = IssueTokensRequest {
            session: session.clone(),
            client: format!("{TENANT}/clients/{client}"),
            resource: format!("{TENANT}/resources/orders"),
            scopes: vec!["orders.read".into()],
            request_id: request_id(),
            ..Default::default()
        };
        let answer = world.backend.tokens.clone().issue_tokens(request).await;
        let text = answer.unwrap().into_inner().tokens.unwrap().access_token;
        Self { session, text }
    }

    fn claim(&self, name: &str) -> String {
        let payload = self.text.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        claims[name].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_on_kafka_and_one_on_the_hubs_stream_see_the_same() {
    let world = World::start().await;
    let mut tokens = Vec::new();
    for (subject, client) in [
        ("alice", "web"),
        ("bob", "web"),
        ("carol", "web"),
        ("dave", "cli"),
        ("erin", "web"),
    ] {
        tokens.push(Token::of(&world, subject, client).await);
    }
    let issuer = Issuer {
        tenant: tokens[0].claim("tid").parse().unwrap(),
        spelling: tokens[0].claim("iss"),
    };
    let (hub, kafka) = (
        Guarded::of_hub(&world, &issuer),
        Guarded::of_kafka(&world, &issuer),
    );
    let mut expected = vec![None; tokens.len()];
    for guarded in [&hub, &kafka] {
        until("it is ready", || guarded.guard.is_ready()).await;
        judges(guarded, &tokens, &expected).await;
    }

    let by_subject = Scope::Subject(SubjectScope {
        subject: format!("{TENANT}/subjects/bob"),
        ..Default::default()
    });
    let by_token = Scope::Token(TokenScope {
        jti: tokens[2].claim("jti"),
        ..Default::default()
    });
    let by_client = Scope::Client(ClientScope {
        client: format!("{TENANT}/clients/cli"),
    });
    world.backend.end(&tokens[0].session).await.unwrap();
    for (n, scope) in [None, Some(by_subject), Some(by_token), Some(by_client)]
        .into_iter()
        .enumerate()
    {
        if let Some(scope) = scope {
            world.revoke(scope).await;
        }
        expected[n] = Some(Reason::TokenRevoked);
        for guarded in [&hub, &kafka] {
            judges(guarded, &tokens, &expected).await;
        }
    }
    // Three narrow records, and a wide one in each log partition.
    let marks = 3 + PARTITIONS;
    for guarded in [&hub, &kafka] {
        until("it holds every mark", || guarded.guard.index_len() == marks).await;
        assert_eq!(guarded.guard.metrics().reloads(), 0);
    }

    // Who comes later has them from the hub's snapshot, which holds a wide record once, and from the topic itself.
    let (late_hub, late_kafka) = (
        Guarded::of_hub(&world, &issuer),
        Guarded::of_kafka(&world, &issuer),
    );
    for guarded in [&late_hub, &late_kafka] {
        until("it is ready", || guarded.guard.is_ready()).await;
        until("it judges as the others do", || {
            guarded.judge(&tokens) == expected
        })
        .await;
    }
    assert_eq!(late_kafka.guard.index_len(), marks);
    assert_eq!(late_hub.guard.index_len(), 4);
    // What is born now is alive for all of them.
    let newer = [Token::of(&world, "bob", "web").await];
    for guarded in [&hub, &kafka, &late_hub, &late_kafka] {
        assert_eq!(guarded.judge(&newer), [None]);
    }
}
