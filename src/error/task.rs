//! Why a task has no result.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::Error;

/// Why a task has no result: it panicked, its worker died, or it could not be run.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// let pool = forklore::Pool::with_workers(2)?;
/// let results = pool.try_map(|x: u32| if x == 3 { panic!("three") } else { x }, 0..5);
/// let error = results[3].as_ref().unwrap_err();
/// assert!(error.is_panicked());
/// assert_eq!(error.item(), Some(3));
/// assert_eq!(error.message(), "three");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError(Box<Task>);

/// The error's content; behind a pointer, because each result of a map has room for an error and
/// few are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Task {
    item: Option<usize>,
    pid: Option<i32>,
    /// Where it ran, if that was on a node of a cluster.
    node: Option<String>,
    cause: Cause,
    tries: u32,
}

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    Panicked {
        message: String,
        location: String,
    },
    Exited {
        code: i32,
    },
    Signalled {
        signal: i32,
    },
    /// Killed by the signal of a panic that cannot be caught, with the messages of this and earlier
    /// panics.
    Aborted {
        signal: i32,
        panics: String,
    },
    /// Killed by `SIGKILL`, while Linux killed this many processes of the control group for lack of
    /// memory.
    KilledPerhapsForMemory {
        n_ended: u64,
    },
    /// Killed by `SIGABRT`, because it was refused memory under the pool's limit in bytes.
    OutOfMemory {
        limit: u64,
    },
    Vanished,
    TimedOut {
        limit: TaskLimit,
        /// Whether its worker was killed; that needs the privileges with which the owner started
        /// it.
        is_ended: bool,
    },
    Interrupted,
    /// The argument could not be turned into bytes.
    Argument(String),
    /// The context of the call could not be turned into bytes.
    Context(String),
    /// The result could not be turned into bytes.
    Encode(String),
    Decode(String),
    FunctionNotFound(String),
    NotRun(String),
    /// On another node, in this process, after this many tries.
    OnNode {
        node: String,
        pid: i32,
        tries: u32,
        cause: Box<Cause>,
    },
    /// The node that should have run it was lost: which one, and why.
    NodeLost(String),
}

/// A task's time limit, and its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TaskLimit {
    Elapsed(Duration),
    /// The same, for the tasks of one call.
    OfCall(Duration),
    CpuTime(Duration),
}

impl TaskLimit {
    pub(crate) fn duration(self) -> Duration {
        match self {
            TaskLimit::Elapsed(limit) | TaskLimit::OfCall(limit) | TaskLimit::CpuTime(limit) => {
                limit
            }
        }
    }

    /// The same, but no shorter.
    pub(crate) fn at_least(self, shortest: Duration) -> TaskLimit {
        match self {
            TaskLimit::Elapsed(limit) => TaskLimit::Elapsed(limit.max(shortest)),
            TaskLimit::OfCall(limit) => TaskLimit::OfCall(limit.max(shortest)),
            TaskLimit::CpuTime(limit) => TaskLimit::CpuTime(limit.max(shortest)),
        }
    }
}

impl fmt::Display for TaskLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskLimit::Elapsed(limit) => {
                write!(f, "took longer than the pool's limit of {limit:?}")
            }
            TaskLimit::OfCall(limit) => {
                write!(f, "took longer than the call's limit of {limit:?}")
            }
            TaskLimit::CpuTime(limit) => {
                write!(f, "used more CPU time than the pool's limit of {limit:?}")
            }
        }
    }
}

impl Cause {
    /// Whether the task panicked, here or on another node.
    pub(crate) fn is_panic(&self) -> bool {
        match self {
            Cause::OnNode { cause, .. } => cause.is_panic(),
            cause => matches!(cause, Cause::Panicked { .. }),
        }
    }

    /// The payload of a caught panic; it can be any value, but is mostly text.
    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send), location: String) -> Cause {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a value that is not text".to_owned());
        Cause::Panicked { message, location }
    }

    /// The same with the messages of the worker's panics since the last caught one, if one of them
    /// may be the cause.
    pub(crate) fn after(self, panics: String) -> Cause {
        const BY_PANIC: [Signal; 3] = [Signal::SIGABRT, Signal::SIGILL, Signal::SIGTRAP];
        match self {
            Cause::Signalled { signal }
                if !panics.is_empty() && BY_PANIC.iter().any(|by| *by as i32 == signal) =>
            {
                Cause::Aborted { signal, panics }
            }
            cause => cause,
        }
    }
}

impl fmt::Display for Cause {
    /// The cause as the end of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Panicked { message, location } if location.is_empty() => {
                write!(f, "panicked: {message}")
            }
            Cause::Panicked { message, location } => {
                write!(f, "panicked at {location}: {message}")
            }
            Cause::Exited { code } => write!(f, "exited with code {code} before the task was done"),
            Cause::Signalled { signal } => by_signal(f, *signal),
            Cause::Aborted { signal, panics } => {
                by_signal(f, *signal)?;
                write!(f, "; before that it {panics}")
            }
            Cause::KilledPerhapsForMemory { n_ended } => write!(
                f,
                "was ended by signal 9 (SIGKILL), perhaps because memory ran out: the system has ended \
                 {n_ended} process{} of this control group for that",
                if *n_ended == 1 { "" } else { "es" }
            ),
            Cause::OutOfMemory { limit } => write!(
                f,
                "ran out of memory: it may have {} (see memory_limit)",
                mebibytes(*limit)
            ),
            Cause::Vanished => f.write_str("died, but other code took its exit status"),
            Cause::TimedOut { limit, is_ended } => write!(
                f,
                "{limit}, {}",
                if *is_ended {
                    "and was ended"
                } else {
                    "and cannot be killed by this process, which has given up privileges; the pool is closed"
                }
            ),
            Cause::Interrupted => f.write_str("was interrupted"),
            Cause::Argument(why) => write!(f, "was not run: its argument could not be sent: {why}"),
            Cause::Context(why) => write!(f, "was not run: {why}"),
            Cause::Encode(why) => write!(f, "ran, but its result could not be sent: {why}"),
            Cause::Decode(why) => write!(f, "could not be read: {why}"),
            Cause::FunctionNotFound(why) => write!(f, "has no function to run: {why}"),
            Cause::NotRun(why) => write!(f, "was not run: {why}"),
            Cause::OnNode { cause, .. } => cause.fmt(f),
            Cause::NodeLost(why) => write!(f, "was not run: {why}"),
        }
    }
}

fn mebibytes(n_bytes: u64) -> String {
    format!("{:.0} MiB", n_bytes as f64 / (1 << 20) as f64)
}

fn by_signal(f: &mut fmt::Formatter<'_>, signal: i32) -> fmt::Result {
    write!(f, "was ended by signal {signal} ({})", signal_name(signal))
}

impl TaskError {
    /// The error of a task that was tried once.
    pub(crate) fn new(item: Option<usize>, pid: Option<i32>, cause: Cause) -> Self {
        TaskError(Box::new(match cause {
            Cause::OnNode {
                node,
                pid,
                tries,
                cause,
            } => Task {
                item,
                pid: (pid != 0).then_some(pid),
                node: Some(node),
                cause: *cause,
                tries,
            },
            cause => Task {
                item,
                pid,
                node: None,
                cause,
                tries: 1,
            },
        }))
    }

    /// The cause, and how often the task was tried.
    #[cfg(feature = "cluster")]
    pub(crate) fn into_cause(self) -> (Cause, u32) {
        (self.0.cause, self.0.tries)
    }

    /// The item: its index in the input, from 0; `None` outside of a map.
    pub fn item(&self) -> Option<usize> {
        self.0.item
    }

    /// How often the task was tried: once, unless the pool
    /// [retries](crate::pool::Builder::retries).
    pub fn tries(&self) -> u32 {
        self.0.tries
    }

    /// The process that ran the task, if any; the last one, if it was tried more than once.
    pub fn pid(&self) -> Option<i32> {
        self.0.pid
    }

    /// The name of the node on which the task ran, if a cluster ran it.
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// The signal that ended the process, for example 9 after `kill -9`.
    pub fn signal(&self) -> Option<i32> {
        match self.0.cause {
            Cause::Signalled { signal } | Cause::Aborted { signal, .. } => Some(signal),
            Cause::OutOfMemory { .. } => Some(Signal::SIGABRT as i32),
            Cause::KilledPerhapsForMemory { .. } => Some(Signal::SIGKILL as i32),
            _ => None,
        }
    }

    /// The code with which the process exited before the task was done.
    pub fn exit_code(&self) -> Option<i32> {
        match self.0.cause {
            Cause::Exited { code } => Some(code),
            _ => None,
        }
    }

    /// The panic's own message, or a description of the cause.
    pub fn message(&self) -> String {
        match &self.0.cause {
            Cause::Panicked { message, .. } => message.clone(),
            _ => self.reason(),
        }
    }

    /// Where the task panicked, as `file:line:column`.
    pub fn location(&self) -> Option<&str> {
        match &self.0.cause {
            Cause::Panicked { location, .. } if !location.is_empty() => Some(location),
            _ => None,
        }
    }

    /// The task panicked; its worker survived.
    pub fn is_panicked(&self) -> bool {
        matches!(self.0.cause, Cause::Panicked { .. })
    }

    /// The process that ran the task exited or was killed before the task was done.
    pub fn is_died(&self) -> bool {
        matches!(
            self.0.cause,
            Cause::Exited { .. }
                | Cause::Signalled { .. }
                | Cause::Aborted { .. }
                | Cause::KilledPerhapsForMemory { .. }
                | Cause::OutOfMemory { .. }
                | Cause::Vanished
        )
    }

    /// The task's worker died for lack of memory: it was refused memory under the pool's
    /// [limit](crate::pool::Builder::memory_limit), or Linux killed it, presumably because the
    /// machine or its control group had none left. Such a task also
    /// [`is_died()`](TaskError::is_died).
    pub fn is_out_of_memory(&self) -> bool {
        matches!(
            self.0.cause,
            Cause::OutOfMemory { .. } | Cause::KilledPerhapsForMemory { .. }
        )
    }

    /// The task took longer than the pool [allows](crate::pool::Builder::timeout), or the
    /// [call](crate::Pool::timeout), or more [CPU time](crate::pool::Builder::cpu_time_limit), and
    /// its worker was killed for it.
    pub fn is_timed_out(&self) -> bool {
        matches!(self.0.cause, Cause::TimedOut { .. })
    }

    /// The task was interrupted.
    pub fn is_interrupted(&self) -> bool {
        matches!(self.0.cause, Cause::Interrupted)
    }

    /// The argument, the [context](crate::Pool::map_with) or the result could not be turned into
    /// bytes.
    pub fn is_encode(&self) -> bool {
        matches!(
            self.0.cause,
            Cause::Argument(_) | Cause::Context(_) | Cause::Encode(_)
        )
    }

    /// The argument, the [context](crate::Pool::map_with) or the result could not be read back from
    /// its bytes.
    pub fn is_decode(&self) -> bool {
        matches!(self.0.cause, Cause::Decode(_))
    }

    /// The worker could not find the function in its shared object, for example a deleted file.
    pub fn is_function_not_found(&self) -> bool {
        matches!(self.0.cause, Cause::FunctionNotFound(_))
    }

    /// No worker ran the task to its end, for example because the pool was closed, or because all
    /// nodes of a cluster were lost.
    pub fn is_not_run(&self) -> bool {
        matches!(self.0.cause, Cause::NotRun(_) | Cause::NodeLost(_))
    }

    pub(crate) fn not_run(item: usize, reason: impl fmt::Display) -> Self {
        TaskError::new(Some(item), None, Cause::NotRun(reason.to_string()))
    }

    /// The error of an item whose call failed as a whole.
    pub(crate) fn of_call(item: usize, error: &Error) -> Self {
        match error.is_encode() {
            // The context is the only thing that a call encodes for all its items.
            true => TaskError::new(Some(item), None, Cause::Context(error.to_string())),
            false => TaskError::not_run(item, error),
        }
    }

    /// The same error for another item, because a part of a map counts its items from 0.
    pub(crate) fn at(mut self, item: usize) -> Self {
        self.0.item = Some(item);
        self
    }

    /// Sets how often the task was tried.
    pub(crate) fn set_tries(&mut self, n: u32) {
        self.0.tries = n;
    }

    fn reason(&self) -> String {
        self.0.cause.to_string()
    }
}

/// The name of a signal, such as `SIGKILL`.
pub(crate) fn signal_name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(
        |_| format!("signal {signal}"),
        |name| name.as_str().to_owned(),
    )
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_node = self.0.node.iter().map(|node| format!(" on node {node}"));
        let on_node: String = on_node.collect();
        match (self.0.item, self.0.pid) {
            (Some(item), Some(pid)) if self.is_died() => {
                write!(
                    f,
                    "item {item}: worker process {pid}{on_node} {}",
                    self.reason()
                )
            }
            (Some(item), Some(pid)) => {
                write!(
                    f,
                    "item {item} in worker process {pid}{on_node} {}",
                    self.reason()
                )
            }
            (Some(item), None) => write!(f, "item {item}{on_node} {}", self.reason()),
            (None, Some(pid)) => write!(f, "process {pid} {}", self.reason()),
            (None, None) => f.write_str(&self.reason()),
        }?;
        match self.0.tries {
            0 | 1 => Ok(()),
            n => write!(f, " (the last of {n} tries)"),
        }
    }
}

impl std::error::Error for TaskError {}
