//! The service: configuration, wiring, serve, demo.

fn main() {}
