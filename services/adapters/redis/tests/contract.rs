//! The contract suite of the store on one real Redis, as the minimal user.
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
use common::Server;
use curfew_ports::store::Store;
use curfew_ports::testing::{Law, StoreUnderTest};
use curfew_redis::Redis;

/// A server, and one store on it for the whole test: it must find its way after every restart.
struct Subject {
    server: Server,
    store: Redis,
}

async fn fresh() -> Subject {
    let server = Server::start(&[]);
    let store = Redis::open(&server.options()).await.unwrap();
    Subject { server, store }
}

#[async_trait]
impl StoreUnderTest for Subject {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn restart(&mut self) -> Law {
        self.server.restart_whole();
        Ok(())
    }

    async fn change_incarnation(&mut self) -> Law {
        assert_eq!(self.server.cli(&["DEBUG", "CHANGE-REPL-ID"]).trim(), "OK");
        Ok(())
    }

    async fn lose(&mut self, commits: usize) -> Law {
        self.server.lose(commits);
        Ok(())
    }
}

curfew_ports::store_contract!(fresh, unsupported: {
    exactly_delta_is_permitted: "a real server's clock moves by itself",
    every_read_tells_the_stores_clock: "a real server's clock cannot be stepped",
    a_record_stays_until_its_time_has_come: "a real server's clock cannot be stepped",
});
