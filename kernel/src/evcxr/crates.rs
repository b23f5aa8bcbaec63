//! Links the crates that cells have added once, for all cells.
//!
//! cargo makes static libraries of a cell's dependencies. Each cell would be linked with its own
//! copy, including its own statics: a logger that one cell sets would not exist in the next one,
//! and tokio's threads would know nothing of the futures that a later cell gives them. So these
//! crates are linked once, into a shared object, and cells are linked with that. Crates that a
//! later cell adds go into another object, which is linked with the earlier ones:
//!
//! ```text
//!  cargo ─▶ libtokio.rlib, … ─▶ rustc ─▶ tools/libforklore_crates_HASH.so ◀── linked ── every cell
//! ```
//!
//! This project's own crates are in none of these objects: they have no state in statics, and a
//! `:dep` may cause them to be compiled again.

use std::collections::hash_map::DefaultHasher;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::other_sessions;

/// The prefix of the names of this project's crates.
const OURS: &str = "forklore";
/// The prefix of the names of crates that contain others.
const PREFIX: &str = "forklore_crates_";
/// The name of such an object among the crates of other sessions.
const UNIT: &str = "forklore_crates";
/// The list of the layers, in a session's tools.
const LAYERS: &str = "crates";
/// rustc's options with a value that are the same for the cells and for these crates.
const COMMON: [&str; 2] = ["-L", "--target"];

/// Crates that were added together, as one crate that is linked into a shared object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Layer {
    name: String,
    object: PathBuf,
    crates: Vec<Crate>,
}

/// A static library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Crate {
    name: String,
    path: PathBuf,
    /// A crate in one of the user's folders keeps its path when its code changes.
    n_bytes: u64,
    changed: (i64, i64),
}

/// The arguments that link a cell with the shared copy of its crates, which is built if it does not
/// exist yet. Empty if the cell has no crates, or if they cannot be linked together. `words` is the
/// call of rustc for the cell.
pub(crate) fn arguments(tools: &Path, words: &[OsString]) -> Vec<OsString> {
    let crates: Vec<Crate> = static_crates(words).collect();
    // The linker's arguments are separated by commas.
    if crates.is_empty() || tools.as_os_str().as_encoded_bytes().contains(&b',') {
        return Vec::new();
    }
    let before = fs::read(tools.join(LAYERS)).unwrap_or_default();
    let before = serde_json::from_slice(&before).unwrap_or_default();
    let Some(layers) = layers(tools, words, &crates, before) else {
        return Vec::new();
    };
    let written = serde_json::to_vec(&layers).map(|text| fs::write(tools.join(LAYERS), text));
    if !matches!(written, Ok(Ok(()))) {
        return Vec::new();
    }
    let mut arguments = external(&layers);
    for (option, folder) in [("-Clink-arg=-Wl,-rpath,", tools), ("-Ldependency=", tools)] {
        let mut argument = OsString::from(option);
        argument.push(folder);
        arguments.push(argument);
    }
    arguments
}

/// Adds to the cell's text what makes rustc link it as [`arguments`] says: rustc loads a crate only
/// if the text names it.
pub(crate) fn import(words: &[OsString], source: &str) -> io::Result<()> {
    let names = externs(words).map(|(name, _)| name);
    let mut text = fs::read_to_string(source)?;
    let n_bytes = text.len();
    for name in names.filter(|name| name.starts_with(PREFIX)) {
        let import = import_of(name);
        if !text.contains(&import) {
            text.push_str(&import);
        }
    }
    match text.len() > n_bytes {
        true => fs::write(source, text),
        false => Ok(()),
    }
}

fn import_of(name: &str) -> String {
    format!("extern crate {name} as _;\n")
}

/// The static libraries that a cell needs, without our own.
fn static_crates(words: &[OsString]) -> impl Iterator<Item = Crate> {
    let is_static = |path: &Path| path.extension() == Some(OsStr::new("rlib"));
    externs(words)
        .filter(move |(name, path)| !name.starts_with(OURS) && is_static(path))
        .filter_map(|(name, path)| {
            let file = fs::metadata(path).ok()?;
            Some(Crate {
                name: name.to_owned(),
                path: path.to_owned(),
                n_bytes: file.size(),
                changed: (file.mtime(), file.mtime_nsec()),
            })
        })
}

fn externs(words: &[OsString]) -> impl Iterator<Item = (&str, &Path)> {
    values(words, "--extern").filter_map(|value| {
        let (name, path) = value.to_str()?.split_once('=')?;
        Some((name, Path::new(path)))
    })
}

fn values<'a>(words: &'a [OsString], option: &'a str) -> impl Iterator<Item = &'a OsString> {
    let pairs = words.windows(2).filter(move |pair| pair[0] == option);
    pairs.map(|pair| &pair[1])
}

/// The layers that contain all the crates: the existing ones and one more, or a new first one if a
/// crate has changed. `None` if rustc cannot build them.
fn layers(
    tools: &Path,
    words: &[OsString],
    crates: &[Crate],
    before: Vec<Layer>,
) -> Option<Vec<Layer>> {
    let is_known = |known: &Crate| crates.contains(known);
    let is_same = before.iter().all(|layer| layer.crates.iter().all(is_known));
    let mut layers = if is_same { before } else { Vec::new() };
    let is_in = |layers: &[Layer], of: &Crate| layers.iter().any(|l| l.crates.contains(of));
    let new: Vec<Crate> = crates
        .iter()
        .filter(|new| !is_in(&layers, new))
        .cloned()
        .collect();
    if new.is_empty() {
        return Some(layers);
    }
    if let Some(layer) = link(tools, words, &new, &layers) {
        layers.push(layer);
        return Some(layers);
    }
    let is_first = layers.is_empty();
    let whole = (!is_first)
        .then(|| link(tools, words, crates, &[]))
        .flatten();
    whole.map(|layer| vec![layer])
}

/// Links crates into a shared object, on top of others.
fn link(tools: &Path, words: &[OsString], crates: &[Crate], below: &[Layer]) -> Option<Layer> {
    let hash = hash(crates, below);
    let name = format!("{PREFIX}{hash}");
    let object = format!("lib{name}.so");
    let layer = Layer {
        object: tools.join(&object),
        name: name.clone(),
        crates: crates.to_vec(),
    };
    let (stores, unit) = (other_sessions::stores(tools), format!("{UNIT}-{hash}"));
    if stores.iter().any(|store| store.fetch_one(&unit, tools)) {
        return Some(layer);
    }
    let source = tools.join(&name).with_extension("rs");
    let below_names = below.iter().map(|layer| &layer.name);
    let names = below_names.chain(crates.iter().map(|of| &of.name));
    let text: String = names.map(|name| import_of(name)).collect();
    fs::write(&source, text).ok()?;
    let mut rustc = Command::new(&words[0]);
    rustc
        .args([
            "--crate-name",
            &name,
            "--edition=2024",
            "--crate-type=dylib",
        ])
        .args([
            "-Cprefer-dynamic",
            "-Cstrip=debuginfo",
            "-Clink-arg=-Wl,-O0",
        ])
        .arg(format!("-Cmetadata={hash}"))
        .arg("--out-dir")
        .args([tools, &source])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for option in COMMON {
        rustc.args(values(words, option).flat_map(|value| [OsStr::new(option), value]));
    }
    rustc.args(external(below));
    for of in crates {
        rustc.arg("--extern").arg(equals(&of.name, &of.path));
    }
    // The layers below are in the same folder, in every session.
    rustc.arg("-Clink-arg=-Wl,-rpath,$ORIGIN");
    if !rustc.status().ok()?.success() {
        return None;
    }
    // If it cannot be stored, the next session links it again.
    let _ = stores
        .last()
        .map(|store| store.keep_one(&unit, tools, &object));
    Some(layer)
}

/// A hash that differs if another object has to be linked. It is the same in all sessions that have
/// the crates from one compile.
fn hash(crates: &[Crate], below: &[Layer]) -> String {
    let mut hasher = DefaultHasher::new();
    for of in crates {
        (&of.name, of.path.file_name(), of.n_bytes, of.changed).hash(&mut hasher);
    }
    for layer in below {
        layer.name.hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// The arguments that pass layers to rustc.
fn external(layers: &[Layer]) -> Vec<OsString> {
    let pairs = layers
        .iter()
        .map(|layer| ["--extern".into(), equals(&layer.name, &layer.object)]);
    pairs.flatten().collect()
}

fn equals(name: &str, path: &Path) -> OsString {
    let mut text = OsString::from(format!("{name}="));
    text.push(path);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn only_static_crates_that_cells_have_added_are_shared() {
        // Any existing file.
        let path = std::env::current_exe().unwrap().with_extension("rlib");
        fs::write(&path, "").unwrap();
        let words = words(&format!(
            "rustc --crate-name ctx --extern forklore={path} --extern forklore_course={path} --extern log={path} --extern gone=/nonexistent/libgone.rlib \
             --extern serde_derive=/d/libserde_derive-3.so -L dependency=/d --extern proc_macro",
            path = path.display()
        ));
        let names: Vec<String> = static_crates(&words).map(|of| of.name).collect();
        assert_eq!(names, ["log"]);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_cell_without_crates_and_one_whose_crates_are_gone_are_linked_as_before() {
        let tools = Path::new("/nonexistent");
        for text in ["rustc", "rustc --extern log=/nonexistent/liblog.rlib"] {
            assert!(arguments(tools, &words(text)).is_empty(), "{text}");
        }
    }

    fn layer(name: &str, crates: &[&Crate]) -> Layer {
        Layer {
            name: name.to_owned(),
            object: PathBuf::new(),
            crates: crates.iter().map(|of| (*of).clone()).collect(),
        }
    }

    #[test]
    fn layers_stay_as_long_as_their_crates_do() {
        let of = |name: &str, n_bytes| Crate {
            name: name.to_owned(),
            path: PathBuf::from("/d"),
            n_bytes,
            changed: (0, 0),
        };
        let (log, tokio, changed) = (of("log", 1), of("tokio", 1), of("log", 2));
        let before = vec![layer("first", &[&log]), layer("second", &[&tokio])];
        // A compiler that builds nothing.
        let words = words("/bin/false");
        let tools = std::env::temp_dir();
        let layers = |crates: &[Crate]| layers(&tools, &words, crates, before.clone());
        assert_eq!(layers(&[log.clone(), tokio.clone()]), Some(before.clone()));
        assert_eq!(layers(&[log, tokio.clone(), of("new", 1)]), None);
        assert_eq!(layers(&[changed, tokio]), None);
    }

    #[test]
    fn the_text_names_the_shared_crates_once() {
        let folder = std::env::temp_dir().join(format!("forklore-crates-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let source = folder.join("lib.rs");
        let path = source.to_str().unwrap();
        fs::write(&source, "fn f() {}\n").unwrap();
        import(&words("rustc --extern log=/d/liblog.rlib"), path).unwrap();
        assert_eq!(fs::read_to_string(&source).unwrap(), "fn f() {}\n");
        let words =
            words("rustc --extern forklore_crates_1=/t/a.so --extern forklore_crates_2=/t/b.so");
        for _ in 0..2 {
            import(&words, path).unwrap();
            assert_eq!(
                fs::read_to_string(&source).unwrap(),
                "fn f() {}\nextern crate forklore_crates_1 as _;\nextern crate forklore_crates_2 as _;\n"
            );
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
