//! The supervisor's event loop.

use std::collections::HashSet;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use super::kernel::Kernel;
use super::lifetime::{clean_environment, clean_up_after_kernel, detach};
use super::limit;
use super::origins::Origins;
use super::run::Run;
use super::threads::Threads;
use super::user::User;
use super::verdict;
use crate::evcxr::control_lines::{Filter, NOT_UTF8, may_have_control, request};

use crate::protocol::{
    Checkpoint, DEFAULT_CHECKPOINT, FromUser, Limit, Output, Saved, Snapshot, ToKernel,
    ToSupervisor, ToUser,
};
use crate::runtime::board::Board;
use crate::sys::descriptors::read_standard_input;
use crate::sys::procs::{self, Pid};
use crate::sys::signals::{Death, SIGCHLD, SIGKILL};

/// How long a tail that may become a control line is held back.
const HOLD: u16 = 10;
pub(super) enum Phase {
    /// The user process is new, or was restored, and takes its first snapshot.
    Settling,
    Idle,
    Running(Box<Run>),
    /// A copy of the user process looks at the variables, for a moment.
    Looking,
    /// Everything ends.
    Leaving,
}

pub(super) struct Watch {
    pub(super) board: &'static Board,
    kernel: Kernel,
    evcxr_in: Vec<u8>,
    signals: SignalFd,
    pub(super) user: User,
    /// The snapshot of the state that evcxr has committed.
    pub(super) snapshot: Option<Snapshot>,
    /// The process that keeps the user process's descriptors for the snapshot, if there are any.
    pub(super) keeper: Option<Pid>,
    pub(super) filter: Filter,
    pub(super) phase: Phase,
    /// How much memory the cells may use.
    pub(super) limit: Limit,
    /// A script that was sent before the user process was ready.
    script: Option<Vec<String>>,
    was_asked_to_leave: bool,
    /// Variables that evcxr was instructed to forget in the immediately preceding runs, in which
    /// nothing else happened.
    pub(super) forgotten: Vec<String>,
    pub(super) threads: Threads,
    pub(super) origins: Origins,
    /// The next or running cell, in the user's numbering.
    pub(super) cell: u32,
    /// The cell that ran last.
    pub(super) ran: u32,
    /// Whether the code that comes only looks.
    pub(super) looks: bool,
}

/// Which ends are readable or writable.
#[derive(Default)]
struct Ready {
    signals: bool,
    kernel: bool,
    control: bool,
    stderr: bool,
    stdout: bool,
    evcxr: bool,
    input: bool,
}

/// Serves until the kernel or evcxr is gone, then ends every process of the session.
pub fn run(socket: &Path) -> io::Result<()> {
    let kernel = Kernel::call(socket).inspect_err(|error| {
        // The kernel was killed while it started this process.
        if error.kind() == io::ErrorKind::ConnectionRefused {
            clean_up_after_kernel();
        }
    })?;
    let signals = detach()?;
    let board = Board::map()?;
    let policy = std::env::var(super::CHECKPOINT_VARIABLE).unwrap_or_default();
    board.set_checkpoint(policy.parse().unwrap_or(DEFAULT_CHECKPOINT));
    clean_environment();
    let user = User::start(board)?;
    let mut watch = Watch {
        board,
        kernel,
        evcxr_in: Vec::new(),
        signals,
        user,
        snapshot: None,
        keeper: None,
        filter: Filter::default(),
        phase: Phase::Settling,
        limit: limit::detect(),
        script: None,
        was_asked_to_leave: false,
        forgotten: Vec::new(),
        threads: Threads::default(),
        origins: Origins::default(),
        cell: 0,
        ran: 0,
        looks: false,
    };
    limit::impose([watch.user.pid], watch.limit.bytes);
    watch.tell(&ToKernel::Hello(std::process::id() as i32));
    while watch.kernel.is_there && !matches!(watch.phase, Phase::Leaving) {
        watch.turn()?;
    }
    watch.kernel.write_rest();
    procs::end_descendants(&HashSet::new(), Duration::from_secs(5));
    if !watch.was_asked_to_leave && watch.kernel.has_died() {
        clean_up_after_kernel();
    }
    Ok(())
}

impl Watch {
    /// Waits for an event; `None` if only time passed.
    fn wait(&mut self) -> io::Result<Option<Ready>> {
        let stdin = io::stdin();
        let takes_output = self.kernel.has_room();
        let input = PollFlags::POLLIN;
        let if_ = |condition: bool| if condition { input } else { PollFlags::empty() };
        let kernel = if self.kernel.has_messages() {
            input | PollFlags::POLLOUT
        } else {
            input
        };
        let mut sources = [
            PollFd::new(self.signals.as_fd(), input),
            PollFd::new(self.kernel.as_fd(), kernel),
            PollFd::new(self.user.control.as_fd(), input),
            PollFd::new(self.user.stderr.as_fd(), if_(takes_output)),
            PollFd::new(self.user.stdout.as_fd(), if_(takes_output)),
            PollFd::new(stdin.as_fd(), if_(matches!(self.phase, Phase::Idle))),
            match self.user.input.to_write() {
                Some(pipe) => PollFd::new(pipe, PollFlags::POLLOUT),
                None => PollFd::new(self.signals.as_fd(), PollFlags::empty()),
            },
        ];
        let look_in = matches!(self.phase, Phase::Running(_))
            .then(|| self.user.input.look_in())
            .flatten();
        let waits = [look_in, self.memory_wait(), self.wedge_wait()];
        let waits = waits.into_iter().flatten();
        let hold = self.filter.is_holding().then_some(HOLD);
        let waits = waits.map(|wait| wait.as_millis() as u16 + 1);
        let timeout = waits.chain(hold).min();
        let polled = poll(
            &mut sources,
            timeout.map_or(PollTimeout::NONE, PollTimeout::from),
        );
        let ready = sources.map(|source| source.any().unwrap_or(false));
        self.look_at_memory();
        self.look_for_wedge();
        let [signals, kernel, control, stderr, stdout, evcxr, input] = ready;
        match polled {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(Ready {
                signals,
                kernel,
                control,
                stderr: stderr && takes_output,
                stdout: stdout && takes_output,
                evcxr,
                input,
            })),
            Err(Errno::EINTR) => Ok(Some(Ready::default())),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for an event and handles it.
    fn turn(&mut self) -> io::Result<()> {
        let Some(ready) = self.wait()? else {
            let late = self.filter.flush();
            self.show_stdout(late);
            self.look_for_reader();
            return Ok(());
        };
        if ready.kernel {
            self.hear_kernel();
        }
        if ready.stderr {
            self.pass_on_stderr();
        }
        if ready.stdout {
            self.pass_on_stdout();
        }
        if ready.control {
            self.hear_user();
        }
        if ready.signals {
            self.hear_signals();
        }
        if ready.evcxr && matches!(self.phase, Phase::Idle) {
            self.hear_evcxr();
        }
        if ready.input {
            self.user.input.write();
        }
        self.look_for_reader();
        if matches!(self.phase, Phase::Idle)
            && let Some(words) = self.script.take()
        {
            self.start_script(words);
        }
        Ok(())
    }

    // ---- the kernel ----

    pub(super) fn tell(&mut self, message: &ToKernel) {
        self.kernel.tell(message);
    }

    fn hear_kernel(&mut self) {
        self.kernel.write();
        for message in self.kernel.hear() {
            match message {
                ToSupervisor::Sync(number) => self.tell(&ToKernel::Synced(number)),
                ToSupervisor::Interrupt(number) => {
                    let failure =
                        verdict::failure("Interrupt", "the cell was interrupted".to_owned());
                    match &self.phase {
                        Phase::Running(run) if run.is_script => self.end_script(failure),
                        Phase::Running(_) => self.roll_back(failure),
                        _ => {}
                    }
                    self.tell(&ToKernel::Synced(number));
                }
                ToSupervisor::Script(words) => self.script = Some(words),
                ToSupervisor::Limit(limit) => self.set_limit(limit),
                ToSupervisor::AskStatus(number) => {
                    let status = self.status();
                    self.tell(&ToKernel::Status(status));
                    self.tell(&ToKernel::Synced(number));
                }
                ToSupervisor::Checkpoint(policy) => self.set_checkpoint(policy),
                ToSupervisor::Shutdown => {
                    self.was_asked_to_leave = true;
                    self.phase = Phase::Leaving;
                }
                ToSupervisor::AllowInput(is_allowed) => self.user.input.allow(is_allowed),
                ToSupervisor::Input(bytes) => self.user.input.answer(&bytes),
                ToSupervisor::Cell(number) => (self.cell, self.looks) = (number, false),
                ToSupervisor::Look => self.looks = true,
            }
        }
    }

    /// Notifies the kernel if the cell waits for input, after all its earlier output.
    fn look_for_reader(&mut self) {
        if !matches!(self.phase, Phase::Running(_)) {
            return;
        }
        if let Some(n_answers) = self.user.input.look(self.user.pid) {
            self.drain();
            self.tell(&ToKernel::Output(Output::Waits(n_answers)));
        }
    }

    fn set_checkpoint(&mut self, policy: Checkpoint) {
        self.board.set_checkpoint(policy);
        if !matches!(self.phase, Phase::Idle) {
            return;
        }
        if policy == Checkpoint::Off {
            if let Some(snapshot) = self.snapshot.take() {
                end(snapshot.pid);
            }
        } else if self.snapshot.is_none() {
            self.ask_for_snapshot();
        }
    }

    pub(super) fn ask_for_snapshot(&mut self) {
        self.user.control.send(&ToUser::Snapshot { slot: 0 });
        self.phase = Phase::Settling;
    }

    // ---- evcxr ----

    fn hear_evcxr(&mut self) {
        let mut buffer = [0; 8192];
        let n @ 1.. = read_standard_input(&mut buffer).unwrap_or(0) else {
            self.phase = Phase::Leaving;
            return;
        };
        self.evcxr_in.extend_from_slice(&buffer[..n]);
        // evcxr waits for the reply to each line, so there is never more than one.
        let Some(end) = self.evcxr_in.iter().position(|byte| *byte == b'\n') else {
            return;
        };
        let line: Vec<u8> = self.evcxr_in.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line[..end]).into_owned();
        match request(&line) {
            Some((object, function)) if self.looks => self.start_look(object, function),
            Some((object, function)) => self.start_cell(object, function),
            None => answer_evcxr(NOT_UTF8),
        }
    }

    fn start_cell(&mut self, object: &str, function: &str) {
        self.board.clear();
        self.filter.clear();
        let forgotten = std::mem::take(&mut self.forgotten);
        let others = self.others();
        self.origins.note(&others, self.ran);
        self.ran = self.cell;
        let mut run = Run::new(others, forgotten);
        self.guard(&mut run);
        Self::keep_source(object);
        self.phase = Phase::Running(Box::new(run));
        self.begin_memory();
        let slot = self
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| 1 - snapshot.slot);
        self.user.control.send(&ToUser::Run {
            slot,
            object: object.to_owned(),
            function: function.to_owned(),
        });
    }

    // ---- output ----

    fn pass_on_stdout(&mut self) {
        let bytes = self.user.stdout.read();
        // evcxr's code reports on variables on standard error first, which is handled below.
        if may_have_control(&bytes) && self.user.stderr.available_bytes() > 0 {
            self.pass_on_stderr();
        }
        let Phase::Running(run) = &mut self.phase else {
            self.show_stdout(bytes);
            return;
        };
        let board = self.board;
        let shown = self
            .filter
            .push(&bytes, |control| run.believe(control, board));
        self.show_stdout(shown);
    }

    fn show_stdout(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        if let Phase::Running(run) = &mut self.phase {
            run.last_stderr.clear();
        }
        self.tell(&ToKernel::Output(Output::Stdout(bytes)));
    }

    fn pass_on_stderr(&mut self) {
        let bytes = self.user.stderr.read();
        if bytes.is_empty() {
            return;
        }
        if let Phase::Running(run) = &mut self.phase {
            run.note_stderr(&bytes);
        }
        self.tell(&ToKernel::Output(Output::Stderr(bytes)));
    }

    /// Forwards all output so far. (It does not wait for silence: threads of earlier cells may
    /// write forever.)
    pub(super) fn drain(&mut self) {
        let mut n_bytes = self.user.stderr.available_bytes();
        while n_bytes > 0 {
            self.pass_on_stderr();
            n_bytes = n_bytes
                .saturating_sub(64 * 1024)
                .min(self.user.stderr.available_bytes());
        }
        let mut n_bytes = self.user.stdout.available_bytes();
        while n_bytes > 0 {
            self.pass_on_stdout();
            n_bytes = n_bytes
                .saturating_sub(64 * 1024)
                .min(self.user.stdout.available_bytes());
        }
        let held = self.filter.flush();
        self.show_stdout(held);
    }

    // ---- the user process ----

    fn hear_user(&mut self) {
        // If it is gone, its death is handled elsewhere.
        let Ok(Some(message)) = self.user.control.take() else {
            return;
        };
        let is_running = matches!(self.phase, Phase::Running(_));
        match message {
            FromUser::Ready(Saved { snapshot, keeper }) => {
                self.set_keeper(keeper);
                self.snapshot = snapshot;
                if matches!(self.phase, Phase::Settling) {
                    self.phase = Phase::Idle;
                }
            }
            FromUser::Done(Saved { snapshot, keeper }) => {
                self.set_keeper(keeper);
                if is_running {
                    self.finish_cell(snapshot);
                }
            }
            FromUser::Returned(guarded) if is_running => self.settle(&guarded),
            FromUser::Scripted(status) if is_running => self.finish_script(status),
            FromUser::Looked => self.finish_look(),
            FromUser::Failed(why) => self.give_up(why),
            FromUser::Returned(_) | FromUser::Scripted(_) => {}
        }
    }

    /// The user process could not start the cell or the script.
    fn give_up(&mut self, why: String) {
        let Phase::Running(run) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        let failure = verdict::failure("Error", why);
        self.tell(&ToKernel::Ended(Some(failure)));
        if !run.is_script {
            answer_evcxr(NOT_UTF8);
        }
    }

    /// Replaces the keeper: after a rollback, the previous one is not needed.
    fn set_keeper(&mut self, keeper: Option<Pid>) {
        if self.keeper == keeper {
            return;
        }
        if let Some(before) = std::mem::replace(&mut self.keeper, keeper) {
            end(before);
        }
    }

    // ---- signals and deaths ----

    fn hear_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo as i32 != SIGCHLD {
                self.phase = Phase::Leaving;
            }
        }
        while let Some((pid, status)) = procs::reap_any() {
            if pid == self.user.pid {
                self.user_died(Death::from_wait_status(status));
            } else if self
                .snapshot
                .as_ref()
                .is_some_and(|snapshot| snapshot.pid == pid)
            {
                self.snapshot = None;
                if matches!(self.phase, Phase::Idle) {
                    self.ask_for_snapshot();
                }
            }
        }
    }
}

/// Ends a child of the supervisor and waits until it is gone.
pub(super) fn end(pid: Pid) {
    procs::kill(pid, SIGKILL);
    procs::wait(pid);
}

/// Writes a line to evcxr, which waits for it. Ignores errors: if evcxr is gone, the end of its
/// input shows it.
pub(super) fn answer_evcxr(line: impl AsRef<[u8]>) {
    let mut stdout = io::stdout().lock();
    let _ = stdout
        .write_all(line.as_ref())
        .and_then(|()| stdout.flush());
}
