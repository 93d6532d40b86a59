//! The keys port: key material made, sealed under a root key, and used.
