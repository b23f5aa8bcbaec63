//! Finds this copy of the library again in a fresh process of the program.
//!
//! There may be several copies: in the program, in a plugin, in a notebook's cells. The order that
//! one copy leaves for a fresh process is for the same copy there.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::symbol;
use crate::sys::launch::HOW_ELSE;
use crate::sys::{letter, object};

/// Whether the loader or `main` has run this copy's code that looks for orders, and so will again
/// in a fresh process. Otherwise that process would run the program's `main`.
static IS_ENTERED: AtomicBool = AtomicBool::new(false);

/// Notes that the code that looks for orders has run.
pub(super) fn note() {
    IS_ENTERED.store(true, Ordering::Relaxed);
}

/// Marks this copy.
extern "C" fn mark() {}

/// An address in this copy.
pub(super) fn address() -> usize {
    mark as extern "C" fn() as usize
}

/// The mark's offset in its object, and the object's path, which is empty for the program itself.
pub(in crate::pool) fn own_object() -> Option<(u64, PathBuf)> {
    let object = object::holding(address())?;
    let path = if object.path.as_os_str().is_empty() {
        object.path
    } else {
        symbol::absolute(object.path, object::mapping_at(address()))
    };
    Some(((address() - object.base) as u64, path))
}

/// Whether this copy of the library is in the program itself, not in an object that the program
/// loaded.
pub(super) fn is_in_program() -> bool {
    own_object().is_some_and(|(_, path)| path.as_os_str().is_empty())
}

/// As [`own_object`], if a fresh process of the program would look for its orders.
pub(super) fn check_can_launch() -> Result<(u64, PathBuf)> {
    if !IS_ENTERED.load(Ordering::Relaxed) {
        return Err(unsupported(NOT_ENTERED));
    }
    if letter::is_privileged() {
        return Err(unsupported(
            "this program has more rights than the user who started it (setuid), and takes no orders from outside",
        ));
    }
    let (offset, path) =
        own_object().ok_or_else(|| unsupported("the loader does not list its code"))?;
    if !cfg!(feature = "auto-init") && !path.as_os_str().is_empty() {
        return Err(unsupported(&format!(
            "this pool is in {}, and without forklore's feature `auto-init` only the program itself can",
            path.display()
        )));
    }
    Ok((offset, path))
}

pub(super) fn unsupported(why: &str) -> Error {
    Error::os(
        &format!("cannot start a fresh process: {why}; {HOW_ELSE}"),
        std::io::ErrorKind::Unsupported.into(),
    )
}

const NOT_ENTERED: &str = if cfg!(feature = "auto-init") {
    "this program does not run the library's initialiser"
} else {
    "without forklore's feature `auto-init`, `main` has to begin with `forklore::init()`"
};
