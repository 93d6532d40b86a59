//! TLS towards hubs and key sets: the system's authorities, on ring.
//!
//! **Invariant:** a process that has chosen no cryptography of its own still has one here: nothing depends
//! on what another part of it installed.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore};

/// Read once: a hundred files, or one with a hundred certificates.
static CONFIG: LazyLock<Result<ClientConfig, String>> = LazyLock::new(read);

/// The configuration of a client that trusts whom the system trusts; `Err`: why there is none.
pub(crate) fn client_config() -> Result<ClientConfig, String> {
    CONFIG.clone()
}

fn read() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // One broken file among many leaves the others trusted; a server whose authority is none of them is refused.
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("the system names no authority: nothing can be reached by https");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
