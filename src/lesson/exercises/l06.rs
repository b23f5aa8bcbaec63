//! Lesson 06: how a map is cut into chunks.

use super::Finding;

/// The calls in the check cell: items and workers.
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

/// 06.1: `plan(items, workers)` for each of [`CALLS`].
pub(super) fn chunk_sizes(answers: &[Vec<usize>]) -> Finding {
    if answers.len() != CALLS.len() {
        return Finding::Wrong("leave the check cell as it was: it makes four calls".into());
    }
    if answers.iter().all(Vec::is_empty) {
        return Finding::Wrong(
            "`plan` makes no chunks at all: fill in the gap, or open hint 1.".into(),
        );
    }
    for (answer, (items, workers)) in answers.iter().zip(CALLS) {
        let wanted = expected(items, workers);
        if *answer != wanted {
            return Finding::Wrong(format!(
                "`plan({items}, {workers})` gave {}, expected {}. {}",
                in_words(answer),
                in_words(&wanted),
                likely_cause(answer, items, workers)
            ));
        }
    }
    Finding::Solved(
        "24 items on 8 workers are 24 chunks of one item: nobody waits for a colleague with \
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

/// Chunks as a person would say them: `13 × 7, 1 × 2`.
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

    /// What CPython 3.11 makes, computed with its own two lines for some calls.
    #[test]
    fn the_expected_sizes_are_pythons() {
        assert_eq!(expected(24, 8), vec![1; 24]);
        assert_eq!(expected(10, 2), vec![2; 5]);
        assert_eq!(expected(0, 3), Vec::<usize>::new());
        let hundred = expected(100, 4);
        assert_eq!((hundred.len(), hundred[0], hundred[14]), (15, 7, 2));
    }

    fn message(plan: fn(usize, usize) -> Vec<usize>) -> String {
        let answers: Vec<Vec<usize>> = CALLS.iter().map(|(i, w)| plan(*i, *w)).collect();
        match chunk_sizes(&answers) {
            Finding::Solved(text) => format!("solved {text}"),
            Finding::Wrong(text) => text,
        }
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
