//! Causes that Curfew itself gives: stable words, one function each.
//!
//! **Invariant:** a word that was published once keeps its meaning for ever.

use crate::ids::Cause;

macro_rules! causes {
    ($( $(#[$doc:meta])* $name:ident $word:literal; )*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name() -> Cause {
                Cause::new($word).expect("constant words are valid")
            }
        )*

        #[cfg(test)]
        #[test]
        fn every_constant_cause_is_valid() {
            $( assert_eq!($name().as_str(), $word); )*
        }
    };
}

causes! {
    /// A superseded refresh token was presented.
    refresh_reused "refresh_token_reused";
    /// The cap of sessions was reached.
    session_cap "session_cap";
    /// The cap of grants was reached.
    grant_cap "grant_cap";
    /// The token was revoked by its client (RFC 7009).
    token_revoked "token_revoked";
    /// The subject was disabled.
    subject_disabled "subject_disabled";
    /// The subject was deleted.
    subject_deleted "subject_deleted";
    /// The client was disabled, or a secret or key of it was ended.
    client_disabled "client_disabled";
    /// The tenant was disabled.
    tenant_disabled "tenant_disabled";
    /// A signing key was revoked.
    key_revoked "key_revoked";
    /// A partition of which something was lost was opened with a floor.
    partition_lost "partition_lost";
    /// The log was lost, and nobody knows what it said.
    log_lost "log_lost";
}
