//! One server, under the contract suite.

use std::sync::Arc;

use async_trait::async_trait;
use curfew_ports::store::Store;
use curfew_ports::testing::{Law, StoreUnderTest};
use curfew_redis::Redis;

use super::Server;

/// A server, and one store on it for the whole test: it must find its way after every restart.
pub(crate) struct Subject {
    server: Server,
    store: Redis,
}

impl Subject {
    pub(crate) async fn on(server: Server) -> Self {
        let store = Redis::open(&server.options()).await.unwrap();
        Self { server, store }
    }
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
