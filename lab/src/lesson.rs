//! The lessons of this checkout: finding one by its number, and running it without a browser.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::confine;
use crate::kernel::Kernel;
use crate::python::Environment;

/// A notebook of the course.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lesson {
    /// Its number, such as `06`.
    pub number: String,
    /// Its name without the ending, such as `06-serial-map-parallel-map`.
    pub name: String,
    /// The notebook.
    pub path: PathBuf,
}

impl Lesson {
    /// The file with the exercises' solutions and typical wrong answers. It is not beside the notebook: who works
    /// in that folder would find them before looking for them.
    pub fn exercises(&self) -> PathBuf {
        let answers = crate::repository().join("xtask/answers");
        answers.join(format!("{}-exercises.json", self.number))
    }
}

/// All lessons, in order.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn all() -> Result<Vec<Lesson>> {
    let folder = folder();
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot read the lessons in {}", folder.display()))?;
    let mut lessons: Vec<Lesson> = entries
        .filter_map(|entry| lesson(&entry.ok()?.path()))
        .collect();
    lessons.sort();
    Ok(lessons)
}

/// The folder that the lessons are in.
pub fn folder() -> PathBuf {
    crate::repository().join("lessons")
}

fn lesson(path: &Path) -> Option<Lesson> {
    let name = path.file_name()?.to_str()?.strip_suffix(".ipynb")?;
    let (number, _) = name.split_once('-')?;
    number
        .chars()
        .all(|digit| digit.is_ascii_digit())
        .then(|| Lesson {
            number: number.to_owned(),
            name: name.to_owned(),
            path: path.to_path_buf(),
        })
}

/// The lessons that are wanted, each as [`find`] finds it; `all` means all of them.
///
/// # Errors
///
/// When there is no such lesson.
pub fn find_all(wanted: &[String]) -> Result<Vec<Lesson>> {
    if wanted == ["all"] {
        return all();
    }
    wanted.iter().map(|wanted| find(wanted)).collect()
}

/// Finds a lesson by its number (`06` or `6`) or its name; a notebook that is not one of the
/// course's by its path.
///
/// # Errors
///
/// When there is none; the message names the ones there are.
pub fn find(wanted: &str) -> Result<Lesson> {
    let lessons = all()?;
    let stem = Path::new(wanted)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(wanted)
        .trim_end_matches(".ipynb");
    let matches = |lesson: &&Lesson| {
        lesson.name == stem
            || lesson.number == stem
            || stem
                .parse::<u32>()
                .is_ok_and(|number| lesson.number.parse() == Ok(number))
    };
    if let Some(lesson) = lessons.iter().find(matches) {
        return Ok(lesson.clone());
    }
    let path = Path::new(wanted);
    if path.is_file() && path.extension().is_some_and(|ending| ending == "ipynb") {
        return Ok(Lesson {
            number: stem.to_owned(),
            name: stem.to_owned(),
            path: std::path::absolute(path)?,
        });
    }
    let known: Vec<&str> = lessons.iter().map(|lesson| lesson.name.as_str()).collect();
    bail!("no lesson `{wanted}`; there are: {}", known.join(", "));
}

/// How a lesson is run.
#[derive(Debug, Clone)]
pub struct How {
    /// The kernelspec: `forklore`, or `rust-evcxr`, the stock one.
    pub kernel: String,
    /// Whether the exercises are tried too: unsolved, wrong and solved.
    pub prove: bool,
    /// The CPUs that it may use; none named means all of them.
    pub cpus: Vec<usize>,
    /// Whether it runs without a network, and not only without using one.
    pub offline: bool,
}

/// What a run leaves behind.
#[derive(Debug, Clone)]
pub struct Executed {
    /// The notebook with its outputs.
    pub notebook: PathBuf,
    /// The same as a page.
    pub page: PathBuf,
    /// How long it took.
    pub times: Times,
}

/// How long a run took, as the driver notes it in the notebook.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Times {
    /// All cells, without the kernel's start.
    pub seconds: f64,
    /// The cell that took longest.
    pub slowest: String,
    /// How long that took.
    pub slowest_seconds: f64,
    /// Cells that took over 10 s, and no text in front of them says that they take a while.
    pub unannounced: Vec<String>,
}

/// Reads how long a run took; nothing where it was not noted.
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
/// When a cell failed; which one and why was said on stderr. The two files are written anyway.
/// With `how.prove` also when an exercise is not answered as its file says.
pub fn run(
    environment: &Environment,
    kernel: &Kernel,
    lesson: &Lesson,
    how: &How,
    output: &Path,
) -> Result<Executed> {
    let kernel_name = how.kernel.as_str();
    if how.prove && !lesson.exercises().is_file() {
        bail!(
            "{} has no exercises to try: there is no {}",
            lesson.path.display(),
            lesson.exercises().display()
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
    let mut command = script(environment, kernel, how);
    if how.prove {
        command.arg("--prove").arg(lesson.exercises());
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
fn script(environment: &Environment, kernel: &Kernel, how: &How) -> Command {
    let mut command = environment.command("python");
    kernel.prepare(&mut command);
    command
        .arg("-B")
        .arg(crate::repository().join("lab/python/lesson.py"))
        // A lesson that runs by itself has learned nothing.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lesson_is_found_by_number_and_by_name() {
        let by_number = find("06").unwrap();
        assert_eq!(find("6").unwrap(), by_number);
        assert_eq!(find(&by_number.name).unwrap(), by_number);
        assert_eq!(
            find("lessons/06-serial-map-parallel-map.ipynb").unwrap(),
            by_number
        );
    }

    #[test]
    fn an_unknown_lesson_is_answered_with_the_known_ones() {
        let error = find("99").unwrap_err().to_string();
        assert!(
            error.contains("`99`") && error.contains("06-serial-map"),
            "{error}"
        );
    }
}
