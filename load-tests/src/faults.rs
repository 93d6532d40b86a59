//! Faults on real servers under a mixed load, and whether what is promised holds after each.

pub(crate) mod calls;
pub(crate) mod clients;
pub(crate) mod fault;
pub(crate) mod ground;
pub(crate) mod guards;
pub(crate) mod history;
pub(crate) mod inject;
pub(crate) mod page;
pub(crate) mod report;
pub(crate) mod stand;
pub(crate) mod sweep;
pub(crate) mod world;
pub(crate) mod zombie;
