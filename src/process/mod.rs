//! Processes: fork, and a closure that runs in a child.

mod fork;
mod spawn;

pub use fork::{Child, ChildGuard, Exit, Fork, fork};
pub use spawn::Process;
