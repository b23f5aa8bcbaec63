//! A record of events in several processes, in memory that they share.

use std::time::{Duration, Instant};

use forklore::process::{Child, ChildGuard, Exit};
use forklore::{Fork, SharedArray};

/// The maximum number of events. Later ones are not recorded.
const MOST_EVENTS: usize = 512;
/// The words of an event: kind, process, other, time; then the text.
const TEXT_AT: usize = 4;
const TEXT_WORDS: usize = 5;
const WORDS: usize = TEXT_AT + TEXT_WORDS;
const TEXT_BYTES: usize = TEXT_WORDS * 8;

/// The kind of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The process forked this child.
    Forks(i32),
    /// A line of the program ran.
    Line(String),
    /// The process is about to end with this code.
    Exits(i32),
    /// The process begins to wait for this child.
    Waits(i32),
    /// The process has waited for this child, which ended with a code from 0 up, or with a signal,
    /// as a negative number.
    Reaps(i32, i32),
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) pid: i32,
    /// The time since the record began.
    pub(super) nanoseconds: u64,
    pub(super) what: What,
}

/// Records what forked processes do, for a figure with a lane for each.
///
/// As the last expression of a cell, shows the figure: lanes in the order of the processes'
/// creation, arrows for fork and wait, exit codes, and which lines ran where. A child that has
/// ended and was not waited for yet is hatched: a zombie.
///
/// It records only calls of its own methods: [`fork`](ForkWatch::fork), [`line`](ForkWatch::line),
/// [`exit`](ForkWatch::exit) and [`wait`](ForkWatch::wait), at most 512 events.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use forklore::Fork;
/// use forklore_course::ForkWatch;
///
/// let watch = ForkWatch::new()?;
/// match watch.fork()? {
///     Fork::Child(guard) => {
///         watch.line("in the child");
///         watch.exit(guard, 7)
///     }
///     Fork::Parent(child) => assert_eq!(watch.wait(child).code(), Some(7)),
/// }
/// assert!(format!("{watch:?}").contains("B runs: in the child"));
/// # Ok(()) }
/// ```
pub struct ForkWatch {
    /// The number of events, then the events.
    words: SharedArray<u64>,
    start: Instant,
    pub(super) first_pid: i32,
}

impl ForkWatch {
    /// An empty record. This process is the first.
    ///
    /// # Errors
    /// `is_os()` if the OS refuses the memory.
    pub fn new() -> forklore::Result<ForkWatch> {
        Ok(ForkWatch {
            words: SharedArray::zeroed(1 + MOST_EVENTS * WORDS)?,
            start: Instant::now(),
            first_pid: own_pid(),
        })
    }

    /// Forks as [`forklore::fork`] does, and records it.
    ///
    /// # Errors
    /// As [`forklore::fork`].
    pub fn fork(&self) -> forklore::Result<Fork> {
        // The child may run, and record events, before `fork` returns in the parent.
        let before = self.start.elapsed();
        let fork = forklore::fork()?;
        if let Fork::Parent(child) = &fork {
            self.note_at(before, 0, child.pid(), 0, "");
        }
        Ok(fork)
    }

    /// Records that a line of the program runs in this process.
    pub fn line(&self, text: &str) {
        self.note(1, 0, 0, text);
    }

    /// Records the end of this child, and exits.
    pub fn exit(&self, guard: ChildGuard, code: i32) -> ! {
        self.note(2, code & 0xff, 0, "");
        guard.exit(code)
    }

    /// Waits for a child, and records when the wait began and when it ended.
    pub fn wait(&self, child: Child) -> Exit {
        let pid = child.pid();
        self.note(3, pid, 0, "");
        let exit = child.wait();
        let end = match (exit.code(), exit.signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => -signal,
            (None, None) => 0,
        };
        self.note(4, pid, end, "");
        exit
    }

    fn note(&self, kind: u64, other: i32, end: i32, text: &str) {
        self.note_at(self.start.elapsed(), kind, other, end, text);
    }

    /// Each process reserves an event before it writes it, so two processes never write to the same
    /// one.
    fn note_at(&self, at: Duration, kind: u64, other: i32, end: i32, text: &str) {
        let index = self.words.update(0, |n| n + 1) as usize - 1;
        if index >= MOST_EVENTS {
            return;
        }
        let mut bytes = [0; TEXT_BYTES];
        let cut = text.floor_char_boundary(TEXT_BYTES);
        bytes[..cut].copy_from_slice(&text.as_bytes()[..cut]);
        let pids = u64::from(own_pid() as u32) << 32 | u64::from(other as u32);
        let first = 1 + index * WORDS;
        self.words.set(first + 1, pids);
        self.words.set(first + 2, u64::from(end as u32));
        self.words.set(first + 3, at.as_nanos() as u64);
        for (word, bytes) in bytes.as_chunks().0.iter().enumerate() {
            self.words
                .set(first + TEXT_AT + word, u64::from_le_bytes(*bytes));
        }
        // Written last: a process that is killed before this leaves an event without a kind.
        self.words.set(first, kind + 1);
    }

    /// The events, sorted by time. Running processes may add more.
    pub(super) fn events(&self) -> Vec<Noted> {
        let n_events = (self.words.get(0) as usize).min(MOST_EVENTS);
        let mut events: Vec<Noted> = (0..n_events)
            .filter_map(|index| self.event(index))
            .collect();
        events.sort_by_key(|event| event.nanoseconds);
        events
    }

    fn event(&self, index: usize) -> Option<Noted> {
        let word = |offset: usize| self.words.get(1 + index * WORDS + offset);
        let (other, end) = (word(1) as u32 as i32, word(2) as u32 as i32);
        let what = match word(0).checked_sub(1)? {
            0 => What::Forks(other),
            1 => What::Line(text(&[0, 1, 2, 3, 4].map(|at| word(TEXT_AT + at)))),
            2 => What::Exits(other),
            3 => What::Waits(other),
            _ => What::Reaps(other, end),
        };
        Some(Noted {
            pid: (word(1) >> 32) as i32,
            nanoseconds: word(3),
            what,
        })
    }
}

fn text(words: &[u64; TEXT_WORDS]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').to_owned()
}

fn own_pid() -> i32 {
    std::process::id() as i32
}
