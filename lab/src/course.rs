//! A course: the folder with its notebooks, and the lessons in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::places;
use crate::timetable::timetable;

/// The name of a course's folder, in a checkout and in an installation.
const FOLDER: &str = "lessons";

/// The lessons of a checkout, of an installation, or a copy of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    folder: PathBuf,
    /// The root of the checkout that it belongs to, if any.
    checkout: Option<PathBuf>,
}

impl Course {
    /// Finds the course: in the requested folder, else in the checkout around the current folder,
    /// else in this program's installation.
    ///
    /// # Errors
    ///
    /// If there are no lessons; the message names the folders that were searched.
    pub fn find(asked: Option<&Path>) -> Result<Course> {
        let here = std::env::current_dir().context("the current folder is gone")?;
        Self::look(asked, &here, &places::data_folder()?.join(FOLDER))
    }

    fn look(asked: Option<&Path>, here: &Path, installed: &Path) -> Result<Course> {
        if let Some(folder) = asked {
            return Self::in_folder(folder);
        }
        if let Some(root) = here.ancestors().find(|folder| is_checkout(folder)) {
            return Ok(Self::of_checkout(root));
        }
        if has_lessons(installed) {
            return Self::in_folder(installed);
        }
        bail!(
            "found no lessons: {} is in no checkout of Forklore, and there are none in {}; name their folder with \
             --folder FOLDER",
            here.display(),
            installed.display()
        )
    }

    /// The course of a checkout with this root.
    pub fn of_checkout(root: &Path) -> Course {
        Course {
            folder: root.join(FOLDER),
            checkout: Some(root.to_path_buf()),
        }
    }

    /// The course in this folder.
    ///
    /// # Errors
    ///
    /// If the folder cannot be opened or has no lessons.
    pub fn in_folder(folder: &Path) -> Result<Course> {
        let found = folder
            .canonicalize()
            .with_context(|| format!("cannot open the folder {}", folder.display()))?;
        if !has_lessons(&found) {
            bail!(
                "there are no lessons in {}: a lesson is a notebook such as 06-NAME.ipynb",
                folder.display()
            );
        }
        let checkout = found.parent().filter(|root| is_checkout(root));
        Ok(Course {
            checkout: checkout.map(Path::to_path_buf),
            folder: found,
        })
    }

    /// The folder with the notebooks.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The root of the checkout that the course belongs to, if any.
    pub fn checkout(&self) -> Option<&Path> {
        self.checkout.as_deref()
    }

    /// Whether it belongs to this program's installation, where a learner must not write.
    pub fn is_installed(&self) -> bool {
        places::data_folder().is_ok_and(|data| self.folder.starts_with(data))
    }

    /// The default folder for executed lessons: in a checkout, the one for build output; elsewhere,
    /// one below the current folder, where a user looks for it.
    pub fn output(&self) -> PathBuf {
        match &self.checkout {
            Some(root) => root.join("target/lab"),
            None => PathBuf::from("executed"),
        }
    }

    /// The glossary, as Markdown.
    pub fn glossary(&self) -> PathBuf {
        self.folder.join("glossary.md")
    }

    /// The folder with the exercises' solutions and typical wrong answers. It is separate from the
    /// notebooks, so that learners do not stumble on it.
    fn answers(&self) -> PathBuf {
        self.folder.join("answers")
    }

    /// All lessons, in order.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read.
    pub fn lessons(&self) -> Result<Vec<Lesson>> {
        let entries = std::fs::read_dir(&self.folder)
            .with_context(|| format!("cannot read the lessons in {}", self.folder.display()))?;
        let mut lessons: Vec<Lesson> = entries
            .filter_map(|entry| self.lesson(&entry.ok()?.path()))
            .collect();
        lessons.sort();
        Ok(lessons)
    }

    fn lesson(&self, path: &Path) -> Option<Lesson> {
        let number = number_of(path)?;
        Some(Lesson {
            name: path.file_stem()?.to_str()?.to_owned(),
            path: path.to_path_buf(),
            exercises: self.answers().join(format!("{number}-exercises.json")),
            number,
        })
    }

    /// The requested lessons, each as [`lesson_named`](Self::lesson_named) finds it; `all` means
    /// all of them.
    ///
    /// # Errors
    ///
    /// When there is no such lesson.
    pub fn lessons_named(&self, wanted: &[String]) -> Result<Vec<Lesson>> {
        if wanted == ["all"] {
            return self.lessons();
        }
        wanted
            .iter()
            .map(|wanted| self.lesson_named(wanted))
            .collect()
    }

    /// Finds a lesson by its number (`06` or `6`) or its name, or a notebook outside the course by
    /// its path.
    ///
    /// # Errors
    ///
    /// If there is none; the message lists the lessons.
    pub fn lesson_named(&self, wanted: &str) -> Result<Lesson> {
        let lessons = self.lessons()?;
        let path = Path::new(wanted);
        let name = path.file_name().and_then(|name| name.to_str());
        let stem = name.unwrap_or(wanted).trim_end_matches(".ipynb");
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
        if path.is_file() && path.extension().is_some_and(|ending| ending == "ipynb") {
            return Ok(Lesson {
                number: stem.to_owned(),
                name: stem.to_owned(),
                path: std::path::absolute(path)?,
                exercises: self.answers().join(format!("{stem}-exercises.json")),
            });
        }
        let known: Vec<String> = lessons
            .iter()
            .map(|lesson| format!("\n  {}", lesson.name))
            .collect();
        bail!(
            "no lesson `{wanted}` in {}; there are:{}",
            self.folder.display(),
            known.concat()
        );
    }

    /// The timetable of the lessons with these numbers.
    ///
    /// # Errors
    ///
    /// When there is no such lesson.
    pub fn timetable(&self, numbers: &[&str]) -> Result<String> {
        let lessons: Vec<(String, About)> = numbers
            .iter()
            .map(|number| {
                let lesson = self.lesson_named(number)?;
                let about = lesson.about()?;
                Ok((lesson.number, about))
            })
            .collect::<Result<_>>()?;
        Ok(timetable(lessons.iter().map(|(number, about)| {
            (number.as_str(), about.title.as_str(), about.minutes)
        })))
    }
}

/// Whether a folder is the root of a checkout: it has the kernel's sources and the lessons.
fn is_checkout(folder: &Path) -> bool {
    folder.join("kernel/Cargo.toml").is_file() && has_lessons(&folder.join(FOLDER))
}

fn has_lessons(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .into_iter()
        .any(|entry| number_of(&entry.path()).is_some())
}

/// The number in a notebook's name, such as `06` in `06-serial-map-parallel-map.ipynb`.
fn number_of(notebook: &Path) -> Option<String> {
    let name = notebook.file_name()?.to_str()?.strip_suffix(".ipynb")?;
    let (number, _) = name.split_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| number.to_owned())
}

/// A notebook of the course.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lesson {
    /// Its number, such as `06`.
    pub number: String,
    /// Its name without the ending, such as `06-serial-map-parallel-map`.
    pub name: String,
    /// The notebook.
    pub path: PathBuf,
    /// The path of the file with its exercises' solutions and typical wrong answers, which need not
    /// exist.
    pub exercises: PathBuf,
}

/// A notebook's metadata about its lesson.
#[derive(Debug, Clone, Deserialize)]
pub struct About {
    /// Its title, without the number.
    pub title: String,
    /// How many minutes it takes a learner.
    pub minutes: u32,
    /// What it needs of the machine.
    pub needs: Needs,
}

/// What a lesson needs of the machine.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Needs {
    /// The number of cores at which its effects show.
    pub cores: u32,
    /// Memory in megabytes.
    pub memory_mb: u32,
}

impl Lesson {
    /// Reads the notebook's metadata about its lesson.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has no such metadata.
    pub fn about(&self) -> Result<About> {
        #[derive(Deserialize)]
        struct Notebook {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            forklore: About,
        }
        let text = std::fs::read_to_string(&self.path)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        let notebook: Notebook = serde_json::from_str(&text)
            .with_context(|| format!("{} does not say what lesson it is", self.path.display()))?;
        Ok(notebook.metadata.forklore)
    }

    /// The ids of its exercises, in order.
    ///
    /// # Errors
    ///
    /// If the file with the exercises cannot be read.
    pub fn exercise_ids(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct File {
            exercises: Vec<Exercise>,
        }
        #[derive(Deserialize)]
        struct Exercise {
            id: String,
        }
        let path = &self.exercises;
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the exercises in {}", path.display()))?;
        let file: File = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a list of exercises", path.display()))?;
        Ok(file
            .exercises
            .into_iter()
            .map(|exercise| exercise.id)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn checkout() -> Course {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        Course::of_checkout(root)
    }

    #[test]
    fn a_lesson_is_found_by_number_and_by_name() {
        let find = |wanted: &str| checkout().lesson_named(wanted).unwrap();
        let by_number = find("06");
        assert_eq!(find("6"), by_number);
        assert_eq!(find(&by_number.name), by_number);
        assert_eq!(find("lessons/06-serial-map-parallel-map.ipynb"), by_number);
    }

    #[test]
    fn an_unknown_lesson_is_answered_with_the_known_ones() {
        let error = checkout().lesson_named("99").unwrap_err().to_string();
        assert!(
            error.contains("`99`") && error.contains("06-serial-map"),
            "{error}"
        );
    }

    #[test]
    fn the_folder_asked_for_goes_before_a_checkout_and_that_before_the_installation() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let make = |file: &str| {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        make("clone/kernel/Cargo.toml");
        make("clone/lessons/00-a.ipynb");
        make("clone/src/deep/lib.rs");
        make("prefix/share/forklore/lessons/00-a.ipynb");
        make("copy/00-a.ipynb");
        make("empty/README.md");
        let installed = root.join("prefix/share/forklore/lessons");
        let look = |asked: Option<&str>, here: &str| {
            let asked = asked.map(|folder| root.join(folder));
            let found = Course::look(asked.as_deref(), &root.join(here), &installed)?;
            let folder = found.folder().strip_prefix(&root).unwrap();
            Ok::<_, anyhow::Error>(folder.display().to_string())
        };
        assert_eq!(look(Some("copy"), "clone").unwrap(), "copy");
        assert_eq!(look(None, "clone/src/deep").unwrap(), "clone/lessons");
        assert_eq!(
            look(None, "empty").unwrap(),
            "prefix/share/forklore/lessons"
        );
        for (asked, names) in [("empty", "empty"), ("nowhere", "nowhere")] {
            let error = look(Some(asked), "clone").unwrap_err().to_string();
            assert!(error.contains(names), "{error}");
        }
        fs::remove_dir_all(&installed).unwrap();
        let error = look(None, "empty").unwrap_err().to_string();
        assert!(
            error.contains("--folder") && error.contains("prefix/share"),
            "{error}"
        );
    }

    #[test]
    fn a_checkouts_lessons_know_it_however_they_were_found() {
        let course = checkout();
        let found = Course::in_folder(course.folder()).unwrap();
        assert_eq!(found.checkout(), course.checkout());
    }

    #[test]
    fn every_lesson_has_a_title_minutes_and_exercises() {
        for lesson in checkout().lessons().unwrap() {
            let about = lesson.about().unwrap();
            assert!(
                !about.title.is_empty() && about.minutes >= 10,
                "{}",
                lesson.name
            );
            assert!(lesson.exercise_ids().unwrap().len() >= 2, "{}", lesson.name);
        }
    }
}
