//! One trace across processes: W3C trace context into spans, and out of them.
//!
//! A caller's `traceparent` becomes the parent of the call's span; the call's own goes with every record
//! that it causes, and becomes the parent of whatever applies that record elsewhere.
//! The program installs a subscriber and the propagator; where it installs none, this costs a look-up.
//!
//! **Invariant:** a trace context steers nothing: what is malformed is as if it were not there.

mod cause;
mod parent;

pub use cause::{cause, caused_by};
pub use parent::{Remote, adopt, is_wanted, traceparent_of};

/// The target of every span of ours: a subscriber switches them on or off by this one word.
pub const TARGET: &str = "curfew::span";
/// The header of W3C Trace Context (section 3.2).
pub const TRACEPARENT: &str = "traceparent";
