//! The compiled crates that sessions share: lists, adds and removes them.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::cell::bytes_in_words;
use crate::library::compiled::{self, Listed, Store};
use crate::library::warm::{self, Warm};
use crate::session::start::prebuild;
use crate::session::{Options, Session};

const DAY_SECS: u64 = 24 * 3600;

/// Prints a line for each version of a crate.
///
/// # Errors
///
/// If there is no compiler, or no cache folder.
pub(super) fn list() -> Result<()> {
    let store = own_store()?;
    let table = table(&in_lines(store.list()), SystemTime::now());
    let text = format!("{table}in {}\n", store.folder().display());
    match std::io::stdout().write_all(text.as_bytes()) {
        // For example with `| head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Removes all of them. Running sessions already have what they need.
///
/// # Errors
///
/// If there is no compiler, or no cache folder.
pub(super) fn clear() -> Result<()> {
    let store = own_store()?;
    let n_bytes: u64 = store.list().iter().map(|listed| listed.n_bytes).sum();
    store.clear();
    println!("{} were removed", bytes_in_words(n_bytes));
    Ok(())
}

/// Compiles crates for later sessions, as `:dep` does in a session.
///
/// # Errors
///
/// If a session cannot start, or a crate is unavailable.
pub(super) fn add(crates: &[String]) -> Result<()> {
    let cells = cells(crates)?;
    let (session, _) = Session::start(Options::new(drop))?;
    run(session, &cells)
}

/// The same for all users, into the shared cache at `root`.
///
/// # Errors
///
/// If a session cannot start, or a crate is unavailable.
pub(super) fn add_for_all(root: &Path, crates: &[String]) -> Result<()> {
    let cells = cells(crates)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    warm::add_to_shared(root, |warm: &Warm, folder: &Path| {
        let (session, _) = prebuild::session_for_all(folder, &program, warm)?;
        run(session, &cells)
    })
}

fn own_store() -> Result<Store> {
    let stores = warm::own_stores()?.current();
    stores
        .into_iter()
        .next_back()
        .context("there is no cache folder")
}

fn run(mut session: Session, cells: &[String]) -> Result<()> {
    for cell in cells {
        println!("{cell}");
        let ran = session.run_cell(cell);
        if let Err(error) = ran {
            session.abandon();
            bail!("`{cell}` failed: {}", error.evalue);
        }
    }
    session.abandon();
    Ok(())
}

/// The cell for each crate: `NAME`, `NAME@VERSION`, or anything that may follow `:dep`.
fn cells(crates: &[String]) -> Result<Vec<String>> {
    let cell = |text: &String| {
        let text = text.trim();
        if text.is_empty() || text.contains('\n') {
            bail!("`{text}` names no crate: write NAME, NAME@VERSION or 'NAME = {{ … }}'");
        }
        Ok(match text.split_once('@') {
            Some((name, version)) => format!(":dep {name} = {version:?}"),
            None => format!(":dep {text}"),
        })
    };
    crates.iter().map(cell).collect()
}

/// Sums up the crates. Parts without a version (a build script's output, an object linked from
/// several crates) are counted with their crate, if it has only one version.
fn in_lines(listed: Vec<Listed>) -> Vec<Listed> {
    let mut lines: Vec<Listed> = Vec::new();
    // Sorted by name, parts without a version first.
    for of in listed {
        match lines.last_mut() {
            Some(last) if last.name == of.name && last.version.is_empty() => {
                last.version = of.version;
                last.n_bytes += of.n_bytes;
                last.used = last.used.max(of.used);
            }
            _ => lines.push(of),
        }
    }
    lines
}

/// A table of the crates, by name, with their sizes and how much of the limit they use.
fn table(listed: &[Listed], now: SystemTime) -> String {
    let width = |of: fn(&Listed) -> &str| {
        let widths = listed.iter().map(|listed| of(listed).chars().count());
        widths.max().unwrap_or(0)
    };
    let (name, version) = (
        width(|listed| &listed.name),
        width(|listed| &listed.version),
    );
    let mut text = String::new();
    for of in listed {
        let days = now.duration_since(of.used).unwrap_or_default().as_secs() / DAY_SECS;
        let used = match days {
            0 => "used today".to_owned(),
            1 => "used yesterday".to_owned(),
            days => format!("used {days} days ago"),
        };
        let line = format!(
            "{:name$}  {:version$}  {:>10}  {used}\n",
            of.name,
            of.version,
            bytes_in_words(of.n_bytes)
        );
        text.push_str(&line);
    }
    let n_bytes: u64 = listed.iter().map(|listed| listed.n_bytes).sum();
    text + &format!(
        "{} crates, {} of at most {}\n",
        listed.len(),
        bytes_in_words(n_bytes),
        bytes_in_words(compiled::LIMIT_BYTES)
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn crates_are_named_as_in_a_cell_or_shorter() {
        let cells = |text: &str| cells(&[text.to_owned()]).map(|mut cells| cells.remove(0));
        assert_eq!(cells("ndarray").unwrap(), ":dep ndarray");
        assert_eq!(cells("rand@0.9").unwrap(), ":dep rand = \"0.9\"");
        let full = "tokio = { version = \"1\", features = [\"full\"] }";
        assert_eq!(cells(full).unwrap(), format!(":dep {full}"));
        for wrong in ["", " ", "a\nb"] {
            assert!(cells(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_has_no_version_is_counted_with_the_crate() {
        let of = |name: &str, version: &str, n_bytes| Listed {
            name: name.to_owned(),
            version: version.to_owned(),
            n_bytes,
            used: SystemTime::now(),
        };
        let listed = vec![
            of("a", "", 1),
            of("a", "1.0", 2),
            of("a", "2.0", 4),
            of("b", "1.0", 8),
        ];
        let lines = in_lines(listed);
        let lines: Vec<_> = lines
            .iter()
            .map(|of| (&*of.name, &*of.version, of.n_bytes))
            .collect();
        assert_eq!(lines, [("a", "1.0", 3), ("a", "2.0", 4), ("b", "1.0", 8)]);
    }

    #[test]
    fn the_table_has_a_line_for_each_and_the_sum() {
        let now = SystemTime::now();
        let of = |name: &str, days: u64| Listed {
            name: name.to_owned(),
            version: "1.0".to_owned(),
            n_bytes: 1 << 20,
            used: now - Duration::from_secs(days * DAY_SECS),
        };
        let text = table(&[of("a", 0), of("longer", 3)], now);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("a       1.0 ") && lines[0].ends_with("used today"),
            "{text}"
        );
        assert!(
            lines[1].starts_with("longer  1.0 ") && lines[1].ends_with("used 3 days ago"),
            "{text}"
        );
        assert!(
            lines[2].starts_with("2 crates, ") && lines[2].contains("of at most"),
            "{text}"
        );
    }
}
