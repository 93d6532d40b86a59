//! How every partition stands: open, fenced, or lost.

use curfew_core::place::{Incarnation, PARTITIONS, Partition};
use curfew_core::stored::{Checkpoint, Key};
use tokio::task::JoinSet;

use super::{AT_ONCE, Recovered};
use crate::answer::Answer;
use crate::node::Authority;

/// Partitions in a row that cannot be read before a round ends: calls that hang end together, as many as are under
/// way, so with a third of a cluster away that is chance no more only from a multiple of those on.
const UNREAD_MAX: usize = 4 * AT_ONCE;

/// How a partition stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It is open for the history that the store is.
    Open,
    /// It was opened for another one.
    Fenced,
    /// A record that it must have is not there, or it has merged another log.
    Lost,
}

/// What was seen of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked {
    pub(super) partition: Partition,
    /// The history that was looked at.
    pub(super) incarnation: Incarnation,
    pub(super) standing: Standing,
    pub(super) checkpoint: Option<Checkpoint>,
}

impl Authority {
    /// Looks at every partition; those that cannot be read are counted, and left to a later round.
    pub(super) async fn look_at_all(&self, round: &mut Recovered) -> Answer<Vec<Looked>> {
        let mut looks = JoinSet::new();
        let mut partitions = Partition::all();
        let mut all = Vec::with_capacity(usize::from(PARTITIONS));
        let mut in_a_row = 0;
        loop {
            while looks.len() < AT_ONCE
                && let Some(partition) = partitions.next()
            {
                let authority = self.clone();
                looks.spawn(async move { authority.look_at(partition).await });
            }
            match looks.join_next().await {
                None => break,
                Some(Ok(Ok(looked))) => {
                    in_a_row = 0;
                    all.push(looked);
                }
                Some(Ok(Err(refusal))) => {
                    round.unread += 1;
                    in_a_row += 1;
                    if in_a_row == UNREAD_MAX {
                        return Err(refusal);
                    }
                }
                Some(Err(error)) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a look at a partition ended without an answer"
                ),
            }
        }
        for one in &all {
            if let Some(checkpoint) = one.checkpoint {
                self.unmerged.checkpoint(one.partition, checkpoint.offset);
            }
        }
        let lost = all.iter().filter(|one| one.standing == Standing::Lost);
        round.lost.extend(lost.map(|one| one.partition));
        all.sort_by_key(|one| one.partition);
        Ok(all)
    }

    /// Learns where the checkpoints lie; of those that cannot be read nothing is known.
    pub(crate) async fn learn_checkpoints(&self) {
        let mut round = Recovered::default();
        if let Err(refusal) = self.look_at_all(&mut round).await {
            tracing::warn!(%refusal, "checkpoints are not known yet");
        }
    }

    async fn look_at(&self, partition: Partition) -> Answer<Looked> {
        let keys = [Key::Partition, Key::Sequence, Key::Checkpoint];
        let seen = self.see(partition, &keys).await?;
        let (record, checkpoint) = (seen.partition(), seen.checkpoint());
        let standing = match (record, checkpoint, seen.sequence()) {
            (Some(record), Some(_), Some(_)) if record.log == self.follower.log() => {
                if record.incarnation == seen.incarnation {
                    Standing::Open
                } else {
                    Standing::Fenced
                }
            }
            _ => Standing::Lost,
        };
        Ok(Looked {
            partition,
            incarnation: seen.incarnation,
            standing,
            checkpoint,
        })
    }
}
