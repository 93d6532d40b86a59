//! The ports, measured: how long the store and the log took, and how they ended.
//!
//! Every use case goes through these, so that nothing reaches a port uncounted.
//!
//! **Invariant:** what is measured is passed on unchanged, in both directions.

use std::sync::Arc;

use async_trait::async_trait;
use curfew_core::place::{LogIdentity, LogPartition, Partition, Position};
use curfew_core::record::LogRecord;
use curfew_core::stored::{Key, Listed};
use curfew_ports::log::{Bounds, Log, LogError, Tail, TailFrom};
use curfew_ports::store::{Commit, CommitOutcome, Page, Store, StoreError, View};
use tokio::time::Instant;

use tracing::{Instrument as _, Span};

use crate::metrics::{CommitEnd, LogOperation, Metrics, StoreOperation};

/// A store whose calls are counted.
#[derive(Debug)]
pub(crate) struct MeasuredStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
}

impl MeasuredStore {
    /// A span of OpenTelemetry's database conventions (stable since 1.33); nothing where nobody wants it.
    fn span(&self, operation: &'static str, partition: Partition) -> Span {
        tracing::debug_span!(
            target: curfew_trace::TARGET,
            "curfew.store",
            otel.name = operation,
            otel.kind = "client",
            db.system.name = self.store.kind(),
            db.operation.name = operation,
            db.namespace = partition.number(),
            curfew.commit.outcome = tracing::field::Empty,
        )
    }
}

#[async_trait]
impl Store for MeasuredStore {
    async fn read(&self, partition: Partition, keys: &[Key]) -> Result<View, StoreError> {
        let began = Instant::now();
        let span = self.span("read", partition);
        let answer = self.store.read(partition, keys).instrument(span).await;
        self.metrics
            .asked_store(StoreOperation::Read, began.elapsed(), answer.is_err());
        answer
    }

    async fn commit(&self, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let began = Instant::now();
        let span = self.span("commit", commit.partition);
        let answer = self.store.commit(commit).instrument(span.clone()).await;
        if let Ok(outcome) = &answer {
            span.record("curfew.commit.outcome", CommitEnd::of(outcome).as_str());
        }
        self.metrics
            .asked_store(StoreOperation::Commit, began.elapsed(), answer.is_err());
        self.metrics.committed(answer.as_ref().ok());
        answer
    }

    async fn list(
        &self,
        partition: Partition,
        listed: Listed,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let began = Instant::now();
        let span = self.span("list", partition);
        let listed = self.store.list(partition, listed, cursor, limit);
        let answer = listed.instrument(span).await;
        self.metrics
            .asked_store(StoreOperation::List, began.elapsed(), answer.is_err());
        answer
    }

    fn is_log(&self) -> bool {
        self.store.is_log()
    }

    fn kind(&self) -> &'static str {
        self.store.kind()
    }
}

/// A log whose calls are counted.
#[derive(Debug)]
pub(crate) struct MeasuredLog {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) metrics: Arc<Metrics>,
}

#[async_trait]
impl Log for MeasuredLog {
    async fn identity(&self) -> Result<LogIdentity, LogError> {
        self.log.identity().await
    }

    async fn append(&self, partition: LogPartition, record: &LogRecord) -> Result<Position, LogError> {
        let began = Instant::now();
        let answer = self.log.append(partition, record).await;
        self.metrics
            .asked_log(LogOperation::Append, began.elapsed(), answer.is_err());
        answer
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        let began = Instant::now();
        let answer = self.log.bounds().await;
        self.metrics
            .asked_log(LogOperation::Bounds, began.elapsed(), answer.is_err());
        answer
    }

    async fn tail(&self, from: TailFrom) -> Result<Box<dyn Tail>, LogError> {
        let began = Instant::now();
        let answer = self.log.tail(from).await;
        self.metrics
            .asked_log(LogOperation::Tail, began.elapsed(), answer.is_err());
        answer
    }

    fn kind(&self) -> &'static str {
        self.log.kind()
    }
}
