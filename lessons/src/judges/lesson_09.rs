//! Lesson 09: the speed-up that a number of tasks allows, how to balance them, and how results
//! arrive.

use super::finding::{Finding, untouched, wrong};
use crate::processes::RunBy;

/// The check cell's calls: tasks and workers, and the best speed-up.
const CAPS: [((usize, usize), f64); 5] = [
    ((7, 4), 3.5),
    ((7, 2), 1.75),
    ((3, 8), 3.0),
    ((28, 4), 4.0),
    ((0, 4), 1.0),
];

/// 09.1: `cap(…)` for each of [`CAPS`].
pub(crate) fn caps(answers: &[f64]) -> Finding {
    if answers.len() != CAPS.len() {
        return wrong("leave the check cell as it was: it makes five calls".into());
    }
    if answers.iter().all(|answer| *answer == 0.0) {
        return untouched("`cap` is 0 for everything: fill in the gap, or open hint 1.".into());
    }
    for (answer, ((tasks, workers), wanted)) in answers.iter().zip(CAPS) {
        if (answer - wanted).abs() < 1e-9 {
            continue;
        }
        let rounds = tasks.div_ceil(workers).max(1);
        let cause = if *answer == rounds as f64 {
            "That is the number of rounds. Serial, there would have been as many rounds as tasks: divide."
        } else if *answer == workers as f64 {
            "That would be so if every round were full. In the last one at least one worker waits."
        } else if *answer > wanted {
            "A round that is not full takes as long as a full one: round their number up (hint 2)."
        } else {
            "Tasks divided by rounds; 1 if there is no task (hints)."
        };
        return wrong(format!(
            "`cap({tasks}, {workers})` gave {answer:.2}, expected {wanted:.2}. {cause}"
        ));
    }
    Ok("3.5 on four workers: no trick with the data could have brought more.".into())
}

/// The check cell's calls: images and workers, and the right number of stripes.
const CUTS: [((usize, usize), usize); 5] = [
    ((7, 4), 4),
    ((7, 2), 2),
    ((8, 4), 1),
    ((5, 3), 3),
    ((100, 3), 1),
];

/// 09.2: `stripes(…)` for each of [`CUTS`].
pub(crate) fn stripes(answers: &[usize]) -> Finding {
    if answers.len() != CUTS.len() {
        return wrong("leave the check cell as it was: it makes five calls".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return untouched("`stripes` is 0 for everything: fill in the gap, or open hint 1.".into());
    }
    for (answer, ((images, workers), wanted)) in answers.iter().copied().zip(CUTS) {
        if answer == wanted {
            continue;
        }
        let cause = if answer > wanted && wanted == 1 {
            "These images are balanced as they are: 95 % are reached without a cut."
        } else if answer > wanted {
            "That balances them too, but the smallest number was asked for."
        } else {
            "That leaves a worker idle in the last round. Cut them into more pieces (hint 2)."
        };
        return wrong(format!(
            "`stripes({images}, {workers})` gave {answer}, expected {wanted}. {cause}"
        ));
    }
    Ok("28 stripes on four workers are seven full rounds.".into())
}

/// 09.3: [`arrived`], and which workers ran a part of it. A closure that writes to a shared array
/// captures it, so workers are forked for the call.
pub(crate) fn arrived_by(squares: &[u64], by: RunBy) -> Finding {
    let solved = arrived(squares)?;
    match by {
        RunBy::ForkedWorkers => Ok(solved),
        RunBy::PoolsWorkers => wrong(
            "the squares are right, but they came back as results, copied from the workers. That is simpler, and often the \
             better way; here the workers are to write them into one array that all share, with `squares.set(…)` (hint 2)."
                .into(),
        ),
        RunBy::ThisProcess => wrong(
            "the squares are right, but no worker had a part in it: this process did all the work. Let `pool.map` call \
             `squares.set(…)` (hint 2)."
                .into(),
        ),
    }
}

/// 09.3: the squares of the numbers from 0 to 9, through shared memory.
pub(crate) fn arrived(squares: &[u64]) -> Finding {
    let wanted: Vec<u64> = (0..10).map(|i| i * i).collect();
    if squares == wanted {
        return Ok("ten squares, written by workers and read by their parent.".into());
    }
    if squares == [0; 10] {
        return untouched(format!(
            "got {squares:?}, expected {wanted:?}. The parent's array was never written to: to which memory did the \
             workers write (hint 1)?"
        ));
    }
    let cause = if squares.len() != wanted.len() {
        "Ten were asked for. Were the numbers taken from the array before the workers had written to it?"
    } else if squares[1..].iter().all(|square| *square == 0) {
        "All wrote to the same place, over each other. Number i belongs at index i."
    } else if squares[1..].contains(&0) {
        "Some places were never written: is every number mapped?"
    } else {
        "Number i belongs at index i, squared."
    };
    wrong(format!("got {squares:?}, expected {wanted:?}. {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    #[test]
    fn each_wrong_cap_has_its_message() {
        assert!(said(caps(&CAPS.map(|(_, wanted)| wanted))).starts_with("solved"));
        assert!(said(caps(&[4.0, 2.0, 8.0, 4.0, 4.0])).contains("one worker waits"));
        assert!(said(caps(&[7.0, 7.0 / 3.0, 3.0, 4.0, 1.0])).contains("not full"));
        assert!(said(caps(&[2.0, 4.0, 1.0, 7.0, 1.0])).contains("number of rounds"));
    }

    #[test]
    fn cuts_are_as_few_as_possible() {
        assert!(said(stripes(&[4, 2, 1, 3, 1])).starts_with("solved"));
        assert!(said(stripes(&[4, 2, 4, 3, 3])).contains("balanced as they are"));
        assert!(said(stripes(&[1; 5])).contains("Cut them"));
        assert!(said(stripes(&[8, 4, 2, 6, 2])).contains("smallest number"));
    }

    #[test]
    fn squares_that_did_not_arrive_have_a_reason() {
        assert!(said(arrived(&[0, 1, 4, 9, 16, 25, 36, 49, 64, 81])).starts_with("solved"));
        assert!(said(arrived(&[0; 10])).contains("to which memory"));
        assert!(said(arrived(&[81, 0, 0, 0, 0, 0, 0, 0, 0, 0])).contains("same place"));
        assert!(said(arrived(&[0, 1, 4, 9, 16, 0, 0, 0, 0, 0])).contains("never written"));
        assert!(said(arrived(&[0; 11])).contains("before the workers"));
    }

    #[test]
    fn squares_that_no_worker_wrote_are_not_enough() {
        let squares: Vec<u64> = (0..10).map(|i| i * i).collect();
        let by = |by| said(arrived_by(&squares, by));
        assert!(by(RunBy::ForkedWorkers).starts_with("solved"));
        assert!(by(RunBy::PoolsWorkers).contains("came back as results"));
        assert!(by(RunBy::ThisProcess).contains("no worker had a part"));
        assert!(said(arrived_by(&[0; 10], RunBy::ThisProcess)).contains("never written to"));
    }
}
