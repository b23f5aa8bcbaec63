//! Runs a lesson without a browser, into a notebook and a page.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::confine;
use crate::course::Lesson;
use crate::workbench::Workbench;

/// The settings for running a lesson.
#[derive(Debug, Clone)]
pub struct How {
    /// The kernelspec: `forklore`, or `rust-evcxr`, the stock one.
    pub kernel: String,
    /// Whether to try the exercises too: unsolved, wrong and solved.
    pub prove: bool,
    /// The CPUs that it may use; an empty list means all.
    pub cpus: Vec<usize>,
    /// Whether to remove the network, not only avoid it.
    pub offline: bool,
}

/// The results of a run.
#[derive(Debug, Clone)]
pub struct Executed {
    /// The notebook with its outputs.
    pub notebook: PathBuf,
    /// The same as a page.
    pub page: PathBuf,
    /// How long it took.
    pub times: Times,
}

/// How long a run took, as the driver records it in the notebook.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Times {
    /// All cells, without the kernel's start.
    pub seconds: f64,
    /// The cell that took longest.
    pub slowest: String,
    /// How long that cell took.
    pub slowest_seconds: f64,
    /// Cells that took over 10 s although no text before them announces that.
    pub unannounced: Vec<String>,
}

/// Reads how long a run took; zero if it was not recorded.
fn times(notebook: &Path) -> Times {
    #[derive(Deserialize)]
    struct Notebook {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        forklore_run: Times,
    }
    let text = std::fs::read_to_string(notebook).unwrap_or_default();
    let notebook = serde_json::from_str::<Notebook>(&text);
    notebook.map_or_else(|_| Times::default(), |it| it.metadata.forklore_run)
}

/// Runs a lesson from its first cell to its last on the kernelspec `kernel_name`, with its
/// progress on stderr, and writes the executed notebook and its page into `output`.
///
/// # Errors
///
/// If a cell failed; stderr has shown which one and why. Both files are written anyway. With
/// `how.prove`, also if a judge's verdict on an exercise differs from its file.
pub fn run(bench: &Workbench, lesson: &Lesson, how: &How, output: &Path) -> Result<Executed> {
    let kernel_name = how.kernel.as_str();
    if how.prove && !lesson.exercises.is_file() {
        bail!(
            "{} has no exercises to try: there is no {}",
            lesson.path.display(),
            lesson.exercises.display()
        );
    }
    std::fs::create_dir_all(output)
        .with_context(|| format!("cannot make the folder {}", output.display()))?;
    let suffix = if kernel_name == "forklore" {
        String::new()
    } else {
        format!(".{kernel_name}")
    };
    let notebook = output.join(format!("{}{suffix}.ipynb", lesson.name));
    let page = output.join(format!("{}{suffix}.html", lesson.name));
    let mut command = script(bench, how);
    if how.prove {
        command.arg("--prove").arg(&lesson.exercises);
    }
    let status = command
        .arg(&lesson.path)
        .args(["--kernel", kernel_name])
        .arg("--notebook")
        .arg(&notebook)
        .arg("--page")
        .arg(&page)
        .status()
        .context("cannot run the lesson's driver")?;
    if !status.success() {
        bail!(
            "lesson {} failed on the kernel `{kernel_name}`",
            lesson.number
        );
    }
    Ok(Executed {
        times: times(&notebook),
        notebook,
        page,
    })
}

/// The driver, with what it may use.
fn script(bench: &Workbench, how: &How) -> Command {
    let mut command = bench.environment.command("python");
    bench.kernel.prepare(&mut command);
    command
        .arg("-B")
        .arg(bench.scripts.path("lesson.py"))
        // A lesson that runs by itself records no progress.
        .env("FORKLORE_PROGRESS", "")
        .stdin(Stdio::null());
    if !how.cpus.is_empty() {
        confine::pin(&mut command, how.cpus.clone());
    }
    if how.offline {
        confine::take_network(&mut command);
        command.arg("--offline");
    }
    command
}
