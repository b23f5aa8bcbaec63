//! What of a session the compiler's messages are about.

use std::collections::HashMap;
use std::ops::Range;

use crate::cell;

/// The cell that is compiled, and those before it, whose items are compiled again with it.
#[derive(Clone, Copy)]
pub(in crate::session) struct Cells<'a> {
    /// What was given to the compiler.
    pub(in crate::session) code: &'a str,
    /// What the learner wrote: lines with magics differ.
    pub(in crate::session) written: &'a str,
    pub(in crate::session) earlier: &'a [String],
    /// The numbers of the earlier cells, as the user counts them; 0 for one without.
    pub(in crate::session) numbers: &'a [u32],
    /// Variables that are no longer there, and by which of the earlier cells.
    pub(in crate::session) gone: &'a HashMap<String, usize>,
}

impl Cells<'_> {
    /// What the learner knows an earlier cell as.
    pub(super) fn name(&self, index: usize) -> String {
        match self.numbers.get(index).filter(|number| **number > 0) {
            Some(number) => format!("cell [{number}]"),
            None => "an earlier cell".to_owned(),
        }
    }

    /// The last of the earlier cells with a `let` of this variable, and where that is; `None` for a
    /// variable of the cell itself.
    pub(super) fn definition(&self, variable: &str) -> Option<(usize, Range<usize>)> {
        if cell::binding_of(self.code, variable).is_some() {
            return None;
        }
        let earlier = self.earlier.iter().enumerate().rev();
        let mut found =
            earlier.filter_map(|(index, code)| Some((index, cell::binding_of(code, variable)?)));
        found.next()
    }
}
