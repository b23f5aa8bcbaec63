//! The lessons run, on both kernels, and their exercises do what they promise.
//!
//! One at a time on all CPUs: a lesson measures. And two at once, each on a CPU of its own.
//! Wherever the network can be taken away from them, it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use forklore_lab::course::Lesson;
use forklore_lab::lesson::{self, Executed, How};
use forklore_lab::python::Environment;
use forklore_lab::workbench::Workbench;
use forklore_lab::{checkout, confine, pages, slides};
use xtask::{browser, course, repository};

static TURN: Mutex<()> = Mutex::new(());
static READY: OnceLock<Workbench> = OnceLock::new();

fn turn() -> (MutexGuard<'static, ()>, &'static Workbench) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let ready = READY.get_or_init(|| checkout::workbench(repository()).unwrap());
    (turn, ready)
}

/// How lessons run here: without a network, where one can be taken away.
fn how(kernel: &str, prove: bool) -> How {
    let offline = confine::can_take_network();
    if !offline {
        eprintln!("  with a network: it takes more rights than there are here to be without one");
    }
    How {
        kernel: kernel.into(),
        prove,
        cpus: vec![],
        offline,
    }
}

/// Runs lessons, as many at once as `n_places`; `cpus` says which CPUs a lesson may use in a place.
fn run(
    lessons: Vec<Lesson>,
    how: &How,
    n_places: usize,
    cpus: impl Fn(&Lesson, usize) -> Vec<usize> + Sync,
    output: &Path,
) {
    let (_turn, bench) = turn();
    let waiting = Mutex::new(lessons);
    let work = |place: usize| {
        let mut failed = Vec::new();
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(lesson) = next else { return failed };
            let cpus = cpus(&lesson, place);
            let how = How {
                cpus,
                ..how.clone()
            };
            match lesson::run(bench, &lesson, &how, output) {
                Ok(executed) => inspect(&lesson, &executed),
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
    };
    let work = &work;
    let failed: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..n_places)
            .map(|place| scope.spawn(move || work(place)))
            .collect();
        let failed = workers.into_iter().map(|worker| worker.join().unwrap());
        failed.flatten().collect()
    });
    assert!(failed.is_empty(), "see above: {failed:?}");
}

/// An executed lesson has no error in it, and its page shows figures and loads nothing.
fn inspect(lesson: &Lesson, executed: &Executed) {
    let name = &lesson.name;
    let notebook = fs::read_to_string(&executed.notebook).unwrap();
    assert!(!notebook.contains("\"output_type\": \"error\""), "{name}");
    let page = fs::read_to_string(&executed.page).unwrap();
    assert!(
        page.contains("<svg") && page.contains("Key points"),
        "{name}"
    );
    for loader in [
        "src=\"http",
        "<link rel=\"stylesheet\" href=\"http",
        "@import url(http",
    ] {
        assert!(
            !page.contains(loader),
            "{name}: the page loads something: {loader}"
        );
    }
}

/// On all CPUs. The exercises are tried on the way: unsolved, with each wrong answer, solved. Then
/// everybody must be able to use the pages, and slides.
#[test]
fn every_lesson_runs_on_our_kernel_and_its_exercises_do_what_they_say() {
    let output = tempfile::tempdir().unwrap();
    let lessons = course().lessons().unwrap();
    run(
        lessons,
        &how("forklore", true),
        1,
        |_, _| vec![],
        output.path(),
    );
    let (_turn, bench) = turn();
    look_at_pages(&bench.environment, output.path());
}

/// No page loads anything or shuts anybody out: those of the course, the one that leads to them,
/// and each lesson's slides.
fn look_at_pages(environment: &Environment, folder: &Path) {
    let lessons = course().lessons().unwrap();
    let file = |lesson: &Lesson, ending: &str| folder.join(format!("{}.{ending}", lesson.name));
    let mut pages: Vec<PathBuf> = lessons.iter().map(|lesson| file(lesson, "html")).collect();
    let index = pages::write_index(folder, &lessons, &pages).unwrap();
    pages.push(index);
    for lesson in &lessons {
        let deck = file(lesson, "slides.html");
        slides::make(environment, &file(lesson, "ipynb"), &deck).unwrap();
        pages.push(deck);
    }
    browser::look_at(&pages).unwrap();
}

/// The CPUs of two places, the first for one, the second for the other.
fn two_cpus() -> Vec<usize> {
    confine::allowed_cpus().into_iter().take(2).collect()
}

/// Each on one CPU, where nothing can be won, and the other busy: what a lesson asserts must hold
/// there too. The exercises stay unsolved.
#[test]
fn every_lesson_runs_on_one_cpu() {
    let cpus = two_cpus();
    let output = tempfile::tempdir().unwrap();
    let one = |_: &Lesson, place: usize| vec![cpus[place]];
    let lessons = course().lessons().unwrap();
    run(
        lessons,
        &how("forklore", false),
        cpus.len(),
        one,
        output.path(),
    );
}

/// Every third lesson, from the one that `FORKLORE_SEED` says (or the clock), so any three seeds in
/// a row cover the course.
fn a_third_of_the_lessons() -> Vec<Lesson> {
    let given = std::env::var("FORKLORE_SEED").ok();
    let seed = given.map_or_else(
        || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs()
        },
        |seed| seed.parse().expect("FORKLORE_SEED is a number"),
    );
    println!("a third of the lessons: FORKLORE_SEED={seed}");
    let lessons = course().lessons().unwrap().into_iter();
    lessons.skip((seed % 3) as usize).step_by(3).collect()
}

/// Two side by side: those with an odd number on one CPU each, the others on both. (All of them:
/// `cargo lab --run all --kernel rust-evcxr`, with `--cpus 1` on one CPU.)
#[test]
fn a_third_of_the_lessons_runs_on_the_stock_kernel() {
    let cpus = two_cpus();
    let output = tempfile::tempdir().unwrap();
    let some = |lesson: &Lesson, place: usize| {
        let is_odd = lesson.number.parse::<u32>().unwrap() % 2 == 1;
        if is_odd {
            vec![cpus[place]]
        } else {
            cpus.clone()
        }
    };
    let how = how("rust-evcxr", false);
    run(
        a_third_of_the_lessons(),
        &how,
        cpus.len(),
        some,
        output.path(),
    );
}

/// With a busy loop on every CPU nothing can be measured, and the lesson must say that and go on.
#[test]
fn a_lesson_under_load_says_nothing_wrong() {
    let (_turn, bench) = turn();
    let output = tempfile::tempdir().unwrap();
    let lesson = course().lesson_named("05").unwrap();
    let _load = confine::Load::start();
    let how = how("forklore", false);
    let executed = lesson::run(bench, &lesson, &how, output.path()).unwrap();
    inspect(&lesson, &executed);
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
