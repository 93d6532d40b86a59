//! TLS from files that may change while the server runs.
//!
//! **Invariant:** what is served was checked whole: the key is the certificate's, neither is over, and
//! nobody else reads the key. Files that fail the check leave what was there in use.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::certificate::{Certificate, CertificateError};
use crate::settings::Protocol;

/// The largest file that is read, bytes: a chain of ten certificates is 20 KiB, a bundle of authorities 300.
const FILE_MAX: u64 = 1 << 20;

/// Whether peers present certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClientCertificates {
    /// They are not asked for.
    #[default]
    None,
    /// They are asked for, and taken where they are presented.
    Optional,
    /// Whoever has none is not let in.
    Required,
}

/// Where a listener's secrets and trust lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The chain, PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities of peers' certificates, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether peers present certificates.
    pub client_certificates: ClientCertificates,
}

/// Why the files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{file}: cannot be read", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{file}: larger than {FILE_MAX} bytes", file = file.display())]
    Large {
        /// The file.
        file: PathBuf,
    },
    /// Everybody may read the key.
    #[error("{file}: everybody may read this private key (mode {mode:04o}); run: chmod 600 {file}", file = file.display())]
    Permissions {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file has not what it should have.
    #[error("{file}: holds no {what} in PEM", file = file.display())]
    Empty {
        /// The file.
        file: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// A file is broken.
    #[error("{file}: {cause}", file = file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// How.
        cause: String,
    },
    /// A certificate is none.
    #[error("{file}", file = file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: CertificateError,
    },
    /// A certificate is over, or not valid yet.
    #[error("{file}: the certificate is valid from {from} to {to} (seconds since 1970), and now it is {now}", file = file.display(), from = certificate.not_before_s, to = certificate.not_after_s)]
    NotValid {
        /// The file.
        file: PathBuf,
        /// What it says.
        certificate: Box<Certificate>,
        /// Now, in seconds since 1970.
        now: i64,
    },
    /// The key is of another certificate.
    #[error("{key}: is not the private key of the certificate in {certificate}", key = key.display(), certificate = certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// TLS itself refuses it.
    #[error("{file}: {cause}", file = file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// Peers' certificates are asked for, and nobody is trusted to issue them.
    #[error("client certificates are asked for and no authority of theirs is given: set `client_ca_file`")]
    NoClientAuthority,
}

/// TLS of one listener.
pub struct Tls {
    files: TlsFiles,
    protocol: Protocol,
    current: ArcSwap<Loaded>,
    /// What the files held when they were last looked at, good or bad.
    seen: Mutex<Vec<u8>>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    certificate: Certificate,
}

impl Tls {
    /// Reads the files; `now_s`: the present instant in seconds since 1970.
    ///
    /// # Errors
    /// A file is missing, readable by others, broken or over, or they do not belong together.
    pub fn load(files: TlsFiles, protocol: Protocol, now_s: i64) -> Result<Self, TlsError> {
        let seen = digest(&files)?;
        let loaded = Loaded::read(&files, protocol, now_s)?;
        Ok(Self {
            files,
            protocol,
            current: ArcSwap::from_pointee(loaded),
            seen: Mutex::new(seen),
        })
    }

    /// Reads the files again where they changed; whether they did. New connections get what is new.
    ///
    /// # Errors
    /// What changed is of no use; what was there stays in use. The same fault is told once.
    pub fn reload(&self, now_s: i64) -> Result<bool, TlsError> {
        let found = digest(&self.files)?;
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == found {
                return Ok(false);
            }
            *seen = found;
        }
        let loaded = Loaded::read(&self.files, self.protocol, now_s)?;
        self.current.store(Arc::new(loaded));
        Ok(true)
    }

    /// The server's own certificate.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.current.load().certificate.clone()
    }

    /// The files.
    #[must_use]
    pub const fn files(&self) -> &TlsFiles {
        &self.files
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Loaded {
    fn read(files: &TlsFiles, protocol: Protocol, now_s: i64) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate)?;
        let own = chain.first().ok_or_else(|| TlsError::Empty {
            file: files.certificate.clone(),
            what: "certificate",
        })?;
        let certificate = Certificate::read(own).map_err(|source| TlsError::Certificate {
            file: files.certificate.clone(),
            source,
        })?;
        if !certificate.is_valid_at(now_s) {
            return Err(TlsError::NotValid {
                file: files.certificate.clone(),
                certificate: Box::new(certificate),
                now: now_s,
            });
        }
        let key = private_key(&files.key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let refused = |file: &Path, cause: String| TlsError::Refused {
            file: file.to_owned(),
            cause,
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&files.certificate, error.to_string()))?;
        let builder = match (files.client_certificates, &files.client_ca) {
            (ClientCertificates::None, _) => builder.with_no_client_auth(),
            (ClientCertificates::Optional | ClientCertificates::Required, None) => {
                return Err(TlsError::NoClientAuthority);
            }
            (wanted, Some(file)) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(file)? {
                    roots
                        .add(authority)
                        .map_err(|error| refused(file, error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(TlsError::Empty {
                        file: file.clone(),
                        what: "certificate",
                    });
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if wanted == ClientCertificates::Optional {
                    verifier.allow_unauthenticated()
                } else {
                    verifier
                };
                let verifier = verifier
                    .build()
                    .map_err(|error| refused(file, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                return TlsError::Mismatch {
                    key: files.key.clone(),
                    certificate: files.certificate.clone(),
                };
            }
            refused(&files.key, error.to_string())
        })?;
        config.alpn_protocols = match protocol {
            Protocol::Grpc => vec![b"h2".to_vec()],
            Protocol::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        // A resumed session would skip the client's certificate, and its end.
        if files.client_certificates != ClientCertificates::None {
            config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: Arc::new(config),
            certificate,
        })
    }
}

fn bytes(file: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        file: file.to_owned(),
        source,
    };
    if fs::metadata(file).map_err(failed)?.len() > FILE_MAX {
        return Err(TlsError::Large {
            file: file.to_owned(),
        });
    }
    fs::read(file).map_err(failed)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = bytes(file)?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Malformed {
            file: file.to_owned(),
            cause: error.to_string(),
        })
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let metadata = fs::metadata(file).map_err(|source| TlsError::Read {
        file: file.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(TlsError::Permissions {
            file: file.to_owned(),
            mode,
        });
    }
    PrivateKeyDer::from_pem_slice(&bytes(file)?).map_err(|error| {
        let file = file.to_owned();
        if matches!(error, rustls::pki_types::pem::Error::NoItemsFound) {
            return TlsError::Empty {
                file,
                what: "private key",
            };
        }
        // The parser's own words could show what it read.
        TlsError::Malformed {
            file,
            cause: "not a private key in PEM".to_owned(),
        }
    })
}

/// Changes with what the files hold; a key itself is not kept here.
fn digest(files: &TlsFiles) -> Result<Vec<u8>, TlsError> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let all = [
        Some(&files.certificate),
        Some(&files.key),
        files.client_ca.as_ref(),
    ];
    for file in all.into_iter().flatten() {
        context.update(ring::digest::digest(&ring::digest::SHA256, &bytes(file)?).as_ref());
    }
    Ok(context.finish().as_ref().to_vec())
}
