//! The decisions of the core, tested as scripts in a small world.

mod births;
mod endings;
mod histories;
mod model;
mod refresh_table;
mod world;
