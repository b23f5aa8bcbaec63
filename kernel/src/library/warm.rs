//! The warm start: the library and its dependencies, compiled once and kept in the user's cache
//! folder.
//!
//! evcxr compiles in a new folder in every session, so a dependency would be compiled again each
//! time (9–15 s). Cargo considers the content of `target/` fresh if paths, versions, flags and
//! modification times are those of the build that made it:
//!
//! ```text
//! ~/.cache/forklore/library-KEY/          the sources of the library and the course, from inside this program
//! ~/.cache/forklore/warm-KEY-RUSTC/       target/, Cargo.lock and what every session compiles first (see `kept`):
//!                                         made by a session in a folder beside it, then renamed into place
//! ~/.cache/forklore/crates-RUSTC/         crates that any session has compiled (see `compiled`)
//! ~/.cache/forklore/std-RUSTC/            the standard library's sources (see `sources`)
//! ~/.cache/forklore/prelude-RUSTC/        the shared object with the panic hook (see `runtime::prelude`)
//! ```
//!
//! A session runs the build in a separate process, because the data that rust-analyzer collects
//! during it (235 MB) would stay in the kernel's memory. `cache` explains how the result is stored
//! without locks. A class needs it only once: `shared_cache` describes the folder that all sessions
//! of a machine can share.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::library::cache;
use crate::library::compiled::Stores;
use crate::library::copy::{Share, copy_tree};
use crate::library::embedded;
use crate::library::kept::KEPT;
use crate::library::shared_cache;
use crate::library::toolchain::{Compiler, PRELUDE, own_cargo_home};
use crate::library::workspace;
use crate::sys::this_process::die_with_parent;

/// Set for the process in which a session runs the build: the cache to build into.
pub(crate) const ASKED_VARIABLE: &str = "FORKLORE_WARM_ASKED";
/// The last file that a build writes.
const MARKER: &str = "Cargo.lock";

/// A prebuilt library, or the folder in which one is being built.
pub struct Warm {
    compiler: Compiler,
    folder: PathBuf,
    library: PathBuf,
    standard_library: Option<PathBuf>,
    /// The cargo home that has the sources of the library's dependencies, if it is not the user's
    /// own.
    cargo_home: Option<PathBuf>,
    is_complete: bool,
    /// Whether the crates that a session compiles are for all users.
    is_for_all: bool,
    warning: Option<String>,
}

/// The state of a cache that an administrator prepared.
pub enum Shared {
    /// There is none.
    Absent,
    /// There is one that must not be used.
    Refused {
        /// Its path.
        folder: PathBuf,
        /// Why it must not be used.
        reason: String,
    },
    /// There is one, but for another compiler or another version of the library.
    Unfit(PathBuf),
    /// It is used.
    Ready(PathBuf),
}

/// Returns the prebuilt library for this program and the user's compiler. If it is missing, another
/// process of this program builds it first; if the cache folder cannot be written, it is built in
/// the folder for temporary files.
///
/// # Errors
///
/// If there is no compiler, neither folder can be written to, or a dependency is unavailable.
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

/// The same in the cache folder only, built by this process with `build`.
///
/// # Errors
///
/// If there is no compiler, the cache folder cannot be written to, or a dependency is unavailable.
pub(crate) fn find_or_build_here(program: &Path, build: Build) -> Result<Warm> {
    let compiler = Compiler::find()?;
    match shared_or_why_not(&compiler) {
        (Some(warm), _) => Ok(warm),
        (None, warning) => Ok(Warm {
            warning,
            ..find_or(&cache::folder()?, &compiler, program, build)?
        }),
    }
}

/// The library in the shared cache, or a warning if it must not be used.
fn shared_or_why_not(compiler: &Compiler) -> (Option<Warm>, Option<String>) {
    match find_shared(compiler) {
        Ok(shared) => (shared, None),
        Err(error) => {
            let warning = format!("the shared library is not used: {error:#}");
            (None, Some(warning))
        }
    }
}

/// Compiles the library for a cache, by sessions of this program.
pub(crate) type Build = fn(root: &Path, warm: &mut Warm, program: &Path) -> Result<()>;

/// Returns the library in the cache `root`, and builds it first if it is missing.
///
/// # Errors
///
/// As [`find_or_build`].
pub(crate) fn find_or(
    root: &Path,
    compiler: &Compiler,
    program: &Path,
    build: Build,
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
    // SAFETY: the call between fork and exec is async-signal-safe, and changes only the new
    // process' own attribute.
    unsafe {
        command.pre_exec(|| {
            // It is useless once the session is gone.
            die_with_parent();
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

/// Makes the cache for many users, in `folder` or next to this program, and returns its path.
///
/// # Errors
///
/// If it cannot be written, other users could change it, there is no compiler, or a dependency is
/// unavailable.
pub(crate) fn build_shared(folder: &Path, program: &Path, build: Build) -> Result<PathBuf> {
    let cannot_write = || format!("cannot make a shared cache in {}", folder.display());
    let elsewhere = "name a folder elsewhere, `forklore warm --system FOLDER`";
    workspace::refuse(&std::path::absolute(folder)?, elsewhere)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    fs::create_dir_all(folder).with_context(cannot_write)?;
    let root = shared_cache::trusted(&std::path::absolute(folder)?).with_context(cannot_write)?;
    let compiler = Compiler::find()?;
    let cargo_home = shared_cache::cargo_home(&root);
    if let (Some(own), Ok(lock)) = (own_cargo_home(), std::str::from_utf8(embedded::LOCK)) {
        shared_cache::copy_packages(lock, "forklore-course", &own, &cargo_home)
            .with_context(cannot_write)?;
    }
    let mut warm = Warm::in_cache(&root, &compiler, Some(cargo_home)).with_context(cannot_write)?;
    if !warm.is_built() {
        build(&root, &mut warm, program).with_context(cannot_write)?;
    }
    compiler.prelude_in(&root).with_context(cannot_write)?;
    shared_cache::open_for_reading(&root).with_context(cannot_write)?;
    Ok(root)
}

/// Lets a session, which gets a folder, add crates to a cache that [`build_shared`] made in `root`.
///
/// # Errors
///
/// The errors of `add`, and if the cache cannot be written.
pub(crate) fn add_to_shared(
    root: &Path,
    add: impl FnOnce(&Warm, &Path) -> Result<()>,
) -> Result<()> {
    let home = shared_cache::cargo_home(root);
    let warm = Warm {
        is_for_all: true,
        ..Warm::in_cache(root, &Compiler::find()?, Some(home))?
    };
    let folder = cache::building(root)?;
    let added = warm.copy_to(&folder).and_then(|()| add(&warm, &folder));
    let _ = fs::remove_dir_all(&folder);
    added?;
    shared_cache::open_for_reading(root)
}

/// The stores of this user's compiled crates.
///
/// # Errors
///
/// If there is no compiler, or no cache folder.
pub(crate) fn own_stores() -> Result<Stores> {
    let folder = Compiler::find()?.crates_folder(&cache::folder()?, None);
    Ok(Stores::own(folder))
}

/// Looks for a cache that an administrator prepared.
///
/// # Errors
///
/// If there is no compiler.
pub fn look_for_shared() -> Result<Shared> {
    let Some(folder) = shared_cache::folder() else {
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
/// If other users could change its content.
fn find_shared(compiler: &Compiler) -> Result<Option<Warm>> {
    let Some(folder) = shared_cache::folder() else {
        return Ok(None);
    };
    let root = shared_cache::trusted(&folder)?;
    let cargo_home = shared_cache::cargo_home(&root);
    let folder = warm_folder(&root, compiler, Some(&cargo_home));
    let library = embedded::library_folder(&root);
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
        part.map_or(Ok(()), |part| shared_cache::check_below(part))?;
    }
    // If the compiler is installed in another folder, its sources are too.
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
        is_for_all: false,
        warning: None,
    }))
}

/// Whether [`find_or_build`] would find it.
///
/// # Errors
///
/// If there is no compiler, or no cache folder.
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

/// Returns the shared object with the panic hook for the user's compiler, and builds it first if it
/// is missing.
///
/// # Errors
///
/// If there is no compiler or linker, or no writable folder for it.
pub fn find_or_build_prelude() -> Result<PathBuf> {
    prelude(&Compiler::find()?)
}

fn prelude(compiler: &Compiler) -> Result<PathBuf> {
    let shared = shared_cache::folder().and_then(|folder| {
        let folder = compiler.prelude_folder(&shared_cache::trusted(&folder).ok()?);
        shared_cache::check_below(&folder).ok()?;
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
    /// The folder for this library and compiler in a cache, with sources, but perhaps not compiled
    /// yet.
    fn in_cache(root: &Path, compiler: &Compiler, cargo_home: Option<PathBuf>) -> Result<Warm> {
        Ok(Warm {
            compiler: compiler.clone(),
            folder: warm_folder(root, compiler, cargo_home.as_deref()),
            standard_library: compiler.link_standard_library(root)?,
            library: embedded::unpack(root)?,
            cargo_home,
            is_complete: true,
            is_for_all: false,
            warning: None,
        })
    }

    fn is_built(&self) -> bool {
        self.folder.join(MARKER).exists()
    }

    /// The compiler itself, not a wrapper such as rustup's.
    pub fn rustc(&self) -> &Path {
        self.compiler.rustc()
    }

    /// The shared object with the panic hook: see [`find_or_build_prelude`].
    ///
    /// # Errors
    ///
    /// As for that function.
    pub fn prelude(&self) -> Result<PathBuf> {
        prelude(&self.compiler)
    }

    /// The compiles that sessions can skip, once they are stored.
    pub(crate) fn kept(&self) -> Option<PathBuf> {
        self.is_complete.then(|| self.folder.join(KEPT))
    }

    /// The stores of compiled crates; `None` if there is no folder for them.
    pub(crate) fn stores(&self) -> Option<Stores> {
        let root = self.folder.parent()?;
        let folder = |root: &Path, home| self.compiler.crates_folder(root, home);
        let Some(home) = self.cargo_home.as_deref() else {
            return Some(Stores::own(folder(root, None)));
        };
        let own = cache::folder().ok()?;
        // While a shared cache is made, compiled crates belong into it.
        let is_made_here = !self.is_complete || self.is_for_all;
        let written = if is_made_here { root } else { &own };
        Some(Stores::own(folder(&own, None)).with_shared(
            home.to_owned(),
            folder(root, Some(home)),
            folder(written, Some(home)),
        ))
    }

    /// Whether the crates that a session compiles are for all users.
    pub(crate) fn is_for_all(&self) -> bool {
        self.is_for_all
    }

    /// The library's sources.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// A folder with the standard library's sources, if the user has them.
    pub fn standard_library(&self) -> Option<&Path> {
        self.standard_library.as_deref()
    }

    /// Cargo's home, if it is not the user's own: used until a cell adds a dependency.
    pub fn cargo_home(&self) -> Option<&Path> {
        self.cargo_home.as_deref()
    }

    /// Why a library other than the shared one is used.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Whether everything has been compiled, so that cargo does not need the network.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Copies the compiled library into a session's folder.
    pub fn copy_to(&self, session: &Path) -> Result<()> {
        let share = match self.cargo_home {
            Some(_) => Share::Symlink,
            None => Share::HardLink,
        };
        copy_tree(&self.folder.join("target"), &session.join("target"), share)?;
        self.copy_lock_to(session)
    }

    /// Copies the lock file into a session's folder. (Cargo removes unused entries, and evcxr's
    /// first cell needs nothing, so the file must be copied again after that.)
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

impl Warm {
    /// Begins to build the library: returns the folder in which to do it.
    pub(crate) fn begin(&mut self, root: &Path) -> Result<PathBuf> {
        self.is_complete = false;
        cache::building(root)
    }

    /// Moves what a session has compiled, and what it stores for others, to its final path. The
    /// rest of `building` is removed.
    pub(crate) fn complete(&mut self, building: &Path, session: &Path, kept: &Path) -> Result<()> {
        let ready = building.join("ready");
        fs::create_dir(&ready)?;
        copy_tree(
            &session.join("target"),
            &ready.join("target"),
            Share::HardLink,
        )?;
        fs::rename(kept, ready.join(KEPT))?;
        fs::rename(session.join("Cargo.lock"), ready.join("Cargo.lock"))?;
        cache::put_in_place(&ready, &self.folder)?;
        self.is_complete = true;
        let _ = fs::remove_dir_all(building);
        Ok(())
    }
}
