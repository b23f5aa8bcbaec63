//! Lesson 01: what a measurement is, and what can be wrong with it.

use forklore::timing::Timeit;

use super::finding::{Finding, untouched, word, wrong};

/// 01.1: `summary(…)` of three lists of runs: fastest, median, spread.
pub(crate) fn summaries(answers: &[(f64, f64, f64)]) -> Finding {
    const WANTED: [(f64, f64, f64); 3] = [(1.0, 2.0, 9.0), (1.0, 2.5, 4.0), (5.0, 5.0, 1.0)];
    if answers.len() != WANTED.len() {
        return wrong("leave the check cell as it was: it makes three calls".into());
    }
    if answers.iter().all(|answer| *answer == (0.0, 0.0, 0.0)) {
        return untouched("`summary` is 0 for everything: fill in the gap, or open hint 1.".into());
    }
    let is_near = |(got, wanted): (&(f64, f64, f64), &(f64, f64, f64))| {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        near(got.0, wanted.0) && near(got.1, wanted.1) && near(got.2, wanted.2)
    };
    if answers.iter().zip(&WANTED).all(is_near) {
        return Ok(
            "fastest, median, spread: three numbers that one bad run cannot spoil alone.".into(),
        );
    }
    let medians = [answers[0].1, answers[1].1, answers[2].1];
    let spreads = [answers[0].2, answers[1].2, answers[2].2];
    let cause = if medians == [4.0, 2.5, 5.0] {
        "In the middle you have the mean, 4 for the runs 2, 1, 9. No run took that long; the median is 2."
    } else if answers[0].0 == 9.0 {
        "The first number is the slowest run: the fastest comes first. Which way are the runs sorted?"
    } else if [[2.0, 2.0, 5.0], [2.0, 3.0, 5.0]].contains(&medians) {
        "With an even number of runs there are two in the middle: the median is their mean (hint 2)."
    } else if medians[0] == 1.0 {
        "That is the run in the middle of the *list*: the runs have not been sorted (hint 1)."
    } else if spreads == [8.0, 3.0, 0.0] {
        "The spread is a difference of times; divide instead. A ratio says the same about long and short runs."
    } else if answers[1].2 == 0.25 {
        "The spread is upside down: divide the slowest by the fastest."
    } else {
        "Fastest, median, slowest divided by fastest, in this order (hints)."
    };
    wrong(format!("expected {WANTED:?}, got {answers:?}. {cause}"))
}

/// 01.2: a benchmark of the chain with the chain's result, and a measurement to compare with.
pub(crate) fn repaired(((measured, result), reference): &((Timeit, u64), Timeit)) -> Finding {
    let wanted = (0..1_000).fold(1u64, |x, i| (x ^ i).wrapping_mul(6_364_136_223_846_793_005));
    let share = measured.best().as_secs_f64() / reference.best().as_secs_f64();
    let cause = if *result != wanted {
        format!(
            "the result, {result}, is not the chain's: return `chain(1_000)` beside the measurement."
        )
    } else if share < 0.1 {
        return untouched(format!(
            "{:.2?} a call, expected about {:.2?}: hardly anything was measured. What does the closure return (hint 1)?",
            measured.best(),
            reference.best()
        ));
    } else if share < 0.5 {
        "far less work was measured than asked for: is that `chain(1_000)`?".into()
    } else if share > 5.0 {
        "something else was measured as well: nothing but the call belongs into the closure.".into()
    } else {
        return Ok(format!(
            "{:.2?} a call. A thousand multiplications in a row do take that long.",
            measured.best()
        ));
    };
    wrong(format!(
        "{:.2?} a call, expected about {:.2?}: {cause}",
        measured.best(),
        reference.best()
    ))
}

/// 01.3: the mistakes in five reports.
pub(crate) fn mistakes(answers: &[&'static str; 5]) -> Finding {
    const WANTED: [(&str, &str); 5] = [
        (
            "one run",
            "How far do two runs of the *same* version lie apart?",
        ),
        (
            "unequal work",
            "Were both maps given the same number of items?",
        ),
        (
            "optimised away",
            "A cycle takes about 0.3 ns. Nothing real can be done in it.",
        ),
        (
            "children",
            "`%time` looks at the caller, and the work was done by other processes.",
        ),
        (
            "compile time",
            "Before a cell can run, something else has to happen, and a watch in the hand sees both.",
        ),
    ];
    if answers.iter().all(|answer| answer.is_empty()) {
        return untouched("write one of the five mistakes for each report.".into());
    }
    for (index, (answer, (wanted, why))) in answers.iter().zip(WANTED).enumerate() {
        let number = index + 1;
        let word = word(answer);
        if !WANTED.iter().any(|(known, _)| *known == word) {
            return wrong(format!(
                "number {number} is `{answer}`; expected one of the five mistakes, as they are written above"
            ));
        }
        if word != wanted {
            return wrong(format!("number {number} is not `{answer}`. {why}"));
        }
    }
    Ok("five reports, five mistakes. You will meet them again.".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;
    use forklore::timing::timeit;
    use std::hint::black_box;

    fn chain(n: u64) -> u64 {
        (0..n).fold(1, |x: u64, i| {
            (x ^ i).wrapping_mul(6_364_136_223_846_793_005)
        })
    }

    #[test]
    fn what_is_no_summary_is_named() {
        let right = [(1.0, 2.0, 9.0), (1.0, 2.5, 4.0), (5.0, 5.0, 1.0)];
        assert!(said(summaries(&right)).starts_with("solved"));
        let means = [(1.0, 4.0, 9.0), (1.0, 2.5, 4.0), (5.0, 5.0, 1.0)];
        assert!(said(summaries(&means)).contains("the mean"));
        let unsorted = [(1.0, 1.0, 9.0), (1.0, 2.0, 4.0), (5.0, 5.0, 1.0)];
        assert!(said(summaries(&unsorted)).contains("not been sorted"));
        let unsorted_means = [(1.0, 1.0, 9.0), (1.0, 1.5, 4.0), (5.0, 5.0, 1.0)];
        assert!(said(summaries(&unsorted_means)).contains("not been sorted"));
        let upper = [(1.0, 2.0, 9.0), (1.0, 3.0, 4.0), (5.0, 5.0, 1.0)];
        assert!(said(summaries(&upper)).contains("two in the middle"));
        let downwards = [(9.0, 2.0, 1.0 / 9.0), (4.0, 2.5, 0.25), (5.0, 5.0, 1.0)];
        assert!(said(summaries(&downwards)).contains("the slowest run"));
        let upside_down = [(1.0, 2.0, 1.0 / 9.0), (1.0, 2.5, 0.25), (5.0, 5.0, 1.0)];
        assert!(said(summaries(&upside_down)).contains("upside down"));
        let rounded = [(1.0, 2.0, 1.0 / (1.0 / 9.0) + 1e-15), right[1], right[2]];
        assert!(said(summaries(&rounded)).starts_with("solved"));
    }

    #[test]
    fn work_that_was_removed_is_seen() {
        let reference = timeit(|| chain(black_box(1_000)));
        let nothing = timeit(|| ());
        let result = chain(1_000);
        assert!(
            said(repaired(&((nothing, result), reference.clone()))).contains("hardly anything")
        );
        assert!(
            said(repaired(&((reference.clone(), 0), reference.clone())))
                .contains("not the chain's")
        );
        assert!(said(repaired(&((reference.clone(), result), reference))).starts_with("solved"));
    }

    #[test]
    fn each_mistake_has_its_reason() {
        let right = [
            "one run",
            "unequal work",
            "optimised away",
            "children",
            "compile time",
        ];
        assert!(said(mistakes(&right)).starts_with("solved"));
        let in_other_letters = [
            "One run",
            "unequal-work",
            "optimized away",
            "Children ",
            "compile_time",
        ];
        assert!(said(mistakes(&in_other_letters)).starts_with("solved"));
        assert!(said(mistakes(&["one run"; 5])).contains("same number"));
        assert!(said(mistakes(&["slow", "", "", "", ""])).contains("as they are written"));
    }
}
