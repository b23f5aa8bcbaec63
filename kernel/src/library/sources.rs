//! The standard library's sources for rust-analyzer.
//!
//! evcxr asks rust-analyzer for the type of every `let`, and rust-analyzer reads everything that
//! cargo names before it replies. Most of `rust-src` is useless in a cell (27 MB of vector
//! instructions, tests, parts of the compiler), and its dependencies would have to be downloaded.
//! So rust-analyzer gets a separate workspace:
//!
//! ```text
//! std-RUSTC/Cargo.toml, Cargo.lock
//!           core/   Cargo.toml, src: as in rust-src, without tests, and functions without their bodies
//!           alloc/  the same
//!           std/    the same
//!           hashbrown/   the names that std's maps are made of
//! ```
//!
//! A cell can use only the signature of a function, and only its documentation is shown. Bodies of
//! constant functions stay: a type may need their value.

use std::fs;
use std::io;
use std::path::Path;

use ra_ap_syntax::ast;
use ra_ap_syntax::{AstNode, Edition, SourceFile, TextRange, WalkEvent};

/// A package: its name, and what it depends on.
const PACKAGES: [(&str, &[&str]); 4] = [
    ("alloc", &["core"]),
    ("core", &[]),
    ("hashbrown", &["core"]),
    ("std", &["alloc", "core", "hashbrown"]),
];
const HASHBROWN: &str = include_str!("../../analysis/hashbrown.rs");

/// Writes the workspace for the sources in `rust_src`.
///
/// # Errors
///
/// If the folder cannot be written.
pub(crate) fn write(rust_src: &Path, folder: &Path) -> io::Result<()> {
    let members = PACKAGES.map(|(name, _)| name);
    fs::write(
        folder.join("Cargo.toml"),
        format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n"),
    )?;
    fs::write(folder.join("Cargo.lock"), lock())?;
    for (name, needs) in PACKAGES {
        let package = folder.join(name);
        fs::create_dir(&package)?;
        fs::write(package.join("Cargo.toml"), manifest(name, needs))?;
        if name == "hashbrown" {
            fs::create_dir(package.join("src"))?;
            fs::write(package.join("src/lib.rs"), HASHBROWN)?;
        } else {
            copy(&rust_src.join(name).join("src"), &package.join("src"))?;
        }
    }
    Ok(())
}

/// Copies the parts of a folder of sources that are read.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let target = to.join(&name);
        if ["tests", "tests.rs", "benches"]
            .iter()
            .any(|test| name == *test)
        {
            continue;
        }
        if entry.is_dir() {
            copy(&entry, &target)?;
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            fs::write(target, without_bodies(&fs::read_to_string(&entry)?))?;
        } else {
            fs::copy(&entry, target)?;
        }
    }
    Ok(())
}

/// The text with empty function bodies, except those of functions whose value may be needed.
fn without_bodies(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut kept_to = 0;
    for body in bodies(text) {
        let (begin, end) = (usize::from(body.start()), usize::from(body.end()));
        short.push_str(&text[kept_to..begin]);
        short.push_str("{}");
        kept_to = end;
    }
    short + &text[kept_to..]
}

/// The ranges of the outermost functions' bodies, in order.
fn bodies(text: &str) -> Vec<TextRange> {
    let tree = SourceFile::parse(text, Edition::Edition2024).tree();
    let mut walk = tree.syntax().preorder();
    let mut found = Vec::new();
    while let Some(event) = walk.next() {
        let WalkEvent::Enter(node) = event else {
            continue;
        };
        let Some(function) = ast::Fn::cast(node) else {
            continue;
        };
        walk.skip_subtree();
        if function.const_token().is_none()
            && let Some(body) = function.body()
        {
            found.push(body.syntax().text_range());
        }
    }
    found
}

fn manifest(name: &str, needs: &[&str]) -> String {
    let dependency = |name: &&str| format!("{name} = {{ path = \"../{name}\" }}\n");
    let dependencies: String = needs.iter().map(dependency).collect();
    format!(
        "[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}"
    )
}

/// rust-analyzer runs cargo with `--locked`.
fn lock() -> String {
    let package = |(name, needs): (&str, &[&str])| {
        let needs: String = needs.iter().map(|name| format!(" {name:?},\n")).collect();
        let dependencies = match needs.as_str() {
            "" => String::new(),
            needs => format!("dependencies = [\n{needs}]\n"),
        };
        format!("\n[[package]]\nname = {name:?}\nversion = \"0.0.0\"\n{dependencies}")
    };
    let packages: String = PACKAGES.map(package).concat();
    format!("version = 4\n{packages}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_lose_their_bodies_and_nothing_else() {
        let text = "/// Adds.\npub fn add(x: u8) -> u8 {\n    fn inner() { 1 }\n    x + 1\n}\nimpl A for B { const N: usize = { 3 }; \
                    #[inline]\n unsafe fn ä<T>(self) where T: C<{ N }> { loop {} } }\n\
                    pub const fn size() -> usize { 8 }\ntrait T { fn none(); }\nmacro_rules! m { () => { fn kept() { 1 } } }\n";
        let expected = "/// Adds.\npub fn add(x: u8) -> u8 {}\nimpl A for B { const N: usize = { 3 }; \
                    #[inline]\n unsafe fn ä<T>(self) where T: C<{ N }> {} }\n\
                    pub const fn size() -> usize { 8 }\ntrait T { fn none(); }\nmacro_rules! m { () => { fn kept() { 1 } } }\n";
        assert_eq!(without_bodies(text), expected);
    }

    #[test]
    fn cargo_takes_the_workspace_as_it_is() {
        let root = std::env::temp_dir().join(format!("forklore-sources-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let (rust_src, folder) = (root.join("rust-src"), root.join("std"));
        fs::create_dir_all(&folder).unwrap();
        for name in ["core", "alloc", "std"] {
            fs::create_dir_all(rust_src.join(name).join("src")).unwrap();
            fs::write(rust_src.join(name).join("src/lib.rs"), "").unwrap();
        }
        write(&rust_src, &folder).unwrap();
        let output = std::process::Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--offline", "--format-version", "1"])
            .current_dir(&folder)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let metadata = String::from_utf8_lossy(&output.stdout);
        for (name, _) in PACKAGES {
            assert!(metadata.contains(&format!("{name}/src/lib.rs")), "{name}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
