//! evcxr's commands that the kernel has a part in, because what it shows and when it ends is its own.

use super::lines::{blank, commands_end, is_command};
use super::magics::usage;
use super::{Action, Mistake, Step};

/// Takes these commands out of the code.
pub(super) fn take(code: &mut String) -> Result<Vec<Step>, Mistake> {
    let mut steps = Vec::new();
    let mut start = 0;
    for line in code[..commands_end(code)].to_owned().split_inclusive('\n') {
        let end = start + line.len();
        if let Some(action) = action(line)? {
            steps.push(Step::Do(action));
            blank(code, start, end);
        }
        start = end;
    }
    Ok(steps)
}

fn action(line: &str) -> Result<Option<Action>, Mistake> {
    if !is_command(line) {
        return Ok(None);
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
        (":quit", _) => {
            let message = "a kernel is ended where it was started: in JupyterLab's menu, Kernel, Shut Down Kernel";
            return Err(usage(message));
        }
        _ => None,
    })
}
