//! What is configured: servers, credentials, TLS, bounds.
//!
//! **Invariant:** no message and no `Debug` shows a password, nor the URL that it came in.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// A password. It never shows itself.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// From text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(crate) fn expose_text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One server's address. `Display` is `host:port`, an IPv6 address in brackets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// An address.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An ACL user with its password; without a user it is `default`.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The ACL user.
    pub user: Option<String>,
    /// Its password.
    pub password: Secret,
}

/// Which servers there are.
#[derive(Clone, Debug)]
pub enum Servers {
    /// One server, or one address behind which somebody else decides which server it is.
    Single(Address),
    /// A primary that Sentinel names.
    Sentinel {
        /// The Sentinels; the first that answers is believed.
        sentinels: Vec<Address>,
        /// The name that Sentinel knows the primary by.
        master: String,
        /// How to log in at the Sentinels; nothing of the primary's credentials is sent to them.
        credentials: Option<Credentials>,
    },
    /// A Redis Cluster.
    Cluster {
        /// Some of its nodes; the others are asked for.
        seeds: Vec<Address>,
    },
}

impl fmt::Display for Servers {
    /// Where they are, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |addresses: &[Address]| {
            let texts: Vec<_> = addresses.iter().map(Address::to_string).collect();
            texts.join(",")
        };
        match self {
            Self::Single(address) => address.fmt(f),
            Self::Sentinel {
                sentinels, master, ..
            } => {
                write!(f, "{master} by the Sentinels {}", listed(sentinels))
            }
            Self::Cluster { seeds } => write!(f, "Cluster {}", listed(seeds)),
        }
    }
}

/// TLS, for data nodes and Sentinels alike.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM file of the authorities to trust; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// PEM file of our own certificate chain; together with `key`.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
    /// The name to expect in every server's certificate; `None`: the host that is connected to.
    pub server_name: Option<String>,
}

/// All options of the store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which servers there are.
    pub servers: Servers,
    /// How to log in at the data nodes. Default: not at all.
    pub credentials: Option<Credentials>,
    /// The database number; a Cluster has only 0. Default: 0.
    pub database: u16,
    /// What every key begins with; no braces, at most 64 bytes. Default: `curfew`. Another prefix is
    /// another store.
    pub prefix: String,
    /// Default: no TLS.
    pub tls: Option<Tls>,
    /// Connections to each node, 1 to 16. One carries some 150,000 commits a second; the second keeps
    /// a large answer from holding all others up. Default: 2.
    pub connections: usize,
    /// How long a connection may take, with TLS and login, ms. Default: 1,000.
    pub connect_timeout_ms: u64,
    /// How long one answer may take, ms; longer than a disk's slow fsync, shorter than a caller's
    /// patience. Default: 1,000.
    pub response_timeout_ms: u64,
    /// How long a call may take with all its tries, ms. Default: 3,000.
    pub call_timeout_ms: u64,
    /// Calls that may be under way; one more is refused at once. At 50,000 a second 4,096 are 80 ms.
    /// Default: 4,096.
    pub calls_max: usize,
    /// How often each connection is asked whether it still lives and decides, ms. Default: 1,000.
    pub probe_ms: u64,
    /// Settings that are accepted although the server does not let them be read, by name, for instance
    /// `maxmemory-policy`. Default: none.
    pub accept_unread: Vec<String>,
}

/// The largest prefix; it is in every key.
const PREFIX_BYTES_MAX: usize = 64;
const CONNECTIONS_MAX: usize = 16;

impl Options {
    /// The defaults, for these servers.
    #[must_use]
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            credentials: None,
            database: 0,
            prefix: "curfew".to_owned(),
            tls: None,
            connections: 2,
            connect_timeout_ms: 1_000,
            response_timeout_ms: 1_000,
            call_timeout_ms: 3_000,
            calls_max: 4_096,
            probe_ms: 1_000,
            accept_unread: Vec::new(),
        }
    }

    /// One server by its URL: `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS.
    pub fn from_url(url: &str) -> Result<Self, OptionsError> {
        crate::address::options_of(url)
    }

    /// Refuses what could not work, by name.
    pub fn check(&self) -> Result<(), OptionsError> {
        let wrong = |what, why| Err(OptionsError::Setting { what, why });
        if self.prefix.len() > PREFIX_BYTES_MAX || self.prefix.contains(['{', '}', '*', '?', '[', '\\', ' '])
        {
            return wrong(
                "prefix",
                "at most 64 bytes, without spaces and any of { } * ? [ \\",
            );
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            return wrong("connections", "1 to 16");
        }
        let times = [
            self.connect_timeout_ms,
            self.response_timeout_ms,
            self.call_timeout_ms,
            self.probe_ms,
        ];
        if times.contains(&0) || self.calls_max == 0 {
            return wrong("time-outs, probe_ms and calls_max", "more than 0");
        }
        if let Some(tls) = &self.tls
            && tls.certificate.is_some() != tls.key.is_some()
        {
            return wrong("tls.certificate and tls.key", "both or neither");
        }
        match &self.servers {
            Servers::Single(_) => Ok(()),
            Servers::Sentinel {
                sentinels, master, ..
            } => {
                if sentinels.is_empty() || master.is_empty() {
                    return wrong("sentinels and master", "at least one address, and the name");
                }
                Ok(())
            }
            Servers::Cluster { seeds } => {
                if seeds.is_empty() {
                    return wrong("seeds", "at least one address");
                }
                if self.database != 0 {
                    return wrong("database", "a Cluster has only database 0");
                }
                Ok(())
            }
        }
    }
}

/// What is wrong with the options, before anything is connected to.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The URL. It is not shown: it may hold a password.
    #[error(
        "the Redis URL is wrong: {why}; it is redis://[[user]:password@]host[:port][/database], or rediss:// for TLS"
    )]
    Url {
        /// What of it.
        why: &'static str,
    },
    /// Another setting.
    #[error("{what} must be {why}")]
    Setting {
        /// Which.
        what: &'static str,
        /// What it must be.
        why: &'static str,
    },
}
