//! The lessons run, on both kernels, and their exercises do what they promise.
//!
//! One at a time: a lesson measures, and two that measure at once disturb each other.

use std::fs;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use xtask::kernel::{self, Kernel};
use xtask::lesson;
use xtask::python::{self, Environment};

static TURN: Mutex<()> = Mutex::new(());
static READY: OnceLock<(Environment, Kernel)> = OnceLock::new();

fn turn() -> (MutexGuard<'static, ()>, &'static (Environment, Kernel)) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let ready = READY.get_or_init(|| {
        let environment = python::ensure().unwrap();
        let kernel = kernel::ensure(&environment).unwrap();
        (environment, kernel)
    });
    (turn, ready)
}

fn all_run_on(kernel_name: &str) {
    let (_turn, (environment, kernel)) = turn();
    let output = tempfile::tempdir().unwrap();
    for lesson in lesson::all().unwrap() {
        let executed =
            lesson::run(environment, kernel, kernel_name, &lesson, output.path()).unwrap();
        let notebook = fs::read_to_string(executed.notebook).unwrap();
        assert!(
            !notebook.contains("\"output_type\": \"error\""),
            "{}",
            lesson.name
        );
        let page = fs::read_to_string(executed.page).unwrap();
        assert!(
            page.contains("<svg") && page.contains("Key points"),
            "{}",
            lesson.name
        );
        for loader in [
            "src=\"http",
            "<link rel=\"stylesheet\" href=\"http",
            "@import url(http",
        ] {
            assert!(
                !page.contains(loader),
                "{}: the page loads something: {loader}",
                lesson.name
            );
        }
    }
}

#[test]
fn every_lesson_runs_on_our_kernel() {
    all_run_on("forklore");
}

#[test]
fn every_lesson_runs_on_the_stock_kernel() {
    all_run_on("rust-evcxr");
}

#[test]
fn unsolved_fails_solved_passes_and_each_wrong_answer_has_its_message() {
    let (_turn, (environment, kernel)) = turn();
    for lesson in lesson::all().unwrap() {
        let status = lesson::prove(environment, kernel, "forklore", &lesson).unwrap();
        assert!(
            status.success(),
            "{}: see the complaints above",
            lesson.name
        );
    }
}

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("lab")
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_cell_that_fails_is_named_and_the_status_is_one() {
    let (_turn, _) = turn();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.ipynb");
    let cell = |id: &str, source: &str| {
        serde_json::json!({"cell_type": "code", "id": id, "metadata": {}, "source": source,
                           "execution_count": null, "outputs": []})
    };
    let cells = [
        cell("fine", "let x: u64 = 1;"),
        cell("broken", "assert_eq!(x, 2, \"one is not two\");"),
        cell("never", "println!(\"never run\");"),
    ];
    let notebook = serde_json::json!({"cells": cells, "metadata": {}, "nbformat": 4,
                                      "nbformat_minor": 5});
    fs::write(&path, notebook.to_string()).unwrap();

    for kernel_name in ["forklore", "rust-evcxr"] {
        let output = lab(&[
            "--run",
            path.to_str().unwrap(),
            "--kernel",
            kernel_name,
            "--output",
            folder.path().join("out").to_str().unwrap(),
        ]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("cell 2 of 3 (id broken) failed"), "{said}");
        assert!(said.contains("one is not two"), "{said}");
        assert!(said.contains("1 cells were not run"), "{said}");
    }
}

#[test]
fn an_unknown_lesson_is_refused_before_anything_is_built() {
    let output = lab(&["--run", "99"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("no lesson `99`") && said.contains("06-serial-map"),
        "{said}"
    );
    assert!(!said.contains("Kernel"), "{said}");
}
