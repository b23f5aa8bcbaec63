//! Copies a `target/` so that cargo finds everything fresh.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};

/// How a copy shares the large files with the original.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// If file system and owner are the same.
    HardLink,
    /// The original belongs to another user, and stays.
    Symlink,
}

impl Share {
    fn share(self, source: &Path, target: &Path) -> bool {
        match self {
            Share::HardLink => fs::hard_link(source, target).is_ok(),
            Share::Symlink => std::os::unix::fs::symlink(source, target).is_ok(),
        }
    }
}

/// Copies what cargo needs to find the dependencies fresh, with modification times, but without the
/// cells' own code.
pub(super) fn copy_tree(from: &Path, to: &Path, share: Share) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if is_of_a_cell(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_tree(&source, &target, share)?;
        } else if !(is_never_rewritten(&source) && share.share(&source, &target)) {
            fs::copy(&source, &target)?;
            File::options()
                .write(true)
                .open(&target)?
                .set_modified(entry.metadata()?.modified()?)?;
        }
    }
    Ok(())
}

fn is_of_a_cell(name: &str) -> bool {
    name == "incremental"
        || ["ctx-", "libctx", "ctx.", "code_", "libcode_", "lib-ctx"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// The compiler writes new versions of these files beside the old ones and renames them, so the
/// files can be shared. Cargo writes its own small files in place.
fn is_never_rewritten(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "rlib" || extension == "rmeta" || extension == "so")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("forklore-warm-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_tree_is_copied_with_its_times_and_without_cells() {
        let root = scratch("tree");
        let from = root.join("from");
        fs::create_dir_all(from.join("deps/incremental")).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for name in [
            "deps/libx.rlib",
            "deps/invoked.timestamp",
            "deps/libcode_3.so",
            "deps/incremental/y",
        ] {
            fs::write(from.join(name), name).unwrap();
            File::options()
                .write(true)
                .open(from.join(name))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        copy_tree(&from, &root.join("to"), Share::HardLink).unwrap();
        for name in ["deps/libx.rlib", "deps/invoked.timestamp"] {
            let copy = root.join("to").join(name);
            assert_eq!(fs::read_to_string(&copy).unwrap(), name);
            assert_eq!(copy.metadata().unwrap().modified().unwrap(), time);
        }
        assert!(
            !root.join("to/deps/libcode_3.so").exists()
                && !root.join("to/deps/incremental").exists()
        );
        fs::write(root.join("to/deps/invoked.timestamp"), "new").unwrap();
        assert_eq!(
            fs::read_to_string(from.join("deps/invoked.timestamp")).unwrap(),
            "deps/invoked.timestamp"
        );
        fs::remove_dir_all(root).unwrap();
    }
}
