//! The path of a learner's progress. `forklore-lab` reads the file and does not depend on the
//! library; it compiles this source file, so that both always use the same path.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The file's path, whether or not the file exists: `FORKLORE_PROGRESS`, or `forklore/progress.tsv`
/// in the user's data folder. `None` if the variable is empty, or there is no such folder.
pub fn place(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(path) = variable("FORKLORE_PROGRESS") {
        return (!path.is_empty()).then(|| PathBuf::from(path));
    }
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let data = set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/share")))?;
    Some(data.join("forklore/progress.tsv"))
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
}
