//! The threads of the user process, and the cells that started them, so that a rollback can name
//! what it ends.

use crate::protocol::Ended;
use crate::sys::procs::{Pid, Stat, threads};
use crate::sys::thread::name;

/// The threads that cells started and that were still running after the last cell.
#[derive(Default)]
pub(super) struct Threads {
    known: Vec<Thread>,
    /// Those that have ended with their process.
    lost: Vec<Ended>,
}

struct Thread {
    id: Pid,
    /// Empty for a thread without its own name.
    name: String,
    cell: u32,
}

/// Whether a process has more than its main thread.
pub(super) fn has_several(pid: Pid) -> bool {
    Stat::of(pid).is_some_and(|process| process.n_threads > 1)
}

impl Threads {
    /// Whether any have ended with their process.
    pub(super) fn were_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Those that have ended with their process.
    pub(super) fn lost(&self) -> &[Ended] {
        &self.lost
    }

    /// After a cell: attributes the new threads to it.
    pub(super) fn note(&mut self, pid: Pid, cell: u32) {
        if !has_several(pid) {
            return self.known.clear();
        }
        let main = name(pid, pid);
        let mut known = std::mem::take(&mut self.known);
        let ids = threads(pid).into_iter().filter(|id| *id != pid);
        self.known = ids
            .map(|id| match known.iter().position(|thread| thread.id == id) {
                Some(at) => known.swap_remove(at),
                None => Thread {
                    id,
                    // An unnamed thread inherits the name of the thread that started it.
                    name: Some(name(pid, id))
                        .filter(|name| *name != main)
                        .unwrap_or_default(),
                    cell,
                },
            })
            .collect();
        self.known.sort_by_key(|thread| thread.id);
    }

    /// After the process was replaced: returns the threads that have ended with it, by cell.
    pub(super) fn take(&mut self) -> Vec<Ended> {
        let ended = self.by_cell();
        self.known.clear();
        self.lost.extend(ended.iter().cloned());
        ended
    }

    /// Those that run, cell by cell.
    pub(super) fn by_cell(&self) -> Vec<Ended> {
        let mut ended: Vec<Ended> = Vec::new();
        for thread in &self.known {
            let found = ended.iter().position(|ended| ended.cell == thread.cell);
            let at = found.unwrap_or_else(|| {
                ended.push(Ended {
                    cell: thread.cell,
                    n_threads: 0,
                    names: Vec::new(),
                });
                ended.len() - 1
            });
            ended[at].n_threads += 1;
            if !thread.name.is_empty() && !ended[at].names.contains(&thread.name) {
                ended[at].names.push(thread.name.clone());
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn threads_are_counted_by_the_cells_that_started_them() {
        let pid = std::process::id() as Pid;
        let mut threads = Threads::default();
        // The test's own thread is not the main thread, whatever else runs here.
        threads.note(pid, 1);
        let (stop, stopped) = mpsc::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::Builder::new().name("consumer".to_owned());
        let thread = thread.spawn(move || {
            ready.send(()).unwrap();
            let _ = stopped.recv();
        });
        is_ready.recv().unwrap();
        threads.note(pid, 2);
        let ended = threads.take();
        let second = ended.iter().find(|ended| ended.cell == 2).unwrap();
        assert!(second.names.contains(&"consumer".to_owned()), "{ended:?}");
        assert!(ended.iter().any(|ended| ended.cell == 1));
        assert!(threads.take().is_empty());
        assert_eq!(threads.lost(), ended);
        drop(stop);
        thread.unwrap().join().unwrap();
    }
}
