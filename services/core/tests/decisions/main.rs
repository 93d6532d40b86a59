//! The decisions of the core, tested as scripts in a small world.

#[cfg(test)]
mod births;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod merging;
#[cfg(test)]
mod model;
#[cfg(test)]
mod refresh_table;
#[cfg(test)]
mod world;
