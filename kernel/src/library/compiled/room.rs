//! Limits the stored data: units that no session has used for a month are removed, and the least
//! recently used ones if the total is too large. Units that were used today stay, because running
//! sessions may read them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::unit::LIST;
use super::{names, package};
use crate::library::cache;

/// The maximum size of all compiled crates together. Polars with its dependencies takes a tenth of
/// it.
pub(crate) const LIMIT_BYTES: u64 = 4 << 30;

/// The stored data of one compile.
pub(super) struct Kept {
    pub(super) unit: String,
    pub(super) folder: PathBuf,
    pub(super) n_bytes: u64,
    pub(super) used: SystemTime,
}

/// All stored data of a store.
pub(super) fn kept(store: &Path) -> Vec<Kept> {
    let units = names(store).filter(|name| package(name).is_some());
    let kept = units.filter_map(|unit| {
        let folder = store.join(&unit);
        let used = fs::metadata(folder.join(LIST)).ok()?.modified().ok()?;
        let sizes = fs::read_dir(&folder).ok()?.flatten();
        let sizes = sizes.filter_map(|file| Some(file.metadata().ok()?.len()));
        Some(Kept {
            unit,
            n_bytes: sizes.sum(),
            folder,
            used,
        })
    });
    kept.collect()
}

/// Removes what is too old, and what exceeds the limit.
pub(super) fn make(store: &Path, limit_bytes: u64, now: SystemTime) {
    let mut kept = kept(store);
    kept.sort_by_key(|unit| unit.used);
    let mut n_bytes: u64 = kept.iter().map(|unit| unit.n_bytes).sum();
    for unit in kept {
        let unused = now.duration_since(unit.used).unwrap_or(Duration::ZERO);
        let is_too_much = n_bytes > limit_bytes && unused > cache::MAY_BE_IN_USE;
        if unused > cache::TOO_OLD || is_too_much {
            cache::remove(&unit.folder, store.parent().unwrap_or(store));
            n_bytes -= unit.n_bytes;
        }
    }
}
