//! evcxr's commands in which the kernel takes part, because it controls their output and their end,
//! and lines for the shell, which evcxr would run in the kernel's process, showing the output only
//! at the end.
//! end.

use super::lines::{blank, commands_end, is_command};
use super::steps::{Action, Mistake, Script, Step, usage};

/// Removes these commands from the code and returns their steps.
pub(super) fn take(code: &mut String) -> Result<Vec<Step>, Mistake> {
    let mut steps = Vec::new();
    let mut start = 0;
    for line in code[..commands_end(code)].to_owned().split_inclusive('\n') {
        let end = start + line.len();
        if let Some(action) = action(line)? {
            steps.push(Step::Do(action));
            blank(code, start, end);
        } else if is_command(line) && line.trim_start().starts_with(":dep") {
            code.replace_range(start..end, &modern(line));
        }
        start = end;
    }
    Ok(steps)
}

/// A dependency in cargo's current syntax: notebooks still use the one from before 2024.
fn modern(line: &str) -> String {
    line.replace("default_features", "default-features")
}

fn action(line: &str) -> Result<Option<Action>, Mistake> {
    if !is_command(line) {
        return Ok(None);
    }
    if let Some(command) = line.strip_prefix('!') {
        return Ok(Some(Action::Script(Script {
            program: "sh",
            arguments: Vec::new(),
            text: command.trim().to_owned(),
            file: "command.sh",
            may_fail: false,
        })));
    }
    let (name, arguments) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    Ok(match (name, arguments.trim()) {
        (":fmt", "" | "{:?}") => Some(Action::Pretty(false)),
        (":fmt", "{:#?}") => Some(Action::Pretty(true)),
        (":fmt", _) => {
            let message =
                "values are shown by `Debug`: `:fmt {:?}`, or `:fmt {:#?}` for one part a line";
            return Err(usage(message));
        }
        (":types", _) => Some(Action::ToggleTypes),
        (":opt", "") => Some(Action::Optimise(None)),
        (":opt", level) => Some(Action::Optimise(Some(optimisation(level)?))),
        (":quit", _) => {
            let message = "a kernel is ended where it was started: in JupyterLab's menu, Kernel, Shut Down Kernel";
            return Err(usage(message));
        }
        _ => None,
    })
}

/// An optimisation level that the compiler knows, possibly in quotation marks.
pub(crate) fn opt_level(level: &str) -> Option<&'static str> {
    let known = ["0", "1", "2", "3", "s", "z"];
    known
        .into_iter()
        .find(|name| *name == level.trim_matches('"'))
}

fn optimisation(level: &str) -> Result<&'static str, Mistake> {
    opt_level(level).ok_or_else(|| {
        usage(&format!(
            "`:opt {level}`: there is no such level; the levels are 0, 1, 2, 3, s and z"
        ))
    })
}
