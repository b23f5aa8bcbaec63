//! Two threads as steps, and the outcome of each order of the steps.

/// One step of a thread. It is atomic: no other step can run in the middle of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Reads the count into the thread's own register.
    Load,
    /// Adds 1 in the register.
    Add,
    /// Writes the register to the count.
    Store,
    Lock(usize),
    Unlock(usize),
    /// Moves 10 from one account to another.
    Move(usize, usize),
}

/// The program: the steps of thread A and of thread B.
pub(super) type Steps = [Vec<Step>; 2];

/// The outcome of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleEnd {
    /// Both threads have ended, and the result is correct.
    Right,
    /// Both threads have ended, and an addition is lost.
    Lost,
    /// Each thread waits for a lock that the other holds.
    Deadlock,
    /// There are steps left.
    Unfinished,
}

/// The state of two threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The number of steps that each has done.
    pub(super) done: [usize; 2],
    pub(super) registers: [Option<u64>; 2],
    pub(super) count: u64,
    pub(super) accounts: [u64; 2],
    /// The thread that holds each lock.
    pub(super) holders: [Option<usize>; 2],
    /// The lock for which each thread waits.
    pub(super) waits: [Option<usize>; 2],
}

/// The value of the count before the threads add to it, and the balance of each account.
pub(super) const COUNT: u64 = 41;
pub(super) const ACCOUNT: u64 = 100;
pub(super) const AMOUNT: u64 = 10;

impl State {
    pub(super) fn start() -> State {
        State {
            done: [0; 2],
            registers: [None; 2],
            count: COUNT,
            accounts: [ACCOUNT; 2],
            holders: [None; 2],
            waits: [None; 2],
        }
    }

    /// A thread's next step.
    pub(super) fn next(&self, steps: &Steps, thread: usize) -> Option<Step> {
        steps[thread].get(self.done[thread]).copied()
    }

    /// Whether the thread could take a step in its next turn.
    pub(super) fn is_ready(&self, steps: &Steps, thread: usize) -> bool {
        let is_free = |lock: usize| self.holders[lock].is_none();
        self.next(steps, thread).is_some() && self.waits[thread].is_none_or(is_free)
    }

    /// Gives a thread a turn. It takes its next step, or finds that it must wait for a lock.
    pub(super) fn turn(&mut self, steps: &Steps, thread: usize) {
        let Some(step) = self.next(steps, thread) else {
            return;
        };
        let register = &mut self.registers[thread];
        match step {
            Step::Load => *register = Some(self.count),
            Step::Add => *register = register.map(|value| value + 1),
            Step::Store => self.count = register.unwrap_or(self.count),
            Step::Unlock(lock) => self.holders[lock] = None,
            Step::Move(from, to) => {
                self.accounts[from] -= AMOUNT;
                self.accounts[to] += AMOUNT;
            }
            Step::Lock(lock) if self.holders[lock].is_some() => {
                self.waits[thread] = Some(lock);
                return;
            }
            Step::Lock(lock) => self.holders[lock] = Some(thread),
        }
        self.waits[thread] = None;
        self.done[thread] += 1;
    }

    pub(super) fn outcome(&self, steps: &Steps) -> ScheduleEnd {
        let is_there = |thread: &usize| self.next(steps, *thread).is_some();
        match (0..2).filter(is_there).count() {
            0 if self.count == self.count_expected(steps) => ScheduleEnd::Right,
            0 => ScheduleEnd::Lost,
            _ if (0..2).any(|thread| self.is_ready(steps, thread)) => ScheduleEnd::Unfinished,
            _ => ScheduleEnd::Deadlock,
        }
    }

    pub(super) fn count_expected(&self, steps: &Steps) -> u64 {
        let is_store = |step: &&Step| **step == Step::Store;
        COUNT + steps.iter().flatten().filter(is_store).count() as u64
    }
}

/// Every possible schedule, as letters, and its outcome. A thread that waits for a lock gets no
/// turn until the lock is free.
pub(super) fn schedules(steps: &Steps) -> Vec<(String, ScheduleEnd)> {
    let mut found = Vec::new();
    follow(steps, &State::start(), String::new(), &mut found);
    found
}

fn follow(steps: &Steps, state: &State, so_far: String, found: &mut Vec<(String, ScheduleEnd)>) {
    match state.outcome(steps) {
        ScheduleEnd::Unfinished => {}
        outcome => {
            found.push((so_far, outcome));
            return;
        }
    }
    for thread in (0..2).filter(|thread| state.is_ready(steps, *thread)) {
        let mut next = state.clone();
        next.turn(steps, thread);
        follow(steps, &next, format!("{so_far}{}", letter(thread)), found);
    }
}

pub(super) fn letter(thread: usize) -> char {
    ['A', 'B'][thread]
}

impl Step {
    /// The step's text.
    pub(super) fn name(self) -> String {
        match self {
            Step::Load => "load".to_owned(),
            Step::Add => "add 1".to_owned(),
            Step::Store => "store".to_owned(),
            Step::Lock(lock) => format!("lock {lock}"),
            Step::Unlock(lock) => format!("unlock {lock}"),
            Step::Move(_, to) => format!("move {AMOUNT} to {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDING: [Step; 3] = [Step::Load, Step::Add, Step::Store];

    fn adding() -> Steps {
        [ADDING.to_vec(), ADDING.to_vec()]
    }

    fn number_of(steps: &Steps, outcome: ScheduleEnd) -> usize {
        let all = schedules(steps);
        all.iter().filter(|(_, found)| *found == outcome).count()
    }

    #[test]
    fn of_twenty_schedules_two_are_right() {
        let all = schedules(&adding());
        assert_eq!(all.len(), 20);
        let right: Vec<&str> = all
            .iter()
            .filter(|(_, outcome)| *outcome == ScheduleEnd::Right)
            .map(|(letters, _)| letters.as_str())
            .collect();
        assert_eq!(right, ["AAABBB", "BBBAAA"]);
        assert_eq!(number_of(&adding(), ScheduleEnd::Lost), 18);
    }

    #[test]
    fn with_a_lock_all_are_right() {
        let locked: Vec<Step> = [Step::Lock(0)]
            .into_iter()
            .chain(ADDING)
            .chain([Step::Unlock(0)])
            .collect();
        let steps = [locked.clone(), locked];
        let all = schedules(&steps);
        assert!(all.len() > 2, "{all:?}");
        assert_eq!(number_of(&steps, ScheduleEnd::Right), all.len());
    }

    #[test]
    fn two_orders_of_two_locks_may_end_in_a_deadlock() {
        let transfer = |one: usize, other: usize| {
            vec![
                Step::Lock(one),
                Step::Lock(other),
                Step::Move(0, 1),
                Step::Unlock(other),
                Step::Unlock(one),
            ]
        };
        let crossed = [transfer(0, 1), transfer(1, 0)];
        assert!(number_of(&crossed, ScheduleEnd::Deadlock) > 0);
        assert!(number_of(&crossed, ScheduleEnd::Right) > 0);
        let alike = [transfer(0, 1), transfer(0, 1)];
        assert_eq!(number_of(&alike, ScheduleEnd::Deadlock), 0);
    }
}
