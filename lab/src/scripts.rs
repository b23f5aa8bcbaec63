//! The Python programs that run lessons and make pages and slides, and the pinned packages that
//! they need.
//!
//! They are embedded in this program, so that it runs without its sources, and unpacked into the
//! cache folder, once for each version of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::places;

/// The packages of the lessons: JupyterLab, and those that run notebooks. Binder uses the same
/// file.
pub const LESSONS: &str = "requirements/lessons.txt";
/// What slides need in addition: reveal.js.
pub const SLIDES: &str = "requirements/slides.txt";

/// Name and content of each file.
const FILES: &[(&str, &str)] = &[
    ("lesson.py", include_str!("../python/lesson.py")),
    ("page.py", include_str!("../python/page.py")),
    ("slides.py", include_str!("../python/slides.py")),
    (LESSONS, include_str!("../../binder/requirements.txt")),
    (SLIDES, include_str!("../python/requirements/slides.txt")),
    (
        "templates/forklore-page/conf.json",
        include_str!("../python/templates/forklore-page/conf.json"),
    ),
    (
        "templates/forklore-page/index.html.j2",
        include_str!("../python/templates/forklore-page/index.html.j2"),
    ),
    (
        "templates/forklore-page/static/course.css",
        include_str!("../python/templates/forklore-page/static/course.css"),
    ),
    (
        "templates/forklore-page/static/page.css",
        include_str!("../python/templates/forklore-page/static/page.css"),
    ),
    (
        "templates/forklore-slides/conf.json",
        include_str!("../python/templates/forklore-slides/conf.json"),
    ),
    (
        "templates/forklore-slides/index.html.j2",
        include_str!("../python/templates/forklore-slides/index.html.j2"),
    ),
];

/// The folder that the scripts were unpacked into.
#[derive(Debug, Clone)]
pub struct Scripts {
    folder: PathBuf,
}

impl Scripts {
    /// Unpacks the scripts into the cache folder, or finds them there.
    ///
    /// # Errors
    ///
    /// If there is no cache folder, or it cannot be written.
    pub fn unpack() -> Result<Scripts> {
        Self::unpack_into(&places::cache_folder()?)
    }

    fn unpack_into(cache: &Path) -> Result<Scripts> {
        let folder = cache.join(format!("scripts-{}", key()));
        if !folder.is_dir() {
            write(&folder).with_context(|| {
                format!(
                    "cannot write {}: set XDG_CACHE_HOME to a folder that can be written to",
                    folder.display()
                )
            })?;
        }
        Ok(Scripts { folder })
    }

    /// The path of one of the files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A key that changes whenever a file does.
fn key() -> String {
    let mut hash = Sha256::new();
    for (name, text) in FILES {
        for part in [name, text] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    places::key(hash)
}

/// Writes all files into a temporary folder and renames it, because two commands may do this at
/// once.
fn write(folder: &Path) -> std::io::Result<()> {
    let draft = folder.with_extension(std::process::id().to_string());
    for (name, text) in FILES {
        let path = draft.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&draft))?;
        fs::write(path, text)?;
    }
    fs::rename(&draft, folder).or_else(|error| {
        let _ = fs::remove_dir_all(&draft);
        if folder.is_dir() { Ok(()) } else { Err(error) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_part_of_the_program() {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut folders = vec![python.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&python).unwrap().to_str().unwrap();
                if path.is_dir() && !name.ends_with("__pycache__") {
                    folders.push(path);
                } else if path.is_file() && !name.ends_with(".in") {
                    assert!(FILES.iter().any(|(file, _)| *file == name), "{name}");
                }
            }
        }
    }

    #[test]
    fn they_are_unpacked_once_and_whole() {
        let cache = tempfile::tempdir().unwrap();
        let first = Scripts::unpack_into(cache.path()).unwrap();
        let text = fs::read_to_string(first.path("lesson.py")).unwrap();
        assert!(text.starts_with("\"\"\"Runs a lesson"));
        let kept = first.path("kept");
        fs::write(&kept, "").unwrap();
        Scripts::unpack_into(cache.path()).unwrap();
        assert!(kept.exists());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }
}
