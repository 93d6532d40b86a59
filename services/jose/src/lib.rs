//! Signed compact tokens and key sets, strictly read, on ring.
