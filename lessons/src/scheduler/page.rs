//! The figure: two columns of steps and a button for each thread. A script keeps the state; without
//! it, a table shows examples of schedules.

use super::TwoThreads;
use super::model::{ACCOUNT, AMOUNT, COUNT, ScheduleEnd, Step, letter};
use super::script::SCRIPT;
use crate::show::escape;

/// The outcomes, in the order in which they are explained.
const OUTCOMES: [ScheduleEnd; 3] = [ScheduleEnd::Right, ScheduleEnd::Lost, ScheduleEnd::Deadlock];

pub(super) fn html(threads: &TwoThreads) -> String {
    format!(
        "<div role=\"group\" data-scheduler aria-label=\"You are the scheduler: {title}\" \
         data-program=\"{program}\" style=\"max-width:46em\">\
         <p style=\"margin:.5em 0\"><strong>You are the scheduler: {title}</strong></p>\
         <div data-play hidden>{buttons}\
         <p role=\"status\" data-said style=\"margin:.5em 0;min-height:2.8em;border-left:4px solid #0072B2;padding:.3em .8em\"></p>\
         <p style=\"margin:.5em 0\">Your schedule: <code data-schedule></code></p></div>\
         {columns}\
         <details data-outcomes open><summary>What the schedules come to</summary>{outcomes}</details>\
         <script>{SCRIPT}</script></div>",
        title = escape(threads.title),
        program = escape(&program(threads)),
        buttons = buttons(),
        columns = columns(threads),
        outcomes = outcomes(threads),
    )
}

/// The script's input, as JSON.
fn program(threads: &TwoThreads) -> String {
    let steps = threads.steps.iter().map(|steps| {
        let steps = steps.iter().map(|step| match step {
            Step::Load => "[\"load\"]".to_owned(),
            Step::Add => "[\"add\"]".to_owned(),
            Step::Store => "[\"store\"]".to_owned(),
            Step::Lock(lock) => format!("[\"lock\",{lock}]"),
            Step::Unlock(lock) => format!("[\"unlock\",{lock}]"),
            Step::Move(from, to) => format!("[\"move\",{from},{to}]"),
        });
        format!("[{}]", steps.collect::<Vec<_>>().join(","))
    });
    format!(
        "{{\"count\":{COUNT},\"account\":{ACCOUNT},\"amount\":{AMOUNT},\"steps\":[{}]}}",
        steps.collect::<Vec<_>>().join(",")
    )
}

/// The Lumino attribute keeps JupyterLab from taking the keys.
fn buttons() -> String {
    let button = |what: &str, label: &str| {
        format!(
            "<button type=\"button\" {what} data-lm-suppress-shortcuts style=\"font:inherit;\
             padding:.3em .9em;margin:.2em .5em .2em 0;min-height:2em\">{label}</button>"
        )
    };
    format!(
        "<p style=\"margin:.3em 0\">Whose step is next? Press a button, or the keys <kbd>A</kbd>, <kbd>B</kbd> \
         and <kbd>Backspace</kbd> while one has the focus.</p><div>{}{}{}{}</div>",
        button("data-thread=\"0\"", "Thread A"),
        button("data-thread=\"1\"", "Thread B"),
        button("data-back", "One back"),
        button("data-restart", "From the start"),
    )
}

/// A list of steps for each thread, and the memory between them.
fn columns(threads: &TwoThreads) -> String {
    const BOX: &str = "flex:1 1 11em;border:1px solid currentColor;padding:.4em .8em";
    let column = |thread: usize| {
        let steps = threads.steps[thread].iter().map(|step| {
            format!(
                "<li data-step style=\"padding:.1em .3em;list-style-position:inside\">{}<span data-mark></span></li>",
                escape(&step.name())
            )
        });
        format!(
            "<div style=\"{BOX}\"><strong>Thread {}</strong><ol data-steps=\"{thread}\" style=\"margin:.3em 0;\
             padding:0\">{}</ol><span data-register=\"{thread}\"></span></div>",
            letter(thread),
            steps.collect::<String>()
        )
    };
    let moves = threads.steps[0]
        .iter()
        .any(|step| matches!(step, Step::Move(..)));
    let memory = match moves {
        true => format!("accounts: {ACCOUNT} and {ACCOUNT}"),
        false => format!("count: {COUNT}"),
    };
    format!(
        "<div style=\"display:flex;flex-wrap:wrap;gap:.8em;margin:.5em 0\">{}<div style=\"{BOX}\">\
         <strong>Memory of both</strong><p data-memory style=\"margin:.3em 0\">{memory}</p>\
         <p data-locks style=\"margin:.3em 0\"></p></div>{}</div>",
        column(0),
        column(1)
    )
}

fn outcomes(threads: &TwoThreads) -> String {
    let rows = OUTCOMES.into_iter().filter_map(|outcome| {
        let example = threads.example(outcome)?;
        Some(format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td data-example data-outcome=\"{outcome:?}\"><code>{example}</code></td></tr>",
            in_words(outcome),
            threads.number_of(outcome),
        ))
    });
    format!(
        "<table><caption>{} schedules of these steps</caption><thead><tr><th scope=\"col\">end</th>\
         <th scope=\"col\">schedules</th><th scope=\"col\">for example</th></tr></thead><tbody>{}</tbody></table>",
        threads.outcomes.len(),
        rows.collect::<String>()
    )
}

fn in_words(outcome: ScheduleEnd) -> &'static str {
    match outcome {
        ScheduleEnd::Right => "as it should be",
        ScheduleEnd::Lost => "an addition is lost",
        ScheduleEnd::Deadlock => "deadlock",
        ScheduleEnd::Unfinished => "steps are left",
    }
}

/// `Of 20 schedules, 2 end as it should be (AAABBB), 18 …`.
pub(super) fn all_in_words(threads: &TwoThreads) -> String {
    let parts = OUTCOMES.into_iter().filter_map(|outcome| {
        let example = threads.example(outcome)?;
        let (n, words) = (threads.number_of(outcome), in_words(outcome));
        Some(format!("{n}: {words} (for example {example})"))
    });
    format!(
        "{} schedules. {}",
        threads.outcomes.len(),
        parts.collect::<Vec<_>>().join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_without_a_script() {
        let html = html(&TwoThreads::adding());
        let (before, _) = html.split_once("<script>").unwrap();
        for part in [
            "<div data-play hidden>",
            "data-step style=\"padding:.1em .3em;list-style-position:inside\">load<",
            "count: 41",
            "<details data-outcomes open>",
            "<td>18</td><td data-example data-outcome=\"Lost\"><code>",
            "<caption>20 schedules",
        ] {
            assert!(before.contains(part), "{part} is missing in {before}");
        }
        assert_eq!(before.matches("<button").count(), 4);
        assert_eq!(before.matches("data-lm-suppress-shortcuts").count(), 4);
        assert!(
            !html.contains("src=") && !html.contains("https:"),
            "nothing is fetched"
        );
    }

    #[test]
    fn the_text_says_what_all_schedules_come_to() {
        let text = format!("{:?}", TwoThreads::transferring());
        assert!(
            text.contains("thread A: lock 0, lock 1, move 10 to 1"),
            "{text}"
        );
        assert!(text.contains("deadlock (for example ABAB)"), "{text}");
    }

    #[test]
    fn the_script_gets_the_steps() {
        let json = program(&TwoThreads::transferring());
        let program: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(program["steps"][1][2], serde_json::json!(["move", 1, 0]));
    }
}
