//! A TCP proxy whose open connections can be made to hang for ever, while new ones work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Proxy {
    pub(crate) port: u16,
    wedged: Arc<AtomicUsize>,
    pub(crate) accepted: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            wedged: Arc::default(),
            accepted: Arc::default(),
        };
        let (wedged, accepted) = (proxy.wedged.clone(), proxy.accepted.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(pump(near_in, far_out, number, wedged.clone()));
                tokio::spawn(pump(far_in, near_out, number, wedged.clone()));
            }
        });
        proxy
    }

    /// What is connected now moves no byte any more, and is not closed either.
    pub(crate) fn wedge(&self) {
        self.wedged
            .store(self.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    number: usize,
    wedged: Arc<AtomicUsize>,
) {
    let mut buffer = [0; 4_096];
    while let Ok(length) = from.read(&mut buffer).await {
        if number < wedged.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if length == 0 || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
