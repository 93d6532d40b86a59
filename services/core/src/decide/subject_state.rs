//! A subject is disabled, enabled, deleted.
//!
//! A disable has an id *and* cuts off what was born before it; an enable names the ids that it
//! lifts; disabled iff one is left, in any order, with any copies (Q14).
//!
//! **Invariant:** nothing from before a disable revives; a deleted subject's cut-off outlives a
//! re-creation under the same name.

use std::sync::Arc;

use crate::decide::end::{Subject, cut_off_in};
use crate::decide::{Book, Context, Motive, Verdict};
use crate::ids::RecordId;
use crate::mac::Entropy;
use crate::record::{LogRecord, Outgoing, Revocation, SubjectChange, SubjectState};
use crate::refusal::{Reason, Refusal, Stage};
use crate::stored::Decision;
use crate::subject::Gate;

/// What a change of state did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// The state record, where one was published.
    pub state: Option<RecordId>,
    /// The cut-off, where there was one.
    pub cut_off: Option<Revocation>,
    /// Disables that are left.
    pub disables: Vec<RecordId>,
}

/// What to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Disable, and cut off.
    Disable,
    /// Lift every disable that the gate knows.
    Enable,
    /// Cut off for good.
    Delete,
}

/// Decides a change of a subject's state.
pub fn change(
    context: &Context<'_>,
    subject: Subject<'_>,
    change: Change,
    motive: &Motive,
    entropy: &mut Entropy,
    result: impl FnOnce(&Changed) -> Vec<u8>,
) -> Decision<Verdict<Changed>> {
    let mut book = Book::new(context, entropy);
    let tenant = context.tenant.id;
    let is_another = |gate: &Gate| gate.subject != *subject.subject || gate.tenant != tenant;
    let (mut gate, cut_off) = match change {
        Change::Enable if subject.gate.is_some_and(is_another) => {
            let refusal = Refusal::new(Stage::Request, Reason::SubjectMismatch);
            return Decision::of(context.partition, Verdict::Refused(refusal));
        }
        Change::Enable => (
            subject
                .gate
                .cloned()
                .unwrap_or_else(|| Gate::open(tenant, subject.subject.clone())),
            None,
        ),
        Change::Disable | Change::Delete => match cut_off_in(&mut book, subject, None, motive) {
            Ok((gate, revocation)) => (gate, Some(revocation)),
            Err(refusal) => return Decision::of(context.partition, Verdict::Refused(refusal)),
        },
    };
    let published = match change {
        Change::Delete => None,
        Change::Disable => Some(SubjectChange::Disable),
        Change::Enable if gate.disables.is_empty() => None,
        Change::Enable => Some(SubjectChange::Enable {
            lifts: gate.disables.clone(),
        }),
    };
    let state = published.map(|what| {
        let id = book.record_id();
        match &what {
            SubjectChange::Disable => gate.disables.push(id),
            SubjectChange::Enable { lifts } => {
                gate.lifted.extend(lifts);
                gate.disables.clear();
            }
        }
        let record = SubjectState {
            id,
            operation: motive.operation,
            tenant,
            subject: subject.subject.clone(),
            subject_key: subject.key,
            partition: context.partition,
            sequence: book.next_sequence(),
            incarnation: Some(context.incarnation),
            change: what,
            decided_at: context.now,
            cause: motive.cause.clone(),
            trace: None,
        };
        let record = LogRecord::SubjectState(Arc::new(record));
        book.publish(Outgoing {
            home: context.partition,
            wide: false,
            record,
        });
        id
    });
    let changed = Changed {
        state,
        cut_off,
        disables: gate.disables.clone(),
    };
    if changed.state.is_some() || changed.cut_off.is_some() {
        book.write_gate(subject.key, gate);
    }
    book.remember(tenant, motive.operation, result(&changed));
    book.close(Verdict::Granted(changed))
}
