//! The `forklore` command: a Jupyter kernel for Rust.

fn main() {
    forklore_kernel::supervisor::run_if_asked();
    evcxr::runtime_hook();
}
