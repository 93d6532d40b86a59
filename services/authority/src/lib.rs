//! The use cases of Curfew: read, decide, commit, answer.
