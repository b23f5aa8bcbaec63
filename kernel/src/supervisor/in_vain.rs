//! Detects a cell that waits in vain.
//!
//! A rollback ends the threads of earlier cells, and a later cell may wait for one of them: for a
//! message, a lock, a task of a tokio runtime. Only an interrupt can end such a wait, but the user
//! would not know. So if threads have ended, the supervisor checks every second what a cell waits
//! for. If all its threads and processes keep waiting without a time limit, each in the same place,
//! the cell shows one message that says so.
//!
//! An external event (a message on a socket) could still wake it, so the cell continues.

use std::time::Duration;

use super::event_loop::{Phase, Watch};
use super::wedge::N_LOOKS;
use crate::protocol::{Output, ToKernel, threads_in_words};
use crate::sys::procs::{self, Pid};
use crate::sys::thread::EndlessWait;

const LOOK: Duration = Duration::from_secs(1);

impl Watch {
    /// How long until the next check; `None` if no threads were lost.
    pub(super) fn wedge_wait(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Running(run) if self.threads.were_lost() && run.wedge.n_seen < N_LOOKS => {
                Some(LOOK.saturating_sub(run.wedge.looked_at.elapsed()))
            }
            _ => None,
        }
    }

    /// Checks, if it is time, and shows the message if the cell waits in vain.
    pub(super) fn look_for_wedge(&mut self) {
        if self.wedge_wait() != Some(Duration::ZERO) {
            return;
        }
        let waits = waits(self.user.pid);
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        if run.wedge.see(waits) {
            let ended = threads_in_words(self.threads.lost());
            let text = format!(
                "forklore: this cell waits, and nothing in this session can wake it; interrupt it. {ended}\n"
            );
            self.drain();
            self.tell(&ToKernel::Output(Output::Stderr(text.into_bytes())));
        }
    }
}

/// Where each thread of the process and of its descendants waits, if all wait without a time limit,
/// and the main thread for other threads.
fn waits(user: Pid) -> Option<String> {
    let mut text = String::new();
    for pid in [vec![user], procs::descendants(user)].concat() {
        for thread in procs::threads(pid) {
            let (wait, place) = EndlessWait::of(pid, thread)?;
            if thread == user && wait != EndlessWait::ForThread {
                return None;
            }
            text += &format!("{thread} {place}");
        }
    }
    Some(text)
}
