//! Variables whose type a cell changes: the cell reports them, and evcxr forgets them.
//!
//! Before a cell runs, the code around it checks for each variable whether its type is still the
//! one that the cell expects. If the kernel already knows that it is not, it replaces the check by
//! its result.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file with the variables that the cell loses, in a session's tools.
const FILE: &str = "lost";
const QUESTION: &str = "vars_ok &= evcxr_variable_store.check_variable::<";

/// A variable whose type a cell changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) variable: String,
    /// The item that the cell redefines.
    pub(crate) because_of: String,
}

/// Writes the variables that the next cell loses, for its compile.
pub(crate) fn write(tools: &Path, lost: &[Lost]) -> io::Result<()> {
    let file = tools.join(FILE);
    if !lost.is_empty() {
        return fs::write(file, serde_json::to_vec(lost)?);
    }
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The text of a cell that loses variables; `None` if it loses none. No line moves.
pub(crate) fn answer(tools: &Path, text: &str) -> Option<String> {
    let lost: Vec<Lost> = serde_json::from_slice(&fs::read(tools.join(FILE)).ok()?).ok()?;
    Some(answered(&lost, text))
}

fn answered(lost: &[Lost], text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let asks = |lost: &&Lost| {
            let end = format!("(stringify!({}));\n", lost.variable);
            line.starts_with(QUESTION) && line.ends_with(&end)
        };
        match lost.iter().find(asks) {
            Some(Lost { variable, because_of }) => format!(
                "vars_ok = false; \
                 eprintln!(\"The type of the variable {variable} was redefined, so it is lost: `{because_of}` is another one from this cell on.\"); \
                 println!(\"EVCXR_VARIABLE_CHANGED_TYPE:{variable}\");\n"
            ),
            None => line.to_owned(),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_lost_is_answered() {
        let question = |name: &str| format!("{QUESTION}Vec<S>>(stringify!({name}));\n");
        let text = ["a\n", &question("s"), &question("ss"), "b\n"].concat();
        let lost = [Lost {
            variable: "s".to_owned(),
            because_of: "S".to_owned(),
        }];
        let new = answered(&lost, &text);
        let lines: Vec<&str> = new.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[1].starts_with("vars_ok = false;") && lines[1].contains("CHANGED_TYPE:s\""),
            "{new}"
        );
        assert_eq!(
            (lines[0], lines[2], lines[3]),
            ("a", question("ss").trim(), "b")
        );
    }
}
