//! The variables as the front end's debugger lists them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::output::{Part, parts};
use crate::session::Variable;

/// How many values with parts one list has at most.
const N_NODES: usize = 4000;
/// The variables as they were when no cell ran.
#[derive(Default)]
pub(super) struct Listing {
    variables: Arc<[Variable]>,
    /// Whether a cell has run since.
    is_stale: bool,
    /// The front end's debugger.
    pub(super) is_started: bool,
    /// The parts of what can be unfolded: the number of each is its index, plus one.
    nodes: Vec<Vec<Part>>,
}

impl Listing {
    /// A cell begins.
    pub(super) fn expire(&mut self) {
        self.is_stale = true;
    }

    /// The variables are these now.
    pub(super) fn renew(&mut self, variables: Vec<Variable>) {
        self.variables = variables.into();
        self.is_stale = false;
    }

    pub(super) fn is_fresh(&self) -> bool {
        !self.is_stale
    }

    /// The number by which a variable's parts can be asked for; 0 if it has none. JupyterLab's tree
    /// shows the types of variables, and what they hold where they are unfolded.
    fn root(&mut self, variable: &Variable) -> usize {
        let Some(seen) = &variable.seen else {
            return 0;
        };
        match self.node(seen.parts.as_deref().unwrap_or_default()) {
            0 => self.keep(seen.line.iter().map(|line| Part::value(line)).collect()),
            number => number,
        }
    }

    /// The number by which a value's parts can be asked for; 0 if it has none.
    fn node(&mut self, text: &str) -> usize {
        self.keep(parts(text))
    }

    fn keep(&mut self, parts: Vec<Part>) -> usize {
        if parts.is_empty() || self.nodes.len() >= N_NODES {
            return 0;
        }
        self.nodes.push(parts);
        self.nodes.len()
    }

    /// A row for each variable.
    pub(super) fn rows(&mut self) -> Vec<Value> {
        self.nodes.clear();
        let variables = self.variables.clone();
        let rows = variables.iter().map(|variable| {
            let reference = self.root(variable);
            let line = variable.seen.as_ref().and_then(|seen| seen.line.clone());
            json!({
                "name": variable.name,
                "evaluateName": variable.name,
                "type": with_size(variable),
                // Of what cannot be shown, the type is.
                "value": line.unwrap_or_else(|| variable.type_name.clone()),
                "variablesReference": reference,
            })
        });
        rows.collect()
    }

    /// The rows of what was given this number.
    pub(super) fn parts_of(&mut self, reference: usize) -> Vec<Value> {
        let parts = reference.checked_sub(1).and_then(|at| self.nodes.get(at));
        let parts = parts.cloned().unwrap_or_default();
        let rows = parts.into_iter().map(|part| {
            let reference = self.node(&part.text);
            json!({"name": part.name, "value": part.line(), "variablesReference": reference})
        });
        rows.collect()
    }

    /// A variable in full, as far as it was looked at.
    pub(super) fn rich(&self, name: &str) -> Option<Value> {
        let variable = self
            .variables
            .iter()
            .find(|variable| variable.name == name)?;
        let seen = variable.seen.as_ref();
        let value = seen.and_then(|seen| seen.parts.as_deref().or(seen.line.as_deref()));
        let value = value.map_or("its type has no `Debug`", |value| value);
        let text = format!("{}: {}\n\n{value}", variable.name, with_size(variable));
        Some(json!({"data": {"text/plain": text}, "metadata": {}}))
    }
}

/// A variable's type, and how much it is.
fn with_size(variable: &Variable) -> String {
    let Some(seen) = &variable.seen else {
        return variable.type_name.clone();
    };
    let count = |n: u64, of: &str| match n {
        1 => format!("1 {of}"),
        n => format!("{n} {of}s"),
    };
    let size = match seen.n_items {
        Some(n_items) => count(n_items, "item"),
        None => count(seen.n_bytes, "byte"),
    };
    format!("{} · {size}", variable.type_name)
}
