//! Crates that are compiled once, for all sessions of this user.
//!
//! cargo names its output for a crate after all inputs: version, features, profile, flags,
//! compiler, and the same of the crate's dependencies. So the parts of two sessions' `target/` can
//! be side by side, and a part that another session built is as good as one's own:
//!
//! ```text
//!                       before cargo: what the list of versions names, and is not in target/ yet
//!  crates-RUSTC/NAME-HASH/  ───────────────────────────────────────────────────────────▶  session/target/
//!                           ◀───────────────────────────────────────────────────────────
//!                       while cargo runs, and after it: what was compiled to its end
//! ```
//!
//! There are no locks, so no session waits for another, and a killed session blocks none. A unit is
//! written in a folder beside its final path and renamed to it, so it is either complete or not
//! used. Two sessions may compile the same crate at the same time; the first to rename wins.
//!
//! cargo compares times: a crate must not be older than its dependencies. Times are preserved,
//! which is correct as long as both come from one session. If another session was faster with one
//! of the crates, whatever this session built on top of its own gets the current time. A unit that
//! cargo has compiled again, although it existed, replaces the old one.
//!
//! Crates in the user's folders are not stored: cargo looks for changes there.

mod room;
mod stores;
mod unit;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::library::cache;
use crate::library::shared_cache;
pub(crate) use room::LIMIT_BYTES;
pub(crate) use stores::Stores;
use unit::{FINGERPRINTS, LIST, Unit};

/// A unit that is used again is marked at most once in this time.
const MARKED_FOR: Duration = Duration::from_secs(3600);
/// The folder of the dependencies that notebooks have requested, inside a store.
const KNOWN: &str = "known";

/// The stored data of one version of a crate.
pub(crate) struct Listed {
    pub(crate) name: String,
    /// Empty if it is unknown.
    pub(crate) version: String,
    pub(crate) n_bytes: u64,
    pub(crate) used: SystemTime,
}

/// A store of compiled crates, for one compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// When each unit that came from a store was compiled, by its name.
pub(crate) type Fetched = HashMap<String, Duration>;

impl Store {
    /// The store in `folder`, whether it exists yet or not.
    pub(crate) fn at(folder: PathBuf) -> Store {
        Store { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts the stored units of the `packages` into a session's `target`, unless it has them
    /// already. cargo compiles the others.
    pub(crate) fn fetch(&self, target: &Path, packages: &HashSet<String>) -> Fetched {
        let mut fetched = Fetched::new();
        let is_safe = self.folder.exists() && shared_cache::check_folder(&self.folder).is_ok();
        if !is_safe {
            return fetched;
        }
        let there: HashSet<String> = profiles(target)
            .flat_map(|profile| names(&target.join(profile).join(FINGERPRINTS)))
            .collect();
        for name in names(&self.folder) {
            let is_wanted = package(&name).is_some_and(|package| packages.contains(package));
            if !is_wanted || there.contains(&name) {
                continue;
            }
            let kept = self.folder.join(&name);
            if shared_cache::check_folder(&kept).is_err() {
                continue;
            }
            let placed = Unit::read(&kept).and_then(|unit| {
                unit.place(&kept, target).ok()?;
                Some(unit.compiled())
            });
            if let Some(compiled) = placed {
                mark_used(&kept);
                fetched.insert(name, compiled);
            }
        }
        fetched
    }

    /// Puts one unit into a folder, if it exists.
    pub(crate) fn fetch_one(&self, name: &str, into: &Path) -> bool {
        let kept = self.folder.join(name);
        let is_safe = shared_cache::check_folder(&self.folder).is_ok();
        let unit = is_safe.then(|| Unit::read(&kept)).flatten();
        let is_placed = unit.is_some_and(|unit| unit.place(&kept, into).is_ok());
        if is_placed {
            mark_used(&kept);
        }
        is_placed
    }

    /// Stores a file of a folder as a unit.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn keep_one(&self, name: &str, folder: &Path, file: &str) -> Result<()> {
        let unit = collect(folder, [file.to_owned()].into_iter())?;
        self.write(folder, vec![(name.to_owned(), unit)], None)
    }

    /// Stores the units of the `packages` that were compiled in a session's `target` and are not
    /// stored yet.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn keep(
        &self,
        target: &Path,
        packages: &HashSet<String>,
        fetched: &Fetched,
    ) -> Result<()> {
        let mut new = Vec::new();
        let mut is_behind = false;
        for (name, unit) in compiled_in(target, packages) {
            match Unit::read(&self.folder.join(&name)) {
                None => new.push((name, unit)),
                Some(kept) if unit.compiled() > kept.compiled() => {
                    // It was there, and cargo could not use it.
                    if fetched.contains_key(&name) {
                        new.push((name, unit));
                    }
                }
                Some(kept) => is_behind |= unit.compiled() < kept.compiled(),
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        self.write(target, new, is_behind.then(SystemTime::now))
    }

    fn write(
        &self,
        target: &Path,
        new: Vec<(String, Unit)>,
        time: Option<SystemTime>,
    ) -> Result<()> {
        let root = self.folder.parent().context("a store is in a cache")?;
        self.make()?;
        for (name, mut unit) in new {
            let place = self.folder.join(name);
            let making = cache::building(root)?;
            let made = unit.write(target, &making, time);
            let made = made.and_then(|()| replace(&making, &place));
            if let Err(error) = made {
                let _ = fs::remove_dir_all(&making);
                return Err(cache::way_out(error.into(), root));
            }
        }
        room::make(&self.folder, LIMIT_BYTES, SystemTime::now());
        Ok(())
    }

    /// The stored crates, by name and version.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let mut listed: BTreeMap<(String, String), Listed> = BTreeMap::new();
        for kept in room::kept(&self.folder) {
            let name = package(&kept.unit).unwrap_or_default().to_owned();
            let sources = Unit::read(&kept.folder).map(|unit| unit.sources());
            let version = version(&name, &sources.unwrap_or_default()).unwrap_or_default();
            let key = (name.clone(), version.clone());
            let of = listed.entry(key).or_insert(Listed {
                name,
                version,
                n_bytes: 0,
                used: kept.used,
            });
            of.n_bytes += kept.n_bytes;
            of.used = of.used.max(kept.used);
        }
        listed.into_values().collect()
    }

    /// Removes all stored crates.
    pub(crate) fn clear(&self) {
        let root = self.folder.parent().unwrap_or(&self.folder);
        cache::remove(&self.folder, root);
    }

    fn make(&self) -> Result<()> {
        let made = fs::create_dir_all(&self.folder);
        made.with_context(|| format!("could not make {}", self.folder.display()))?;
        cache::mark_used(&self.folder);
        Ok(())
    }

    /// Records that crates were available once, under the text with which a cell requested them.
    pub(crate) fn note(&self, asked: &str) -> Result<()> {
        let known = self.folder.join(KNOWN);
        fs::create_dir_all(&known)?;
        Ok(fs::write(known.join(file_name(asked)), asked)?)
    }

    /// Whether that was recorded.
    pub(crate) fn knows(&self, asked: &str) -> bool {
        let file = self.folder.join(KNOWN).join(file_name(asked));
        fs::read_to_string(file).is_ok_and(|text| text == asked)
    }
}

/// The packages in a lock file (`Cargo.lock`) that do not come from a folder.
pub(crate) fn packages(lock: &str) -> HashSet<String> {
    let mut from_folders = HashSet::new();
    let mut others = HashSet::new();
    for block in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = block.lines().find(|line| line.starts_with(key))?;
            Some(line.split('"').nth(1)?.to_owned())
        };
        match (value("name = "), value("source = ")) {
            (Some(name), Some(_)) => others.insert(name),
            (Some(name), None) => from_folders.insert(name),
            (None, _) => false,
        };
    }
    others.retain(|name| !from_folders.contains(name));
    others
}

/// The name in `NAME-HASH`.
fn package(unit: &str) -> Option<&str> {
    let (name, hash) = unit.rsplit_once('-')?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some(name)
}

/// A package's version, from the path of a source in cargo's home:
/// `…/registry/src/INDEX/NAME-VERSION/src/lib.rs`.
fn version(name: &str, sources: &str) -> Option<String> {
    let mut folders = sources.split_whitespace().filter_map(|path| {
        let (_, in_registry) = path.split_once("/registry/src/")?;
        in_registry.split('/').nth(1)
    });
    let begin = format!("{name}-");
    folders.find_map(|folder| Some(folder.strip_prefix(&begin)?.to_owned()))
}

/// The folders of a `target/` that contain compiled crates: `debug`, `TRIPLE/debug`.
fn profiles(target: &Path) -> impl Iterator<Item = String> + use<> {
    let found = names(target).flat_map(|name| [format!("{name}/debug"), name]);
    let profiles: Vec<String> = found
        .filter(|name| target.join(name).join(FINGERPRINTS).is_dir())
        .collect();
    profiles.into_iter()
}

fn names(folder: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// The completely compiled units, by name.
fn compiled_in(target: &Path, packages: &HashSet<String>) -> Vec<(String, Unit)> {
    let mut found = Vec::new();
    for profile in profiles(target) {
        let mut made: HashMap<String, Vec<String>> = HashMap::new();
        for file in names(&target.join(&profile).join("deps")) {
            // Files that a killed compiler left behind have more parts in their names.
            if let Some((stem, _)) = file.split_once('.')
                && let Some((_, hash)) = stem.rsplit_once('-')
                && file.matches('.').count() == 1
            {
                made.entry(hash.to_owned()).or_default().push(file);
            }
        }
        for name in names(&target.join(&profile).join(FINGERPRINTS)) {
            let Some(package) = package(&name) else {
                continue;
            };
            let notes = format!("{profile}/{FINGERPRINTS}/{name}");
            if !packages.contains(package) || !is_complete(&target.join(&notes)) {
                continue;
            }
            let files = made.get(&name[package.len() + 1..]).into_iter().flatten();
            let files = files.map(|file| format!("{profile}/deps/{file}"));
            let built = format!("{profile}/build/{name}");
            let built = target.join(&built).is_dir().then_some(built);
            // A unit that is being compiled again, or has a file that cannot be stored, is skipped.
            if let Ok(unit) = collect(target, [notes].into_iter().chain(files).chain(built)) {
                found.push((name, unit));
            }
        }
    }
    found
}

fn collect(target: &Path, paths: impl Iterator<Item = String>) -> io::Result<Unit> {
    let mut unit = Unit::default();
    for path in paths {
        unit.add(target, &path)?;
    }
    Ok(unit)
}

/// Whether cargo has recorded that the compile succeeded: a hash, and beside it the list of inputs.
fn is_complete(notes: &Path) -> bool {
    let mut ended = names(notes).filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
    let has_hash = |name: &String| fs::read(notes.join(name)).is_ok_and(|hash| hash.len() == 16);
    let first = ended.next();
    first.is_some_and(|name| has_hash(&name)) && ended.all(|name| has_hash(&name))
}

/// Moves a unit to its final path, where it replaces an old one.
fn replace(ready: &Path, place: &Path) -> io::Result<()> {
    if place.exists() {
        let old = ready.with_extension("old");
        match fs::rename(place, &old) {
            Err(error) if place.exists() => return Err(error),
            _ => drop(fs::remove_dir_all(&old)),
        }
    }
    match fs::rename(ready, place) {
        // Another session was faster: its result is equally good.
        Err(_) if place.exists() => fs::remove_dir_all(ready),
        renamed => renamed,
    }
}

/// Marks a unit as used. (If the store cannot be written, it cannot be pruned either.)
fn mark_used(unit: &Path) {
    let Ok(file) = fs::File::open(unit.join(LIST)) else {
        return;
    };
    let used = file.metadata().and_then(|metadata| metadata.modified());
    let is_recent = used.is_ok_and(|used| used.elapsed().is_ok_and(|ago| ago < MARKED_FOR));
    if !is_recent {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// A valid file name for any text.
fn file_name(text: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
pub(super) fn scratch(name: &str) -> PathBuf {
    let name = format!("forklore-compiled-{}-{name}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[cfg(test)]
mod tests;
