//! The edge over in-process servers on the fakes.

mod access;
mod fields;
mod limits;
mod repeat;
mod story;
mod watch;
mod world;
