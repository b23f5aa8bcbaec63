//! The sources of the library and the course, embedded in this program.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::library::cache;

include!(concat!(env!("OUT_DIR"), "/library.rs"));

/// All unpacked sources get this modification time, so that a new copy is not newer than the
/// compiled crates.
const SOURCE_TIME: Duration = Duration::from_secs(1_700_000_000);

/// The folder of the sources in a cache.
pub(super) fn library_folder(root: &Path) -> PathBuf {
    root.join(format!("library-{}", KEY))
}

/// Unpacks the sources into a cache, unless they are there.
pub(super) fn unpack(root: &Path) -> Result<PathBuf> {
    let library = library_folder(root);
    if !library.join("Cargo.toml").exists() {
        cache::make(root, &library, write_library)?;
    }
    Ok(library)
}

fn write_library(folder: &Path) -> Result<()> {
    for (name, content) in FILES {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)?;
        File::options()
            .write(true)
            .open(&path)?
            .set_modified(SystemTime::UNIX_EPOCH + SOURCE_TIME)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_and_course_have_manifests_of_their_own() {
        let file = |wanted: &str| {
            let mut files = FILES.iter();
            let (_, content) = files.find(|(name, _)| *name == wanted).expect(wanted);
            std::str::from_utf8(content).unwrap()
        };
        for (folder, name) in [("", "forklore"), ("lessons/", "forklore-course")] {
            let manifest = file(&format!("{folder}Cargo.toml"));
            for part in [
                &format!("name = \"{name}\""),
                "version = \"",
                "[dependencies]",
            ] {
                assert!(manifest.contains(part), "no {part}: {manifest}");
            }
            assert!(!manifest.contains("workspace = true"), "{manifest}");
            file(&format!("{folder}src/lib.rs"));
            // rust-analyzer gets no dependencies, so no feature may refer to one.
            let features = file(&format!("{folder}analysis/Cargo.toml"));
            let features = features.lines().filter(|line| line.contains("= ["));
            for line in features {
                assert!(!line.contains("dep:") && !line.contains('/'), "{line}");
            }
        }
    }
}
