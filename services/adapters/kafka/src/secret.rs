//! A password on its way from the configuration to the client library.
//!
//! **Invariant:** no `Display`, and a `Debug` that shows nothing; the way out is `expose_secret`.

use std::fmt;

use zeroize::Zeroizing;

/// A password or a passphrase; wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text as it is.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(crate) fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
