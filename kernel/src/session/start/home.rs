//! Which home cargo has: that of the shared cache, in which nothing can be written, until a cell
//! adds a dependency.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sys::variables;

const VARIABLE: &str = "CARGO_HOME";

/// The two homes of cargo in a session that uses a shared cache.
pub(in crate::session) struct Home {
    shared: PathBuf,
    own: Option<OsString>,
}

impl Home {
    /// Makes the shared one cargo's home, but not for what `user` starts.
    pub(in crate::session) fn enter(shared: &Path, user: &mut Command) -> Home {
        let home = Home {
            shared: shared.to_owned(),
            own: std::env::var_os(VARIABLE),
        };
        match &home.own {
            Some(own) => user.env(VARIABLE, own),
            None => user.env_remove(VARIABLE),
        };
        home.use_shared();
        home
    }

    /// Nothing is downloaded.
    pub(in crate::session) fn use_shared(&self) {
        variables::set(VARIABLE, Some(self.shared.as_os_str()));
    }

    /// Dependencies can be added. The library is compiled once more then, because its own are in
    /// another place.
    pub(in crate::session) fn use_own(&self) {
        variables::set(VARIABLE, self.own.as_deref());
    }
}
