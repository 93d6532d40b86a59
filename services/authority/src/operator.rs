//! What an operator decides after a loss: one file a command.
//!
//! **Invariant:** nothing here runs by itself; whoever asks is named in the log of the node.

mod adopt;
mod examine;
mod open;
mod restore;
mod skip;

pub use adopt::{AdoptRequest, Adopted};
pub use examine::{Examined, Trouble};
pub use open::{OpenRequest, Opened};
