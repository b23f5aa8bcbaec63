//! A file of the exercises that a learner has tried and solved.
//!
//! One line per check: seconds since 1970, the exercise, `solved` or `tried`, separated by tabs.
//! Lines are only appended, each in one write, so that two sessions cannot damage each other's
//! lines.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::place;

/// Records a check. If the file cannot be written, only the record is lost.
pub(crate) fn note(exercise: &str, is_solved: bool) {
    if let Some(path) = place::place(|name| std::env::var_os(name)) {
        let _ = append(&path, exercise, is_solved);
    }
}

fn append(path: &Path, exercise: &str, is_solved: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |since| since.as_secs());
    let outcome = if is_solved { "solved" } else { "tried" };
    let line = format!("{seconds}\t{exercise}\t{outcome}\n");
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line() {
        let folder = std::env::temp_dir().join(format!("forklore-notes-{}", std::process::id()));
        let path = folder.join("deep/progress.tsv");
        append(&path, "06.1", false).unwrap();
        append(&path, "06.1", true).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let lines: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.split_once('\t')?.1.split_once('\t'))
            .collect();
        assert_eq!(lines, [("06.1", "tried"), ("06.1", "solved")]);
    }
}
