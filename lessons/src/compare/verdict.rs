//! Whether a difference is more than noise.

use crate::quiet::Others;

/// The share of rounds that may disagree with the rest: one interrupt is not a result.
const OUTLIERS: f64 = 0.15;
/// Ratios closer to 1 than this are not worth mentioning.
const SAME: f64 = 1.03;
/// If all rounds stay within this factor of each other, there is no difference.
const ALIKE: f64 = 1.1;

/// Which of two cases takes longer, as far as the measurement can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first takes longer.
    Slower,
    /// The first takes less time.
    Faster,
    /// They take equally long, within a tenth.
    Alike,
    /// The rounds disagree, or other programs used the processors: the machine is busy.
    Inconclusive,
}

/// The verdict from the ratios of some rounds, for work that needs all cores.
pub(crate) fn verdict_of(ratios: &[f64], others: &Others) -> Verdict {
    verdict_between(ratios, others, [None, None])
}

/// The verdict from the ratios of some rounds, except a few outliers. If other programs used the
/// processors, only a difference that they cannot have caused counts.
pub(super) fn verdict_between(
    ratios: &[f64],
    others: &Others,
    needs: [Option<usize>; 2],
) -> Verdict {
    let n_cores = needs.map(|needed| needed.unwrap_or(usize::MAX));
    let is_disturbed = others.disturb_on(n_cores[0].max(n_cores[1]));
    let least = |slower, faster| match is_disturbed {
        true => others.least_ratio(slower, faster),
        false => SAME,
    };
    let [one, other] = needs;
    let mut ratios = ratios.to_vec();
    ratios.sort_by(f64::total_cmp);
    let n_outliers = (ratios.len() as f64 * OUTLIERS) as usize;
    let (low, high) = (ratios[n_outliers], ratios[ratios.len() - 1 - n_outliers]);
    if low > least(one, other) {
        Verdict::Slower
    } else if high < 1.0 / least(other, one) {
        Verdict::Faster
    } else if !is_disturbed && low > 1.0 / ALIKE && high < ALIKE {
        Verdict::Alike
    } else {
        Verdict::Inconclusive
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::comparison::Comparison;
    use super::super::comparison::tests::{beside_loops, comparison};
    use super::*;

    #[test]
    fn rounds_that_agree_are_a_verdict_and_one_outlier_does_not_matter() {
        let one = [1.0, 1.1, 1.0, 1.2, 1.0, 1.0, 1.0];
        let other = [2.0, 2.1, 2.0, 2.2, 0.9, 2.0, 2.0];
        let compared = comparison(&one, &other);
        assert_eq!(compared.verdict("other", "one"), Verdict::Slower);
        assert_eq!(compared.verdict("one", "other"), Verdict::Faster);
        assert!((compared.ratio("other", "one") - 2.0).abs() < 1e-9);
        assert_eq!(compared.median("one"), Duration::from_secs(1));
        assert!(format!("{compared:?}").contains("`other` takes 2.00 times as long as `one`"));
        assert_eq!(compared.title_for("Speed-up"), "Speed-up");
    }

    #[test]
    fn rounds_that_disagree_are_inconclusive() {
        let one = [1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0];
        let other = [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0];
        let compared = comparison(&one, &other);
        assert_eq!(compared.verdict("other", "one"), Verdict::Inconclusive);
        assert!(!compared.times("other", "one").conclusive);
        assert!(format!("{compared:?}").contains("the machine is busy"));
    }

    #[test]
    fn rounds_close_together_are_alike() {
        let compared = comparison(&[1.0; 7], &[1.0, 1.02, 0.98, 1.01, 0.99, 1.0, 1.05]);
        assert_eq!(compared.verdict("other", "one"), Verdict::Alike);
        assert!(compared.times("other", "one").conclusive);
        assert!(format!("{compared:?}").contains("about equally long"));
    }

    #[test]
    fn rounds_that_agree_beside_others_are_a_verdict_only_if_it_is_plain() {
        // Measured under load: two threads with a GIL, in every round faster than one.
        let (one, two) = ([0.517; 9], [0.374; 9]);
        let wrong = beside_loops(&one, &two);
        assert_eq!(wrong.verdict("other", "one"), Verdict::Inconclusive);
        assert_eq!(wrong.verdict("one", "other"), Verdict::Inconclusive);
        assert!(!wrong.times("other", "one").conclusive);
        let text = format!("{wrong:?}");
        assert!(
            text.contains("other programs used 1.2 of the 2 processors"),
            "{text}"
        );
        assert!(wrong.doubt().is_some());
        assert!(wrong.title_for("Speed-up").contains("do not rely on it"));
        // Nor is it certain that anything is alike.
        assert_eq!(
            beside_loops(&one, &one).verdict("one", "other"),
            Verdict::Inconclusive
        );
        // Other programs cannot cause a factor of a thousand.
        let plain = beside_loops(&[1e-6; 9], &[1e-3; 9]);
        assert_eq!(plain.verdict("other", "one"), Verdict::Slower);
        assert_eq!(plain.verdict("one", "other"), Verdict::Faster);
    }

    #[test]
    fn work_on_few_cores_is_trusted_where_load_cannot_have_made_the_difference() {
        let needing = |n_cores: [usize; 2], one: f64, other: f64| Comparison {
            n_cores: n_cores.map(Some).into(),
            ..beside_loops(&[one; 9], &[other; 9])
        };
        // Four threads that sleep, one after another or in parallel.
        let asleep = needing([0, 0], 0.080, 0.021);
        assert_eq!(asleep.verdict("one", "other"), Verdict::Slower);
        // A copy of the memory against a fork.
        assert_eq!(
            needing([1, 1], 1.0, 9.4).verdict("other", "one"),
            Verdict::Slower
        );
        assert_eq!(
            needing([1, 1], 1.0, 1.2).verdict("other", "one"),
            Verdict::Inconclusive
        );
        // Two threads may look faster than one only because the OS gives them more time.
        let gil = needing([1, 2], 0.517, 0.374);
        assert_eq!(gil.verdict("other", "one"), Verdict::Inconclusive);
        assert_eq!(
            needing([1, 2], 3.0, 1.0).verdict("other", "one"),
            Verdict::Faster
        );
        // Or slower by any amount.
        assert_eq!(
            needing([1, 2], 1.0, 5.6).verdict("other", "one"),
            Verdict::Inconclusive
        );
    }

    #[test]
    fn a_program_on_the_other_core_does_not_disturb_what_needs_one() {
        let beside_one = Comparison {
            n_cores: vec![Some(1), Some(1)],
            others: Others::on_two(1.0),
            ..comparison(&[1.0; 9], &[1.1; 9])
        };
        assert_eq!(beside_one.verdict("other", "one"), Verdict::Slower);
        let needs_both = Comparison {
            n_cores: vec![Some(1), None],
            ..beside_one
        };
        assert_eq!(needs_both.verdict("other", "one"), Verdict::Inconclusive);
    }
}
