//! The project's own commands: test, bench, proto.

fn main() {}
