//! The warm start: the library and its dependencies, compiled once and kept in the user's cache folder.
//!
//! evcxr compiles in a new folder in every session, so a dependency would be compiled anew each time (9–15 s). Cargo takes
//! what it finds in `target/` for fresh when paths, versions, flags and modification times are those of the build that made it:
//!
//! ```text
//! ~/.cache/forklore/library-KEY/          the library's sources, from inside this program
//! ~/.cache/forklore/warm-KEY-RUSTC/       target/ and Cargo.lock: made by a session in a folder
//!                                         beside it, then renamed into place
//! ~/.cache/forklore/std-RUSTC/            the standard library's sources (see `sources`)
//! ~/.cache/forklore/prelude-RUSTC/        the shared object with the panic hook (see `runtime::prelude`)
//! ```
//!
//! How it is kept without locks is told in `cache`.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::cache;
use crate::runtime;
use crate::session::{Raw, Session};
use crate::sources;

mod library {
    include!(concat!(env!("OUT_DIR"), "/library.rs"));
}

/// Changes when what is kept changes its form.
const FORMAT: u32 = 5;
/// The last file that a build writes.
const MARKER: &str = "Cargo.lock";
/// All unpacked sources get this modification time, so that a new copy of them is not newer than what was compiled.
const SOURCE_TIME: Duration = Duration::from_secs(1_700_000_000);

/// A prebuilt library, or the place where one is being built.
pub struct Warm {
    folder: PathBuf,
    library: PathBuf,
    standard_library: Option<PathBuf>,
    is_complete: bool,
}

/// Gives the prebuilt library for this program and the user's compiler, and builds it first where it is missing.
///
/// # Errors
///
/// When there is no compiler, the cache folder cannot be written to, or a dependency cannot be had.
pub fn find_or_build(program: &Path) -> Result<Warm> {
    let (root, compiler) = (cache::folder()?, Compiler::find()?);
    cache::prune(&root);
    let library = unpack_library(&root)?;
    let mut warm = Warm {
        folder: warm_folder(&root, &compiler),
        standard_library: compiler.link_standard_library(&root)?,
        library,
        is_complete: true,
    };
    if !warm.folder.join(MARKER).exists() {
        build(&root, &mut warm, program).map_err(|error| cache::way_out(error, &root))?;
    }
    cache::mark_used(&warm.folder);
    cache::mark_used(&warm.library);
    warm.standard_library
        .iter()
        .for_each(|folder| cache::mark_used(folder));
    Ok(warm)
}

/// Whether [`find_or_build`] would find it.
///
/// # Errors
///
/// When there is no compiler, or no cache folder.
pub fn is_ready() -> Result<bool> {
    let (root, compiler) = (cache::folder()?, Compiler::find()?);
    Ok(warm_folder(&root, &compiler).join(MARKER).exists())
}

fn warm_folder(root: &Path, compiler: &Compiler) -> PathBuf {
    root.join(format!("warm-{}-{}", library::KEY, compiler.key()))
}

/// Gives the shared object with the panic hook for the user's compiler, and builds it first where it is missing.
///
/// # Errors
///
/// When there is no compiler, or the cache folder cannot be written to.
pub fn find_or_build_prelude() -> Result<PathBuf> {
    let (root, compiler) = (cache::folder()?, Compiler::find()?);
    let mut hasher = DefaultHasher::new();
    (FORMAT, runtime::PRELUDE_SOURCE, &compiler.version).hash(&mut hasher);
    let folder = root.join(format!("prelude-{:016x}", hasher.finish()));
    let prelude = folder.join("prelude.so");
    if !prelude.exists() {
        cache::make(&root, &folder, |making| compiler.compile_prelude(making))?;
    }
    cache::mark_used(&folder);
    Ok(prelude)
}

impl Warm {
    /// The library's sources.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// A folder with the standard library's sources, if the user has them.
    pub fn standard_library(&self) -> Option<&Path> {
        self.standard_library.as_deref()
    }

    /// Whether everything has been compiled, so that cargo needs no network.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Puts the compiled library into a session's folder.
    pub fn copy_to(&self, session: &Path) -> Result<()> {
        copy_tree(&self.folder.join("target"), &session.join("target"))?;
        self.copy_lock_to(session)
    }

    /// Puts the list of versions into a session's folder. (Cargo strikes out what is not needed, and evcxr's
    /// first cell needs nothing: so it has to be put there again after that.)
    pub fn copy_lock_to(&self, session: &Path) -> Result<()> {
        let lock = self.folder.join("Cargo.lock");
        let bytes = if self.is_complete {
            fs::read(&lock)?
        } else {
            library::LOCK.to_vec()
        };
        Ok(fs::write(session.join("Cargo.lock"), bytes)?)
    }
}

/// The compiler that evcxr will use.
struct Compiler {
    rustc: PathBuf,
    version: String,
}

impl Compiler {
    fn find() -> Result<Compiler> {
        let which = Command::new("rustup").args(["which", "rustc"]).output();
        let from_rustup = which.ok().filter(|output| output.status.success());
        let rustc = from_rustup.map_or_else(
            || PathBuf::from("rustc"),
            |output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
        );
        let output = Command::new(&rustc).arg("-vV").output().context(
            "could not run rustc: install Rust from https://rustup.rs or put it on the PATH",
        )?;
        Ok(Compiler {
            rustc,
            version: String::from_utf8_lossy(&output.stdout).into_owned(),
        })
    }

    /// Differs where cargo would not take the library for fresh.
    fn key(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (FORMAT, &self.version).hash(&mut hasher);
        // evcxr uses these linkers where it finds them, which changes the flags.
        let path = std::env::var_os("PATH").unwrap_or_default();
        for linker in ["mold", "lld"] {
            std::env::split_paths(&path)
                .any(|folder| folder.join(linker).exists())
                .hash(&mut hasher);
        }
        // Sources of dependencies are known to cargo by their path. (Cargo sets the variable for what it runs.)
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
        std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or(home)
            .hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Makes the folder with what rust-analyzer shall read of the standard library's sources.
    fn link_standard_library(&self, root: &Path) -> Result<Option<PathBuf>> {
        let output = Command::new(&self.rustc)
            .args(["--print", "sysroot"])
            .output()?;
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let rust_src = Path::new(&sysroot).join("lib/rustlib/src/rust/library");
        if !rust_src.join("core").exists() {
            return Ok(None);
        }
        let mut hasher = DefaultHasher::new();
        (FORMAT, &self.version, &rust_src).hash(&mut hasher);
        let folder = root.join(format!("std-{:016x}", hasher.finish()));
        if !folder.exists() {
            cache::make(root, &folder, |making| {
                Ok(sources::write(&rust_src, making)?)
            })?;
        }
        Ok(Some(folder))
    }

    fn compile_prelude(&self, folder: &Path) -> Result<()> {
        let libraries = Command::new(&self.rustc)
            .args(["--print", "target-libdir"])
            .output()?;
        let libraries = String::from_utf8_lossy(&libraries.stdout).trim().to_owned();
        fs::write(folder.join("prelude.rs"), runtime::PRELUDE_SOURCE)?;
        let output = Command::new(&self.rustc)
            .args([
                "--edition",
                "2024",
                "--crate-type",
                "cdylib",
                "-C",
                "prefer-dynamic",
                "-C",
                "opt-level=1",
            ])
            .arg("-C")
            .arg(format!("link-arg=-Wl,-rpath,{libraries}"))
            .arg("-o")
            .arg(folder.join("prelude.so"))
            .arg(folder.join("prelude.rs"))
            .output()?;
        if !output.status.success() {
            bail!(
                "the prelude does not compile: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

fn unpack_library(root: &Path) -> Result<PathBuf> {
    let library = root.join(format!("library-{}", library::KEY));
    if !library.join("Cargo.toml").exists() {
        cache::make(root, &library, write_library)?;
    }
    Ok(library)
}

fn write_library(folder: &Path) -> Result<()> {
    for (name, content) in library::FILES {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)?;
        File::options()
            .write(true)
            .open(&path)?
            .set_modified(SystemTime::UNIX_EPOCH + SOURCE_TIME)?;
    }
    Ok(())
}

/// Compiles the library as a session will ask for it: by a session.
fn build(root: &Path, warm: &mut Warm, program: &Path) -> Result<()> {
    let building = cache::building(root)?;
    warm.is_complete = false;
    let session_folder = building.join("session");
    fs::create_dir(&session_folder)?;
    let built = Session::start_in(
        &session_folder,
        program,
        warm,
        Box::new(|raw: Raw| drop(raw)),
    );
    let (mut session, _) = built.with_context(|| {
        format!(
            "could not compile the library in {}: its dependencies have to be downloaded once",
            building.display()
        )
    })?;
    // For an error like this one evcxr asks `cargo check`, which wants the dependencies in a form of its own:
    // or the first such error of every session would take as long as the library takes to compile.
    let _ = session.execute("let unknown_type = no_such_function();");
    session.abandon();
    let ready = building.join("ready");
    fs::create_dir(&ready)?;
    copy_tree(&session_folder.join("target"), &ready.join("target"))?;
    fs::rename(session_folder.join("Cargo.lock"), ready.join("Cargo.lock"))?;
    cache::put_in_place(&ready, &warm.folder)?;
    warm.is_complete = true;
    let _ = fs::remove_dir_all(&building);
    Ok(())
}

/// Copies what cargo needs to find the dependencies fresh: with modification times, without the cells' own code.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if is_of_a_cell(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_tree(&source, &target)?;
        } else if !(is_never_rewritten(&source) && fs::hard_link(&source, &target).is_ok()) {
            fs::copy(&source, &target)?;
            File::options()
                .write(true)
                .open(&target)?
                .set_modified(entry.metadata()?.modified()?)?;
        }
    }
    Ok(())
}

fn is_of_a_cell(name: &str) -> bool {
    name == "incremental"
        || ["ctx-", "libctx", "ctx.", "code_", "libcode_", "lib-ctx"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// The compiler makes these anew beside the old ones and renames them, so they can be shared. Cargo writes its own
/// small files in place.
fn is_never_rewritten(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "rlib" || extension == "rmeta" || extension == "so")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("forklore-warm-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_tree_is_copied_with_its_times_and_without_cells() {
        let root = scratch("tree");
        let from = root.join("from");
        fs::create_dir_all(from.join("deps/incremental")).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for name in [
            "deps/libx.rlib",
            "deps/invoked.timestamp",
            "deps/libcode_3.so",
            "deps/incremental/y",
        ] {
            fs::write(from.join(name), name).unwrap();
            File::options()
                .write(true)
                .open(from.join(name))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        copy_tree(&from, &root.join("to")).unwrap();
        for name in ["deps/libx.rlib", "deps/invoked.timestamp"] {
            let copy = root.join("to").join(name);
            assert_eq!(fs::read_to_string(&copy).unwrap(), name);
            assert_eq!(copy.metadata().unwrap().modified().unwrap(), time);
        }
        assert!(
            !root.join("to/deps/libcode_3.so").exists()
                && !root.join("to/deps/incremental").exists()
        );
        fs::write(root.join("to/deps/invoked.timestamp"), "new").unwrap();
        assert_eq!(
            fs::read_to_string(from.join("deps/invoked.timestamp")).unwrap(),
            "deps/invoked.timestamp"
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_library_has_a_manifest_of_its_own() {
        let (name, manifest) = library::FILES[0];
        let manifest = std::str::from_utf8(manifest).unwrap();
        assert_eq!(name, "Cargo.toml");
        assert!(
            manifest.contains("name = \"forklore\"") && manifest.contains("[dependencies]"),
            "{manifest}"
        );
        assert!(!manifest.contains("workspace = true"), "{manifest}");
        assert!(library::FILES.iter().any(|(name, _)| *name == "src/lib.rs"));
    }
}
