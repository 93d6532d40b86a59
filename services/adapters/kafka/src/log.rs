//! The log port.

use async_trait::async_trait;
use curfew_core::place::{LogIdentity, LogPartition, Position};
use curfew_core::record::LogRecord;
use curfew_ports::log::{Bounds, Log, LogError, Tail, TailFrom};

use crate::Kafka;
use crate::error::unavailable;

#[async_trait]
impl Log for Kafka {
    async fn identity(&self) -> Result<LogIdentity, LogError> {
        Ok(self.inner.identity)
    }

    async fn append(&self, partition: LogPartition, record: &LogRecord) -> Result<Position, LogError> {
        if partition.0 >= self.inner.identity.partitions {
            return Err(LogError::NoSuchPartition(partition));
        }
        let Some(producer) = &self.inner.producer else {
            return Err(unavailable("append", "the log was opened to read"));
        };
        producer.append(partition, record).await
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        let bounds = self.inner.questions.bounds(self.inner.identity.partitions).await;
        bounds.map_err(|error| unavailable("bounds", error))
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
        let tail = self.inner.tails.start(offsets).await;
        Ok(Box::new(tail.map_err(|error| unavailable("tail", error))?))
    }

    fn kind(&self) -> &'static str {
        "kafka"
    }
}
