//! The compiler that evcxr will use, and what is made for it: by its version, everything in a cache has its name.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::find_program;

use crate::cache;
use crate::runtime;
use crate::sources;

/// The file in a prelude's folder.
pub(crate) const PRELUDE: &str = "prelude.so";
/// Changes when what is kept changes its form.
const FORMAT: u32 = 10;

/// The user's own home of cargo. (Cargo sets the variable for what it runs.)
pub(crate) fn own_cargo_home() -> Option<PathBuf> {
    let home = || Some(std::env::home_dir()?.join(".cargo"));
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(home)
}

/// The compiler that evcxr will use.
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
            let output = Command::new(&rustc).args(question).output().context(
                "could not run rustc: install Rust from https://rustup.rs or put it on the PATH",
            )?;
            if !output.status.success() {
                // rustup's own words: it may be there without the toolchain that is asked for.
                let said = String::from_utf8_lossy(&output.stderr);
                bail!("rustc does not run: {}", said.trim());
            }
            anyhow::Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        Ok(Compiler {
            version: ask(&["-vV"])?,
            sysroot: PathBuf::from(ask(&["--print", "sysroot"])?.trim()),
            rustc,
        })
    }

    pub(crate) fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// Differs where cargo would not take the library for fresh.
    pub(crate) fn key(&self, cargo_home: Option<&Path>) -> String {
        let mut hasher = DefaultHasher::new();
        (FORMAT, &self.version).hash(&mut hasher);
        // evcxr uses these linkers where it finds them, which changes the flags.
        let path = std::env::var_os("PATH").unwrap_or_default();
        for linker in ["mold", "lld"] {
            std::env::split_paths(&path)
                .any(|folder| folder.join(linker).exists())
                .hash(&mut hasher);
        }
        // Sources of dependencies are known to cargo by their path.
        let cargo_home = cargo_home.map(Path::to_owned).or_else(own_cargo_home);
        cargo_home.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    fn rust_src(&self) -> Option<PathBuf> {
        let rust_src = self.sysroot.join("lib/rustlib/src/rust/library");
        rust_src.join("core").exists().then_some(rust_src)
    }

    /// Where a cache has what rust-analyzer shall read of the standard library's sources, if the user has them.
    pub(crate) fn standard_library_folder(&self, root: &Path) -> Option<PathBuf> {
        let mut hasher = DefaultHasher::new();
        (FORMAT, &self.version, &self.rust_src()?).hash(&mut hasher);
        Some(root.join(format!("std-{:016x}", hasher.finish())))
    }

    /// Makes that folder.
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

    /// The prelude's folder in a cache, made if it is missing.
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
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}
