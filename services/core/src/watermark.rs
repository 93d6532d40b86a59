//! What nodes tell one another of their followers: how far each is, without the rest of its registration.
//!
//! **Invariant:** a mark of another log says nothing; a mark that is lost costs time and no promise.

use std::sync::Arc;

use crate::time::Millis;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watermarks {
    /// The log that all positions are of.
    pub log_id: [u8; 16],
    /// The node that took the reports.
    pub node: Arc<str>,
    /// Followers whose place has changed since that node's last message.
    pub marks: Vec<Mark>,
}

/// One follower's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// What it is.
    pub name: Arc<str>,
    /// Which instance.
    pub replica: Arc<str>,
    /// When it was heard.
    pub seen: Millis,
    /// The next offset of each log partition that it will apply; empty: it has told none.
    pub positions: Vec<u64>,
    /// Whether it left in good order: nobody waits for it.
    pub has_left: bool,
}
