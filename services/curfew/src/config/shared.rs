//! State that many nodes share: Redis and Kafka, both or neither; and what a node does with it.
//!
//! **Invariant:** no password stands in the file or in an argument, nor inside a URL there.

use std::path::{Path, PathBuf};

use curfew_kafka::{Sasl, ScramHash, Topics};
use curfew_redis::{Address, Credentials, Servers};

use super::layers::Layers;
use super::raw;
use crate::client::connection::read_secret;

/// Where the shared state is.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) redis: curfew_redis::Options,
    pub(crate) kafka: curfew_kafka::Options,
}

/// What a node does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Roles {
    /// It decides and mints.
    pub(crate) authority: bool,
    /// It fans the log out.
    pub(crate) hub: bool,
    /// It speaks HTTP.
    pub(crate) gateway: bool,
    /// It brings to the log what other nodes committed and did not append.
    pub(crate) relay: bool,
}

const ROLES: [&str; 4] = ["authority", "hub", "gateway", "relay"];

/// Judges the roles.
pub(super) fn roles(layers: &mut Layers, text: &str, is_shared: bool) -> Roles {
    let words: Vec<_> = listed(text).collect();
    for word in words.iter().filter(|word| !ROLES.contains(word)) {
        layers.fault("roles", format!("`{word}` is none of {}", ROLES.join(", ")));
    }
    let has = |role| words.contains(&role);
    let roles = Roles {
        authority: has("authority"),
        hub: has("hub"),
        gateway: has("gateway"),
        relay: has("relay"),
    };
    if words.is_empty() {
        layers.fault("roles", "names none");
    } else if !is_shared && ROLES.iter().any(|role| !has(role)) {
        layers.fault(
            "roles",
            "a node whose state is its own does all of it; nodes share it by `redis` and `kafka`",
        );
    }
    roles
}

/// Judges both tables; `None`: the state is the node's own, or a fault was noted.
pub(super) fn shared(layers: &mut Layers, redis: &raw::Redis, kafka: &raw::Kafka) -> Option<Shared> {
    let servers = servers(layers, redis);
    let bootstrap = kafka.bootstrap.as_ref();
    match (servers, bootstrap) {
        (None, None) => None,
        (Some(_), None) => {
            layers.fault(
                "kafka.bootstrap",
                "Redis is named and Kafka is not: nodes share both or neither",
            );
            None
        }
        (None, Some(_)) => {
            if !names_redis(redis) {
                layers.fault(
                    "redis.url",
                    "Kafka is named and Redis is not: nodes share both or neither",
                );
            }
            None
        }
        (Some(servers), Some(bootstrap)) => Some(Shared {
            redis: redis_options(layers, redis, servers),
            kafka: kafka_options(layers, kafka, bootstrap)?,
        }),
    }
}

fn names_redis(redis: &raw::Redis) -> bool {
    redis.url.is_some() || redis.sentinels.is_some() || redis.cluster.is_some()
}

/// `None`: none are named, or a fault was noted. A URL gives the other options as well.
fn servers(layers: &mut Layers, redis: &raw::Redis) -> Option<curfew_redis::Options> {
    if redis.sentinels.is_none() {
        let of_sentinels = [
            ("redis.master", redis.master.is_some()),
            ("redis.sentinel_user", redis.sentinel_user.is_some()),
            (
                "redis.sentinel_password_file",
                redis.sentinel_password_file.is_some(),
            ),
        ];
        for (path, _) in of_sentinels.into_iter().filter(|(_, is_said)| *is_said) {
            layers.fault(path, "is of Sentinels, and `redis.sentinels` names none");
        }
    }
    match (&redis.url, &redis.sentinels, &redis.cluster) {
        (None, None, None) => None,
        (Some(url), None, None) => {
            let options = curfew_redis::Options::from_url(url);
            let options = options.map_err(|error| layers.fault("redis.url", error)).ok()?;
            if options.credentials.is_some() {
                layers.fault(
                    "redis.url",
                    "has a password in it, which shows where it stands: set CURFEW_REDIS_PASSWORD or \
                     `redis.password_file`, and `redis.user`",
                );
            }
            Some(options)
        }
        (None, Some(sentinels), None) => {
            let Some(master) = &redis.master else {
                layers.fault(
                    "redis.master",
                    "is missing: the name by which the Sentinels know the primary",
                );
                return None;
            };
            let user = redis.sentinel_user.as_ref();
            let own = sentinel_password(layers, redis);
            Some(curfew_redis::Options::new(Servers::Sentinel {
                sentinels: addresses(layers, "redis.sentinels", sentinels),
                master: master.clone(),
                credentials: own.map(|password| Credentials {
                    user: user.cloned(),
                    password: curfew_redis::Secret::new(password),
                }),
            }))
        }
        (None, None, Some(cluster)) => Some(curfew_redis::Options::new(Servers::Cluster {
            seeds: addresses(layers, "redis.cluster", cluster),
        })),
        (_, _, _) => {
            layers.fault(
                "redis.url",
                "one of `redis.url`, `redis.sentinels` and `redis.cluster` says where Redis is, not several",
            );
            None
        }
    }
}

fn redis_options(
    layers: &mut Layers,
    redis: &raw::Redis,
    mut options: curfew_redis::Options,
) -> curfew_redis::Options {
    let password = password(
        layers,
        "redis.password_file",
        redis.password.as_deref(),
        redis.password_file.as_deref(),
    );
    if let Some(password) = password {
        options.credentials = Some(Credentials {
            user: redis.user.clone(),
            password: curfew_redis::Secret::new(password),
        });
    } else if redis.user.is_some() {
        layers.fault(
            "redis.user",
            "has no password: set CURFEW_REDIS_PASSWORD or `redis.password_file`",
        );
    }
    if redis.database != 0 && options.database != 0 {
        layers.fault("redis.database", "and the URL both name a database; keep one");
    } else if redis.database != 0 {
        options.database = u16::try_from(redis.database).unwrap_or_else(|_| {
            layers.fault("redis.database", "is not between 0 and 65535");
            0
        });
    }
    options.prefix.clone_from(&redis.prefix);
    options.connections = usize::try_from(redis.connections).unwrap_or(0);
    options.accept_unread = listed(&redis.accept_unread).map(str::to_owned).collect();
    if let Some((ca, identity)) = tls(
        layers,
        "redis.tls",
        redis.tls.enabled || options.tls.is_some(),
        &redis.tls,
    ) {
        let (certificate, key) = identity.unzip();
        options.tls = Some(curfew_redis::Tls {
            ca,
            certificate,
            key,
            ..options.tls.unwrap_or_default()
        });
    }
    if let Err(error) = options.check() {
        layers.faults.push(format!("`redis`: {error}"));
    }
    options
}

/// `None`: a fault was noted.
fn kafka_options(layers: &mut Layers, kafka: &raw::Kafka, bootstrap: &str) -> Option<curfew_kafka::Options> {
    let mut options = curfew_kafka::Options::new(bootstrap);
    options.topic.clone_from(&kafka.topic);
    options.prefix.clone_from(&kafka.prefix);
    options.topics = Topics::from_word(&kafka.topics).unwrap_or_else(|| {
        let what = format!("`{}` is none of create, verify, trust", kafka.topics);
        layers.fault("kafka.topics", what);
        Topics::default()
    });
    options.partitions = chosen(layers, "kafka.partitions", kafka.partitions);
    options.replication = chosen(layers, "kafka.replication", kafka.replication);
    options.retention_ms = kafka.retention_h.saturating_mul(3_600_000);
    options.security.sasl = sasl(layers, kafka);
    options.security.tls = tls(layers, "kafka.tls", kafka.tls.enabled, &kafka.tls).map(|(ca, identity)| {
        let identity = identity.map(|(certificate, key)| curfew_kafka::TlsIdentity {
            certificate,
            key,
            key_password: None,
        });
        curfew_kafka::Tls { ca, identity }
    });
    if let Err(error) = options.check() {
        layers.faults.push(format!("`kafka`: {error}"));
        return None;
    }
    Some(options)
}

/// `None`: nobody chose, or a fault was noted.
fn chosen(layers: &mut Layers, path: &str, number: i64) -> Option<u16> {
    if number == 0 {
        return None;
    }
    let number = u16::try_from(number);
    number
        .map_err(|_| layers.fault(path, "is not between 1 and 65535"))
        .ok()
}

fn sasl(layers: &mut Layers, kafka: &raw::Kafka) -> Option<Sasl> {
    let hash = match kafka.sasl.as_str() {
        "none" => {
            let said = [
                ("kafka.user", kafka.user.is_some()),
                ("kafka.password_file", kafka.password_file.is_some()),
                ("kafka.token_file", kafka.token_file.is_some()),
            ];
            for (path, _) in said.into_iter().filter(|(_, is_said)| *is_said) {
                layers.fault(path, "is of SASL, and `kafka.sasl` is \"none\"");
            }
            return None;
        }
        "OAUTHBEARER" => {
            let Some(token_file) = &kafka.token_file else {
                layers.fault(
                    "kafka.token_file",
                    "is missing: OAUTHBEARER takes its token from there",
                );
                return None;
            };
            return Some(Sasl::OauthBearer {
                token_file: token_file.into(),
            });
        }
        "PLAIN" => None,
        "SCRAM-SHA-256" => Some(ScramHash::Sha256),
        "SCRAM-SHA-512" => Some(ScramHash::Sha512),
        word => {
            let what = format!("`{word}` is none of none, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER");
            layers.fault("kafka.sasl", what);
            return None;
        }
    };
    let password = password(
        layers,
        "kafka.password_file",
        kafka.password.as_deref(),
        kafka.password_file.as_deref(),
    );
    let (Some(user), Some(password)) = (kafka.user.clone(), password) else {
        layers.fault(
            "kafka.sasl",
            "needs `kafka.user`, and CURFEW_KAFKA_PASSWORD or `kafka.password_file`",
        );
        return None;
    };
    let password = curfew_kafka::Secret::new(password);
    Some(match hash {
        None => Sasl::Plain { user, password },
        Some(hash) => Sasl::Scram { hash, user, password },
    })
}

/// The authorities, and our own certificate with its key.
type ClientFiles = (Option<PathBuf>, Option<(PathBuf, PathBuf)>);

/// `None`: no TLS, or a fault was noted.
fn tls(layers: &mut Layers, table: &str, is_on: bool, raw: &raw::ClientTls) -> Option<ClientFiles> {
    let path = |key: &str| format!("{table}.{key}");
    let named = raw.ca_file.is_some() || raw.cert_file.is_some() || raw.key_file.is_some();
    if !is_on {
        if named {
            layers.fault(&path("enabled"), "is false, and files for TLS are named");
        }
        return None;
    }
    let identity = match (&raw.cert_file, &raw.key_file) {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (None, None) => None,
        (Some(_), None) => {
            layers.fault(&path("cert_file"), format!("needs `{}`", path("key_file")));
            return None;
        }
        (None, Some(_)) => {
            layers.fault(&path("key_file"), format!("needs `{}`", path("cert_file")));
            return None;
        }
    };
    Some((raw.ca_file.as_ref().map(PathBuf::from), identity))
}

/// Ours at the Sentinels; `None`: there is none, or a fault was noted.
fn sentinel_password(layers: &mut Layers, redis: &raw::Redis) -> Option<String> {
    let own = password(
        layers,
        "redis.sentinel_password_file",
        redis.sentinel_password.as_deref(),
        redis.sentinel_password_file.as_deref(),
    );
    if own.is_none() && redis.sentinel_user.is_some() {
        layers.fault(
            "redis.sentinel_user",
            "has no password: set CURFEW_REDIS_SENTINEL_PASSWORD or `redis.sentinel_password_file`",
        );
    }
    own
}

/// A password out of the environment, or out of a file of its own; `None`: there is none, or a fault was noted.
fn password(layers: &mut Layers, path: &str, said: Option<&str>, file: Option<&str>) -> Option<String> {
    match (said, file) {
        (None, None) => None,
        (Some(password), None) => Some(password.to_owned()),
        (None, Some(file)) => match read_secret(Path::new(file)) {
            Ok(secret) => Some(secret.expose_text().to_owned()),
            Err(fault) => {
                layers.fault(path, fault);
                None
            }
        },
        (Some(_), Some(_)) => {
            layers.fault(path, "and the environment both give the password; keep one");
            None
        }
    }
}

fn addresses(layers: &mut Layers, path: &str, text: &str) -> Vec<Address> {
    let mut addresses = Vec::new();
    for word in listed(text) {
        let parts = word.rsplit_once(':');
        match parts.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
            Some((host, port)) if !host.is_empty() => {
                addresses.push(Address::new(host.trim_matches(['[', ']']), port));
            }
            _ => layers.fault(
                path,
                format!("`{word}` is no `host:port`; several have commas between"),
            ),
        }
    }
    addresses
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}
