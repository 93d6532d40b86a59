//! Stories told through the real sockets of a real node.
