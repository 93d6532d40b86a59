//! The log port.
//!
//! **Invariant:** a position names the same record for as long as the record is retained.

use async_trait::async_trait;
use curfew_core::place::{LogIdentity, LogPartition, Position};
use curfew_core::record::LogRecord;
use curfew_ports::log::{Bounds, Log, LogError, Tail, TailFrom};
use curfew_wire::encode_log;
use redb::ReadableDatabase;

use crate::Embedded;
use crate::schema::all_bounds;
use crate::tail::EmbeddedTail;
use crate::writer::Request;

#[async_trait]
impl Log for Embedded {
    async fn identity(&self) -> Result<LogIdentity, LogError> {
        Ok(self.inner.shared.identity)
    }

    async fn append(&self, partition: LogPartition, record: &LogRecord) -> Result<Position, LogError> {
        if partition.0 >= self.inner.shared.identity.partitions {
            return Err(LogError::NoSuchPartition(partition));
        }
        let envelope = encode_log(record);
        let answer = self
            .ask(|reply| Request::Append {
                partition,
                envelope,
                reply,
            })
            .await;
        answer.map_err(|fault| fault.of_log("append"))
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        let identity = self.inner.shared.identity;
        let found = self
            .reading(|database| all_bounds(&database.begin_read()?, identity))
            .await;
        let found = found.map_err(|fault| fault.of_log("bounds"))?;
        Ok(found
            .into_iter()
            .map(|(start, end)| Bounds { start, end })
            .collect())
    }

    async fn tail(&self, from: TailFrom) -> Result<Box<dyn Tail>, LogError> {
        let bounds = self.bounds().await?;
        let offsets = match from {
            TailFrom::Oldest => bounds.iter().map(|bounds| bounds.start).collect(),
            TailFrom::Offsets(offsets) => {
                Bounds::check(&bounds, &offsets)?;
                offsets
            }
        };
        Ok(Box::new(EmbeddedTail::new(self.inner.shared.clone(), offsets)))
    }

    fn kind(&self) -> &'static str {
        "embedded"
    }
}
