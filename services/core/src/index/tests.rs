use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::claims::JsonClaims;
use crate::ids::{GrantId, SessionId, birth_in};
use crate::place::Partition;
use crate::record::Before;

fn tenant(n: u8) -> TenantId {
    TenantId::from_bytes([n; 16])
}

fn sid(birth: i64, n: u8) -> SessionId {
    SessionId::new(Millis::from_unix_ms(birth), Partition::DIRECTORY, [n; 8])
}

fn gid(birth: i64, n: u8) -> GrantId {
    GrantId::new(Millis::from_unix_ms(birth), Partition::DIRECTORY, [n; 8])
}

fn record(n: u8, all_of: &[(&str, &str)], before: Option<(&str, i64)>, except: Vec<SessionId>) -> Revocation {
    let mut all_of: Vec<_> = all_of.iter().map(|(c, v)| Criterion::new(c, v)).collect();
    all_of.sort();
    Revocation {
        id: RecordId::from_bytes([n; 16]),
        operation: None,
        tenant: tenant(1),
        issuer: tenant(1).own_issuer(),
        all_of,
        before: before.map(|(claim, ms)| Before {
            claim: claim.into(),
            instant: Millis::from_unix_ms(ms),
        }),
        except,
        keep_until: Millis::from_unix_ms(1_000 + i64::from(n)),
        decided_at: Millis::ZERO,
        cause: Cause::new("test").unwrap(),
        initiator: Initiator::System,
        home: Partition::DIRECTORY,
        wide: false,
        sequence: 0,
        incarnation: None,
        subject_key: None,
        row: None,
        scope: "test".into(),
        correlation_id: None,
        trace: None,
    }
}

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

/// One record against one token, written from the table and without an index.
fn naive(record: &Revocation, token: &Map<String, Value>, of: TenantId) -> bool {
    let session = token
        .get("sid")
        .and_then(Value::as_str)
        .and_then(|s| s.parse().ok());
    if record.tenant != of || session.is_some_and(|sid| record.except.contains(&sid)) {
        return false;
    }
    let mut views = vec![token.clone()];
    for link in token.get("chain").and_then(Value::as_array).into_iter().flatten() {
        let mut view = token.clone();
        view.extend(object(link.clone()));
        views.push(view);
    }
    views.iter().any(|view| {
        let texts = |name: &str| match view.get(name) {
            None | Some(Value::Null) => vec![],
            Some(Value::Array(items)) => items.iter().map(text).collect(),
            Some(one) => vec![text(one)],
        };
        let has_all = record
            .all_of
            .iter()
            .all(|c| texts(&c.claim).contains(&c.value.to_string()));
        let older = record.before.as_ref().is_none_or(|before| {
            let name = if &*before.claim == "sid" && !view.contains_key("sid") {
                "gid"
            } else {
                &*before.claim
            };
            let instant = match view.get(name) {
                Some(Value::String(id)) => birth_in(id).map(Millis::as_unix_ms),
                #[expect(clippy::cast_possible_truncation, reason = "small test numbers")]
                Some(Value::Number(n)) => Some((n.as_f64().unwrap() * 1_000.0).floor() as i64),
                _ => None,
            };
            instant.is_none_or(|instant| instant < before.instant.as_unix_ms())
        });
        has_all && older
    })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn tokens() -> impl Strategy<Value = Map<String, Value>> {
    let claim = |values: Vec<Value>| proptest::option::weighted(0.8, proptest::sample::select(values));
    let ids = || (0_i64..10, 0_u8..2);
    (
        claim(vec![json!("u"), json!(1234)]),
        claim(vec![json!("x"), json!("y")]),
        claim(vec![json!("d"), json!("e"), Value::Null]),
        claim(vec![json!("p"), json!(["p", "q"]), json!([]), json!("q")]),
        proptest::option::weighted(0.8, 0_u8..4),
        ids(),
        proptest::option::weighted(
            0.9,
            prop_oneof![
                (0_i64..10).prop_map(Value::from),
                (0.0..9.0).prop_map(Value::from)
            ],
        ),
        proptest::collection::vec((proptest::sample::select(vec!["x", "y"]), ids()), 0..3),
    )
        .prop_map(|(sub, client, device, roles, session, (gb, gn), iat, chain)| {
            let mut token = Map::new();
            let mut put = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    token.insert(name.to_owned(), value);
                }
            };
            put("sub", sub);
            put("client_id", client);
            put("deviceid", device);
            put("roles", roles);
            put(
                "sid",
                session.map(|n| json!(sid(i64::from(n) * 3, n).to_string())),
            );
            put("gid", Some(json!(gid(gb, gn).to_string())));
            put("iat", iat);
            let links: Vec<_> = chain
                .iter()
                .map(|(client, (b, n))| json!({"client_id": client, "gid": gid(*b, *n).to_string()}))
                .collect();
            put("chain", (!links.is_empty()).then(|| json!(links)));
            token
        })
}

fn records() -> impl Strategy<Value = Vec<Revocation>> {
    let criteria = proptest::sample::subsequence(
        vec![
            ("sub", "u"),
            ("sub", "1234"),
            ("client_id", "x"),
            ("deviceid", "d"),
            ("roles", "p"),
            ("jose.kid", "1"),
        ],
        1..3,
    )
    .prop_filter("distinct claims", |c| c.len() < 2 || c[0].0 != c[1].0);
    let before = proptest::option::of((proptest::sample::select(vec!["sid", "gid", "iat"]), 0_i64..10));
    let one = (
        criteria,
        before,
        proptest::option::weighted(0.3, 0_u8..4),
        any::<u8>(),
        1_u8..3,
    );
    proptest::collection::vec(one, 1..7).prop_map(|all| {
        all.into_iter()
            .map(|(criteria, before, except, n, of)| {
                let before = before.map(|(c, b)| (c, if c == "iat" { b * 1_000 } else { b }));
                let except = match (&before, except) {
                    (Some(("sid", _)), Some(n)) => vec![sid(i64::from(n) * 3, n)],
                    _ => vec![],
                };
                let mut record = record(n, &criteria, before, except);
                record.tenant = tenant(of);
                record.issuer = tenant(of).own_issuer();
                record
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn invariant_7_the_index_denies_exactly_what_some_record_covers(
        records in records(), tokens in proptest::collection::vec(tokens(), 12), of in 1_u8..3, kid in 1_u8..3,
    ) {
        let mut index = Index::default();
        records.iter().for_each(|r| index.insert(r));
        for token in &tokens {
            let kid = kid.to_string();
            let mut with_kid = token.clone();
            with_kid.insert(crate::claims::JOSE_KID.into(), json!(kid));
            let truth = records.iter().any(|r| naive(r, &with_kid, tenant(of)));
            let claims = JsonClaims::own(token, Some(&kid)).unwrap();
            let found = index.covered(tenant(of), tenant(of).own_issuer(), &claims).unwrap();
            prop_assert_eq!(found.is_some(), truth, "{:?} {:?}", token, records);
        }
    }

    #[test]
    fn invariant_7_order_copies_layers_and_snapshots_cannot_matter(records in records(), cut in 0_usize..7, seed: u64) {
        let mut index = Index::default();
        records.iter().for_each(|r| index.insert(r));
        let mut shuffled: Vec<_> = records.iter().chain(records.iter().take(3)).collect();
        shuffled.sort_by_key(|r| crate::mac::sha256(format!("{seed}{:?}{:?}", r.id, r.all_of).as_bytes()));
        let mut other = LayeredIndex::default();
        shuffled.iter().take(cut).for_each(|r| other.insert(r));
        // A snapshot is the elements at some point; the tail may repeat what it holds.
        let mut base = Index::default();
        other.flat().entries().for_each(|e| base.insert_entry(e));
        let mut resumed = LayeredIndex::from_base(base);
        shuffled.iter().skip(cut.saturating_sub(2)).for_each(|r| resumed.insert(r));
        prop_assert_eq!(index, resumed.flat());
    }

    #[test]
    fn invariant_8_collection_drops_what_is_over_and_nothing_else(records in records(), now in 900_i64..1_300) {
        let mut index = Index::default();
        records.iter().for_each(|r| index.insert(r));
        let before: Vec<_> = index.entries().collect();
        index.collect(Millis::from_unix_ms(now));
        prop_assert!(index.entries().all(|e| e.keep_until.as_unix_ms() >= now));
        prop_assert_eq!(index.len(), before.iter().filter(|e| e.keep_until.as_unix_ms() >= now).count());
        prop_assert_eq!(index.len(), index.entries().count());
    }
}

#[test]
fn a_type_that_cannot_be_compared_is_refused_by_name_and_only_where_a_mark_names_it() {
    let mut index = Index::default();
    index.insert(&record(1, &[("deviceid", "d")], None, vec![]));
    let of = (tenant(1), tenant(1).own_issuer());
    for bad in [
        json!(true),
        json!({"a": 1}),
        json!(1.5),
        json!(["d", null]),
        json!([true]),
    ] {
        let token = object(json!({"deviceid": bad, "acr": true}));
        let refused = index.covered(of.0, of.1, &JsonClaims::own(&token, None).unwrap());
        // An element that matches does not excuse one that cannot be compared.
        assert_eq!(refused, Err(Malformed::claim("deviceid")));
    }
    let token = object(json!({"deviceid": null}));
    assert_eq!(
        index.covered(of.0, of.1, &JsonClaims::own(&token, None).unwrap()),
        Ok(None)
    );
}

#[test]
fn an_instant_that_is_no_number_is_malformed_and_an_absent_one_is_older() {
    let mut index = Index::default();
    index.insert(&record(1, &[("sub", "u")], Some(("iat", 5_000)), vec![]));
    let covered = |token: Value| {
        let token = object(token);
        let claims = JsonClaims::own(&token, None).unwrap();
        index
            .covered(tenant(1), tenant(1).own_issuer(), &claims)
            .map(|w| w.is_some())
    };
    assert_eq!(
        covered(json!({"sub": "u", "iat": "4"})),
        Err(Malformed::claim("iat"))
    );
    assert_eq!(covered(json!({"sub": "u"})), Ok(true));
    assert_eq!(covered(json!({"sub": "u", "iat": null})), Ok(true));
    assert_eq!(covered(json!({"sub": "u", "iat": 4.9995})), Ok(true));
    assert_eq!(covered(json!({"sub": "u", "iat": 5})), Ok(false));
    assert_eq!(covered(json!({"sub": "u", "iat": 1e300})), Ok(false));
    assert_eq!(covered(json!({"sub": "u", "iat": -1e300})), Ok(true));
}

#[test]
fn q26_look_ups_are_bounded_and_beyond_the_token_is_refused_by_name() {
    let mut index = Index::default();
    index.insert(&record(1, &[("groups", "g"), ("roles", "p")], None, vec![]));
    let many: Vec<_> = (0..20).map(|n| format!("r{n}")).collect();
    let token = object(json!({"roles": many, "groups": many}));
    let refused = index.covered(
        tenant(1),
        tenant(1).own_issuer(),
        &JsonClaims::own(&token, None).unwrap(),
    );
    assert_eq!(refused, Err(Malformed::TooManyLookUps { max: LOOK_UPS_MAX }));
}

#[test]
fn q10_invariant_14_a_record_of_one_tenant_or_issuer_covers_no_other() {
    let revocation = record(1, &[("sub", "u")], None, vec![]);
    let token = object(json!({"sub": "u"}));
    let claims = JsonClaims::own(&token, None).unwrap();
    assert_eq!(
        revocation.covers(tenant(1), tenant(1).own_issuer(), &claims),
        Ok(true)
    );
    assert_eq!(
        revocation.covers(tenant(2), tenant(1).own_issuer(), &claims),
        Ok(false)
    );
    assert_eq!(
        revocation.covers(tenant(1), tenant(2).own_issuer(), &claims),
        Ok(false)
    );
}

#[test]
fn p12_a_mark_on_a_link_covers_the_token_that_rests_on_it() {
    let token = object(json!({"client_id": "c", "gid": gid(9, 1).to_string(), "chain": [
        {"client_id": "front", "gid": gid(3, 2).to_string()}]}));
    let claims = JsonClaims::own(&token, None).unwrap();
    let covers = |r: &Revocation| r.covers(tenant(1), tenant(1).own_issuer(), &claims).unwrap();
    assert!(covers(&record(
        1,
        &[("client_id", "front")],
        Some(("gid", 5)),
        vec![]
    )));
    assert!(!covers(&record(
        1,
        &[("client_id", "c")],
        Some(("gid", 5)),
        vec![]
    )));
    assert!(covers(&record(
        1,
        &[("gid", &gid(3, 2).to_string())],
        None,
        vec![]
    )));
    for bad in [
        json!("x"),
        json!([1]),
        json!([{"client_id": "a"}]),
        json!(vec![json!({"client_id": "a", "gid": "b"}); 9]),
    ] {
        let token = object(json!({"chain": bad}));
        assert_eq!(JsonClaims::own(&token, None).unwrap_err(), Malformed::Chain);
        // A foreign token's `chain` is its own business.
        assert!(JsonClaims::foreign(&token, None).links().is_empty());
    }
}

#[test]
fn what_a_mark_takes_is_about_what_is_told() {
    // A UUID's text is the usual key.
    let key = 36 + 2 * size_of::<usize>();
    let slot = (size_of::<(Box<str>, Marks)>() + 1) * 8 / 7 + key;
    let with_cut = slot + size_of::<Cut>();
    assert!(
        (slot..=2 * with_cut).contains(&MARK_BYTES),
        "a plain mark takes {slot} B, one with a cut-off {with_cut} B, {MARK_BYTES} is told"
    );
}
