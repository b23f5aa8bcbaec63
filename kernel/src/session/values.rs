//! The variables and their values, for a front end's list of them.
//!
//! evcxr knows the names and types. A cell that a *copy* of the user process runs shows the values
//! (see `runtime::onlooker`), so that a look changes nothing, whatever a `Debug` does. The copy
//! writes them to a file in the session's folder.

use std::fs;

use serde::Deserialize;

use super::Session;
use crate::protocol::ToSupervisor;

/// The file that the copy writes, in the session's folder.
const FILE: &str = "variables.json";

/// A variable and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its type, without paths.
    pub type_name: String,
    /// Its value; `None` if the look did not show it.
    pub seen: Option<Seen>,
}

/// The result of a look at a variable.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Seen {
    name: String,
    /// The size of the value itself in bytes, without the data that it points to.
    pub n_bytes: u64,
    /// The number of items, if they can be counted.
    pub n_items: Option<u64>,
    /// The beginning of the value, on one line; `None` if its type has no `Debug`.
    pub line: Option<String>,
    /// The same with one part per line.
    pub parts: Option<String>,
}

impl Session {
    /// The variables by name, and their values. This changes nothing in the session; no cell may be
    /// running.
    pub fn look(&mut self) -> Vec<Variable> {
        let mut variables = self.variables();
        variables.retain(|(name, _)| !name.starts_with("evcxr_"));
        variables.sort();
        let seen = self.see(&variables).unwrap_or_default();
        let seen_of = |name: &str| seen.iter().find(|seen| seen.name == name).cloned();
        let variables = variables.into_iter().map(|(name, type_name)| Variable {
            seen: seen_of(&name),
            type_name: forklore::display::cell::without_paths(&type_name),
            name,
        });
        variables.collect()
    }

    /// The values of the variables; `None` if they cannot be looked at.
    fn see(&mut self, variables: &[(String, String)]) -> Option<Vec<Seen>> {
        if variables.is_empty() || self.library.is_none() || self.is_analysis_stale {
            return None;
        }
        let file = self.folder.path().join(FILE);
        let _ = fs::remove_file(&file);
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(" ");
        // A line that begins with a colon would be a command.
        let code = format!("{{ ::forklore::display::look::look!({file:?}; {names}) }};");
        let planned = self.plan(&code).ok()?;
        self.tell_compiler(&planned.prepared).ok()?;
        self.link.begin_cell().ok()?;
        self.link.tell(&ToSupervisor::Look);
        let result = self.context.execute(&planned.code);
        let end = self.link.end_cell();
        if result.is_err() {
            // The next cell is not this one.
            self.link.tell(&ToSupervisor::Cell(self.number));
            self.is_analysis_stale |= end.was_interrupted;
            return None;
        }
        let text = fs::read_to_string(&file).ok()?;
        let _ = fs::remove_file(&file);
        // The last line may be incomplete.
        let seen = text.lines().map(serde_json::from_str);
        Some(seen.filter_map(Result::ok).collect())
    }
}
