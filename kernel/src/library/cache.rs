//! The cache folder: data that is made once and kept, in `~/.cache/forklore` or below
//! `XDG_CACHE_HOME`.
//!
//! Everything in it has its version in its name, is made in a folder beside its final path and
//! renamed to it, and is never changed afterwards. There are no locks: the first process to rename
//! wins, and the others use its result. So two sessions may start at the same time, even on a
//! network file system.
//!
//! ```text
//! building-PID-N/     being made; removed when its process is gone for an hour (it may be one of another machine)
//! KIND-KEY/           kept, with a file `last-used`
//! ```
//!
//! If it cannot be written, as in a container whose user has no home, sessions use a private folder
//! inside the folder for temporary files.
//!
//! Data that no session has used for a month is removed, and so is what exceeds the newest few of a
//! kind, unless it was used today.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Error, Result, bail};
use forklore_lab::places;

use crate::sys::procs;

/// How many of each kind are kept: a few compilers or versions of the library, side by side.
const N_KEPT: usize = 3;
/// Data used within this time may be in use: a session needs its library as long as it lives.
pub(super) const MAY_BE_IN_USE: Duration = Duration::from_secs(24 * 3600);
const ABANDONED: Duration = Duration::from_secs(3600);
pub(super) const TOO_OLD: Duration = Duration::from_secs(30 * 24 * 3600);
const LAST_USED: &str = "last-used";
/// The kinds of folders that are pruned. The Python environments of `cargo lab` are not ours.
const KINDS: [&str; 5] = ["library", "warm", "std", "prelude", "crates"];

/// The cache folder, which is created if it is missing.
///
/// # Errors
///
/// If there is no home folder, or it cannot be created.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder =
        places::cache_folder().map_err(|error| Error::from(Unwritable(error.to_string())))?;
    make_private(&folder).map_err(|error| way_out(error.into(), &folder))?;
    Ok(folder)
}

/// Runs `work` in the cache folder, or, if that cannot be written, in the folder for temporary
/// files. Returns a warning in the second case.
///
/// # Errors
///
/// The errors of `work`; the one about the cache folder, if neither folder works.
pub(crate) fn with_folder<T>(work: impl Fn(&Path) -> Result<T>) -> Result<(T, Option<String>)> {
    fall_back(folder(), &std::env::temp_dir(), work)
}

fn fall_back<T>(
    folder: Result<PathBuf>,
    temporary: &Path,
    work: impl Fn(&Path) -> Result<T>,
) -> Result<(T, Option<String>)> {
    let error = match folder.and_then(|folder| work(&folder)) {
        Ok(done) => return Ok((done, None)),
        Err(error) => error,
    };
    // A failed build, or a full disk, would fail there too, minutes later.
    if is_full(&error) || !error.is::<Unwritable>() {
        return Err(error);
    }
    let Ok(instead) = temporary_folder(temporary) else {
        return Err(error);
    };
    let warning = format!("{error:#}; until then {} serves", instead.display());
    Ok((work(&instead)?, Some(warning)))
}

/// The folder that replaces the cache folder: private, although all users can write to its parent.
fn temporary_folder(parent: &Path) -> Result<PathBuf> {
    let folder = parent.join(format!("forklore-cache-{}", procs::own_uid()));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let metadata = fs::symlink_metadata(&folder)?;
    let is_private =
        metadata.is_dir() && metadata.uid() == procs::own_uid() && metadata.mode() & 0o077 == 0;
    if !is_private {
        bail!("others could change {}", folder.display());
    }
    Ok(folder)
}

/// The cache folder cannot be written; the text says what to do.
#[derive(Debug)]
struct Unwritable(String);

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritable {}

/// Creates a folder that only its user can enter, whatever the umask: sessions load its content.
fn make_private(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let metadata = fs::metadata(folder)?;
    let is_mine = metadata.uid() == procs::own_uid();
    if is_mine && metadata.mode() & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// An error about the cache folder, with what the user can do about it.
pub(crate) fn way_out(error: Error, folder: &Path) -> Error {
    let kind = error
        .chain()
        .find_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
    let hint = match kind {
        Some(_) if is_full(&error) => {
            "free some of it, or set XDG_CACHE_HOME to a folder elsewhere"
        }
        Some(_) => "set XDG_CACHE_HOME to a folder that can be written to",
        None => return error,
    };
    error.context(Unwritable(format!(
        "could not write to the cache folder {}: {hint}",
        folder.display()
    )))
}

/// Whether the disk was full.
pub(crate) fn is_full(error: &Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(
            kind,
            Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
        )
    })
}

/// A new folder in which to make something.
pub(crate) fn building(root: &Path) -> Result<PathBuf> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let folder = root.join(format!("building-{}-{number}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder)?;
    Ok(folder)
}

/// Makes what is missing, in a folder beside its final path, which is removed if that fails.
pub(crate) fn make(
    root: &Path,
    place: &Path,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let making = building(root).map_err(|error| way_out(error, root))?;
    let made = fill(&making).and_then(|()| put_in_place(&making, place));
    made.map_err(|error| {
        let _ = fs::remove_dir_all(&making);
        way_out(error, root)
    })
}

/// Renames a finished folder. If another session was faster, its folder is equally good.
pub(crate) fn put_in_place(ready: &Path, place: &Path) -> Result<()> {
    match fs::rename(ready, place) {
        Err(error) if !place.exists() => {
            Err(error).with_context(|| format!("could not write {}", place.display()))
        }
        Err(_) => Ok(fs::remove_dir_all(ready)?),
        Ok(()) => Ok(()),
    }
}

/// Marks this as used by a session. (If the cache cannot be written, it cannot be pruned either.)
pub(crate) fn mark_used(folder: &Path) {
    let file = File::create(folder.join(LAST_USED));
    let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes what is too old or too much, and what ended processes left of their builds.
pub(crate) fn prune(root: &Path) {
    prune_at(root, SystemTime::now());
}

fn prune_at(root: &Path, now: SystemTime) {
    let mut entries: Vec<(String, Duration, PathBuf)> = Vec::new();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let (kind, rest) = name.split_once('-').unwrap_or((&name, ""));
        let pid = rest.split('-').next().and_then(|pid| pid.parse().ok());
        if kind == "building" {
            let is_gone = pid.is_some_and(|pid| procs::Stat::of(pid).is_none());
            if is_gone && unused_for(&path, now) > ABANDONED {
                let _ = fs::remove_dir_all(&path);
            }
        } else if KINDS.contains(&kind) {
            entries.push((kind.to_owned(), unused_for(&path, now), path));
        }
    }
    entries.sort();
    let mut n_of_kind = 0;
    let mut previous = String::new();
    for (kind, unused, path) in entries {
        n_of_kind = if kind == previous { n_of_kind + 1 } else { 1 };
        previous = kind;
        if unused > TOO_OLD || (n_of_kind > N_KEPT && unused > MAY_BE_IN_USE) {
            remove(&path, root);
        }
    }
}

fn unused_for(folder: &Path, now: SystemTime) -> Duration {
    let mark = fs::metadata(folder.join(LAST_USED)).or_else(|_| fs::metadata(folder));
    let used = mark.and_then(|metadata| metadata.modified());
    used.ok()
        .and_then(|used| now.duration_since(used).ok())
        .unwrap_or_default()
}

/// Removes something below `root`. A session that starts at the same time finds it complete or not
/// at all.
pub(super) fn remove(folder: &Path, root: &Path) {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let doomed = root.join(format!("building-{}-{name}", std::process::id()));
    if fs::rename(folder, &doomed).is_ok() {
        let _ = fs::remove_dir_all(doomed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let name = format!("forklore-cache-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn where_the_cache_cannot_be_written_a_private_folder_serves() {
        let root = scratch("temporary");
        let write = |folder: &Path| {
            make(folder, &folder.join("warm-1"), |making| {
                Ok(fs::write(making.join("file"), "")?)
            })
        };
        let file = root.join("file");
        fs::write(&file, "").unwrap();
        for unwritable in [&file, Path::new("/proc/self")] {
            let ((), warning) = fall_back(Ok(unwritable.into()), &root, write).unwrap();
            let warning = warning.unwrap();
            for part in [unwritable, &root] {
                assert!(warning.contains(part.to_str().unwrap()), "{warning}");
            }
        }
        let ((), warning) = fall_back(Ok(root.clone()), &root, write).unwrap();
        assert!(warning.is_none());
        // Other errors are passed on.
        let fails = |_: &Path| -> Result<()> { bail!("no network") };
        let error = fall_back(Ok(file.clone()), &root, fails).unwrap_err();
        assert_eq!(error.to_string(), "no network");
        // Another user may have created the folder, or opened its permissions.
        let instead = temporary_folder(&root).unwrap();
        assert_eq!(fs::metadata(&instead).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&instead, Permissions::from_mode(0o777)).unwrap();
        let error = fall_back(Ok(file.clone()), &root, write).unwrap_err();
        assert!(error.to_string().contains("XDG_CACHE_HOME"), "{error:#}");
        fs::remove_dir_all(&instead).unwrap();
        std::os::unix::fs::symlink(&root, &instead).unwrap();
        temporary_folder(&root).unwrap_err();
        fs::remove_dir_all(root).unwrap();
    }

    fn names(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_slower_of_two_uses_what_the_faster_one_made() {
        let root = scratch("race");
        let place = root.join("place");
        for text in ["first", "second"] {
            make(&root, &place, |folder| {
                Ok(fs::write(folder.join("file"), text)?)
            })
            .unwrap();
        }
        assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "first");
        assert_eq!(names(&root), ["place"]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn only_the_user_can_enter_the_cache_also_one_that_was_open() {
        let root = scratch("private");
        let folder = root.join("cache/forklore");
        let mode = || folder.metadata().unwrap().mode() & 0o7777;
        make_private(&folder).unwrap();
        assert_eq!(mode(), 0o700);
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        make_private(&folder).unwrap();
        assert_eq!(mode(), 0o700);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_fails_leaves_nothing_and_says_what_to_do() {
        let root = scratch("fails");
        let full = || Err(io::Error::from(ErrorKind::StorageFull).into());
        let error = make(&root, &root.join("place"), |_| full()).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains(&*root.to_string_lossy()) && text.contains("XDG_CACHE_HOME"),
            "{text}"
        );
        assert!(names(&root).is_empty());
        fs::remove_dir_all(&root).unwrap();
        let error = make(&root, &root.join("place"), |_| Ok(())).unwrap_err();
        assert!(
            format!("{error:#}").contains("can be written to"),
            "{error:#}"
        );
    }

    #[test]
    fn old_and_superfluous_folders_go_and_used_ones_stay() {
        let root = scratch("prune");
        let day = Duration::from_secs(24 * 3600);
        let now = SystemTime::now() + 100 * day;
        let ages = [
            ("warm-a", 0),
            ("warm-b", 2),
            ("warm-c", 3),
            ("warm-d", 4),
            ("std-e", 40),
            ("python-f", 90),
        ];
        for (name, days) in ages {
            fs::create_dir(root.join(name)).unwrap();
            mark_used(&root.join(name));
            let file = File::options()
                .write(true)
                .open(root.join(name).join(LAST_USED))
                .unwrap();
            file.set_modified(now - days * day).unwrap();
        }
        // No process has this pid. (A young folder may belong to a process on another machine.)
        fs::create_dir(root.join("building-2147483646-0")).unwrap();
        fs::create_dir(root.join(format!("building-{}-0", std::process::id()))).unwrap();
        prune_at(&root, now);
        let own = format!("building-{}-0", std::process::id());
        assert_eq!(
            names(&root),
            [&own, "python-f", "warm-a", "warm-b", "warm-c"]
        );
        fs::remove_dir_all(root).unwrap();
    }
}
