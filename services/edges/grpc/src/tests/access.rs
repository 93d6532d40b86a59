//! Every method as nobody, in the wrong role, in the wrong tenant: one table, driven by the descriptor set.

use std::collections::BTreeSet;

use curfew_core::directory::Role;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::world::{ROOT, World, by, reason};
use crate::Serves;
use crate::access::{Also, By, Pace, Rule, TABLE, Where};

/// A request of any type, as bytes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Raw(Vec<u8>);

impl prost::Message for Raw {
    fn encode_raw(&self, buf: &mut impl prost::bytes::BufMut) {
        buf.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        buf: &mut impl prost::bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        prost::encoding::skip_field(wire_type, tag, buf, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(curfew_proto::FILE_DESCRIPTOR_SET).unwrap()
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    pool.services()
        .filter(|service| service.package_name().starts_with("curfew."))
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// The first status that a call gives; `Ok`: it was let in and answered.
async fn call(world: &World, path: &str, authorization: Option<&str>, body: Vec<u8>) -> Result<(), Status> {
    let mut grpc = Grpc::new(world.channel.clone());
    grpc.ready().await.unwrap();
    let request = match authorization {
        Some(authorization) => by(authorization, Raw(body)),
        None => tonic::Request::new(Raw(body)),
    };
    let path: PathAndQuery = path.parse().unwrap();
    let codec: ProstCodec<Raw, Raw> = ProstCodec::default();
    let mut stream = grpc.server_streaming(request, path, codec).await?.into_inner();
    stream.message().await?;
    Ok(())
}

/// A request that names this tenant where the table says that the tenant is named.
fn naming(method: &MethodDescriptor, rule: &Rule, tenant: &str) -> Option<Vec<u8>> {
    let (field, is_list) = match rule.tenant {
        Where::Named(field) => (field, false),
        Where::Each(field) => (field, true),
        Where::Own | Where::All | Where::Nowhere => return None,
    };
    let name = Value::String(format!("tenants/{tenant}"));
    Some(
        set(
            method.input(),
            field,
            if is_list { Value::List(vec![name]) } else { name },
        )
        .encode_to_vec(),
    )
}

fn set(message: MessageDescriptor, path: &str, value: Value) -> DynamicMessage {
    let mut dynamic = DynamicMessage::new(message.clone());
    match path.split_once('.') {
        None => dynamic.set_field_by_name(path, value),
        Some((head, rest)) => {
            let field = message.get_field_by_name(head).unwrap();
            let Kind::Message(inner) = field.kind() else {
                panic!("{path}")
            };
            dynamic.set_field(&field, Value::Message(set(inner, rest, value)));
        }
    }
    dynamic
}

#[test]
fn every_method_has_one_line_and_every_line_a_method() {
    let pool = pool();
    let methods: BTreeSet<String> = methods(&pool).iter().map(path_of).collect();
    let lines: BTreeSet<String> = TABLE.iter().map(|rule| rule.path.to_owned()).collect();
    assert_eq!(lines, methods);
    assert_eq!(TABLE.len(), methods.len(), "a line stands twice");
    for rule in TABLE {
        let method = self::methods(&pool)
            .into_iter()
            .find(|method| path_of(method) == rule.path)
            .unwrap();
        let comment = rule.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>();
        // The field that names the tenant is there; `naming` panics otherwise.
        let _ = naming(&method, rule, "acme");
        assert!(
            rule.tenant == Where::Nowhere || !comment.is_empty(),
            "{}: a tenant's method needs a role",
            rule.path
        );
    }
}

#[tokio::test]
async fn every_method_as_nobody_is_unauthenticated() {
    let world = World::with(|settings| settings.guess_rate = crate::Rate::NONE).await;
    let basic = "Basic YWRtaW46d3Jvbmc=";
    let root = format!("Curfew-Root {}", "00".repeat(16));
    let credentials = [
        None,
        Some("Bearer "),
        Some("Bearer not.a.token"),
        Some("Digest x"),
        Some("bearer"),
        Some(basic),
        Some(&*root),
    ];
    for rule in TABLE {
        for authorization in credentials {
            let refused = call(&world, rule.path, authorization, Vec::new())
                .await
                .unwrap_err();
            let told = (refused.code(), reason(&refused));
            assert_eq!(
                told,
                (Code::Unauthenticated, "CALLER_UNKNOWN".to_owned()),
                "{} {authorization:?}",
                rule.path
            );
        }
    }
}

#[tokio::test]
async fn an_id_and_secret_or_the_root_key_open_what_the_table_says_and_nothing_else() {
    let world = World::new().await;
    let root = format!("Curfew-Root {}", "ab".repeat(16));
    for rule in TABLE.iter().filter(|rule| rule.also != Also::RootKey) {
        let refused = call(&world, rule.path, Some(&root), Vec::new())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{}", rule.path);
    }
    let made = curfew_proto::admin::v1::CreateCallerRequest {
        caller_id: "reader".to_owned(),
        caller: Some(curfew_proto::admin::v1::Caller {
            roles: vec!["sessions.read".to_owned()],
            tenants: vec!["*".to_owned()],
            ..Default::default()
        }),
        request_id: world.id(),
        ..Default::default()
    };
    let secret = world
        .callers()
        .create_caller(by(&world.admin, made))
        .await
        .unwrap()
        .into_inner()
        .secret_value;
    use base64::Engine as _;
    let basic = |id: &str| {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        format!("Basic {pair}")
    };
    for rule in TABLE.iter().filter(|rule| rule.also != Also::Secret) {
        let refused = call(&world, rule.path, Some(&basic("reader")), Vec::new())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{}", rule.path);
    }
    // Another caller's token, or a client's in another tenant, is not to be had with it.
    for client in ["tenants/curfew/clients/admin", "tenants/acme/clients/web"] {
        let request = curfew_proto::token::v1::IssueAppTokenRequest {
            client: client.to_owned(),
            resource: "tenants/curfew/resources/curfew".to_owned(),
            request_id: world.id(),
            ..Default::default()
        };
        let refused = world
            .tokens()
            .issue_app_token(by(&basic("reader"), request))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{client}");
    }
    // There is an admin already.
    let request = curfew_proto::admin::v1::CreateCallerRequest {
        caller_id: "admin".to_owned(),
        request_id: world.id(),
        ..Default::default()
    };
    let refused = world
        .callers()
        .create_caller(by(&root, request))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn every_method_in_the_wrong_role_is_denied() {
    let world = World::new().await;
    let mut callers = Vec::new();
    for role in Role::ALL {
        let id = format!("only-{}", role.as_str());
        callers.push((role, world.caller(&id, &[role.as_str()], &["*"]).await));
    }
    for rule in TABLE {
        for (role, token) in &callers {
            let told = call(&world, rule.path, Some(token), Vec::new()).await;
            let is_permitted = rule.roles.is_empty() || rule.roles.contains(role);
            let is_denied = told.as_ref().is_err_and(|status| {
                status.code() == Code::PermissionDenied && reason(status) == "CALLER_ROLE"
            });
            assert_eq!(is_denied, !is_permitted, "{} as {role:?}: {told:?}", rule.path);
            if is_permitted && !rule.is_offered {
                let status = told.unwrap_err();
                assert_eq!(
                    (status.code(), reason(&status).as_str()),
                    (Code::Unimplemented, "NOT_IMPLEMENTED")
                );
            }
        }
    }
}

#[tokio::test]
async fn a_node_without_the_methods_role_names_it_and_serves_the_rest() {
    for (authority, hub) in [(false, true), (true, false)] {
        let mut world = World::new().await;
        world
            .move_to(|settings| {
                settings.serves = Serves { authority, hub };
                settings.root_key_proof = Some(ROOT);
            })
            .await;
        for rule in TABLE
            .iter()
            .filter(|rule| rule.is_offered && rule.pace != Pace::Stream)
        {
            let told = call(&world, rule.path, Some(&world.admin), Vec::new()).await;
            let lacks = match rule.by {
                By::Authority => !authority,
                By::Hub => !hub,
                By::Either => false,
            };
            let is_sent_away = told.as_ref().is_err_and(|status| {
                status.code() == Code::Unimplemented && status.message().contains("this node has no role")
            });
            assert_eq!(is_sent_away, lacks, "{}: {told:?}", rule.path);
            // The operator's proof opens no door that the node does not have.
            if rule.also == Also::RootKey && lacks {
                let root = format!("Curfew-Root {}", "ab".repeat(16));
                let told = call(&world, rule.path, Some(&root), Vec::new()).await;
                assert_eq!(told.unwrap_err().code(), Code::Unimplemented, "{}", rule.path);
            }
        }
    }
}

#[tokio::test]
async fn every_method_in_the_wrong_tenant_is_denied_whether_the_tenant_is_there_or_not() {
    let world = World::new().await;
    let other = curfew_proto::admin::v1::CreateTenantRequest {
        tenant_id: "other".to_owned(),
        request_id: world.id(),
        ..Default::default()
    };
    world
        .tenants()
        .create_tenant(by(&world.admin, other))
        .await
        .unwrap();
    let all: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
    let of_acme = world.caller("of-acme", &all, &["tenants/acme"]).await;
    let pool = pool();
    let mut checked = 0;
    for method in methods(&pool) {
        let rule = Rule::of(&path_of(&method)).unwrap();
        if !rule.is_offered {
            continue;
        }
        let denied = |told: Result<(), Status>| {
            told.is_err_and(|status| {
                status.code() == Code::PermissionDenied && reason(&status) == "CALLER_TENANT"
            })
        };
        if rule.tenant == Where::All {
            let told = call(&world, rule.path, Some(&of_acme), Vec::new()).await;
            assert!(denied(told), "{}", rule.path);
            checked += 1;
        }
        let Some(_) = naming(&method, rule, "acme") else {
            continue;
        };
        for tenant in ["other", "nobody", "curfew"] {
            let body = naming(&method, rule, tenant).unwrap();
            let told = call(&world, rule.path, Some(&of_acme), body).await;
            assert!(denied(told.clone()), "{} in {tenant}: {told:?}", rule.path);
            checked += 1;
        }
        // Whoever may touch every tenant is told that one is not there.
        let admin = call(
            &world,
            rule.path,
            Some(&world.admin),
            naming(&method, rule, "nobody").unwrap(),
        )
        .await;
        let status = admin.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::NotFound, "TENANT_UNKNOWN"),
            "{}",
            rule.path
        );
    }
    assert!(checked > 90, "{checked}");
}

#[tokio::test]
async fn a_name_of_another_tenant_inside_a_request_is_a_fault() {
    let world = World::new().await;
    let session = world.open("alice").await;
    let mut request = world.issue_request(&session);
    request.client = "tenants/other/clients/web".to_owned();
    let refused = world
        .tokens()
        .issue_tokens(by(&world.backend, request))
        .await
        .unwrap_err();
    assert_eq!(super::world::faults(&refused), ["client"]);
}

#[tokio::test]
async fn a_path_without_a_line_is_refused_whoever_asks() {
    let world = World::new().await;
    for path in [
        "/curfew.session.v1.SessionService/Nonsense",
        "/curfew.later.v1.LaterService/Get",
        "/x/y",
    ] {
        let refused = call(&world, path, Some(&world.admin), Vec::new())
            .await
            .unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unimplemented, "NOT_IMPLEMENTED"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn curfews_own_tenant_is_nobodys_to_open_end_or_revoke_in() {
    let world = World::new().await;
    let refused = |status: tonic::Status| {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::PermissionDenied, "CALLER_TENANT".to_owned())
        );
    };
    let revocation = curfew_proto::revocation::v1::CreateRevocationRequest {
        parent: "tenants/curfew".to_owned(),
        scope: Some(
            curfew_proto::revocation::v1::create_revocation_request::Scope::Tenant(
                curfew_proto::revocation::v1::TenantScope {},
            ),
        ),
        request_id: world.id(),
        ..Default::default()
    };
    refused(
        world
            .revocations()
            .create_revocation(by(&world.admin, revocation))
            .await
            .unwrap_err(),
    );
    let session = curfew_proto::session::v1::CreateSessionRequest {
        parent: "tenants/curfew".to_owned(),
        session: Some(curfew_proto::session::v1::Session {
            subject: "tenants/curfew/subjects/admin".to_owned(),
            ..Default::default()
        }),
        request_id: world.id(),
        ..Default::default()
    };
    refused(
        world
            .sessions()
            .create_session(by(&world.admin, session))
            .await
            .unwrap_err(),
    );
    let client = curfew_proto::admin::v1::CreateClientRequest {
        parent: "tenants/curfew".to_owned(),
        client_id: "ops-bot".to_owned(),
        request_id: world.id(),
        ..Default::default()
    };
    refused(
        world
            .clients()
            .create_client(by(&world.admin, client))
            .await
            .unwrap_err(),
    );
    // And every method that may name it only reads, or hears reports.
    for rule in TABLE.iter().filter(|rule| rule.in_own_tenant) {
        let method = rule.path.rsplit('/').next().unwrap();
        let reads = ["Get", "List", "Wait", "Watch", "Introspect", "Explain", "Report"];
        assert!(reads.iter().any(|verb| method.starts_with(verb)), "{method}");
    }
}
