//! Keys and shorthands for this crate's own tests; never built otherwise.

use crate::{Algorithm, Jws, Limits, SigningKey};

/// A 2048-bit RSA key made for these tests (`openssl genpkey -algorithm RSA`); it guards nothing.
pub(crate) const RSA_PKCS8: &[u8] = include_bytes!("../testdata/rsa-2048-of-no-value.pk8");

pub(crate) fn key(algorithm: Algorithm, kid: &str) -> SigningKey {
    SigningKey::from_pkcs8(algorithm, &SigningKey::generate_pkcs8(algorithm).unwrap(), kid).unwrap()
}

pub(crate) fn parse(token: &str) -> Jws {
    Jws::parse(token, Limits::DEFAULT).unwrap()
}
