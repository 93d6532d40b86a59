//! Spans on their way to a collector: a bounded queue, and what became of each, counted.
//!
//! **Invariant:** nobody waits for an export: a span that finds the queue full is dropped and counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

/// Spans that wait: at ~1 KiB each 16 MiB, and at six spans a refresh what 2,700 refreshes make.
const QUEUE_MAX: usize = 16_384;
/// Spans of one export: ~0.5 MiB, below the 4 MiB that collectors take in one message.
const BATCH_MAX: usize = 512;
/// How often a batch goes that is not full.
const EVERY: Duration = Duration::from_secs(1);

/// What became of the spans of this process.
#[derive(Debug, Default)]
pub struct SpanCounts {
    waiting: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    is_failing: AtomicBool,
}

impl SpanCounts {
    /// Those that a collector took.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Those that no collector took in time.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Those that found the queue full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn ended(&self, count: u64, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                self.exported.fetch_add(count, Ordering::Relaxed);
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("spans are exported again");
                }
            }
            Err(error) => {
                self.failed.fetch_add(count, Ordering::Relaxed);
                // Once, and not for each batch.
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error = error as &dyn std::error::Error,
                        "spans cannot be exported; they are counted and dropped"
                    );
                }
            }
        }
    }
}

/// The counts of this process: it has one subscriber, and so one queue.
static COUNTS: SpanCounts = SpanCounts {
    waiting: AtomicU64::new(0),
    exported: AtomicU64::new(0),
    failed: AtomicU64::new(0),
    dropped: AtomicU64::new(0),
    is_failing: AtomicBool::new(false),
};

/// What became of the spans of this process.
#[must_use]
pub fn span_counts() -> &'static SpanCounts {
    &COUNTS
}

/// A queue before an exporter.
#[derive(Debug)]
pub(crate) struct Queue {
    batches: BatchSpanProcessor,
    counts: &'static SpanCounts,
}

impl Queue {
    pub(crate) fn before(exporter: impl SpanExporter + 'static) -> Self {
        let counts = span_counts();
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(EVERY)
            .build();
        let batches = BatchSpanProcessor::builder(Counted { exporter, counts })
            .with_batch_config(config)
            .build();
        Self { batches, counts }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let queue_max = u64::try_from(QUEUE_MAX).unwrap_or(u64::MAX);
        if self.counts.waiting.fetch_add(1, Ordering::Relaxed) >= queue_max {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// An exporter whose batches are counted.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    counts: &'static SpanCounts,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.counts.waiting.fetch_sub(count, Ordering::Relaxed);
        let result = self.exporter.export(batch).await;
        self.counts.ended(count, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::error::OTelSdkError;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use std::sync::mpsc;

    /// Takes nothing before it is let, then refuses everything.
    #[derive(Debug)]
    struct Stuck(std::sync::Mutex<mpsc::Receiver<()>>);

    impl SpanExporter for Stuck {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            // An error as well: whoever held it back is gone.
            let _ = self.0.lock().unwrap().recv();
            Err(OTelSdkError::InternalFailure("down".into()))
        }
    }

    #[test]
    fn nobody_waits_for_a_collector_that_does_not_answer_and_every_span_is_counted() {
        let (let_go, wait) = mpsc::channel();
        let queue = Queue::before(Stuck(std::sync::Mutex::new(wait)));
        let provider = SdkTracerProvider::builder().with_span_processor(queue).build();
        let tracer = provider.tracer("test");
        let made = QUEUE_MAX as u64 + 5 * BATCH_MAX as u64;
        for _ in 0..made {
            drop(tracer.start("span"));
        }
        let counts = span_counts();
        assert!(counts.dropped() > 0, "{counts:?}");
        drop(let_go);
        drop(provider.shutdown());
        assert_eq!(counts.dropped() + counts.failed(), made, "{counts:?}");
        assert_eq!(counts.exported(), 0);
    }
}
