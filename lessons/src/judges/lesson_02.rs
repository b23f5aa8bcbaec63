//! Lesson 02: what parent and child have after a fork.

use super::finding::{Finding, untouched, wrong};

/// The check cell's errands: the exit code that the child should have, and the code that arrives.
const ERRANDS: [(i32, i32); 4] = [(0, 0), (7, 7), (42, 42), (300, 44)];

/// 02.1: `errand(code)` for each of [`ERRANDS`].
pub(crate) fn exit_codes(answers: &[Option<i32>]) -> Finding {
    if answers.len() != ERRANDS.len() {
        return wrong("leave the check cell as it was: it makes four calls".into());
    }
    if answers.iter().all(Option::is_none) {
        return untouched(
            "no child came back with anything: fill in the three arms, or open hint 1.".into(),
        );
    }
    for (answer, (asked, wanted)) in answers.iter().zip(ERRANDS) {
        if *answer != Some(wanted) {
            return wrong(format!(
                "`errand({asked})` gave {answer:?}, expected Some({wanted}). {}",
                likely_cause(answers, *answer, asked)
            ));
        }
    }
    Ok("the child ended in its own branch, and the parent heard how. Of 300 only the lowest eight \
        bits fit into an exit status: 44 arrived."
        .into())
}

fn likely_cause(answers: &[Option<i32>], answer: Option<i32>, asked: i32) -> &'static str {
    if answers.iter().all(|answer| *answer == Some(0)) {
        "Every child exits with 0: that is what dropping the guard does. Give it the code, with \
         `guard.exit(code)`."
    } else if answer == Some(asked) {
        "That is the number you were given, not the one that the child ended with: an exit status has \
         eight bits. Ask the child, with `child.wait().code()`."
    } else if answer.is_some_and(|number| number > 255) {
        "That looks like a process id. `child.pid()` says who the child is; how it ended is in \
         `child.wait().code()`."
    } else if answer.is_none() {
        "A child that exits has a code; only one that a signal ends has none. Is it killed, by dropping \
         `child` before it has ended? `wait` for it."
    } else {
        "The code is passed through `guard.exit` in the child and `child.wait().code()` in the parent \
         (hint 2)."
    }
}

/// 02.1 and 02.2: the finding, and whether a child had a part in the answer.
pub(crate) fn by_children(finding: Finding, by_children: bool) -> Finding {
    let solved = finding?;
    match by_children {
        true => Ok(solved),
        false => wrong(
            "the numbers are right, but no child was forked and waited for: this process made them up. Let a child do its \
             part, and take what comes back from it (hint 2)."
                .into(),
        ),
    }
}

/// 02.2: `diverge(10)`: the child's process id, the number in the child, and the number in the
/// parent.
pub(crate) fn diverged((pid, in_child, in_parent): &(u32, u64, u64)) -> Finding {
    let (wanted_child, wanted_parent) = (20, 11);
    if (*pid, *in_child, *in_parent) == (0, 0, 0) {
        return untouched("nothing is forked yet: fill in the gap, or open hint 1.".into());
    }
    if *pid == std::process::id() {
        return wrong(format!(
            "process {pid} did the child's part, and that is the parent itself. Take the id *inside* \
             the closure that is handed to `Process::spawn`: only that runs in the child."
        ));
    }
    let cause = match (*in_child, *in_parent) {
        (20, 11) => {
            return Ok(format!(
                "process {pid} made 20 of the same 10 of which the parent made 11. After the fork each \
                 writes to memory of its own."
            ));
        }
        (11, 20) => "They are swapped: the child doubles, the parent adds one.",
        (22, _) => {
            "The child doubled 11: the parent's 1 was added before the fork, so the child inherited it. \
             Add it after the fork."
        }
        (_, 21) => {
            "The parent added 1 to 20: the doubling happened before the fork, so both have it. Double \
             inside the closure."
        }
        (20, 20) => {
            "The parent took over the child's number. Its own was never doubled: it is still 10, and \
             1 is to be added to that."
        }
        (20, 10) => "The child is right. The parent has yet to add 1 to its own number.",
        _ => "The child doubles its number, the parent adds 1 to its own, both after the fork.",
    };
    wrong(format!(
        "expected {wanted_child} in the child and {wanted_parent} in the parent, got {in_child} and \
         {in_parent}. {cause}"
    ))
}

/// The check cell's calls: resident megabytes, number of children, the share that each child
/// writes.
const PLANS: [(f64, f64, f64); 3] = [(1000.0, 4.0, 0.0), (1000.0, 4.0, 0.25), (200.0, 1.0, 1.0)];

/// 02.3: `physical_mb(resident, children, share)` for each of [`PLANS`].
pub(crate) fn memory(answers: &[f64]) -> Finding {
    if answers.len() != PLANS.len() {
        return wrong("leave the check cell as it was: it makes three calls".into());
    }
    if answers.iter().all(|answer| *answer == 0.0) {
        return untouched(
            "`physical_mb` is 0 for everything: fill in the gap, or open hint 1.".into(),
        );
    }
    let all = |rule: fn(f64, f64, f64) -> f64| {
        let mut pairs = answers.iter().zip(PLANS);
        pairs.all(|(answer, (mb, n, share))| (answer - rule(mb, n, share)).abs() < 1e-6)
    };
    if all(|mb, n, share| mb + n * share * mb) {
        return Ok(
            "the parent's pages exist once, and each child adds the pages that it writes: \
                   1000 MB and four readers are still 1000 MB."
                .into(),
        );
    }
    let cause = if all(|mb, n, _| mb + n * mb) {
        "That would be right if fork copied everything at once. A page that no process writes to exists once."
    } else if all(|mb, n, share| n * share * mb) {
        "That is what the children add. The parent's own pages are still there."
    } else if all(|mb, _, share| mb + share * mb) {
        "That is one child. Each of them has copies of its own of what it writes."
    } else {
        "The parent's megabytes once, and for each child the share of them that it writes (hint 1)."
    };
    let ((mb, n, share), answer) = PLANS
        .iter()
        .zip(answers)
        .find(|((mb, n, share), answer)| (*answer - (mb + n * share * mb)).abs() >= 1e-6)
        .unwrap_or((&PLANS[0], &answers[0]));
    wrong(format!(
        "`physical_mb({mb}, {n}, {share})` gave {answer}, expected {}. {cause}",
        mb + n * share * mb
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    #[test]
    fn exit_codes_that_were_not_asked_of_the_child_are_seen() {
        assert!(said(exit_codes(&ERRANDS.map(|(_, code)| Some(code)))).starts_with("solved"));
        assert!(said(exit_codes(&[None; 4])).contains("three arms"));
        assert!(said(exit_codes(&[Some(0); 4])).contains("dropping the guard"));
        assert!(said(exit_codes(&ERRANDS.map(|(code, _)| Some(code)))).contains("eight bits"));
        assert!(said(exit_codes(&[Some(4711); 4])).contains("process id"));
    }

    #[test]
    fn what_diverged_too_early_is_seen() {
        let child = std::process::id() + 1;
        assert!(said(diverged(&(child, 20, 11))).starts_with("solved"));
        assert!(said(diverged(&(std::process::id(), 20, 11))).contains("parent itself"));
        assert!(said(diverged(&(child, 22, 11))).contains("before the fork"));
        assert!(said(diverged(&(child, 20, 21))).contains("Double inside"));
    }

    #[test]
    fn right_numbers_without_a_child_are_not_enough() {
        let right = |by_child| by_children(diverged(&(std::process::id() + 1, 20, 11)), by_child);
        assert!(said(right(true)).starts_with("solved"));
        assert!(said(right(false)).contains("no child was forked"));
        let wrong = by_children(exit_codes(&[Some(0); 4]), false);
        assert!(said(wrong).contains("dropping the guard"));
    }

    #[test]
    fn memory_is_counted_once_and_per_child() {
        let answers = |rule: fn(f64, f64, f64) -> f64| PLANS.map(|(a, b, c)| rule(a, b, c));
        assert!(said(memory(&answers(|mb, n, share| mb + n * share * mb))).starts_with("solved"));
        assert!(said(memory(&answers(|mb, n, _| mb * (n + 1.0)))).contains("copied everything"));
        assert!(said(memory(&answers(|mb, n, share| n * share * mb))).contains("still there"));
        assert!(said(memory(&answers(|mb, _, share| mb + share * mb))).contains("one child"));
    }
}
