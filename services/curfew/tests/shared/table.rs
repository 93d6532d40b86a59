//! Every method through two nodes: what is written at one is read at the other, and a repeat is answered alike.
//!
//! Methods that no step calls must be those that this release does not offer.

#[path = "table/admin.rs"]
mod admin;
#[path = "table/keys.rs"]
mod keys;
#[path = "table/recovery.rs"]
mod recovery;
#[path = "table/revocations.rs"]
mod revocations;
#[path = "table/sessions.rs"]
mod sessions;
#[path = "table/tokens.rs"]
mod tokens;
#[path = "table/way.rs"]
mod way;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use prost_reflect::DescriptorPool;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::process::{Server, caller_token, channel};
use super::servers::{Servers, until};
use way::Way;

/// The two nodes, as their administrator sees them.
pub(super) struct Pair {
    pub(super) here: Way,
    pub(super) there: Way,
    servers: [Server; 2],
    secret: String,
    called: Arc<Mutex<BTreeSet<String>>>,
}

impl Pair {
    async fn start(servers: &Servers) -> Self {
        let (nodes, secrets): ([Server; 2], _) = servers.seeded_nodes();
        let called = Arc::default();
        let [here, there] = &nodes;
        Self {
            here: Way::new(channel(&here.grpc).await, &called),
            there: Way::new(channel(&there.grpc).await, &called),
            servers: nodes,
            secret: secrets.admin,
            called,
        }
    }

    /// Fetches the administrator's token from one node, and shows it to both.
    pub(super) async fn sign_in(&self) {
        let token = until("the node knows the administrator", async || {
            let token = caller_token(channel(&self.servers[0].grpc).await, "admin", &self.secret).await;
            match token {
                Ok(token) => Some(token),
                Err(status) if status.code() == Code::Unauthenticated => None,
                Err(status) => panic!("{status:?}"),
            }
        });
        let token = token.await;
        self.here.bear(&token);
        self.there.bear(&token);
    }

    /// The same request at both nodes, one after the other, is one operation with one answer.
    pub(super) async fn twice<T: PartialEq + Debug>(
        &self,
        mut call: impl AsyncFnMut(Way) -> Result<T, Status>,
    ) -> T {
        let first = call(self.here.clone()).await.unwrap();
        let again = call(self.there.clone()).await.unwrap();
        assert_eq!(first, again, "a repeat at the other node");
        first
    }

    /// Asked of the other node until its view of the directory is young enough: it looks once a second.
    pub(super) async fn known_there<T>(&self, mut call: impl AsyncFnMut(Way) -> Result<T, Status>) -> T {
        until("the other node knows it", async || {
            match call(self.there.clone()).await {
                Ok(found) => Some(found),
                Err(status) if [Code::NotFound, Code::FailedPrecondition].contains(&status.code()) => None,
                Err(status) => panic!("{status:?}"),
            }
        })
        .await
    }

    /// Every item of a list, page by page, each page from another node than the one before.
    pub(super) async fn pages<T>(
        &self,
        mut page: impl AsyncFnMut(Way, String) -> Result<(Vec<T>, String), Status>,
    ) -> Vec<T> {
        let mut ways = [&self.here, &self.there].into_iter().cycle();
        let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (items, next) = page(ways.next().unwrap().clone(), token).await.unwrap();
            found.extend(items);
            pages += 1;
            token = next;
            if token.is_empty() {
                assert!(pages > 1, "a token of one node was taken by the other");
                return found;
            }
        }
    }

    /// What is never called is not offered, at either node.
    async fn whole(&self) {
        let pool = DescriptorPool::decode(curfew_proto::FILE_DESCRIPTOR_SET).unwrap();
        let services = pool
            .services()
            .filter(|service| service.package_name().starts_with("curfew."));
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let paths =
            methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()));
        let called = self.called.lock().unwrap().clone();
        let mut offered = 0;
        for path in paths {
            if called.contains(&path) {
                offered += 1;
                continue;
            }
            for way in [&self.here, &self.there] {
                let mut grpc = Grpc::new(way.clone());
                grpc.ready().await.unwrap();
                let asked: PathAndQuery = path.parse().unwrap();
                let codec = ProstCodec::<(), ()>::default();
                let refused = grpc.unary(Request::new(()), asked, codec).await;
                let refused = refused.expect_err("no step of this table calls it");
                assert_eq!(refused.code(), Code::Unimplemented, "{path}: {refused:?}");
            }
        }
        assert_eq!(offered, called.len(), "{called:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_at_one_node_holds_at_the_other() {
    let servers = Servers::start();
    let pair = Pair::start(&servers).await;
    pair.sign_in().await;
    admin::records_made_here_are_known_there(&pair).await;
    sessions::sessions_opened_here_are_changed_and_ended_there(&pair).await;
    tokens::tokens_issued_here_are_good_there(&pair).await;
    tokens::app_tokens_issued_here_are_good_there(&pair).await;
    revocations::revocations_made_here_are_heard_there(&pair).await;
    admin::subjects_disabled_here_are_refused_there(&pair).await;
    keys::keys_changed_here_are_used_there(&pair).await;
    recovery::where_nothing_is_lost_both_say_so_and_change_nothing(&pair).await;
    pair.whole().await;
}
