//! The contract suite of the log on one real broker, on three, and where next to nothing is permitted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    dead_code,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::Kind;
use curfew_core::place::{LogPartition, Position};
use curfew_core::record::{LogRecord, UnknownRecord};
use curfew_kafka::{Kafka, Options, Topics};
use curfew_ports::log::Log;
use curfew_ports::testing::{Lacks, Law, LogUnderTest};
use curfew_servers::Kafka as Server;

/// A topic of its own on a broker that other laws use too.
struct Topic {
    broker: Arc<Server>,
    options: Options,
    log: Kafka,
}

async fn fresh(kind: Kind) -> Topic {
    let broker = common::shared(kind).await;
    let mut options = common::options(&broker.bootstrap());
    if kind == Kind::Strict {
        common::trusted(&mut options).await;
    }
    let log = Kafka::open(options.clone()).await.unwrap();
    Topic { broker, options, log }
}

#[async_trait]
impl LogUnderTest for Topic {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.log.clone())
    }

    /// Another node, which only looks: what the first one knew is gone.
    async fn restart(&mut self) -> Law {
        if self.options.topics == Topics::Create {
            self.options.topics = Topics::Verify;
        }
        self.log = Kafka::open(self.options.clone()).await.unwrap();
        Ok(())
    }

    async fn trim(&mut self, partition: LogPartition, before: u64) -> Law {
        common::delete_records(&self.options, partition, before).await;
        Ok(())
    }

    async fn append_raw(&mut self, partition: LogPartition, raw: &[u8]) -> Result<Position, Lacks> {
        let record = LogRecord::Unknown(UnknownRecord {
            raw: raw.into(),
            why: "as it is".into(),
        });
        Ok(self.log.append(partition, &record).await.unwrap())
    }
}

mod one {
    use super::{Kind, fresh};

    curfew_ports::log_contract!(|| fresh(Kind::One));
}

mod three {
    use super::{Kind, fresh};

    curfew_ports::log_contract!(|| fresh(Kind::Three));
}

/// ACLs deny making topics and looking at their settings.
mod strict {
    use super::{Kind, fresh};

    curfew_ports::log_contract!(|| fresh(Kind::Strict));
}
