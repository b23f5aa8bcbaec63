//! A learner's way through a lesson, in a real browser: JupyterLab, a prediction, all cells, an
//! exercise that is not solved and then is, and what `forklore lessons status` says of it.
//!
//! Pictures of it are left in `target/tmp/learner`.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use forklore_lab::checkout;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use xtask::{browser, course, repository};

/// JupyterLab on a copy of the lessons: what a learner does is saved in them.
struct Lab {
    program: Child,
    address: String,
}

impl Lab {
    fn open(lessons: &Path, settings: &Path, progress: &Path) -> Lab {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(["lab", "--no-browser", "--folder"])
            .arg(lessons)
            .env("FORKLORE_PROGRESS", progress)
            .env("JUPYTERLAB_SETTINGS_DIR", settings.join("settings"))
            .env("JUPYTERLAB_WORKSPACES_DIR", settings.join("workspaces"));
        let (program, address) = common::open_lab(&mut command);
        Lab { program, address }
    }

    /// The address of a notebook, made from that of the first lesson.
    fn address_of(&self, name: &str) -> String {
        let (server, token) = self.address.split_once("?token=").unwrap();
        let (server, _) = server.split_once("/lab").unwrap();
        // `reset`: nothing is opened again that was open at another time.
        format!("{server}/lab/tree/{name}.ipynb?reset&token={token}")
    }
}

/// Also a test that fails leaves no server behind.
impl Drop for Lab {
    fn drop(&mut self) {
        let pid = i32::try_from(self.program.id()).unwrap();
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        let _ = self.program.wait();
    }
}

/// All cells are to be in the page at once, also those that cannot be seen.
fn write_settings(folder: &Path) {
    let place = folder.join("settings/@jupyterlab/notebook-extension");
    fs::create_dir_all(&place).unwrap();
    let text = "{\"windowingMode\": \"none\"}";
    fs::write(place.join("tracker.jupyterlab-settings"), text).unwrap();
}

/// The notebook with all cells of the course that ask for a prediction.
const PREDICTIONS: &str = "predictions";

/// One notebook to open instead of twelve.
fn write_predictions(path: &Path) {
    let mut cells = Vec::new();
    for lesson in course().lessons().unwrap() {
        let text = fs::read_to_string(&lesson.path).unwrap();
        let notebook: Value = serde_json::from_str(&text).unwrap();
        let asking = notebook["cells"].as_array().unwrap().iter().filter(|cell| {
            cell["cell_type"] == "code" && cell["source"].to_string().contains("predict(")
        });
        let first = cells.len();
        cells.extend(asking.cloned());
        assert!(cells.len() > first, "{} asks for nothing", lesson.name);
        for (index, cell) in cells.iter_mut().enumerate().skip(first) {
            cell["id"] = format!("cell-{index}").into();
        }
    }
    let notebook = json!({"cells": cells, "nbformat": 4, "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "forklore", "display_name": "Rust", "language": "rust"}}});
    fs::write(path, notebook.to_string()).unwrap();
}

#[test]
fn a_learner_predicts_measures_fails_and_solves() {
    let bench = checkout::workbench(repository()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lesson = course().lesson_named("06").unwrap();
    let copy = folder.path().join("lessons");
    fs::create_dir_all(&copy).unwrap();
    fs::copy(&lesson.path, copy.join(lesson.path.file_name().unwrap())).unwrap();
    write_settings(folder.path());
    let progress = folder.path().join("progress.tsv");
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("learner");

    write_predictions(&copy.join(format!("{PREDICTIONS}.ipynb")));

    let lab = Lab::open(&copy, folder.path(), &progress);
    browser::look_at_predictions(&lab.address_of(PREDICTIONS), &shots).unwrap();
    browser::learn(&lab.address_of(&lesson.name), &lesson.exercises, &shots).unwrap();
    drop(lab);

    let status = Command::new(&bench.kernel.program)
        .args(["lessons", "status"])
        .env("FORKLORE_PROGRESS", &progress)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&status.stdout);
    assert!(said.contains("06.1  ✓ solved"), "{said}");
    // Running an untouched starter is no try.
    assert!(said.contains("06.2  ○ open"), "{said}");
    assert!(said.contains("07.1  ○ open"), "{said}");
}
