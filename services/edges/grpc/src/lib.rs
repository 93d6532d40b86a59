//! The gRPC edge: parse, one use case, encode.
