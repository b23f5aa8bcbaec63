//! The result of one of the doctor's checks.

use serde::Serialize;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Sessions work, but without some feature.
    Warning,
    /// No session can work.
    Error,
}

/// The result of one check.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// The severity.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do if something is wrong.
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding without a problem.
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            check,
            status: Status::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    /// A finding with a problem and its remedy.
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
