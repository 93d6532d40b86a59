//! How brokers are told from others, and how this client proves who it is.
//!
//! **Invariant:** a build that lacks a mechanism refuses it by name; it never falls back to a weaker one.

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;

use crate::error::OpenError;
use crate::secret::Secret;

/// Transport and authentication; `security.protocol` follows from what is there.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// TLS to the brokers; `None`: plain text.
    pub tls: Option<Tls>,
    /// SASL over it; `None`: nobody, or whoever the client certificate names.
    pub sasl: Option<Sasl>,
}

/// TLS to the brokers. Their names are always checked against their certificates.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authorities that are trusted, PEM; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// This client's own certificate, where brokers ask for one.
    pub identity: Option<TlsIdentity>,
}

/// A client certificate.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// What the key is encrypted under.
    pub key_password: Option<Secret>,
}

/// A SASL mechanism with what it needs.
#[derive(Clone, Debug)]
pub enum Sasl {
    /// `PLAIN`: the password itself goes to the broker; only over TLS where others listen.
    Plain {
        /// Who.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    Scram {
        /// Which of the two.
        hash: ScramHash,
        /// Who.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// `OAUTHBEARER` with a token from a file that somebody else keeps fresh; it is read again for each
    /// new token, at four fifths of the life of the one before.
    OauthBearer {
        /// The file with one JWT.
        token_file: PathBuf,
    },
}

/// The hash of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

impl Sasl {
    /// Kafka's word for the mechanism.
    #[must_use]
    pub const fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram {
                hash: ScramHash::Sha256,
                ..
            } => "SCRAM-SHA-256",
            Self::Scram {
                hash: ScramHash::Sha512,
                ..
            } => "SCRAM-SHA-512",
            Self::OauthBearer { .. } => "OAUTHBEARER",
        }
    }
}

impl Security {
    /// Kafka's `security.protocol`.
    #[must_use]
    pub const fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }

    pub(crate) const fn token_file(&self) -> Option<&PathBuf> {
        match &self.sasl {
            Some(Sasl::OauthBearer { token_file }) => Some(token_file),
            Some(Sasl::Plain { .. } | Sasl::Scram { .. }) | None => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if cfg!(not(feature = "tls")) {
            let what = match (&self.tls, &self.sasl) {
                (Some(_), _) => Some("TLS"),
                (None, Some(sasl @ (Sasl::Scram { .. } | Sasl::OauthBearer { .. }))) => {
                    Some(sasl.mechanism())
                }
                (None, Some(Sasl::Plain { .. }) | None) => None,
            };
            if let Some(what) = what {
                return Err(OpenError::NotInThisBuild { what });
            }
        }
        let mut files = Vec::new();
        if let Some(tls) = &self.tls {
            files.extend(tls.ca.as_deref().map(|path| ("security.tls.ca", path)));
            if let Some(identity) = &tls.identity {
                files.push(("security.tls.certificate", &identity.certificate));
                files.push(("security.tls.key", &identity.key));
            }
        }
        files.extend(
            self.token_file()
                .map(|path| ("security.sasl.token_file", path.as_path())),
        );
        files
            .into_iter()
            .try_for_each(|(option, path)| readable(option, path))?;
        if let Some(Sasl::Plain { user, .. } | Sasl::Scram { user, .. }) = &self.sasl
            && user.is_empty()
        {
            return Err(OpenError::Option {
                option: "security.sasl.user",
                why: "empty".to_owned(),
            });
        }
        Ok(())
    }

    /// Sets librdkafka's properties.
    pub(crate) fn apply(&self, config: &mut ClientConfig) {
        config.set("security.protocol", self.protocol());
        if let Some(tls) = &self.tls {
            config.set("ssl.endpoint.identification.algorithm", "https");
            config.set(
                "ssl.ca.location",
                tls.ca
                    .as_ref()
                    .map_or("probe".into(), |path| path.to_string_lossy()),
            );
            if let Some(identity) = &tls.identity {
                config.set("ssl.certificate.location", identity.certificate.to_string_lossy());
                config.set("ssl.key.location", identity.key.to_string_lossy());
                if let Some(password) = &identity.key_password {
                    config.set("ssl.key.password", password.expose_secret());
                }
            }
        }
        if let Some(sasl) = &self.sasl {
            config.set("sasl.mechanism", sasl.mechanism());
            match sasl {
                Sasl::Plain { user, password } | Sasl::Scram { user, password, .. } => {
                    config.set("sasl.username", user);
                    config.set("sasl.password", password.expose_secret());
                }
                // The token comes by the client's context.
                Sasl::OauthBearer { .. } => {}
            }
        }
    }
}

/// librdkafka would say only that a client cannot be made.
fn readable(option: &'static str, path: &Path) -> Result<(), OpenError> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(source) => Err(OpenError::Option {
            option,
            why: format!("cannot read {}: {source}", path.display()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Sasl {
        Sasl::Plain {
            user: "curfew".to_owned(),
            password: Secret::new("correct horse".to_owned()),
        }
    }

    #[test]
    fn the_protocol_follows_from_what_is_there() {
        let security = |tls, sasl| Security {
            tls: bool::then(tls, Tls::default),
            sasl: bool::then(sasl, plain),
        };
        assert_eq!(security(false, false).protocol(), "PLAINTEXT");
        assert_eq!(security(true, false).protocol(), "SSL");
        assert_eq!(security(false, true).protocol(), "SASL_PLAINTEXT");
        assert_eq!(security(true, true).protocol(), "SASL_SSL");
    }

    #[test]
    fn no_debug_shows_a_password() {
        let security = Security {
            tls: None,
            sasl: Some(plain()),
        };
        let shown = format!("{security:?}");
        assert!(shown.contains("curfew") && !shown.contains("horse"), "{shown}");
        let mut config = ClientConfig::new();
        security.apply(&mut config);
        assert_eq!(config.get("sasl.password"), Some("correct horse"));
        assert!(!format!("{config:?}").contains("horse"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let security = Security {
            tls: None,
            sasl: Some(Sasl::OauthBearer {
                token_file: "/nowhere/token".into(),
            }),
        };
        let told = security.check().unwrap_err().to_string();
        if cfg!(feature = "tls") {
            assert!(
                told.contains("`security.sasl.token_file`") && told.contains("/nowhere/token"),
                "{told}"
            );
        } else {
            assert!(told.contains("OAUTHBEARER"), "{told}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn a_build_without_tls_refuses_what_needs_it_by_name() {
        let tls = Security {
            tls: Some(Tls::default()),
            sasl: None,
        };
        assert!(tls.check().unwrap_err().to_string().contains("TLS"));
        let scram = Security {
            tls: None,
            sasl: Some(Sasl::Scram {
                hash: ScramHash::Sha512,
                user: "curfew".to_owned(),
                password: Secret::new("p".to_owned()),
            }),
        };
        assert!(scram.check().unwrap_err().to_string().contains("SCRAM-SHA-512"));
    }
}
