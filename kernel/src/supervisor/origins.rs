//! The processes that cells have started, and the cells.

use std::collections::{HashMap, HashSet};

use crate::sys::procs::Pid;

/// Which cell has started each of the processes that run.
#[derive(Default)]
pub(super) struct Origins {
    cells: HashMap<Pid, u32>,
}

impl Origins {
    /// These processes run now: those that were not there before are of this cell.
    pub(super) fn note(&mut self, running: &HashSet<Pid>, cell: u32) {
        self.cells.retain(|pid, _| running.contains(pid));
        for pid in running {
            self.cells.entry(*pid).or_insert(cell);
        }
    }

    /// Each process, and its cell.
    pub(super) fn known(&self) -> Vec<(Pid, u32)> {
        self.cells.iter().map(|(pid, cell)| (*pid, *cell)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_of_the_cell_after_which_it_was_first_there() {
        let mut origins = Origins::default();
        origins.note(&HashSet::from([10, 11]), 1);
        origins.note(&HashSet::from([10, 12]), 2);
        let mut known = origins.known();
        known.sort_unstable();
        assert_eq!(known, [(10, 1), (12, 2)]);
        // A pid that was free meanwhile is another process.
        origins.note(&HashSet::new(), 3);
        origins.note(&HashSet::from([10]), 4);
        assert_eq!(origins.known(), [(10, 4)]);
    }
}
