//! The v1 protocol buffers of Curfew, generated code only.
//!
//! `session`, `token`, `revocation` and `admin` are the services that back ends call, `log` is the record
//! on the log, `row` is what the stores keep. The sources and the wire policy lie beside this crate's
//! manifest: `curfew/<area>/v1/*.proto` and `README.md`.
//!
//! **Invariant:** no hand-written type, no conversion, no rule: whoever parses a message owns the checks.

#![expect(
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    reason = "prost and tonic write this code; boxes in it would be paid for by every caller"
)]

/// Declares `curfew.<area>.v1` as `<area>::v1`, which is also how generated code refers to other packages.
macro_rules! packages {
    ($($(#[$doc:meta])* $area:ident $file:literal)*) => {
        $(
            $(#[$doc])*
            pub mod $area {
                /// Version 1: frozen.
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/", $file));
                }
            }
        )*
    };
}

packages! {
    /// Opens, reads, changes and ends sessions.
    session "curfew.session.v1.rs"
    /// Issues, renews, revokes and explains tokens.
    token "curfew.token.v1.rs"
    /// Revokes, watches, and knows who has heard.
    revocation "curfew.revocation.v1.rs"
    /// Tenants, clients, resources, issuers, callers, keys, subjects, the audit log.
    admin "curfew.admin.v1.rs"
    /// The record on the log: public, its own compatibility rules.
    log "curfew.log.v1.rs"
    /// What the stores keep: private.
    row "curfew.row.v1.rs"
}

/// All files with what they import, encoded `google.protobuf.FileDescriptorSet`: what gRPC reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("../curfew.binpb");
