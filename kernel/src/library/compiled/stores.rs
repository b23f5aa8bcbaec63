//! Which store a session uses: cargo's output for a crate depends on the cargo home that has its
//! sources, and a session with a shared cache has two of them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;

/// The file in a session's tools that lists them.
const FILE: &str = "stores";

/// The stores of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stores {
    own: PathBuf,
    shared: Option<Shared>,
}

/// The stores for the cargo home in a shared cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shared {
    home: PathBuf,
    /// The administrator's store, which is only read.
    read: PathBuf,
    /// The user's store, which is written.
    written: PathBuf,
}

impl Stores {
    /// With only a store for the user's own cargo home.
    pub(crate) fn own(folder: PathBuf) -> Stores {
        Stores {
            own: folder,
            shared: None,
        }
    }

    /// With stores for another cargo home in addition.
    pub(crate) fn with_shared(self, home: PathBuf, read: PathBuf, written: PathBuf) -> Stores {
        let shared = Some(Shared {
            home,
            read,
            written,
        });
        Stores { shared, ..self }
    }

    /// Writes the list for the processes that a session starts.
    pub(crate) fn write(&self, tools: &Path) -> io::Result<()> {
        fs::write(tools.join(FILE), serde_json::to_vec(self)?)
    }

    /// Reads the list of a session.
    pub(crate) fn read(tools: &Path) -> Option<Stores> {
        serde_json::from_slice(&fs::read(tools.join(FILE)).ok()?).ok()
    }

    /// The stores in which to look for crates while cargo has this `home`; new ones go into the
    /// last.
    pub(crate) fn of(&self, home: Option<&OsStr>) -> Vec<Store> {
        let folders = match &self.shared {
            Some(shared) if home == Some(shared.home.as_os_str()) => {
                if shared.read == shared.written {
                    vec![&shared.written]
                } else {
                    vec![&shared.read, &shared.written]
                }
            }
            _ => vec![&self.own],
        };
        folders.into_iter().cloned().map(Store::at).collect()
    }

    /// The stores for cargo's home in this process's environment.
    pub(crate) fn current(&self) -> Vec<Store> {
        self.of(std::env::var_os("CARGO_HOME").as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_home_of_cargo_has_its_own() {
        let stores = Stores::own("/own/crates-1".into()).with_shared(
            "/all/cargo".into(),
            "/all/crates-2".into(),
            "/own/crates-2".into(),
        );
        let of = |home: Option<&str>| {
            let found = stores.of(home.map(OsStr::new)).into_iter();
            found.map(|store| store.folder).collect::<Vec<_>>()
        };
        for own in [None, Some("/home/me/.cargo")] {
            assert_eq!(of(own), [Path::new("/own/crates-1")]);
        }
        let shared = [Path::new("/all/crates-2"), Path::new("/own/crates-2")];
        assert_eq!(of(Some("/all/cargo")), shared);
    }
}
