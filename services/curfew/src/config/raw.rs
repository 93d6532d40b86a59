//! The settings as they are written, with their defaults: typed, and not yet judged.

use serde::{Deserialize, Serialize};

/// All settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Raw {
    pub(crate) data: String,
    pub(crate) base_url: Option<String>,
    pub(crate) roles: String,
    pub(crate) keys: Keys,
    pub(crate) redis: Redis,
    pub(crate) kafka: Kafka,
    pub(crate) grpc: Listen,
    pub(crate) http: Listen,
    pub(crate) connections: Connections,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    pub(crate) metrics: Listen,
    pub(crate) otlp: Otlp,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keys {
    pub(crate) signing_algorithm: String,
    pub(crate) root_key_file: Option<String>,
    pub(crate) root_key: Option<String>,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Redis {
    pub(crate) url: Option<String>,
    pub(crate) sentinels: Option<String>,
    pub(crate) master: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) database: i64,
    pub(crate) prefix: String,
    pub(crate) user: Option<String>,
    pub(crate) password_file: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) sentinel_user: Option<String>,
    pub(crate) sentinel_password_file: Option<String>,
    pub(crate) sentinel_password: Option<String>,
    pub(crate) accept_unread: String,
    pub(crate) connections: i64,
    pub(crate) tls: ClientTls,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Kafka {
    pub(crate) bootstrap: Option<String>,
    pub(crate) topics: String,
    pub(crate) topic: String,
    pub(crate) prefix: String,
    pub(crate) partitions: i64,
    pub(crate) replication: i64,
    pub(crate) retention_h: i64,
    pub(crate) sasl: String,
    pub(crate) user: Option<String>,
    pub(crate) password_file: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) token_file: Option<String>,
    pub(crate) tls: ClientTls,
}

/// TLS to servers of somebody else.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClientTls {
    pub(crate) enabled: bool,
    pub(crate) ca_file: Option<String>,
    pub(crate) cert_file: Option<String>,
    pub(crate) key_file: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    pub(crate) listen: Option<String>,
    pub(crate) allow_plaintext: bool,
    pub(crate) tls: Tls,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    pub(crate) cert_file: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) client_ca_file: Option<String>,
    pub(crate) client_certificates: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Connections {
    pub(crate) max: i64,
    pub(crate) streams_max: i64,
    pub(crate) headers_bytes_max: i64,
    pub(crate) handshake_s: i64,
    pub(crate) headers_s: i64,
    pub(crate) keepalive_interval_s: i64,
    pub(crate) keepalive_timeout_s: i64,
    pub(crate) age_max_s: i64,
    pub(crate) age_grace_s: i64,
    pub(crate) drain_s: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    pub(crate) metadata_bytes_max: i64,
    pub(crate) request_bytes_max: i64,
    pub(crate) report_bytes_max: i64,
    pub(crate) response_bytes_max: i64,
    pub(crate) frame_bytes_max: i64,
    pub(crate) calls_max: i64,
    pub(crate) call_wait_ms: i64,
    pub(crate) call_target_ms: i64,
    pub(crate) caller_calls_per_s: i64,
    pub(crate) client_calls_per_s: i64,
    pub(crate) guesses_per_s: i64,
    pub(crate) guesses_burst: i64,
    pub(crate) waits_max: i64,
    pub(crate) subscribers_max: i64,
    pub(crate) subscriber_queue_bytes: i64,
    pub(crate) subscriber_wait_s: i64,
    pub(crate) call_s: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) filter: String,
    pub(crate) format: String,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Otlp {
    pub(crate) endpoint: Option<String>,
    pub(crate) sample_ratio: f64,
    pub(crate) timeout_s: i64,
    pub(crate) headers: Option<String>,
}

impl Default for Raw {
    fn default() -> Self {
        let listen = |address: &str| Listen {
            listen: Some(address.to_owned()),
            ..Listen::default()
        };
        Self {
            data: "./curfew-data".to_owned(),
            base_url: None,
            roles: "authority,hub,gateway,relay".to_owned(),
            keys: Keys::default(),
            redis: Redis::default(),
            kafka: Kafka::default(),
            grpc: listen("127.0.0.1:7400"),
            http: listen("127.0.0.1:7480"),
            connections: Connections::default(),
            limits: Limits::default(),
            log: Log::default(),
            metrics: Listen::default(),
            otlp: Otlp::default(),
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            signing_algorithm: "ES256".to_owned(),
            root_key_file: None,
            root_key: None,
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: None,
            sentinels: None,
            master: None,
            cluster: None,
            database: 0,
            prefix: "curfew".to_owned(),
            user: None,
            password_file: None,
            password: None,
            sentinel_user: None,
            sentinel_password_file: None,
            sentinel_password: None,
            accept_unread: String::new(),
            connections: 2,
            tls: ClientTls::default(),
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap: None,
            topics: "create".to_owned(),
            topic: "curfew.revocations.v1".to_owned(),
            prefix: String::new(),
            partitions: 0,
            replication: 0,
            retention_h: 168,
            sasl: "none".to_owned(),
            user: None,
            password_file: None,
            password: None,
            token_file: None,
            tls: ClientTls::default(),
        }
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka")
            .field("bootstrap", &self.bootstrap)
            .finish_non_exhaustive()
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            client_certificates: "none".to_owned(),
        }
    }
}

/// The edges know their defaults and the reasons; they are told in the units of the file.
fn seconds(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Default for Connections {
    fn default() -> Self {
        let bounds = curfew_transport::Settings::default();
        Self {
            max: count(bounds.connections_max),
            streams_max: bounds.streams_max.into(),
            headers_bytes_max: bounds.headers_bytes_max.into(),
            handshake_s: seconds(bounds.handshake_time_max),
            headers_s: seconds(bounds.header_time_max),
            keepalive_interval_s: seconds(bounds.keepalive_interval),
            keepalive_timeout_s: seconds(bounds.keepalive_timeout),
            age_max_s: bounds.connection_age_max.map_or(0, seconds),
            age_grace_s: seconds(bounds.connection_age_grace),
            drain_s: seconds(bounds.drain_time_max),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let edge = curfew_grpc::Settings::new("");
        Self {
            metadata_bytes_max: count(edge.metadata_bytes_max),
            request_bytes_max: count(edge.request_bytes_max),
            report_bytes_max: count(edge.report_bytes_max),
            response_bytes_max: count(edge.response_bytes_max),
            frame_bytes_max: count(edge.frame_bytes_max),
            calls_max: count(edge.calls_max),
            call_wait_ms: millis(edge.call_wait_max),
            call_target_ms: millis(edge.call_time_target),
            caller_calls_per_s: edge.caller_rate.amount.into(),
            client_calls_per_s: edge.client_rate.amount.into(),
            guesses_per_s: edge.guess_rate.amount.into(),
            guesses_burst: edge.guess_rate.burst.into(),
            waits_max: count(edge.waits_max),
            subscribers_max: count(edge.subscribers_max),
            subscriber_queue_bytes: count(edge.subscriber_queue_bytes),
            subscriber_wait_s: seconds(edge.subscriber_wait),
            call_s: seconds(edge.call_time_max),
        }
    }
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            sample_ratio: 1.0,
            timeout_s: 5,
            headers: None,
        }
    }
}

impl std::fmt::Debug for Otlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Otlp")
            .field("endpoint", &self.endpoint)
            .field("sample_ratio", &self.sample_ratio)
            .field("timeout_s", &self.timeout_s)
            .field("headers", &self.headers.as_ref().map(|_| ".."))
            .finish()
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: "text".to_owned(),
        }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("signing_algorithm", &self.signing_algorithm)
            .field("root_key_file", &self.root_key_file)
            .field("root_key", &self.root_key.as_ref().map(|_| ".."))
            .finish()
    }
}
