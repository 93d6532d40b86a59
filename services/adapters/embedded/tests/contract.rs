//! The contract suites of the store and of the log, on a disk in memory that can go back; `open.rs` and `kill.rs` use real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::disk::TestDisk;
use curfew_core::place::{LogPartition, Position};
use curfew_core::record::{LogRecord, UnknownRecord};
use curfew_embedded::{Embedded, Options};
use curfew_ports::log::Log;
use curfew_ports::store::Store;
use curfew_ports::testing::{ClockCheck, Lacks, Law, LogUnderTest, StillClock, StoreUnderTest};

/// An engine on a disk in memory, which can go back; `None` only while it restarts.
struct Engine {
    disk: TestDisk,
    clock: Arc<StillClock>,
    options: Options,
    engine: Option<Embedded>,
}

impl Engine {
    fn engine(&self) -> Embedded {
        self.engine.clone().unwrap()
    }

    /// Every handle that a law was given is gone by now, so this closes the file.
    fn reopen(&mut self, go_back: usize) {
        self.engine = None;
        if go_back > 0 {
            // The clean close has synced, too.
            self.disk.go_back(go_back);
        }
        self.engine = Some(Embedded::open_on(Arc::new(self.disk.clone()), self.options.clone()).unwrap());
    }
}

async fn fresh() -> Engine {
    let (disk, clock) = (TestDisk::default(), common::still());
    disk.keep_history();
    let options = common::options(clock.clone());
    let engine = Some(Embedded::open_on(Arc::new(disk.clone()), options.clone()).unwrap());
    Engine {
        disk,
        clock,
        options,
        engine,
    }
}

#[async_trait]
impl StoreUnderTest for Engine {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.engine())
    }

    fn log(&self) -> Option<Arc<dyn Log>> {
        Some(Arc::new(self.engine()))
    }

    fn clock_check(&self) -> ClockCheck {
        ClockCheck::OnlyBehind
    }

    async fn step_clock(&mut self, ms: i64) -> Law {
        self.clock.advance(ms);
        Ok(())
    }

    async fn restart(&mut self) -> Law {
        self.reopen(0);
        Ok(())
    }

    async fn change_incarnation(&mut self) -> Law {
        self.engine().new_incarnation().await.unwrap();
        Ok(())
    }

    async fn lose(&mut self, commits: usize) -> Law {
        self.disk_lose(commits).await;
        Ok(())
    }
}

impl Engine {
    /// What `curfew restore` of an older copy does: an earlier file, a new incarnation.
    async fn disk_lose(&mut self, commits: usize) {
        let syncs = self.disk.syncs();
        self.engine = None;
        let closing = usize::try_from(self.disk.syncs() - syncs).unwrap();
        self.reopen(commits + closing);
        self.engine().new_incarnation().await.unwrap();
    }
}

#[async_trait]
impl LogUnderTest for Engine {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.engine())
    }

    async fn restart(&mut self) -> Law {
        self.reopen(0);
        Ok(())
    }

    async fn trim(&mut self, partition: LogPartition, before: u64) -> Law {
        self.engine().trim_for_tests(partition, before).await.unwrap();
        Ok(())
    }

    async fn append_raw(&mut self, partition: LogPartition, raw: &[u8]) -> Result<Position, Lacks> {
        let record = LogRecord::Unknown(UnknownRecord {
            raw: raw.into(),
            why: "as it is".into(),
        });
        Ok(self.engine().append(partition, &record).await.unwrap())
    }
}

mod store {
    use super::fresh;

    curfew_ports::store_contract!(fresh, unsupported: {
        a_clock_far_ahead_is_suspect: "the engine knows no time but its newest record's",
        an_outbox_entry_is_deleted_like_any_record: "store and log are one engine: it has no outbox",
    });
}

mod log {
    use super::fresh;

    curfew_ports::log_contract!(fresh);
}
