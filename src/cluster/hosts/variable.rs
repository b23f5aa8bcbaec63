//! A scheduler's variable, and errors that name it with its value.

use std::ffi::OsString;

use crate::error::{Error, Result};

#[derive(Debug)]
pub(super) struct Variable {
    name: &'static str,
    pub(super) value: String,
}

/// The maximum length of a value in an error message: an environment may hold 128 KiB.
const MAX_SHOWN_CHARS: usize = 200;

impl Variable {
    /// The variable, if it is set and not only white space.
    ///
    /// # Errors
    /// If it is not text.
    pub(super) fn find(
        name: &'static str,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Variable>> {
        let Some(value) = environment(name) else {
            return Ok(None);
        };
        match value.into_string() {
            Ok(value) if value.trim().is_empty() => Ok(None),
            Ok(value) => Ok(Some(Variable { name, value })),
            Err(value) => Err(Error::invalid_input(format!(
                "{name} is {value:?}, which is not UTF-8; unset it, or list the hosts yourself with \
                 Cluster::builder().hosts(…)"
            ))),
        }
    }

    /// An error with the variable's value, what is wrong with it, and a workaround.
    pub(super) fn error(&self, problem: &str) -> Error {
        Error::invalid_input(format!(
            "{}, but {problem}; list the hosts yourself with Cluster::builder().hosts(…)",
            self.as_it_is()
        ))
    }

    /// `NAME is "value"`.
    pub(super) fn as_it_is(&self) -> String {
        format!("{} is {}", self.name, shown(&self.value))
    }
}

/// A quoted text, truncated if it is very long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
