//! Revocations and the marks that are made of them.
//!
//! **Invariant:** what `Revocation::validate` refuses is not decoded.

use curfew_core::cutoff::CutOff;
use curfew_core::ids::{IssuerId, RecordId, SubjectKey, TenantId};
use curfew_core::index::{Entry, Winner};
use curfew_core::record::{Before, Criterion, Initiator, Revocation};
use curfew_proto::{log::v1 as log, row::v1 as row};

use crate::error::DecodeError;
use crate::field::{
    Decoded, bytes_of, each, fixed, id, message, ms, operation, operation_bytes, optional,
    optional_incarnation, optional_message, optional_text, partition, session_id, string_of, text,
};

pub(crate) fn encode_revocation(record: &Revocation) -> log::Revocation {
    let (operation_id, request_hash) = operation_bytes(record.operation.as_ref());
    log::Revocation {
        id: record.id.as_bytes().to_vec(),
        operation_id,
        request_hash,
        tenant: record.tenant.as_bytes().to_vec(),
        issuer: record.issuer.as_bytes().to_vec(),
        all_of: encode_criteria(&record.all_of),
        before: record.before.as_ref().map(|before| log::Before {
            claim: before.claim.to_string(),
            instant_ms: before.instant.as_unix_ms(),
        }),
        except: record.except.iter().map(|sid| sid.as_bytes().to_vec()).collect(),
        keep_until_ms: record.keep_until.as_unix_ms(),
        decided_at_ms: record.decided_at.as_unix_ms(),
        cause: record.cause.to_string(),
        initiator: encode_initiator(record.initiator).into(),
        home_partition: record.home.number().into(),
        wide: record.wide,
        sequence: record.sequence,
        incarnation: bytes_of(record.incarnation),
        subject_key: record.subject_key.map(|key| key.0.to_vec()).unwrap_or_default(),
        sid: record.row.map(|sid| sid.as_bytes().to_vec()).unwrap_or_default(),
        scope: record.scope.to_string(),
        correlation_id: string_of(record.correlation_id.as_ref()),
    }
}

pub(crate) fn decode_revocation(record: log::Revocation) -> Decoded<Revocation> {
    let revocation = Revocation {
        id: id(&record.id, "id", RecordId::from_bytes)?,
        operation: operation(&record.operation_id, &record.request_hash)?,
        tenant: id(&record.tenant, "tenant", TenantId::from_bytes)?,
        issuer: id(&record.issuer, "issuer", IssuerId::from_bytes)?,
        all_of: decode_criteria(record.all_of),
        before: record.before.map(|before| Before {
            claim: before.claim.into(),
            instant: ms(before.instant_ms),
        }),
        except: each(&record.except, "except", |sid| session_id(sid, ""))?,
        keep_until: ms(record.keep_until_ms),
        decided_at: ms(record.decided_at_ms),
        cause: text(&record.cause, "cause")?,
        initiator: decode_initiator(record.initiator, "initiator")?,
        home: partition(record.home_partition, "home_partition")?,
        wide: record.wide,
        sequence: record.sequence,
        incarnation: optional_incarnation(&record.incarnation, "incarnation")?,
        subject_key: optional(&record.subject_key, "subject_key")?.map(SubjectKey),
        row: if record.sid.is_empty() {
            None
        } else {
            Some(session_id(&record.sid, "sid")?)
        },
        scope: record.scope.into(),
        correlation_id: optional_text(record.correlation_id),
        trace: None,
    };
    revocation.validate().map_err(|error| {
        use curfew_core::record::InvalidRecord as Invalid;
        let path = match error {
            Invalid::Empty | Invalid::TooManyCriteria | Invalid::Unsorted | Invalid::EmptyCriterion => {
                "all_of"
            }
            Invalid::ExceptWithoutBefore | Invalid::TooManyExceptions => "except",
            Invalid::KeyWithBefore | Invalid::TooFarAhead | Invalid::BeforeClaim { .. } => "before",
        };
        DecodeError::invalid(path, error)
    })?;
    Ok(revocation)
}

pub(crate) fn encode_criteria(all_of: &[Criterion]) -> Vec<log::ClaimMatch> {
    let encode = |c: &Criterion| log::ClaimMatch {
        claim: c.claim.to_string(),
        value: c.value.to_string(),
    };
    all_of.iter().map(encode).collect()
}

pub(crate) fn decode_criteria(all_of: Vec<log::ClaimMatch>) -> Vec<Criterion> {
    all_of
        .into_iter()
        .map(|c| Criterion {
            claim: c.claim.into(),
            value: c.value.into(),
        })
        .collect()
}

pub(crate) const fn encode_initiator(initiator: Initiator) -> log::Initiator {
    match initiator {
        Initiator::User => log::Initiator::User,
        Initiator::Admin => log::Initiator::Admin,
        Initiator::Policy => log::Initiator::Policy,
        Initiator::System => log::Initiator::System,
    }
}

/// One that is not told is the system, as the message says.
pub(crate) fn decode_initiator(number: i32, path: &str) -> Decoded<Initiator> {
    match log::Initiator::try_from(number) {
        Ok(log::Initiator::User) => Ok(Initiator::User),
        Ok(log::Initiator::Admin) => Ok(Initiator::Admin),
        Ok(log::Initiator::Policy) => Ok(Initiator::Policy),
        Ok(log::Initiator::System | log::Initiator::Unspecified) => Ok(Initiator::System),
        Err(_) => Err(DecodeError::unknown(path, number)),
    }
}

pub(crate) fn encode_cut_off(cut_off: &CutOff, winner: Option<&Winner>) -> row::CutOff {
    let own = cut_off.own_instants().map(|(sid, instant)| row::OwnInstant {
        sid: sid.as_bytes().to_vec(),
        instant_ms: instant.as_unix_ms(),
    });
    row::CutOff {
        default_ms: cut_off.default_instant().as_unix_ms(),
        own: own.collect(),
        winner: winner.map(encode_winner),
    }
}

pub(crate) fn decode_cut_off(cut_off: row::CutOff) -> Decoded<CutOff> {
    let default = ms(cut_off.default_ms);
    let own = each(cut_off.own, "own", |own| {
        let instant = ms(own.instant_ms);
        if instant >= default {
            return Err(DecodeError::invalid("instant_ms", "not below the default"));
        }
        Ok((session_id(&own.sid, "sid")?, instant))
    })?;
    Ok(CutOff::from_parts(default, own))
}

pub(crate) fn encode_winner(winner: &Winner) -> row::Winner {
    row::Winner {
        id: winner.id.as_bytes().to_vec(),
        cause: winner.cause.to_string(),
        initiator: encode_initiator(winner.initiator).into(),
        decided_at_ms: winner.decided_at.as_unix_ms(),
    }
}

pub(crate) fn decode_winner(winner: row::Winner) -> Decoded<Winner> {
    Ok(Winner {
        id: id(&winner.id, "id", RecordId::from_bytes)?,
        cause: text(&winner.cause, "cause")?,
        initiator: decode_initiator(winner.initiator, "initiator")?,
        decided_at: ms(winner.decided_at_ms),
    })
}

pub(crate) fn encode_mark(entry: &Entry) -> row::Mark {
    let cut = entry.cut.as_ref();
    row::Mark {
        tenant: entry.tenant.as_bytes().to_vec(),
        issuer: entry.issuer.as_bytes().to_vec(),
        all_of: encode_criteria(&entry.all_of),
        before_claim: cut.map(|(claim, _)| claim.to_string()).unwrap_or_default(),
        cut_off: cut.map(|(_, cut_off)| encode_cut_off(cut_off, None)),
        keep_until_ms: entry.keep_until.as_unix_ms(),
        winner: Some(encode_winner(&entry.winner)),
    }
}

pub(crate) fn decode_mark(mark: row::Mark) -> Decoded<Entry> {
    let all_of = decode_criteria(mark.all_of);
    curfew_core::record::validate_criteria(&all_of).map_err(|e| DecodeError::invalid("all_of", e))?;
    let cut = optional_message(mark.cut_off, "cut_off", decode_cut_off)?;
    let cut = match (mark.before_claim.is_empty(), cut) {
        (true, None) => None,
        (false, Some(cut_off)) => Some((mark.before_claim.into(), cut_off)),
        (true, Some(_)) => return Err(DecodeError::missing("before_claim")),
        (false, None) => return Err(DecodeError::missing("cut_off")),
    };
    Ok(Entry {
        tenant: TenantId::from_bytes(fixed(&mark.tenant, "tenant")?),
        issuer: IssuerId::from_bytes(fixed(&mark.issuer, "issuer")?),
        all_of,
        cut,
        keep_until: ms(mark.keep_until_ms),
        winner: message(mark.winner, "winner", decode_winner)?,
    })
}
