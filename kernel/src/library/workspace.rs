//! Folders in which cargo refuses to compile a session's crate, because they lie in a workspace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Fails if cargo would consider a new crate below `folder` a member of a workspace. `way_out` says
/// how to use another folder.
pub(crate) fn refuse(folder: &Path, way_out: &str) -> Result<()> {
    match root_above(folder) {
        Some(manifest) => bail!(
            "{} is in a cargo workspace, that of {}, and cargo compiles nothing else there: {way_out}",
            folder.display(),
            manifest.display()
        ),
        None => Ok(()),
    }
}

/// The manifest of the workspace that contains `folder`, if it excludes no folders. The folder may
/// be a link, and need not exist yet.
fn root_above(folder: &Path) -> Option<PathBuf> {
    let real = folder
        .ancestors()
        .find_map(|above| above.canonicalize().ok())?;
    let mut manifests = real.ancestors().map(|above| above.join("Cargo.toml"));
    manifests.find(|manifest| {
        let text = fs::read_to_string(manifest).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        lines.any(|line| line.starts_with("[workspace]") || line.starts_with("[workspace."))
            && !text.contains("exclude")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_a_workspace_is_refused_with_its_manifest() {
        let root = std::env::temp_dir().join(format!("forklore-workspace-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let root = root.canonicalize().unwrap();
        // It need not exist.
        let below = root.join("target/warm");
        let manifest = root.join("Cargo.toml");
        fs::write(&manifest, "[package]\nname = \"a\"\n").unwrap();
        refuse(&below, "").unwrap();
        fs::write(
            &manifest,
            "[package]\nname = \"a\"\n[workspace]\nmembers = []\n",
        )
        .unwrap();
        let said = refuse(&below, "set TMPDIR").unwrap_err().to_string();
        for part in [
            &*below.to_string_lossy(),
            &*manifest.to_string_lossy(),
            "set TMPDIR",
        ] {
            assert!(said.contains(part), "{said}");
        }
        let link = root.with_extension("link");
        std::os::unix::fs::symlink(&root, &link).unwrap();
        refuse(&link, "").unwrap_err();
        fs::remove_file(link).unwrap();
        fs::write(&manifest, "[workspace]\nexclude = [\"target\"]\n").unwrap();
        refuse(&below, "").unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
