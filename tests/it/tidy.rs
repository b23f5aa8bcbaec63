//! The house's rules that a machine can check.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::tests;

tests![
    modules_use_only_lower_layers,
    files_have_one_job,
    panics_are_caught_in_one_place
];

/// The library's layers, bottom up; a module uses only those above it in this list.
/// `ARCHITECTURE.md` has the same table.
const LAYERS: &[&str] = &[
    "caught", "error", "store", "sys", "cpus", "memory", "timing", "display", "input", "figure",
    "trace", "progress", "wire", "symbol", "shared", "sync", "channel", "process", "pool",
    "parallel", "gil", "lesson",
];

fn modules_use_only_lower_layers() {
    for (index, layer) in LAYERS.iter().enumerate() {
        for file in sources(layer) {
            let text = fs::read_to_string(&file).unwrap();
            for used in used_layers(&text) {
                let rank = LAYERS.iter().position(|layer| *layer == used);
                let rank =
                    rank.unwrap_or_else(|| panic!("{used} is in no layer: add it to LAYERS"));
                assert!(
                    rank <= index,
                    "{} uses {used}, which lies above {layer}",
                    file.display()
                );
            }
        }
    }
}

fn files_have_one_job() {
    for layer in LAYERS {
        for file in sources(layer) {
            let n_lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(n_lines <= 700, "{} has {n_lines} lines", file.display());
        }
    }
}

/// What a caught panic carries may panic when it is dropped; one module knows that.
fn panics_are_caught_in_one_place() {
    for layer in LAYERS.iter().filter(|layer| **layer != "caught") {
        for file in sources(layer) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
            let mut lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let catches = lines.any(|line| line.contains("catch_unwind"));
            assert!(
                !catches,
                "{} catches panics: use caught::run",
                file.display()
            );
        }
    }
}

/// The modules that a file names after `crate::`, outside of its unit tests.
fn used_layers(text: &str) -> BTreeSet<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

fn sources(layer: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let file = src.join(layer).with_extension("rs");
    if file.exists() {
        return vec![file];
    }
    let mut files = Vec::new();
    let mut folders = vec![src.join(layer)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}
