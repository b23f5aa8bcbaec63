//! The browser that looks at pages and at JupyterLab in the tests: the system's Chromium, driven by
//! Playwright.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use forklore_lab::{find_program, places, python};

use crate::repository;

/// The names that Chromium goes by.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Finds Chromium: `$FORKLORE_CHROMIUM`, else on the `PATH`.
///
/// # Errors
///
/// When there is none; the message says how to install it.
pub fn chromium() -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("FORKLORE_CHROMIUM") {
        return Ok(PathBuf::from(chosen));
    }
    NAMES.iter().find_map(find_program).with_context(|| {
        format!(
            "no browser for the tests: none of {} is on the PATH\n      sudo apt-get install \
             --no-install-recommends chromium (or set FORKLORE_CHROMIUM to a program)",
            NAMES.join(", ")
        )
    })
}

/// Looks at pages: whether they load anything, whether everybody can use them, and whether slides
/// fit.
///
/// # Errors
///
/// When something is wrong with a page, which was said on stderr, or there is no browser.
pub fn look_at(pages: &[PathBuf]) -> Result<()> {
    run(script()?.arg("pages").args(pages))
}

/// Goes a learner's way through a lesson in JupyterLab, and leaves pictures of it in `shots`.
///
/// # Errors
///
/// When the way leads somewhere else, which was said on stderr, or there is no browser.
pub fn learn(address: &str, exercises: &Path, shots: &Path) -> Result<()> {
    std::fs::create_dir_all(shots)
        .with_context(|| format!("cannot make the folder {}", shots.display()))?;
    let mut command = script()?;
    command.arg("learner").arg(address);
    command.arg("--lesson").arg(exercises);
    run(command.arg("--shots").arg(shots))
}

/// Looks whether the number to change is on the screen in each prediction of a notebook in
/// JupyterLab, on a laptop beside the file browser and on a tablet, and leaves pictures in `shots`.
///
/// # Errors
///
/// When one is not, which was said on stderr, or there is no browser.
pub fn look_at_predictions(address: &str, shots: &Path) -> Result<()> {
    std::fs::create_dir_all(shots)
        .with_context(|| format!("cannot make the folder {}", shots.display()))?;
    let mut command = script()?;
    command.arg("predictions").arg(address);
    run(command.arg("--shots").arg(shots))
}

fn script() -> Result<Command> {
    let chromium = chromium()?;
    let requirements = repository().join("xtask/python/browser.txt");
    let interpreter = python::find_interpreter()?;
    let environment = python::ensure_in(&places::cache_folder()?, &interpreter, &requirements)?;
    let mut command = environment.command("python");
    command
        .arg("-B")
        .arg(repository().join("xtask/python/browser.py"))
        .arg("--chromium")
        .arg(chromium)
        .stdin(Stdio::null());
    Ok(command)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .context("cannot run the browser's script")?;
    if !status.success() {
        bail!("the browser found something wrong, said above");
    }
    Ok(())
}
