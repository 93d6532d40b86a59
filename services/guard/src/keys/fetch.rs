//! Where a key set comes from.
//!
//! **Invariant:** a source is bounded in bytes and in time, whoever it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::tls;

/// The largest document that is read: what `curfew_jose::KeySet` takes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// The longest that a source may take; a slow one holds up nobody but itself.
const FETCH_MAX: Duration = Duration::from_secs(10);

/// A source of a key set that this crate does not know: a file, a service, a test.
#[async_trait]
pub trait FetchKeys: Send + Sync + fmt::Debug + 'static {
    /// The JWKS document, as bytes (RFC 7517 section 5).
    ///
    /// # Errors
    /// The set could not be had; the last good one stays in use.
    async fn fetch(&self) -> Result<Vec<u8>, FetchFailed>;
}

/// Where an issuer's key set comes from.
#[derive(Clone)]
pub enum JwksSource {
    /// The document itself; it is never fetched and never ages.
    Static(Arc<[u8]>),
    /// An address; by `https` whoever the system's authorities vouch for.
    Url(String),
    /// Something else.
    Custom(Arc<dyn FetchKeys>),
}

impl fmt::Debug for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(document) => write!(f, "Static({} bytes)", document.len()),
            Self::Url(url) => write!(f, "Url({url})"),
            Self::Custom(source) => write!(f, "Custom({source:?})"),
        }
    }
}

impl JwksSource {
    /// A document that is given.
    #[must_use]
    pub fn of_bytes(document: impl AsRef<[u8]>) -> Self {
        Self::Static(document.as_ref().into())
    }

    /// An address.
    #[must_use]
    pub fn of_url(url: impl Into<String>) -> Self {
        Self::Url(url.into())
    }
}

/// Why a key set could not be had, for the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}")]
pub struct FetchFailed {
    what: String,
}

impl FetchFailed {
    /// From words.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// A source made ready.
pub(super) enum Fetcher {
    Http(Result<reqwest::Client, FetchFailed>, String),
    Custom(Arc<dyn FetchKeys>),
    Given(Arc<[u8]>),
}

impl Fetcher {
    pub(super) fn new(source: &JwksSource) -> Self {
        match source {
            JwksSource::Static(document) => Self::Given(document.clone()),
            JwksSource::Custom(source) => Self::Custom(source.clone()),
            JwksSource::Url(url) => {
                // A key set has one address; a redirect would let whoever answers there choose another.
                let client = tls::client_config().and_then(|tls| {
                    reqwest::Client::builder()
                        .redirect(reqwest::redirect::Policy::none())
                        .tls_backend_preconfigured(tls)
                        .build()
                        .map_err(|cause| cause.to_string())
                });
                Self::Http(client.map_err(FetchFailed::new), url.clone())
            }
        }
    }

    pub(super) async fn fetch(&self) -> Result<Vec<u8>, FetchFailed> {
        let fetched = async {
            match self {
                Self::Given(document) => Ok(document.to_vec()),
                Self::Custom(source) => source.fetch().await,
                Self::Http(client, url) => http(client.as_ref().map_err(Clone::clone)?, url).await,
            }
        };
        match tokio::time::timeout(FETCH_MAX, fetched).await {
            Ok(fetched) => fetched,
            Err(_) => Err(FetchFailed::new(format!(
                "no answer within {} s",
                FETCH_MAX.as_secs()
            ))),
        }
    }
}

async fn http(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, FetchFailed> {
    let words = |cause: reqwest::Error| FetchFailed::new(cause.to_string());
    let mut response = client.get(url).send().await.map_err(words)?;
    if !response.status().is_success() {
        return Err(FetchFailed::new(format!("status {}", response.status().as_u16())));
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(words)? {
        if document.len().saturating_add(chunk.len()) > DOCUMENT_BYTES_MAX {
            return Err(FetchFailed::new(format!("more than {DOCUMENT_BYTES_MAX} bytes")));
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}
