//! Lesson 00: what a session may use, and how to ask for it.

use super::Finding;

/// What the check cell's five sessions may use.
const USABLE: [usize; 5] = [8, 4, 2, 2, 1];

/// 00.1: `usable` for five sessions.
pub(super) fn usable(answers: &[usize]) -> Finding {
    if answers.len() != USABLE.len() {
        return Err("leave the check cell as it was: it makes five calls".into());
    }
    if answers == USABLE {
        return Ok(
            "the smallest of all limits, and never nothing. `cpu_count()` does the same.".into(),
        );
    }
    let wrong = answers
        .iter()
        .zip(USABLE)
        .position(|(answer, wanted)| *answer != wanted);
    let session = wrong.unwrap_or_default();
    let (got, wanted) = (answers[session], USABLE[session]);
    let cause = match (session, got) {
        (0, 1) => "What is missing limits nothing; it is not a limit of 0 (hint 1).",
        (1, 64) if answers[2] == 64 => {
            "That is what the machine has. Three others have a say: start with hint 1."
        }
        (1, 64) => {
            "The job was given 4 slots, and the other 60 processors belong to other people's jobs."
        }
        (2, 4) => {
            "The job has 4 slots but is bound to 2 processors: slots cannot give what the affinity takes away."
        }
        (3, 1) => {
            "A quota of 1.5 keeps two workers busy most of the time: it is to be rounded up (hint 2)."
        }
        (3, 8) => "The container has a quota: 1.5 processors' time for each second (hint 2).",
        (4, 0) => "Nobody has fewer than 1.",
        _ => "Take the smallest of the four, the quota rounded up (hints 1 and 2).",
    };
    Err(format!(
        "session {} got {got}, expected {wanted}. {cause}",
        session + 1
    ))
}

/// The options in a script's lines that begin with `mark`, in which blanks are as good as `=`.
fn options<'s>(script: &'s str, mark: &str) -> Vec<Vec<&'s str>> {
    let lines = script
        .lines()
        .filter_map(|line| line.trim().strip_prefix(mark));
    lines
        .map(|line| {
            line.split(['=', ' '])
                .filter(|word| !word.is_empty())
                .collect()
        })
        .collect()
}

/// The value after `names` in one of the options.
fn value<'s>(options: &[Vec<&'s str>], names: &[&str]) -> Option<&'s str> {
    let mut found = options.iter().filter(|words| words.starts_with(names));
    found.next_back()?.get(names.len()).copied()
}

/// An amount of memory in gigabytes: `1G`, `1024M`.
fn gigabytes(amount: &str) -> Option<f64> {
    let (number, unit) = amount.split_at(amount.find(|c: char| !c.is_ascii_digit())?);
    let number: f64 = number.parse().ok()?;
    match unit.to_ascii_uppercase().trim_end_matches('B') {
        "G" => Some(number),
        "M" => Some(number / 1024.0),
        _ => None,
    }
}

/// 00.2: a job script for Son of Grid Engine with 4 slots and 1 GB for each.
pub(super) fn sge_script(script: &str) -> Finding {
    let options = options(script, "#$");
    let environment = options.iter().find(|words| words.first() == Some(&"-pe"));
    let per_slot = value(&options, &["-l", "rmem"]).and_then(gigabytes);
    let Some(environment) = environment else {
        let both = if per_slot == Some(1.0) {
            ""
        } else {
            " And look at the memory: it is per slot (hint 2)."
        };
        return Err(format!(
            "the scheduler sees no `-pe`, and gives one slot. A line for it begins with `#$`; \
             `# $ -pe smp 4` is a comment (hint 1).{both}"
        ));
    };
    match (
        environment.get(1),
        environment.get(2).and_then(|n| n.parse::<u32>().ok()),
    ) {
        (Some(&"smp"), Some(4)) => {}
        (Some(&"smp"), Some(1)) => {
            return Err("`-pe smp 1` asks for a single slot: the session gets one core.".into());
        }
        (Some(&"smp"), n) => {
            return Err(format!(
                "it shall be 4 slots, and `-pe smp` asks for {}.",
                n.map_or("no number".into(), |n| n.to_string())
            ));
        }
        (other, _) => {
            return Err(format!(
                "`-pe {}` is another parallel environment: a pool's workers are all on one machine, and \
                 that is what `smp` promises.",
                other.unwrap_or(&"")
            ));
        }
    }
    match per_slot {
        Some(1.0) => Ok(
            "four slots on one machine, 1 GB for each. `NSLOTS` will be 4, and so will \
                         `cpu_count()`."
                .into(),
        ),
        Some(4.0) => Err(
            "four slots with 4 GB each are 16 GB, four times what was wanted: `rmem` is per \
                          slot (hint 2)."
                .into(),
        ),
        Some(other) => Err(format!(
            "it shall be 1 GB for each slot, and the script asks for {other} GB."
        )),
        None => {
            Err("the script no longer says how much memory it wants: `-l rmem=…`, per slot.".into())
        }
    }
}

/// 00.3: a job script for Slurm with one task, 4 CPUs, and 1 GB for each.
pub(super) fn slurm_script(script: &str) -> Finding {
    let options = options(script, "#SBATCH");
    let number = |name: &str| value(&options, &[name]).and_then(|n| n.parse::<u32>().ok());
    let tasks = number("--ntasks").or(number("-n")).unwrap_or(1);
    let cpus = number("--cpus-per-task").or(number("-c")).unwrap_or(1);
    match (tasks, cpus) {
        (1, 4) => {}
        (1, 1) => {
            return Err(
                "that is one task with one CPU: `--cpus-per-task` says how many it has.".into(),
            );
        }
        (4, 1) => {
            return Err("four tasks with one CPU each may be on four machines; your session is one of them, \
                        with one CPU (hint 1)."
                .into());
        }
        (4, 4) => {
            return Err(
                "four tasks with four CPUs each are sixteen CPUs. JupyterLab is one task.".into(),
            );
        }
        _ => {
            return Err(format!(
                "that is {tasks} tasks with {cpus} CPUs each; it shall be 1 with 4."
            ));
        }
    }
    let per_cpu = value(&options, &["--mem-per-cpu"]).and_then(gigabytes);
    let in_all = value(&options, &["--mem"]).and_then(gigabytes);
    match (per_cpu, in_all) {
        (Some(1.0), None) | (None, Some(4.0)) => {
            Ok("one task, four CPUs, 4 GB: `SLURM_CPUS_PER_TASK` will \
                                                     be 4, and so will `cpu_count()`."
                .into())
        }
        (None, Some(1.0)) => Err(
            "`--mem=1G` is for all of them together: a quarter of what each CPU should \
                                  have (hint 2)."
                .into(),
        ),
        (Some(4.0), None) => Err("four CPUs with 4 GB each are 16 GB; 1 GB each is enough.".into()),
        (Some(_), Some(_)) => {
            Err("`--mem` and `--mem-per-cpu` exclude each other: say one of them.".into())
        }
        _ => Err("it shall be 1 GB for each CPU: `--mem-per-cpu=1G` (hint 2).".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::exercises::tests::said;

    #[test]
    fn sessions_that_got_too_much_are_explained() {
        let message = |answers: [usize; 5]| said(usable(&answers));
        assert!(message(USABLE).starts_with("solved"));
        assert!(message([8, 64, 64, 8, 8]).contains("what the machine has"));
        assert!(message([8, 64, 2, 2, 1]).contains("the other 60"));
        assert!(message([8, 4, 4, 2, 4]).contains("takes away"));
        assert!(message([8, 4, 2, 1, 1]).contains("rounded up"));
        assert!(message([1, 1, 1, 1, 1]).contains("What is missing limits nothing"));
    }

    #[test]
    fn scripts_are_read_as_the_schedulers_read_them() {
        let sge = |lines: &str| said(sge_script(lines));
        assert!(sge("#$ -pe smp 4\n#$ -l rmem=1G").starts_with("solved"));
        assert!(sge("#$ -pe smp 4\n#$ -l rmem=1024M").starts_with("solved"));
        assert!(sge("# $ -pe smp 4\n#$ -l rmem=4G").contains("And look at the memory"));
        assert!(sge("# $ -pe smp 4\n#$ -l rmem=1G").contains("is a comment"));
        assert!(sge("#$ -pe smp 4\n#$ -l rmem=4G").contains("16 GB"));
        assert!(sge("#$ -pe mpi 4\n#$ -l rmem=1G").contains("on one machine"));
        assert!(sge("#$ -pe smp 4").contains("no longer says"));

        let slurm = |lines: &str| said(slurm_script(lines));
        assert!(slurm("#SBATCH --cpus-per-task=4\n#SBATCH --mem-per-cpu=1G").starts_with("solved"));
        assert!(slurm("#SBATCH -c 4\n#SBATCH --mem=4G").starts_with("solved"));
        assert!(slurm("#SBATCH --ntasks=4\n#SBATCH --mem=1G").contains("four machines"));
        assert!(slurm("#SBATCH --ntasks=4\n#SBATCH --cpus-per-task=4").contains("sixteen"));
        assert!(slurm("#SBATCH --mem-per-cpu=1G").contains("one CPU"));
        assert!(slurm("#SBATCH -c 4\n#SBATCH --mem=1G").contains("for all of them together"));
        assert!(slurm("#SBATCH -c 4\n#SBATCH --mem-per-cpu=4G").contains("16 GB"));
    }
}
