//! The scenarios, one file each.

pub(crate) mod bare_log;
pub(crate) mod capacity;
pub(crate) mod faults;
pub(crate) mod limits;
pub(crate) mod load;
pub(crate) mod quick;
pub(crate) mod revoke;
pub(crate) mod stage;
pub(crate) mod streams;
