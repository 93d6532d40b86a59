//! The fake passes the suites, the suites judge, and the samples are complete.

mod fake_log;
mod fake_store;
mod samples;
mod suites;

use std::sync::Arc;

use async_trait::async_trait;
use curfew_core::place::{LogPartition, Position};
use curfew_core::record::{LogRecord, UnknownRecord};

use super::samples::{instant, log_identity};
use super::{FakeLog, FakeStore, Law, LogUnderTest, StillClock, StoreUnderTest};
use crate::log::Log;
use crate::store::Store;

/// A fake store with the clock that it stands by.
struct FakeStoreUnderTest {
    clock: Arc<StillClock>,
    store: FakeStore,
    log: Option<FakeLog>,
}

#[async_trait]
impl StoreUnderTest for FakeStoreUnderTest {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    fn log(&self) -> Option<Arc<dyn Log>> {
        self.log.clone().map(|log| Arc::new(log) as Arc<dyn Log>)
    }

    async fn step_clock(&mut self, ms: i64) -> Law {
        self.clock.advance(ms);
        Ok(())
    }

    async fn restart(&mut self) -> Law {
        // Memory is all there is: down and up again.
        self.store.go_down();
        self.store.come_up();
        Ok(())
    }

    async fn change_incarnation(&mut self) -> Law {
        self.store.fail_over(0);
        Ok(())
    }

    async fn lose(&mut self, commits: usize) -> Law {
        assert_eq!(self.store.fail_over(commits), commits);
        Ok(())
    }
}

struct FakeLogUnderTest(FakeLog);

#[async_trait]
impl LogUnderTest for FakeLogUnderTest {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.0.clone())
    }

    async fn restart(&mut self) -> Law {
        self.0.go_down();
        self.0.come_up();
        Ok(())
    }

    async fn trim(&mut self, partition: LogPartition, before: u64) -> Law {
        self.0.trim(partition, before);
        Ok(())
    }

    async fn append_raw(&mut self, partition: LogPartition, raw: &[u8]) -> Result<Position, super::Lacks> {
        let unknown = UnknownRecord {
            raw: raw.into(),
            why: "a sample".into(),
        };
        Ok(self
            .0
            .append(partition, &LogRecord::Unknown(unknown))
            .await
            .unwrap())
    }
}

fn clock() -> Arc<StillClock> {
    StillClock::at(instant(0))
}

fn a_log() -> FakeLog {
    FakeLog::new(log_identity(), clock())
}

fn a_store() -> FakeStore {
    FakeStore::new(clock())
}
