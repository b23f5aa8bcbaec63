//! The kernel from a wheel, instead of one that a checkout would compile for minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::places;
use crate::python::Environment;
use crate::steps::Step;

/// The program in the wheel.
const PROGRAM: &str = "bin/forklore";

/// Unpacks a wheel into the folder `cache`, unless it is already there, and returns the path of its
/// program.
///
/// # Errors
///
/// If the wheel cannot be read, is for another machine, or contains no kernel, or if `cache` cannot
/// be written.
pub(crate) fn program(wheel: &Path, cache: &Path, environment: &Environment) -> Result<PathBuf> {
    let shown = wheel.display();
    let bytes = fs::read(wheel)
        .with_context(|| format!("cannot read the wheel {shown}; --wheel takes a file"))?;
    let key = places::key(Sha256::new_with_prefix(bytes));
    let folder = cache.join(format!("wheel-{key}"));
    if folder.join(PROGRAM).exists() {
        return Ok(folder.join(PROGRAM));
    }
    // The folder appears complete or not at all, because another command may look at the same
    // moment.
    let making = cache.join(format!("building-{}-wheel", std::process::id()));
    let step = Step::start(format!("The kernel from {shown}"));
    let installed = install(wheel, &making, environment).and_then(|()| {
        if !making.join(PROGRAM).exists() {
            bail!("there is no program `forklore` in {shown}: it is the wheel of something else");
        }
        match fs::rename(&making, &folder) {
            Err(_) if folder.join(PROGRAM).exists() => Ok(()),
            renamed => renamed.with_context(|| format!("cannot make {}", folder.display())),
        }
    });
    let _ = fs::remove_dir_all(&making);
    match &installed {
        Ok(()) => step.done(),
        Err(_) => step.failed(),
    }
    installed.map(|()| folder.join(PROGRAM))
}

fn install(wheel: &Path, folder: &Path, environment: &Environment) -> Result<()> {
    let output = environment
        .command("python")
        .args(["-m", "pip", "install", "--quiet", "--no-index", "--no-deps"])
        .args(["--ignore-installed", "--disable-pip-version-check"])
        .arg("--prefix")
        .arg(folder)
        .arg(wheel)
        .stdin(Stdio::null())
        .output()
        .context("cannot run pip")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{} cannot be installed: {}", wheel.display(), said.trim());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::{ensure_in, find_interpreter};

    /// Writes a wheel with one program of this name.
    const MAKE: &str = "import sys, zipfile\n\
        file, name = sys.argv[1:]\n\
        with zipfile.ZipFile(file, 'w') as wheel:\n    \
            info = 'small-1.0.dist-info/'\n    \
            script = zipfile.ZipInfo('small-1.0.data/scripts/' + name)\n    \
            script.external_attr = 0o100755 << 16\n    \
            wheel.writestr(script, '#!/bin/sh\\necho small\\n')\n    \
            wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\n')\n    \
            wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
            wheel.writestr(info + 'RECORD', '')\n";

    #[test]
    fn a_wheel_is_unpacked_once_and_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let requirements = folder.path().join("requirements.txt");
        fs::write(&requirements, "# nothing\n").unwrap();
        let environment = ensure_in(&cache, &find_interpreter().unwrap(), &requirements).unwrap();
        let wheel = |sub: &str, name: &str| {
            let file = folder.path().join(sub).join("small-1.0-py3-none-any.whl");
            fs::create_dir(folder.path().join(sub)).unwrap();
            let mut python = environment.command("python");
            let status = python.args(["-c", MAKE]).arg(&file).arg(name).status();
            assert!(status.unwrap().success());
            file
        };
        let ours = wheel("ours", "forklore");
        let found = program(&ours, &cache, &environment).unwrap();
        let said = std::process::Command::new(&found).output().unwrap().stdout;
        assert_eq!(said, b"small\n");
        // The second call finds the same file and does not unpack it again.
        fs::write(found.parent().unwrap().join("mine"), "").unwrap();
        assert_eq!(program(&ours, &cache, &environment).unwrap(), found);
        assert!(found.parent().unwrap().join("mine").exists());

        let nothing = folder.path().join("nothing.whl");
        for (file, part) in [
            (wheel("other", "other"), "something else"),
            (nothing, "cannot read the wheel"),
            (requirements, "cannot be installed"),
        ] {
            let error = program(&file, &cache, &environment).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(part), "{error}");
            assert!(error.contains(&file.display().to_string()), "{error}");
        }
        let left = fs::read_dir(&cache).unwrap().flatten();
        let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("building"));
        assert_eq!(left.count(), 0);
    }
}
