//! TLS to the servers, on rustls and ring.
//!
//! **Invariant:** every server's certificate is verified; there is no way to switch that off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::options::Tls;

/// Why TLS cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("{what} in {} cannot be used: {why}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The system's authorities.
    #[error("the system's certificate authorities cannot be read ({why}); name a file with tls.ca")]
    System {
        /// What is wrong.
        why: String,
    },
    /// Certificate and key, or the name to expect.
    #[error("{what}: {why}")]
    Other {
        /// Which.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// What a connection needs for TLS.
#[derive(Clone)]
pub(crate) struct Connector {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(tls: &Tls) -> Result<Self, TlsError> {
        let other = |what| move |why: String| TlsError::Other { what, why };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| other("TLS")(error.to_string()))?
            .with_root_certificates(roots(tls.ca.as_deref())?);
        let config = match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates("a certificate chain", certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| file("a private key", key, &error.to_string()))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| other("tls.certificate and tls.key do not fit")(error.to_string()))?
            }
            (None, None) | (Some(_), None) | (None, Some(_)) => builder.with_no_client_auth(),
        };
        let server_name = match &tls.server_name {
            None => None,
            Some(name) => Some(
                ServerName::try_from(name.clone())
                    .map_err(|error| other("tls.server_name")(error.to_string()))?,
            ),
        };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name,
        })
    }

    /// Shakes hands over an open connection to `host`.
    pub(crate) async fn connect<S>(
        &self,
        host: &str,
        stream: S,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<S>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?,
        };
        self.connector.connect(name, stream).await
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        for certificate in certificates("certificate authorities", path)? {
            roots
                .add(certificate)
                .map_err(|error| file("certificate authorities", path, &error.to_string()))?;
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found
            .errors
            .first()
            .map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(TlsError::System { why });
    }
    Ok(roots)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(file(what, path, "it holds no certificate")),
        Err(error) => Err(file(what, path, &error.to_string())),
    }
}

fn file(what: &'static str, path: &Path, why: &str) -> TlsError {
    TlsError::File {
        what,
        path: path.to_owned(),
        why: why.to_owned(),
    }
}
