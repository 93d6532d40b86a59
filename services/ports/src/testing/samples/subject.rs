//! Sample sessions, gates, ledgers, tombstones, operations and single-use items.

use std::sync::Arc;

use curfew_core::cutoff::CutOff;
use curfew_core::ids::{
    Cause, ClientId, DeviceId, IssuerId, OperationId, ResourceId, Scope, SessionId, SubjectId, TenantId,
};
use curfew_core::index::{Entry, Winner};
use curfew_core::record::Initiator;
use curfew_core::secret::GrantSecret;
use curfew_core::session::{Device, Ending, Grant, KeyBinding, Life, Proof, Row};
use curfew_core::stored::{Key, Operation, Record, SingleUse, SingleUseKind};
use curfew_core::subject::{Gate, Ledger, LedgerEntry, Tombstone, whole_subject};
use curfew_core::time::Millis;
use serde_json::json;

use super::{
    grant_id, incarnation, instant, record_id, sample_revocation, session_id, subject_key, tenant_id, text,
    texts,
};

fn subject() -> SubjectId {
    SubjectId::new("älice@example 🙂").unwrap()
}

pub(super) fn records() -> Vec<(Key, Record)> {
    let mut records = vec![
        (Key::Session(session_id(1)), Record::Session(Arc::new(full_row()))),
        (Key::Session(session_id(2)), Record::Session(Arc::new(bare_row()))),
        (Key::Gate(subject_key(1)), Record::Gate(Arc::new(full_gate()))),
        (
            Key::Gate(subject_key(2)),
            Record::Gate(Arc::new(Gate::open(tenant_id(1), subject()))),
        ),
        (
            Key::Ledger(subject_key(1)),
            Record::Ledger(Arc::new(full_ledger())),
        ),
        (
            Key::Ledger(subject_key(2)),
            Record::Ledger(Arc::new(Ledger::new(tenant_id(1), subject()))),
        ),
        (
            Key::Tombstone(session_id(3)),
            Record::Tombstone(tombstone(session_id(3))),
        ),
    ];
    records.extend(operations());
    records.extend(single_use());
    records
}

fn tombstone(sid: SessionId) -> Tombstone {
    Tombstone {
        sid,
        record: record_id(30),
        until: instant(30),
    }
}

fn ended() -> Life {
    Life::Ended(Ending {
        at: instant(11),
        cause: Cause::new("device-lost").unwrap(),
        record: record_id(11),
    })
}

fn full_row() -> Row {
    let claims = json!({
        "department": "R&D", "level": 7, "negative": -1, "ratio": 1.5, "vip": true, "nothing": null,
        "groups": ["a", "b"], "nested": {"deep": {"er": []}}, "": "empty name",
    });
    Row {
        sid: session_id(1),
        tenant: tenant_id(1),
        subject: subject(),
        life: Life::Alive,
        proof: full_proof(),
        idp: Some(text("https://idp.example/")),
        idp_session_id: Some(text("idp-session-1")),
        device: Some(Device {
            id: DeviceId::new("device 1").unwrap(),
            label: Some(text("Alice's phone")),
            platform: Some(text("iOS")),
            managed: true,
            compliant: true,
        }),
        claims: claims.as_object().cloned().unwrap_or_default(),
        persistent: true,
        idle_timeout_ms: 3_600_000,
        last_used: instant(12),
        expires_at: instant(13),
        created_at: instant(14),
        written_at: instant(15),
        latest_expiry: instant(16),
        login_hint_hash: Some([0xfe; 32]),
        client_ip: Some(text("2001:db8::1")),
        user_agent: Some(text("curl/8")),
        grants: vec![full_grant(), mtls_grant(), bare_grant()],
    }
}

fn bare_row() -> Row {
    Row {
        sid: session_id(2),
        tenant: tenant_id(1),
        subject: subject(),
        life: ended(),
        proof: Proof::default(),
        idp: None,
        idp_session_id: None,
        // A device may itself be bare.
        device: Some(Device {
            id: DeviceId::new("d").unwrap(),
            label: None,
            platform: None,
            managed: false,
            compliant: false,
        }),
        claims: serde_json::Map::new(),
        persistent: false,
        idle_timeout_ms: 0,
        last_used: Millis::ZERO,
        expires_at: Millis::ZERO,
        created_at: Millis::ZERO,
        written_at: Millis::ZERO,
        latest_expiry: Millis::ZERO,
        login_hint_hash: None,
        client_ip: None,
        user_agent: None,
        grants: Vec::new(),
    }
}

fn full_proof() -> Proof {
    Proof {
        auth_time: instant(17),
        acr: Some(text("urn:example:loa:2")),
        amr: texts(&["pwd", "otp"]),
    }
}

fn full_grant() -> Grant {
    Grant {
        gid: grant_id(1),
        client: ClientId::new("web").unwrap(),
        resources: vec![
            ResourceId::new("orders").unwrap(),
            ResourceId::new("mail").unwrap(),
        ],
        scopes: vec![
            Scope::new("openid").unwrap(),
            Scope::new("https://api.example/read").unwrap(),
        ],
        proof: full_proof(),
        binding: Some(KeyBinding::Dpop(text(
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        ))),
        life: Life::Alive,
        expires_at: instant(18),
        secret: GrantSecret::new([0x5e; 16]),
        generation: u32::MAX,
        presented: Some(0),
        rotated_at: instant(19),
        last_used: instant(20),
        latest_expiry: instant(21),
        incarnation: incarnation(3),
        cp1: true,
    }
}

fn mtls_grant() -> Grant {
    let binding = Some(KeyBinding::Mtls(text(
        "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2",
    )));
    Grant {
        gid: grant_id(2),
        binding,
        life: ended(),
        ..full_grant()
    }
}

fn bare_grant() -> Grant {
    Grant {
        gid: grant_id(3),
        client: ClientId::new("c").unwrap(),
        resources: Vec::new(),
        scopes: Vec::new(),
        proof: Proof::default(),
        binding: None,
        life: Life::Alive,
        expires_at: Millis::ZERO,
        secret: GrantSecret::new([0; 16]),
        generation: 0,
        presented: None,
        rotated_at: Millis::ZERO,
        last_used: Millis::ZERO,
        latest_expiry: Millis::ZERO,
        incarnation: incarnation(0),
        cp1: false,
    }
}

fn full_gate() -> Gate {
    let tenant: TenantId = tenant_id(1);
    let own: IssuerId = tenant.own_issuer();
    let first = CutOff::of_record(instant(22), []);
    let second = CutOff::of_record(instant(25), [session_id(1), session_id(4)]);
    Gate {
        tenant,
        subject: subject(),
        disables: vec![record_id(21), record_id(22)],
        lifted: vec![record_id(23)],
        cut_off: first.join(&second),
        cut_off_by: Some(Entry {
            tenant,
            issuer: own,
            all_of: vec![whole_subject(&subject())],
            cut: Some((text("sid"), second)),
            keep_until: instant(26),
            winner: Winner {
                id: record_id(24),
                cause: Cause::new("sign-out-everywhere").unwrap(),
                initiator: Initiator::User,
                decided_at: instant(27),
            },
        }),
        marks: vec![sample_revocation(25), sample_revocation(26)],
        needed_until: instant(28),
    }
}

fn full_ledger() -> Ledger {
    let mut ledger = Ledger {
        clock: instant(29),
        ..Ledger::new(tenant_id(1), subject())
    };
    for n in [3, 1, 2] {
        let used = instant(i64::from(n));
        ledger.add(LedgerEntry {
            sid: session_id(n),
            last_used: used,
            expires_at: used.plus_ms(1),
        });
    }
    ledger
}

fn operations() -> Vec<(Key, Record)> {
    let id = |n: u8| OperationId::from_random([n; 16]);
    let full = Operation {
        id: id(1),
        request_hash: [0x0e; 32],
        result: Arc::from([0, 0xff, 1].as_slice()),
        records: vec![record_id(31), record_id(32)],
        at: instant(31),
    };
    let bare = Operation {
        id: id(2),
        request_hash: [0; 32],
        result: Arc::from([].as_slice()),
        records: Vec::new(),
        at: Millis::ZERO,
    };
    let operations = [full, bare].into_iter();
    operations
        .map(|op| (Key::Operation(tenant_id(1), op.id), Record::Operation(op)))
        .collect()
}

fn single_use() -> Vec<(Key, Record)> {
    let kinds = [
        SingleUseKind::Code,
        SingleUseKind::RequestUri,
        SingleUseKind::AssertionId,
        SingleUseKind::LoginChallenge,
        SingleUseKind::DeviceCode,
    ];
    let items = kinds.into_iter().zip(0_u8..).map(|(kind, n)| {
        let body: &[u8] = if n == 0 { &[] } else { &[n, 0, 0xff] };
        let item = SingleUse {
            issued_at: instant(32),
            expires_at: instant(33),
            used: n % 2 == 1,
            body: body.into(),
        };
        (Key::SingleUse(kind, [n; 32]), Record::SingleUse(item))
    });
    items.collect()
}
