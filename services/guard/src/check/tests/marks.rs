//! What the marks cover.

use curfew_core::ids::TenantId;
use curfew_core::mac::foreign_partition;
use curfew_core::place::Partition;
use curfew_core::record::{Criterion, LogRecord};
use curfew_core::refusal::Reason;
use serde_json::{Value, json};

use crate::testing::*;

#[test]
fn each_scope_ends_the_tokens_that_it_names_and_no_others() {
    for (claim, value) in [
        ("sub", "alice".to_owned()),
        ("oid", "alice".to_owned()),
        ("client_id", "web".to_owned()),
        ("sid", sid(1).to_string()),
        ("gid", gid(1).to_string()),
        ("jti", jti(1).to_string()),
        ("tid", tenant().to_string()),
        ("jose.kid", "k1".to_owned()),
        ("deviceid", "d1".to_owned()),
    ] {
        let bench = Bench::new();
        let token = bench.token_with("deviceid", json!("d1"));
        bench.admitted(&token);
        bench.revoke(revocation(claim, "somebody else"));
        bench.admitted(&token);
        bench.revoke(revocation(claim, &value));
        let refused = bench.refused(&token, Reason::TokenRevoked);
        assert_eq!(refused.by.as_ref().unwrap().cause.to_string(), "sign_out");
    }
}

#[test]
fn another_tenants_or_entrys_records_cover_nothing_here() {
    let bench = Bench::new();
    let mut other = revocation("sub", "alice");
    other.tenant = TenantId::from_bytes([0x33; 16]);
    bench.revoke(other);
    let mut other = revocation("sub", "alice");
    other.issuer = entry();
    bench.revoke(other);
    bench.admitted(&bench.token());
}

#[test]
fn a_cut_off_is_told_to_cp1_clients_rounded_up_and_to_others_not() {
    let bench = Bench::new();
    let cut_off = NOW.plus_ms(-599_500);
    bench.revoke(before(revocation("sub", "alice"), "sid", cut_off));
    let plain = bench
        .refused(&bench.token(), Reason::TokenRevoked)
        .www_authenticate()
        .unwrap();
    assert!(!plain.contains("insufficient_claims"), "{plain}");
    assert!(plain.contains(r#"error="invalid_token""#), "{plain}");
    let cp1 = bench.refused(&bench.token_with("xms_cc", json!(["CP1"])), Reason::TokenRevoked);
    let challenge = cp1.www_authenticate().unwrap();
    let (_, claims) = challenge.split_once("claims=\"").unwrap();
    let (claims, _) = claims.split_once('"').unwrap();
    let claims: Value = {
        use base64::Engine as _;
        serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(claims).unwrap()).unwrap()
    };
    let value = (NOW.seconds_floor() - 599).to_string();
    assert_eq!(
        claims,
        json!({"access_token": {"nbf": {"essential": true, "value": value}}})
    );
    assert!(challenge.contains(r#"error="invalid_token""#) && challenge.contains("insufficient_claims"));
    // Nothing of the token comes back.
    for secret in ["alice", "web", &sid(1).to_string(), "k1"] {
        assert!(
            !challenge.contains(secret) && !cp1.to_json().to_string().contains(secret),
            "{secret}"
        );
    }
}

#[test]
fn sign_out_everywhere_else_spares_the_session_that_asked() {
    let bench = Bench::new();
    let mut cut = before(revocation("sub", "alice"), "sid", NOW);
    cut.except = vec![sid(1)];
    bench.revoke(cut);
    bench.admitted(&bench.token());
    bench.refused(
        &bench.token_with("sid", json!(sid(2).to_string())),
        Reason::TokenRevoked,
    );
}

#[test]
fn a_claim_that_a_living_mark_names_and_that_cannot_be_compared_is_refused_by_name() {
    let bench = Bench::new();
    let uncomparable = [
        json!(true),
        json!({"id": 1}),
        json!(1.5),
        json!([["x"]]),
        json!([null]),
    ];
    for value in &uncomparable {
        // While nobody compares it, it does not matter.
        bench.admitted(&bench.token_with("deviceid", value.clone()));
    }
    bench.revoke(revocation("deviceid", "7"));
    for value in uncomparable {
        let refused = bench.refused(&bench.token_with("deviceid", value), Reason::ClaimMalformed);
        assert!(refused.detail.as_ref().unwrap().contains("deviceid"));
    }
    // Lacking and null are not covered; an integer is its decimal text; a list matches by one element.
    bench.admitted(&bench.token());
    let null = with(delegated(), "deviceid", json!("@"))
        .to_string()
        .replace("\"@\"", "null");
    bench.admitted(&bench.signer.sign_compact("at+jwt", null.as_bytes()).unwrap());
    bench.refused(&bench.token_with("deviceid", json!(7)), Reason::TokenRevoked);
    bench.refused(
        &bench.token_with("deviceid", json!(["x", "7"])),
        Reason::TokenRevoked,
    );
    bench.admitted(&bench.token_with("deviceid", json!("07")));
}

#[test]
fn q26_too_many_look_ups_are_refused_by_name() {
    let bench = Bench::new();
    let mut pair = revocation("groups", "g");
    pair.all_of = vec![Criterion::new("groups", "g"), Criterion::new("wids", "w")];
    bench.revoke(pair);
    let list: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let claims = with(with(delegated(), "groups", json!(list)), "wids", json!(list));
    bench.refused(&bench.sign(&claims), Reason::TooManyLookUps);
}

#[test]
fn q11_foreign_tokens_are_judged_by_the_one_partition_of_their_entry() {
    let home = LOG.home_of(foreign_partition(tenant(), entry()));
    let mut record = revocation("oid", "b0b");
    record.issuer = entry();
    record.home = foreign_partition(tenant(), entry());
    let record = LogRecord::Revocation(std::sync::Arc::new(record));
    for partition in LOG.all() {
        let bench = Bench::new();
        bench.apply(partition, &record);
        let token = sign(&bench.foreign_signer, "JWT", &foreign_claims());
        if partition == home {
            bench.refused(&token, Reason::TokenRevoked);
            // Every spelling of the entry.
            let spelt = bench.foreign_token_with("JWT", "iss", json!("https://idp.example/v1"));
            bench.refused(&spelt, Reason::TokenRevoked);
        } else {
            bench.admitted(&token);
        }
    }
}

#[test]
fn a_foreign_token_is_cut_off_by_when_it_was_issued() {
    let bench = Bench::new();
    let home = LOG.home_of(foreign_partition(tenant(), entry()));
    let mut record = before(revocation("sub", "bob"), "iat", NOW.plus_ms(-30_000));
    record.issuer = entry();
    bench.apply(home, &LogRecord::Revocation(std::sync::Arc::new(record)));
    bench.refused(
        &sign(&bench.foreign_signer, "JWT", &foreign_claims()),
        Reason::TokenRevoked,
    );
    bench.admitted(&bench.foreign_token_with("JWT", "iat", json!(NOW.seconds_floor() - 29)));
}

#[test]
fn q7_foreign_tokens_that_outlive_their_marks_are_refused() {
    let bench = Bench::new();
    let expiring = |s: i64| bench.foreign_token_with("JWT", "exp", json!(NOW.seconds_floor() + s));
    bench.refused(&expiring(3_600), Reason::TokenLivesTooLong);
    bench.admitted(&expiring(3_540));
    bench.refused(
        &bench.foreign_token_with("JWT", "iat", Value::Null),
        Reason::ClaimMissing,
    );
}

#[test]
fn q12_a_link_of_the_chain_ends_the_token_and_so_does_what_it_keeps() {
    let front = gid(7).to_string();
    let chain = json!([{"client_id": "front", "gid": front}]);
    let exchanged = with(with(delegated(), "deviceid", json!("d1")), "chain", chain);
    let exchanged = with(
        with(exchanged, "idp", json!("https://idp")),
        "gid",
        json!(jti(1).to_string()),
    );
    for (claim, value) in [
        ("client_id", "front"),
        ("gid", front.as_str()),
        ("client_id", "web"),
        ("deviceid", "d1"),
        ("idp", "https://idp"),
        ("sub", "alice"),
    ] {
        let bench = Bench::new();
        bench.admitted(&bench.sign(&exchanged));
        bench.revoke(revocation(claim, value));
        bench.refused(&bench.sign(&exchanged), Reason::TokenRevoked);
    }
}

#[test]
fn ids_that_name_several_partitions_are_judged_by_every_one() {
    let elsewhere = Partition::new(1).unwrap();
    let stray = curfew_core::ids::SessionId::new(NOW.plus_ms(-600_000), elsewhere, [5; 8]);
    let record = LogRecord::Revocation(std::sync::Arc::new(revocation("sub", "alice")));
    for place in [elsewhere, partition()] {
        let bench = Bench::new();
        let token = bench.token_with("sid", json!(stray.to_string()));
        bench.admitted(&token);
        bench.apply(LOG.home_of(place), &record);
        bench.refused(&token, Reason::TokenRevoked);
    }
}

#[test]
fn what_is_collected_covered_no_living_token_even_when_the_clock_runs_back() {
    let bench = Bench::new();
    let token = bench.token();
    let mut record = revocation("sid", &sid(1).to_string());
    record.keep_until = NOW.plus_ms(540_000 + 61_000);
    bench.revoke(record);
    bench.refused(&token, Reason::TokenRevoked);
    bench.clock.advance(700_000);
    bench.guard.collect();
    assert_eq!(bench.guard.index_len(), 0);
    // A time server steps back by ten minutes: the token's `exp` lies ahead again, its mark is gone.
    bench.clock.set(|now| curfew_core::time::Now {
        wall: now.wall.plus_ms(-600_000),
        ..now
    });
    bench.beat();
    bench.refused(&token, Reason::TokenExpired);
}

#[test]
fn the_first_refusal_by_a_record_is_sampled_once() {
    use std::sync::{Arc, Mutex};
    let samples = Arc::new(Mutex::new(Vec::new()));
    let kept = samples.clone();
    let hook: crate::OnRevokeToReject = Arc::new(move |sample| kept.lock().unwrap().push(sample));
    let bench = Bench::build(|_| {}, |builder| builder.on_revoke_to_reject(hook));
    bench.revoke(revocation("sub", "alice"));
    bench.clock.advance(40);
    for _ in 0..3 {
        bench.refused(&bench.token(), Reason::TokenRevoked);
    }
    let samples = samples.lock().unwrap();
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0].refused_at.ms_since(samples[0].decided_at), 40);
    assert_eq!(bench.guard.metrics().revoke_to_reject().nth(2), Some(1));
}

#[test]
fn a_collection_beside_the_feed_undoes_no_revocation() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let bench = Bench::new();
    let (applied, collected) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Bounded, so that a feed that fails is told by its own panic.
            while applied.load(Ordering::Relaxed) < 2_000 && collected.load(Ordering::Relaxed) < 100_000 {
                bench.guard.collect();
                collected.fetch_add(1, Ordering::Relaxed);
            }
        });
        while collected.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        for n in 0..2_000 {
            bench.revoke(revocation("sub", &format!("user-{n}")));
            applied.fetch_add(1, Ordering::Relaxed);
        }
    });
    for n in (0..2_000).step_by(37) {
        let token = bench.token_with("sub", json!(format!("user-{n}")));
        bench.refused(&token, Reason::TokenRevoked);
    }
}
