//! How much is kept: what no session has used for a month goes, and what was used longest ago where
//! all of it is too much. What was used today stays, as sessions that live may read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::unit::LIST;
use super::{names, package};
use crate::library::cache;

/// What all compiled crates together may take. Polars with its dependencies is a tenth of it.
pub(crate) const LIMIT_BYTES: u64 = 4 << 30;

/// What is kept of one compile.
pub(super) struct Kept {
    pub(super) unit: String,
    pub(super) folder: PathBuf,
    pub(super) n_bytes: u64,
    pub(super) used: SystemTime,
}

/// All that is kept in a store.
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

/// Removes what is too old, and what is more than the limit.
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
