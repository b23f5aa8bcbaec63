//! `%explain`: the compiler's own explanation of an error, in the notebook.

use std::collections::HashMap;

use super::{CellError, Session};
use crate::library::toolchain::Compiler;
use crate::protocol::Output;

impl Session {
    /// Shows the compiler's explanation of the error with this code, or of the last error.
    pub(super) fn explain_error(&self, number: Option<String>) -> Result<(), CellError> {
        let usage = |message: String| CellError::new("UsageError", message);
        let Some(number) = number.or_else(|| self.last_error.clone()) else {
            let message =
                "no cell has failed with a numbered error yet; name one, as in `%explain E0382`";
            return Err(usage(message.to_owned()));
        };
        let compiler =
            Compiler::find().map_err(|error| CellError::new("Error", format!("{error:#}")))?;
        let Some(text) = compiler.explanation(&number) else {
            return Err(usage(format!(
                "this compiler has no explanation of `{number}`"
            )));
        };
        let contents = [
            ("text/markdown", markdown(&number, &text)),
            ("text/plain", text),
        ];
        let contents = contents.map(|(kind, text)| (kind.to_owned(), text));
        self.link.show(Output::Display(HashMap::from(contents)));
        Ok(())
    }

    /// Stores the code of the error with which a cell failed.
    pub(super) fn note_error(&mut self, error: &CellError) {
        if let Some(number) = number_of(error) {
            self.last_error = Some(number.to_owned());
        }
    }
}

/// The code of a compile error: its sentence ends with it.
fn number_of(error: &CellError) -> Option<&str> {
    let (_, number) = error.evalue.strip_suffix(']')?.rsplit_once('[')?;
    let is_number = number.starts_with('E') && error.ename == "CompileError";
    is_number.then_some(number)
}

/// The explanation with a title. rustdoc's words after three backticks are replaced: code is
/// highlighted only if it is marked as Rust.
fn markdown(number: &str, text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().map(|line| match line.strip_prefix("```") {
        None => format!("{line}\n"),
        Some(_) => {
            is_code = !is_code;
            let language = if is_code && !line.contains("text") {
                "rust"
            } else {
                ""
            };
            format!("```{language}\n")
        }
    });
    format!("### {number}\n\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_rust() {
        let text = "Why.\n\n```compile_fail,E0382\nlet x = 1;\n```\n\n```text\nerror\n```\n";
        let wanted = "### E0382\n\nWhy.\n\n```rust\nlet x = 1;\n```\n\n```\nerror\n```\n";
        assert_eq!(markdown("E0382", text), wanted);
    }

    #[test]
    fn compile_errors_have_numbers() {
        let number = |ename: &str, evalue: &str| {
            let error = CellError::new(ename, evalue);
            number_of(&error).map(str::to_owned)
        };
        let moved = "borrow of moved value: `x` [E0382]";
        assert_eq!(number("CompileError", moved).as_deref(), Some("E0382"));
        assert_eq!(number("Panic", moved), None);
        assert_eq!(number("CompileError", "expected `;`"), None);
        assert_eq!(number("CompileError", "at a[0]"), None);
    }
}
