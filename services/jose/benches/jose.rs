//! What one token costs: to sign, to read, to verify, to find verified. `cargo bench -p curfew-jose`.

#![allow(
    clippy::unwrap_used,
    reason = "a bench without its key has nothing to measure"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use curfew_jose::{Algorithm, Jws, Limits, SignatureCache, SigningKey};

/// An access token as the authority mints it: about 600 bytes of claims.
const CLAIMS: &[u8] = br#"{"iss":"https://login.example.com/contoso","sub":"00000000-0000-4000-8000-000000000001","aud":"https://api.example.com","client_id":"mobile","jti":"0197c5a2-7b3c-7000-8000-000000000001","iat":1700000000,"nbf":1700000000,"exp":1700003600,"sid":"0197c5a2-7b3c-7000-8000-000000000002","gid":"0197c5a2-7b3c-7000-8000-000000000003","auth_time":1699999000,"acr":"urn:example:mfa","amr":["pwd","otp"],"idp":"local","scp":"orders.read orders.write profile","tid":"contoso","oid":"00000000-0000-4000-8000-000000000001","deviceid":"laptop-7","xms_cc":["cp1"],"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}"#;

fn signing_keys() -> [SigningKey; 3] {
    let rsa = include_bytes!("../testdata/rsa-2048-of-no-value.pk8");
    let generated = |algorithm| SigningKey::generate_pkcs8(algorithm).unwrap();
    let key = |algorithm, pkcs8: &[u8]| SigningKey::from_pkcs8(algorithm, pkcs8, "2026-11-a").unwrap();
    [
        key(Algorithm::Es256, &generated(Algorithm::Es256)),
        key(Algorithm::EdDsa, &generated(Algorithm::EdDsa)),
        key(Algorithm::Rs256, rsa),
    ]
}

fn jose(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("jose");
    group.throughput(Throughput::Elements(1));
    for key in signing_keys() {
        let algorithm = key.algorithm();
        let jws = Jws::parse(&key.sign_compact("at+jwt", CLAIMS).unwrap(), Limits::DEFAULT).unwrap();
        group.bench_function(format!("sign/{algorithm}"), |bench| {
            bench.iter(|| key.sign_compact("at+jwt", black_box(CLAIMS)).unwrap());
        });
        group.bench_function(format!("verify/{algorithm}"), |bench| {
            bench.iter(|| key.verifying_key().verify(black_box(&jws)).unwrap());
        });
    }
    let [key, ..] = signing_keys();
    let token = key.sign_compact("at+jwt", CLAIMS).unwrap();
    group.bench_function("parse", |bench| {
        bench.iter(|| Jws::parse(black_box(&token), Limits::DEFAULT).unwrap());
    });
    let jws = Jws::parse(&token, Limits::DEFAULT).unwrap();
    let cache = SignatureCache::new(1024);
    group.bench_function("verify_cached/hit", |bench| {
        bench.iter(|| cache.verify_cached(key.verifying_key(), black_box(&jws)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, jose);
criterion_main!(benches);
