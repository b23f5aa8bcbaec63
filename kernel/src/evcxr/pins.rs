//! Versions that a notebook pins: its crates, and all their dependencies, as `%lock` recorded them.
//!
//! cargo keeps the versions in `Cargo.lock`, even of crates that nothing needs yet. So the pinned
//! versions are put there before cargo chooses.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::library::registry;

/// The pinned versions, in a session's tools.
const PINS: &str = "pins";
/// The source of a crate, unless another is given.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A crate's version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Pin {
    /// The crate's name.
    pub(crate) name: String,
    version: String,
    /// In cargo's notation.
    source: String,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)?;
        match self.source.as_str() {
            CRATES_IO => Ok(()),
            source => write!(f, " {source}"),
        }
    }
}

impl Pin {
    /// Reads a pin from a line such as `itertools 0.14.0`.
    pub(crate) fn read(line: &str) -> Option<Pin> {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        let source = words.next().unwrap_or(CRATES_IO);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_version = |c: char| c.is_ascii_alphanumeric() || ".+-".contains(c);
        let is_right = name.chars().all(is_name)
            && version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(is_version)
            && !source.contains(['"', '\\'])
            && words.next().is_none();
        is_right.then(|| Pin {
            name: name.to_owned(),
            version: version.to_owned(),
            source: source.to_owned(),
        })
    }

    /// Whether cargo would accept a version of this crate in place of this one.
    fn is_compatible(&self, other: &Pin) -> bool {
        let leading = |version: &str| {
            let numbers: Vec<&str> = version.split('.').collect();
            let n_zeros = numbers.iter().take_while(|number| **number == "0").count();
            numbers[..(n_zeros + 1).min(numbers.len())].join(".")
        };
        self.name == other.name && leading(&self.version) == leading(&other.version)
    }
}

/// A package of `Cargo.lock`: the source of its version (none for a folder), and its dependencies.
struct Package {
    pin: Option<Pin>,
    name: String,
    version: String,
    needs: Vec<String>,
}

fn packages(lock: &str) -> Vec<Package> {
    let blocks = lock.split("[[package]]").skip(1);
    let package = |block: &str| {
        let value = |key: &str| {
            let line = block.lines().find(|line| line.starts_with(key))?;
            Some(line.split('"').nth(1)?.to_owned())
        };
        let (name, version) = (value("name = ")?, value("version = ")?);
        let (_, needs) = block.split_once("dependencies = [").unwrap_or_default();
        let needs = needs.split(']').next().unwrap_or_default();
        let pin = value("source = ").map(|source| Pin {
            name: name.clone(),
            version: version.clone(),
            source,
        });
        Some(Package {
            pin,
            name,
            version,
            needs: needs
                .split('"')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect(),
        })
    };
    blocks.filter_map(package).collect()
}

/// The versions of everything in a session's `Cargo.lock`, except what only the library needs: its
/// packages have names that begin with `besides`.
pub(crate) fn of_lock(lock: &str, root: &str, besides: &str) -> Vec<Pin> {
    let packages = packages(lock);
    let mut by_name: HashMap<&str, Vec<&Package>> = HashMap::new();
    for package in &packages {
        by_name.entry(&package.name).or_default().push(package);
    }
    // `name`, or `name version` if there are several.
    let find = |need: &str| {
        let (name, version) = need.split_once(' ').unwrap_or((need, ""));
        let mut found = by_name.get(name).into_iter().flatten();
        let version = version.split(' ').next().unwrap_or_default();
        found.find(|package| version.is_empty() || package.version == version)
    };
    let mut reached: HashSet<Pin> = HashSet::new();
    let mut todo: Vec<&str> = vec![root];
    let mut seen: HashSet<&str> = HashSet::new();
    while let Some(need) = todo.pop() {
        let is_new = seen.insert(need) && !need.starts_with(besides);
        let Some(package) = is_new.then(|| find(need)).flatten() else {
            continue;
        };
        reached.extend(package.pin.clone());
        todo.extend(package.needs.iter().map(String::as_str));
    }
    let mut pins: Vec<Pin> = reached.into_iter().collect();
    pins.sort();
    pins
}

/// Stores the versions that are pinned from now on.
///
/// # Errors
///
/// If the session's folder cannot be written to.
pub(crate) fn write(tools: &Path, pins: &[Pin]) -> io::Result<()> {
    let lines: Vec<String> = pins.iter().map(Pin::to_string).collect();
    fs::write(tools.join(PINS), lines.join("\n"))
}

/// Puts the pinned versions into the lock file `lock`, unless it already has another compatible
/// version of the crate.
pub(super) fn seed(tools: &Path, lock: &Path) {
    let Ok(lines) = fs::read_to_string(tools.join(PINS)) else {
        return;
    };
    let text = fs::read_to_string(lock).unwrap_or_default();
    let new = with_pins(&text, lines.lines().filter_map(Pin::read));
    if new != text {
        // If it cannot be written, the session reports which versions differ.
        let _ = fs::write(lock, new);
    }
}

/// Whether cargo has downloaded a version.
pub(crate) fn is_there(pin: &Pin) -> bool {
    let registries =
        registry::cargo_home().and_then(|home| fs::read_dir(home.join("registry/cache")).ok());
    let file = format!("{}-{}.crate", pin.name, pin.version);
    let mut registries = registries.into_iter().flatten().flatten();
    registries.any(|registry| registry.path().join(&file).exists())
}

fn with_pins(lock: &str, pins: impl Iterator<Item = Pin>) -> String {
    let known: Vec<Pin> = packages(lock).into_iter().filter_map(|p| p.pin).collect();
    let mut text = lock.to_owned();
    if text.is_empty() {
        text.push_str("version = 4\n");
    }
    for pin in pins.filter(|pin| !known.iter().any(|known| pin.is_compatible(known))) {
        let Pin {
            name,
            version,
            source,
        } = pin;
        text.push_str(&format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n"
        ));
    }
    text
}

/// The crates for which a lock file has other versions than the pinned ones.
pub(crate) fn missed(lock: &str, pins: &[Pin]) -> Vec<(Pin, Pin)> {
    let known: Vec<Pin> = packages(lock).into_iter().filter_map(|p| p.pin).collect();
    let others = pins.iter().filter(|pin| !known.contains(pin));
    let pairs = others.filter_map(|pin| {
        let other = known.iter().find(|known| pin.is_compatible(known))?;
        Some((pin.clone(), other.clone()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"version = 4

[[package]]
name = "ctx"
version = "1.0.0"
dependencies = [
 "forklore",
 "rand 0.9.1",
]

[[package]]
name = "forklore"
version = "0.1.0"
dependencies = [
 "libc",
 "rand 0.8.0",
]

[[package]]
name = "libc"
version = "0.2.1"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "00"

[[package]]
name = "rand"
version = "0.8.0"
source = "registry+https://github.com/rust-lang/crates.io-index"

[[package]]
name = "rand"
version = "0.9.1"
source = "registry+https://github.com/rust-lang/crates.io-index"
dependencies = [
 "core",
]

[[package]]
name = "core"
version = "1.2.3"
source = "git+https://example.org/core#abc"
"#;

    fn pin(line: &str) -> Pin {
        Pin::read(line).unwrap()
    }

    #[test]
    fn what_the_notebook_needs_is_pinned_and_what_only_the_library_needs_is_not() {
        let pins = of_lock(LOCK, "ctx", "forklore");
        let lines: Vec<String> = pins.iter().map(Pin::to_string).collect();
        assert_eq!(
            lines,
            ["core 1.2.3 git+https://example.org/core#abc", "rand 0.9.1"]
        );
        assert_eq!(lines.iter().map(|line| pin(line)).collect::<Vec<_>>(), pins);
        assert!(of_lock("", "ctx", "forklore").is_empty());
    }

    #[test]
    fn a_pin_is_put_where_no_other_version_would_do() {
        let pins = ["rand 0.9.0", "libc 0.3.0", "new 1.0.0"].map(pin);
        let new = with_pins(LOCK, pins.into_iter());
        let added = new.strip_prefix(LOCK).unwrap();
        assert!(!added.contains("rand") && added.contains("\"libc\"\nversion = \"0.3.0\""));
        assert!(added.contains("\"new\"\nversion = \"1.0.0\"\nsource = \"registry+"));
        assert_eq!(with_pins(&new, [pin("new 1.0.0")].into_iter()), new);
        assert!(with_pins("", [pin("new 1.0.0")].into_iter()).starts_with("version = 4\n"));
    }

    #[test]
    fn versions_that_are_others_are_named() {
        let pins = ["rand 0.9.0", "libc 0.2.1", "unused 1.0.0"].map(pin);
        let missed = missed(LOCK, &pins);
        assert_eq!(missed, [(pin("rand 0.9.0"), pin("rand 0.9.1"))]);
    }

    #[test]
    fn what_is_no_version_is_not_read() {
        for line in [
            "",
            "rand",
            "rand x",
            "a\"b 1.0",
            "rand 1.0 a\"b",
            "rand 1.0 x y",
        ] {
            assert_eq!(Pin::read(line), None, "{line}");
        }
    }
}
