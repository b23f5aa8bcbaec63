//! Errors: one opaque [`Error`] for calls, one [`TaskError`] for tasks.
//!
//! Both have predicates (`is_closed()`, `is_panicked()`), so that new causes can be added without
//! breaking callers, and the messages of both say what was wrong and what to do next.

mod task;

use std::fmt;

pub use task::TaskError;
pub(crate) use task::{Cause, TaskLimit, signal_name};

/// The result of a call into this library. (With two parameters it is std's, so that
/// `use forklore::*;` does not get in the way of code that writes `Result<T, E>`.)
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A task's result, or why it has none.
pub type Outcome<R> = std::result::Result<R, TaskError>;

/// Why a call failed.
///
/// # Example
/// ```
/// let error = forklore::Pool::with_workers(0).unwrap_err();
/// assert!(error.is_invalid_input());
/// assert!(error.to_string().contains("0 workers"));
/// ```
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    MultiThreaded,
    InvalidInput,
    Closed,
    FunctionNotFound,
    Os,
    Encode,
    Decode,
    OwnerDied,
    TimedOut,
}

impl Error {
    /// The process has more than one thread, and a fork would copy locks that other threads hold.
    pub fn is_multi_threaded(&self) -> bool {
        self.kind == Kind::MultiThreaded
    }

    /// An argument is invalid, for example zero workers.
    pub fn is_invalid_input(&self) -> bool {
        self.kind == Kind::InvalidInput
    }

    /// The pool was closed or terminated before the call, or nothing more can come through a
    /// channel: it was closed, or its other side is gone.
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// A function could not be located in its shared object.
    pub fn is_function_not_found(&self) -> bool {
        self.kind == Kind::FunctionNotFound
    }

    /// The OS refused; [`source`](std::error::Error::source) says why.
    pub fn is_os(&self) -> bool {
        self.kind == Kind::Os
    }

    /// A value could not be turned into bytes.
    pub fn is_encode(&self) -> bool {
        self.kind == Kind::Encode
    }

    /// Bytes could not be turned back into a value.
    pub fn is_decode(&self) -> bool {
        self.kind == Kind::Decode
    }

    /// A process died while it held the requested lock or permit. Only the next process that asks
    /// gets this error, once; ask again to go on.
    pub fn is_owner_died(&self) -> bool {
        self.kind == Kind::OwnerDied
    }

    /// The time limit of a wait has passed.
    pub fn is_timed_out(&self) -> bool {
        self.kind == Kind::TimedOut
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            source: None,
        }
    }

    fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn multi_threaded(n_threads: usize) -> Self {
        Error::new(
            Kind::MultiThreaded,
            format!(
                "cannot fork: this process has {n_threads} threads, and a fork would copy the locks \
                 they hold; fork before the first thread, end the threads (drop the thread pool) \
                 first, or let a pool's workers start in another way (StartMethod::Auto)"
            ),
        )
    }

    /// The same for a function that cannot be shipped, in any pool; `why` says what it is, and
    /// `advice` what to do instead.
    pub(crate) fn for_closure(mut self, why: &str, advice: &str) -> Self {
        let (cannot, _) = self.message.split_once("; ").unwrap_or((&self.message, ""));
        self.message = format!(
            "{why}, so that only workers forked for the call could run it, but {cannot}; {advice}, \
             or make the call while there is one thread"
        );
        self
    }

    pub(crate) fn invalid_input(message: impl Into<String>) -> Self {
        Error::new(Kind::InvalidInput, message)
    }

    pub(crate) fn closed() -> Self {
        Error::new(
            Kind::Closed,
            "this pool was closed and takes no more tasks; create a new one with Pool::new()",
        )
    }

    pub(crate) fn closed_channel(message: impl Into<String>) -> Self {
        Error::new(Kind::Closed, message)
    }

    /// A process died while it held `what`; `state` says in which state that is.
    pub(crate) fn owner_died(what: &str, pid: u32, state: &str) -> Self {
        Error::new(
            Kind::OwnerDied,
            format!("process {pid} died while it held {what}; {state}; ask again to go on"),
        )
    }

    pub(crate) fn timed_out(what: &str) -> Self {
        Error::new(Kind::TimedOut, format!("{what} took longer than allowed"))
    }

    pub(crate) fn function_not_found(message: impl Into<String>) -> Self {
        Error::new(Kind::FunctionNotFound, message)
    }

    pub(crate) fn os(what: &str, source: std::io::Error) -> Self {
        Error::new(Kind::Os, format!("{what}: {source}")).because(source)
    }

    /// An OS error that another process reported.
    pub(crate) fn os_elsewhere(message: String, source: std::io::Error) -> Self {
        Error::new(Kind::Os, message).because(source)
    }

    /// A node that cannot be used.
    #[cfg(feature = "cluster")]
    pub(crate) fn unreachable(why: &str) -> Self {
        Error::os_elsewhere(why.to_owned(), std::io::ErrorKind::NotConnected.into())
    }

    pub(crate) fn last_os(what: &str) -> Self {
        Error::os(what, std::io::Error::last_os_error())
    }

    pub(crate) fn encode<E>(source: E, hint: &str) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        Error::new(Kind::Encode, format!("cannot encode: {source}{hint}")).because(source)
    }

    /// The same error, for a context that could not be encoded.
    pub(crate) fn of_context(mut self) -> Self {
        if self.is_encode() {
            self.message = format!("the context could not be sent: {}", self.message);
        }
        self
    }

    pub(crate) fn decode<E>(source: E, hint: &str) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        Error::new(Kind::Decode, format!("cannot decode: {source}{hint}")).because(source)
    }

    pub(crate) fn decode_message(message: impl Into<String>) -> Self {
        Error::new(Kind::Decode, message)
    }
}

/// The likely cause if a value cannot be decoded from its own bytes.
pub(crate) const NO_NAMES: &str = " (values travel without the names of their fields, so a type with a serde attribute that needs them, \
    such as skip_serializing_if, flatten, untagged or tag, cannot; send a String of serde_json instead, or write its \
    Serialize and Deserialize alike)";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
