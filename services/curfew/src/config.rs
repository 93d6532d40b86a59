//! What a node is told: one file, the environment, flags; parsed to text, then to what cannot be wrong.
//!
//! Precedence, later wins: defaults, file, environment, flags. `curfew config show` tells where each
//! value came from.
//!
//! **Invariant:** an unknown name is an error that names the nearest known one; every fault is told at
//! once, with its place; a secret is shown to nobody.

mod layers;
mod raw;
mod settings;
mod shared;
mod show;
#[cfg(test)]
mod tests;
mod valid;
mod watched;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use curfew_keys::RootKey;

pub(crate) use shared::Shared;
pub(crate) use show::run;
pub(crate) use valid::{Config, Listening, RootKeySource};

use crate::cli::Failure;
use layers::Layers;
pub(crate) use raw::Log;
use raw::Raw;

/// Where the settings of a node come from, beside the environment.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// The configuration file (TOML); `curfew config sample` prints one with every setting.
    #[arg(long, env = "CURFEW_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, as in the file: `--set grpc.listen=127.0.0.1:7500`; may be repeated.
    #[arg(long, value_name = "SETTING=VALUE")]
    pub(crate) set: Vec<String>,
    /// The data directory; made 0700, its keys 0600 (`data`).
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// The base address of the issuers that are made, a tenant's is `{base}/{name}`; it stays with
    /// them. By default the HTTP address (`base_url`).
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    #[command(flatten)]
    pub(crate) servers: Servers,
}

impl ConfigArgs {
    /// The arguments by which another command means the same state, each with a space before it.
    pub(crate) fn words(&self, config: &Config) -> String {
        let mut words = String::new();
        let mut say = |flag: &str, value: &dyn std::fmt::Display| {
            words.push_str(&format!(" {flag} {value}"));
        };
        if let Some(file) = &self.config {
            say("--config", &file.display());
        }
        if config.shared.is_none() {
            say("--data", &config.data.display());
        }
        for (flag, _, value) in self.servers.flags() {
            if let Some(value) = value {
                say(flag, &value);
            }
        }
        words
    }
}

/// Flags that stand for one setting: flag, setting, value.
pub(crate) type Flags<'a> = &'a [(&'a str, &'a str, Option<&'a str>)];

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Judge a configuration file, together with the environment; every fault is told with its place.
    Check {
        /// The file.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show every setting, its value and where it came from; secrets are masked.
    Show {
        #[command(flatten)]
        args: ConfigArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the documented sample: every setting with its default.
    Sample,
}

impl ConfigCommand {
    /// Whether errors are told as JSON.
    pub(crate) const fn wants_json(&self) -> bool {
        match self {
            Self::Check { json, .. } | Self::Show { json, .. } => *json,
            Self::Sample => false,
        }
    }
}

/// A configuration that cannot be used: every fault of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n  {}", faults.join("\n  "))]
pub(crate) struct Faulty {
    /// Each with its place.
    pub(crate) faults: Vec<String>,
}

/// Reads everything that is said, and judges it.
pub(crate) fn load(args: &ConfigArgs, flags: Flags<'_>) -> Result<Config, Failure> {
    let (layers, raw) = read(args, flags, environment())?;
    for warning in &layers.warnings {
        tracing::warn!("{warning}");
    }
    Ok(valid::judge(layers, raw)?)
}

/// How a node is watched; where its configuration is faulty, as if nothing were said: the fault is told later.
pub(crate) fn telemetry(args: &ConfigArgs) -> curfew_telemetry::Settings {
    let said = read(args, &[], environment()).and_then(|(layers, raw)| Ok(valid::judge(layers, raw)?));
    let (log, otlp) = match said {
        Ok(config) => (config.log, config.otlp),
        Err(_) => (Log::default(), None),
    };
    curfew_telemetry::Settings {
        log_format: log.format(),
        log_filter: log.filter,
        otlp,
    }
}

/// Reads everything that is said: what is odd, and what comes of judging the rest.
pub(crate) fn examine(args: &ConfigArgs) -> Result<(Vec<String>, Result<Config, Faulty>), Failure> {
    match read(args, &[], environment()) {
        Ok((layers, raw)) => Ok((layers.warnings.clone(), valid::judge(layers, raw))),
        Err(error) => match error.downcast::<Faulty>() {
            Ok(faulty) => Ok((Vec::new(), Err(*faulty))),
            Err(error) => Err(error),
        },
    }
}

/// The defaults, in this directory or on these servers, on free ports; nothing else is asked.
///
/// `mark`: what the names of all that is kept on the servers begin with, so that nothing else there is met.
pub(crate) fn plain(
    data: &std::path::Path,
    servers: Option<&Servers>,
    mark: &str,
) -> Result<Config, Failure> {
    let args = ConfigArgs {
        data: Some(data.display().to_string()),
        servers: servers.cloned().unwrap_or_default(),
        ..ConfigArgs::default()
    };
    let free = Some("127.0.0.1:0");
    let mut flags = vec![("", "grpc.listen", free), ("", "http.listen", free)];
    let mut environment = Vec::new();
    let (prefix, root_key) = (format!("{mark}."), data.join("root.key"));
    let root_key = root_key.display().to_string();
    if servers.is_some() {
        flags.extend([
            ("", "redis.prefix", Some(mark)),
            ("", "kafka.prefix", Some(prefix.as_str())),
            ("", "keys.root_key_file", Some(root_key.as_str())),
        ]);
        // The one node that is started here makes the key that it shares with nobody.
        RootKey::from_file_or_create(&data.join("root.key"))?;
        environment.extend(environment_of_servers());
    }
    let (layers, raw) = read(&args, &flags, environment.into_iter())?;
    Ok(valid::judge(layers, raw)?)
}

/// What the environment says of the servers: passwords, and Sentinels or a Cluster, for which there is no flag.
fn environment_of_servers() -> impl Iterator<Item = (String, String)> {
    environment().filter(|(name, _)| name.starts_with("CURFEW_REDIS_") || name.starts_with("CURFEW_KAFKA_"))
}

/// Servers that many nodes share.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Servers {
    /// The Redis that keeps the state, `redis://host:port` (`redis.url`); together with `--kafka`. Its
    /// password comes by CURFEW_REDIS_PASSWORD.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// The Kafka that keeps the log, `host:port` (`kafka.bootstrap`).
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka: Option<String>,
}

impl Servers {
    /// These servers, where any is named.
    pub(crate) fn named(&self) -> Option<&Self> {
        (self.redis.is_some() || self.kafka.is_some()).then_some(self)
    }

    /// As flags.
    pub(crate) fn flags(&self) -> [(&str, &str, Option<&str>); 2] {
        [
            ("--redis", "redis.url", self.redis.as_deref()),
            ("--kafka", "kafka.bootstrap", self.kafka.as_deref()),
        ]
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    let all = std::env::vars_os();
    // A word that is not text is none of ours.
    all.filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
}

/// Reads everything that is said.
fn read(
    args: &ConfigArgs,
    flags: Flags<'_>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(Layers, Raw), Failure> {
    let mut layers = Layers::default();
    if let Some(file) = &args.config {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("configuration file {}: {error}", file.display()))?;
        layers.file(file, &text);
    }
    layers.environment(environment);
    let [redis, kafka] = args.servers.flags();
    let own = [
        ("--data", "data", args.data.as_deref()),
        ("--base-url", "base_url", args.base_url.as_deref()),
        redis,
        kafka,
    ];
    for (flag, path, text) in own.iter().chain(flags) {
        if let Some(text) = text {
            layers.flag(flag, path, text);
        }
    }
    for set in &args.set {
        match set.split_once('=') {
            Some((path, text)) => layers.flag("--set", path.trim(), text.trim()),
            None => layers
                .faults
                .push(format!("--set {set}: not of the form SETTING=VALUE")),
        }
    }
    let raw = typed(&mut layers)?;
    Ok((layers, raw))
}

/// The values over the defaults, each of its type.
fn typed(layers: &mut Layers) -> Result<Raw, Failure> {
    let defaults = toml::Table::try_from(Raw::default())?;
    let mut tree = defaults.clone();
    overlay(&mut tree, &layers.tree);
    loop {
        let error = match serde_path_to_error::deserialize(tree.clone()) {
            Ok(raw) => return Ok(raw),
            Err(error) => error,
        };
        // A parser tells one fault at a time: with the default in the place of what is wrong, the next shows.
        let path = error.path().to_string();
        let what = error.into_inner().message().to_owned();
        let is_known = settings::Setting::of(&path).is_some();
        layers.fault(&path, what.trim());
        if !is_known {
            return Err(Faulty {
                faults: std::mem::take(&mut layers.faults),
            }
            .into());
        }
        restore(&mut tree, &defaults, &path);
    }
}

fn overlay(under: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => overlay(under, over),
            _ => drop(under.insert(key.clone(), value.clone())),
        }
    }
}

/// Puts the default back in its place.
fn restore(tree: &mut toml::Table, defaults: &toml::Table, path: &str) {
    match path.split_once('.') {
        None => match defaults.get(path) {
            Some(value) => drop(tree.insert(path.to_owned(), value.clone())),
            None => drop(tree.remove(path)),
        },
        Some((table, rest)) => {
            if let (Some(toml::Value::Table(tree)), Some(toml::Value::Table(defaults))) =
                (tree.get_mut(table), defaults.get(table))
            {
                restore(tree, defaults, rest);
            }
        }
    }
}
