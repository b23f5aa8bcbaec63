//! This process's environment.

use std::ffi::OsStr;

/// Sets a variable, or removes it if there is no value.
///
/// The standard library's readers and writers share a lock. C code reads without it, so while other
/// threads run, this program calls no C code that reads the environment: the supervisor and the
/// commands that call this have one thread. The kernel calls it only while a session starts, when a
/// cell adds its first dependency, and when rust-analyzer is first given more than the cells to
/// read, while its other threads run only Rust.
pub(crate) fn set(name: impl AsRef<OsStr>, value: Option<&OsStr>) {
    // SAFETY: no thread reads the environment through C at the same time, see above.
    unsafe {
        match value {
            Some(value) => std::env::set_var(name, value),
            None => std::env::remove_var(name),
        }
    }
}
