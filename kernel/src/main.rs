//! The `forklore` command: a Jupyter kernel for Rust.

use std::process::ExitCode;

use forklore_kernel::command::role::Role;
use forklore_kernel::sys::allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    Role::of_this_process().run().into()
}
