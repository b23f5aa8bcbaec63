//! Chooses cargo's home: the one of the shared cache, which is read-only, until a cell adds a
//! dependency.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sys::variables;

const VARIABLE: &str = "CARGO_HOME";

/// The two homes of cargo for a session that uses a shared cache.
pub(in crate::session) struct Home {
    shared: PathBuf,
    own: Option<OsString>,
}

impl Home {
    /// Makes the shared home cargo's home, but not for the processes of `user`.
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

    /// Uses the shared home: nothing is downloaded.
    pub(in crate::session) fn use_shared(&self) {
        variables::set(VARIABLE, Some(self.shared.as_os_str()));
    }

    /// Uses the user's own home, so that dependencies can be added. The library is then compiled
    /// once more, because its own dependencies have another path.
    pub(in crate::session) fn use_own(&self) {
        variables::set(VARIABLE, self.own.as_deref());
    }
}
