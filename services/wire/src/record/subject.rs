//! Gates, ledgers and tombstones.
//!
//! **Invariant:** a gate that cannot be read whole is not read at all: a lost mark would admit.

use curfew_core::ids::{RecordId, TenantId};
use curfew_core::subject::{Gate, Ledger, LedgerEntry, Tombstone};
use curfew_proto::row::v1 as row;

use super::{SCHEMA, own_schema};
use crate::error::DecodeError;
use crate::field::{Decoded, each, id, ids, message, ms, optional_message, session_id, text};
use crate::revocation::{
    decode_cut_off, decode_mark, decode_revocation, encode_cut_off, encode_mark, encode_revocation,
};

pub(super) fn encode_gate(gate: &Gate) -> row::Gate {
    let disables = gate.disables.iter().map(|id| row::SubjectDisable {
        id: id.as_bytes().to_vec(),
        ..Default::default()
    });
    row::Gate {
        schema: SCHEMA,
        tenant: gate.tenant.as_bytes().to_vec(),
        subject: gate.subject.to_string(),
        disables: disables.collect(),
        lifts_ahead: gate.lifted.iter().map(|id| id.as_bytes().to_vec()).collect(),
        cut_off: Some(encode_cut_off(
            &gate.cut_off,
            gate.cut_off_by.as_ref().map(|entry| &entry.winner),
        )),
        cut_off_by: gate.cut_off_by.as_ref().map(encode_mark),
        mark_records: gate.marks.iter().map(encode_revocation).collect(),
        keep_until_ms: gate.needed_until.as_unix_ms(),
        ..Default::default()
    }
}

pub(super) fn decode_gate(gate: row::Gate) -> Decoded<Gate> {
    own_schema(gate.schema)?;
    if !gate.marks.is_empty() {
        return Err(DecodeError::unknown("marks", "joined marks"));
    }
    Ok(Gate {
        tenant: id(&gate.tenant, "tenant", TenantId::from_bytes)?,
        subject: text(&gate.subject, "subject")?,
        disables: each(gate.disables, "disables", |d| {
            id(&d.id, "id", RecordId::from_bytes)
        })?,
        lifted: ids(&gate.lifts_ahead, "lifts_ahead", RecordId::from_bytes)?,
        cut_off: message(gate.cut_off, "cut_off", decode_cut_off)?,
        cut_off_by: optional_message(gate.cut_off_by, "cut_off_by", decode_mark)?,
        marks: each(gate.mark_records, "mark_records", decode_revocation)?,
        needed_until: ms(gate.keep_until_ms),
    })
}

pub(super) fn encode_ledger(ledger: &Ledger) -> row::Ledger {
    let sessions = ledger.sessions.iter().map(|entry| row::LedgerSession {
        sid: entry.sid.as_bytes().to_vec(),
        state: row::SessionHint::Live.into(),
        last_used_ms: entry.last_used.as_unix_ms(),
        expires_at_ms: entry.expires_at.as_unix_ms(),
        ..Default::default()
    });
    row::Ledger {
        schema: SCHEMA,
        tenant: ledger.tenant.as_bytes().to_vec(),
        subject: ledger.subject.to_string(),
        clock_ms: ledger.clock.as_unix_ms(),
        sessions: sessions.collect(),
        ..Default::default()
    }
}

pub(super) fn decode_ledger(ledger: row::Ledger) -> Decoded<Ledger> {
    own_schema(ledger.schema)?;
    Ok(Ledger {
        tenant: id(&ledger.tenant, "tenant", TenantId::from_bytes)?,
        subject: text(&ledger.subject, "subject")?,
        clock: ms(ledger.clock_ms),
        sessions: each(ledger.sessions, "sessions", |entry| {
            Ok(LedgerEntry {
                sid: session_id(&entry.sid, "sid")?,
                last_used: ms(entry.last_used_ms),
                expires_at: ms(entry.expires_at_ms),
            })
        })?,
    })
}

pub(super) fn encode_tombstone(tombstone: &Tombstone) -> row::Tombstone {
    row::Tombstone {
        schema: SCHEMA,
        sid: tombstone.sid.as_bytes().to_vec(),
        record_id: tombstone.record.as_bytes().to_vec(),
        until_ms: tombstone.until.as_unix_ms(),
        ..Default::default()
    }
}

pub(super) fn decode_tombstone(tombstone: row::Tombstone) -> Decoded<Tombstone> {
    own_schema(tombstone.schema)?;
    Ok(Tombstone {
        sid: session_id(&tombstone.sid, "sid")?,
        record: id(&tombstone.record_id, "record_id", RecordId::from_bytes)?,
        until: ms(tombstone.until_ms),
    })
}
