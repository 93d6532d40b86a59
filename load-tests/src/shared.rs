//! Nodes that share their state: which Redis and which Kafka, and what nodes on them are told.
//!
//! **Invariant:** every run has prefixes and a root key of its own, so that nothing else on these servers is met.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use clap::Args;

use crate::failure::Failure;

/// As long as `curfew`, the prefix of a node of defaults, so that a key weighs as much.
const PREFIX_BYTES: usize = 6;

/// The servers, where nodes share their state.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SharedArgs {
    /// `redis://HOST:PORT`: the store of the nodes that are started. A password is in CURFEW_REDIS_PASSWORD.
    #[arg(long, value_name = "URL", requires = "kafka")]
    pub(crate) redis: Option<String>,
    /// `HOST:PORT`, several with commas between: the log of the nodes that are started.
    #[arg(long, value_name = "BOOTSTRAP", requires = "redis")]
    pub(crate) kafka: Option<String>,
    /// An argument would show in process lists, so the environment gives it; nodes read it there too.
    #[arg(
        long = "redis-password-from-environment",
        env = "CURFEW_REDIS_PASSWORD",
        hide = true,
        hide_env_values = true
    )]
    pub(crate) redis_password: Option<crate::cli::Secret>,
}

/// Where the state lies.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) redis: String,
    pub(crate) redis_password: Option<crate::cli::Secret>,
    pub(crate) kafka: String,
    pub(crate) prefix: String,
}

impl SharedArgs {
    /// With a prefix of its own; `None`: nodes keep their state themselves.
    pub(crate) fn fresh(&self) -> Option<Shared> {
        let (redis, kafka) = (self.redis.clone()?, self.kafka.clone()?);
        Some(Shared {
            redis_password: self.redis_password.clone(),
            ..Shared::new(redis, kafka)
        })
    }
}

impl Shared {
    /// With a prefix of its own.
    pub(crate) fn new(redis: String, kafka: String) -> Self {
        let chance = std::iter::repeat_with(|| fastrand::char('a'..='z'));
        Self {
            redis,
            redis_password: None,
            kafka,
            prefix: chance.take(PREFIX_BYTES).collect(),
        }
    }

    /// The topic of these nodes begins with it.
    pub(crate) fn topic_prefix(&self) -> String {
        format!("{}.", self.prefix)
    }

    /// What every process on this state is told, with a new root key in a file below `home`.
    pub(crate) fn environment(&self, home: &Path) -> Result<Vec<(&'static str, String)>, Failure> {
        let root_key = root_key(home)?.display().to_string();
        Ok(vec![
            ("CURFEW_REDIS_URL", self.redis.clone()),
            ("CURFEW_REDIS_PREFIX", self.prefix.clone()),
            ("CURFEW_KAFKA_BOOTSTRAP", self.kafka.clone()),
            ("CURFEW_KAFKA_PREFIX", self.topic_prefix()),
            ("CURFEW_KEYS_ROOT_KEY_FILE", root_key),
        ])
    }
}

/// 32 bytes that nobody needs to fear for: they seal a key ring that signs for nobody.
fn root_key(home: &Path) -> Result<PathBuf, Failure> {
    let mut bytes = [0; 32];
    fastrand::fill(&mut bytes);
    let path = home.join("load-root-key");
    // The node reads no key that others may read.
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    writeln!(
        file,
        "{}",
        base64::engine::general_purpose::STANDARD.encode(bytes)
    )?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn every_run_has_prefixes_of_its_own_and_a_root_key_that_only_its_owner_reads() {
        let args = SharedArgs {
            redis: Some("redis://127.0.0.1:1".to_owned()),
            kafka: Some("127.0.0.1:2".to_owned()),
            redis_password: None,
        };
        let (one, other) = (args.fresh().unwrap(), args.fresh().unwrap());
        assert_eq!(one.prefix.len(), "curfew".len());
        assert_ne!(one.prefix, other.prefix);
        let home = tempfile::tempdir().unwrap();
        let environment = one.environment(home.path()).unwrap();
        assert!(environment.contains(&("CURFEW_KAFKA_PREFIX", format!("{}.", one.prefix))));
        let key = home.path().join("load-root-key");
        assert_eq!(
            std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let text = std::fs::read_to_string(&key).unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
        assert_eq!(bytes.unwrap().len(), 32);
    }

    #[test]
    fn without_servers_nodes_keep_their_state_themselves() {
        assert!(SharedArgs::default().fresh().is_none());
    }
}
