//! Lesson 07: break-even, crossover, Amdahl's law, and how large a chunk should be.

use super::Finding;

/// The check cell's calls: nanoseconds per call and per item, items, workers.
const PRICES: [[f64; 4]; 3] = [
    [30_000.0, 25.0, 24.0, 2.0],
    [30_000.0, 25.0, 1_000.0, 4.0],
    [30_000.0, 25.0, 24.0, 1.0],
];

fn near(answer: f64, wanted: f64) -> bool {
    answer == wanted || (answer / wanted - 1.0).abs() < 1e-6 || (answer - wanted).abs() < 1e-9
}

/// 07.1: `break_even_ns(…)` for each of [`PRICES`].
pub(super) fn break_even(answers: &[f64]) -> Finding {
    if answers.len() != PRICES.len() {
        return Err("leave the check cell as it was: it makes three calls".into());
    }
    if answers.iter().all(|answer| *answer == 0.0) {
        return Err("`break_even_ns` is 0 for everything: fill in the gap, or open hint 1.".into());
    }
    let all = |rule: fn([f64; 4]) -> f64| {
        let mut pairs = answers.iter().zip(PRICES);
        pairs.all(|(answer, price)| near(*answer, rule(price)))
    };
    if all(|[call, item, n, p]| (call / n + item) / (1.0 - 1.0 / p)) {
        return Ok(
            "2.55 µs for 24 items on two workers, 73 ns for a thousand on four, never on one."
                .into(),
        );
    }
    let cause = if all(|[call, item, n, _]| call / n + item) {
        "That is the overhead of an item, as if no work were left to do. Of the work, p workers save the \
         share 1 − 1 / p: divide by that."
    } else if all(|[call, item, _, p]| (call + item) / (1.0 - 1.0 / p)) {
        "The whole call is charged to a single item. It is shared by all n of them."
    } else if all(|[call, item, n, p]| (call / n + item) / p) {
        "Divided by p, but what is saved is 1 − 1 / p: half of the work with two workers, three quarters \
         with four."
    } else {
        "The overhead of one item, divided by the share of the work that is saved (hint 2)."
    };
    Err(format!(
        "`break_even_ns(30000, 25, 24, 2)` gave {:.1}, expected 2550. {cause}",
        answers[0]
    ))
}

/// 07.2: the learner's crossover, and the interval in which it was measured, in microseconds.
pub(super) fn crossover((answer, low, high): &(f64, f64, f64)) -> Finding {
    let middle = (low * high).sqrt();
    if *answer <= 0.0 {
        Err("write down a number of microseconds that is more than 0.".into())
    } else if (low / 1.5..=high * 1.5).contains(answer) {
        Ok(format!(
            "{answer:.2} µs lies between {low:.2} and {high:.2}. From there on the pool is worth its price."
        ))
    } else if near(*answer, middle * 1000.0) {
        Err(format!(
            "{answer:.0} is a thousand times too much: is that in nanoseconds? Expected microseconds, between \
             {low:.2} and {high:.2}."
        ))
    } else if answer < low {
        Err(format!(
            "at {answer:.3} µs of work per item the serial map still wins; expected between {low:.2} and \
             {high:.2} (hint 1)."
        ))
    } else {
        Err(format!(
            "at {answer:.0} µs of work per item `pool.map` has long been winning; expected between {low:.2} \
             and {high:.2} (hint 1)."
        ))
    }
}

/// The check cell's calls: serial share and workers; measured speed-up and workers.
const AMDAHL: [([f64; 2], [f64; 2]); 3] = [
    ([0.2, 4.0], [2.5, 4.0]),
    ([0.5, 64.0], [1.6, 4.0]),
    ([0.0, 8.0], [8.0, 8.0]),
];

/// 07.3: `speed_up` and `serial_share` for each of [`AMDAHL`].
pub(super) fn amdahl(answers: &[(f64, f64)]) -> Finding {
    if answers.len() != AMDAHL.len() {
        return Err("leave the check cell as it was: it makes three pairs of calls".into());
    }
    if answers.iter().all(|answer| *answer == (0.0, 0.0)) {
        return Err(
            "both functions give 0 for everything: fill in the gaps, or open hint 1.".into(),
        );
    }
    let law = |[s, p]: [f64; 2]| 1.0 / (s + (1.0 - s) / p);
    let share = |[measured, p]: [f64; 2]| (1.0 / measured - 1.0 / p) / (1.0 - 1.0 / p);
    let first = |rule: fn([f64; 2]) -> f64| {
        let mut pairs = answers.iter().zip(AMDAHL);
        pairs.all(|(answer, (asked, _))| near(answer.0, rule(asked)))
    };
    let second = |rule: fn([f64; 2]) -> f64| {
        let mut pairs = answers.iter().zip(AMDAHL);
        pairs.all(|(answer, (_, asked))| near(answer.1, rule(asked)))
    };
    if !first(law) {
        let cause = if first(|[_, p]| p) {
            "That is p, for every share of serial work. Only what can be divided becomes faster."
        } else if first(|[s, _]| 1.0 / s) {
            "That is the limit for infinitely many workers. With p of them the divided part still takes \
             (1 − s) / p."
        } else if first(|[s, p]| s + p * (1.0 - s)) {
            "That is Gustafson's law: how much more work is done in the same time. Here the work is given."
        } else {
            "It stands above the figure: 1 / (s + (1 − s) / p)."
        };
        return Err(format!(
            "`speed_up(0.2, 4)` gave {:.2}, expected 2.50. {cause}",
            answers[0].0
        ));
    }
    if !second(share) {
        let cause = if second(|[measured, p]| 1.0 - measured / p) {
            "That is what is missing of the ideal speed-up, and not the serial share: a share of 20 % costs \
             more than 20 % of the speed-up."
        } else if second(|[measured, _]| 1.0 / measured) {
            "That would be the share if there were infinitely many workers."
        } else {
            "Solve 1 / S = s + (1 − s) / p for s (hint 2)."
        };
        return Err(format!(
            "`serial_share(2.5, 4)` gave {:.3}, expected 0.200. {cause}",
            answers[0].1
        ));
    }
    Ok("2.5 times as fast on 4 workers: 20 % are serial, and 5 times as fast is the end.".into())
}

/// The check cell's calls: items, work, fetching, workers.
const CHUNKS: [[usize; 4]; 4] = [
    [4_000, 1_000, 500, 2],
    [4_000, 1_000_000, 500, 2],
    [100, 1, 1_000, 4],
    [10, 1, 1_000, 4],
];

/// 07.4: `chunk(…)` for each of [`CHUNKS`].
pub(super) fn chunks(answers: &[usize]) -> Finding {
    if answers.len() != CHUNKS.len() {
        return Err("leave the check cell as it was: it makes four calls".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return Err("`chunk` is 0 for everything: fill in the gap, or open hint 1.".into());
    }
    for (answer, [n, work, fetch, p]) in answers.iter().copied().zip(CHUNKS) {
        let long_enough = (10 * fetch).div_ceil(work);
        let small_enough = n / (4 * p);
        let wanted = long_enough.min(small_enough).max(1);
        if answer == wanted {
            continue;
        }
        let cause = if answer == 0 {
            "A chunk of 0 holds nothing: at least 1, after all other limits."
        } else if answer > small_enough.max(1) {
            "With that there are fewer than four chunks for each worker: respect the upper limit, n / (4 p)."
        } else if answer > wanted {
            "That is larger than it needs to be: the smallest that is worth fetching, ten times the cost."
        } else {
            "That is too small: its work is less than ten times what it costs to fetch it."
        };
        return Err(format!(
            "`chunk({n}, {work}, {fetch}, {p})` gave {answer}, expected {wanted}. {cause}"
        ));
    }
    Ok("5, 1, 6 and 1: long against their fetching, and enough of them to go round.".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::exercises::tests::said;

    #[test]
    fn each_wrong_break_even_has_its_message() {
        let answers = |rule: fn([f64; 4]) -> f64| said(break_even(&PRICES.map(rule)));
        let right = |[call, item, n, p]: [f64; 4]| (call / n + item) / (1.0 - 1.0 / p);
        assert!(answers(right).starts_with("solved"));
        assert!(answers(|[call, item, n, _]| call / n + item).contains("no work"));
        assert!(answers(|[call, item, n, p]| (call / n + item) / p).contains("what is saved"));
        assert!(answers(|_| 0.0).contains("fill in"));
    }

    #[test]
    fn a_crossover_is_judged_by_its_interval() {
        assert!(said(crossover(&(3.0, 2.0, 5.0))).starts_with("solved"));
        assert!(said(crossover(&(0.1, 2.0, 5.0))).contains("still wins"));
        assert!(said(crossover(&(90.0, 2.0, 5.0))).contains("long been"));
        assert!(said(crossover(&(10f64.sqrt() * 1000.0, 2.0, 5.0))).contains("nanoseconds"));
    }

    #[test]
    fn amdahl_is_asked_in_both_directions() {
        assert!(
            said(amdahl(&[(2.5, 0.2), (1.969_230_769, 0.5), (8.0, 0.0)])).starts_with("solved")
        );
        assert!(said(amdahl(&[(4.0, 0.2), (64.0, 0.5), (8.0, 0.0)])).contains("every share"));
        assert!(
            said(amdahl(&[(2.5, 0.375), (1.969_230_769, 0.6), (8.0, 0.0)]))
                .contains("what is missing")
        );
    }

    #[test]
    fn a_chunk_keeps_both_rules() {
        assert!(said(chunks(&[5, 1, 6, 1])).starts_with("solved"));
        assert!(said(chunks(&[5, 1, 6, 0])).contains("holds nothing"));
        assert!(said(chunks(&[5, 1, 10_000, 10_000])).contains("fewer than four"));
        assert!(said(chunks(&[500, 500, 6, 1])).contains("larger than it needs"));
    }
}
