//! The cells of a session to which the compiler's messages refer.

use std::collections::HashMap;
use std::ops::Range;

use crate::cell;

/// The cell that is compiled, and the earlier ones, whose items are compiled again with it.
#[derive(Clone, Copy)]
pub(in crate::session) struct Cells<'a> {
    /// The code that was given to the compiler.
    pub(in crate::session) code: &'a str,
    /// The learner's code: lines with magics differ.
    pub(in crate::session) written: &'a str,
    pub(in crate::session) earlier: &'a [String],
    /// The numbers of the earlier cells, as the user counts them; 0 for a cell without one.
    pub(in crate::session) numbers: &'a [u32],
    /// Variables that no longer exist, and the index of the earlier cell that moved them.
    pub(in crate::session) gone: &'a HashMap<String, usize>,
}

impl Cells<'_> {
    /// The name under which the learner knows an earlier cell.
    pub(super) fn name(&self, index: usize) -> String {
        match self.numbers.get(index).filter(|number| **number > 0) {
            Some(number) => format!("cell [{number}]"),
            None => "an earlier cell".to_owned(),
        }
    }

    /// The last of the earlier cells with a `let` of this variable, and the position of the `let`;
    /// `None` for a variable of the current cell.
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
