//! The end of a cell, and the rollback of a failed one.
//!
//! ```text
//!  no threads of earlier cells      ──▶ Done     ── failed ──▶ roll back: the snapshot takes over
//!  threads of earlier cells         ──▶ Returned ── failed ──▶ stay: Settle restores the guarded variables ──▶ Done
//!  died, interrupted, out of memory ───────────────────────▶ roll back
//! ```
//!
//! A snapshot is exact, but copies only one thread. So if there are other threads, a panic or a
//! failed `?` is undone in the process itself, as far as [`Touched`] allows.

use std::time::Duration;

use super::event_loop::{Phase, Watch, answer_evcxr, end};
use super::run::{Run, forgotten_by};
use super::threads;
use super::verdict::{self, Evidence};
use crate::evcxr::control_lines::{Control, NOT_UTF8, ended};
use crate::evcxr::touched::Touched;
use crate::evcxr::{build, retrace};
use crate::protocol::{
    Aftermath, Ended, Failure, Output, Snapshot, ToKernel, ToSnapshot, ToUser, object_number,
    threads_in_words,
};
use crate::sys::procs::{self, Pid};
use crate::sys::signals::{Death, SIGKILL};

impl Watch {
    /// At the start of a cell: has the variables that it may change copied, if its failure must not
    /// cost the process.
    pub(super) fn guard(&mut self, run: &mut Run) {
        if !threads::has_several(self.user.pid) {
            return;
        }
        let Some(folder) = std::env::var_os(super::FOLDER_VARIABLE) else {
            return;
        };
        let source = std::path::Path::new(&folder).join(build::SOURCE);
        let Ok(source) = std::fs::read_to_string(source) else {
            return;
        };
        let touched = Touched::by(&source);
        self.user.control.send(&ToUser::Guard(touched.names()));
        run.touched = Some(touched);
    }

    /// Keeps the source that a cell was compiled from for the whole session: code of this cell may
    /// run in later ones, and a panic there is traced back to it.
    pub(super) fn keep_source(object: &str) {
        let (Some(folder), Some(number)) = (
            std::env::var_os(super::FOLDER_VARIABLE),
            object_number(object),
        ) else {
            return;
        };
        // Without it, a panic has one location and no calls.
        let _ = retrace::keep(std::path::Path::new(&folder), number);
    }

    /// Handles the return of a guarded cell's function; these variables can be restored.
    pub(super) fn settle(&mut self, guarded: &str) {
        self.drain();
        let failure = self.failure();
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        let command = match failure {
            None => ToUser::Settle {
                restores: false,
                killed: Vec::new(),
            },
            Some(failure) => {
                let touched = run.touched.get_or_insert_default();
                touched.forget(guarded);
                let aftermath = Aftermath::Unwound {
                    changed: touched.changed(),
                    lost: touched.lost(),
                };
                run.unwound = Some(Failure {
                    aftermath,
                    ..failure
                });
                ToUser::Settle {
                    restores: true,
                    killed: self.end_what_the_cell_started(),
                }
            }
        };
        self.user.control.send(&command);
    }

    /// Kills the processes that the failed cell started, while the user process continues.
    /// (Processes that a thread of an earlier cell started in the meantime are not the cell's.)
    /// Returns the children that the user process must reap.
    fn end_what_the_cell_started(&self) -> Vec<Pid> {
        let Phase::Running(run) = &self.phase else {
            return Vec::new();
        };
        let ours = self.ours();
        let is_new = |pid: &Pid| !run.earlier.contains(pid) && !ours.contains(pid);
        let end = |pid: Pid| {
            let below = procs::descendants(pid);
            for pid in below.into_iter().chain([pid]) {
                procs::kill(pid, SIGKILL);
            }
            pid
        };
        let mut children = procs::children_of_main_thread(self.user.pid);
        children.retain(is_new);
        let children = children.into_iter().map(end).collect();
        // Orphans, including the children's. They are reaped when the OS reports their end.
        let orphans = procs::children(std::process::id() as Pid);
        orphans.into_iter().filter(is_new).map(end).for_each(drop);
        children
    }

    /// Why a cell failed whose function has returned, if it failed.
    fn failure(&self) -> Option<Failure> {
        let Phase::Running(run) = &self.phase else {
            return None;
        };
        if run.found.contains(&Control::Panic) {
            return Some(verdict::of_panic(&run.evidence(
                self.board,
                &self.limit,
                self.threads.were_lost(),
            )));
        }
        run.found.iter().find_map(|control| match control {
            Control::UserError(told) => {
                Some(verdict::of_user_error(told.as_ref(), &run.user_error))
            }
            _ => None,
        })
    }

    /// Shows the last panic if the cell has caught it, so that it did not end the cell.
    fn show_caught_panic(&mut self, failure: Option<&Failure>) {
        let caught = self.board.take_held_panic();
        let is_shown = failure.is_some_and(|failure| ["Panic", "Abort"].contains(&&*failure.name));
        if let Some(text) = caught.filter(|_| !is_shown) {
            self.tell(&ToKernel::Output(Output::Stderr(text.into_bytes())));
        }
    }

    /// After the cell's function has returned: decides which of the two snapshots to keep.
    pub(super) fn finish_cell(&mut self, new: Option<Snapshot>) {
        self.drain();
        let failure = self.failure();
        self.show_caught_panic(failure.as_ref());
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        let found = std::mem::take(&mut run.found);
        if let Some(failure) = run.unwound.take() {
            return self.stay(failure, new);
        }
        if let Some(failure) = failure.clone().filter(|_| self.snapshot.is_some()) {
            if let Some(new) = new {
                end(new.pid);
            }
            self.roll_back(failure);
            return;
        }
        // Without a snapshot, evcxr does what it can: it drops the variables that the cell took or
        // made.
        let failure = failure.map(|failure| Failure {
            aftermath: Aftermath::Unguarded,
            ..failure
        });
        self.forgotten = forgotten_by(&run.forgotten, &found);
        self.phase = Phase::Idle;
        self.tell(&ToKernel::Ended(failure));
        answer_evcxr(ended(&found));
        self.go_on(new);
    }

    /// The cell failed and was undone in its process, which continues.
    fn stay(&mut self, failure: Failure, new: Option<Snapshot>) {
        let loses =
            matches!(&failure.aftermath, Aftermath::Unwound { lost, .. } if !lost.is_empty());
        self.phase = Phase::Idle;
        self.tell(&ToKernel::Ended(Some(failure)));
        if loses {
            // Makes evcxr forget the variables that the cell moved, as it does after a panic.
            answer_evcxr(ended(&[Control::Panic]));
        } else {
            answer_evcxr(NOT_UTF8);
        }
        self.go_on(new);
    }

    /// Keeps the process, with this snapshot of its current state.
    fn go_on(&mut self, new: Option<Snapshot>) {
        if let Some(old) = std::mem::replace(&mut self.snapshot, new) {
            end(old.pid);
        }
        self.threads.note(self.user.pid, self.cell);
    }

    /// Kills the user process and the processes that the cell started, wakes the snapshot and
    /// reports the failure.
    pub(super) fn roll_back(&mut self, failure: Failure) {
        let Phase::Running(run) = &self.phase else {
            return;
        };
        let is_script = run.is_script;
        let mut spared = run.earlier.clone();
        spared.extend(self.snapshot.as_ref().map(|snapshot| snapshot.pid));
        spared.extend(self.keeper);
        procs::kill(self.user.pid, SIGKILL);
        procs::end_descendants(&spared, Duration::from_millis(500));
        self.drain();
        self.show_caught_panic(Some(&failure));
        let restored = self.restore();
        let rolled_back = restored.is_some();
        let aftermath = restored.map_or(Aftermath::Lost, Aftermath::RolledBack);
        self.tell(&ToKernel::Ended(Some(Failure {
            aftermath,
            ..failure
        })));
        if rolled_back && !is_script {
            answer_evcxr(NOT_UTF8);
        }
    }

    /// Wakes the snapshot; returns the threads that have ended. Without a snapshot, the session's
    /// variables are lost: the supervisor exits, and evcxr starts another one.
    fn restore(&mut self) -> Option<Vec<Ended>> {
        let Some(snapshot) = self.snapshot.take() else {
            self.phase = Phase::Leaving;
            return None;
        };
        self.user.pid = snapshot.pid;
        self.phase = Phase::Settling;
        self.user.slots[snapshot.slot].send(&ToSnapshot::TakeOver {
            next_slot: 1 - snapshot.slot,
        });
        Some(self.threads.take())
    }

    pub(super) fn user_died(&mut self, death: Death) {
        match &self.phase {
            Phase::Running(_) => {
                self.drain();
                let Phase::Running(run) = &self.phase else {
                    return;
                };
                let evidence = run.evidence(self.board, &self.limit, self.threads.were_lost());
                self.roll_back(verdict::of_death(death, &evidence));
            }
            Phase::Idle | Phase::Looking => {
                let was_looking = matches!(self.phase, Phase::Looking);
                let why = verdict::of_death(death, &Evidence::default()).name;
                let outcome = match self.restore() {
                    Some(ended) if ended.is_empty() => "all variables were kept.".to_owned(),
                    Some(ended) => {
                        format!("all variables were kept. {}", threads_in_words(&ended))
                    }
                    None => "all variables are lost.".to_owned(),
                };
                let text = format!(
                    "forklore: the process of your cells ended between two cells ({why}): {outcome}\n"
                );
                self.tell(&ToKernel::Output(Output::Stderr(text.into_bytes())));
                if was_looking && matches!(self.phase, Phase::Settling) {
                    answer_evcxr(NOT_UTF8);
                }
            }
            Phase::Settling | Phase::Leaving => self.phase = Phase::Leaving,
        }
    }
}
