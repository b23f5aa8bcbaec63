//! Lesson 12: how many nodes to use, what a function needs there, and which tool does it.

use super::finding::{Finding, untouched, word, wrong};
use crate::calls::Called;

/// A call of `nodes_to_use`: items, microseconds per item and per message, workers per node, and
/// the number of nodes available.
struct Job {
    n: f64,
    work_us: f64,
    message_us: f64,
    workers: f64,
    most: usize,
}

/// The check cell's calls.
const JOBS: [Job; 5] = [
    job(24.0, 1.0, 100.0, 2.0, 8),
    job(1_000.0, 1_000.0, 100.0, 4.0, 8),
    job(1_000.0, 10.0, 100.0, 2.0, 16),
    job(400.0, 4.0, 100.0, 4.0, 16),
    job(300.0, 4.0, 100.0, 4.0, 16),
];

const fn job(n: f64, work_us: f64, message_us: f64, workers: f64, most: usize) -> Job {
    Job {
        n,
        work_us,
        message_us,
        workers,
        most,
    }
}

impl Job {
    /// The run time on `k` nodes.
    fn time_us(&self, k: usize) -> f64 {
        let nodes = k as f64;
        let messages = if k == 1 { 0.0 } else { nodes * self.message_us };
        messages + self.n * self.work_us / (nodes * self.workers)
    }

    /// The number of nodes with the shortest time; the smallest if several are equally good.
    fn best(&self, time_us: impl Fn(&Job, f64) -> f64) -> usize {
        let time = |k: &usize| time_us(self, *k as f64);
        let best = (1..=self.most).min_by(|a, b| time(a).total_cmp(&time(b)));
        best.unwrap_or(1)
    }
}

/// A rule for `nodes_to_use`.
type Rule = fn(&Job) -> usize;

/// Formulas that learners write, and why they are wrong.
const NOT_NODES: [(Rule, &str); 5] = [
    (
        |job| job.most,
        "All of them, always: each node costs a message, and 24 items of a microsecond do not pay for one.",
    ),
    (
        |_| 1,
        "One, always: a second of work is worth a message to each node.",
    ),
    (
        |job| job.best(|job, k| k * job.message_us + job.n * job.work_us / (k * job.workers)),
        "One node is this machine and needs no message: compare with the time that it takes so (hint 1).",
    ),
    (
        |job| {
            job.best(|job, k| {
                let messages = if k == 1.0 { 0.0 } else { k * job.message_us };
                messages + job.n * job.work_us / k
            })
        },
        "The workers of a node share its items: divide the work by them, too.",
    ),
    (
        |job| {
            job.best(|job, k| {
                let messages = if k == 1.0 { 0.0 } else { job.message_us };
                messages + job.n * job.work_us / (k * job.workers)
            })
        },
        "One message is not enough: each of the k nodes gets its own, one after the other.",
    ),
];

/// 12.1: `nodes_to_use(…)` for each of [`JOBS`].
pub(crate) fn nodes_to_use(answers: &[usize]) -> Finding {
    if answers.len() != JOBS.len() {
        return wrong("leave the check cell as it was: it makes five calls".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return untouched(
            "`nodes_to_use` is 0 for everything: fill in the gap, or open hint 1.".into(),
        );
    }
    let right: Rule = |job| {
        (1..=job.most).fold(1, |best, k| match job.time_us(k) < job.time_us(best) {
            true => k,
            false => best,
        })
    };
    let mut pairs = answers.iter().zip(&JOBS);
    let Some((&answer, job)) = pairs.find(|(answer, job)| **answer != right(job)) else {
        return Ok("one node for a little work, all for much, and in between as many as their messages allow.".into());
    };
    let follows = |rule: Rule| {
        answers
            .iter()
            .zip(&JOBS)
            .all(|(answer, job)| *answer == rule(job))
    };
    let known = NOT_NODES.iter().find(|(rule, _)| follows(*rule));
    let cause = match known {
        Some((_, cause)) => cause,
        None if answer == 0 => "Some node has to do it.",
        None if answer > job.most => "There are no more nodes than `most`.",
        None if job.time_us(answer) == job.time_us(right(job)) => {
            "It is as fast with fewer nodes: leave the others to other people's jobs."
        }
        None => "Compute the time for each number of nodes, and take the least (hint 2).",
    };
    let Job {
        n,
        work_us,
        message_us,
        workers,
        most,
    } = job;
    wrong(format!(
        "`nodes_to_use({n}, {work_us}, {message_us}, {workers}, {most})` gave {answer}, expected {}. {cause}",
        right(job)
    ))
}

/// The result of `scaled(&cluster, 7)`: each product, and the process that computed it.
type Scaled = Vec<(u64, u32)>;

/// 12.2: the call, and the processes of the cluster's workers.
pub(crate) fn scaled((calls, workers): &(Vec<Called<Scaled>>, Vec<u32>)) -> Finding {
    let [call] = &calls[..] else {
        return wrong("leave the check cell as it was: it makes one call".into());
    };
    let products = match &call.outcome {
        Ok(products) => products,
        Err(said) if said.contains("captured") => {
            return wrong(format!(
                "the cluster refused the closure: “{said}”. Its workers are not copies of this process, so they do \
                 not have `factor`: hand it over (hint 1)."
            ));
        }
        Err(_) => return wrong(call.panicked().unwrap_or_default()),
    };
    let expected: Vec<u64> = (0..24).map(|x| 7 * x).collect();
    if products.len() != expected.len() {
        return wrong(format!("expected 24 pairs, got {}.", products.len()));
    }
    let wrong_one = (0..24).find(|&x| products[x].0 != expected[x]);
    if let Some(x) = wrong_one {
        return wrong(format!(
            "item {x} came to {}, expected {}: each number times the factor, in the order of the numbers.",
            products[x].0, expected[x]
        ));
    }
    let here = std::process::id();
    let is_workers = |pid: &u32| workers.contains(pid);
    let mut pids = products.iter().map(|(_, pid)| *pid);
    if pids.clone().all(|pid| pid == here) {
        return untouched(format!(
            "right, and computed in this process, {here}. Let the cluster do it: `cluster.map(…)` takes a function and \
             the numbers."
        ));
    }
    match pids.find(|pid| !is_workers(pid)) {
        Some(pid) if pid == here => wrong(format!(
            "right, but process {here} is this one: the process's id has to be asked for where the item is computed."
        )),
        Some(pid) => wrong(format!(
            "right, but process {pid} is none of the cluster's workers: were they forked here? Use `cluster`."
        )),
        None => {
            Ok("24 products, computed on the nodes. The factor went to each of them, once.".into())
        }
    }
}

/// 12.3: the six jobs: what to choose, and why not the alternative.
const PROGRAMS: [(&str, &str); 6] = [
    (
        "pool",
        "A million microseconds are a second of work. By the time that a second node has started, it is done.",
    ),
    (
        "job array",
        "The simulations need nothing of each other and run for hours: let the scheduler start each when there is room, \
         also tomorrow.",
    ),
    (
        "cluster",
        "How long an image takes is not known beforehand, so no share is fair; and the results are wanted here.",
    ),
    (
        "mpi",
        "In a map no item hears of another. Neighbours that exchange values after each step are a program of their own.",
    ),
    (
        "pool",
        "On one node all workers share one table: they are forks. Every further node would need its own 300 GB.",
    ),
    (
        "cluster",
        "Equal shares make the slow node the one that all wait for. A worker that is free takes the next item.",
    ),
];

/// 12.3: the choices for [`PROGRAMS`].
pub(crate) fn choices(answers: &[&'static str]) -> Finding {
    if answers.len() != PROGRAMS.len() {
        return wrong("leave the check cell as it was: it has six answers".into());
    }
    let choice = |answer: &str| match &*word(answer) {
        "array" | "jobarray" | "job arrays" => "job array".to_owned(),
        other => other.to_owned(),
    };
    let is_known =
        |answer: &str| ["pool", "cluster", "job array", "mpi"].contains(&&*choice(answer));
    if answers.iter().all(|answer| !is_known(answer)) {
        return untouched(
            "answer each with `\"pool\"`, `\"cluster\"`, `\"job array\"` or `\"mpi\"`; hint 1 helps.".into(),
        );
    }
    for (index, (answer, (wanted, why))) in answers.iter().zip(PROGRAMS).enumerate() {
        let number = index + 1;
        if !is_known(answer) {
            return wrong(format!(
                "job {number}: `{answer}` is none of `pool`, `cluster`, `job array`, `mpi`."
            ));
        }
        if choice(answer) != wanted {
            return wrong(format!("job {number} is better without `{answer}`. {why}"));
        }
    }
    Ok("one node while it is enough, an array for what has nothing in common, a cluster for a map, and MPI for the rest."
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::NotYet;
    use crate::judges::finding::tests::said;

    #[test]
    fn nodes_are_as_many_as_pay() {
        let message = |rule: Rule| said(nodes_to_use(&JOBS.each_ref().map(rule)));
        let right = [1, 8, 7, 1, 1];
        assert!(said(nodes_to_use(&right)).starts_with("solved"));
        assert!(message(|job| job.best(|job, k| job.time_us(k as usize))).starts_with("solved"));
        for (rule, cause) in NOT_NODES {
            assert!(message(rule).contains(cause), "{cause}: {}", message(rule));
        }
        assert!(said(nodes_to_use(&[0; 5])).contains("hint 1"));
        assert!(said(nodes_to_use(&[1, 8, 7, 2, 1])).contains("as fast with fewer"));
        assert!(said(nodes_to_use(&[1, 8, 8, 1, 1])).contains("take the least"));
        assert!(said(nodes_to_use(&[1, 8, 7, 1, 0])).contains("Some node"));
        assert!(said(nodes_to_use(&[1, 8, 7, 1, 17])).contains("no more nodes than"));
    }

    #[test]
    fn the_product_is_the_nodes() {
        let here = std::process::id();
        let workers = vec![here + 1, here + 2];
        let answer = |outcome: Result<Scaled, String>| {
            let call = "scaled(&cluster, 7)".to_owned();
            said(scaled(&(vec![Called { call, outcome }], workers.clone())))
        };
        let by = |pid: u32| (0..24).map(|x| (7 * x, pid)).collect::<Scaled>();
        assert!(answer(Ok(by(here + 2))).starts_with("solved"));
        assert!(answer(Ok(by(here))).contains("in this process"));
        assert!(answer(Ok(by(here + 9))).contains("none of the cluster's workers"));
        let mut mixed = by(here + 1);
        mixed[3].1 = here;
        assert!(answer(Ok(mixed)).contains("has to be asked for"));
        assert!(answer(Ok(vec![(0, here + 1); 24])).contains("item 1 came to 0, expected 7"));
        assert!(answer(Ok(vec![])).contains("expected 24 pairs, got 0"));
        assert!(
            answer(Err("this function has captured something".into())).contains("hand it over")
        );
        assert!(answer(Err("oh".into())).contains("`scaled(&cluster, 7)` panicked: oh"));
    }

    #[test]
    fn each_tool_has_its_jobs() {
        let right = PROGRAMS.map(|(wanted, _)| wanted);
        assert!(said(choices(&right)).starts_with("solved"));
        let in_other_letters = ["Pool", "array", "cluster", "MPI", "pool", "Cluster"];
        assert!(said(choices(&in_other_letters)).starts_with("solved"));
        assert!(said(choices(&["?"; 6])).contains("hint 1"));
        assert!(said(choices(&["cluster"; 6])).contains("it is done"));
        assert!(said(choices(&["pool"; 6])).contains("nothing of each other"));
        let mut one_wrong = right;
        one_wrong[3] = "threads";
        assert!(said(choices(&one_wrong)).contains("job 4: `threads`"));
        assert!(matches!(choices(&["?"; 6]), Err(NotYet::Untouched(_))));
    }
}
