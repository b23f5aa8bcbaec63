//! What the doctor says of one thing.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Sessions work, but something will be missed.
    Warning,
    /// No session can work.
    Error,
}

/// What one look has found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do, where something is wrong.
    pub remedy: Option<String>,
}

impl Finding {
    /// Nothing is wrong.
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            check,
            status: Status::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    /// Something is wrong, and this can be done.
    pub(super) fn wrong(
        check: &'static str,
        status: Status,
        found: impl Into<String>,
        remedy: &str,
    ) -> Finding {
        Finding {
            check,
            status,
            found: found.into(),
            remedy: Some(remedy.to_owned()),
        }
    }
}
