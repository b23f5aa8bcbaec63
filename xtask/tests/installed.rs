//! An installed program needs no checkout: files laid out as the wheel does it, and the repository
//! out of sight.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use forklore_lab::checkout;
use tempfile::TempDir;
use xtask::repository;

/// What a wheel's files become in an environment, and an empty folder to work in.
struct Installation {
    folder: TempDir,
}

impl Installation {
    fn new() -> Installation {
        let program = checkout::workbench(repository()).unwrap().kernel.program;
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("prefix/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy(program, bin.join("forklore")).unwrap();
        let data = repository().join("kernel/wheel/data");
        copy(&data, &folder.path().join("prefix"));
        fs::create_dir(folder.path().join("work")).unwrap();
        Installation { folder }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Runs `forklore lessons` where the repository is an empty folder, if this user may arrange
    /// that.
    fn lessons(&self, arguments: &[&str]) -> Output {
        const HIDE: &str = "mount -t tmpfs none \"$1\" && shift && exec \"$@\"";
        let program = self.folder.path().join("prefix/bin/forklore");
        let mut command = if can_hide() {
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "sh", "-c", HIDE, "sh"]);
            unshare.arg(repository()).arg(program);
            unshare
        } else {
            eprintln!(
                "  with the repository in sight: it takes more rights than there are here to hide it"
            );
            Command::new(program)
        };
        command
            .arg("lessons")
            .args(arguments)
            .current_dir(self.work())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

fn can_hide() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Copies a folder and what its links lead to.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

fn names(folder: &Path, ending: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}

/// The wheel takes its data from links, which a new lesson could be missing.
#[test]
fn the_wheel_has_every_lesson_the_glossary_and_the_answers() {
    let (lessons, data) = (
        repository().join("lessons"),
        repository().join("kernel/wheel/data/share/forklore/lessons"),
    );
    assert_eq!(names(&data, ".ipynb"), names(&lessons, ".ipynb"));
    let answers = names(&lessons.join("answers"), ".json");
    assert_eq!(names(&data.join("answers"), ".json"), answers);
    let same = |name: &OsStr| fs::read(data.join(name)).ok() == fs::read(lessons.join(name)).ok();
    for name in names(&lessons, ".ipynb").iter().map(OsStr::new) {
        assert!(same(name), "{}", name.display());
    }
    assert!(same(OsStr::new("glossary.md")));
}

#[test]
fn lessons_are_listed_checked_and_shown_without_the_repository() {
    let installation = Installation::new();
    let listed = installation.lessons(&["list"]);
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(
        listed.status.success() && text.contains("06  Serial map"),
        "{text}"
    );

    let unknown = installation.lessons(&["run", "99"]);
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(
        said.contains("`99`") && said.contains("share/forklore/lessons"),
        "{said}"
    );

    let checked = installation.lessons(&["check", "00"]);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    assert!(said.contains("00.1 solved"), "{said}");

    let shown = installation.lessons(&["slides", "06", "--no-run", "--output", "slides.html"]);
    let said = String::from_utf8_lossy(&shown.stderr);
    assert!(shown.status.success(), "{said}");

    let work = installation.work();
    assert_eq!(names(&work, ""), ["executed", "slides.html"]);
    let made = ["00-set-up-your-session.html", "glossary.html", "index.html"];
    assert_eq!(names(&work.join("executed"), ".html"), made);
}
