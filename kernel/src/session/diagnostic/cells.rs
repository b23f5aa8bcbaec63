//! What of a session the compiler's messages are about.

use std::collections::HashMap;

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
