//! The supervisor's state of a running cell.

use std::collections::HashSet;
use std::time::Instant;

use super::verdict::Evidence;
use super::wedge::Wedge;
use crate::evcxr::control_lines::Control;
use crate::evcxr::touched::Touched;
use crate::protocol::{Failure, Limit};
use crate::runtime::board::Board;
use crate::sys::control_groups::out_of_memory_kills;
use crate::sys::procs::Pid;

/// How much of the end of standard error is kept, to find the reason for a failure.
const TAIL_BYTES: usize = 4096;

/// A running cell.
pub(super) struct Run {
    /// Processes of earlier cells: they survive a rollback.
    pub(super) earlier: HashSet<Pid>,
    kills_before: u64,
    pub(super) found: Vec<Control>,
    /// Variables that evcxr was just instructed to forget, which must not be reported again.
    pub(super) forgotten: Vec<String>,
    n_panics_believed: u32,
    n_child_panics_hidden: u32,
    pub(super) stderr_tail: Vec<u8>,
    /// What the cell may change, if its failure can be undone in its process.
    pub(super) touched: Option<Touched>,
    /// The failure that was undone that way.
    pub(super) unwound: Option<Failure>,
    /// Whether it is a script in another language.
    pub(super) is_script: bool,
    /// Why the script was ended, if it was.
    pub(super) ended_because: Option<Failure>,
    /// The memory that may be in use, and the time of the last check.
    pub(super) memory_allowed_bytes: u64,
    pub(super) memory_seen: Instant,
    /// Detects whether it waits in vain.
    pub(super) wedge: Wedge,
    /// Standard error since the last write to standard output.
    pub(super) last_stderr: Vec<u8>,
    /// Its content when a `?` returned an error: the error's text.
    pub(super) user_error: Vec<u8>,
}

impl Run {
    /// A new cell, while the processes in `earlier` run.
    pub(super) fn new(earlier: HashSet<Pid>, forgotten: Vec<String>) -> Run {
        Run {
            earlier,
            kills_before: out_of_memory_kills(),
            found: Vec::new(),
            forgotten,
            n_panics_believed: 0,
            n_child_panics_hidden: 0,
            stderr_tail: Vec::new(),
            touched: None,
            unwound: None,
            is_script: false,
            ended_because: None,
            memory_allowed_bytes: u64::MAX,
            memory_seen: Instant::now(),
            wedge: Wedge::new(),
            last_stderr: Vec::new(),
            user_error: Vec::new(),
        }
    }

    /// Keeps the end of what the cell writes to standard error.
    pub(super) fn note_stderr(&mut self, bytes: &[u8]) {
        for kept in [&mut self.stderr_tail, &mut self.last_stderr] {
            kept.extend_from_slice(bytes);
            kept.drain(..kept.len().saturating_sub(TAIL_BYTES));
        }
    }

    /// The evidence about the end of the user process.
    pub(super) fn evidence(
        &self,
        board: &Board,
        limit: &Limit,
        has_lost_threads: bool,
    ) -> Evidence {
        Evidence {
            fault: board.fault(),
            panic: board.last_panic(),
            frames: board.last_frames(),
            n_panics: board.panics().0,
            stderr_tail: String::from_utf8_lossy(&self.stderr_tail).into_owned(),
            limit: limit
                .clone()
                .bytes
                .map(|bytes| (bytes, limit.origin.clone())),
            has_lost_threads,
            was_out_of_memory: out_of_memory_kills() > self.kills_before,
        }
    }

    /// Whether a control line really comes from the code around the cell.
    pub(super) fn believe(&mut self, control: Control, board: &Board) -> bool {
        if control == Control::Panic && board.has_hook() {
            // Trust only the panic hook: a cell may print any text.
            let (n_panics, n_child_panics) = board.panics();
            if n_child_panics > self.n_child_panics_hidden {
                self.n_child_panics_hidden += 1;
                return true;
            }
            if n_panics <= self.n_panics_believed {
                return false;
            }
            self.n_panics_believed = n_panics;
        }
        if let Control::ChangedType(name) = &control {
            let said = String::from_utf8_lossy(&self.stderr_tail);
            let is_said = ["was redefined", "is lost"]
                .iter()
                .any(|what| said.contains(&format!("variable {name} {what}")));
            if !is_said || self.forgotten.contains(name) {
                // The cell itself prints it; evcxr would forget the variable and run the cell
                // again, forever.
                return false;
            }
        }
        if control == Control::UserError(None) {
            self.user_error = self.last_stderr.clone();
        }
        self.found.push(control);
        true
    }
}

/// The variables that evcxr forgets before it runs the same cell again; none if it does not run it
/// again.
pub(super) fn forgotten_by(before: &[String], found: &[Control]) -> Vec<String> {
    let names: Vec<String> = found
        .iter()
        .filter_map(|control| match control {
            Control::ChangedType(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return names;
    }
    before.iter().cloned().chain(names).collect()
}
