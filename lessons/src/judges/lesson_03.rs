//! Lesson 03: threads that share data correctly, and where processes are the better choice.

use std::collections::HashSet;
use std::thread::{self, ThreadId};
use std::time::Duration;

use forklore::timing::Timed;

use super::finding::{Finding, untouched, word, wrong};

/// 03.1: the sums that four threads computed of the numbers from 1 to 100, in order.
pub(crate) fn parts(answers: &[(ThreadId, u64)]) -> Finding {
    const WANTED: [u64; 4] = [325, 950, 1_575, 2_200];
    if answers.is_empty() {
        return untouched("there are no parts yet: fill in the gap, or open hint 1.".into());
    }
    let sums: Vec<u64> = answers.iter().map(|answer| answer.1).collect();
    let who: HashSet<ThreadId> = answers.iter().map(|answer| answer.0).collect();
    if sums != WANTED {
        let cause = if sums.iter().all(|sum| *sum == 5_050) {
            "Each thread added all the numbers. Give each of them its part."
        } else if sums.iter().sum::<u64>() != 5_050 {
            "Together they are not 5050: numbers were left out, or added twice."
        } else {
            "The parts are those of `numbers.chunks(25)`, in order."
        };
        return wrong(format!(
            "the sums are {sums:?}, expected {WANTED:?}. {cause}"
        ));
    }
    if who.contains(&thread::current().id()) {
        return wrong(
            "the sums are right, but they were all made on the calling thread. Start one for each part (hint 1)."
                .into(),
        );
    }
    if who.len() < WANTED.len() {
        return wrong(format!(
            "the sums are right, but {} thread did all the parts, expected 4. Start one for each part.",
            who.len()
        ));
    }
    Ok("four threads, four parts of one vector, and no copy of it.".into())
}

/// The minimum duration of a part in the starter's `add_up`.
const PART: Duration = Duration::from_millis(50);

/// 03.1: [`parts`], and how long they took. Parts that run one after another take at least the sum
/// of their times; parallel parts take that long only if no processor was free.
pub(crate) fn parts_at_once(timed: &Timed<Vec<(ThreadId, u64)>>) -> Finding {
    let solved = parts(&timed.value)?;
    let n_parts = timed.value.len() as u32;
    match timed.times.wall < n_parts * PART {
        true => Ok(solved),
        false => wrong(format!(
            "the sums are right, but {n_parts} parts of {PART:?} took {:.0?}: the threads ran one after the other. Start all \
             of them before you join the first (hint 2).",
            timed.times.wall
        )),
    }
}

/// The check cell's calls: the number of threads, and how often each of them counts.
const COUNTS: [(u64, u64); 3] = [(4, 1_000), (3, 50), (0, 50)];

/// 03.2: `count(…)` for each of [`COUNTS`].
pub(crate) fn counts(answers: &[u64]) -> Finding {
    if answers.len() != COUNTS.len() {
        return wrong("leave the check cell as it was: it makes three calls".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return untouched(
            "`count(4, 1000)` gave 0, expected 4000. The common counter stays as it was: what does each thread count \
             in (hint 1)?"
                .into(),
        );
    }
    for (answer, (n_threads, n)) in answers.iter().copied().zip(COUNTS) {
        let wanted = n_threads * n;
        if answer == wanted {
            continue;
        }
        let cause = match answer {
            0 => "The common counter stays as it was: what does each thread count in (hint 1)?",
            _ if answer == n => {
                "That is one thread's share: the counter was written over, and not added to."
            }
            _ if answer == n_threads => "That is once for each thread.",
            _ if answer == 2 * wanted => "Everything was counted twice.",
            _ if answer < wanted => {
                "Counts are lost: between a thread's read and its write another one wrote. Make it one step."
            }
            _ => "That is more than was counted.",
        };
        return wrong(format!(
            "`count({n_threads}, {n})` gave {answer}, expected {wanted}. {cause}"
        ));
    }
    Ok("one counter that all may change, one step at a time.".into())
}

/// 03.3: threads or processes, for four programs.
pub(crate) fn choices(answers: &[&'static str; 4]) -> Finding {
    const WANTED: [(&str, &str); 4] = [
        (
            "threads",
            "A forked worker has the table as it was when it was forked, and it keeps changing. Threads see \
             it as it is.",
        ),
        (
            "processes",
            "The library's global variables exist once in a process: two threads would use the same ones. \
             Each process has its own.",
        ),
        (
            "processes",
            "A crash ends the process, and a thread that crashes takes all the others with it.",
        ),
        (
            "threads",
            "The image would have to be sent back and forth. Threads filter it where it is.",
        ),
    ];
    if answers.iter().all(|answer| answer.is_empty()) {
        return untouched("write `\"threads\"` or `\"processes\"` for each of the four.".into());
    }
    for (index, (answer, (wanted, why))) in answers.iter().zip(WANTED).enumerate() {
        let number = index + 1;
        let word = word(answer);
        if !["threads", "processes"].contains(&&*word) {
            return wrong(format!(
                "number {number} is `{answer}`; expected `threads` or `processes`"
            ));
        }
        if word != wanted {
            return wrong(format!("number {number}: rather {wanted}. {why}"));
        }
    }
    Ok("what changes is shared, what may break is kept apart.".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    #[test]
    fn who_added_what_is_seen() {
        let elsewhere = || thread::spawn(|| thread::current().id()).join().unwrap();
        let sums = [325, 950, 1_575, 2_200];
        assert!(said(parts(&sums.map(|sum| (elsewhere(), sum)))).starts_with("solved"));
        let here = thread::current().id();
        assert!(said(parts(&sums.map(|sum| (here, sum)))).contains("the calling thread"));
        let one = elsewhere();
        assert!(said(parts(&sums.map(|sum| (one, sum)))).contains("1 thread did all"));
        assert!(said(parts(&[(one, 5_050); 4])).contains("added all"));
    }

    #[test]
    fn threads_one_after_the_other_are_seen_by_their_time() {
        let part = |sum| thread::spawn(move || (thread::current().id(), sum)).join();
        let done = [325, 950, 1_575, 2_200].map(|sum| part(sum).unwrap());
        let mut timed = forklore::time(|| done.to_vec());
        assert!(said(parts_at_once(&timed)).starts_with("solved"));
        timed.times.wall = Duration::from_millis(201);
        assert!(said(parts_at_once(&timed)).contains("one after the other"));
        timed.value.clear();
        assert!(said(parts_at_once(&timed)).contains("no parts yet"));
    }

    #[test]
    fn each_wrong_count_has_its_message() {
        assert!(said(counts(&[4_000, 150, 0])).starts_with("solved"));
        assert!(said(counts(&[0, 0, 0])).contains("what does each thread count"));
        assert!(said(counts(&[1_000, 50, 0])).contains("written over"));
        assert!(said(counts(&[3_987, 150, 0])).contains("lost"));
    }

    #[test]
    fn each_choice_has_its_reason() {
        let right = ["threads", "processes", "processes", "threads"];
        assert!(said(choices(&right)).starts_with("solved"));
        let in_other_letters = ["Threads", "process", "Processes", "thread"];
        assert!(said(choices(&in_other_letters)).starts_with("solved"));
        assert!(said(choices(&["threads"; 4])).contains("global variables"));
        assert!(said(choices(&["fibres", "", "", ""])).contains("expected `threads`"));
    }
}
