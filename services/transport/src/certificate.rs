//! What a certificate says: names, times, thumbprint.
//!
//! **Invariant:** a name is told with its kind, so that a mail address never passes for a host.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Names that are read of one certificate; those of web servers have up to 100.
const NAMES_MAX: usize = 256;

/// What a certificate says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    names: Vec<String>,
    /// Seconds since 1970.
    pub not_before_s: i64,
    /// Seconds since 1970.
    pub not_after_s: i64,
}

/// Bytes that are no certificate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an X.509 certificate: {0}")]
pub struct CertificateError(String);

impl Certificate {
    /// Reads one.
    ///
    /// # Errors
    /// The bytes are no certificate.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|error| CertificateError(error.to_string()))?;
        let thumbprint = ring::digest::digest(&ring::digest::SHA256, der);
        let mut names = vec![
            format!("x5t:{}", URL_SAFE_NO_PAD.encode(thumbprint)),
            format!("dn:{}", parsed.subject()),
        ];
        let alternative = parsed
            .subject_alternative_name()
            .map_err(|error| CertificateError(error.to_string()))?;
        let alternative = alternative.iter().flat_map(|names| &names.value.general_names);
        names.extend(alternative.filter_map(name_of).take(NAMES_MAX));
        Ok(Self {
            names,
            not_before_s: parsed.validity().not_before.timestamp(),
            not_after_s: parsed.validity().not_after.timestamp(),
        })
    }

    /// Its names: `x5t:` with the SHA-256 of the whole (base64url), `dn:` (RFC 4514), and of the
    /// alternative names `dns:`, `uri:`, `email:`, `ip:`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is valid at an instant, in seconds since 1970.
    #[must_use]
    pub const fn is_valid_at(&self, now_s: i64) -> bool {
        self.not_before_s <= now_s && now_s <= self.not_after_s
    }
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(format!("dns:{}", name.to_ascii_lowercase())),
        GeneralName::URI(uri) => Some(format!("uri:{uri}")),
        GeneralName::RFC822Name(mail) => Some(format!("email:{mail}")),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(format!("ip:{}", std::net::Ipv4Addr::new(*a, *b, *c, *d))),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|bytes| format!("ip:{}", std::net::Ipv6Addr::from(bytes))),
        },
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}
