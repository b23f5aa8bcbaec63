//! Which home cargo has: that of the shared cache, in which nothing can be written, until a cell adds a dependency.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

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
        set(Some(self.shared.as_os_str()));
    }

    /// Dependencies can be added. The library is compiled once more then, because its own are in another place.
    pub(in crate::session) fn use_own(&self) {
        set(self.own.as_deref());
    }
}

fn set(home: Option<&std::ffi::OsStr>) {
    // SAFETY: std's own readers take std's lock, and no other thread of this program reads the environment through C.
    unsafe {
        match home {
            Some(home) => std::env::set_var(VARIABLE, home),
            None => std::env::remove_var(VARIABLE),
        }
    }
}
