//! Slides of a lesson: a page with everything in it, reveal.js and the figures included.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::python::{self, Environment};
use crate::scripts::{self, Scripts};

/// Makes slides of a notebook, executed or not, and writes them to `page`. `lab/python/slides.py`
/// defines what becomes a slide.
///
/// # Errors
///
/// If reveal.js cannot be installed, the notebook cannot be read, or the page cannot be written.
pub fn make(environment: &Environment, notebook: &Path, page: &Path) -> Result<()> {
    let reveal = python::ensure_for(scripts::SLIDES)?
        .packages()?
        .join("sphinx_revealjs/_static/revealjs");
    if let Some(folder) = page.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    // Check here, for an error in one line: a script would print a traceback.
    std::fs::write(page, "").with_context(|| format!("cannot write {}", page.display()))?;
    let status = environment
        .command("python")
        .arg("-B")
        .arg(Scripts::unpack()?.path("slides.py"))
        .arg(notebook)
        .arg("--reveal")
        .arg(&reveal)
        .arg("--output")
        .arg(page)
        .stdin(Stdio::null())
        .status()
        .context("cannot run the script that makes slides")?;
    if !status.success() {
        bail!("no slides could be made of {}", notebook.display());
    }
    Ok(())
}
