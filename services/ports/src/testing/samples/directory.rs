//! Sample records of the directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use curfew_core::directory::{
    Activity, AtCap, Caller, Client, ClientAuthMethod, ForeignIssuer, KeyRecord, KeyState, KeyUse, Late,
    Lease, Lifetimes, OnReuse, Resource, Role, RouteBound, SecretHash, StaleRule, Tenant, TenantScope,
    WideMark, Window,
};
use curfew_core::ids::{CallerId, ClientId, IssuerId, KeyId, ResourceId, Scope, TenantName};
use curfew_core::stored::{Key, Record};
use curfew_core::time::Millis;

use super::{instant, record_id, sample_revocation, tenant_id, text, texts};

pub(super) fn records() -> Vec<(Key, Record)> {
    let lifetimes = Lifetimes {
        keep_ms: 86_400_000,
        mint_ms: 3_600_000,
        mint_from: instant(40),
    };
    let mut records = vec![(Key::Lifetimes, Record::Lifetimes(lifetimes))];
    records.extend([full_tenant(), bare_tenant()].map(|t| (Key::Tenant(t.id), Record::Tenant(Arc::new(t)))));
    records.extend(clients().map(|c| (Key::Client(c.tenant, c.id.clone()), Record::Client(Arc::new(c)))));
    records.extend(resources().map(|r| {
        (
            Key::Resource(r.tenant, r.id.clone()),
            Record::Resource(Arc::new(r)),
        )
    }));
    records.extend(issuers().map(|i| (Key::Issuer(i.tenant, i.id), Record::Issuer(Arc::new(i)))));
    records.extend(callers().map(|c| (Key::Caller(c.id.clone()), Record::Caller(Arc::new(c)))));
    records.extend(
        keys()
            .into_iter()
            .map(|k| (Key::RingKey(k.kid.clone()), Record::RingKey(Arc::new(k)))),
    );
    records.extend(leases().map(|lease| {
        let key = Key::Lease(lease.name.clone(), lease.replica.clone());
        (key, Record::Lease(Arc::new(lease)))
    }));
    records.extend((41..44).map(|n| {
        let record = sample_revocation(n);
        let mark = WideMark {
            record,
            lives_until: instant(41),
            last_copy_at: instant(42),
        };
        (Key::WideMark(mark.record.id), Record::WideMark(Arc::new(mark)))
    }));
    records
}

fn full_tenant() -> Tenant {
    Tenant {
        id: tenant_id(1),
        name: TenantName::new("acme").unwrap(),
        display_name: text("Acme, Inc."),
        issuer_spellings: texts(&["https://id.example/acme", "https://old.example/acme"]),
        is_system: true,
        disables: vec![record_id(40)],
        at_cap: AtCap::Refuse,
        on_reuse: OnReuse::EndSession,
        idle_timeout_ms: 1,
        session_life_max_ms: 2,
        sign_in_frequency_ms: Some(3),
    }
}

fn bare_tenant() -> Tenant {
    Tenant {
        id: tenant_id(2),
        name: TenantName::new("b").unwrap(),
        display_name: text(""),
        issuer_spellings: Vec::new(),
        is_system: false,
        disables: Vec::new(),
        at_cap: AtCap::EndLongestUnused,
        on_reuse: OnReuse::EndGrant,
        idle_timeout_ms: 0,
        session_life_max_ms: 0,
        sign_in_frequency_ms: None,
    }
}

fn secrets() -> Vec<SecretHash> {
    let secret = |id, expires_at| SecretHash {
        id: text(id),
        sha256: [0x5a; 32],
        created_at: instant(43),
        expires_at,
    };
    vec![secret("one", Some(instant(44))), secret("two", None)]
}

fn clients() -> impl Iterator<Item = Client> {
    let full = Client {
        tenant: tenant_id(1),
        id: ClientId::new("web").unwrap(),
        display_name: text("Web shop"),
        auth_method: ClientAuthMethod::PrivateKeyJwt,
        secrets: secrets(),
        jwks: Some(text(r#"{"keys":[]}"#)),
        certificates: texts(&["bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"]),
        disables: vec![record_id(45)],
        window: Some(Window::Time(30_000)),
        late: Late::Reuse,
        fixed: true,
        cp1: true,
        default_activity: Activity::Background,
        grant_life_ms: Some(4),
        scopes: vec![Scope::new("openid").unwrap()],
        resources: vec![ResourceId::new("orders").unwrap()],
        app_roles: BTreeMap::from([
            (ResourceId::new("mail").unwrap(), Vec::new()),
            (
                ResourceId::new("orders").unwrap(),
                vec![Scope::new("Orders.ReadAll").unwrap()],
            ),
        ]),
        redirect_uris: texts(&["https://shop.example/callback"]),
    };
    let bare = |id, auth_method, window| Client {
        tenant: tenant_id(2),
        id: ClientId::new(id).unwrap(),
        display_name: text(""),
        auth_method,
        secrets: Vec::new(),
        jwks: None,
        certificates: Vec::new(),
        disables: Vec::new(),
        window,
        late: Late::Supersede,
        fixed: false,
        cp1: false,
        default_activity: Activity::User,
        grant_life_ms: None,
        scopes: Vec::new(),
        resources: Vec::new(),
        app_roles: BTreeMap::new(),
        redirect_uris: Vec::new(),
    };
    [
        full,
        bare("public", ClientAuthMethod::None, None),
        bare("strict", ClientAuthMethod::Secret, Some(Window::Time(0))),
        bare("bound", ClientAuthMethod::Mtls, Some(Window::UntilPresented)),
    ]
    .into_iter()
}

fn resources() -> impl Iterator<Item = Resource> {
    let full = Resource {
        tenant: tenant_id(1),
        id: ResourceId::new("orders").unwrap(),
        audience: text("https://orders.example/"),
        scopes: vec![
            Scope::new("orders.read").unwrap(),
            Scope::new("orders.write").unwrap(),
        ],
        roles: vec![Scope::new("Orders.ReadAll").unwrap()],
        guarded: true,
        access_token_life_ms: Some(600_000),
        claims: BTreeMap::from([(text("dept"), text("department"))]),
    };
    let bare = Resource {
        tenant: tenant_id(2),
        id: ResourceId::new("r").unwrap(),
        audience: text("r"),
        scopes: Vec::new(),
        roles: Vec::new(),
        guarded: false,
        access_token_life_ms: None,
        claims: BTreeMap::new(),
    };
    [full, bare].into_iter()
}

fn issuers() -> impl Iterator<Item = ForeignIssuer> {
    let full = ForeignIssuer {
        tenant: tenant_id(1),
        id: IssuerId::from_random([0x0f; 16]),
        display_name: text("Entra"),
        spellings: texts(&["https://sts.example/t/", "https://login.example/t/v2.0"]),
        life_ms: 5,
        claims: texts(&["oid", "sid"]),
        clock_error_ms: 6,
        audiences: texts(&["api://orders"]),
        jwks_uri: Some(text("https://login.example/keys")),
        jwks: Some(text(r#"{"keys":[]}"#)),
    };
    let bare = ForeignIssuer {
        tenant: tenant_id(2),
        id: IssuerId::from_random([0x1f; 16]),
        display_name: text(""),
        spellings: Vec::new(),
        life_ms: 0,
        claims: Vec::new(),
        clock_error_ms: 0,
        audiences: Vec::new(),
        jwks_uri: None,
        jwks: None,
    };
    [full, bare].into_iter()
}

fn callers() -> impl Iterator<Item = Caller> {
    let caller = |id, secrets, certificate_names, roles, tenants, disables| Caller {
        id: CallerId::new(id).unwrap(),
        display_name: text(id),
        secrets,
        certificate_names,
        roles,
        tenants,
        disables,
    };
    let only = TenantScope::Only(vec![tenant_id(1), tenant_id(2)]);
    let names = texts(&["spiffe://example/orders"]);
    [
        caller(
            "orders",
            secrets(),
            names,
            Role::ALL.to_vec(),
            only,
            vec![record_id(46)],
        ),
        caller(
            "root",
            Vec::new(),
            Vec::new(),
            Vec::new(),
            TenantScope::All,
            Vec::new(),
        ),
        caller(
            "nobody",
            Vec::new(),
            Vec::new(),
            Vec::new(),
            TenantScope::Only(Vec::new()),
            Vec::new(),
        ),
    ]
    .into_iter()
}

/// Each use in one state, and the other way round.
fn keys() -> Vec<KeyRecord> {
    let key = |kid, key_use, state| KeyRecord {
        kid: KeyId::new(kid).unwrap(),
        key_use,
        algorithm: text("HS256"),
        state,
        created_at: instant(47),
        published_at: Millis::ZERO,
        durable_at: None,
        activated_at: None,
        retired_at: None,
        sealed: Arc::from([0, 1, 0xff].as_slice()),
        public_jwk: None,
        mac_key_id: None,
    };
    let full = KeyRecord {
        algorithm: text("ES256"),
        published_at: instant(48),
        durable_at: Some(instant(49)),
        activated_at: Some(instant(50)),
        retired_at: Some(instant(51)),
        public_jwk: Some(text(r#"{"kty":"EC"}"#)),
        mac_key_id: Some(0),
        ..key("sign-1", KeyUse::Sign, KeyState::VerifyOnly)
    };
    vec![
        full,
        KeyRecord {
            mac_key_id: Some(255),
            ..key("mac-1", KeyUse::Mac, KeyState::Active)
        },
        key("page-1", KeyUse::Page, KeyState::Standby),
        key("subject-1", KeyUse::Subject, KeyState::Revoked),
    ]
}

fn leases() -> impl Iterator<Item = Lease> {
    let full = Lease {
        name: text("orders"),
        replica: text("orders-0"),
        caller: text("guards"),
        version: text("0.7.0"),
        source: text("log"),
        audiences: texts(&["https://orders.example/"]),
        min_reader: 1,
        routes: StaleRule::ALL
            .into_iter()
            .map(|rule| RouteBound {
                route: text(rule.as_str()),
                rule,
                bound_ms: (rule != StaleRule::Allow).then_some(15_000),
                report_only: rule == StaleRule::Deny,
            })
            .collect(),
        bound_ms: Some(15_000),
        positions: vec![0, 1, u64::MAX],
        log_id: [0xa7; 16],
        registered: instant(51),
        seen: instant(52),
        counts_until: instant(53),
    };
    let bare = Lease {
        name: text("o"),
        replica: text("rders-0"),
        caller: text(""),
        version: text(""),
        source: text(""),
        audiences: Vec::new(),
        min_reader: 0,
        routes: Vec::new(),
        bound_ms: None,
        positions: Vec::new(),
        log_id: [0; 16],
        registered: Millis::ZERO,
        seen: Millis::ZERO,
        counts_until: Millis::ZERO,
    };
    [full, bare].into_iter()
}
