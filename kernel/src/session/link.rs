//! The kernel's end of the connection to the supervisor, and the controls that other threads may
//! use.
//!
//! evcxr starts the supervisor, and starts it again after `:restart` or its death. So the kernel
//! listens on a socket in the session's folder, and each supervisor connects. One thread accepts,
//! and one thread per supervisor reads.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::outcome::{CellError, SUPERVISOR_LOST};
use super::places::Places;
use super::remains::{end_compilers, end_orphans};
use super::start::folder::{self, Folder};
use crate::cell::Captured;
use crate::protocol::{
    Checkpoint, Failure, Limit, Message, Output, Reader, Status, ToKernel, ToSupervisor,
};
use crate::sys::procs::{self, Pid};
use crate::sys::signals::SIGKILL;

/// How long the supervisor may take to reply. It never blocks for long.
const ANSWER: Duration = Duration::from_secs(10);
/// The interval at which an interrupt looks for compilers that started after it.
const INTERRUPT_TICK: Duration = Duration::from_millis(5);

/// Shared by the session's thread, the reading threads, and every [`Control`].
pub(super) struct Link {
    output: Box<dyn Fn(Output) + Send + Sync>,
    /// The session's folder, if the session's end removes it.
    folder: Option<PathBuf>,
    /// The output that `%%capture` hides, while it is active.
    captured: Mutex<Option<(Captured, Vec<Output>)>>,
    /// Set while the session's own first cells run: the user did not ask for their output.
    is_silent: AtomicBool,
    /// Rewrites the positions in the output of the cells' programs.
    pub(super) places: Places,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    supervisor: Option<Supervisor>,
    /// Supervisors whose last messages may not have been read yet.
    heard: HashSet<Pid>,
    /// The supervisor at the beginning of the cell.
    cell_supervisor: Option<Pid>,
    /// Counts questions; replies carry the numbers.
    n_asked: u64,
    n_answered: u64,
    /// The number of the running cell, or 0 if none runs.
    running: u64,
    n_cells: u64,
    was_interrupted: bool,
    /// Whether the user's cell is in progress; several pieces of code may run for it, one after
    /// another.
    is_at_work: bool,
    /// Whether that cell was interrupted: the rest of it does not run.
    is_given_up: bool,
    /// The end of the code that ran last: it counts only after `Synced`.
    ended: Option<Option<Failure>>,
    /// The last reply to `AskStatus`.
    status: Option<Status>,
    /// Settings that must be sent again to a new supervisor.
    checkpoint: Option<Checkpoint>,
    limit: Option<Limit>,
    is_shut_down: bool,
}

struct Supervisor {
    pid: Pid,
    stream: UnixStream,
}

/// What the kernel knows when a cell has ended.
pub(super) struct CellEnd {
    /// The user process' result, if any code ran.
    pub failure: Option<Failure>,
    /// Whether the cell was interrupted while it compiled or ran.
    pub was_interrupted: bool,
}

impl Link {
    /// Waits for supervisors on the folder's socket.
    pub(super) fn open(
        folder: &Folder,
        output: Box<dyn Fn(Output) + Send + Sync>,
    ) -> io::Result<Arc<Link>> {
        let listener = UnixListener::bind(folder.socket())?;
        let link = Arc::new(Link {
            output,
            folder: folder.is_owned().then(|| folder.path().to_owned()),
            captured: Mutex::default(),
            is_silent: AtomicBool::new(true),
            places: Places::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let weak = Arc::downgrade(&link);
        std::thread::Builder::new()
            .name("supervisors".to_owned())
            .spawn(move || {
                for stream in listener.incoming() {
                    let (Ok(stream), Some(link)) = (stream, weak.upgrade()) else {
                        return;
                    };
                    if link.lock().is_shut_down {
                        return;
                    }
                    let _ = std::thread::Builder::new()
                        .name("output".to_owned())
                        .spawn(move || link.serve(stream));
                }
            })?;
        Ok(link)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the messages of one supervisor until it is gone.
    fn serve(&self, stream: UnixStream) {
        let Ok(mut input) = stream.try_clone() else {
            return;
        };
        let mut stream = Some(stream);
        let (mut reader, mut pid) = (Reader::default(), 0);
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => reader.push(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
            for message in reader.messages() {
                match message {
                    ToKernel::Hello(its_pid) => {
                        pid = its_pid;
                        let mut state = self.lock();
                        state.heard.insert(pid);
                        state.supervisor = stream.take().map(|stream| Supervisor { pid, stream });
                        state.repeat_settings();
                        drop(state);
                        self.changed.notify_all();
                    }
                    ToKernel::Output(Output::Stderr(bytes)) => {
                        self.show(Output::Stderr(self.places.reword(bytes)));
                    }
                    ToKernel::Output(output) => self.show(output),
                    ToKernel::Ended(failure) => {
                        self.lock().ended = Some(failure);
                        self.changed.notify_all();
                    }
                    ToKernel::Status(status) => self.lock().status = Some(status),
                    ToKernel::Synced(number) => {
                        self.lock().n_answered = number;
                        self.changed.notify_all();
                    }
                }
            }
        }
        let mut state = self.lock();
        state.heard.remove(&pid);
        if state
            .supervisor
            .as_ref()
            .is_some_and(|supervisor| supervisor.pid == pid)
        {
            state.supervisor = None;
        }
        drop(state);
        self.changed.notify_all();
        end_orphans(pid);
    }

    /// Sends a question and waits for the reply. Returns false if no supervisor replies.
    fn ask<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        question: impl Fn(u64) -> ToSupervisor,
    ) -> (MutexGuard<'a, State>, bool) {
        state.n_asked += 1;
        let number = state.n_asked;
        let Some(supervisor) = &mut state.supervisor else {
            return (state, false);
        };
        let pid = supervisor.pid;
        if supervisor
            .stream
            .write_all(&question(number).seal())
            .is_err()
        {
            return (state, false);
        }
        let is_waiting = |state: &mut State| {
            state.n_answered < number
                && state
                    .supervisor
                    .as_ref()
                    .is_some_and(|supervisor| supervisor.pid == pid)
        };
        let waited = self.changed.wait_timeout_while(state, ANSWER, is_waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let was_answered = state.n_answered >= number;
        (state, was_answered)
    }

    /// Sends the supervisor a message that needs no reply.
    pub(super) fn tell(&self, message: &ToSupervisor) {
        if let Some(supervisor) = &mut self.lock().supervisor {
            // An error means that it is gone: evcxr detects that at the next cell.
            let _ = supervisor.stream.write_all(&message.seal());
        }
    }

    /// The user's cell begins, or has ended. An interrupt in between ends it even if none of its
    /// code runs.
    pub(super) fn set_at_work(&self, is_at_work: bool) {
        let mut state = self.lock();
        state.is_at_work = is_at_work;
        state.is_given_up = false;
    }

    /// Code of a cell begins to compile or run.
    ///
    /// # Errors
    ///
    /// If the session has been shut down, or the cell was interrupted before.
    pub(super) fn begin_cell(&self) -> Result<(), CellError> {
        let mut state = self.lock();
        if state.is_shut_down {
            return Err(CellError::new("Error", "the session has been shut down"));
        }
        if state.is_given_up {
            return Err(CellError::new(
                "Interrupt",
                "the cell was interrupted before it ran",
            ));
        }
        state.n_cells += 1;
        state.running = state.n_cells;
        state.was_interrupted = false;
        state.ended = None;
        state.cell_supervisor = state.supervisor.as_ref().map(|supervisor| supervisor.pid);
        Ok(())
    }

    /// The cell has ended: when this returns, all that it wrote has been passed to the output.
    pub(super) fn end_cell(&self) -> CellEnd {
        let (mut state, was_answered) = self.ask(self.lock(), ToSupervisor::Sync);
        let first = state.cell_supervisor;
        if !was_answered || state.supervisor.as_ref().map(|supervisor| supervisor.pid) != first {
            // It is gone: its last messages say why.
            let is_heard = |state: &mut State| first.is_some_and(|pid| state.heard.contains(&pid));
            let waited = self.changed.wait_timeout_while(state, ANSWER, is_heard);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.running = 0;
        CellEnd {
            failure: state.ended.take().flatten(),
            was_interrupted: state.was_interrupted,
        }
    }

    /// Runs a program in the cells' folder; waits until it ends, or the supervisor does.
    ///
    /// # Errors
    ///
    /// As [`Link::begin_cell`], and if the supervisor ended first.
    pub(super) fn run_script(&self, words: Vec<String>) -> Result<CellEnd, CellError> {
        self.begin_cell()?;
        self.tell(&ToSupervisor::Script(words));
        let mut state = self.lock();
        let pid = state.cell_supervisor;
        while state.ended.is_none()
            && !state.is_shut_down
            && state.supervisor.as_ref().map(|supervisor| supervisor.pid) == pid
            && pid.is_some()
        {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let was_answered = state.ended.is_some();
        drop(state);
        let end = self.end_cell();
        was_answered.then_some(end).ok_or_else(|| {
            CellError::new(
                SUPERVISOR_LOST,
                "the processes of the session ended while the script ran",
            )
        })
    }

    /// Asks for the processes' state; `None` when they are gone.
    pub(super) fn status(&self) -> Option<Status> {
        let (mut state, was_answered) = self.ask(self.lock(), ToSupervisor::AskStatus);
        state.status.take().filter(|_| was_answered)
    }

    /// Limits the memory of cells from now on.
    pub(super) fn set_limit(&self, limit: Option<Limit>) {
        self.lock().limit.clone_from(&limit);
        self.tell(&ToSupervisor::Limit(limit));
    }

    /// Shows an output, unless the session's own cells run.
    pub(super) fn show(&self, output: Output) {
        // Standard error may not have a complete piece yet.
        let is_empty =
            matches!(&output, Output::Stdout(bytes) | Output::Stderr(bytes) if bytes.is_empty());
        if is_empty || self.is_silent.load(Ordering::Relaxed) {
            return;
        }
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let is_hidden = |what: &Captured| match output {
            // A cell that waits for input must not wait for the end of the capture.
            Output::Waits(_) => false,
            Output::Stdout(_) => true,
            _ => *what == Captured::All,
        };
        match &mut *captured {
            Some((what, hidden)) if is_hidden(what) => hidden.push(output),
            _ => {
                drop(captured);
                (self.output)(output);
            }
        }
    }

    /// Hides this output from now on.
    pub(super) fn capture(&self, what: Captured) {
        *self.captured.lock().unwrap_or_else(PoisonError::into_inner) = Some((what, Vec::new()));
    }

    /// Ends that, and returns the hidden output, if a capture was active.
    pub(super) fn end_capture(&self) -> Option<Vec<Output>> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        captured.take().map(|(_, hidden)| hidden)
    }

    /// Shows the user a message that is not part of a cell's output.
    pub(super) fn warn(&self, text: &str) {
        (self.output)(Output::Stderr(format!("forklore: {text}\n").into_bytes()));
    }

    /// From now on, cells are the user's, and their output is shown.
    pub(super) fn speak(&self) {
        self.is_silent.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.lock().is_shut_down
    }

    pub(super) fn supervisor_pid(&self) -> Option<Pid> {
        self.lock()
            .supervisor
            .as_ref()
            .map(|supervisor| supervisor.pid)
    }
}

impl State {
    /// Sends the settings of the previous supervisor to a new one.
    fn repeat_settings(&mut self) {
        let checkpoint = self.checkpoint.map(ToSupervisor::Checkpoint);
        let limit = self
            .limit
            .clone()
            .map(|limit| ToSupervisor::Limit(Some(limit)));
        if let Some(supervisor) = &mut self.supervisor {
            for message in [checkpoint, limit].into_iter().flatten() {
                let _ = supervisor.stream.write_all(&message.seal());
            }
        }
    }
}

/// Controls a session from other threads, even while a cell runs.
#[derive(Clone)]
pub struct Control {
    pub(super) link: Arc<Link>,
}

impl Control {
    /// Ends the cell that compiles or runs, if any: it fails with `Interrupt`, and nothing is lost.
    /// Returns at once.
    ///
    /// If the cell is compiling, every child process of the kernel is killed, except the
    /// supervisor.
    pub fn interrupt(&self) {
        let mut state = self.link.lock();
        state.is_given_up = state.is_at_work;
        if state.running == 0 || state.was_interrupted {
            return;
        }
        state.was_interrupted = true;
        let (cell, link) = (state.running, self.link.clone());
        // In a thread, because the cell may be anywhere between compiler and user process, and must
        // be interrupted wherever it is next.
        let _ = std::thread::Builder::new()
            .name("interrupt".to_owned())
            .spawn(move || {
                loop {
                    let state = link.lock();
                    if state.running != cell || state.is_shut_down {
                        return;
                    }
                    let supervisor = state.supervisor.as_ref().map(|supervisor| supervisor.pid);
                    end_compilers(supervisor);
                    // The reply comes before the lock is released, so no interrupt reaches the next
                    // cell.
                    drop(link.ask(state, ToSupervisor::Interrupt));
                    std::thread::sleep(INTERRUPT_TICK);
                }
            });
    }

    /// Sets whether snapshots are taken from now on: `on`, `off`, `auto` or `auto:BYTES`.
    ///
    /// # Errors
    ///
    /// If the policy is none of these.
    pub fn set_checkpoint(&self, policy: &str) -> Result<(), String> {
        let policy: Checkpoint = policy.parse()?;
        self.link.lock().checkpoint = Some(policy);
        self.link.tell(&ToSupervisor::Checkpoint(policy));
        Ok(())
    }

    /// Sets whether the next cell may wait for input; if not, it reads the end of file, which is
    /// the default.
    pub fn allow_input(&self, is_allowed: bool) {
        self.link.tell(&ToSupervisor::AllowInput(is_allowed));
    }

    /// Writes bytes to the cell's standard input.
    pub fn answer(&self, bytes: Vec<u8>) {
        self.link.tell(&ToSupervisor::Input(bytes));
    }

    /// Ends every process of the session; returns when none is left, within a few seconds.
    pub fn shutdown(&self) {
        self.link.lock().is_shut_down = true;
        self.link.tell(&ToSupervisor::Shutdown);
        let Some(supervisor) = self.link.supervisor_pid() else {
            return;
        };
        let started = Instant::now();
        let grace = Duration::from_secs(3);
        while procs::Stat::of(supervisor).is_some_and(|process| process.state != b'Z') {
            end_compilers(Some(supervisor));
            if started.elapsed() > grace {
                // The user process is killed by its parent-death signal, the rest by `end_orphans`.
                procs::kill(supervisor, SIGKILL);
            }
            if started.elapsed() > 2 * grace {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        end_compilers(Some(supervisor));
        end_orphans(supervisor);
        // Not left to the session's thread, which may not get that far before the program ends.
        if let Some(folder) = &self.link.folder {
            folder::remove(folder);
        }
    }
}
