//! `forklore lessons`: lists lessons, shows which exercises are solved, and runs, checks and
//! converts lessons.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::course::{About, Course, Lesson};
use crate::jupyterlab::{self, Place};
use crate::lesson::{Executed, How};
use crate::progress::{self, Record};
use crate::timetable::{FULL_DAY, HALF_DAY};
use crate::workbench::Workbench;
use crate::{edition, lesson, pages, slides};

/// The kernel that lessons are written for.
const OURS: &str = "forklore";

/// What can be done with the lessons of a checkout or an installation.
#[derive(Debug, Args)]
pub struct Lessons {
    /// The folder with the lessons
    /// [default: those of the checkout around this folder, else those that were installed]
    #[arg(long, value_name = "FOLDER", global = true)]
    folder: Option<PathBuf>,

    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Name the lessons, with the minutes and the cores that they need
    List,
    /// Open JupyterLab on a lesson (06, or 6, or its name), or on the first; installed lessons are
    /// copied to ./lessons before
    Open {
        /// The lesson
        lesson: Option<String>,
        /// Only print the address
        #[arg(long)]
        no_browser: bool,
    },
    /// Run lessons without a browser, each into a notebook and a page
    Run {
        /// The lessons (06, or 6, or its name; or all)
        #[arg(required = true)]
        lessons: Vec<String>,
        /// The kernel: `forklore`, or `rust-evcxr`, the stock one
        #[arg(long, default_value = OURS)]
        kernel: String,
        /// The folder for them [default: target/lab in a checkout, else ./executed]
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
    /// Run lessons and try their exercises: unsolved, with typical wrong answers, and solved
    Check {
        /// The lessons [default: all]
        lessons: Vec<String>,
        /// The folder for their notebooks and pages
        /// [default: target/lab in a checkout, else ./executed]
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
    /// Say which exercises you have solved
    Status,
    /// Forget what you have solved, of one lesson or of all; the old file is kept beside the new
    Reset {
        /// The lesson [default: all]
        lesson: Option<String>,
    },
    /// Make a timetable for a half day and a full day
    Timetable {
        /// Only the half day
        #[arg(long, conflicts_with = "full_day")]
        half_day: bool,
        /// Only the full day
        #[arg(long)]
        full_day: bool,
    },
    /// Write the lessons for learners into a folder: without solutions and instructor's notes; or
    /// bring such a folder up to date, where what a learner has written stays
    Learner {
        /// The folder
        to: PathBuf,
        /// The lessons whose solutions are added (06, or 6, or its name; or all)
        #[arg(long, value_name = "LESSON")]
        solutions: Vec<String>,
        /// Add the solutions of the exercises that you have solved
        #[arg(long)]
        solved: bool,
    },
    /// Make slides of a lesson, as one page that needs no network; key S shows the speaker's notes
    Slides {
        /// The lesson
        lesson: String,
        /// Take the notebook as it is, without running it first: the slides have no outputs
        #[arg(long)]
        no_run: bool,
        /// The page [default: NAME.slides.html in target/lab in a checkout, else in ./executed]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Run the whole course and write it as pages that need no network
    Html {
        /// The folder for them [default: target/lab/course in a checkout, else ./executed/course]
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
}

/// Runs the command.
///
/// # Errors
///
/// If there are no lessons, one is unknown, something is missing on this machine, or a cell or an
/// exercise failed.
pub fn run(options: &Lessons) -> Result<()> {
    let course = Course::find(options.folder.as_deref())?;
    match &options.command {
        Action::List => list(&course),
        Action::Open { lesson, no_browser } => open(&course, lesson.as_deref(), *no_browser),
        Action::Run {
            lessons,
            kernel,
            output,
        } => {
            let lessons = course.lessons_named(lessons)?;
            let output = output.clone().unwrap_or_else(|| course.output());
            execute(&course, &lessons, &how(&course, kernel, false)?, &output).map(drop)
        }
        Action::Check { lessons, output } => {
            let lessons = match &lessons[..] {
                [] => course.lessons()?,
                lessons => course.lessons_named(lessons)?,
            };
            let output = output.clone().unwrap_or_else(|| course.output());
            execute(&course, &lessons, &how(&course, OURS, true)?, &output).map(drop)
        }
        Action::Status => status(&course),
        Action::Reset { lesson } => reset(&course, lesson.as_deref()),
        Action::Timetable { half_day, full_day } => print_timetables(&course, !full_day, !half_day),
        Action::Slides {
            lesson,
            no_run,
            output,
        } => {
            let lesson = course.lesson_named(lesson)?;
            make_slides(&course, &lesson, *no_run, output.as_deref())
        }
        Action::Learner {
            to,
            solutions,
            solved,
        } => write_edition(&course, to, solutions, *solved),
        Action::Html { output } => html(&course, output.as_deref()),
    }
}

fn list(course: &Course) -> Result<()> {
    let mut text = String::new();
    for lesson in course.lessons()? {
        let About {
            title,
            minutes,
            needs,
        } = lesson.about()?;
        let cores = if needs.cores == 1 { "core" } else { "cores" };
        writeln!(
            text,
            "{}  {title}  ({minutes} minutes, {} {cores})",
            lesson.number, needs.cores
        )?;
    }
    print(&text)
}

/// Writes to stdout. It ignores a reader that closes the pipe early, as `head` does.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Opens JupyterLab on a lesson, or on the first.
fn open(course: &Course, wanted: Option<&str>, no_browser: bool) -> Result<()> {
    let lesson = match wanted {
        Some(wanted) => Some(course.lesson_named(wanted)?),
        None => course.lessons()?.into_iter().next(),
    };
    let port = jupyterlab::free_port(None)?;
    let bench = Workbench::of_this_program()?;
    let folder = if course.is_installed() {
        copy_to_write_in(course, Path::new("lessons"))?
    } else {
        course.folder().to_path_buf()
    };
    let first = lesson.map(|lesson| format!("{}.ipynb", lesson.name));
    let place = Place {
        folder,
        first,
        port,
        no_browser,
    };
    jupyterlab::serve(&bench, &place)
}

/// Copies the notebooks and the files that they link to into the learner's folder. It does not
/// overwrite existing notebooks.
fn copy_to_write_in(course: &Course, folder: &Path) -> Result<PathBuf> {
    let cannot = || format!("cannot copy the lessons to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let mut n_copied = 0;
    for entry in std::fs::read_dir(course.folder())? {
        let from = entry?.path();
        let to = folder.join(from.file_name().unwrap_or_default());
        let is_read = [".ipynb", ".md"]
            .iter()
            .any(|ending| from.to_string_lossy().ends_with(ending));
        if is_read && !to.exists() {
            // Not `fs::copy`, which would copy the read-only permission of an installed file.
            let bytes = std::fs::read(&from).with_context(cannot)?;
            std::fs::write(&to, bytes).with_context(cannot)?;
            n_copied += 1;
        }
    }
    let folder = folder.canonicalize().with_context(cannot)?;
    match n_copied {
        0 => eprintln!("  Your copy of the lessons is in {}", folder.display()),
        _ => eprintln!(
            "  Copied the lessons to {}: write in them",
            folder.display()
        ),
    }
    Ok(folder)
}

/// The settings for running lessons.
fn how(course: &Course, kernel: &str, prove: bool) -> Result<How> {
    if ![OURS, "rust-evcxr"].contains(&kernel) {
        bail!("no kernel `{kernel}`: there are `{OURS}`, and `rust-evcxr`, the stock one");
    }
    if kernel != OURS && course.checkout().is_none() {
        bail!(
            "the kernel `{kernel}` compiles the library from its sources in every session, and only a checkout has them"
        );
    }
    Ok(How {
        kernel: kernel.to_owned(),
        prove,
        cpus: vec![],
        offline: false,
    })
}

/// Runs all lessons, even if some fail, and returns what they left behind.
fn execute(course: &Course, lessons: &[Lesson], how: &How, output: &Path) -> Result<Vec<Executed>> {
    // Once for all lessons, before the first one runs.
    std::fs::create_dir_all(output).with_context(|| {
        format!(
            "cannot make the folder {}; name another with --output FOLDER",
            output.display()
        )
    })?;
    let bench = Workbench::of_this_program()?;
    let (mut executed, mut failed) = (Vec::new(), Vec::new());
    for lesson in lessons {
        match lesson::run(&bench, lesson, how, output) {
            Ok(files) => {
                println!("{}", files.page.display());
                executed.push(files);
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    pages::lead_to_each_other(output, &course.lessons()?)?;
    if failed.is_empty() {
        Ok(executed)
    } else {
        bail!("{}", failed.join("; "))
    }
}

fn status(course: &Course) -> Result<()> {
    let place = progress::place();
    let records = match &place {
        Some(path) => progress::read(path)?,
        None => BTreeMap::new(),
    };
    let (mut n_solved, mut n_exercises) = (0, 0);
    let mut text = String::new();
    for lesson in course.lessons()? {
        let ids = lesson.exercise_ids()?;
        let solved = |id: &&String| records.get(*id).is_some_and(|record| record.is_solved);
        n_solved += ids.iter().filter(solved).count();
        n_exercises += ids.len();
        writeln!(text, "{}", line(&lesson.about()?.title, &ids, &records))?;
    }
    writeln!(text, "\n{n_solved} of {n_exercises} exercises solved")?;
    match place {
        Some(path) => writeln!(text, "(kept in {})", path.display())?,
        None => writeln!(
            text,
            "(nothing is kept: FORKLORE_PROGRESS is empty, or there is no home folder)"
        )?,
    }
    print(&text)
}

/// A lesson's title and each exercise with a sign and a word.
fn line(title: &str, ids: &[String], records: &BTreeMap<String, Record>) -> String {
    let mut text = String::from(title);
    for id in ids {
        let record = records.get(id).copied().unwrap_or_default();
        let said = match record {
            Record {
                is_solved: true, ..
            } => "✓ solved".to_owned(),
            Record { n_tried: 0, .. } => "○ open".to_owned(),
            Record { n_tried: 1, .. } => "○ tried once".to_owned(),
            Record { n_tried, .. } => format!("○ tried {n_tried} times"),
        };
        let _ = write!(text, "\n  {id}  {said}");
    }
    text
}

fn reset(course: &Course, wanted: Option<&str>) -> Result<()> {
    let lesson = wanted
        .map(|wanted| course.lesson_named(wanted))
        .transpose()?;
    let number = lesson.as_ref().map(|lesson| lesson.number.as_str());
    let Some(path) = progress::place().filter(|path| path.exists()) else {
        println!("Nothing was solved yet.");
        return Ok(());
    };
    let old = progress::reset(&path, number)?;
    match number {
        Some(number) => println!("Lesson {number} is as new."),
        None => println!("All lessons are as new."),
    }
    println!("What was there is in {}", old.display());
    Ok(())
}

fn print_timetables(course: &Course, half: bool, full: bool) -> Result<()> {
    let mut days = Vec::new();
    if half {
        days.push(format!("Half a day:\n\n{}", course.timetable(&HALF_DAY)?));
    }
    if full {
        days.push(format!("A full day:\n\n{}", course.timetable(&FULL_DAY)?));
    }
    print(&days.join("\n"))
}

fn write_edition(course: &Course, to: &Path, solutions: &[String], solved: bool) -> Result<()> {
    let lessons = course.lessons_named(solutions)?;
    let records = match progress::place().filter(|_| solved) {
        Some(path) => progress::read(&path)?,
        None => BTreeMap::new(),
    };
    let has_solution = |exercise: &str| {
        let is_published = |lesson: &Lesson| exercise.split('.').next() == Some(&lesson.number);
        lessons.iter().any(is_published)
            || records.get(exercise).is_some_and(|record| record.is_solved)
    };
    let report = edition::write(course, to, &has_solution)?;
    for remark in &report.remarks {
        eprintln!("  {remark}");
    }
    println!(
        "{}: {} files are new, {} notebooks are up to date",
        to.display(),
        report.n_new,
        report.n_updated
    );
    Ok(())
}

fn make_slides(course: &Course, lesson: &Lesson, no_run: bool, page: Option<&Path>) -> Result<()> {
    let output = course.output();
    let notebook = if no_run {
        lesson.path.clone()
    } else {
        let how = how(course, OURS, false)?;
        let executed = execute(course, std::slice::from_ref(lesson), &how, &output)?;
        let [executed] = &executed[..] else {
            bail!("lesson {} was not run", lesson.number);
        };
        executed.notebook.clone()
    };
    let default = || output.join(format!("{}.slides.html", lesson.name));
    let page = page.map_or_else(default, Path::to_path_buf);
    slides::make(&Workbench::python()?, &notebook, &page)?;
    println!("{}", page.display());
    Ok(())
}

fn html(course: &Course, folder: Option<&Path>) -> Result<()> {
    let folder = folder.map_or_else(|| course.output().join("course"), Path::to_path_buf);
    execute(
        course,
        &course.lessons()?,
        &how(course, OURS, false)?,
        &folder,
    )?;
    println!("{}", folder.join(pages::INDEX).display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exercise_has_a_word() {
        let ids: Vec<String> = ["06.1", "06.2", "06.3"].map(String::from).into();
        let record = |n_tried, is_solved| Record { n_tried, is_solved };
        let records = BTreeMap::from([
            ("06.1".to_owned(), record(2, true)),
            ("06.2".to_owned(), record(3, false)),
        ]);
        assert_eq!(
            line("Maps", &ids, &records),
            "Maps\n  06.1  ✓ solved\n  06.2  ○ tried 3 times\n  06.3  ○ open"
        );
    }

    #[test]
    fn a_learners_copy_keeps_what_was_written_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let (installed, copy) = (folder.path().join("installed"), folder.path().join("copy"));
        std::fs::create_dir_all(installed.join("answers")).unwrap();
        for name in ["00-a.ipynb", "01-b.ipynb", "glossary.md"] {
            std::fs::write(installed.join(name), "new").unwrap();
        }
        std::fs::create_dir_all(&copy).unwrap();
        std::fs::write(copy.join("00-a.ipynb"), "mine").unwrap();
        let course = Course::in_folder(&installed).unwrap();
        let copy = copy_to_write_in(&course, &copy).unwrap();
        let read = |name: &str| std::fs::read_to_string(copy.join(name)).unwrap();
        assert_eq!(
            [read("00-a.ipynb"), read("01-b.ipynb"), read("glossary.md")],
            ["mine", "new", "new"]
        );
        assert!(!copy.join("answers").exists());
    }

    #[test]
    fn kernels_that_cannot_run_a_lesson_here_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("00-a.ipynb"), "").unwrap();
        let course = Course::in_folder(folder.path()).unwrap();
        for kernel in ["python3", "rust-evcxr"] {
            let error = how(&course, kernel, false).unwrap_err().to_string();
            assert!(error.contains(kernel), "{error}");
        }
        assert!(how(&course, OURS, false).is_ok());
    }
}
