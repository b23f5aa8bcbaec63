//! Runs a schedule on two OS threads.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread;

use super::model::{ACCOUNT, AMOUNT, COUNT, ScheduleEnd, Step, Steps, letter};
use crate::show::{self, GREEN, ORANGE};

/// A schedule that two threads ran, shown if it is the last expression of a cell.
#[derive(Clone, PartialEq)]
pub struct Replay {
    outcome: ScheduleEnd,
    lines: Vec<Line>,
    /// Errors in the schedule, or steps that are left.
    remarks: Vec<String>,
    result: String,
}

/// A thread's action in a turn, and the memory afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    thread: usize,
    did: String,
    memory: String,
}

/// The memory that both threads share.
struct Memory {
    count: AtomicU64,
    accounts: [AtomicU64; 2],
    locks: [Mutex<()>; 2],
}

/// The outcome of a turn.
enum Turn {
    Did(String),
    Waits(usize),
    Ended,
}

pub(super) fn replay(steps: &Steps, schedule: &str) -> Replay {
    let memory = Memory {
        count: AtomicU64::new(COUNT),
        accounts: [const { AtomicU64::new(ACCOUNT) }; 2],
        locks: [const { Mutex::new(()) }; 2],
    };
    let mut remarks = Vec::new();
    let mut turns = Vec::new();
    for given in schedule.chars().filter(|given| !given.is_whitespace()) {
        match given.to_ascii_uppercase() {
            'A' => turns.push(0),
            'B' => turns.push(1),
            _ => remarks.push(format!("`{given}` is no thread: they are A and B.")),
        }
    }
    let mut waits: [Option<usize>; 2] = [None; 2];
    let mut left = [steps[0].len(), steps[1].len()];
    let (lines, stuck) = thread::scope(|scope| {
        let memory = &memory;
        let (threads, joins): (Vec<_>, Vec<_>) = steps
            .iter()
            .map(|steps| {
                let (give_turn, turns) = channel();
                let (report, reports) = channel();
                let thread = scope.spawn(move || run(steps, memory, &turns, &report));
                ((give_turn, reports), thread)
            })
            .unzip();
        let mut lines = Vec::new();
        for thread in turns {
            let (give_turn, reports) = &threads[thread];
            let turn = match give_turn.send(()) {
                Ok(()) => reports.recv().unwrap_or(Turn::Ended),
                Err(_) => Turn::Ended,
            };
            let did = match turn {
                Turn::Did(did) => {
                    (waits[thread], left[thread]) = (None, left[thread] - 1);
                    did
                }
                Turn::Waits(lock) => {
                    waits[thread] = Some(lock);
                    format!("waits for lock {lock}")
                }
                Turn::Ended => {
                    remarks.push(format!("Thread {} has no step left.", letter(thread)));
                    continue;
                }
            };
            let memory = memory.told(steps);
            lines.push(Line {
                thread,
                did,
                memory,
            });
        }
        let is_taken = |lock: usize| memory.locks[lock].try_lock().is_err();
        let stuck = waits.map(|lock| lock.is_some_and(is_taken));
        // A thread that gets no more turns ends, and releases its locks.
        drop(threads);
        for thread in joins {
            thread.join().expect("a thread that steps does not panic");
        }
        (lines, stuck)
    });
    let outcome = outcome(&memory, steps, stuck, left);
    if outcome == ScheduleEnd::Unfinished {
        let unfinished = (0..2).filter(|thread| left[*thread] > 0);
        remarks.extend(unfinished.map(|thread| {
            format!(
                "Thread {} has {} of its steps left.",
                letter(thread),
                left[thread]
            )
        }));
    }
    Replay {
        outcome,
        lines,
        remarks,
        result: memory.told(steps),
    }
}

/// The body of a thread: one step per turn.
fn run<'a>(steps: &[Step], memory: &'a Memory, turns: &Receiver<()>, report: &Sender<Turn>) {
    let mut register = 0;
    let mut held: [Option<MutexGuard<'a, ()>>; 2] = [None, None];
    for step in steps {
        loop {
            if turns.recv().is_err() {
                return;
            }
            let turn = memory.step(*step, &mut register, &mut held);
            let is_done = matches!(turn, Turn::Did(_));
            if report.send(turn).is_err() {
                return;
            }
            if is_done {
                break;
            }
        }
    }
}

impl Memory {
    fn step<'a>(
        &'a self,
        step: Step,
        register: &mut u64,
        held: &mut [Option<MutexGuard<'a, ()>>; 2],
    ) -> Turn {
        Turn::Did(match step {
            Step::Load => {
                *register = self.count.load(SeqCst);
                format!("loads {register}")
            }
            Step::Add => {
                *register += 1;
                format!("adds: it has {register}")
            }
            Step::Store => {
                self.count.store(*register, SeqCst);
                format!("stores {register}")
            }
            Step::Lock(lock) => match self.locks[lock].try_lock() {
                Err(TryLockError::WouldBlock) => return Turn::Waits(lock),
                Ok(guard) => {
                    held[lock] = Some(guard);
                    format!("takes lock {lock}")
                }
                Err(TryLockError::Poisoned(_)) => unreachable!("no thread panics with a lock"),
            },
            Step::Unlock(lock) => {
                held[lock] = None;
                format!("gives lock {lock} back")
            }
            Step::Move(from, to) => {
                self.accounts[from].fetch_sub(AMOUNT, SeqCst);
                self.accounts[to].fetch_add(AMOUNT, SeqCst);
                format!("moves {AMOUNT} from {from} to {to}")
            }
        })
    }

    /// The content of the memory that these steps use.
    fn told(&self, steps: &Steps) -> String {
        let count = self.count.load(SeqCst);
        let [one, other] = [0, 1].map(|account| self.accounts[account].load(SeqCst));
        let moves = steps
            .iter()
            .flatten()
            .any(|step| matches!(step, Step::Move(..)));
        match moves {
            true => format!("accounts: {one} and {other}"),
            false => format!("count: {count}"),
        }
    }
}

fn outcome(memory: &Memory, steps: &Steps, stuck: [bool; 2], left: [usize; 2]) -> ScheduleEnd {
    let n_stores = steps
        .iter()
        .flatten()
        .filter(|step| **step == Step::Store)
        .count();
    let count = memory.count.load(SeqCst);
    match (left, stuck) {
        ([0, 0], _) if count == COUNT + n_stores as u64 => ScheduleEnd::Right,
        ([0, 0], _) => ScheduleEnd::Lost,
        (_, [true, true]) => ScheduleEnd::Deadlock,
        _ => ScheduleEnd::Unfinished,
    }
}

impl Replay {
    /// The outcome of the schedule.
    pub fn outcome(&self) -> ScheduleEnd {
        self.outcome
    }

    fn sentence(&self) -> String {
        let result = &self.result;
        match self.outcome {
            ScheduleEnd::Right => {
                format!("Both threads have ended, and nothing is lost ({result}).")
            }
            ScheduleEnd::Lost => {
                format!("Both threads have ended, and an addition is lost ({result}).")
            }
            ScheduleEnd::Deadlock => {
                "Deadlock: each thread waits for the lock that the other holds.".to_owned()
            }
            ScheduleEnd::Unfinished => "The schedule ends before the threads do.".to_owned(),
        }
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let lines = self.lines.iter().enumerate().map(|(index, line)| {
            let mut cells = [String::new(), String::new()];
            cells[line.thread].clone_from(&line.did);
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
                index + 1,
                cells[0],
                cells[1],
                line.memory
            )
        });
        let table = format!(
            "<table><thead><tr><th scope=\"col\">turn</th><th scope=\"col\">thread A</th>\
             <th scope=\"col\">thread B</th><th scope=\"col\">memory</th></tr></thead><tbody>{}</tbody></table>",
            lines.collect::<String>()
        );
        let remarks = self.remarks.join(" ");
        let body = show::code(&show::escape(
            format!("{} {remarks}", self.sentence()).trim(),
        ));
        let (colour, mark) = match self.outcome {
            ScheduleEnd::Right => (GREEN, "Right:"),
            ScheduleEnd::Unfinished => (ORANGE, "Unfinished:"),
            _ => (ORANGE, "Wrong:"),
        };
        let boxed = show::boxed(colour, mark, &body);
        show::show(format!("{table}{boxed}"), self);
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(
                f,
                "thread {} {}; {}",
                letter(line.thread),
                line.did,
                line.memory
            )?;
        }
        f.write_str(&self.sentence())?;
        for remark in &self.remarks {
            write!(f, " {remark}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::TwoThreads;
    use super::*;

    #[test]
    fn real_threads_come_to_what_the_model_says() {
        for threads in [
            TwoThreads::adding(),
            TwoThreads::adding_under_a_lock(),
            TwoThreads::transferring(),
        ] {
            for (schedule, outcome) in threads.outcomes() {
                let replayed = threads.replay(schedule);
                assert_eq!(replayed.outcome(), *outcome, "{schedule}: {replayed:?}");
                assert!(replayed.remarks.is_empty(), "{schedule}: {replayed:?}");
            }
        }
    }

    #[test]
    fn a_schedule_that_is_wrong_is_said_to_be() {
        let replayed = TwoThreads::adding().replay("a A ax");
        assert_eq!(replayed.outcome(), ScheduleEnd::Unfinished);
        let text = format!("{replayed:?}");
        assert!(
            text.contains("`x` is no thread") && text.contains("thread A stores 42"),
            "{text}"
        );
        assert!(
            text.ends_with("Thread B has 3 of its steps left."),
            "{text}"
        );
        let text = format!("{:?}", TwoThreads::adding().replay("AAAABBB"));
        assert!(text.contains("Thread A has no step left."), "{text}");
        assert!(text.contains("nothing is lost (count: 43)"), "{text}");
    }

    #[test]
    fn a_lock_is_waited_for() {
        let text = format!(
            "{:?}",
            TwoThreads::adding_under_a_lock().replay("ABAAAABBBBB")
        );
        assert!(text.contains("thread B waits for lock 0"), "{text}");
        assert!(text.contains("nothing is lost (count: 43)"), "{text}");
        let deadlock = TwoThreads::transferring().replay("ABAB");
        assert_eq!(deadlock.outcome(), ScheduleEnd::Deadlock, "{deadlock:?}");
    }
}
