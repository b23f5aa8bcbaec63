//! Lesson 10: races, cache lines, and the order of locks.

use super::finding::{Finding, untouched, wrong};

/// The number of even numbers in the two calls together: half of eighty million.
const EVENS: u64 = 40_000_000;

/// 10.1: the value of a shared counter after two processes have counted even numbers.
pub(crate) fn even_count(counted: &u64) -> Finding {
    let wrong = |cause: &str| {
        wrong(format!(
            "the counter holds {counted}, expected {EVENS}. {cause}"
        ))
    };
    match *counted {
        EVENS => Ok(
            "no addition was lost. If each process adds its own sum once, they meet only twice in \
             eighty million numbers."
                .into(),
        ),
        0 => untouched(
            "the counter is still 0: fill in the gap, or open hint 1. (A variable of its own that a \
             process counts in is a copy: no other process sees it.)"
                .into(),
        ),
        1 | 2 => wrong("It was increased once for each process, not by what each has found (hint 2)."),
        n if n == EVENS / 2 => wrong(
            "That is only one of the two halves: `set` throws away what the other process had put \
             there. Add to it, with `update` (hint 2).",
        ),
        n if n == 2 * EVENS => wrong(
            "That is all numbers, even and odd. The even ones have no remainder when they are divided \
             by 2 (hint 1).",
        ),
        n if n < EVENS => wrong(
            "Additions were lost, and another number next time: somewhere the counter is read and then \
             written, and the other process came between. Make it one step, with `update`.",
        ),
        _ => wrong("Something is counted more than once."),
    }
}

const NUMBERS_PER_LINE: usize = 64 / size_of::<u64>();

/// 10.2: `places(n)` for 1, 2 and 4 threads.
pub(crate) fn places(answers: &[Vec<usize>]) -> Finding {
    const THREADS: [usize; 3] = [1, 2, 4];
    if answers.len() != THREADS.len() {
        return wrong("leave the check cell as it was: it makes three calls".into());
    }
    if answers
        .iter()
        .zip(THREADS)
        .all(|(answer, n)| answer.iter().copied().eq(0..n))
    {
        return untouched(
            "`places(2)` gave [0, 1]: these are neighbours, and lie in one line. Fill in the distance (hint 1).".into(),
        );
    }
    for (answer, n) in answers.iter().zip(THREADS) {
        let wanted: Vec<usize> = (0..n).map(|thread| thread * NUMBERS_PER_LINE).collect();
        if *answer != wanted {
            return wrong(format!(
                "`places({n})` gave {answer:?}, expected {wanted:?}. {}",
                place_cause(answer, n)
            ));
        }
    }
    Ok(
        "each counter has a line of its own. In a program you would write `#[repr(align(64))]`, or 128 \
         where the processor fetches lines in pairs."
            .into(),
    )
}

fn place_cause(answer: &[usize], n: usize) -> &'static str {
    let distances: Vec<usize> = answer
        .windows(2)
        .map(|pair| pair[1].abs_diff(pair[0]))
        .collect();
    if answer.len() != n {
        "Each thread needs one place."
    } else if answer.first() != Some(&0) {
        "The line at the start of the array stays empty: the first at 0, says the task."
    } else if distances.contains(&0) {
        "Two threads have the same place: that is true sharing, not false, and a race as well."
    } else if distances.iter().all(|distance| *distance == 64) {
        "Right in bytes, but an index counts numbers, and each `u64` has eight bytes (hint 1)."
    } else if distances.iter().all(|distance| *distance == 1) {
        "These are neighbours: all of them lie in one line. Fill in the distance (hint 1)."
    } else if distances
        .iter()
        .any(|distance| *distance < NUMBERS_PER_LINE)
    {
        "Some of them still share a line: it has room for eight numbers (hint 1)."
    } else {
        "They are apart, but the array is longer than necessary (hint 2)."
    }
}

/// 10.3: `order(from, to)` for 0 and 1 and for 2 and 5, there and back.
pub(crate) fn lock_order(answers: &[[usize; 2]]) -> Finding {
    const TRANSFERS: [[usize; 2]; 4] = [[0, 1], [1, 0], [2, 5], [5, 2]];
    if answers.len() != TRANSFERS.len() {
        return wrong("leave the check cell as it was: it makes four calls".into());
    }
    for ([first, second], [from, to]) in answers.iter().zip(TRANSFERS) {
        let problem = if first == second {
            "takes the same lock twice: a transfer needs both accounts (and a process that takes a \
             lock that it has would wait for itself)"
        } else if ![from, to].contains(first) || ![from, to].contains(second) {
            "takes a lock of neither account, so one of them is changed without its lock"
        } else {
            continue;
        };
        return wrong(format!(
            "`order({from}, {to})` gave [{first}, {second}], which {problem}."
        ));
    }
    let in_circle = answers.chunks(2).any(|pair| pair[0] != pair[1]);
    match (in_circle, answers[0][0] == TRANSFERS[0][0]) {
        (false, _) => Ok(
            "whichever way the money goes, the locks are taken in one order: no process that holds the \
             later one can wait for the earlier, so there is no circle."
                .into(),
        ),
        (true, true) => untouched(
            "there and back take the locks in opposite orders: 0 then 1, and 1 then 0. That is the \
             circle. Open hint 1."
                .into(),
        ),
        (true, false) => wrong(
            "with the target first, the circle only turns the other way: there and back still take \
             the locks in opposite orders (hint 1)."
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    #[test]
    fn lost_additions_are_told_from_other_mistakes() {
        let message = |counted| said(even_count(&counted));
        assert!(message(EVENS).starts_with("solved"));
        assert!(message(0).contains("fill in the gap"));
        assert!(message(2).contains("once for each process"));
        assert!(message(EVENS / 2).contains("only one of the two halves"));
        assert!(message(2 * EVENS).contains("even and odd"));
        assert!(message(EVENS - 17).contains("read and then written"));
        assert!(message(EVENS + 1).contains("more than once"));
    }

    #[test]
    fn places_are_a_line_apart() {
        let message = |place: fn(usize) -> usize| {
            let answers: Vec<Vec<usize>> = [1, 2, 4].map(|n| (0..n).map(place).collect()).into();
            said(places(&answers))
        };
        assert!(message(|t| 8 * t).starts_with("solved"));
        assert!(message(|t| t).contains("neighbours"));
        assert!(message(|t| 64 * t).contains("an index counts numbers"));
        assert!(message(|t| 4 * t).contains("still share a line"));
        assert!(message(|t| 8 * (t + 1)).contains("the first at 0"));
        assert!(message(|_| 0).contains("the same place"));
        assert!(message(|t| 16 * t).contains("longer than necessary"));
    }

    #[test]
    fn any_one_order_breaks_the_circle() {
        let message = |order: fn(usize, usize) -> [usize; 2]| {
            said(lock_order(&[
                order(0, 1),
                order(1, 0),
                order(2, 5),
                order(5, 2),
            ]))
        };
        assert!(message(|a, b| [a.min(b), a.max(b)]).starts_with("solved"));
        assert!(message(|a, b| [a.max(b), a.min(b)]).starts_with("solved"));
        assert!(message(|a, b| [a, b]).contains("opposite orders: 0 then 1"));
        assert!(message(|a, b| [b, a]).contains("turns the other way"));
        assert!(message(|_, _| [0, 1]).contains("of neither account"));
        assert!(message(|a, _| [a, a]).contains("the same lock twice"));
    }
}
