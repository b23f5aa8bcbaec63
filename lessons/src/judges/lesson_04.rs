//! Lesson 04: where to release a global interpreter lock, and what it does not protect.

use std::ops::Range;
use std::time::Duration;

use forklore::gil::GilReport;

use super::finding::{Finding, untouched, wrong};

/// The native calls of the exercises.
const DOWNLOAD: Duration = Duration::from_millis(50);
const RECEIPT: Duration = Duration::from_millis(20);

/// Whether threads held the lock during a native call. Looks at the longest time that each thread
/// held the lock without a break: if it was held during a native call, that is longer than the
/// call. A busy machine may stop a thread that holds the lock, but hardly two of them for so long.
fn holds_during<R>(report: &GilReport<R>, call: Duration) -> bool {
    let n_long = report
        .threads()
        .iter()
        .filter(|thread| {
            thread
                .held()
                .iter()
                .any(|span| span.end - span.start >= call)
        })
        .count();
    n_long >= 2
}

/// 04.1: three threads that should download in parallel.
pub(crate) fn released(report: &GilReport<u64>) -> Finding {
    if report.wall() < DOWNLOAD {
        return wrong(
            "The download is gone. Keep all three steps, and release the lock during \
             the second."
                .into(),
        );
    }
    if !holds_during(report, DOWNLOAD) {
        return Ok(format!(
            "three downloads of 50 ms in {:.0} ms: while one waits, the others have the lock.",
            report.wall().as_secs_f64() * 1e3
        ));
    }
    let threads = report.threads();
    let all = |is: &dyn Fn(&[Range<Duration>]) -> bool| threads.iter().all(|t| is(t.held()));
    let starts_short = all(&|held| {
        held.first()
            .is_some_and(|span| span.end - span.start < DOWNLOAD)
    });
    let pauses = all(&|held| held.len() > 1 && held[1].start - held[0].end >= DOWNLOAD);
    let cause = if starts_short && pauses {
        "A thread downloads twice: once without the lock, and once more with it."
    } else if starts_short {
        "The lock was released, and taken again before the download began. The download belongs *into* \
         `allow_threads` (hint 2)."
    } else {
        return untouched(
            "threads held the lock for 50 ms and longer, expected far less. A thread that downloads keeps the lock, \
             so the others wait for nothing (hint 1)."
                .into(),
        );
    };
    wrong(format!(
        "threads held the lock for 50 ms and longer, expected far less. {cause}"
    ))
}

/// The check cell's calls: threads, milliseconds of computing and of waiting, whether there is a
/// lock.
const RUNS: [(u64, u64, u64, bool); 4] = [
    (4, 10, 100, true),
    (4, 10, 100, false),
    (8, 50, 20, true),
    (8, 50, 20, false),
];

/// 04.2: `done_after_ms(…)` for each of [`RUNS`].
pub(crate) fn done_after(answers: &[u64]) -> Finding {
    if answers.len() != RUNS.len() {
        return wrong("leave the check cell as it was: it makes four calls".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return untouched(
            "`done_after_ms` is 0 for everything: fill in the gap, or open hint 1.".into(),
        );
    }
    let right = |n: u64, compute: u64, wait: u64, lock_on: bool| match lock_on {
        true => n * compute + wait,
        false => compute + wait,
    };
    for (answer, (n, compute, wait, lock_on)) in answers.iter().copied().zip(RUNS) {
        let wanted = right(n, compute, wait, lock_on);
        if answer == wanted {
            continue;
        }
        let cause = if lock_on && answer == n * (compute + wait) {
            "That is everything one after another. Only the computing needs the lock; the waits overlap."
        } else if lock_on && answer == compute + wait {
            "That is as if there were no lock: one thread computes at a time."
        } else if lock_on && answer < wanted {
            "The last thread's wait begins only when all the others have computed."
        } else if !lock_on && answer == n * compute + wait {
            "Without a lock, and with enough cores, the threads compute side by side."
        } else {
            "With the lock the computing queues; without it every thread is on its own (hints)."
        };
        return wrong(format!(
            "`done_after_ms({n}, {compute}, {wait}, {lock_on})` gave {answer}, expected {wanted}. {cause}"
        ));
    }
    Ok("much waiting: 140 against 110 ms. Much computing: 420 against 70.".into())
}

/// The sum that four threads pay in together.
const DEPOSITS: u64 = 12;

/// 04.3: the balance after [`DEPOSITS`] payments of 1, and which threads held the lock.
pub(crate) fn deposited((balance, report): &(u64, GilReport<()>)) -> Finding {
    let cause = if *balance == 0 {
        "No payment was written."
    } else if *balance > DEPOSITS {
        "A payment was counted twice. One `fetch_add` is the whole of it."
    } else if *balance < DEPOSITS {
        return untouched(format!(
            "after {DEPOSITS} payments of 1 the balance is {balance}: payments are lost. What can happen between a \
             thread's read and its write (hint 1)?"
        ));
    } else if report.wall() < 3 * RECEIPT {
        "The balance is right, but the receipts were not printed."
    } else if holds_during(report, RECEIPT) {
        "The balance is right, but no other thread could run while a receipt was printed: release the lock \
         around that, with `allow_threads`."
    } else {
        return Ok(
            "twelve payments, twelve receipts, and no thread waited for the printer.".into(),
        );
    };
    wrong(format!(
        "after {DEPOSITS} payments of 1 the balance is {balance}. {cause}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;
    use forklore::gil::Gil;
    use std::thread::sleep;

    #[test]
    fn a_lock_that_is_kept_is_seen() {
        let run = |body: fn(&mut forklore::gil::Token)| {
            said(released(&Gil::new().threads(3, |token, _| {
                body(token);
                1
            })))
        };
        assert!(run(|token| token.allow_threads(|| sleep(DOWNLOAD))).starts_with("solved"));
        assert!(run(|_| sleep(DOWNLOAD)).contains("keeps the lock"));
        assert!(run(|_| ()).contains("gone"));
        let before = |token: &mut forklore::gil::Token| {
            token.allow_threads(|| ());
            sleep(DOWNLOAD);
        };
        assert!(run(before).contains("taken again"));
    }

    #[test]
    fn each_wrong_model_has_its_message() {
        let answers = |rule: fn(u64, u64, u64, bool) -> u64| {
            said(done_after(&RUNS.map(|(n, c, w, on)| rule(n, c, w, on))))
        };
        assert!(answers(|n, c, w, on| if on { n * c + w } else { c + w }).starts_with("solved"));
        assert!(answers(|_, c, w, _| c + w).contains("no lock"));
        assert!(answers(|n, c, w, _| n * (c + w)).contains("overlap"));
        assert!(answers(|n, c, w, _| n * c + w).contains("side by side"));
        assert!(answers(|_, _, _, _| 0).contains("fill in"));
    }

    #[test]
    fn a_right_balance_is_not_all() {
        let idle = Gil::new().threads(4, |_, _| ());
        assert!(said(deposited(&(3, idle.clone()))).contains("lost"));
        assert!(said(deposited(&(24, idle.clone()))).contains("twice"));
        assert!(said(deposited(&(12, idle))).contains("receipts were not printed"));
    }
}
