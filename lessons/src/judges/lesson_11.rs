//! Lesson 11: chunks that balance, shares that are fair.

use super::finding::{Finding, untouched, wrong};

/// The check cell's calls: rows and workers.
const CALLS: [(usize, usize); 4] = [(120, 2), (120, 4), (6_000, 4), (3, 4)];
/// How much larger than the ideal the makespan, or the largest share, may be, as a factor.
const TOLERANCE: f64 = 1.1;
const CHUNKS_PER_WORKER: usize = 64;

/// The work of a row, which increases linearly from 1 to 9.
fn work(row: usize, rows: usize) -> f64 {
    1.0 + 8.0 * row as f64 / (rows - 1) as f64
}

/// When the last worker finishes, if each free worker takes the next chunk.
fn makespan(rows: usize, workers: usize, chunk: usize) -> f64 {
    let works: Vec<f64> = (0..rows).map(|row| work(row, rows)).collect();
    let mut busy_until = vec![0.0_f64; workers];
    for chunk in works.chunks(chunk) {
        if let Some(next) = busy_until.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *next += chunk.iter().sum::<f64>();
        }
    }
    busy_until.into_iter().fold(0.0, f64::max)
}

/// The minimum of the makespan: no worker does more than its share, and no row is split.
fn ideal(rows: usize, workers: usize) -> f64 {
    let total: f64 = (0..rows).map(|row| work(row, rows)).sum();
    (total / workers as f64).max(work(rows - 1, rows))
}

/// 11.1: `chunk_size(rows, workers)` for each of [`CALLS`].
pub(crate) fn chunk_sizes(answers: &[usize]) -> Finding {
    if answers.len() != CALLS.len() {
        return wrong("leave the check cell as it was: it makes four calls".into());
    }
    for (&chunk, (rows, workers)) in answers.iter().zip(CALLS) {
        let call = format!("`chunk_size({rows}, {workers})` gave {chunk}");
        if chunk == 0 {
            return wrong(format!(
                "{call}: a chunk of 0 rows never gets anywhere. Round up, or take at least 1 (hint 2)."
            ));
        }
        let n_chunks = rows.div_ceil(chunk);
        let per_worker = n_chunks.div_ceil(workers);
        if per_worker > CHUNKS_PER_WORKER {
            return wrong(format!(
                "{call}: that is {per_worker} chunks per worker, more than {CHUNKS_PER_WORKER}. The \
                 balance is perfect, and every chunk must be claimed (hint 1)."
            ));
        }
        let times = makespan(rows, workers, chunk) / ideal(rows, workers);
        if times > TOLERANCE {
            if answers == CALLS.map(|(rows, workers): (usize, usize)| rows.div_ceil(workers)) {
                return untouched(format!(
                    "{call}: the makespan is {times:.2} times the ideal, expected at most {TOLERANCE}; an even split is \
                     not an even time (hint 1)."
                ));
            }
            let cause = match n_chunks {
                1 => "one worker does everything, and the others have nothing to do",
                n if n <= workers => {
                    "an even split is not an even time: the last chunk holds most of the work (hint 1)"
                }
                _ => "better, but not enough: the last large chunk makes the others wait (hint 2)",
            };
            return wrong(format!(
                "{call}: the makespan is {times:.2} times the ideal, expected at most {TOLERANCE}; {cause}."
            ));
        }
    }
    Ok("balanced within a tenth, and few enough to take. You can defend that.".into())
}

/// 11.2: the rows that each task computes, for 4 tasks with 120 rows and 3 tasks with 100.
pub(crate) fn shares(answers: &[Vec<Vec<usize>>]) -> Finding {
    const ARRAYS: [(usize, usize); 2] = [(4, 120), (3, 100)];
    let sizes_fit = answers
        .iter()
        .map(Vec::len)
        .eq(ARRAYS.map(|(n_tasks, _)| n_tasks));
    if !sizes_fit {
        return wrong("leave the check cell as it was: it asks for 4 and for 3 shares".into());
    }
    for (tasks, (n_tasks, rows)) in answers.iter().zip(ARRAYS) {
        let array = format!("{n_tasks} tasks, {rows} rows");
        let mut n_times = vec![0; rows];
        for &row in tasks.iter().flatten() {
            match n_times.get_mut(row) {
                Some(n) => *n += 1,
                None => {
                    return wrong(format!(
                        "{array}: there is no row {row}; they are numbered from 0 to {}.",
                        rows - 1
                    ));
                }
            }
        }
        if let Some(row) = n_times.iter().position(|n| *n > 1) {
            return wrong(format!(
                "{array}: row {row} is computed more than once. Each task should have rows of its own."
            ));
        }
        if let Some(row) = n_times.iter().position(|n| *n == 0) {
            return wrong(format!(
                "{array}: row {row} is not computed. What is left over when {rows} rows are \
                 divided by {n_tasks}?"
            ));
        }
        let loads = tasks
            .iter()
            .map(|share| share.iter().map(|&row| work(row, rows)).sum());
        let largest = loads.fold(0.0, f64::max);
        let average = (0..rows).map(|row| work(row, rows)).sum::<f64>() / n_tasks as f64;
        if largest > TOLERANCE * average {
            let is_block = tasks
                .iter()
                .all(|share| share.windows(2).all(|pair| pair[1] == pair[0] + 1));
            let judge = if is_block { untouched } else { wrong };
            return judge(format!(
                "{array}: every row once, but the largest share is {:.2} times the average, expected at \
                 most {TOLERANCE}. The last rows have most of the work: share them out (hint 1).",
                largest / average
            ));
        }
    }
    Ok("every row once, and fair: each task has rows of every kind.".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    #[test]
    fn chunks_are_neither_too_few_nor_too_many() {
        let message = |size: fn(usize, usize) -> usize| {
            said(chunk_sizes(
                &CALLS.map(|(rows, workers)| size(rows, workers)),
            ))
        };
        for per_worker in [16, 20, 30, 60] {
            let sizes = CALLS.map(|(rows, workers)| rows.div_ceil(per_worker * workers));
            assert!(
                said(chunk_sizes(&sizes)).starts_with("solved"),
                "{per_worker}"
            );
        }
        assert!(message(|rows, workers| rows.div_ceil(workers)).contains("not an even time"));
        assert!(message(|_, _| 1).contains("1500 chunks per worker"));
        assert!(message(|rows, workers| rows / (20 * workers)).contains("a chunk of 0 rows"));
        assert!(
            message(|rows, workers| rows.div_ceil(4 * workers)).contains("better, but not enough")
        );
        assert!(message(|rows, _| rows).contains("one worker does everything"));
    }

    #[test]
    fn shares_are_whole_and_fair() {
        let message = |share: fn(usize, usize, usize) -> Vec<usize>| {
            let array = |n_tasks, rows| {
                (0..n_tasks)
                    .map(|task| share(task, n_tasks, rows))
                    .collect()
            };
            said(shares(&[array(4, 120), array(3, 100)]))
        };
        assert!(message(|task, n, rows| (task..rows).step_by(n).collect()).starts_with("solved"));
        let blocks =
            |task: usize, n: usize, rows: usize| (task * rows / n..(task + 1) * rows / n).collect();
        assert!(message(blocks).contains("times the average"));
        let no_rest = |task, n, rows| (0..rows / n).map(|turn| turn * n + task).collect();
        assert!(message(no_rest).contains("is not computed"));
        assert!(message(|_, _, rows| (0..rows).collect()).contains("more than once"));
        assert!(
            message(|task, n, rows| (task + 1..=rows).step_by(n).collect())
                .contains("there is no row")
        );
    }
}
