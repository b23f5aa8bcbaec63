//! The variables in the list of the front end's debugger.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::output::{Part, parts};
use crate::session::Variable;

/// The maximum number of values with parts in one list.
const N_NODES: usize = 4000;
/// The variables, as of the last time when no cell ran.
#[derive(Default)]
pub(super) struct Listing {
    variables: Arc<[Variable]>,
    /// Whether a cell has run since then.
    is_stale: bool,
    /// Whether the front end's debugger has started.
    pub(super) is_started: bool,
    /// The parts of values that can be unfolded: the number of each is its index, plus one.
    nodes: Vec<Vec<Part>>,
}

impl Listing {
    /// A cell begins: the list becomes stale.
    pub(super) fn expire(&mut self) {
        self.is_stale = true;
    }

    /// Replaces the variables by the current ones.
    pub(super) fn renew(&mut self, variables: Vec<Variable>) {
        self.variables = variables.into();
        self.is_stale = false;
    }

    pub(super) fn is_fresh(&self) -> bool {
        !self.is_stale
    }

    /// The number under which a variable's parts can be requested; 0 if it has none. JupyterLab's
    /// tree shows the types of variables, and their values when they are unfolded.
    fn root(&mut self, variable: &Variable) -> usize {
        let Some(seen) = &variable.seen else {
            return 0;
        };
        match self.node(seen.parts.as_deref().unwrap_or_default()) {
            0 => self.keep(seen.line.iter().map(|line| Part::value(line)).collect()),
            number => number,
        }
    }

    /// The number under which a value's parts can be requested; 0 if it has none.
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
                // For a value that cannot be shown: the type.
                "value": line.unwrap_or_else(|| variable.type_name.clone()),
                "variablesReference": reference,
            })
        });
        rows.collect()
    }

    /// The rows of the value with this number.
    pub(super) fn parts_of(&mut self, reference: usize) -> Vec<Value> {
        let parts = reference.checked_sub(1).and_then(|at| self.nodes.get(at));
        let parts = parts.cloned().unwrap_or_default();
        let rows = parts.into_iter().map(|part| {
            let reference = self.node(&part.text);
            json!({"name": part.name, "value": part.line(), "variablesReference": reference})
        });
        rows.collect()
    }

    /// A variable in full, as far as it is known.
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

/// A variable's type and size.
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
