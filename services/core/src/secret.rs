//! Secrets: what must not leave by accident.
//!
//! **Invariant:** no `Display`, `Serialize` or `PartialEq`; comparison is constant-time; the way
//! out is the one word `expose_bytes`; memory is wiped when a secret is dropped.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// From its bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Equal, in constant time.
            #[must_use]
            pub fn matches(&self, other: &Self) -> bool {
                self.0.as_slice().ct_eq(other.0.as_slice()).into()
            }

            /// The bytes themselves: for storing and signing only.
            #[must_use]
            pub const fn expose_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret!(
    /// A grant's secret: in the row, never sent; every salt of the grant comes from it.
    GrantSecret,
    16
);
secret!(
    /// The salt of one generation: HMAC(grant secret, generation).
    Salt,
    16
);
secret!(
    /// A key for HMAC-SHA-256.
    MacKey,
    32
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", Salt::new([0xab; 16])), "Salt(..)");
        assert!(Salt::new([1; 16]).matches(&Salt::new([1; 16])));
        assert!(!Salt::new([1; 16]).matches(&Salt::new([2; 16])));
    }
}
