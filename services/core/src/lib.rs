//! Every protocol decision of Curfew, as pure functions.
