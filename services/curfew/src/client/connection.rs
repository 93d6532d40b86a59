//! How a command reaches a node, and who asks.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use zeroize::Zeroizing;

use super::address::Address;
use super::{Calls, Credential, dial, fetch_token, token_on, with};
use crate::cli::Failure;
use crate::commands::exit::Exit;
use crate::commands::fault::Fault;
use crate::commands::time::span;
use crate::node::address_of;

/// Where a node listens if nobody says otherwise.
const ADDRESS: &str = "127.0.0.1:7400";
/// The environment variable of the secret.
const SECRET: &str = "CURFEW_SECRET";
/// A secret is a line; a longer file is another file.
const SECRET_BYTES_MAX: u64 = 4 << 10;

/// How to reach a node, and who asks.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// The data directory whose running node is asked, where no address is given.
    #[arg(long, env = "CURFEW_DATA", global = true, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// The same, beside another account of which data directory is meant.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Reach {
    /// The node: `host:port`, `http://host:port` or `https://host:port`. By default the running node of
    /// `--data`, else 127.0.0.1:7400. Without a scheme, loopback is plain text and the rest is TLS.
    #[arg(long, env = "CURFEW_ADDRESS", global = true, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    #[command(flatten)]
    tls: Tls,
    #[command(flatten)]
    pub(crate) asker: Asker,
    /// How long one call may take, such as `10s`.
    #[arg(long, env = "CURFEW_TIMEOUT", global = true, value_name = "SPAN", default_value = "30s", value_parser = span)]
    timeout: Duration,
}

/// Files for TLS, all of them PEM.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Tls {
    /// The certificates of the authorities that the node's certificate may be of; by default the machine's.
    #[arg(long, env = "CURFEW_CA", global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// This caller's own certificate, with what leads to its authority; needs `--key`.
    #[arg(long, env = "CURFEW_CERT", global = true, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of `--cert`.
    #[arg(long, env = "CURFEW_KEY", global = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

/// Who asks.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Asker {
    /// The caller's id. Its secret comes from the environment as CURFEW_SECRET, or from `--secret-file`:
    /// an argument would show in process lists.
    #[arg(
        long,
        env = "CURFEW_CALLER",
        global = true,
        value_name = "ID",
        default_value = "admin"
    )]
    pub(crate) caller: String,
    /// The file of the caller's secret; nobody but its owner may read it.
    #[arg(long, env = "CURFEW_SECRET_FILE", global = true, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
}

/// A caller's secret.
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// The way out.
    pub(crate) fn expose_text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Asker {
    /// The secret, where one is given. A file that is named comes before the environment.
    pub(crate) fn secret(&self) -> Result<Option<Secret>, Fault> {
        if let Some(file) = &self.secret_file {
            return read_secret(file).map(Some);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the binary is where the environment is read"
        )]
        let secret = std::env::var(SECRET).ok();
        let secret = secret.filter(|secret| !secret.is_empty());
        Ok(secret.map(|secret| Secret(Zeroizing::new(secret))))
    }

    /// The secret, which must be there.
    pub(crate) fn required_secret(&self) -> Result<Secret, Fault> {
        self.secret()?.ok_or_else(|| self.no_secret())
    }

    fn no_secret(&self) -> Fault {
        let what = format!("there is no secret for the caller `{}`", self.caller);
        Fault::new(Exit::Unauthenticated, what).fix(format!(
            "set {SECRET} or name a `--secret-file`; `curfew bootstrap` makes the first caller"
        ))
    }
}

/// Reads a secret from a file that its owner alone may read.
pub(crate) fn read_secret(file: &Path) -> Result<Secret, Fault> {
    let wrong = |what: String| Fault::usage(format!("the secret file {}: {what}", file.display()));
    let about = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if about.mode() & 0o077 != 0 {
        let what = format!(
            "others than its owner may read it (mode {:04o})",
            about.mode() & 0o777
        );
        return Err(wrong(what).fix(format!("chmod 600 {}", file.display())));
    }
    if about.len() > SECRET_BYTES_MAX {
        return Err(wrong("it is too long for a secret".to_owned()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let text = Zeroizing::new(text);
    match text.trim() {
        "" => Err(wrong("it is empty".to_owned())),
        secret => Ok(Secret(Zeroizing::new(secret.to_owned()))),
    }
}

impl Tls {
    /// Whether any file is named.
    pub(crate) const fn is_named(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.key.is_some()
    }

    /// The settings of one channel.
    fn config(&self) -> Result<ClientTlsConfig, Fault> {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca {
            Some(ca) => config.ca_certificate(Certificate::from_pem(read("--ca", ca)?)),
            None => config.with_native_roots(),
        };
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let identity = Identity::from_pem(read("--cert", cert)?, read("--key", key)?);
                Ok(config.identity(identity))
            }
            (None, None) => Ok(config),
            (Some(_), None) => Err(Fault::usage("`--cert` needs the private key").fix("add `--key FILE`")),
            (None, Some(_)) => Err(Fault::usage("`--key` needs the certificate").fix("add `--cert FILE`")),
        }
    }
}

fn read(option: &str, file: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(file).map_err(|error| Fault::usage(format!("{option} {}: {error}", file.display())))
}

impl Connection {
    /// Where the node is.
    pub(crate) fn address(&self) -> Result<Address, Failure> {
        match (&self.reach.address, &self.data) {
            (None, Some(data)) => {
                let told = address_of(data).map_err(|error| {
                    Fault::new(Exit::TryAgain, error.to_string()).fix("start the node, or say `--address`")
                })?;
                // A node listens for its own operator in plain text on loopback, whatever it has for others.
                Ok(Address::parse(&told, false)?)
            }
            (Some(_), _) | (None, None) => Ok(self.reach.address()?),
        }
    }

    /// The data directory that was named.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// Whether there is anything that the caller could prove itself with.
    pub(crate) fn has_credentials(&self) -> Result<bool, Fault> {
        Ok(self.reach.tls.cert.is_some() || self.reach.asker.secret()?.is_some())
    }

    /// A channel with the caller's credential: its app-only token, or its certificate alone.
    pub(crate) async fn open(&self) -> Result<Calls, Failure> {
        self.reach.open(&self.address()?).await
    }
}

impl Reach {
    /// The address that was given, or the one where a node listens if nobody says otherwise.
    pub(crate) fn address(&self) -> Result<Address, Fault> {
        Address::parse(self.address.as_deref().unwrap_or(ADDRESS), self.tls.is_named())
    }

    /// A channel to a node at this address; nobody has said who asks.
    pub(crate) async fn dial(&self, address: &Address) -> Result<Channel, Failure> {
        let tls = if address.is_tls() {
            Some(self.tls.config()?)
        } else {
            None
        };
        dial(address, tls, Some(self.timeout)).await
    }

    /// A channel with the caller's credential, to a node at this address.
    ///
    /// The time of a call is that until its answer begins: a stream lasts as long as it lasts.
    pub(crate) async fn open(&self, address: &Address) -> Result<Calls, Failure> {
        address.may_carry_credentials()?;
        let secret = self.asker.secret()?;
        let is_known_by_certificate = address.is_tls() && self.tls.cert.is_some();
        if secret.is_none() && !is_known_by_certificate {
            return Err(self.asker.no_secret().into());
        }
        let channel = self.dial(address).await?;
        let credential = match secret {
            Some(secret) => token_on(channel.clone(), &self.asker.caller, secret.expose_text()).await?,
            None => Credential::none(),
        };
        Ok(with(channel, credential))
    }

    /// The caller's app-only token; `None`: it has no secret, and its certificate says who asks.
    pub(crate) async fn token(&self) -> Result<Option<String>, Failure> {
        let address = self.address()?;
        address.may_carry_credentials()?;
        let Some(secret) = self.asker.secret()? else {
            return Ok(None);
        };
        let channel = self.dial(&address).await?;
        fetch_token(channel, &self.asker.caller, secret.expose_text())
            .await
            .map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(content: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_secret_file_is_its_owners_alone() {
        for mode in [0o644, 0o640, 0o602] {
            let error = read_secret(file("cfs_x\n", mode).path()).unwrap_err();
            assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
        }
        let secret = read_secret(file("cfs_x\n", 0o600).path()).unwrap();
        assert_eq!(secret.expose_text(), "cfs_x");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn an_empty_or_endless_secret_file_is_refused_by_name() {
        for content in ["", " \n", &"x".repeat(5_000)] {
            let file = file(content, 0o600);
            let error = read_secret(file.path()).unwrap_err().to_string();
            assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
        }
    }

    #[test]
    fn half_a_certificate_is_none() {
        let half = Tls {
            cert: Some(PathBuf::from("/dev/null")),
            ..Tls::default()
        };
        assert!(half.config().unwrap_err().to_string().contains("private key"));
    }
}
