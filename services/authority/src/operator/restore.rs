//! `restore`: a copy of a store is opened as a history of its own, with a floor at now.
//!
//! **Invariant:** nothing of the copy is renewed: what was ended after it was made is not in it.

use std::sync::Arc;

use curfew_core::ids::OperationId;
use curfew_core::place::Partition;

use crate::answer::Answer;
use crate::node::Authority;
use crate::operator::open::{OpenRequest, Opened};

impl Authority {
    /// Opens every partition of a copy, whose log has an id of its own by now.
    pub async fn open_restored(&self, by: Arc<str>) -> Answer<Opened> {
        self.name_log(self.follower.log()).await?;
        // Whoever reads the copy's log finds heartbeats of the original's before it: this node as well.
        self.beat_once().await;
        let opened = self.open_partitions(OpenRequest {
            partitions: Some(Partition::all().collect()),
            floor: None,
            validate_only: false,
            operation: OperationId::from_bytes(self.chance().draw()),
            by,
        });
        let opened = opened.await?;
        Ok(opened)
    }
}
