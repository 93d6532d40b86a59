//! The scenarios, one file each.

pub(crate) mod load;
pub(crate) mod stage;
