//! Requests of front ends about code that does not run: completion, inspection, and the names of
//! variables.

use anyhow::Result;

use super::Session;
use crate::definitions::generated;

/// The completions at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completions {
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
    /// The first byte that a candidate replaces.
    pub start_bytes: usize,
    /// The first byte after the text that a candidate replaces.
    pub end_bytes: usize,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The text to insert.
    pub text: String,
    /// Jupyter's word for its kind, such as `function`.
    pub kind: String,
    /// The text in the list.
    pub label: String,
}

/// Information about the name at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// As plain text.
    pub plain: String,
    /// As HTML.
    pub html: String,
}

impl Session {
    /// The completions at byte `cursor_bytes` of `code`.
    ///
    /// # Errors
    ///
    /// If the code cannot be analysed.
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

    /// Information about the name that ends at byte `cursor_bytes` of `code`.
    ///
    /// # Errors
    ///
    /// If the code cannot be analysed.
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
