//! The use cases on the fakes: one file per theme, each test a story.
//!
//! **Invariant:** no test sleeps to wait for another task; what takes time in the protocol takes it on a clock
//! that the test moves.

#[cfg(test)]
mod asks;
#[cfg(test)]
mod callers;
#[cfg(test)]
mod cutoffs;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod explaining;
#[cfg(test)]
mod feeding;
#[cfg(test)]
mod fence;
#[cfg(test)]
mod following;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod log_first;
#[cfg(test)]
mod operating;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod refreshes;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod smoke;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod world;
