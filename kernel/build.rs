//! Puts the sources of the library and of the course into the program, so that the kernel has them
//! wherever it is installed.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

/// The same library for rust-analyzer: without dependencies (see `evcxr::analysis`).
const ANALYSIS_MANIFEST: &str = r#"[package]
name = "forklore-analysis"
version = "0.0.0"
edition = "2024"

[lib]
name = "forklore"
path = "../src/lib.rs"
"#;

/// The same for the course, whose folder is in the library's.
const COURSE_ANALYSIS_MANIFEST: &str = r#"[package]
name = "forklore-course-analysis"
version = "0.0.0"
edition = "2024"

[lib]
name = "forklore_course"
path = "../src/lib.rs"

[dependencies]
forklore-analysis = { path = "../../analysis" }

[workspace]
"#;

/// Features of the library's dependencies that are on in sessions.
const SETTLED: &str = "src/library/settled.toml";

fn main() {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap())
        .parent()
        .unwrap()
        .to_owned();
    let out = PathBuf::from(std::env::var("OUT_DIR").unwrap());
    for watched in [
        "src",
        "Cargo.toml",
        "Cargo.lock",
        "lessons/src",
        "lessons/Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-changed=src/runtime/prelude_source.rs");
    println!("cargo::rerun-if-changed={SETTLED}");

    let text = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let (library, course) = (text("Cargo.toml"), text("lessons/Cargo.toml"));
    let features = session_features(&library);
    let settled = fs::read_to_string(SETTLED).unwrap();
    let manifests = [
        (
            "Cargo.toml",
            reduced_manifest(&library, &library, &features, &settled),
        ),
        ("analysis/Cargo.toml", analysis_manifest(&features)),
        (
            "lessons/Cargo.toml",
            reduced_manifest(&course, &library, "", ""),
        ),
        (
            "lessons/analysis/Cargo.toml",
            COURSE_ANALYSIS_MANIFEST.to_owned(),
        ),
    ];
    let mut sources = Vec::new();
    collect(&root.join("src"), &mut sources);
    collect(&root.join("lessons/src"), &mut sources);
    sources.sort();

    let mut hasher = DefaultHasher::new();
    fs::read(root.join("Cargo.lock")).unwrap().hash(&mut hasher);
    fs::read("src/runtime/prelude_source.rs")
        .unwrap()
        .hash(&mut hasher);
    let mut files = String::from("&[\n");
    let mut list = |name: &str, path: &Path| {
        writeln!(files, "    ({name:?}, include_bytes!({path:?})),").unwrap();
    };
    for (name, manifest) in &manifests {
        manifest.hash(&mut hasher);
        let path = out.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, manifest).unwrap();
        list(name, &path);
    }
    for source in &sources {
        let name = source.strip_prefix(&root).unwrap().to_str().unwrap();
        name.hash(&mut hasher);
        fs::read(source).unwrap().hash(&mut hasher);
        list(name, source);
    }
    files.push(']');
    let key = format!("{:016x}", hasher.finish());
    let text = format!(
        "/// Name and content of each file.\nstatic FILES: &[(&str, &[u8])] = {files};\n\
         /// The versions that the library was tested with.\npub(super) static LOCK: &[u8] = include_bytes!({:?});\n\
         /// Differs where any of them differs.\npub(super) const KEY: &str = {key:?};\n",
        root.join("Cargo.lock")
    );
    fs::write(out.join("library.rs"), text).unwrap();
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// What stands under a heading of a manifest, heading included.
fn section<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let heading = format!("[{name}]\n");
    let is_first = text.starts_with(&heading);
    let start = match is_first {
        true => 0,
        false => text.find(&format!("\n{heading}"))? + 1,
    };
    let end = text[start + 1..]
        .find("\n[")
        .map_or(text.len(), |end| start + 1 + end);
    Some(&text[start..end])
}

/// The library's features. In a session all are on by default, as its cells use any of them and it
/// is compiled once: but for `tracing`, whose events are for operators, and whose crates every cell
/// would be linked with.
fn session_features(text: &str) -> String {
    let features = section(text, "features").expect("the library has features");
    let full = features
        .lines()
        .find_map(|line| line.strip_prefix("full ="));
    let full = full.expect("one feature is all of them");
    let default = format!("default ={}", full.replace(", \"tracing\"", ""));
    let lines = features.trim_end().lines().map(|line| {
        let is_default = line.starts_with("default =");
        if is_default { &default } else { line }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// The library's manifest for rust-analyzer, with its features and without the dependencies that
/// they enable.
fn analysis_manifest(features: &str) -> String {
    let is_of_dependency = |name: &&str| name.starts_with("dep:") || name.contains('/');
    let names = features.lines().filter(|line| !line.starts_with('#'));
    let names = names.flat_map(|line| line.split('"'));
    let dependencies = names.filter(is_of_dependency);
    let features = dependencies.fold(features.to_owned(), |features, name| {
        let quoted = format!("\"{name}\"");
        features
            .replace(&format!("{quoted}, "), "")
            .replace(&quoted, "")
    });
    format!("{ANALYSIS_MANIFEST}\n{features}\n[workspace]\n")
}

/// A package's manifest without tests, lints and what it inherits from its workspace: what a
/// dependency needs. `more` comes behind its dependencies.
fn reduced_manifest(text: &str, workspace: &str, features: &str, more: &str) -> String {
    let shared = section(workspace, "workspace.package").unwrap_or("");
    let mut manifest = String::new();
    for line in section(text, "package").expect("it is a package").lines() {
        match line.split_once(".workspace") {
            Some((key, _)) if matches!(key, "version" | "edition" | "rust-version" | "license") => {
                let is_key = |line: &&str| {
                    line.split('=')
                        .next()
                        .is_some_and(|name| name.trim() == key)
                };
                manifest.push_str(shared.lines().find(is_key).expect("the workspace sets it"));
            }
            Some(_) => continue,
            None if [
                "readme",
                "include",
                "documentation",
                "keywords",
                "categories",
                "build",
            ]
            .iter()
            .any(|key| line.starts_with(key)) =>
            {
                continue;
            }
            None => manifest.push_str(line),
        }
        manifest.push('\n');
    }
    manifest.push('\n');
    manifest.push_str(features);
    if let Some(section) = section(text, "dependencies") {
        manifest.push('\n');
        manifest.push_str(section.trim_end());
        manifest.push('\n');
    }
    manifest.push('\n');
    manifest.push_str(more);
    manifest + "\n[workspace]\n"
}
