//! Why a cell failed, what it cost, and the text for both.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a cell failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind, such as `StackOverflow`.
    pub name: String,
    /// What happened, in a sentence.
    pub message: String,
    /// The chain of causes.
    pub causes: Vec<String>,
    /// Where, if known.
    pub place: Option<Place>,
    /// The calls in cells that led there, the innermost first.
    pub frames: Vec<Frame>,
    /// What happened to the variables, and to what earlier cells had started.
    pub aftermath: Aftermath,
}

/// A location in a source file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The compiler's name for it: `src/lib.rs` for a cell.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A call in a cell's code that had not returned when a cell failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The number in the name of the shared object, which evcxr counts.
    pub object: u32,
    /// The call's offset in the object.
    pub offset: u32,
}

impl Frame {
    /// A call in the object at this path, if it is a cell's.
    pub fn of(path: &str, offset: usize) -> Option<Frame> {
        Some(Frame {
            object: object_number(path)?,
            offset: u32::try_from(offset).ok()?,
        })
    }
}

/// The number of the cell's shared object at this path.
pub fn object_number(path: &str) -> Option<u32> {
    let (_, name) = path.rsplit_once('/')?;
    name.strip_prefix("libcode_")?
        .strip_suffix(".so")?
        .parse()
        .ok()
}

/// What happened to the variables, and to what earlier cells had started. A line of the cell's
/// error shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aftermath {
    /// All variables have their values from before the cell. These threads of earlier cells have
    /// ended.
    RolledBack(Vec<Ended>),
    /// The cell was unwound in its process, so everything that earlier cells had started is still
    /// running.
    Unwound {
        /// Variables that the cell may have changed.
        changed: Vec<String>,
        /// Variables that the cell had moved away.
        lost: Vec<String>,
    },
    /// The cell was unwound in its process, and the state of the variables is unknown.
    Unguarded,
    /// The process is gone, and there was no snapshot.
    Lost,
}

/// Threads that ended with a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The cell that started them.
    pub cell: u32,
    /// The number of threads.
    pub n_threads: usize,
    /// The names of those that had one.
    pub names: Vec<String>,
}

const RESTORED: &str = "All variables were restored to their values before this cell.";
const STILL_RUNS: &str = "What earlier cells started still runs.";

impl fmt::Display for Aftermath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aftermath::RolledBack(ended) => {
                f.write_str(RESTORED)?;
                match ended.is_empty() {
                    true => Ok(()),
                    false => write!(f, " {}", threads_in_words(ended)),
                }
            }
            Aftermath::Unwound { changed, lost } if changed.is_empty() && lost.is_empty() => {
                write!(f, "{RESTORED} {STILL_RUNS}")
            }
            Aftermath::Unwound { changed, lost } => {
                f.write_str(STILL_RUNS)?;
                if !changed.is_empty() {
                    write!(f, " This cell may have changed {}.", list(changed))?;
                }
                if !lost.is_empty() {
                    let (are, them) = match lost.len() {
                        1 => ("is", "it"),
                        _ => ("are", "them"),
                    };
                    let lost = list(lost);
                    write!(f, " {lost} {are} lost, because this cell moved {them}.")?;
                }
                f.write_str(" All other variables were restored to their values before this cell.")
            }
            Aftermath::Unguarded => f.write_str(
                "No snapshot was taken before this cell: variables that it made or moved are lost.",
            ),
            Aftermath::Lost => {
                f.write_str("No snapshot was taken before this cell: all variables are lost.")
            }
        }
    }
}

/// Which threads have ended, and what that means for the cells to come.
pub fn threads_in_words(ended: &[Ended]) -> String {
    let n_threads: usize = ended.iter().map(|ended| ended.n_threads).sum();
    let of_cell = |ended: &Ended| {
        let names = match ended.names.is_empty() {
            true => String::new(),
            false => format!(", {}", list(&ended.names)),
        };
        format!("{} of cell [{}]{names}", ended.n_threads, ended.cell)
    };
    let cells: Vec<String> = ended.iter().map(of_cell).collect();
    let (threads, they, them) = match n_threads {
        1 => ("1 thread", "it", "it"),
        _ => (&*format!("{n_threads} threads"), "they", "them"),
    };
    let has_new_runtime = ended
        .iter()
        .any(|ended| ended.names.iter().any(|name| name.starts_with("tokio-r")));
    format!(
        "{threads} of earlier cells ended ({}): do not wait for {them}, nor for a lock or channel that {they} held. \
         Run those cells again{}.",
        cells.join("; "),
        match has_new_runtime {
            true => "; `.await` has a new runtime",
            false => "",
        },
    )
}

fn list(names: &[String]) -> String {
    let names = names.iter().map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_cell_s_object_has_a_number() {
        let frame = |object, offset| Some(Frame { object, offset });
        assert_eq!(Frame::of("/tmp/s/deps/libcode_12.so", 7), frame(12, 7));
        for path in ["libcode_1.so", "/tmp/libcode_x.so", "/usr/lib/libstd.so"] {
            assert_eq!(Frame::of(path, 7), None, "{path}");
        }
        assert_eq!(Frame::of("/a/libcode_1.so", 1 << 40), None);
    }

    #[test]
    fn the_line_names_what_was_lost() {
        let ended = |cell, n_threads, its: &[&str]| Ended {
            cell,
            n_threads,
            names: names(its),
        };
        let text = Aftermath::RolledBack(vec![ended(2, 1, &[]), ended(5, 2, &["tokio-rt-worker"])]);
        let text = text.to_string();
        for part in [
            "All variables were restored",
            "3 threads of earlier cells",
            "1 of cell [2]; 2 of cell [5], `tokio-rt-worker`",
            "`.await` has a new runtime",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let one = Aftermath::RolledBack(vec![ended(2, 1, &["worker"])]).to_string();
        assert!(
            one.contains("1 thread of earlier cells") && !one.contains("await"),
            "{one}"
        );
        let unwound = |changed: &[&str], lost: &[&str]| {
            let (changed, lost) = (names(changed), names(lost));
            Aftermath::Unwound { changed, lost }.to_string()
        };
        assert!(unwound(&[], &[]).starts_with("All variables were restored"));
        let text = unwound(&["a", "b"], &["c"]);
        assert!(text.contains("changed `a`, `b`. `c` is lost"), "{text}");
    }
}
