//! The `forklore` command: a Jupyter kernel for Rust.

use std::process::ExitCode;

use forklore_kernel::sys::allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    // This program is also the process that runs the cells and a wrapper around rustc: these come first.
    forklore_kernel::supervisor::run_if_asked();
    evcxr::runtime_hook();
    forklore_kernel::command::cli::main()
}
