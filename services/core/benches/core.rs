//! What the hot path costs: a refresh decision, its codec, and the index with 100,000 marks.

#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the small world of the tests, of which a bench needs little"
)]
#[path = "../tests/decisions/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use curfew_core::access_token::AccessToken;
use curfew_core::index::{Index, LayeredIndex};
use curfew_core::mac::{Entropy, tag16};
use curfew_core::record::{Before, Revocation};
use curfew_core::refresh_token::{MacRing, RefreshToken};
use curfew_core::secret::MacKey;
use curfew_core::time::Millis;

use crate::world::{World, heard, present, tenant_id};

const MARKS: usize = 100_000;

fn mark(n: usize) -> Revocation {
    let text = n.to_string();
    let mut record = match n % 3 {
        0 => heard(&[("sid", &text)]),
        1 => heard(&[("gid", &text)]),
        _ => heard(&[("oid", &text)]),
    };
    record.id = curfew_core::ids::RecordId::from_bytes(u128::try_from(n).unwrap_or(0).to_be_bytes());
    record.before = (n % 3 == 2).then(|| Before {
        claim: "sid".into(),
        instant: Millis::from_unix_ms(world::START),
    });
    record
}

fn marks() -> Index {
    let mut index = Index::default();
    (0..MARKS).for_each(|n| index.insert(&mark(n)));
    index
}

fn world_with_a_grant() -> (World, RefreshToken, AccessToken) {
    let mut world = World::new(1);
    let sid = world.sign_in("ada");
    let issued = world.authorize("ada", sid, "web");
    (world, issued.refresh, issued.access)
}

fn decisions(c: &mut Criterion) {
    let (mut world, token, _) = world_with_a_grant();
    world.index = LayeredIndex::from_base(marks());
    let asked = world.asking(&present(&token, "web"));
    c.bench_function("core/refresh_decision", |b| {
        b.iter(|| black_box(world.decide_refresh("ada", &asked, Entropy::new([3; 32]))));
    });
}

fn codec(c: &mut Criterion) {
    let (_, token, _) = world_with_a_grant();
    let Some(ring) = MacRing::new(1, BTreeMap::from([(1, MacKey::new([7; 32]))])) else {
        return;
    };
    let text = token.encode(&ring, tenant_id()).unwrap_or_default();
    c.bench_function("core/refresh_token/encode", |b| {
        b.iter(|| token.encode(black_box(&ring), tenant_id()))
    });
    c.bench_function("core/refresh_token/decode", |b| {
        b.iter(|| RefreshToken::decode(black_box(&text), &ring, tenant_id()));
    });
    let key = MacKey::new([7; 32]);
    c.bench_function("core/mac/tag16", |b| {
        b.iter(|| tag16(&key, "bench", &[black_box(&[1; 62])]))
    });
}

fn index(c: &mut Criterion) {
    let (_, _, access) = world_with_a_grant();
    let index = marks();
    let of = (tenant_id(), tenant_id().own_issuer());
    c.bench_function("core/index/covered_miss", |b| {
        b.iter(|| index.covered(of.0, of.1, black_box(&access)))
    });
    let mut covering = index.clone();
    covering.insert(&heard(&[("oid", "ada")]));
    c.bench_function("core/index/covered_hit", |b| {
        b.iter(|| covering.covered(of.0, of.1, black_box(&access)))
    });
    c.bench_function("core/index/insert", |b| {
        let mut layered = LayeredIndex::from_base(index.clone());
        let mut n = MARKS;
        b.iter_batched(
            || {
                n += 1;
                mark(n)
            },
            |record| layered.insert(&record),
            BatchSize::SmallInput,
        );
    });
    c.bench_function("core/index/insert_while_read", |b| {
        let mut layered = LayeredIndex::from_base(index.clone());
        let mut n = MARKS;
        b.iter(|| {
            n += 1;
            // A follower publishes a new value for each record; readers keep the one before it.
            let kept = layered.clone();
            layered.insert(&mark(n));
            kept.len()
        });
    });
}

criterion_group!(benches, decisions, codec, index);
criterion_main!(benches);
