//! Lesson 08: threads or processes.

use super::finding::{Finding, untouched, word, wrong};

/// 08.1: the six scenarios: what to choose, and why not the alternative.
const SCENARIOS: [(&str, &str); 6] = [
    (
        "threads",
        "The photos are in memory already, and a thread takes them as they are. Safe Rust: nothing there can crash the program.",
    ),
    (
        "processes",
        "The routine's global variables are one set for all threads, and they would write over each other's. A process has its own.",
    ),
    (
        "serial",
        "24 powers take some 20 ns. It takes far longer to wake a worker, whether thread or process.",
    ),
    (
        "processes",
        "A function that crashes takes its process with it. Let that be one of its own.",
    ),
    (
        "threads",
        "All threads see the one table, and Rust checks that they do not get in each other's way. Processes would each change a copy.",
    ),
    (
        "processes",
        "A thread cannot be stopped from outside; a process can be killed, and `Pool::builder().timeout(…)` does it.",
    ),
];

/// 08.1: the choices for [`SCENARIOS`].
pub(crate) fn choices(answers: &[&'static str]) -> Finding {
    if answers.len() != SCENARIOS.len() {
        return wrong("leave the check cell as it was: it has six answers".into());
    }
    let is_known = |answer: &str| ["threads", "processes", "serial"].contains(&&*word(answer));
    if answers.iter().all(|answer| !is_known(answer)) {
        return untouched(
            "answer each with `\"threads\"`, `\"processes\"` or `\"serial\"`; hint 1 helps.".into(),
        );
    }
    for (index, (answer, (wanted, why))) in answers.iter().zip(SCENARIOS).enumerate() {
        let number = index + 1;
        if !is_known(answer) {
            return wrong(format!(
                "scenario {number}: `{answer}` is none of `threads`, `processes`, `serial`."
            ));
        }
        if word(answer) != wanted {
            return wrong(format!(
                "scenario {number} is better without `{answer}`. {why}"
            ));
        }
    }
    Ok("threads unless there is a reason, processes where something can go wrong, and neither where \
        there is nothing to gain."
        .into())
}

/// 08.2: the process ids that ran the threads' tasks and the processes' tasks.
pub(crate) fn who_ran(answer: &Result<(Vec<u32>, Vec<u32>), String>) -> Finding {
    let here = std::process::id();
    let (by_threads, by_processes) = match answer {
        Ok(both) => both,
        Err(error) => {
            return untouched(format!("it was refused: “{error}” (hint 1)"));
        }
    };
    if by_threads.is_empty() || by_processes.is_empty() {
        return wrong(
            "four tasks by threads and four by processes: one of the lists is empty.".into(),
        );
    }
    let are_here = |pids: &[u32]| pids.iter().all(|pid| *pid == here);
    let are_elsewhere = |pids: &[u32]| pids.iter().all(|pid| *pid != here);
    match (
        are_here(by_threads),
        are_elsewhere(by_threads),
        are_here(by_processes),
        are_elsewhere(by_processes),
    ) {
        (true, _, _, true) => Ok(format!(
            "threads are part of process {here}; the pool's workers have ids of their own. Processes \
             first, then threads."
        )),
        (true, _, true, _) => wrong(format!(
            "the second four ran in process {here} too, this very process: they were threads' tasks. \
             Give them to a `Pool`."
        )),
        (_, true, true, _) => wrong("right, but the wrong way round: first the threads', then the processes'.".into()),
        (_, true, _, true) => wrong(
            "the threads' tasks ran in other processes: give the first four to a `ThreadPool`.".into(),
        ),
        _ => wrong("some of the tasks ran here and some elsewhere: one pool for the first four, the other \
                  for the rest."
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    #[test]
    fn each_choice_is_answered_with_its_reason() {
        let right = SCENARIOS.map(|(wanted, _)| wanted);
        assert!(said(choices(&right)).starts_with("solved"));
        let mut in_other_letters = right;
        (in_other_letters[0], in_other_letters[1]) = ("Thread", "process");
        assert!(said(choices(&in_other_letters)).starts_with("solved"));
        assert!(said(choices(&["?"; 6])).contains("hint 1"));
        assert!(said(choices(&["processes"; 6])).contains("nothing there can crash"));
        assert!(said(choices(&["threads"; 6])).contains("global variables"));
        let mut one_wrong = right;
        one_wrong[2] = "threads";
        assert!(said(choices(&one_wrong)).contains("longer to wake a worker"));
        one_wrong[2] = "none";
        assert!(said(choices(&one_wrong)).contains("scenario 3: `none`"));
    }

    #[test]
    fn who_ran_what_is_told_by_the_process_ids() {
        let (here, there) = (vec![std::process::id(); 4], vec![0; 4]);
        let message = |answer| said(who_ran(&answer));
        assert!(message(Ok((here.clone(), there.clone()))).starts_with("solved"));
        assert!(message(Ok((here.clone(), here.clone()))).contains("this very process"));
        assert!(message(Ok((there.clone(), here.clone()))).contains("the wrong way round"));
        assert!(message(Ok((there.clone(), there.clone()))).contains("the threads' tasks"));
        assert!(message(Ok((here, vec![]))).contains("empty"));
        assert!(message(Err("2 threads".into())).contains("2 threads"));
    }
}
