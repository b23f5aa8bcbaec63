//! Explains a cell's end in words.

use crate::cell::bytes_in_words;
use crate::evcxr::control_lines::UserError;
use crate::protocol::{Aftermath, Failure, Frame, Place};
use crate::sys::signals::{Death, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV};
use crate::sys::trap::Fault;

/// Evidence besides the death itself.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The user process's last fault.
    pub fault: Option<Fault>,
    /// Its last panic.
    pub panic: Option<(String, Place)>,
    /// The calls in cells that led to it, the innermost first.
    pub frames: Vec<Frame>,
    /// The number of its panics.
    pub n_panics: u32,
    /// The end of what it wrote to standard error.
    pub stderr_tail: String,
    /// The memory limit, in bytes, and where it comes from.
    pub limit: Option<(u64, String)>,
    /// Whether threads of earlier cells have ended in a rollback.
    pub has_lost_threads: bool,
    /// Whether Linux counted one of our processes as killed for lack of memory.
    pub was_out_of_memory: bool,
}

/// Why a cell failed whose process died.
pub fn of_death(death: Death, evidence: &Evidence) -> Failure {
    let (name, message) = match death {
        Death::Exited(code) => ("Exit", format!("the cell ended its process with exit({code})")),
        Death::Signalled(SIGABRT) => return of_abort(evidence),
        Death::Signalled(SIGKILL) if evidence.was_out_of_memory => {
            ("OutOfMemory", "the cell used more memory than there is, and the system killed it".to_owned())
        }
        Death::Signalled(SIGKILL) => (
            "Killed",
            "the cell's process was killed by signal 9 (SIGKILL): by a user or a program, or by Linux for lack of memory".to_owned(),
        ),
        Death::Signalled(signal) => of_signal(signal, evidence.fault),
    };
    failure(name, message)
}

fn of_abort(evidence: &Evidence) -> Failure {
    if let Some(bytes) = allocation_failure(&evidence.stderr_tail) {
        let message = format!(
            "the cell requested {} of memory at once{}",
            bytes_in_words(bytes),
            why_not(evidence)
        );
        return failure("OutOfMemory", message);
    }
    let Some((panic, place)) = &evidence.panic else {
        return failure(
            "Abort",
            "the cell ended its process with abort()".to_owned(),
        );
    };
    let how = if evidence.n_panics > 1 {
        "panicked while it was panicking"
    } else {
        "panicked where it could not unwind"
    };
    Failure {
        place: Some(place.clone()),
        frames: evidence.frames.clone(),
        ..failure("Abort", format!("the cell {how}: {panic}"))
    }
}

fn of_signal(signal: i32, fault: Option<Fault>) -> (&'static str, String) {
    let fault = fault.filter(|fault| fault.signal == signal);
    match (signal, fault) {
        (SIGSEGV, Some(fault)) if fault.is_overflow => {
            ("StackOverflow", "the cell overflowed its stack: a recursion without an end, or a very large local variable".to_owned())
        }
        (SIGSEGV, Some(fault)) if fault.address < 4096 => {
            ("SegmentationFault", format!("the cell read or wrote through a null pointer (address {:#x})", fault.address))
        }
        (SIGSEGV, fault) => {
            let at = fault.map(|fault| format!(" (address {:#x})", fault.address)).unwrap_or_default();
            ("SegmentationFault", format!("the cell accessed memory that is not its own{at}"))
        }
        (SIGBUS, _) => ("BusError", "the cell accessed mapped memory without backing, such as beyond the end of a file (SIGBUS)".to_owned()),
        (SIGILL, _) => ("IllegalInstruction", "the cell ran an instruction that this processor does not support (SIGILL)".to_owned()),
        (SIGFPE, _) => ("ArithmeticFault", "the cell caused an arithmetic fault, such as a division by zero in C (SIGFPE)".to_owned()),
        (signal, _) => ("Killed", format!("the cell's process was killed by signal {signal} ({})", signal_name(signal))),
    }
}

/// The cell panicked and evcxr's code caught it.
pub fn of_panic(evidence: &Evidence) -> Failure {
    match &evidence.panic {
        Some((message, place)) => {
            // The panic says only that a worker died for lack of memory.
            let want = allocation_failure(&evidence.stderr_tail).map(|bytes| {
                format!(
                    "; a process requested {} of memory at once{}",
                    bytes_in_words(bytes),
                    why_not(evidence)
                )
            });
            let message = in_other_words(message, place, evidence) + &want.unwrap_or_default();
            Failure {
                place: Some(place.clone()),
                frames: evidence.frames.clone(),
                ..failure("Panic", message)
            }
        }
        None => failure("Panic", "the cell panicked".to_owned()),
    }
}

/// A panic's message, reworded where libraries cannot know about notebooks.
fn in_other_words(message: &str, place: &Place, evidence: &Evidence) -> String {
    // The result of joining a thread's handle.
    let is_join = place.file.contains("library/std/src/thread") && message.contains("`None`");
    if is_join && evidence.has_lost_threads {
        return "the thread of this `JoinHandle` ended without a result when a cell was rolled back; \
                run the cell again that starts it"
            .to_owned();
    }
    if message.ends_with("`Err` value: Any { .. }")
        && let Some(thread) = last_panic_in(&evidence.stderr_tail)
    {
        return format!("{message}; the thread panicked: {thread}");
    }
    if message.starts_with("there is no reactor running") {
        return format!(
            "{message}; a cell with an `.await` has one, as `tokio::spawn(…).await`, or make your own: \
             `let runtime = tokio::runtime::Runtime::new()?;`"
        );
    }
    message.to_owned()
}

/// The message of the last panic that the prelude has shown (see `prelude_source.rs`).
fn last_panic_in(stderr: &str) -> Option<&str> {
    let (_, told) = stderr.rsplit_once("' panicked")?;
    let text = match told.strip_prefix(": ") {
        Some(text) => text,
        None => told.split_once(":\n")?.1,
    };
    text.lines().next().filter(|line| !line.is_empty())
}

/// A `?` of the cell returned an error. If the library did not report it, its text is the last
/// output on standard error.
pub fn of_user_error(told: Option<&UserError>, stderr: &[u8]) -> Failure {
    let stderr = String::from_utf8_lossy(stderr);
    let text = told.map_or(&*stderr, |error| &error.text).trim();
    let mut parts = text.split('\0').map(|part| part.trim().to_owned());
    let mut message = parts.next().unwrap_or_default();
    if message.is_empty() {
        message = "a ? in the cell met an error".to_owned();
    }
    Failure {
        causes: parts.collect(),
        place: told.map(|error| error.place.clone()),
        ..failure("QuestionMark", message)
    }
}

/// A failure of this kind without further details, which leads to a rollback.
pub fn failure(name: &str, message: String) -> Failure {
    Failure {
        name: name.to_owned(),
        message,
        causes: Vec::new(),
        place: None,
        frames: Vec::new(),
        aftermath: Aftermath::RolledBack(Vec::new()),
    }
}

/// Why an allocation failed.
fn why_not(evidence: &Evidence) -> String {
    match &evidence.limit {
        Some((bytes, origin)) => format!(
            ", which would have taken it past the limit of {} ({origin}); see `%limit`",
            bytes_in_words(*bytes)
        ),
        None => ", and there is not as much".to_owned(),
    }
}

/// The number in std's message "memory allocation of N bytes failed".
fn allocation_failure(stderr: &str) -> Option<u64> {
    let (_, rest) = stderr.rsplit_once("memory allocation of ")?;
    let (bytes, _) = rest.split_once(" bytes failed")?;
    bytes.parse().ok()
}

fn signal_name(signal: i32) -> &'static str {
    nix::sys::signal::Signal::try_from(signal)
        .map_or("a real-time signal", |signal| signal.as_str())
}

#[cfg(test)]
mod tests {
    use libc::{SIGRTMIN, SIGTERM};

    use super::*;
    fn fault(address: usize, is_overflow: bool) -> Evidence {
        Evidence {
            fault: Some(Fault {
                signal: SIGSEGV,
                address,
                is_overflow,
            }),
            ..Evidence::default()
        }
    }

    #[test]
    fn panics_that_come_of_the_notebook_say_so() {
        let panicked = |message: &str, file: &str, has_lost_threads| {
            let place = Place {
                file: file.to_owned(),
                line: 1,
                column: 1,
            };
            let evidence = Evidence {
                panic: Some((message.to_owned(), place)),
                has_lost_threads,
                ..Evidence::default()
            };
            of_panic(&evidence).message
        };
        let (none, std) = (
            "called `Option::unwrap()` on a `None` value",
            "/rustc/1/library/std/src/thread/mod.rs",
        );
        assert!(panicked(none, std, true).contains("was rolled back"));
        assert_eq!(panicked(none, std, false), none);
        assert_eq!(panicked(none, "src/lib.rs", true), none);
        for told in [
            "thread '<unnamed>' panicked at src/lib.rs:1:2:\noh no\n",
            "thread 'a' panicked: oh no\nmore\n",
        ] {
            assert_eq!(last_panic_in(told), Some("oh no"));
        }
        assert_eq!(last_panic_in("nothing"), None);
        let reactor =
            "there is no reactor running, must be called from the context of a Tokio 1.x runtime";
        assert!(panicked(reactor, "tokio/src/lib.rs", false).contains("`.await` has one"));
    }

    #[test]
    fn deaths_have_names() {
        let none = Evidence::default();
        let out_of_memory = Evidence {
            was_out_of_memory: true,
            ..Evidence::default()
        };
        let allocation = Evidence {
            stderr_tail: "memory allocation of 99 bytes failed\n".to_owned(),
            ..Evidence::default()
        };
        let limited = Evidence {
            limit: Some((1 << 30, "`%limit memory 1 GiB`".to_owned())),
            ..allocation.clone()
        };
        let cases = [
            (
                Death::Signalled(SIGABRT),
                &limited,
                "OutOfMemory",
                "the limit of 1 GiB (`%limit memory 1 GiB`)",
            ),
            (Death::Exited(3), &none, "Exit", "exit(3)"),
            (Death::Signalled(SIGABRT), &none, "Abort", "abort()"),
            (
                Death::Signalled(SIGABRT),
                &allocation,
                "OutOfMemory",
                "99 bytes",
            ),
            (Death::Signalled(SIGKILL), &none, "Killed", "signal 9"),
            (
                Death::Signalled(SIGKILL),
                &out_of_memory,
                "OutOfMemory",
                "memory",
            ),
            (Death::Signalled(SIGTERM), &none, "Killed", "SIGTERM"),
            (Death::Signalled(SIGRTMIN()), &none, "Killed", "real-time"),
            (
                Death::Signalled(SIGSEGV),
                &fault(0, false),
                "SegmentationFault",
                "null pointer",
            ),
            (
                Death::Signalled(SIGSEGV),
                &fault(0x5000, false),
                "SegmentationFault",
                "0x5000",
            ),
            (
                Death::Signalled(SIGSEGV),
                &fault(0x5000, true),
                "StackOverflow",
                "stack",
            ),
            (
                Death::Signalled(SIGSEGV),
                &none,
                "SegmentationFault",
                "not its own",
            ),
            (
                Death::Signalled(SIGILL),
                &none,
                "IllegalInstruction",
                "SIGILL",
            ),
        ];
        for (death, evidence, name, part) in cases {
            let failure = of_death(death, evidence);
            assert_eq!(failure.name, name, "{death:?}");
            assert!(
                failure.message.contains(part),
                "{death:?}: {}",
                failure.message
            );
        }
    }

    #[test]
    fn a_panic_that_aborts_keeps_its_message_and_place() {
        let place = Place {
            file: "src/lib.rs".to_owned(),
            line: 3,
            column: 1,
        };
        let evidence = Evidence {
            panic: Some(("boom".to_owned(), place.clone())),
            n_panics: 2,
            ..Evidence::default()
        };
        let failure = of_death(Death::Signalled(SIGABRT), &evidence);
        assert_eq!(
            (failure.name.as_str(), failure.place),
            ("Abort", Some(place))
        );
        assert!(failure.message.contains("while it was panicking: boom"));
    }

    #[test]
    fn a_question_mark_has_the_error_s_causes() {
        let place = Place {
            file: "src/lib.rs".to_owned(),
            line: 3,
            column: 1,
        };
        let text = "outer\0inner\n\0innermost".to_owned();
        let failure = of_user_error(Some(&UserError { text, place }), b"");
        assert_eq!(failure.message, "outer");
        assert_eq!(failure.causes, ["inner", "innermost"]);
    }

    #[test]
    fn a_question_mark_takes_the_text_from_standard_error() {
        assert_eq!(
            of_user_error(None, b"no such file\n").message,
            "no such file"
        );
        assert_eq!(
            of_user_error(None, b"\n").message,
            "a ? in the cell met an error"
        );
    }
}
