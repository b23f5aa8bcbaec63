//! The compiles that every session needs before its first cell, stored with the library.
//!
//! evcxr begins with a cell of its own, and the kernel with another; each is compiled twice,
//! because evcxr learns from the errors of the first attempt. The results are always the same: they
//! are determined by the cell's text, the manifest, the flags, the C library that is linked, the
//! compiler and our library. The name of our library's folder contains the last two; the others are
//! stored beside the result when the library is built:
//!
//! ```text
//! warm-KEY-RUSTC/kept/HASH/asked    text, manifest, flags, C library
//!                          said     what rustc wrote
//!                          made     what it made, unless there were errors
//! warm-KEY-RUSTC/kept/manifest      the manifest of the library and all these: a session whose own is the same looks for no
//!                                   other crates
//! ```
//!
//! In a session's tools, `kept` is a link to that folder; for the session that builds the library,
//! it is a folder.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::sys::this_process::c_library_version;

/// The folder's name, in a session's tools and beside the library.
pub(crate) const KEPT: &str = "kept";

/// A comment in the manifest of a session in which rust-analyzer sees only the cells (see
/// `evcxr::analysis`).
pub(crate) const MARK: &str = " # rust-analyzer sees cells only";

/// A manifest without the mark, as the compiler sees it.
pub(crate) fn without_mark(manifest: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(manifest) {
        Ok(text) => text.replacen(MARK, "", 1).into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// The manifest for which the stored results, and the library beside them, were built.
const MANIFEST: &str = "manifest";
const ASKED: &str = "asked";
const SAID: &str = "said";
const MADE: &str = "made";

/// Makes a session find the stored results of `of`; without such a folder, makes the folder in
/// which it stores them.
pub(crate) fn install(tools: &Path, of: Option<&Path>) -> io::Result<()> {
    let here = tools.join(KEPT);
    match of {
        Some(kept) => symlink(kept, here),
        None => fs::create_dir(here),
    }
}

/// Whether crates for this manifest were compiled with the library, and no others are needed.
pub(crate) fn is_the_library_s(tools: &Path, manifest: &[u8]) -> bool {
    let kept = tools.join(KEPT);
    // While the library is compiled, this is a folder, and every result is stored.
    let library_s = kept.is_symlink().then(|| fs::read(kept.join(MANIFEST)));
    library_s.is_some_and(|read| read.is_ok_and(|library_s| library_s == manifest))
}

/// The result of a compile.
pub(crate) struct Compiled {
    /// rustc's messages.
    pub(crate) said: Vec<u8>,
    /// The object that it built, unless there were errors.
    pub(crate) made: Option<PathBuf>,
}

/// The path for a compile's result, whether one is stored there or not.
pub(crate) struct Kept {
    folder: PathBuf,
    asked: Vec<u8>,
    manifest: Vec<u8>,
    /// Whether the result should be stored for other sessions.
    pub(crate) is_wanted: bool,
}

impl Kept {
    /// The path for a cell's `text` that cargo compiles with `arguments`, in the current
    /// environment from evcxr.
    pub(crate) fn of(tools: &Path, text: &str, arguments: &[OsString]) -> io::Result<Kept> {
        let mut asked = Vec::from(text);
        let flags = env::var_os("RUSTFLAGS").unwrap_or_default();
        // The network makes no difference to rustc.
        let arguments = arguments.iter().filter(|word| *word != "--offline");
        let words = arguments.chain([&flags]);
        // Nodes of a cluster may have an older C library than the one with which the library was
        // built.
        let words = words.map(|word| word.as_encoded_bytes());
        for word in words.chain([c_library_version()]) {
            asked.push(b'\n');
            asked.extend_from_slice(word);
        }
        let manifest = without_mark(fs::read("Cargo.toml")?);
        asked.extend_from_slice(&manifest);
        let mut hasher = DefaultHasher::new();
        asked.hash(&mut hasher);
        let kept = tools.join(KEPT);
        Ok(Kept {
            folder: kept.join(format!("{:016x}", hasher.finish())),
            asked,
            manifest,
            is_wanted: kept.is_dir() && !kept.is_symlink(),
        })
    }

    /// The stored result of the same compile, with a copy of its object at `copy`.
    pub(crate) fn find(&self, copy: PathBuf) -> Option<Compiled> {
        let said = fs::read(self.folder.join(SAID)).ok()?;
        if fs::read(self.folder.join(ASKED)).ok()? != self.asked {
            return None;
        }
        let made = self.folder.join(MADE);
        if !made.exists() {
            return Some(Compiled { said, made: None });
        }
        fs::copy(made, &copy).ok()?;
        let made = Some(copy);
        Some(Compiled { said, made })
    }

    /// Stores this result, if it is wanted.
    pub(crate) fn keep(&self, compiled: &Compiled) -> io::Result<()> {
        if !self.is_wanted {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        fs::write(self.folder.with_file_name(MANIFEST), &self.manifest)?;
        fs::write(self.folder.join(SAID), &compiled.said)?;
        if let Some(made) = &compiled.made {
            fs::copy(made, self.folder.join(MADE))?;
        }
        fs::write(self.folder.join(ASKED), &self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_for_the_same_compile_only() {
        let root = env::temp_dir().join(format!("forklore-kept-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let (first, second) = (root.join("first"), root.join("second"));
        for tools in [&first, &second] {
            fs::create_dir_all(tools).unwrap();
        }
        install(&first, None).unwrap();
        install(&second, Some(&first.join(KEPT))).unwrap();
        fs::write(root.join("made"), "object").unwrap();
        let place = |tools: &Path, text: &str, words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            Kept::of(tools, text, &words).unwrap()
        };
        for (text, made) in [("good", Some(root.join("made"))), ("bad", None)] {
            let said = text.into();
            let kept = place(&first, text, &["build"]);
            kept.keep(&Compiled { said, made }).unwrap();
            // A session stores nothing for others.
            let kept = place(&second, "other", &["build"]);
            let (said, made) = (Vec::new(), None);
            kept.keep(&Compiled { said, made }).unwrap();
        }
        let copy = root.join("copy");
        let found = |text: &str, words: &[&str]| place(&second, text, words).find(copy.clone());
        let good = found("good", &["--offline", "build"]).unwrap();
        assert_eq!(
            (good.said, good.made),
            (b"good".to_vec(), Some(copy.clone()))
        );
        assert_eq!(fs::read_to_string(&copy).unwrap(), "object");
        let manifest = fs::read("Cargo.toml").unwrap();
        assert!(is_the_library_s(&second, &without_mark(manifest.clone())));
        assert!(!is_the_library_s(
            &second,
            &[&manifest[..], b"rand = \"*\""].concat()
        ));
        assert!(!is_the_library_s(&root, &manifest));
        let bad = found("bad", &["build"]).unwrap();
        assert_eq!((bad.said, bad.made), (b"bad".to_vec(), None));
        for (text, words) in [("good", "check"), ("other", "build")] {
            assert!(found(text, &[words]).is_none(), "{text} {words}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
