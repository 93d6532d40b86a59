//! Rows, gates and entries of the index.

use curfew_core::cutoff::CutOff;
use curfew_core::ids::{ClientId, DeviceId, ResourceId, Scope};
use curfew_core::index::Entry;
use curfew_core::secret::GrantSecret;
use curfew_core::session::{Device, Ending, Grant, KeyBinding, Life, Proof, Row};
use curfew_core::subject::Gate;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::{
    birth, cause, grant_id, incarnation, ms, record_id, revocation, session_id, subject, tenant_id, text,
};

fn life() -> impl Strategy<Value = Life> {
    let ended = (ms(), cause(), record_id()).prop_map(|(at, cause, record)| Ending { at, cause, record });
    of(ended).prop_map(|ending| ending.map_or(Life::Alive, Life::Ended))
}

fn proof() -> impl Strategy<Value = Proof> {
    (ms(), of(text()), vec(text(), 0..3)).prop_map(|(auth_time, acr, amr)| Proof { auth_time, acr, amr })
}

fn binding() -> impl Strategy<Value = KeyBinding> {
    prop_oneof![
        text().prop_map(KeyBinding::Dpop),
        text().prop_map(KeyBinding::Mtls)
    ]
}

fn grant() -> impl Strategy<Value = Grant> {
    let word = "[!#-.0-\\[\\]-~]{1,20}";
    let who = (
        grant_id(),
        word.prop_map(|text| ClientId::new(&text).unwrap()),
        vec(word.prop_map(|text| ResourceId::new(&text).unwrap()), 0..3),
        vec(word.prop_map(|text| Scope::new(&text).unwrap()), 0..3),
    );
    let what = (proof(), of(binding()), life(), ms(), any::<[u8; 16]>());
    let use_ = (
        any::<u32>(),
        of(any::<u32>()),
        ms(),
        ms(),
        ms(),
        incarnation(),
        any::<bool>(),
    );
    (who, what, use_).prop_map(|(who, what, use_)| {
        let (gid, client, resources, scopes) = who;
        let (proof, binding, life, expires_at, secret) = what;
        let (generation, presented, rotated_at, last_used, latest_expiry, incarnation, cp1) = use_;
        Grant {
            gid,
            client,
            resources,
            scopes,
            proof,
            binding,
            life,
            expires_at,
            secret: GrantSecret::new(secret),
            generation,
            presented,
            rotated_at,
            last_used,
            latest_expiry,
            incarnation,
            cp1,
        }
    })
}

fn claims() -> impl Strategy<Value = serde_json::Map<String, serde_json::Value>> {
    let value = prop_oneof![
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<bool>().prop_map(Into::into),
        Just(serde_json::Value::Null),
        ".{0,12}".prop_map(serde_json::Value::from),
        vec(".{0,4}", 0..3).prop_map(Into::into),
    ];
    vec((".{0,8}", value), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

fn device() -> impl Strategy<Value = Device> {
    let id = "[^\\pC]{1,20}".prop_map(|text| DeviceId::new(&text).unwrap());
    (id, of(text()), of(text()), any::<bool>(), any::<bool>()).prop_map(
        |(id, label, platform, managed, compliant)| Device {
            id,
            label,
            platform,
            managed,
            compliant,
        },
    )
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    let who = (
        session_id(),
        tenant_id(),
        subject(),
        life(),
        proof(),
        of(text()),
        of(text()),
    );
    let what = (
        of(device()),
        claims(),
        any::<bool>(),
        any::<i64>(),
        ms(),
        ms(),
        ms(),
        ms(),
        ms(),
    );
    let rest = (of(any::<[u8; 32]>()), of(text()), of(text()), vec(grant(), 0..4));
    (who, what, rest).prop_map(|(who, what, rest)| {
        let (sid, tenant, subject, life, proof, idp, idp_session_id) = who;
        let (
            device,
            claims,
            persistent,
            idle_timeout_ms,
            last_used,
            expires_at,
            created_at,
            written_at,
            latest_expiry,
        ) = what;
        let (login_hint_hash, client_ip, user_agent, grants) = rest;
        Row {
            sid,
            tenant,
            subject,
            life,
            proof,
            idp,
            idp_session_id,
            device,
            claims,
            persistent,
            idle_timeout_ms,
            last_used,
            expires_at,
            created_at,
            written_at,
            latest_expiry,
            login_hint_hash,
            client_ip,
            user_agent,
            grants,
        }
    })
}

fn cut_off() -> impl Strategy<Value = CutOff> {
    let one = (birth(), vec(session_id(), 0..3));
    vec(one, 0..4).prop_map(|records| {
        let each = records
            .into_iter()
            .map(|(before, except)| CutOff::of_record(before, except));
        each.fold(CutOff::bottom(), |a, b| a.join(&b))
    })
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    (revocation(), cut_off()).prop_map(|(record, cut_off)| {
        let entry = Entry::of(&record);
        Entry {
            cut: entry.cut.map(|(claim, _)| (claim, cut_off)),
            ..entry
        }
    })
}

pub(crate) fn gate() -> impl Strategy<Value = Gate> {
    let who = (
        tenant_id(),
        subject(),
        vec(record_id(), 0..3),
        vec(record_id(), 0..3),
    );
    let marks = (cut_off(), of(entry()), vec(revocation(), 0..3), ms());
    (who, marks).prop_map(
        |((tenant, subject, disables, lifted), (cut_off, cut_off_by, marks, needed_until))| Gate {
            tenant,
            subject,
            disables,
            lifted,
            cut_off,
            cut_off_by,
            marks,
            needed_until,
        },
    )
}
