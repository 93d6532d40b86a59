//! Operations: a caller's `request_id`, the hash of its request, and what it is remembered by.

use curfew_core::ids::{Cause, GrantId, OperationId, RecordId, SessionId};
use curfew_core::mac::sha256;
use curfew_core::record::OperationRef;
use curfew_core::refusal::{Reason, Refusal, Stage};
use curfew_core::stored::Operation;
use curfew_core::time::Millis;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;

/// The operation of a request: its id, and the hash of its content in any canonical bytes.
#[must_use]
pub fn operation_of(id: OperationId, method: &str, content: &[u8]) -> OperationRef {
    let mut bytes = method.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(content);
    OperationRef {
        id,
        request_hash: sha256(&bytes),
    }
}

/// What an operation is remembered by, for a day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Remembered {
    /// A session was opened.
    Session {
        sid: SessionId,
        ended: Option<(SessionId, RecordId)>,
    },
    /// A grant was issued.
    Grant {
        gid: GrantId,
        ended: Option<(GrantId, RecordId)>,
    },
    /// Something was ended by this operation.
    Ended { record: RecordId },
    /// It had ended before.
    EndedBefore {
        record: RecordId,
        at: Millis,
        cause: Cause,
    },
    /// Time had ended it.
    Expired,
    /// Claims were revoked.
    Revoked {
        record: RecordId,
        before: Option<Millis>,
    },
    /// A subject's state changed.
    Subject {
        state: Option<RecordId>,
        cut_off: Option<RecordId>,
    },
}

impl Remembered {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // A closed enum of ids always serializes; an empty result reads back as a refusal below.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn of(operation: &Operation) -> Answer<Self> {
        serde_json::from_slice(&operation.result).map_err(|_| {
            Refusal::new(Stage::Request, Reason::RequestIdReused).about(operation.id.to_string())
        })
    }
}
