//! What cargo's home knows about the registry without the network: the crates that were looked up
//! before, with their versions and features.
//!
//! Below `registry/index/NAME/.cache` cargo stores a file for each crate that it has looked up: a
//! few bytes of its own, then for each version its number and its JSON line, each followed by a
//! zero byte.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Popular crates that cargo may not have looked up yet.
const COMMON: &str = "anyhow bytes chrono clap crossbeam csv criterion dashmap futures image indicatif itertools log \
    nalgebra ndarray num num-bigint num-traits once_cell parking_lot plotters polars proptest rand rand_distr rayon regex \
    reqwest rusqlite serde serde_json statrs tempfile thiserror tokio toml tracing ureq uuid walkdir";
/// The maximum number of names offered.
const N_NAMES: usize = 200;

/// Cargo's home.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

/// The names of crates that begin with `prefix`, in alphabetical order.
pub(crate) fn crates_with_prefix(prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = COMMON.split_whitespace().map(str::to_owned).collect();
    for index in indices() {
        collect_names(&index, 0, &mut names);
    }
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names.dedup();
    names.truncate(N_NAMES);
    names
}

/// The versions of a crate, newest first.
pub(crate) fn versions(name: &str) -> Vec<String> {
    let mut versions: Vec<String> = entries(name)
        .iter()
        .filter_map(|entry| Some(entry["vers"].as_str()?.to_owned()))
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(order(version)));
    versions.dedup();
    versions
}

/// The features of a crate's newest version.
pub(crate) fn features(name: &str) -> Vec<String> {
    let entries = entries(name);
    let newest = entries
        .iter()
        .max_by_key(|entry| order(entry["vers"].as_str().unwrap_or_default()));
    let groups = ["features", "features2"].into_iter();
    let groups = groups.filter_map(|key| newest?[key].as_object());
    let mut features: Vec<String> = groups.flat_map(|group| group.keys().cloned()).collect();
    features.sort();
    features
}

/// The folders that contain a file for each crate.
fn indices() -> Vec<PathBuf> {
    let folder = cargo_home().map(|home| home.join("registry/index"));
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok());
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join(".cache")).collect()
}

fn collect_names(folder: &Path, depth: usize, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match is_folder {
            // `ab/cd/abcd`
            true if depth < 2 => collect_names(&entry.path(), depth + 1, names),
            true => {}
            false => names.extend(entry.file_name().into_string()),
        }
    }
}

/// The data of each version of a crate that was not yanked.
fn entries(name: &str) -> Vec<Value> {
    let name = name.to_ascii_lowercase();
    if !name.is_ascii() || name.is_empty() {
        return Vec::new();
    }
    let folder = match name.len() {
        1 => "1".to_owned(),
        2 => "2".to_owned(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    };
    let mut entries = Vec::new();
    for index in indices() {
        if let Ok(bytes) = fs::read(index.join(&folder).join(&name)) {
            entries.extend(entries_of(&bytes));
        }
    }
    entries
}

fn entries_of(bytes: &[u8]) -> Vec<Value> {
    let pieces = bytes.split(|byte| *byte == 0);
    let lines = pieces.filter(|piece| piece.starts_with(b"{"));
    let entries = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    entries.filter(|entry| entry["yanked"] != true).collect()
}

/// The sort key of a version: by its numbers; a pre-release comes before its release.
fn order(version: &str) -> (Vec<u64>, bool, String) {
    let (numbers, rest) = match version.find(['-', '+']) {
        Some(at) => version.split_at(at),
        None => (version, ""),
    };
    let numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.collect(), !rest.starts_with('-'), rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_cargo_keeps_and_withdrawn_ones_are_not() {
        let file = b"\x03\x02\0\0\0etag: x\0\
            1.2.0\0{\"name\":\"a\",\"vers\":\"1.2.0\",\"yanked\":false}\0\
            1.10.0\0{\"name\":\"a\",\"vers\":\"1.10.0\",\"yanked\":false}\0\
            1.11.0\0{\"name\":\"a\",\"vers\":\"1.11.0\",\"yanked\":true}\0\
            1.12.0\0{half of a line";
        let entries = entries_of(file);
        let versions: Vec<&str> = entries.iter().filter_map(|e| e["vers"].as_str()).collect();
        assert_eq!(versions, ["1.2.0", "1.10.0"]);
        assert!(entries_of(b"").is_empty());
    }

    #[test]
    fn versions_have_the_order_of_their_numbers() {
        let mut versions = ["0.10.0", "1.0.0", "1.0.0-rc.1", "0.9.2", "1.0.0+meta"];
        versions.sort_by_key(|version| order(version));
        let sorted = ["0.9.2", "0.10.0", "1.0.0-rc.1", "1.0.0", "1.0.0+meta"];
        assert_eq!(versions, sorted);
    }

    #[test]
    fn common_crates_are_offered_where_nothing_was_looked_up() {
        assert!(crates_with_prefix("itert").contains(&"itertools".to_owned()));
        assert!(crates_with_prefix("no such crate").is_empty());
    }
}
