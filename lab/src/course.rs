//! `forklore lessons`: what there is, what was solved, and everything that can be done with a lesson.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde::Deserialize;

use crate::lesson::{self, How, Lesson};
pub use crate::pages::write_index;
use crate::progress::{self, Record};
use crate::timetable::{FULL_DAY, HALF_DAY, timetable};
use crate::{lab, pages, python, slides};

/// What can be done with the lessons of this checkout.
#[derive(Debug, Subcommand)]
pub enum Lessons {
    /// Name the lessons, with the minutes and the cores that they need
    List,
    /// Open JupyterLab on a lesson (06, or 6, or its name), or on the first
    Open {
        /// The lesson
        lesson: Option<String>,
        /// Only print the address
        #[arg(long)]
        no_browser: bool,
    },
    /// Run lessons without a browser, each into a notebook and a page in target/lab
    Run {
        /// The lessons
        #[arg(required = true)]
        lessons: Vec<String>,
        /// The kernel: `forklore`, or `rust-evcxr`, the stock one
        #[arg(long, default_value = "forklore")]
        kernel: String,
    },
    /// Run lessons and try their exercises: unsolved, with typical wrong answers, and solved
    Check {
        /// The lessons [default: all]
        lessons: Vec<String>,
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
    /// Make slides of a lesson, as one page that needs no network; key S shows the speaker's notes
    Slides {
        /// The lesson
        lesson: String,
        /// Take the notebook as it is, without running it first: the slides have no outputs
        #[arg(long)]
        no_run: bool,
        /// The page [default: NAME.slides.html in target/lab]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Run the whole course and write it as pages that need no network
    Html {
        /// The folder for them [default: target/lab/course]
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
}

/// Does what is asked.
///
/// # Errors
///
/// When a lesson is unknown, something is missing on this machine, or a cell or an exercise failed.
pub fn run(command: &Lessons) -> Result<()> {
    match command {
        Lessons::List => list(),
        Lessons::Open { lesson, no_browser } => {
            let wanted = lesson.as_deref().map(lesson::find).transpose()?;
            lab::open_on(wanted.as_ref(), *no_browser)
        }
        Lessons::Run { lessons, kernel } => {
            execute(&lesson::find_all(lessons)?, kernel, false).map(drop)
        }
        Lessons::Check { lessons } if lessons.is_empty() => {
            execute(&lesson::all()?, "forklore", true).map(drop)
        }
        Lessons::Check { lessons } => {
            execute(&lesson::find_all(lessons)?, "forklore", true).map(drop)
        }
        Lessons::Status => status(),
        Lessons::Reset { lesson } => reset(lesson.as_deref()),
        Lessons::Timetable { half_day, full_day } => print_timetables(!full_day, !half_day),
        Lessons::Slides {
            lesson,
            no_run,
            output,
        } => make_slides(&lesson::find(lesson)?, *no_run, output.as_deref()),
        Lessons::Html { output } => html(output.as_deref()),
    }
}

/// What a notebook says about its lesson.
#[derive(Debug, Clone, Deserialize)]
pub struct About {
    /// Its title, without the number.
    pub title: String,
    /// How long it takes a learner.
    pub minutes: u32,
    /// What it needs of the machine.
    pub needs: Needs,
}

/// What a lesson needs of the machine.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Needs {
    /// Cores, to see what it is about.
    pub cores: u32,
    /// Memory in megabytes.
    pub memory_mb: u32,
}

/// Reads what a notebook says about its lesson.
///
/// # Errors
///
/// When it cannot be read, or says nothing.
pub fn about(lesson: &Lesson) -> Result<About> {
    #[derive(Deserialize)]
    struct Notebook {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        forklore: About,
    }
    let text = std::fs::read_to_string(&lesson.path)
        .with_context(|| format!("cannot read {}", lesson.path.display()))?;
    let notebook: Notebook = serde_json::from_str(&text)
        .with_context(|| format!("{} does not say what lesson it is", lesson.path.display()))?;
    Ok(notebook.metadata.forklore)
}

fn list() -> Result<()> {
    let mut text = String::new();
    for lesson in lesson::all()? {
        let About {
            title,
            minutes,
            needs,
        } = about(&lesson)?;
        let cores = if needs.cores == 1 { "core" } else { "cores" };
        writeln!(
            text,
            "{}  {title}  ({minutes} minutes, {} {cores})",
            lesson.number, needs.cores
        )?;
    }
    print(&text)
}

/// Writes to stdout. Whoever reads it may have seen enough, as `head` has after some lines.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Runs lessons, all of them even if some fail, and answers with the pages.
fn execute(lessons: &[Lesson], kernel_name: &str, prove: bool) -> Result<Vec<lesson::Executed>> {
    execute_into(lessons, kernel_name, prove, &crate::lab_folder())
}

fn execute_into(
    lessons: &[Lesson],
    kernel_name: &str,
    prove: bool,
    output: &Path,
) -> Result<Vec<lesson::Executed>> {
    lab::require()?;
    // Before the first lesson is run, and once for all of them.
    std::fs::create_dir_all(output)
        .with_context(|| format!("cannot make the folder {}", output.display()))?;
    let environment = python::ensure()?;
    let kernel = crate::kernel::ensure(&environment)?;
    let how = How {
        kernel: kernel_name.to_owned(),
        prove,
        cpus: vec![],
        offline: false,
    };
    let (mut executed, mut failed) = (Vec::new(), Vec::new());
    for lesson in lessons {
        match lesson::run(&environment, &kernel, lesson, &how, output) {
            Ok(files) => {
                println!("{}", files.page.display());
                executed.push(files);
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    pages::lead_to_each_other(output, &lesson::all()?)?;
    if failed.is_empty() {
        Ok(executed)
    } else {
        bail!("{}", failed.join("; "))
    }
}

/// The ids of a lesson's exercises, in order.
fn exercises(lesson: &Lesson) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct File {
        exercises: Vec<Exercise>,
    }
    #[derive(Deserialize)]
    struct Exercise {
        id: String,
    }
    let path = lesson.exercises();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read the exercises in {}", path.display()))?;
    let file: File = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a list of exercises", path.display()))?;
    Ok(file
        .exercises
        .into_iter()
        .map(|exercise| exercise.id)
        .collect())
}

fn status() -> Result<()> {
    let place = progress::place();
    let records = match &place {
        Some(path) => progress::read(path)?,
        None => BTreeMap::new(),
    };
    let (mut n_solved, mut n_exercises) = (0, 0);
    let mut text = String::new();
    for lesson in lesson::all()? {
        let ids = exercises(&lesson)?;
        let solved = |id: &&String| records.get(*id).is_some_and(|record| record.is_solved);
        n_solved += ids.iter().filter(solved).count();
        n_exercises += ids.len();
        writeln!(text, "{}", line(&about(&lesson)?.title, &ids, &records))?;
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

fn reset(wanted: Option<&str>) -> Result<()> {
    let lesson = wanted.map(lesson::find).transpose()?;
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

/// The timetable of the lessons with these numbers.
///
/// # Errors
///
/// When there is no such lesson.
pub fn timetable_of(numbers: &[&str]) -> Result<String> {
    let lessons: Vec<(String, About)> = numbers
        .iter()
        .map(|number| {
            let lesson = lesson::find(number)?;
            let about = about(&lesson)?;
            Ok((lesson.number, about))
        })
        .collect::<Result<_>>()?;
    Ok(timetable(lessons.iter().map(|(number, about)| {
        (number.as_str(), about.title.as_str(), about.minutes)
    })))
}

fn print_timetables(half: bool, full: bool) -> Result<()> {
    let mut days = Vec::new();
    if half {
        days.push(format!("Half a day:\n\n{}", timetable_of(&HALF_DAY)?));
    }
    if full {
        days.push(format!("A full day:\n\n{}", timetable_of(&FULL_DAY)?));
    }
    print(&days.join("\n"))
}

fn make_slides(lesson: &Lesson, no_run: bool, output: Option<&Path>) -> Result<()> {
    let notebook = if no_run {
        lesson.path.clone()
    } else {
        let executed = execute(std::slice::from_ref(lesson), "forklore", false)?;
        let [executed] = &executed[..] else {
            bail!("lesson {} was not run", lesson.number);
        };
        executed.notebook.clone()
    };
    let default = || crate::lab_folder().join(format!("{}.slides.html", lesson.name));
    let page = output.map_or_else(default, Path::to_path_buf);
    slides::make(&python::ensure()?, &notebook, &page)?;
    println!("{}", page.display());
    Ok(())
}

fn html(output: Option<&Path>) -> Result<()> {
    let folder = output.map_or_else(|| crate::lab_folder().join("course"), Path::to_path_buf);
    execute_into(&lesson::all()?, "forklore", false, &folder)?;
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
    fn every_lesson_has_a_title_minutes_and_exercises() {
        for lesson in lesson::all().unwrap() {
            let about = about(&lesson).unwrap();
            assert!(
                !about.title.is_empty() && about.minutes >= 10,
                "{}",
                lesson.name
            );
            assert!(exercises(&lesson).unwrap().len() >= 2, "{}", lesson.name);
        }
    }

    #[test]
    fn the_page_of_the_course_has_the_timetables_that_follow_from_the_minutes() {
        let readme = std::fs::read_to_string(lesson::folder().join("README.md")).unwrap();
        for numbers in [&HALF_DAY[..], &FULL_DAY[..]] {
            let table = timetable_of(numbers).unwrap();
            assert!(readme.contains(&table), "README.md should have:\n{table}");
        }
    }
}
