//! What comes of a map: all results, or why some are missing.

use crate::error::{Error, Outcome, TaskError};

/// What a map gives.
#[must_use]
pub(in crate::pool) struct Mapped<R>(pub(super) Result<Vec<R>, Failed<R>>);

impl<R> Mapped<R> {
    /// The results.
    ///
    /// # Panics
    /// With what went wrong.
    #[track_caller]
    pub(in crate::pool) fn results(self) -> Vec<R> {
        match self.0 {
            Ok(results) => results,
            Err(failed) => failed.raise(),
        }
    }

    /// Each item's result or error.
    pub(in crate::pool) fn outcomes(self) -> Vec<Outcome<R>> {
        match self.0 {
            Ok(results) => results.into_iter().map(Ok).collect(),
            Err(failed) => failed.into_outcomes(),
        }
    }
}

/// Why no item of a call was run, and how many there were.
#[derive(Debug)]
pub(in crate::pool) struct NotRun {
    pub(in crate::pool) error: Error,
    pub(in crate::pool) n_items: usize,
}

impl From<NotRun> for Error {
    fn from(not_run: NotRun) -> Self {
        not_run.error
    }
}

impl<R> From<NotRun> for Failed<R> {
    fn from(not_run: NotRun) -> Self {
        Failed::Call(not_run)
    }
}

/// Why a map has no plain vector of results.
pub(in crate::pool) enum Failed<R> {
    /// The call itself failed; nothing was run.
    Call(NotRun),
    /// Some items have no result.
    Items(Vec<Outcome<R>>),
}

impl<R> Failed<R> {
    /// Every item's result or error.
    pub(super) fn into_outcomes(self) -> Vec<Outcome<R>> {
        match self {
            Failed::Call(NotRun { error, n_items }) => (0..n_items)
                .map(|item| Err(TaskError::of_call(item, &error)))
                .collect(),
            Failed::Items(results) => results,
        }
    }

    /// The first error; `None` if the call failed without an item to tell of.
    pub(in crate::pool) fn first_error(self) -> TaskError {
        if let Failed::Call(NotRun { error, .. }) = self {
            return TaskError::of_call(0, &error);
        }
        let first = self.into_outcomes().into_iter().find_map(Result::err);
        first.unwrap_or_else(|| TaskError::not_run(0, "no item has an error; please report this"))
    }

    /// Panics with the first error.
    #[track_caller]
    fn raise(self) -> ! {
        match self {
            Failed::Call(NotRun { error, .. }) => panic!("{error}"),
            Failed::Items(_) => panic!("{}", self.first_error()),
        }
    }
}
