//! Lesson 07: break-even, crossover, Amdahl's law, and how large a chunk should be.

use super::finding::{Finding, untouched, wrong};

/// The check cell's calls: nanoseconds per call and per item, items, workers.
const PRICES: [[f64; 4]; 3] = [
    [30_000.0, 25.0, 24.0, 2.0],
    [30_000.0, 25.0, 1_000.0, 4.0],
    [30_000.0, 25.0, 24.0, 1.0],
];

/// Whether two numbers are the same, including infinity and NaN.
fn near(answer: f64, wanted: f64) -> bool {
    answer == wanted
        || (answer.is_nan() && wanted.is_nan())
        || (answer / wanted - 1.0).abs() < 1e-6
        || (answer - wanted).abs() < 1e-9
}

/// A rule for `break_even_ns`.
type Price = fn([f64; 4]) -> f64;

/// Formulas that learners write instead of the break-even, and why they are wrong.
const NOT_BREAK_EVEN: [(Price, &str); 10] = [
    (
        |[call, item, n, _]| call / n + item,
        "That is the overhead of an item, as if no work were left to do. Of the work, p workers save the \
         share 1 − 1 / p: divide by that.",
    ),
    (
        |[call, item, _, p]| (call + item) / (1.0 - 1.0 / p),
        "The whole call is charged to a single item. It is shared by all n of them.",
    ),
    (
        |[call, item, n, p]| (call + n * item) / (1.0 - 1.0 / p),
        "That is the work of all n items together. Divide by n: one item was asked for.",
    ),
    (
        |[call, item, n, p]| (call / n + item) / p,
        "Divided by p, but what is saved is 1 − 1 / p: half of the work with two workers, three quarters \
         with four.",
    ),
    (
        |[call, item, n, p]| (call / n + item) * p,
        "Multiplied by p, as if more workers needed more work to win. What they save is the share 1 − 1 / p: \
         divide by that.",
    ),
    (
        |[call, item, n, p]| (call / n + item) * (1.0 - 1.0 / p),
        "Multiplied by 1 − 1 / p. The fewer the workers, the less is saved, and the more work it takes: divide.",
    ),
    (
        |[call, item, n, p]| (call / n + item) * p * (1.0 - 1.0 / p),
        "That grows with p, as if more workers needed more work to win. Divide by the share that is saved, 1 − 1 / p.",
    ),
    (
        |[call, _, n, p]| call / n / (1.0 - 1.0 / p),
        "The price of an item is left out: each of them is handed over, too.",
    ),
    (
        |[_, item, _, p]| item / (1.0 - 1.0 / p),
        "The price of the call is left out: the items share it.",
    ),
    (
        |[call, item, n, p]| (call / n + item) / (1.0 - 1.0 / p) / 1_000.0,
        "That is in microseconds; the name asks for nanoseconds.",
    ),
];

/// 07.1: `break_even_ns(…)` for each of [`PRICES`].
pub(crate) fn break_even(answers: &[f64]) -> Finding {
    if answers.len() != PRICES.len() {
        return wrong("leave the check cell as it was: it makes three calls".into());
    }
    if answers.iter().all(|answer| *answer == 0.0) {
        return untouched(
            "`break_even_ns` is 0 for everything: fill in the gap, or open hint 1.".into(),
        );
    }
    let right: Price = |[call, item, n, p]| (call / n + item) / (1.0 - 1.0 / p);
    let mut pairs = answers.iter().copied().zip(PRICES);
    let Some((answer, price)) = pairs.find(|(answer, price)| !near(*answer, right(*price))) else {
        return Ok(
            "2.55 µs for 24 items on two workers, 73 ns for a thousand on four, never on one."
                .into(),
        );
    };
    let [call, item, n, p] = price;
    // A call with one worker does not distinguish wrong formulas: 1 − 1 / p is 0 there.
    let follows = |rule: Price| {
        let mut pairs = answers.iter().copied().zip(PRICES);
        pairs.all(|(answer, price)| price[3] == 1.0 || near(answer, rule(price)))
    };
    let cause = if p == 1.0 {
        "With one worker no amount of work is enough: the answer is `f64::INFINITY`, which is also what a division \
         of `f64` by zero gives (hint 2)."
    } else {
        let known = NOT_BREAK_EVEN.iter().find(|(rule, _)| follows(*rule));
        known.map_or(
            "The overhead of one item, divided by the share of the work that is saved (hint 2).",
            |(_, cause)| cause,
        )
    };
    wrong(format!(
        "`break_even_ns({call}, {item}, {n}, {p})` gave {}, expected {}. {cause}",
        in_words(answer),
        in_words(right(price))
    ))
}

/// A number as a learner would write it: `2550`, `73.33`, `1.80e308`, `inf`.
fn in_words(number: f64) -> String {
    match number.abs() {
        n if n.is_finite() && n >= 1e9 => format!("{number:.2e}"),
        _ if number.fract() == 0.0 || !number.is_finite() => number.to_string(),
        _ => format!("{number:.2}"),
    }
}

/// 07.2: the learner's crossover, the interval in microseconds, and whether it was measured.
pub(crate) fn crossover(&(answer, low, high, is_measured): &(f64, f64, f64, bool)) -> Finding {
    // A learner who reads 0.74 off a figure means the computed 0.743.
    let (least, most) = (low * 0.99, high * 1.01);
    let between = format!("between {low:.2} and {high:.2} µs");
    // A busy machine measures so wide an interval that it holds a thousand times its own lower end.
    let is_near = (least / 10.0..=most * 10.0).contains(&answer);
    if answer == 0.0 {
        untouched("write down a number of microseconds that is more than 0.".into())
    } else if !answer.is_finite() || answer < 0.0 {
        wrong(format!(
            "{answer} is no time. Write down a number of microseconds, {between}."
        ))
    } else if (least..=most).contains(&answer) {
        let then = match is_measured {
            true => "From there on the pool is worth its price.",
            false => "That is what the formula says: no crossover was measured here.",
        };
        Ok(format!("{answer:.2} µs lies {between}. {then}"))
    } else if !is_near && (least..=most).contains(&(answer / 1000.0)) {
        wrong(format!(
            "{answer:.0} is a thousand times too much: is that in nanoseconds? Expected microseconds, {between}."
        ))
    } else if !is_near && (least..=most).contains(&(answer * 1000.0)) {
        wrong(format!(
            "{answer} is a thousand times too little: is that in milliseconds? Expected microseconds, {between}."
        ))
    } else {
        let basis = match is_measured {
            true => "",
            false => "no crossover was measured here; by the formula, ",
        };
        let verdict = match answer < low {
            true => "the serial map still wins",
            false => "`pool.map` has long been winning",
        };
        wrong(format!(
            "{basis}at {answer:.3} µs of work per item {verdict}; expected {between} (hint 1)."
        ))
    }
}

/// The check cell's calls: serial share and workers; measured speed-up and workers.
const AMDAHL: [([f64; 2], [f64; 2]); 3] = [
    ([0.2, 4.0], [2.5, 4.0]),
    ([0.5, 64.0], [1.6, 4.0]),
    ([0.0, 8.0], [8.0, 8.0]),
];

/// A rule for `speed_up` or `serial_share`.
type Law = fn([f64; 2]) -> f64;

const NOT_SPEED_UP: [(Law, &str); 6] = [
    (
        |[_, p]| p,
        "That is p, for every share of serial work. Only what can be divided becomes faster.",
    ),
    (
        |[s, _]| 1.0 / s,
        "That is the limit for infinitely many workers. With p of them the divided part still takes \
         (1 − s) / p.",
    ),
    (
        |[s, p]| s + p * (1.0 - s),
        "That is Gustafson's law: how much more work is done in the same time. Here the work is given.",
    ),
    (
        |[s, p]| 1.0 / ((1.0 - s) + s / p),
        "There s is taken as the share that can be divided. It is the serial one, which stays as it is.",
    ),
    (
        |[s, p]| 1.0 / (s / 100.0 + (1.0 - s / 100.0) / p),
        "There s is taken as per cent. It is a share: 0.2 is a fifth.",
    ),
    (
        |[s, p]| s + (1.0 - s) / p,
        "That is the time that is left, as a share. The speed-up is 1 divided by it.",
    ),
];

const NOT_SERIAL_SHARE: [(Law, &str); 5] = [
    (
        |[measured, p]| 1.0 - measured / p,
        "That is what is missing of the ideal speed-up, and not the serial share: a share of 20 % costs \
         more than 20 % of the speed-up.",
    ),
    (
        |[measured, _]| 1.0 / measured,
        "That would be the share if there were infinitely many workers.",
    ),
    (
        |asked| 1.0 - serial_share(asked),
        "That is the share that can be divided. The serial one is what remains: 1 minus it.",
    ),
    (
        |asked| 100.0 * serial_share(asked),
        "That is in per cent. A share lies between 0 and 1: 20 % is 0.2.",
    ),
    (
        |[measured, p]| measured / p,
        "That is the efficiency: how much of p workers is of use.",
    ),
];

fn serial_share([measured, p]: [f64; 2]) -> f64 {
    (1.0 / measured - 1.0 / p) / (1.0 - 1.0 / p)
}

/// The first call with a wrong answer, and the cause that explains all answers.
fn first_wrong<'c>(
    pairs: &[(f64, [f64; 2])],
    right: Law,
    known: &'c [(Law, &'c str)],
    otherwise: &'c str,
) -> Option<(f64, [f64; 2], &'c str)> {
    let (answer, asked) = pairs
        .iter()
        .find(|(answer, asked)| !near(*answer, right(*asked)))?;
    let fits = |rule: &Law| {
        pairs
            .iter()
            .all(|(answer, asked)| near(*answer, rule(*asked)))
    };
    let cause = known.iter().find(|(rule, _)| fits(rule));
    Some((*answer, *asked, cause.map_or(otherwise, |(_, cause)| cause)))
}

/// 07.3: `speed_up` and `serial_share` for each of [`AMDAHL`].
pub(crate) fn amdahl(answers: &[(f64, f64)]) -> Finding {
    if answers.len() != AMDAHL.len() {
        return wrong("leave the check cell as it was: it makes three pairs of calls".into());
    }
    if answers.iter().all(|answer| *answer == (0.0, 0.0)) {
        return untouched(
            "both functions give 0 for everything: fill in the gaps, or open hint 1.".into(),
        );
    }
    let law: Law = |[s, p]| 1.0 / (s + (1.0 - s) / p);
    let zipped = answers.iter().zip(AMDAHL);
    let (speed_ups, shares): (Vec<_>, Vec<_>) = zipped
        .map(|(answer, asked)| ((answer.0, asked.0), (answer.1, asked.1)))
        .unzip();
    let otherwise = "It stands above the figure: 1 / (s + (1 − s) / p).";
    if let Some((answer, [s, p], cause)) = first_wrong(&speed_ups, law, &NOT_SPEED_UP, otherwise) {
        return wrong(format!(
            "`speed_up({s}, {p})` gave {}, expected {}. {cause}",
            in_words(answer),
            in_words(law([s, p]))
        ));
    }
    let otherwise = "Solve 1 / S = s + (1 − s) / p for s (hint 2).";
    if let Some((answer, asked, cause)) =
        first_wrong(&shares, serial_share, &NOT_SERIAL_SHARE, otherwise)
    {
        return wrong(format!(
            "`serial_share({}, {})` gave {}, expected {}. {cause}",
            asked[0],
            asked[1],
            in_words(answer),
            in_words(serial_share(asked))
        ));
    }
    Ok("2.5 times as fast on 4 workers: 20 % are serial, and 5 times as fast is the end.".into())
}

/// The check cell's calls: items, work, fetching, workers.
const CHUNKS: [[usize; 4]; 5] = [
    [4_000, 1_000, 500, 2],
    [4_000, 1_000_000, 500, 2],
    [100, 1, 1_000, 4],
    [10, 1, 1_000, 4],
    [4_000, 300, 100, 2],
];

/// 07.4: `chunk(…)` for each of [`CHUNKS`].
pub(crate) fn chunks(answers: &[usize]) -> Finding {
    if answers.len() != CHUNKS.len() {
        return wrong("leave the check cell as it was: it makes five calls".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return untouched("`chunk` is 0 for everything: fill in the gap, or open hint 1.".into());
    }
    for (answer, [n, work, fetch, p]) in answers.iter().copied().zip(CHUNKS) {
        let long_enough = (10 * fetch).div_ceil(work);
        let small_enough = n / (4 * p);
        let wanted = long_enough.min(small_enough).max(1);
        if answer == wanted {
            continue;
        }
        let cause = if answer == 0 {
            "A chunk of 0 holds nothing: at least 1, after all other limits.".to_owned()
        } else if answer > small_enough.max(1) {
            "With that there are fewer than four chunks for each worker: respect the upper limit, n / (4 p).".into()
        } else if answer > wanted {
            "That is larger than it needs to be: the smallest that is worth fetching, ten times the cost.".into()
        } else if answer + 1 == wanted {
            format!(
                "{answer} items are {} ns of work, less than ten times the {fetch} ns of fetching: a division of \
                 whole numbers rounds down, and this one must round up (hint 1).",
                answer * work
            )
        } else {
            "That is too small: its work is less than ten times what it costs to fetch it.".into()
        };
        return wrong(format!(
            "`chunk({n}, {work}, {fetch}, {p})` gave {answer}, expected {wanted}. {cause}"
        ));
    }
    Ok("5, 1, 6, 1 and 4: long against their fetching, and enough of them to go round.".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    #[test]
    fn each_wrong_break_even_has_its_message() {
        let answers = |rule: fn([f64; 4]) -> f64| said(break_even(&PRICES.map(rule)));
        let right = |[call, item, n, p]: [f64; 4]| (call / n + item) / (1.0 - 1.0 / p);
        assert!(answers(right).starts_with("solved"));
        assert!(answers(|[call, item, n, _]| call / n + item).contains("no work"));
        assert!(answers(|[call, item, n, p]| (call / n + item) / p).contains("what is saved"));
        assert!(answers(|_| 0.0).contains("fill in"));
        for (rule, cause) in NOT_BREAK_EVEN {
            assert!(answers(rule).contains(cause), "{cause}");
        }
        // Only the call with one worker is wrong: the message quotes that one.
        let finite = |price: [f64; 4]| {
            if price[3] == 1.0 {
                f64::MAX
            } else {
                (price[0] / price[2] + price[1]) / (1.0 - 1.0 / price[3])
            }
        };
        let text = answers(finite);
        assert!(
            text.contains("`break_even_ns(30000, 25, 24, 1)` gave 1.80e308, expected inf"),
            "{text}"
        );
        let times_p = answers(|[call, item, n, p]| (call / n + item) * p);
        assert!(times_p.contains("1000, 4)` gave 220"), "{times_p}");
    }

    #[test]
    fn a_crossover_is_judged_by_its_interval() {
        let measured = |answer: f64| said(crossover(&(answer, 2.0, 5.0, true)));
        assert!(measured(3.0).starts_with("solved") && measured(3.0).contains("worth its price"));
        assert!(measured(2.0).starts_with("solved") && measured(5.0).starts_with("solved"));
        assert!(measured(0.1).contains("still wins"));
        assert!(measured(5.5).contains("long been") && measured(90.0).contains("long been"));
        assert!(
            measured(3_162.0).contains("nanoseconds") && measured(0.003).contains("milliseconds")
        );
        for odd in [f64::NAN, f64::INFINITY, -3.0] {
            assert!(measured(odd).contains("is no time"), "{odd}");
        }
        let assumed = |answer: f64| said(crossover(&(answer, 2.0, 5.0, false)));
        assert!(
            assumed(3.0).contains("no crossover was measured") && !assumed(3.0).contains("worth")
        );
        assert!(assumed(90.0).contains("no crossover was measured"));
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
        let answers = |one: Law, other: Law| said(amdahl(&AMDAHL.map(|(s, m)| (one(s), other(m)))));
        let law: Law = |[s, p]| 1.0 / (s + (1.0 - s) / p);
        for (rule, cause) in NOT_SPEED_UP {
            assert!(answers(rule, serial_share).contains(cause), "{cause}");
        }
        for (rule, cause) in NOT_SERIAL_SHARE {
            assert!(answers(law, rule).contains(cause), "{cause}");
        }
    }

    #[test]
    fn a_chunk_keeps_both_rules() {
        assert!(said(chunks(&[5, 1, 6, 1, 4])).starts_with("solved"));
        assert!(said(chunks(&[5, 1, 6, 0, 4])).contains("holds nothing"));
        assert!(said(chunks(&[5, 1, 10_000, 10_000, 4])).contains("fewer than four"));
        assert!(said(chunks(&[500, 500, 6, 1, 4])).contains("larger than it needs"));
        let rounded_down = said(chunks(&[5, 1, 6, 1, 3]));
        assert!(
            rounded_down.contains("`chunk(4000, 300, 100, 2)`")
                && rounded_down.contains("must round up")
        );
    }
}
