//! Lesson 06: a fair comparison, a map by hand, and how a map is cut into chunks.

use super::finding::{Finding, untouched, wrong};

/// The check cell's measurements: nanoseconds and items of the serial run, then of the parallel
/// one.
const MEASURED: [[f64; 4]; 3] = [
    [16_200.0, 10.0, 1_730_000.0, 24.0],
    [100.0, 10.0, 100.0, 5.0],
    [10.0, 1.0, 5.0, 1.0],
];

/// 06.1: `per_item_ratio(…)` for each of [`MEASURED`].
pub(crate) fn fair_ratios(answers: &[f64]) -> Finding {
    if answers.len() != MEASURED.len() {
        return wrong("leave the check cell as it was: it makes three calls".into());
    }
    if answers.iter().all(|answer| *answer == 0.0) {
        return untouched(
            "`per_item_ratio` is 0 for everything: fill in the gap, or open hint 1.".into(),
        );
    }
    let all = |rule: fn([f64; 4]) -> f64| {
        let mut pairs = answers.iter().zip(MEASURED);
        pairs.all(|(answer, measured)| (answer / rule(measured) - 1.0).abs() < 1e-6)
    };
    if all(|[s, m, p, n]| (p / n) / (s / m)) {
        return Ok(
            "44.5 times as long per item. Of the 107 that the raw numbers show, a factor of 2.4 \
                   came from the 24 items alone."
                .into(),
        );
    }
    let cause = if all(|[s, _, p, _]| p / s) {
        "That compares different numbers of items: 24 of them take longer than 10 in any case."
    } else if all(|[s, m, p, n]| (s / m) / (p / n)) {
        "That is how many times as *fast* it is. Divide the parallel time by the serial one."
    } else if all(|[s, m, p, n]| (p * n) / (s * m)) {
        "The times were multiplied by the numbers of items. For the time of one item, divide."
    } else {
        "Divide each time by its number of items, then the parallel one by the serial one."
    };
    wrong(format!(
        "`per_item_ratio(16200, 10, 1730000, 24)` gave {:.1}, expected 44.5. {cause}",
        answers[0]
    ))
}

/// The check cell's calls of `by_hand`: how many numbers from 0 on, and the maximum number of
/// chunks.
const BY_HAND: [(u64, usize); 2] = [(12, 3), (10, 4)];

/// The input of [`by_hand`]: chunks and results of each call.
pub(crate) type ByHand = Vec<(Vec<Vec<u64>>, Vec<u64>)>;

/// 06.2: [`by_hand`], and whether the pool's workers ran a part of it.
pub(crate) fn by_hand_on_a_pool((answers, on_pool): &(ByHand, bool)) -> Finding {
    let solved = by_hand(answers)?;
    match on_pool {
        true => Ok(solved),
        false => wrong(
            "the results are right, but no worker of the pool had a part in it: this process did all the work. \
             Map the chunks with `pool.map(map_chunk, …)` (hint 2)."
                .into(),
        ),
    }
}

/// 06.2: the chunks and the results of `by_hand` for each of [`BY_HAND`].
pub(crate) fn by_hand(answers: &[(Vec<Vec<u64>>, Vec<u64>)]) -> Finding {
    if answers.len() != BY_HAND.len() {
        return wrong("leave the check cell as it was: it makes two calls".into());
    }
    if answers.iter().all(|(chunks, _)| chunks.is_empty()) {
        return untouched("there are no chunks yet: fill in the gap, or open hint 1.".into());
    }
    for ((chunks, results), (n_numbers, n)) in answers.iter().zip(BY_HAND) {
        if let Some(cause) = what_is_wrong(chunks, results, n_numbers, n) {
            return wrong(format!("`by_hand(pool, 0..{n_numbers}, {n})`: {cause}"));
        }
    }
    Ok("split, mapped and collated, and nothing had to be sorted.".into())
}

fn what_is_wrong(chunks: &[Vec<u64>], results: &[u64], n_numbers: u64, n: usize) -> Option<String> {
    let numbers: Vec<u64> = (0..n_numbers).collect();
    let expected: Vec<u64> = numbers.iter().map(|x| x.pow(10)).collect();
    chunks_are_wrong(chunks, &numbers, n).or_else(|| {
        if results == numbers {
            Some("the results are the numbers themselves: nothing was mapped (hint 2).".into())
        } else if results.is_empty() {
            Some("there are no results: map the chunks, and collate (hint 2).".into())
        } else if results != expected {
            Some(format!("expected {expected:?}, got {results:?}."))
        } else {
            None
        }
    })
}

/// What is wrong with a split of `numbers` into `n` chunks. Every split in order is right if its
/// largest chunk is no larger than necessary: 3, 3, 3, 1 as well as 3, 3, 2, 2.
fn chunks_are_wrong(chunks: &[Vec<u64>], numbers: &[u64], n: usize) -> Option<String> {
    let mut split = chunks.concat();
    let in_order = split.is_sorted();
    split.sort_unstable();
    let size = numbers.len().div_ceil(n);
    let largest = chunks.iter().map(Vec::len).max().unwrap_or(0);
    let is_size_n = numbers.chunks(n).eq(chunks.iter().map(Vec::as_slice));
    if split.len() < numbers.len() {
        let lost = match numbers.len() - split.len() {
            1 => "1 number is".to_owned(),
            n_lost => format!("{n_lost} numbers are"),
        };
        Some(format!(
            "{lost} in no chunk. The last chunk takes what is left (hint 1)."
        ))
    } else if is_size_n && largest != size {
        Some(format!(
            "these are chunks of {n} numbers, and {n} is how many chunks there are to be. `chunks` takes the \
             size of a chunk (hint 1)."
        ))
    } else if chunks.len() > n {
        let cause = match largest < size {
            true => "Round the size up, not down (hint 1).",
            false => "With that size the numbers fit into fewer.",
        };
        Some(format!(
            "more than {n} chunks, {} of them. {cause}",
            chunks.len()
        ))
    } else if !in_order {
        Some("the chunks are not in order: the results would have to be sorted afterwards.".into())
    } else if split != numbers {
        Some("the chunks do not hold each number once.".into())
    } else if chunks.len() == 1 {
        Some(format!(
            "everything is in a single chunk: one worker does it all, and the others have nothing to do. Make {n} chunks \
             (hint 1)."
        ))
    } else if chunks.iter().any(Vec::is_empty) {
        Some("a chunk is empty: it would wake a worker for nothing.".into())
    } else if largest > size {
        Some(format!(
            "the largest chunk holds {largest} numbers, and {size} would do: the worker that has it keeps the \
             others waiting (hint 1)."
        ))
    } else {
        None
    }
}

/// The calls of `plan` in the check cell: items and workers.
const CALLS: [(usize, usize); 4] = [(24, 8), (100, 4), (10, 2), (0, 3)];

/// The sizes of the chunks that CPython's `Pool.map` makes: items divided by four times the
/// workers, rounded up, per chunk (`Lib/multiprocessing/pool.py`, `_map_async`).
fn expected(items: usize, workers: usize) -> Vec<usize> {
    let size = items.div_ceil(4 * workers).max(1);
    let mut sizes = vec![size; items / size];
    if !items.is_multiple_of(size) {
        sizes.push(items % size);
    }
    sizes
}

/// 06.3: `plan(items, workers)` for each of [`CALLS`].
pub(crate) fn chunk_sizes(answers: &[Vec<usize>]) -> Finding {
    if answers.len() != CALLS.len() {
        return wrong("leave the check cell as it was: it makes four calls".into());
    }
    if answers.iter().all(Vec::is_empty) {
        return untouched("`plan` makes no chunks at all: fill in the gap, or open hint 1.".into());
    }
    for (answer, (items, workers)) in answers.iter().zip(CALLS) {
        let wanted = expected(items, workers);
        if *answer != wanted {
            return wrong(format!(
                "`plan({items}, {workers})` gave {}, expected {}. {}",
                in_words(answer),
                in_words(&wanted),
                likely_cause(answer, items, workers)
            ));
        }
    }
    Ok(
        "24 items on 8 workers are 24 chunks of one item: no worker waits for another with \
         three slow items, and there is nothing left to share out."
            .into(),
    )
}

fn likely_cause(answer: &[usize], items: usize, workers: usize) -> String {
    let total: usize = answer.iter().sum();
    let one_each = items > 0 && answer.len() == workers && total == items;
    if one_each {
        "That is one chunk per worker: a worker with slow items would keep the others waiting. \
         Python makes about four per worker (hint 1)."
            .into()
    } else if answer.contains(&0) {
        "A chunk is empty: it would wake a worker for nothing. Where there is nothing to do, \
         there is no chunk."
            .into()
    } else if total > items {
        format!(
            "The chunks hold {total} items, but there are only {items}: the last chunk takes what \
             is left, not a full size (hint 2)."
        )
    } else if total < items {
        format!(
            "{} of {items} items are in no chunk: their results would be lost. A division of \
             whole numbers rounds down; this one must round up (hint 2).",
            items - total
        )
    } else if answer.len() == 4 * workers {
        "Exactly four per worker, evenly filled, is a fair plan, but not Python's: it rounds the \
         size of a chunk up, and fills chunk after chunk."
            .into()
    } else {
        "Every item is in a chunk, but the sizes differ from Python's rule (hint 1).".into()
    }
}

/// Chunks as a reader would write them: `13 × 7, 1 × 2`.
fn in_words(sizes: &[usize]) -> String {
    if sizes.is_empty() {
        return "no chunk".into();
    }
    let runs: Vec<String> = sizes
        .chunk_by(|a, b| a == b)
        .map(|run| format!("{} × {}", run.len(), run[0]))
        .collect();
    if runs.len() > 6 {
        return format!("{} chunks of mixed sizes", sizes.len());
    }
    runs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    /// The sizes that CPython 3.11 uses, computed with its own two lines for some calls.
    #[test]
    fn the_expected_sizes_are_pythons() {
        assert_eq!(expected(24, 8), vec![1; 24]);
        assert_eq!(expected(10, 2), vec![2; 5]);
        assert_eq!(expected(0, 3), Vec::<usize>::new());
        let hundred = expected(100, 4);
        assert_eq!((hundred.len(), hundred[0], hundred[14]), (15, 7, 2));
    }

    #[test]
    fn an_unfair_comparison_is_seen() {
        let answers = |rule: fn([f64; 4]) -> f64| MEASURED.map(rule);
        assert!(said(fair_ratios(&answers(|[s, m, p, n]| p * m / n / s))).contains("solved: 44.5"));
        assert!(said(fair_ratios(&answers(|[s, _, p, _]| p / s))).contains("different numbers"));
        assert!(said(fair_ratios(&[0.0; 3])).contains("fill in"));
    }

    #[test]
    fn chunks_by_hand_hold_everything_in_order() {
        let numbers: Vec<u64> = (0..10).collect();
        let results: Vec<u64> = numbers.iter().map(|x| x.pow(10)).collect();
        let chunks: Vec<Vec<u64>> = numbers.chunks(3).map(<[u64]>::to_vec).collect();
        assert_eq!(what_is_wrong(&chunks, &results, 10, 4), None);
        let by =
            |size: usize| -> Vec<Vec<u64>> { numbers.chunks(size).map(<[u64]>::to_vec).collect() };
        let wrong =
            |chunks: &[Vec<u64>], n| what_is_wrong(chunks, &results, 10, n).unwrap_or_default();
        assert!(wrong(&by(2), 4).contains("Round the size up"));
        assert!(wrong(&by(10), 4).contains("single chunk"));
        assert!(wrong(&by(4), 4).contains("size of a chunk"));
        assert!(wrong(&by(5), 4).contains("5 numbers, and 3 would do"));
        assert!(wrong(&chunks[..3], 4).contains("1 number is in no chunk"));
        let even: Vec<Vec<u64>> = [0..3, 3..6, 6..8, 8..10].map(Iterator::collect).into();
        assert_eq!(wrong(&even, 4), "");
        let empty: Vec<Vec<u64>> = [0..3, 3..6, 6..6, 6..10].map(Iterator::collect).into();
        assert!(wrong(&empty, 4).contains("is empty"));
        assert!(
            what_is_wrong(&chunks[..3], &results, 10, 4)
                .unwrap()
                .contains("in no chunk")
        );
        assert!(
            what_is_wrong(&chunks, &numbers, 10, 4)
                .unwrap()
                .contains("nothing was mapped")
        );
    }

    fn message(plan: fn(usize, usize) -> Vec<usize>) -> String {
        let answers: Vec<Vec<usize>> = CALLS.iter().map(|(i, w)| plan(*i, *w)).collect();
        said(chunk_sizes(&answers))
    }

    #[test]
    fn each_wrong_answer_has_its_message() {
        assert!(message(expected).starts_with("solved"));
        assert!(message(|_, _| vec![]).contains("fill in the gap"));
        assert!(message(|i, w| vec![i / w; w]).contains("one chunk per worker"));
        let full_last = |i: usize, w: usize| {
            let size = i.div_ceil(4 * w).max(1);
            vec![size; i.div_ceil(size)]
        };
        assert!(message(full_last).contains("there are only 100"));
        let rounded_down = |i: usize, w: usize| {
            let size = (i / (4 * w)).max(1);
            vec![size; (4 * w).min(i / size)]
        };
        assert!(message(rounded_down).contains("in no chunk"));
    }
}
