//! Small programs that fork, generated from a seed: how many lines do they print?

use std::fmt;

use forklore::Fork;
use forklore::process::{Child, ChildGuard};

use super::record::{ForkWatch, What};
use crate::show::{self, GREEN, escape};

/// The maximum number of processes and of lines of a program.
const MOST_PROCESSES: usize = 8;

/// A statement of a program. Its number is that of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statement {
    /// Prints its number.
    Print,
    /// Forks; both processes continue.
    Fork,
    /// Forks; the child prints and exits, the parent continues.
    ForkToPrint,
    /// Forks; the child continues; the parent prints, waits and continues.
    ForkAndWait,
}

/// A program that forks. As the last expression of a cell, shows its lines.
#[derive(Clone, PartialEq, Eq)]
pub struct ForkPuzzle {
    seed: u64,
    statements: Vec<Statement>,
}

/// A run of a program. As the last expression of a cell, shows a lane for each process.
pub struct ForkRun {
    watch: ForkWatch,
}

impl ForkPuzzle {
    /// The program of this seed: the same on every machine.
    pub fn with_seed(seed: u64) -> ForkPuzzle {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        // xorshift64* (Vigna, 2014). Small seeds have similar first numbers, so these are skipped.
        let mut below = |n: u64| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
        };
        for _ in 0..8 {
            below(2);
        }
        loop {
            let mut statements: Vec<Statement> = (0..3 + below(3))
                .map(|_| match below(5) {
                    0 => Statement::Print,
                    1 | 2 => Statement::Fork,
                    3 => Statement::ForkToPrint,
                    _ => Statement::ForkAndWait,
                })
                .collect();
            statements.push(Statement::Print);
            let puzzle = ForkPuzzle { seed, statements };
            let n_processes = puzzle.n_processes();
            if (3..=MOST_PROCESSES).contains(&n_processes) && puzzle.n_lines() <= 16 {
                return puzzle;
            }
        }
    }

    /// The number of lines that it prints, computed by counting processes.
    pub fn n_lines(&self) -> usize {
        self.count().1
    }

    /// The number of processes, including the first.
    pub fn n_processes(&self) -> usize {
        self.count().0
    }

    /// The number of the program's lines that print: what a single process that runs all of them
    /// would print.
    pub fn n_prints(&self) -> usize {
        let prints = self.statements.iter();
        prints
            .filter(|statement| **statement != Statement::Fork)
            .count()
    }

    fn count(&self) -> (usize, usize) {
        let (mut n_processes, mut n_going, mut n_lines) = (1, 1, 0);
        for statement in &self.statements {
            match statement {
                Statement::Print => n_lines += n_going,
                Statement::ForkToPrint => {
                    n_processes += n_going;
                    n_lines += n_going;
                }
                Statement::Fork | Statement::ForkAndWait => {
                    n_lines += if *statement == Statement::ForkAndWait {
                        n_going
                    } else {
                        0
                    };
                    n_processes += n_going;
                    n_going *= 2;
                }
            }
        }
        (n_processes, n_lines)
    }

    /// Runs it in real processes, and records what they do.
    ///
    /// # Errors
    /// As [`forklore::fork`].
    ///
    /// # Example
    /// ```standalone_crate
    /// use forklore_course::ForkPuzzle;
    ///
    /// for puzzle in (0..50).map(ForkPuzzle::with_seed) {
    ///     let run = puzzle.run()?;
    ///     let counted = (puzzle.n_processes(), puzzle.n_lines());
    ///     assert_eq!((run.n_processes(), run.n_lines()), counted, "{puzzle:?}\n{run:?}");
    /// }
    /// # Ok::<(), forklore::Error>(())
    /// ```
    pub fn run(&self) -> forklore::Result<ForkRun> {
        let watch = ForkWatch::new()?;
        self.follow(&watch)?;
        Ok(ForkRun { watch })
    }

    /// Runs the statements in each process. Only the first process returns: a child exits with its
    /// guard, even if it cannot fork.
    fn follow(&self, watch: &ForkWatch) -> forklore::Result<()> {
        let mut children: Vec<Child> = Vec::new();
        let mut guards: Vec<ChildGuard> = Vec::new();
        for (index, statement) in self.statements.iter().enumerate() {
            let line = (index + 1).to_string();
            if *statement == Statement::Print {
                watch.line(&line);
                continue;
            }
            match (watch.fork()?, statement) {
                (Fork::Child(guard), Statement::ForkToPrint) => {
                    watch.line(&line);
                    watch.exit(guard, 0)
                }
                (Fork::Child(guard), _) => {
                    children.clear();
                    guards.push(guard);
                }
                (Fork::Parent(child), Statement::ForkAndWait) => {
                    watch.line(&line);
                    watch.wait(child);
                }
                (Fork::Parent(child), _) => children.push(child),
            }
        }
        for child in children {
            watch.wait(child);
        }
        match guards.pop() {
            Some(guard) => watch.exit(guard, 0),
            None => Ok(()),
        }
    }

    /// The program's lines.
    fn lines(&self) -> Vec<String> {
        let line = |(index, statement): (usize, &Statement)| {
            let number = index + 1;
            match statement {
                Statement::Print => format!("{number}  print \"{number}\""),
                Statement::Fork => format!("{number}  fork"),
                Statement::ForkToPrint => {
                    format!("{number}  fork; the child prints \"{number}\" and exits")
                }
                Statement::ForkAndWait => {
                    format!(
                        "{number}  fork; the parent prints \"{number}\" and waits for the child"
                    )
                }
            }
        };
        let mut lines: Vec<String> = self.statements.iter().enumerate().map(line).collect();
        lines.push("   wait for all children that are left, and exit".to_owned());
        lines
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let lines = escape(&self.lines().join("\n"));
        let html = format!(
            "<p><strong>Program {}</strong>: every process goes through its lines from where it came into being.</p>\
             <pre>{lines}</pre>",
            self.seed
        );
        show::show(html, self);
    }
}

impl fmt::Debug for ForkPuzzle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program {}\n{}", self.seed, self.lines().join("\n"))
    }
}

impl ForkRun {
    /// The number of lines printed.
    pub fn n_lines(&self) -> usize {
        self.count(|what| matches!(what, What::Line(_)))
    }

    /// The number of processes.
    pub fn n_processes(&self) -> usize {
        1 + self.count(|what| matches!(what, What::Forks(_)))
    }

    fn count(&self, is_it: fn(&What) -> bool) -> usize {
        let events = self.watch.events();
        events.iter().filter(|event| is_it(&event.what)).count()
    }

    fn sentence(&self) -> String {
        let (n_processes, n_lines) = (self.n_processes(), self.n_lines());
        format!("{n_processes} processes printed {n_lines} lines.")
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let boxed = show::boxed(GREEN, "Counted:", &self.sentence());
        show::show(format!("{}{boxed}", self.watch.html()), self);
    }
}

impl fmt::Debug for ForkRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}\n{}", self.watch, self.sentence())
    }
}
