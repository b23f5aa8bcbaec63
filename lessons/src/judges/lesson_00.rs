//! Lesson 00: what a session may use, and how to request it.

use super::finding::{Finding, untouched, wrong};

/// What the check cell's five sessions may use.
const USABLE: [usize; 5] = [8, 4, 2, 2, 1];

/// 00.1: `usable` for five sessions.
pub(crate) fn usable(answers: &[usize]) -> Finding {
    if answers.len() != USABLE.len() {
        return wrong("leave the check cell as it was: it makes five calls".into());
    }
    if answers == [8, 64, 64, 8, 8] {
        return untouched(
            "session 2 got 64, which is what the machine has. Three others have a say: fill in the gap, or open hint 1."
                .into(),
        );
    }
    let mut pairs = answers.iter().copied().zip(USABLE).enumerate();
    let Some((session, (got, wanted))) = pairs.find(|(_, (got, wanted))| got != wanted) else {
        return Ok(
            "the smallest of all limits, and never nothing. `cpu_count()` does the same.".into(),
        );
    };
    let cause = match (session, got) {
        (_, 0) => "Every session has at least 1.",
        (0, 1) => "What is missing limits nothing; it is not a limit of 0 (hint 1).",
        (1, 64) => {
            "The job was given 4 slots, and the other 60 processors belong to other people's jobs."
        }
        (2, 4) => {
            "The job has 4 slots but is bound to 2 processors: slots cannot give what the affinity takes away."
        }
        (2, 64) => "This job is bound to 2 of the 64 processors, and was given 4 slots.",
        (3, 1) => "A quota of 1.25 is more than one worker can use: round it up (hint 2).",
        (3, 8) => "The container has a quota: the time of 1.25 processors (hint 2).",
        (4, 4) => "The quota is the tighter limit here: a fifth of a processor (hint 2).",
        _ => "Take the smallest of the four, the quota rounded up (hints 1 and 2).",
    };
    wrong(format!(
        "session {} got {got}, expected {wanted}. {cause}",
        session + 1
    ))
}

/// The options in a script's lines that begin with `mark`, each with its values. A line may have
/// several, separated by `=`, commas and spaces.
fn options<'s>(script: &'s str, mark: &str) -> Vec<Vec<&'s str>> {
    let mut options: Vec<Vec<&str>> = Vec::new();
    let lines = script.lines().map(str::trim);
    for line in lines.filter_map(|line| line.strip_prefix(mark)) {
        for word in line.split(['=', ',']).flat_map(str::split_whitespace) {
            match options.last_mut() {
                Some(option) if !word.starts_with('-') => option.push(word),
                _ => options.push(vec![word]),
            }
        }
    }
    options
}

/// The value of `name` in an option: `rmem` in `-l h_rt=02:00:00,rmem=1G`. The last one counts.
fn resource<'s>(options: &[Vec<&'s str>], option: &str, name: &str) -> Option<&'s str> {
    let values = options.iter().filter(|words| words[0] == option);
    let pairs = values.flat_map(|words| words.windows(2));
    pairs
        .filter(|pair| pair[0] == name)
        .map(|pair| pair[1])
        .next_back()
}

/// The value of one of these options, in any of Slurm's spellings: `--ntasks=1`, `-n 1`, `-n1`.
fn value<'s>(options: &[Vec<&'s str>], long: &str, short: &str) -> Option<&'s str> {
    let values = options.iter().filter_map(|words| match words[0] {
        name if name == long || name == short => words.get(1).copied(),
        name if !short.is_empty() && !name.starts_with("--") => name.strip_prefix(short),
        _ => None,
    });
    values.collect::<Vec<_>>().pop()
}

/// An amount of memory in gigabytes: `1G`, `1024M`. `otherwise` is the default unit.
fn gigabytes(amount: &str, otherwise: &str) -> Option<f64> {
    let end = amount.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = amount.split_at(end.unwrap_or(amount.len()));
    let number: f64 = number.parse().ok()?;
    let unit = if unit.is_empty() { otherwise } else { unit };
    match unit.to_ascii_uppercase().trim_end_matches('B') {
        "T" => Some(number * 1024.0),
        "G" => Some(number),
        "M" => Some(number / 1024.0),
        "K" => Some(number / 1024.0 / 1024.0),
        "" => Some(number / 1024.0 / 1024.0 / 1024.0),
        _ => None,
    }
}

/// 00.2: a job script for Son of Grid Engine with 4 slots and 1 GB for each.
pub(crate) fn sge_script(script: &str) -> Finding {
    let options = options(script, "#$");
    let environment = options.iter().find(|words| words[0] == "-pe");
    let asked = resource(&options, "-l", "rmem");
    let per_slot = asked.and_then(|amount| gigabytes(amount, ""));
    let Some(environment) = environment else {
        let text = "the scheduler sees no `-pe`, and gives one slot. Compare how the lines begin (hint 1).";
        return match per_slot {
            Some(4.0) => untouched(format!("{text} And look at the memory (hint 2).")),
            Some(1.0) => wrong(format!("the memory is right, and {text}")),
            _ => wrong(format!("{text} And look at the memory (hint 2).")),
        };
    };
    match (
        environment.get(1),
        environment.get(2).and_then(|n| n.parse::<u32>().ok()),
    ) {
        (Some(&"smp"), Some(4)) => {}
        (Some(&"smp"), Some(1)) => {
            return wrong("`-pe smp 1` asks for a single slot: the session gets one core.".into());
        }
        (Some(&"smp"), n) => {
            return wrong(format!(
                "4 slots are wanted, and `-pe smp` asks for {}.",
                n.map_or("no number".into(), |n| n.to_string())
            ));
        }
        (other, _) => {
            return wrong(format!(
                "`-pe {}` is another parallel environment: a pool's workers are all on one machine, and \
                 that is what `smp` promises.",
                other.unwrap_or(&"")
            ));
        }
    }
    match (per_slot, asked) {
        (Some(1.0), _) => Ok(
            "four slots on one machine, 1 GB for each. `NSLOTS` will be 4, and so will \
                         `cpu_count()`."
                .into(),
        ),
        (Some(4.0), _) => wrong(
            "four slots with 4 GB each are 16 GB, four times what was wanted: `rmem` is per \
                          slot (hint 2)."
                .into(),
        ),
        (Some(_), Some(asked)) => wrong(format!(
            "1 GB is wanted for each slot, and the script asks for `rmem={asked}`."
        )),
        (None, Some(asked)) => wrong(format!(
            "`rmem={asked}` is no amount of memory: write a number and a unit, such as `512M`."
        )),
        (_, None) => wrong(
            "the script no longer says how much memory it wants: `-l rmem=…`, per slot.".into(),
        ),
    }
}

/// 00.3: a job script for Slurm with one task, 4 CPUs, and 1 GB for each.
pub(crate) fn slurm_script(script: &str) -> Finding {
    let options = options(script, "#SBATCH");
    let number = |long, short| value(&options, long, short).and_then(|n| n.parse::<u32>().ok());
    let tasks = number("--ntasks", "-n").unwrap_or(1);
    let cpus = number("--cpus-per-task", "-c").unwrap_or(1);
    // Slurm's default unit is megabytes.
    let memory = |long| value(&options, long, "").and_then(|amount| gigabytes(amount, "M"));
    let (per_cpu, in_all) = (memory("--mem-per-cpu"), memory("--mem"));
    match (tasks, cpus) {
        (1, 4) => {}
        (1, 1) => {
            return wrong(
                "that is one task with one CPU: `--cpus-per-task` says how many it has.".into(),
            );
        }
        (4, 1) if in_all == Some(1.0) && per_cpu.is_none() => {
            return untouched("that asks for four tasks, and your session is one of them: with how many CPUs (hint 1)?".into());
        }
        (4, 1) => {
            return wrong("four tasks with one CPU each may be on four machines; your session is one of them, \
                        with one CPU (hint 1)."
                .into());
        }
        (4, 4) => {
            return wrong(
                "four tasks with four CPUs each are sixteen CPUs. JupyterLab is one task.".into(),
            );
        }
        _ => {
            return wrong(format!(
                "that is {tasks} tasks with {cpus} CPUs each; 1 with 4 was wanted."
            ));
        }
    }
    match (per_cpu, in_all) {
        (Some(1.0), None) | (None, Some(4.0)) => {
            Ok("one task, four CPUs, 4 GB: `SLURM_CPUS_PER_TASK` will \
                                                     be 4, and so will `cpu_count()`."
                .into())
        }
        (None, Some(1.0)) => wrong(
            "`--mem=1G` is for all of them together: a quarter of what each CPU should \
                                  have (hint 2)."
                .into(),
        ),
        (Some(4.0), None) => {
            wrong("four CPUs with 4 GB each are 16 GB; 1 GB each is enough.".into())
        }
        (Some(_), Some(_)) => {
            wrong("`--mem` and `--mem-per-cpu` exclude each other: say one of them.".into())
        }
        _ => wrong("1 GB is wanted for each CPU: `--mem-per-cpu=1G` (hint 2).".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    #[test]
    fn sessions_that_got_too_much_are_explained() {
        let message = |answers: [usize; 5]| said(usable(&answers));
        assert!(message(USABLE).starts_with("solved"));
        assert!(message([8, 64, 64, 8, 8]).contains("what the machine has"));
        assert!(matches!(
            usable(&[8, 64, 64, 8, 8]),
            Err(crate::judges::finding::NotYet::Untouched(_))
        ));
        assert!(message([8, 64, 2, 2, 1]).contains("the other 60"));
        assert!(message([8, 4, 4, 2, 4]).contains("takes away"));
        assert!(message([8, 4, 2, 1, 1]).contains("round it up"));
        assert!(message([1, 1, 1, 1, 1]).contains("What is missing limits nothing"));
    }

    #[test]
    fn scripts_are_read_as_the_schedulers_read_them() {
        let sge = |lines: &str| said(sge_script(lines));
        assert!(sge("#$ -pe smp 4\n#$ -l rmem=1G").starts_with("solved"));
        assert!(sge("#$ -pe smp 4\n#$ -l rmem=1024M").starts_with("solved"));
        assert!(sge("#$ -pe smp 4\n#$ -l rmem=1024M,h_rt=02:00:00").starts_with("solved"));
        assert!(sge("#$ -l h_rt=02:00:00,rmem=1g\n#$\t-pe smp 4").starts_with("solved"));
        assert!(sge("#$ -pe smp 4 -l rmem=1G -l h_rt=02:00:00").starts_with("solved"));
        let starter = sge("# $ -pe smp 4\n#$ -l rmem=4G");
        assert!(
            starter.contains("And look at the memory") && !starter.contains("comment"),
            "{starter}"
        );
        assert!(sge("# $ -pe smp 4\n#$ -l rmem=1G").contains("the memory is right"));
        assert!(sge("#$ -pe smp 4\n#$ -l rmem=512M").contains("`rmem=512M`"));
        assert!(sge("#$ -pe smp 4\n#$ -l rmem=lots").contains("no amount of memory"));
        assert!(sge("#$ -pe smp 4\n#$ -l rmem=4G").contains("16 GB"));
        assert!(sge("#$ -pe mpi 4\n#$ -l rmem=1G").contains("on one machine"));
        assert!(sge("#$ -pe smp 4").contains("no longer says"));

        let slurm = |lines: &str| said(slurm_script(lines));
        assert!(slurm("#SBATCH --cpus-per-task=4\n#SBATCH --mem-per-cpu=1G").starts_with("solved"));
        assert!(slurm("#SBATCH -c 4\n#SBATCH --mem=4G").starts_with("solved"));
        assert!(slurm("#SBATCH -n1 -c4 --mem-per-cpu=1024").starts_with("solved"));
        assert!(slurm("#SBATCH --cpus-per-task 4\n#SBATCH --mem 4096M").starts_with("solved"));
        assert!(slurm("#SBATCH --ntasks=4\n#SBATCH --mem=1G").contains("how many CPUs"));
        assert!(slurm("#SBATCH --ntasks=4\n#SBATCH --mem=4G").contains("four machines"));
        assert!(slurm("#SBATCH --ntasks=4\n#SBATCH --cpus-per-task=4").contains("sixteen"));
        assert!(slurm("#SBATCH --mem-per-cpu=1G").contains("one CPU"));
        assert!(slurm("#SBATCH -c 4\n#SBATCH --mem=1G").contains("for all of them together"));
        assert!(slurm("#SBATCH -c 4\n#SBATCH --mem-per-cpu=4G").contains("16 GB"));
    }
}
