//! The session's start, on a separate thread. It may have to compile the library, which takes
//! minutes: requests that wait for it can be interrupted, and the start continues.
//!
//! ```text
//!  Idle ──▶ Starting ──▶ Ready (for the worker to take) ──▶ Idle, and the worker has the session
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::lock::lock;
use super::log::log;
use super::relay::Feeder;
use super::shared::Shared;
use crate::session::{CellError, Options, Session};

/// The compiler's analysis recurses deeply on deeply nested code.
pub(super) const STACK_BYTES: usize = 64 << 20;

/// The state of the start, shared by the worker and the tasks that interrupt it.
#[derive(Default)]
pub(super) struct Start {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Whether the worker waits for it.
    is_awaited: bool,
    n_interrupts: u64,
}

#[derive(Default)]
enum Phase {
    #[default]
    Idle,
    Starting,
    Ready(Box<Result<Session, CellError>>),
}

impl Start {
    /// Starts a session, unless one is already starting.
    pub(super) fn begin(shared: &Arc<Shared>, feeder: &Feeder) {
        let mut state = lock(&shared.start.state);
        if !matches!(state.phase, Phase::Idle) {
            return;
        }
        let (its_shared, feeder) = (shared.clone(), feeder.clone());
        let thread = std::thread::Builder::new()
            .name("start".to_owned())
            // The compiler's analysis recurses deeply on deeply nested code.
            .stack_size(STACK_BYTES)
            .spawn(move || start(&its_shared, &feeder));
        state.phase = match thread {
            Ok(_) => Phase::Starting,
            Err(error) => Phase::Ready(Box::new(Err(cannot_start(&error.into())))),
        };
    }

    /// Waits for the session that is starting.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or [`interrupt`](Start::interrupt) is called during the wait.
    pub(super) fn wait(&self, closing: &AtomicBool) -> Result<Session, CellError> {
        let mut state = lock(&self.state);
        let before = state.n_interrupts;
        state.is_awaited = true;
        let waits = |state: &mut State| {
            matches!(state.phase, Phase::Starting)
                && state.n_interrupts == before
                && !closing.load(Ordering::SeqCst)
        };
        let waited = self.changed.wait_while(state, waits);
        state = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        state.is_awaited = false;
        if !matches!(state.phase, Phase::Ready(_)) {
            return Err(CellError::new(
                "Interrupt",
                "the cell was interrupted while the session was starting; nothing has run, and the start goes on",
            ));
        }
        match std::mem::take(&mut state.phase) {
            Phase::Ready(started) => *started,
            Phase::Idle | Phase::Starting => unreachable!("looked at above, under the same lock"),
        }
    }

    /// Ends the wait of a request. The start continues.
    pub(super) fn interrupt(&self) {
        lock(&self.state).n_interrupts += 1;
        self.changed.notify_all();
    }

    fn end(&self, mut state: MutexGuard<'_, State>, started: Result<Session, CellError>) {
        state.phase = match started {
            // The next request tries again.
            Err(error) if !state.is_awaited => {
                log(format_args!("{}", error.evalue));
                Phase::Idle
            }
            started => Phase::Ready(Box::new(started)),
        };
        drop(state);
        self.changed.notify_all();
    }
}

/// The body of the thread.
fn start(shared: &Shared, feeder: &Feeder) {
    let output = feeder.clone();
    let started = Session::start(Options::new(move |raw| output.write(raw)));
    let started = started.map(|(mut session, control)| {
        *lock(&shared.control) = Some(control);
        if !lock(&shared.start.state).is_awaited {
            // Does the work that the first `let` and the first completion would wait for, while no
            // request waits.
            session.read_ahead();
        }
        session
    });
    let state = lock(&shared.start.state);
    match started {
        Ok(session) if shared.closing.load(Ordering::SeqCst) => {
            drop(state);
            session.abandon();
        }
        Ok(session) => shared.start.end(state, Ok(session)),
        Err(error) => shared.start.end(state, Err(cannot_start(&error))),
    }
}

fn cannot_start(error: &anyhow::Error) -> CellError {
    let evalue = format!("the session could not be started: {error:#}");
    let traceback = evalue.lines().map(str::to_owned).collect();
    CellError {
        ename: "SessionError".to_owned(),
        evalue,
        traceback,
    }
}
