//! cargo's output for one compile of a crate, as a folder: a list that contains the small files,
//! and the large files beside it.
//!
//! ```text
//! NAME-HASH/unit      a line for each file: kind, permissions, time, length, path in `target/`
//!           0, 1, …   large files, by their place in the list
//! ```
//!
//! The list is read in one piece: on a network file system, opening a file takes as long as reading
//! a small one.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path};
use std::time::{Duration, SystemTime};

/// The list's name.
pub(super) const LIST: &str = "unit";
/// Its first line; a different one means another format.
const HEADER: &[u8] = b"forklore unit 1\n";
/// Its last line: a list without it is incomplete.
const END: &[u8] = b"end\n";
/// The folder in which cargo records that a compile succeeded: written last.
pub(super) const FINGERPRINTS: &str = ".fingerprint";

/// One compile of a crate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unit {
    entries: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// Relative to `target/`.
    path: String,
    mode: u32,
    /// The time since 1970.
    changed: Duration,
    content: Content,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Folder,
    Small(Vec<u8>),
    /// A file beside the list. The compiler never modifies such a file in place, so it can be
    /// shared.
    Large {
        n_bytes: u64,
    },
}

impl Unit {
    /// Adds a file of `target`, or a folder with everything in it.
    pub(super) fn add(&mut self, target: &Path, path: &str) -> io::Result<()> {
        let file = target.join(path);
        let metadata = file.symlink_metadata()?;
        // It may be a link to an earlier session's file, if the file system is another.
        let metadata = match metadata.is_symlink() {
            true => file.metadata()?,
            false => metadata,
        };
        let content = if metadata.is_dir() {
            Content::Folder
        } else if is_shared(&file) {
            Content::Large {
                n_bytes: metadata.len(),
            }
        } else if metadata.is_file() {
            Content::Small(fs::read(&file)?)
        } else {
            return Err(ErrorKind::Unsupported.into());
        };
        let is_folder = content == Content::Folder;
        self.entries.push(Entry {
            path: path.to_owned(),
            mode: metadata.permissions().mode() & 0o777,
            changed: since_1970(metadata.modified()?),
            content,
        });
        if is_folder {
            let mut names: Vec<_> = fs::read_dir(&file)?
                .map(|entry| Ok(entry?.file_name()))
                .collect::<io::Result<_>>()?;
            names.sort();
            for name in names {
                let name = name.into_string().map_err(|_| ErrorKind::InvalidData)?;
                self.add(target, &format!("{path}/{name}"))?;
            }
        }
        Ok(())
    }

    /// When it was compiled: cargo compares this with the times of the crates that depend on it.
    pub(super) fn compiled(&self) -> Duration {
        let made =
            |entry: &&Entry| entry.content != Content::Folder && !entry.path.contains(FINGERPRINTS);
        let times = self.entries.iter().filter(made).map(|entry| entry.changed);
        times.max().unwrap_or_default()
    }

    /// The text of the small files, which include the compiler's list of sources.
    pub(super) fn sources(&self) -> String {
        let texts = self
            .entries
            .iter()
            .filter_map(|entry| match &entry.content {
                Content::Small(bytes) if entry.path.ends_with(".d") => {
                    Some(String::from_utf8_lossy(bytes))
                }
                _ => None,
            });
        texts.collect()
    }

    /// Writes it into `folder`, with the large files of `target`: as hard links if possible, and as
    /// copies if `time` gives another time.
    pub(super) fn write(
        &mut self,
        target: &Path,
        folder: &Path,
        time: Option<SystemTime>,
    ) -> io::Result<()> {
        for (n, entry) in self.entries.iter_mut().enumerate() {
            if let Some(time) = time {
                entry.changed = since_1970(time);
            }
            if let Content::Large { n_bytes } = entry.content {
                let (from, to) = (target.join(&entry.path), folder.join(n.to_string()));
                // A hard link to a symbolic link would be a symbolic link.
                let from = from.canonicalize()?;
                if time.is_some() || fs::hard_link(&from, &to).is_err() {
                    fs::copy(&from, &to)?;
                    set_time(&to, entry.changed)?;
                }
                if to.metadata()?.len() != n_bytes {
                    return Err(ErrorKind::InvalidData.into());
                }
            }
        }
        fs::write(folder.join(LIST), self.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        for entry in &self.entries {
            let (kind, n_bytes) = match &entry.content {
                Content::Folder => ('f', 0),
                Content::Small(content) => ('s', content.len() as u64),
                Content::Large { n_bytes } => ('l', *n_bytes),
            };
            let Entry { mode, path, .. } = entry;
            let nanos = entry.changed.as_nanos();
            bytes.extend(format!("{kind} {mode:o} {nanos} {n_bytes} {path}\n").into_bytes());
            if let Content::Small(content) = &entry.content {
                bytes.extend(content);
                bytes.push(b'\n');
            }
        }
        bytes.extend(END);
        bytes
    }

    /// Reads a unit, if its list is complete.
    pub(super) fn read(folder: &Path) -> Option<Unit> {
        Unit::from_bytes(&fs::read(folder.join(LIST)).ok()?)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Unit> {
        let mut rest = bytes.strip_prefix(HEADER)?;
        let mut entries = Vec::new();
        while rest != END {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = std::str::from_utf8(&rest[..end]).ok()?;
            rest = &rest[end + 1..];
            let mut words = line.splitn(5, ' ');
            let kind = words.next()?;
            let mode = u32::from_str_radix(words.next()?, 8).ok()?;
            let nanos: u64 = words.next()?.parse().ok()?;
            let n_bytes: u64 = words.next()?.parse().ok()?;
            let path = words.next().filter(|path| is_inside(path))?.to_owned();
            let content = match kind {
                "f" => Content::Folder,
                "l" => Content::Large { n_bytes },
                "s" => {
                    let n_bytes = usize::try_from(n_bytes).ok()?;
                    let content = rest.get(..n_bytes)?.to_vec();
                    rest = rest.get(n_bytes..)?.strip_prefix(b"\n")?;
                    Content::Small(content)
                }
                _ => return None,
            };
            entries.push(Entry {
                path,
                mode: mode & 0o777,
                changed: Duration::from_nanos(nanos),
                content,
            });
        }
        Some(Unit { entries })
    }

    /// Puts it into `target`, from the `folder` in which it is stored. The files that mark it as
    /// compiled come last.
    pub(super) fn place(&self, folder: &Path, target: &Path) -> io::Result<()> {
        let mut files: Vec<(usize, &Entry)> = self.entries.iter().enumerate().collect();
        for (n, entry) in &files {
            if let Content::Large { n_bytes } = entry.content
                && folder.join(n.to_string()).metadata()?.len() != n_bytes
            {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        files.sort_by_key(|(_, entry)| entry.path.contains(FINGERPRINTS));
        for (n, entry) in files {
            let path = target.join(&entry.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            match &entry.content {
                Content::Folder => fs::create_dir_all(&path)?,
                Content::Small(content) => {
                    fs::write(&path, content)?;
                    if entry.mode & 0o111 != 0 {
                        fs::set_permissions(&path, Permissions::from_mode(entry.mode))?;
                    }
                    set_time(&path, entry.changed)?;
                }
                Content::Large { .. } => {
                    let kept = folder.join(n.to_string());
                    let _ = fs::remove_file(&path);
                    fs::hard_link(&kept, &path).or_else(|_| symlink(&kept, &path))?;
                }
            }
        }
        Ok(())
    }
}

/// Whether the compiler replaces such a file instead of modifying it: libraries and programs.
fn is_shared(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_program =
        name == "build-script-build" || (name.starts_with("build_script_") && !name.contains('.'));
    is_program
        || [".rlib", ".rmeta", ".so"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Whether the path stays inside the folder.
fn is_inside(path: &str) -> bool {
    let mut components = Path::new(path).components();
    !path.is_empty() && components.all(|component| matches!(component, Component::Normal(_)))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn set_time(file: &Path, since_1970: Duration) -> io::Result<()> {
    // A file's owner can set its time even if the file is read-only.
    File::open(file)?.set_modified(SystemTime::UNIX_EPOCH + since_1970)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn small(path: &str, content: &[u8]) -> Entry {
        Entry {
            path: path.to_owned(),
            mode: 0o644,
            changed: Duration::from_nanos(1_700_000_000_123_456_789),
            content: Content::Small(content.to_vec()),
        }
    }

    fn unit() -> Unit {
        let folder = Entry {
            content: Content::Folder,
            ..small("debug/build/a-1/out", b"")
        };
        let large = Entry {
            content: Content::Large { n_bytes: 3 },
            ..small("debug/deps/liba-1.rlib", b"")
        };
        let entries = vec![
            small("debug/.fingerprint/a-1/lib-a", b"0123\nend\n"),
            folder,
            large,
            small("debug/deps/a 1.d", b""),
        ];
        Unit { entries }
    }

    #[test]
    fn a_list_comes_back_as_it_was_and_half_of_one_never() {
        let bytes = unit().to_bytes();
        assert_eq!(Unit::from_bytes(&bytes), Some(unit()));
        for n_bytes in 0..bytes.len() {
            assert_eq!(Unit::from_bytes(&bytes[..n_bytes]), None, "{n_bytes}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for path in ["../a", "/etc/passwd", "a/../../b", ""] {
            let entries = vec![small(path, b"x")];
            assert_eq!(
                Unit::from_bytes(&Unit { entries }.to_bytes()),
                None,
                "{path}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Unit::from_bytes(&[HEADER, &bytes].concat());
        }
    }

    #[test]
    fn it_is_placed_only_if_its_large_files_are_whole() {
        let root = crate::library::compiled::scratch("unit");
        let (kept, target) = (root.join("kept"), root.join("target"));
        fs::create_dir_all(&kept).unwrap();
        fs::write(kept.join("2"), "ab").unwrap();
        unit().place(&kept, &target).unwrap_err();
        assert!(!target.exists());
        fs::write(kept.join("2"), "abc").unwrap();
        unit().place(&kept, &target).unwrap();
        let placed = |path: &str| fs::read_to_string(target.join(path)).unwrap();
        assert_eq!(placed("debug/deps/liba-1.rlib"), "abc");
        assert_eq!(placed("debug/.fingerprint/a-1/lib-a"), "0123\nend\n");
        assert!(target.join("debug/build/a-1/out").is_dir());
        let time = target.join("debug/deps/a 1.d").metadata().unwrap();
        let time = time.modified().unwrap();
        assert_eq!(since_1970(time), unit().entries[0].changed);
        fs::remove_dir_all(root).unwrap();
    }
}
