//! This process's environment.

use std::ffi::OsStr;

/// Sets a variable, or takes it out of the environment where there is no value.
///
/// The standard library's readers and writers share a lock. C code reads without it, so this
/// program calls none that reads the environment while other threads run: the supervisor and the
/// commands that call this have one thread, and the kernel does it only while a session starts and
/// when a cell adds its first dependency, when its other threads run Rust alone.
pub(crate) fn set(name: impl AsRef<OsStr>, value: Option<&OsStr>) {
    // SAFETY: no thread reads the environment through C meanwhile, see above.
    unsafe {
        match value {
            Some(value) => std::env::set_var(name, value),
            None => std::env::remove_var(name),
        }
    }
}
