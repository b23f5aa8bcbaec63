//! Programs in other languages, which run like the cells: in their folder, with their environment,
//! input and output.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::protocol::FromUser;

/// Runs the program that these words name (see `ToSupervisor::Script`), and returns the report.
pub(super) fn run(words: &[String]) -> FromUser {
    let mut words = words.iter().peekable();
    let mut environment = Vec::new();
    while let Some(setting) = words.next_if(|word| word.contains('=')) {
        environment.extend(setting.split_once('='));
    }
    let Some(program) = words.next() else {
        return FromUser::Failed("a script has no program".to_owned());
    };
    let mut command = Command::new(program);
    command.args(words).envs(environment);
    match command.status() {
        Ok(status) => FromUser::Scripted(status.into_raw()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            FromUser::Failed(format!("there is no `{program}` on this machine's PATH"))
        }
        Err(error) => FromUser::Failed(format!("could not start `{program}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_its_environment_and_its_status() {
        let run = |words: &[&str]| run(&words.iter().map(|&word| word.into()).collect::<Vec<_>>());
        let ran = run(&["A=b c", "sh", "-c", "test \"$A\" = 'b c' && exit 3"]);
        assert_eq!(ran, FromUser::Scripted(3 << 8));
        let failed = run(&["no-such-program", "x"]);
        assert!(matches!(failed, FromUser::Failed(why) if why.starts_with("there is no `no-such")));
    }
}
