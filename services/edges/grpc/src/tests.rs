//! The edge over in-process servers on the fakes.

mod access;
mod enforced;
mod fields;
mod herd;
mod limits;
mod overload;
mod repeat;
mod story;
mod watch;
mod world;
