//! What a learner has tried and solved, kept in a file.
//!
//! A line per check: seconds since 1970, the exercise, `solved` or `tried`, separated by tabs. Lines
//! are only ever appended, in one write, so that two sessions cannot spoil each other's.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the file is: `FORKLORE_PROGRESS`, or `forklore/progress.tsv` in the user's data folder. None
/// where the variable is empty, or there is no such folder.
fn place(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(path) = variable("FORKLORE_PROGRESS") {
        return (!path.is_empty()).then(|| PathBuf::from(path));
    }
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let data = set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/share")))?;
    Some(data.join("forklore/progress.tsv"))
}

/// Notes a check. A file that cannot be written costs the note and not the lesson.
pub(super) fn note(exercise: &str, is_solved: bool) {
    if let Some(path) = place(|name| std::env::var_os(name)) {
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

    fn place_with(set: &[(&str, &str)]) -> Option<PathBuf> {
        place(|name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_variable_goes_before_the_data_folder_and_empty_means_nowhere() {
        let home = [("HOME", "/h")];
        assert_eq!(
            place_with(&home),
            Some("/h/.local/share/forklore/progress.tsv".into())
        );
        let data = [("HOME", "/h"), ("XDG_DATA_HOME", "/d")];
        assert_eq!(place_with(&data), Some("/d/forklore/progress.tsv".into()));
        let told = [("HOME", "/h"), ("FORKLORE_PROGRESS", "/p")];
        assert_eq!(place_with(&told), Some("/p".into()));
        let nowhere = [("HOME", "/h"), ("FORKLORE_PROGRESS", "")];
        assert_eq!(place_with(&nowhere), None);
        assert_eq!(place_with(&[]), None);
    }

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
