//! A cache that an administrator prepared for many users: `forklore warm --system`.
//!
//! It has the structure of the user's own (`cache`), and also a cargo home with the sources of the
//! library's dependencies, because cargo identifies these by their paths:
//!
//! ```text
//! PREFIX/share/forklore/warm/     beside PREFIX/bin/forklore, or where FORKLORE_WARM says
//!     library-KEY/ warm-KEY-RUSTC/ std-RUSTC/ prelude-RUSTC/
//!     cargo/
//! ```
//!
//! Any user's session loads its content, so only root and that user may be able to change it. Every
//! session checks that, and does not use what fails the check. A session writes nothing there.

use std::collections::HashSet;
use std::env;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use forklore_lab::places;

use crate::sys::procs::own_uid;

/// The variable that names the folder; empty for none.
pub const VARIABLE: &str = "FORKLORE_WARM";
/// Cargo's home inside the folder.
const CARGO: &str = "cargo";
const STICKY: u32 = 0o1000;
const OTHERS_MAY_WRITE: u32 = 0o022;

/// The folder for this program and environment, if there is one.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = match env::var_os(VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => default_folder().filter(|folder| folder.exists())?,
    };
    (!folder.as_os_str().is_empty()).then_some(folder)
}

/// The folder next to this program's installation, which is found without being named.
pub(crate) fn default_folder() -> Option<PathBuf> {
    Some(places::data_folder().ok()?.join("warm"))
}

/// Cargo's home in a shared cache.
pub(crate) fn cargo_home(folder: &Path) -> PathBuf {
    folder.join(CARGO)
}

/// The folder by its real path, if only root and this user can replace it.
///
/// # Errors
///
/// Says who else could.
pub(crate) fn trusted(folder: &Path) -> Result<PathBuf> {
    trusted_by(own_uid(), folder)
}

fn trusted_by(user: u32, folder: &Path) -> Result<PathBuf> {
    if !folder.is_absolute() {
        bail!("{} is not an absolute path", folder.display());
    }
    let cannot_read = || format!("cannot read {}", folder.display());
    let real = folder.canonicalize().with_context(cannot_read)?;
    for (n_above, path) in real.ancestors().enumerate() {
        let metadata = path.symlink_metadata()?;
        // In a sticky folder, such as /tmp, only an entry's owner can rename it.
        let is_safe = n_above > 0 && metadata.mode() & STICKY != 0;
        check(user, path, &metadata, is_safe)?;
    }
    Ok(real)
}

/// Checks that only root and this user can change the entries of `folder`.
///
/// # Errors
///
/// Says who else could.
pub(crate) fn check_folder(folder: &Path) -> Result<()> {
    check(own_uid(), folder, &folder.symlink_metadata()?, false)
}

/// Checks that only root and this user can change anything below `folder`.
///
/// # Errors
///
/// Names the first file that another user could change.
pub(crate) fn check_below(folder: &Path) -> Result<()> {
    check_below_by(own_uid(), folder)
}

fn check_below_by(user: u32, folder: &Path) -> Result<()> {
    check(user, folder, &folder.symlink_metadata()?, false)?;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let metadata = path.symlink_metadata()?;
        if metadata.is_dir() {
            check_below_by(user, &path)?;
        } else {
            check(user, &path, &metadata, false)?;
        }
    }
    Ok(())
}

fn check(user: u32, path: &Path, metadata: &Metadata, is_sticky: bool) -> Result<()> {
    let owner = metadata.uid();
    if owner != 0 && owner != user {
        bail!(
            "{} belongs to user {owner}, who could change what you load",
            path.display()
        );
    }
    // A link's own permissions have no effect.
    if metadata.mode() & OTHERS_MAY_WRITE != 0 && !metadata.is_symlink() && !is_sticky {
        bail!(
            "{} can be changed by others (permissions {:o}); `chmod -R go-w` takes that away",
            path.display(),
            metadata.mode() & 0o7777
        );
    }
    Ok(())
}

/// Lets all users read what its owner can read, and only the owner write.
pub(crate) fn open_for_reading(path: &Path) -> Result<()> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let of_owner = metadata.mode() & 0o700;
    let of_others = of_owner & 0o500;
    let mode = of_owner | of_others >> 3 | of_others >> 6;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            open_for_reading(&entry?.path())?;
        }
    }
    Ok(())
}

/// Copies the packages that `lock` names for `package` from one cargo home to another, so that they
/// need not be downloaded again. cargo downloads packages that are missing.
pub(crate) fn copy_packages(lock: &str, package: &str, from: &Path, to: &Path) -> Result<()> {
    let packages = closure(lock, package);
    for registry in entries(&from.join("registry/index")) {
        let place = Path::new("registry/index").join(registry.file_name().unwrap_or_default());
        copy_file(from, to, &place.join("config.json"))?;
        for (name, _) in &packages {
            copy_file(from, to, &place.join(".cache").join(index_path(name)))?;
        }
    }
    for registry in entries(&from.join("registry/cache")) {
        let place = Path::new("registry/cache").join(registry.file_name().unwrap_or_default());
        for (name, version) in &packages {
            copy_file(from, to, &place.join(format!("{name}-{version}.crate")))?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn copy_file(from: &Path, to: &Path, name: &Path) -> Result<()> {
    let (source, target) = (from.join(name), to.join(name));
    if source.is_file() && !target.exists() {
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        fs::copy(source, target)?;
    }
    Ok(())
}

/// A package's path in a registry's index, by cargo's rule.
fn index_path(name: &str) -> String {
    match name.len() {
        1 | 2 => format!("{}/{name}", name.len()),
        3 => format!("3/{}/{name}", &name[..1]),
        _ => format!("{}/{}/{name}", &name[..2], &name[2..4]),
    }
}

/// Name and version of all dependencies of `package`, according to a lock file. (If there are
/// several versions of one, all of them.)
fn closure(lock: &str, package: &str) -> HashSet<(String, String)> {
    let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
    let blocks = lock.split("[[package]]").skip(1).map(|block| {
        let value = |key: &str| block.lines().find(|line| line.starts_with(key)).map(quoted);
        let needs = block.lines().filter(|line| line.starts_with(" \""));
        let needs: Vec<String> = needs
            .filter_map(|line| Some(quoted(line).split(' ').next()?.to_owned()))
            .collect();
        let of = |key| value(key).unwrap_or_default();
        (of("name = "), of("version = "), needs)
    });
    let blocks: Vec<_> = blocks.collect();
    let mut wanted = vec![package.to_owned()];
    let mut found = HashSet::new();
    while let Some(name) = wanted.pop() {
        for (_, version, needs) in blocks.iter().filter(|(its_name, ..)| *its_name == name) {
            if found.insert((name.clone(), version.clone())) {
                wanted.extend(needs.iter().cloned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder at a path that only root or this user can change.
    fn scratch(name: &str) -> PathBuf {
        let name = format!("forklore-shared-{}-{name}", std::process::id());
        let folder = env::temp_dir().canonicalize().unwrap().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("warm/deps")).unwrap();
        fs::write(folder.join("warm/deps/lib.rlib"), "code").unwrap();
        set(&folder, 0o755);
        open_for_reading(&folder).unwrap();
        folder
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_only_root_and_oneself_can_change_is_trusted() {
        let root = scratch("good");
        assert_eq!(
            trusted_by(own_uid(), &root.join("warm")).unwrap(),
            root.join("warm")
        );
        check_below_by(own_uid(), &root.join("warm")).unwrap();
        std::os::unix::fs::symlink(root.join("warm"), root.join("link")).unwrap();
        assert_eq!(
            trusted_by(own_uid(), &root.join("link")).unwrap(),
            root.join("warm")
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_others_can_write_to_is_refused_with_its_name() {
        let root = scratch("open");
        let (warm, file) = (root.join("warm"), root.join("warm/deps/lib.rlib"));
        for (path, mode) in [
            (&file, 0o646),
            (&file, 0o664),
            (&root.join("warm/deps"), 0o777),
        ] {
            let before = path.metadata().unwrap().mode();
            set(path, mode);
            let error = check_below_by(own_uid(), &warm).unwrap_err().to_string();
            assert!(
                error.contains(path.to_str().unwrap()) && error.contains("chmod"),
                "{error}"
            );
            set(path, before & 0o7777);
        }
        // One level above, where the folder could be replaced, unless only owners can do that.
        set(&root, 0o777);
        let error = trusted_by(own_uid(), &warm).unwrap_err().to_string();
        assert!(error.contains("permissions 777"), "{error}");
        set(&root, 0o1777);
        trusted_by(own_uid(), &warm).unwrap();
        set(&warm, 0o1777);
        trusted_by(own_uid(), &warm).unwrap_err();
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_belongs_to_a_third_is_refused() {
        let root = scratch("owner");
        if own_uid() == 0 {
            std::os::unix::fs::chown(root.join("warm/deps/lib.rlib"), Some(12_345), None).unwrap();
        }
        // To another user, this user is a third party; all trust what root owns.
        let other = own_uid() + 1;
        let error = check_below_by(other, &root.join("warm"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("belongs to user") && error.contains("could change"),
            "{error}"
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_relative_or_missing_folder_is_refused() {
        assert!(trusted(Path::new("warm")).is_err());
        let error = trusted(Path::new("/no/such/folder")).unwrap_err();
        assert!(format!("{error:#}").contains("/no/such/folder"));
    }

    #[test]
    fn everybody_may_read_and_nobody_else_write() {
        let root = scratch("modes");
        let file = root.join("warm/program");
        fs::write(&file, "").unwrap();
        for (before, after) in [
            (0o600, 0o644),
            (0o777, 0o755),
            (0o640, 0o644),
            (0o700, 0o755),
        ] {
            set(&file, before);
            open_for_reading(&root).unwrap();
            assert_eq!(file.metadata().unwrap().mode() & 0o7777, after);
        }
        fs::remove_dir_all(root).unwrap();
    }

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\n \"b\",\n \"cc 2.0.0\",\n]\n\n\
        [[package]]\nname = \"b\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n\n\
        [[package]]\nname = \"cc\"\nversion = \"2.0.0\"\n\n[[package]]\nname = \"other\"\nversion = \"3.0.0\"\n";

    #[test]
    fn the_packages_of_one_are_found_in_a_lock_file_and_copied() {
        let root = scratch("packages");
        let (from, to) = (root.join("from"), root.join("to"));
        let files = [
            "index/r/config.json",
            "index/r/.cache/1/a",
            "index/r/.cache/2/cc",
            "index/r/.cache/ot/he/other",
            "cache/r/a-1.0.0.crate",
            "cache/r/a-0.9.0.crate",
            "cache/r/other-3.0.0.crate",
        ];
        for file in files.map(|file| from.join("registry").join(file)) {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        copy_packages(LOCK, "a", &from, &to).unwrap();
        let copied = files.map(|file| to.join("registry").join(file).exists());
        assert_eq!(copied, [true, true, true, false, true, false, false]);
        assert_eq!(index_path("serde_core"), "se/rd/serde_core");
        assert_eq!(index_path("nix"), "3/n/nix");
        fs::remove_dir_all(root).unwrap();
    }
}
