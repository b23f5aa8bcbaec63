//! The warm start: the library and its dependencies, compiled once and kept in the user's cache folder.
//!
//! evcxr compiles in a new folder in every session, so a dependency would be compiled anew each time (9–15 s). Cargo takes
//! what it finds in `target/` for fresh when paths, versions, flags and modification times are those of the build that made it:
//!
//! ```text
//! ~/.cache/forklore/library-KEY/          the sources of the library and the course, from inside this program
//! ~/.cache/forklore/warm-KEY-RUSTC/       target/, Cargo.lock and what every session compiles first (see `kept`):
//!                                         made by a session in a folder beside it, then renamed into place
//! ~/.cache/forklore/std-RUSTC/            the standard library's sources (see `sources`)
//! ~/.cache/forklore/prelude-RUSTC/        the shared object with the panic hook (see `runtime::prelude`)
//! ```
//!
//! A session has the build done by a process of its own: what rust-analyzer learns on the way (235 MB) would stay with the
//! kernel. How it is kept without locks is told in `cache`. A class needs it only once: `shared` tells of the folder that all
//! sessions of a machine can have in place of their own.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::evcxr::build::TOOLS;
use crate::library::cache;
use crate::library::kept::KEPT;
use crate::library::shared;
use crate::library::toolchain::{Compiler, PRELUDE, own_cargo_home};
use crate::session::Session;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/library.rs"));
}

/// Set for the process that a session has do the build: the cache in which to do it.
const ASKED_VARIABLE: &str = "FORKLORE_WARM_ASKED";
/// The last file that a build writes.
const MARKER: &str = "Cargo.lock";
/// All unpacked sources get this modification time, so that a new copy of them is not newer than what was compiled.
const SOURCE_TIME: Duration = Duration::from_secs(1_700_000_000);

/// A prebuilt library, or the place where one is being built.
pub struct Warm {
    compiler: Compiler,
    folder: PathBuf,
    library: PathBuf,
    standard_library: Option<PathBuf>,
    /// Where cargo has the sources of the library's dependencies, if that is not the user's own home of cargo.
    cargo_home: Option<PathBuf>,
    is_complete: bool,
    warning: Option<String>,
}

/// What is known of a cache that an administrator has prepared.
pub enum Shared {
    /// There is none.
    Absent,
    /// There is one that must not be used.
    Refused {
        /// Where it is.
        folder: PathBuf,
        /// Why it must not be used.
        reason: String,
    },
    /// There is one, but made with another compiler or for another version of the library.
    Unfit(PathBuf),
    /// It is used.
    Ready(PathBuf),
}

/// Builds the library and ends this process, if that is what it was started for. To be called before there are threads;
/// what builds it starts processes for cells in its turn, which must not get here.
pub(crate) fn run_if_asked() {
    let Some(root) = std::env::var_os(ASKED_VARIABLE).map(PathBuf::from) else {
        return;
    };
    let built = std::env::current_exe()
        .context("cannot find this program's own file")
        .and_then(|program| find_or(&root, &Compiler::find()?, &program, build));
    if let Err(error) = built {
        // To the session; what cargo says goes where the session's own process would have said it.
        print!("{error:#}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

/// Gives the prebuilt library for this program and the user's compiler. Where it is missing, another process of this program
/// builds it first; where the cache folder cannot be written, in the folder for temporary files.
///
/// # Errors
///
/// When there is no compiler, neither folder can be written to, or a dependency cannot be had.
pub fn find_or_build(program: &Path) -> Result<Warm> {
    let compiler = Compiler::find()?;
    let (shared, warning) = shared_or_why_not(&compiler);
    if let Some(warm) = shared {
        return Ok(warm);
    }
    let (warm, unwritable) =
        cache::with_folder(|root| find_or(root, &compiler, program, build_elsewhere))?;
    let warning = warning.or(unwritable);
    Ok(Warm { warning, ..warm })
}

/// The same in the cache folder only, built by this process.
///
/// # Errors
///
/// When there is no compiler, the cache folder cannot be written to, or a dependency cannot be had.
pub(crate) fn find_or_build_here(program: &Path) -> Result<Warm> {
    let compiler = Compiler::find()?;
    match shared_or_why_not(&compiler) {
        (Some(warm), _) => Ok(warm),
        (None, warning) => Ok(Warm {
            warning,
            ..find_or(&cache::folder()?, &compiler, program, build)?
        }),
    }
}

/// The library in the shared cache, or a warning where it must not be used.
fn shared_or_why_not(compiler: &Compiler) -> (Option<Warm>, Option<String>) {
    match find_shared(compiler) {
        Ok(shared) => (shared, None),
        Err(error) => {
            let warning = format!("the shared library is not used: {error:#}");
            (None, Some(warning))
        }
    }
}

fn find_or(
    root: &Path,
    compiler: &Compiler,
    program: &Path,
    build: fn(&Path, &mut Warm, &Path) -> Result<()>,
) -> Result<Warm> {
    cache::prune(root);
    let mut warm = Warm::in_cache(root, compiler, None)?;
    if !warm.is_built() {
        build(root, &mut warm, program).map_err(|error| cache::way_out(error, root))?;
    }
    cache::mark_used(&warm.folder);
    cache::mark_used(&warm.library);
    warm.standard_library
        .iter()
        .for_each(|folder| cache::mark_used(folder));
    Ok(warm)
}

fn build_elsewhere(root: &Path, _: &mut Warm, program: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command
        .env(ASKED_VARIABLE, root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    // SAFETY: the call between fork and exec is async-signal-safe, and changes only the new process' own attribute.
    unsafe {
        command.pre_exec(|| {
            // Nobody needs it when the session is gone.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let ended = command
        .output()
        .context("cannot start this program again")?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stdout);
        match said.trim() {
            "" => bail!("what compiles the library has ended with {}", ended.status),
            said => bail!("{said}"),
        }
    }
    Ok(())
}

/// Makes the cache for many users, in `folder` or next to this program, and returns where it is.
///
/// # Errors
///
/// When it cannot be written, others could change it, there is no compiler, or a dependency cannot be had.
pub fn build_shared(folder: &Path, program: &Path) -> Result<PathBuf> {
    let cannot_write = || format!("cannot make a shared cache in {}", folder.display());
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    fs::create_dir_all(folder).with_context(cannot_write)?;
    let root = shared::trusted(&std::path::absolute(folder)?).with_context(cannot_write)?;
    let compiler = Compiler::find()?;
    let cargo_home = shared::cargo_home(&root);
    if let (Some(own), Ok(lock)) = (own_cargo_home(), std::str::from_utf8(embedded::LOCK)) {
        shared::copy_packages(lock, "forklore-course", &own, &cargo_home)
            .with_context(cannot_write)?;
    }
    let mut warm = Warm::in_cache(&root, &compiler, Some(cargo_home)).with_context(cannot_write)?;
    if !warm.is_built() {
        build(&root, &mut warm, program).with_context(cannot_write)?;
    }
    compiler.prelude_in(&root).with_context(cannot_write)?;
    shared::open_for_reading(&root).with_context(cannot_write)?;
    Ok(root)
}

/// Looks for a cache that an administrator has prepared.
///
/// # Errors
///
/// When there is no compiler.
pub fn look_for_shared() -> Result<Shared> {
    let Some(folder) = shared::folder() else {
        return Ok(Shared::Absent);
    };
    Ok(match find_shared(&Compiler::find()?) {
        Ok(Some(_)) => Shared::Ready(folder),
        Ok(None) => Shared::Unfit(folder),
        Err(error) => Shared::Refused {
            folder,
            reason: format!("{error:#}"),
        },
    })
}

/// The library in the shared cache, if it was made with this compiler.
///
/// # Errors
///
/// When others could change what is there.
fn find_shared(compiler: &Compiler) -> Result<Option<Warm>> {
    let Some(folder) = shared::folder() else {
        return Ok(None);
    };
    let root = shared::trusted(&folder)?;
    let cargo_home = shared::cargo_home(&root);
    let folder = warm_folder(&root, compiler, Some(&cargo_home));
    let library = library_folder(&root);
    if !folder.join(MARKER).exists() || !library.join("Cargo.toml").exists() {
        return Ok(None);
    }
    let standard_library = compiler.standard_library_folder(&root);
    let standard_library = standard_library.filter(|folder| folder.exists());
    for part in [
        Some(&folder),
        Some(&library),
        Some(&cargo_home),
        standard_library.as_ref(),
    ] {
        part.map_or(Ok(()), |part| shared::check_below(part))?;
    }
    // One that was installed elsewhere has its sources elsewhere.
    let standard_library = standard_library.or_else(|| {
        let linked = cache::with_folder(|root| compiler.link_standard_library(root));
        linked.ok()?.0
    });
    Ok(Some(Warm {
        compiler: compiler.clone(),
        folder,
        library,
        standard_library,
        cargo_home: Some(cargo_home),
        is_complete: true,
        warning: None,
    }))
}

/// Whether [`find_or_build`] would find it.
///
/// # Errors
///
/// When there is no compiler, or no cache folder.
pub fn is_ready() -> Result<bool> {
    let compiler = Compiler::find()?;
    if matches!(find_shared(&compiler), Ok(Some(_))) {
        return Ok(true);
    }
    let folder = warm_folder(&cache::folder()?, &compiler, None);
    Ok(folder.join(MARKER).exists())
}

fn warm_folder(root: &Path, compiler: &Compiler, cargo_home: Option<&Path>) -> PathBuf {
    let key = compiler.key(cargo_home);
    root.join(format!("warm-{}-{key}", embedded::KEY))
}

fn library_folder(root: &Path) -> PathBuf {
    root.join(format!("library-{}", embedded::KEY))
}

/// Gives the shared object with the panic hook for the user's compiler, and builds it first where it is missing.
///
/// # Errors
///
/// When there is no compiler or linker, or no folder for it that can be written to.
pub fn find_or_build_prelude() -> Result<PathBuf> {
    prelude(&Compiler::find()?)
}

fn prelude(compiler: &Compiler) -> Result<PathBuf> {
    let shared = shared::folder().and_then(|folder| {
        let folder = compiler.prelude_folder(&shared::trusted(&folder).ok()?);
        shared::check_below(&folder).ok()?;
        Some(folder)
    });
    if let Some(folder) = shared {
        return Ok(folder.join(PRELUDE));
    }
    let (folder, _) = cache::with_folder(|root| compiler.prelude_in(root))?;
    cache::mark_used(&folder);
    Ok(folder.join(PRELUDE))
}

impl Warm {
    /// The place for this library and compiler in a cache, with sources but perhaps not compiled yet.
    fn in_cache(root: &Path, compiler: &Compiler, cargo_home: Option<PathBuf>) -> Result<Warm> {
        Ok(Warm {
            compiler: compiler.clone(),
            folder: warm_folder(root, compiler, cargo_home.as_deref()),
            standard_library: compiler.link_standard_library(root)?,
            library: unpack_library(root)?,
            cargo_home,
            is_complete: true,
            warning: None,
        })
    }

    fn is_built(&self) -> bool {
        self.folder.join(MARKER).exists()
    }

    /// The compiler itself, not what finds it.
    pub fn rustc(&self) -> &Path {
        self.compiler.rustc()
    }

    /// The shared object with the panic hook: see [`find_or_build_prelude`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn prelude(&self) -> Result<PathBuf> {
        prelude(&self.compiler)
    }

    /// What sessions need not compile, once there is any.
    pub(crate) fn kept(&self) -> Option<PathBuf> {
        self.is_complete.then(|| self.folder.join(KEPT))
    }

    /// The library's sources.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// A folder with the standard library's sources, if the user has them.
    pub fn standard_library(&self) -> Option<&Path> {
        self.standard_library.as_deref()
    }

    /// Cargo's home, where it is not the user's own: as long as no cell adds a dependency.
    pub fn cargo_home(&self) -> Option<&Path> {
        self.cargo_home.as_deref()
    }

    /// Why another library than the shared one is used.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Whether everything has been compiled, so that cargo needs no network.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Puts the compiled library into a session's folder.
    pub fn copy_to(&self, session: &Path) -> Result<()> {
        let share = match self.cargo_home {
            Some(_) => Share::Symlink,
            None => Share::HardLink,
        };
        copy_tree(&self.folder.join("target"), &session.join("target"), share)?;
        self.copy_lock_to(session)
    }

    /// Puts the list of versions into a session's folder. (Cargo strikes out what is not needed, and evcxr's
    /// first cell needs nothing: so it has to be put there again after that.)
    pub fn copy_lock_to(&self, session: &Path) -> Result<()> {
        let lock = self.folder.join("Cargo.lock");
        let bytes = if self.is_complete {
            fs::read(&lock)?
        } else {
            embedded::LOCK.to_vec()
        };
        Ok(fs::write(session.join("Cargo.lock"), bytes)?)
    }
}

fn unpack_library(root: &Path) -> Result<PathBuf> {
    let library = library_folder(root);
    if !library.join("Cargo.toml").exists() {
        cache::make(root, &library, write_library)?;
    }
    Ok(library)
}

fn write_library(folder: &Path) -> Result<()> {
    for (name, content) in embedded::FILES {
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
    let built = Session::start_in(&session_folder, program, warm, Box::new(drop));
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
    let (from, to) = (session_folder.join("target"), ready.join("target"));
    copy_tree(&from, &to, Share::HardLink)?;
    fs::rename(session_folder.join(TOOLS).join(KEPT), ready.join(KEPT))?;
    fs::rename(session_folder.join("Cargo.lock"), ready.join("Cargo.lock"))?;
    cache::put_in_place(&ready, &warm.folder)?;
    warm.is_complete = true;
    let _ = fs::remove_dir_all(&building);
    Ok(())
}

/// How a copy has the large files in common with the original.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    /// As long as it is the same file system and the same owner.
    HardLink,
    /// The original is another's, and stays.
    Symlink,
}

impl Share {
    fn share(self, source: &Path, target: &Path) -> bool {
        match self {
            Share::HardLink => fs::hard_link(source, target).is_ok(),
            Share::Symlink => std::os::unix::fs::symlink(source, target).is_ok(),
        }
    }
}

/// Copies what cargo needs to find the dependencies fresh: with modification times, without the cells' own code.
fn copy_tree(from: &Path, to: &Path, share: Share) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if is_of_a_cell(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_tree(&source, &target, share)?;
        } else if !(is_never_rewritten(&source) && share.share(&source, &target)) {
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
        copy_tree(&from, &root.join("to"), Share::HardLink).unwrap();
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
    fn library_and_course_have_manifests_of_their_own() {
        let file = |wanted: &str| {
            let mut files = embedded::FILES.iter();
            let (_, content) = files.find(|(name, _)| *name == wanted).expect(wanted);
            std::str::from_utf8(content).unwrap()
        };
        for (folder, name) in [("", "forklore"), ("lessons/", "forklore-course")] {
            let manifest = file(&format!("{folder}Cargo.toml"));
            for part in [
                &format!("name = \"{name}\""),
                "version = \"",
                "[dependencies]",
            ] {
                assert!(manifest.contains(part), "no {part}: {manifest}");
            }
            assert!(!manifest.contains("workspace = true"), "{manifest}");
            file(&format!("{folder}src/lib.rs"));
            file(&format!("{folder}analysis/Cargo.toml"));
        }
    }
}
