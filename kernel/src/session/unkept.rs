//! Variables that evcxr cannot keep for later cells: the cell runs, and they are local to it (see
//! `cell::locals`).

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;

use super::Session;
use super::evaluate::Form;
use crate::cell;
use crate::evcxr::refusal::{self, Refused, Why};
use crate::evcxr::{Error, EvalOutputs};
use crate::protocol::Output;

impl Session {
    /// The forms in which a cell may run, best first. A closure with a name is kept as a function
    /// pointer, or is local to the cell.
    pub(super) fn forms(&self, code: &str) -> Vec<Form> {
        let variables = self.variables();
        let known = variables.iter().map(|(name, _)| name.as_str());
        let has_library = self.library.is_some();
        let Some(closures) = cell::closures(code, known).filter(|_| has_library) else {
            return vec![Form::from(code)];
        };
        let as_locals = closures.as_locals;
        match closures.as_pointers {
            None => vec![form(as_locals.code, as_locals.names)],
            Some(pointers) => vec![
                form(pointers.code, pointers.names),
                form(cell::once_more(&as_locals.code), as_locals.names),
            ],
        }
    }

    /// What to run instead of a cell that evcxr refused, if it refused because it could not keep a
    /// variable.
    pub(super) fn instead(
        &self,
        result: &Result<EvalOutputs, Error>,
        said: &[Value],
        code: &str,
    ) -> Option<Form> {
        self.library.as_ref()?;
        if !self.has_rust_src && refusal::is_of_unknown_type(result) {
            // Without the standard library's sources, hardly any type is known. The error says how
            // to get them.
            return None;
        }
        let refused = Refused::of(result, said);
        if !refused.to_drop.is_empty() && refused.unkept.is_empty() {
            let is_dropped = |name: &String| code.contains(&format!("drop({name});"));
            let new = (!refused.to_drop.iter().all(is_dropped))
                .then(|| cell::with_drops(code, &refused.to_drop))?;
            return Some(Form::from(cell::once_more(&new)));
        }
        let names: Vec<String> = refused
            .unkept
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let unkept = cell::as_locals(code, &names)?;
        let why = |name: &String| {
            let known = refused.unkept.iter().find(|(refused, _)| refused == name);
            known.map_or(Why::Nameless, |(_, why)| *why)
        };
        let reasons = unkept.names.iter().map(|name| (name.clone(), why(name)));
        Some(Form {
            code: cell::once_more(&unkept.code),
            unkept: reasons.collect(),
        })
    }

    /// Reports which variables of the cell that has run are gone.
    pub(super) fn tell_unkept(&mut self) {
        let unkept = std::mem::take(&mut self.unkept);
        let mut text = String::new();
        for why in [Why::Closure, Why::Nameless, Why::Borrows] {
            let names: Vec<String> = unkept
                .iter()
                .filter(|(_, its_why)| *its_why == why)
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            if !names.is_empty() {
                let start = if text.is_empty() { "note: " } else { "; " };
                let names = names.join(", ");
                let _ = write!(text, "{start}no later cell has {names}: {}", why.in_words());
            }
        }
        if !text.is_empty() {
            // As for warnings: nothing has failed, and front ends show standard error on red.
            let contents = HashMap::from([("text/plain".to_owned(), text)]);
            self.link.show(Output::Display(contents));
        }
    }
}

fn form(code: String, closures: Vec<String>) -> Form {
    let unkept = closures.into_iter().map(|name| (name, Why::Closure));
    Form {
        code,
        unkept: unkept.collect(),
    }
}
