//! The `forklore` command: a Jupyter kernel for Rust.

fn main() {}
