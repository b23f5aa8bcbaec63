//! The library's integration tests.

fn main() {}
