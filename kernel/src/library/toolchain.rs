//! The compiler that evcxr uses, and the data that is made for it: the compiler's version is in the
//! name of everything in a cache.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use forklore_lab::find_program;

use crate::library::cache;
use crate::library::sources;
use crate::runtime;
use crate::sys::variables;

/// The file in a prelude's folder.
pub(crate) const PRELUDE: &str = "prelude.so";
/// Increased when the format of the cached data changes.
const FORMAT: u32 = 10;

/// The user's own cargo home. (Cargo sets the variable for the programs that it runs.)
pub(crate) fn own_cargo_home() -> Option<PathBuf> {
    let home = || Some(std::env::home_dir()?.join(".cargo"));
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(home)
}

/// Puts the programs that rustup has installed on the `PATH`, which otherwise only a shell's
/// profile does: Jupyter may have been started from a menu or by a service. Call it before there
/// are threads.
pub(crate) fn put_on_path() {
    let Some(bin) = own_cargo_home().map(|home| home.join("bin")) else {
        return;
    };
    if find_program("rustc").is_some() || !bin.join("rustc").exists() {
        return;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([bin]);
    if let Ok(path) = std::env::join_paths(folders) {
        variables::set("PATH", Some(&path));
    }
}

const NO_COMPILER: &str = "there is no Rust compiler: install Rust from https://rustup.rs, or put the folder of `rustc` on the PATH that Jupyter is started with";

/// A missing tool that compiling cells needs, and what to do.
pub(crate) fn missing_tool() -> Option<String> {
    let has = |name: &str| find_program(name).is_some();
    let message = if !has("rustc") && !has("rustup") {
        NO_COMPILER
    } else if !has("cargo") && !has("rustup") {
        "there is no `cargo` on the PATH, and cells are compiled with it: install Rust from https://rustup.rs, or the package `cargo` of this system"
    } else if !has("cc") && !has_own_linker() {
        "there is no `cc` on the PATH, and rustc links cells with it: install a C compiler, for example with `apt-get install gcc`"
    } else {
        return None;
    };
    Some(message.to_owned())
}

/// Whether the user may have configured another linker for cargo.
fn has_own_linker() -> bool {
    let is_set = |(name, _): (std::ffi::OsString, _)| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_TARGET_") && name.ends_with("_LINKER")
    };
    let is_configured = |home: PathBuf| {
        let text = fs::read_to_string(home.join("config.toml")).unwrap_or_default();
        text.contains("linker")
    };
    std::env::vars_os().any(is_set) || own_cargo_home().is_some_and(is_configured)
}

/// The first paragraph of a program's output, as one line: rustup may be installed without the
/// requested toolchain, and prints a backtrace of its own after its message.
fn in_a_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let paragraph = said.trim().split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
    lines.join("; ")
}

/// The compiler that evcxr uses.
#[derive(Clone)]
pub(crate) struct Compiler {
    rustc: PathBuf,
    version: String,
    sysroot: PathBuf,
}

impl Compiler {
    pub(crate) fn find() -> Result<Compiler> {
        let which = Command::new("rustup").args(["which", "rustc"]).output();
        let from_rustup = which.ok().filter(|output| output.status.success());
        let rustc = from_rustup.map_or_else(
            || find_program("rustc").unwrap_or_else(|| PathBuf::from("rustc")),
            |output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
        );
        let ask = |question: &[&str]| {
            let asked = Command::new(&rustc).args(question).output();
            let output = asked.context(NO_COMPILER)?;
            if !output.status.success() {
                bail!("`rustc` does not run: {}", in_a_line(&output.stderr));
            }
            anyhow::Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        // Each call takes as long as loading the compiler.
        let (version, sysroot) = std::thread::scope(|scope| {
            let version = scope.spawn(|| ask(&["-vV"]));
            let sysroot = ask(&["--print", "sysroot"]);
            (version.join(), sysroot)
        });
        let version = version.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(Compiler {
            version: version?,
            sysroot: PathBuf::from(sysroot?.trim()),
            rustc,
        })
    }

    pub(crate) fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// The compiler's explanation of the error with this code, if it has one.
    pub(crate) fn explanation(&self, number: &str) -> Option<String> {
        let asked = Command::new(&self.rustc)
            .args(["--explain", number])
            .output();
        let answered = asked.ok().filter(|output| output.status.success())?;
        let text = String::from_utf8_lossy(&answered.stdout).into_owned();
        (!text.trim().is_empty()).then_some(text)
    }

    /// A key that differs if cargo would not consider the library fresh.
    pub(crate) fn key(&self, cargo_home: Option<&Path>) -> String {
        let mut hasher = DefaultHasher::new();
        (FORMAT, &self.version).hash(&mut hasher);
        // evcxr uses these linkers if it finds them, which changes the flags.
        let path = std::env::var_os("PATH").unwrap_or_default();
        for linker in ["mold", "lld"] {
            std::env::split_paths(&path)
                .any(|folder| folder.join(linker).exists())
                .hash(&mut hasher);
        }
        // cargo identifies the sources of dependencies by their path.
        let cargo_home = cargo_home.map(Path::to_owned).or_else(own_cargo_home);
        cargo_home.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// The folder in a cache for the crates that cells have added, for this cargo home.
    pub(super) fn crates_folder(&self, root: &Path, cargo_home: Option<&Path>) -> PathBuf {
        root.join(format!("crates-{}", self.key(cargo_home)))
    }

    fn rust_src(&self) -> Option<PathBuf> {
        let rust_src = self.sysroot.join("lib/rustlib/src/rust/library");
        rust_src.join("core").exists().then_some(rust_src)
    }

    /// The folder in a cache with the part of the standard library's sources that rust-analyzer
    /// reads, if the user has them.
    pub(crate) fn standard_library_folder(&self, root: &Path) -> Option<PathBuf> {
        let mut hasher = DefaultHasher::new();
        (FORMAT, &self.version, &self.rust_src()?).hash(&mut hasher);
        Some(root.join(format!("std-{:016x}", hasher.finish())))
    }

    /// Creates that folder.
    pub(crate) fn link_standard_library(&self, root: &Path) -> Result<Option<PathBuf>> {
        let (Some(folder), Some(rust_src)) = (self.standard_library_folder(root), self.rust_src())
        else {
            return Ok(None);
        };
        if !folder.exists() {
            cache::make(root, &folder, |making| {
                Ok(sources::write(&rust_src, making)?)
            })?;
        }
        Ok(Some(folder))
    }

    pub(crate) fn prelude_folder(&self, root: &Path) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        // It is linked with a path to the toolchain's own libraries.
        (FORMAT, runtime::PRELUDE_SOURCE, &self.version, &self.rustc).hash(&mut hasher);
        root.join(format!("prelude-{:016x}", hasher.finish()))
    }

    /// The prelude's folder in a cache, which is made if it is missing.
    pub(crate) fn prelude_in(&self, root: &Path) -> Result<PathBuf> {
        let folder = self.prelude_folder(root);
        if !folder.join(PRELUDE).exists() {
            cache::make(root, &folder, |making| self.compile_prelude(making))?;
        }
        Ok(folder)
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
            .arg(folder.join(PRELUDE))
            .arg(folder.join("prelude.rs"))
            .output()?;
        if !output.status.success() {
            bail!(
                "the prelude does not compile: {}",
                in_a_line(&output.stderr)
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rustup_says_is_one_line() {
        let said = b"error: toolchain 'x' is not installed\nhelp: run `rustup toolchain install`\n\nStack backtrace:\n 0: main\n";
        assert_eq!(
            in_a_line(said),
            "error: toolchain 'x' is not installed; help: run `rustup toolchain install`"
        );
        assert_eq!(in_a_line(b""), "");
    }
}
