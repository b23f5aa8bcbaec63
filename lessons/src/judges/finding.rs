//! The verdict of a judge on an answer.

/// A judge's finding: why the answer is right, or why it is not yet.
pub(super) type Finding = Result<String, NotYet>;

/// An answer that is not right yet.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum NotYet {
    /// The unchanged starter, with a hint where to begin. It is not an attempt, so it is not
    /// recorded.
    Untouched(String),
    /// What is wrong with the answer, and what that often means.
    Wrong(String),
}

impl NotYet {
    pub(super) fn text(&self) -> &str {
        match self {
            NotYet::Untouched(text) | NotYet::Wrong(text) => text,
        }
    }
}

pub(super) fn wrong(text: String) -> Finding {
    Err(NotYet::Wrong(text))
}

pub(super) fn untouched(text: String) -> Finding {
    Err(NotYet::Untouched(text))
}

/// A word of an answer in the judges' spelling: a learner may write `Thread`, `"optimized away"` or
/// `"one-run"`.
pub(super) fn word(answer: &str) -> String {
    let answer = answer.trim().to_lowercase().replace(['-', '_'], " ");
    match &*answer {
        "thread" => "threads".to_owned(),
        "process" => "processes".to_owned(),
        "child" => "children".to_owned(),
        "optimized away" => "optimised away".to_owned(),
        _ => answer,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A judge's verdict, after the mark that a learner sees.
    pub(in crate::judges) fn said(finding: Finding) -> String {
        match finding {
            Ok(text) => format!("solved: {text}"),
            Err(not_yet) => not_yet.text().to_owned(),
        }
    }
}
