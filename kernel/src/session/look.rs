//! What front ends ask about code that does not run: completion, inspection, and the names of
//! variables.

use anyhow::Result;

use super::Session;
use crate::definitions::generated;

/// What could stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completions {
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
    /// First byte that a candidate replaces.
    pub start_bytes: usize,
    /// First byte after what a candidate replaces.
    pub end_bytes: usize,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What is put in.
    pub text: String,
    /// Jupyter's word for its kind, such as `function`.
    pub kind: String,
    /// What is shown in the list.
    pub label: String,
}

/// What is known about the thing at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// As plain text.
    pub plain: String,
    /// As HTML.
    pub html: String,
}

impl Session {
    /// What could stand at byte `cursor_bytes` of `code`.
    ///
    /// # Errors
    ///
    /// When the code cannot be analysed.
    pub fn complete(&mut self, code: &str, cursor_bytes: usize) -> Result<Completions> {
        self.see_all();
        let found = self.context.completions(code, cursor_bytes)?;
        let candidates = found.completions.into_iter();
        Ok(Completions {
            candidates: candidates
                .filter(|c| !c.code.starts_with(generated::PREFIX))
                .map(|c| Candidate {
                    text: c.code,
                    kind: c.kind.to_owned(),
                    label: c.label,
                })
                .collect(),
            start_bytes: found.start_offset,
            end_bytes: found.end_offset,
        })
    }

    /// What is known about the thing that ends at byte `cursor_bytes` of `code`.
    ///
    /// # Errors
    ///
    /// When the code cannot be analysed.
    pub fn inspect(&mut self, code: &str, cursor_bytes: usize) -> Result<Option<Inspection>> {
        self.see_all();
        let found = self.context.inspect(code, cursor_bytes)?;
        Ok(found.map(|(plain, html)| Inspection { plain, html }))
    }

    /// The variables' names and types.
    pub fn variables(&self) -> Vec<(String, String)> {
        let variables = self.context.variables();
        variables
            .map(|(name, type_name)| (name.to_owned(), type_name.to_owned()))
            .collect()
    }
}
