//! The variables and what they hold, for a front end's list of them.
//!
//! Names and types evcxr knows. The values are shown by a cell that a *copy* of the user process
//! runs (see `runtime::onlooker`), so that a look changes nothing, whatever a `Debug` does; the
//! copy writes them to a file in the session's folder.

use std::fs;

use serde::Deserialize;

use super::Session;
use crate::protocol::ToSupervisor;

/// Where the copy writes what it has seen, in the session's folder.
const FILE: &str = "variables.json";

/// A variable, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its type, without paths.
    pub type_name: String,
    /// What it holds; `None` where that was not seen.
    pub seen: Option<Seen>,
}

/// What a look at a variable has shown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Seen {
    name: String,
    /// How many bytes the value itself takes, without what it points to.
    pub n_bytes: u64,
    /// How many items it has, if that can be counted.
    pub n_items: Option<u64>,
    /// Its beginning, in one line; `None` if its type has no `Debug`.
    pub line: Option<String>,
    /// The same with one part a line.
    pub parts: Option<String>,
}

impl Session {
    /// The variables by name, and what they hold. Nothing of the session is changed by that, and no
    /// cell must be running.
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

    /// What the variables hold; `None` where that cannot be looked at.
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
            // The cell that comes is none of these.
            self.link.tell(&ToSupervisor::Cell(self.number));
            self.is_analysis_stale |= end.was_interrupted;
            return None;
        }
        let text = fs::read_to_string(&file).ok()?;
        let _ = fs::remove_file(&file);
        // The last line may be half of one.
        let seen = text.lines().map(serde_json::from_str);
        Some(seen.filter_map(Result::ok).collect())
    }
}
