//! Programs in other languages, run where the cells are: in their folder, with their environment, their input and their
//! output.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Runs the program that these words name (see `ToSupervisor::Script`), a zero between each, and gives the report.
pub(super) fn run(words: &str) -> String {
    let mut words = words.split('\0').peekable();
    let mut environment = Vec::new();
    while let Some(setting) = words.next_if(|word| word.contains('=')) {
        environment.extend(setting.split_once('='));
    }
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(program);
    command.args(words).envs(environment);
    match command.status() {
        Ok(status) => format!("SCRIPTED {}", status.into_raw()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("FAILED there is no `{program}` on this machine's PATH")
        }
        Err(error) => format!("FAILED could not start `{program}`: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_its_environment_and_its_status() {
        let words = ["A=b c", "sh", "-c", "test \"$A\" = 'b c' && exit 3"].join("\0");
        assert_eq!(run(&words), format!("SCRIPTED {}", 3 << 8));
        assert!(run("no-such-program\0x").starts_with("FAILED there is no"));
    }
}
