//! The edge over in-process servers on the fakes.
