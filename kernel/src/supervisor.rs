//! The process that evcxr starts and that stands between it and the user's process.

/// Runs the supervisor, and does not return, where evcxr started this program as its runtime.
pub fn run_if_asked() {}
