//! Every setting of a node: its name, what its text must be, whether it is a secret.
//!
//! The same table serves the environment, `--set`, `config show` and the search for the nearest name.
//!
//! **Invariant:** the table and the parsed form have the same names: a test compares them.

/// What a setting's text is read as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A number with or without a fraction.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A text that nobody may see: never in the file, never an argument.
    Secret,
}

/// A setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Its name: tables and key, with dots.
    pub(crate) path: &'static str,
    /// What its text is.
    pub(crate) kind: Kind,
}

const fn text(path: &'static str) -> Setting {
    Setting {
        path,
        kind: Kind::Text,
    }
}

const fn integer(path: &'static str) -> Setting {
    Setting {
        path,
        kind: Kind::Integer,
    }
}

const fn number(path: &'static str) -> Setting {
    Setting {
        path,
        kind: Kind::Number,
    }
}

const fn boolean(path: &'static str) -> Setting {
    Setting {
        path,
        kind: Kind::Boolean,
    }
}

const fn secret(path: &'static str) -> Setting {
    Setting {
        path,
        kind: Kind::Secret,
    }
}

/// All of them, in the order of the sample.
pub(crate) const SETTINGS: &[Setting] = &[
    text("data"),
    text("base_url"),
    text("roles"),
    text("keys.signing_algorithm"),
    text("keys.root_key_file"),
    secret("keys.root_key"),
    text("grpc.listen"),
    boolean("grpc.allow_plaintext"),
    text("grpc.tls.cert_file"),
    text("grpc.tls.key_file"),
    text("grpc.tls.client_ca_file"),
    text("grpc.tls.client_certificates"),
    text("http.listen"),
    boolean("http.allow_plaintext"),
    text("http.tls.cert_file"),
    text("http.tls.key_file"),
    text("http.tls.client_ca_file"),
    text("http.tls.client_certificates"),
    text("redis.url"),
    text("redis.sentinels"),
    text("redis.master"),
    text("redis.cluster"),
    integer("redis.database"),
    text("redis.prefix"),
    text("redis.user"),
    text("redis.password_file"),
    secret("redis.password"),
    text("redis.sentinel_user"),
    text("redis.sentinel_password_file"),
    secret("redis.sentinel_password"),
    text("redis.accept_unread"),
    integer("redis.connections"),
    boolean("redis.tls.enabled"),
    text("redis.tls.ca_file"),
    text("redis.tls.cert_file"),
    text("redis.tls.key_file"),
    text("kafka.bootstrap"),
    text("kafka.topics"),
    text("kafka.topic"),
    text("kafka.prefix"),
    integer("kafka.partitions"),
    integer("kafka.replication"),
    integer("kafka.retention_h"),
    text("kafka.sasl"),
    text("kafka.user"),
    text("kafka.password_file"),
    secret("kafka.password"),
    text("kafka.token_file"),
    boolean("kafka.tls.enabled"),
    text("kafka.tls.ca_file"),
    text("kafka.tls.cert_file"),
    text("kafka.tls.key_file"),
    integer("connections.max"),
    integer("connections.streams_max"),
    integer("connections.headers_bytes_max"),
    integer("connections.handshake_s"),
    integer("connections.headers_s"),
    integer("connections.keepalive_interval_s"),
    integer("connections.keepalive_timeout_s"),
    integer("connections.age_max_s"),
    integer("connections.age_grace_s"),
    integer("connections.drain_s"),
    integer("limits.metadata_bytes_max"),
    integer("limits.request_bytes_max"),
    integer("limits.report_bytes_max"),
    integer("limits.response_bytes_max"),
    integer("limits.frame_bytes_max"),
    integer("limits.calls_max"),
    integer("limits.call_wait_ms"),
    integer("limits.call_target_ms"),
    integer("limits.caller_calls_per_s"),
    integer("limits.client_calls_per_s"),
    integer("limits.guesses_per_s"),
    integer("limits.guesses_burst"),
    integer("limits.waits_max"),
    integer("limits.subscribers_max"),
    integer("limits.subscriber_queue_bytes"),
    integer("limits.subscriber_wait_s"),
    integer("limits.call_s"),
    text("log.filter"),
    text("log.format"),
    text("metrics.listen"),
    boolean("metrics.allow_plaintext"),
    text("metrics.tls.cert_file"),
    text("metrics.tls.key_file"),
    text("metrics.tls.client_ca_file"),
    text("metrics.tls.client_certificates"),
    text("otlp.endpoint"),
    number("otlp.sample_ratio"),
    integer("otlp.timeout_s"),
    secret("otlp.headers"),
];

/// Words of the environment that begin with ours and are no setting of a node: the commands' own.
const COMMANDS: &[&str] = &[
    "CURFEW_CONFIG",
    "CURFEW_ADDRESS",
    "CURFEW_CALLER",
    "CURFEW_SECRET",
    "CURFEW_SECRET_FILE",
    "CURFEW_CA",
    "CURFEW_CERT",
    "CURFEW_KEY",
    "CURFEW_TENANT",
    "CURFEW_TIMEOUT",
    // Tests alone: any other build refuses it.
    #[cfg(feature = "skewed-clock")]
    "CURFEW_TEST_CLOCK_FILE",
];

impl Setting {
    /// The setting of this name.
    pub(crate) fn of(path: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.path == path)
    }

    /// Its name in the environment.
    pub(crate) fn variable(&self) -> String {
        format!("CURFEW_{}", self.path.replace('.', "_").to_uppercase())
    }

    /// The file's text, an argument's or a variable's as a value.
    pub(crate) fn value(&self, text: &str) -> Result<toml::Value, String> {
        match self.kind {
            Kind::Text | Kind::Secret => Ok(toml::Value::String(text.to_owned())),
            Kind::Integer => text
                .parse()
                .map(toml::Value::Integer)
                .map_err(|_| format!("`{text}` is not a whole number")),
            Kind::Number => text
                .parse()
                .map(toml::Value::Float)
                .map_err(|_| format!("`{text}` is not a number")),
            Kind::Boolean => text
                .parse()
                .map(toml::Value::Boolean)
                .map_err(|_| format!("`{text}` is neither `true` nor `false`")),
        }
    }
}

/// `did you mean …`, where a name is near enough to be meant.
pub(crate) fn nearest(path: &str) -> String {
    let last = |path: &str| path.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let near = |setting: &&Setting| {
        let whole = strsim::jaro_winkler(path, setting.path);
        // A key in the wrong table is near by its last part.
        let part = strsim::jaro_winkler(&last(path), &last(setting.path));
        whole.max(part * 0.9)
    };
    let best = SETTINGS
        .iter()
        // Of equals the last is taken: that shall be the first.
        .rev()
        .max_by(|a, b| near(a).total_cmp(&near(b)))
        .filter(|best| near(best) > 0.8);
    best.map_or_else(
        || "; `curfew config show` lists every setting".to_owned(),
        |best| format!("; did you mean `{}`?", best.path),
    )
}

/// Whether a word of the environment looks like a setting and is none. An orchestrator that has a
/// service called `curfew` puts words like `CURFEW_PORT_7400_TCP` and `CURFEW_SERVICE_HOST` there.
pub(crate) fn is_unknown_variable(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("CURFEW_") else {
        return false;
    };
    let is_orchestrators = rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_");
    let is_commands = COMMANDS.contains(&name);
    let is_setting = SETTINGS.iter().any(|setting| setting.variable() == name);
    !is_orchestrators && !is_commands && !is_setting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_settings_have_one_name_in_the_environment() {
        let mut names: Vec<_> = SETTINGS.iter().map(Setting::variable).collect();
        names.extend(COMMANDS.iter().map(|name| (*name).to_owned()));
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_misspelled_or_misplaced_name_finds_the_one_that_was_meant() {
        for (wrong, meant) in [
            ("grpc.listn", "grpc.listen"),
            ("listen", "grpc.listen"),
            ("limits.call_max", "limits.calls_max"),
            ("tls.cert_file", "grpc.tls.cert_file"),
            ("keys.algorithm", "keys.signing_algorithm"),
        ] {
            assert_eq!(nearest(wrong), format!("; did you mean `{meant}`?"), "{wrong}");
        }
        assert!(nearest("zzz").contains("config show"));
    }

    #[test]
    fn what_an_orchestrator_puts_into_the_environment_is_no_mistake() {
        for name in [
            "CURFEW_PORT",
            "CURFEW_PORT_7400_TCP",
            "CURFEW_SERVICE_HOST",
            "PATH",
            "CURFEW_DATA",
        ] {
            assert!(!is_unknown_variable(name), "{name}");
        }
        assert!(is_unknown_variable("CURFEW_GRPC_LISTN"));
    }
}
