//! `redis.conf`: as production would have it, on loopback.

use super::RedisOptions;
use crate::ports::Lease;

/// What a Redis process is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A server, master or replica.
    Alone,
    /// A server in a cluster, with the port where nodes talk to one another.
    InCluster { bus: Lease },
    /// No server: it watches some.
    Sentinel,
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Alone => "redis-server",
            Self::InCluster { .. } => "redis-server of a cluster",
            Self::Sentinel => "redis-sentinel",
        }
    }

    /// What follows the file on the command line.
    pub(super) fn argument(&self) -> Option<&'static str> {
        match self {
            Self::Alone | Self::InCluster { .. } => None,
            Self::Sentinel => Some("--sentinel"),
        }
    }
}

/// The whole file.
pub(super) fn text(kind: &Kind, options: &RedisOptions, port: u16) -> String {
    let mut lines = vec![
        "bind 127.0.0.1".to_owned(),
        "daemonize no".to_owned(),
        // Its command line stays as it was: it says whose it is.
        "set-proc-title no".to_owned(),
    ];
    lines.extend(listen(options, port));
    let stored = [
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        // The append-only file is enough; a snapshot beside it is only work.
        "save \"\"",
        // A replica need not wait five seconds for others that might want the same.
        "repl-diskless-sync-delay 0",
    ];
    match kind {
        Kind::Alone => lines.extend(stored.map(str::to_owned)),
        Kind::InCluster { bus } => {
            lines.extend(stored.map(str::to_owned));
            lines.push("cluster-enabled yes".to_owned());
            lines.push(format!("cluster-port {}", bus.port()));
            // A dead master is replaced after this and a little more; production has 15 s.
            lines.push("cluster-node-timeout 2000".to_owned());
        }
        Kind::Sentinel => {}
    }
    lines.extend(options.lines.iter().cloned());
    lines.join("\n") + "\n"
}

fn listen(options: &RedisOptions, port: u16) -> Vec<String> {
    let Some(tls) = &options.tls else {
        return vec![format!("port {port}")];
    };
    let clients = if tls.clients_must_show_one { "yes" } else { "no" };
    vec![
        "port 0".to_owned(),
        format!("tls-port {port}"),
        format!("tls-ca-cert-file {}", tls.ca.display()),
        format!("tls-cert-file {}", tls.certificate.display()),
        format!("tls-key-file {}", tls.key.display()),
        format!("tls-auth-clients {clients}"),
        "tls-replication yes".to_owned(),
        "tls-cluster yes".to_owned(),
    ]
}
