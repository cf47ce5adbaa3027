//! The `erlen` binary.

fn main() {}
