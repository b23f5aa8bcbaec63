//! The compiler's messages about the last cell, in its own words and colours.
//!
//! evcxr returns the errors of a failed compile without colours, and nothing about a successful
//! one. But cargo stores rustc's messages, to repeat them when nothing has to be compiled, and so
//! does `evcxr::build` when it bypasses cargo: this module reads them. If they are missing (another
//! cargo may store them elsewhere), errors have no colours and warnings are not shown.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::evcxr::build;

/// Forgets the messages about earlier cells.
pub(super) fn forget(folder: &Path) {
    for file in files(folder) {
        // If it cannot be removed, an old warning is shown once more.
        let _ = fs::remove_file(file);
    }
}

/// rustc's messages since [`forget`], in order: JSON in rustc's format.
pub(super) fn messages(folder: &Path) -> Vec<Value> {
    let texts = files(folder).filter_map(|file| fs::read_to_string(file).ok());
    texts
        .flat_map(|text| {
            let messages = text.lines().map(serde_json::from_str);
            messages.filter_map(Result::ok).collect::<Vec<Value>>()
        })
        .collect()
}

/// `target/TRIPLE/debug/.fingerprint/ctx-HASH/output-lib-ctx`: one file, or several if the profile
/// has changed; and `evcxr::build`'s own.
fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let triples = entries(folder.join("target"));
    let crates = triples.flat_map(|triple| entries(triple.join("debug/.fingerprint")));
    let cells = crates.filter(|path| {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(b"ctx-")
    });
    let kept_by_cargo = cells.map(|cell| cell.join("output-lib-ctx"));
    kept_by_cargo.chain([folder.join(build::TOOLS).join(build::SAID)])
}

fn entries(folder: PathBuf) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_cells_since_the_last_were_forgotten() {
        let name = format!("forklore-compiler-test-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        for krate in ["ctx-1", "serde-1"] {
            let path = folder
                .join("target/any-triple/debug/.fingerprint")
                .join(krate);
            fs::create_dir_all(&path).unwrap();
            let said = "{\"message\":\"first\"}\nnot JSON\n{\"message\":\"second\"}\n";
            fs::write(path.join("output-lib-ctx"), said).unwrap();
        }
        let said = messages(&folder);
        forget(&folder);
        let left = messages(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let texts: Vec<&str> = said.iter().filter_map(|m| m["message"].as_str()).collect();
        assert_eq!(texts, ["first", "second"]);
        assert!(left.is_empty());
    }
}
