//! A balancer as dumb as can be: a connection goes to the next node that takes it, and stays there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};

use super::process::Server;

pub(crate) struct Balancer {
    pub(crate) address: String,
    nodes: Arc<Mutex<Vec<String>>>,
    taken: Arc<AtomicUsize>,
}

impl Balancer {
    pub(crate) async fn before(nodes: &[&Server]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let balancer = Self {
            address: listener.local_addr().unwrap().to_string(),
            nodes: Arc::new(Mutex::new(nodes.iter().map(|node| node.grpc.clone()).collect())),
            taken: Arc::default(),
        };
        let (nodes, taken) = (balancer.nodes.clone(), balancer.taken.clone());
        tokio::spawn(async move {
            let mut turn = 0;
            while let Ok((mut near, _)) = listener.accept().await {
                let nodes = nodes.lock().unwrap().clone();
                for _ in &nodes {
                    turn += 1;
                    // Nobody tells it which nodes are dead: it finds out.
                    if let Ok(mut far) = TcpStream::connect(&nodes[turn % nodes.len()]).await {
                        taken.fetch_add(1, Ordering::Relaxed);
                        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
                        break;
                    }
                }
            }
        });
        balancer
    }

    /// Connections that a node took.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, node: &Server) {
        self.nodes.lock().unwrap().push(node.grpc.clone());
    }
}
