//! The outcome of a map: all results, or why some are missing.

use std::marker::PhantomData;

use crate::error::{Error, Outcome, TaskError};

use super::collate::Partial;
use super::slots::Slots;

/// A map's outcome.
#[must_use]
pub(in crate::pool) struct Mapped<R>(pub(super) Result<Vec<R>, Failed<R>>);

impl<R> Mapped<R> {
    /// The results.
    ///
    /// # Panics
    /// With the first error, if some item has no result.
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

/// Why no item of a call was run, and the number of items.
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

/// Why a map cannot return a plain vector of results.
pub(in crate::pool) enum WhyFailed {
    /// The call itself failed; nothing was run.
    Call(NotRun),
    /// Some items have no result.
    Items(Box<Partial>),
}

impl From<NotRun> for WhyFailed {
    fn from(not_run: NotRun) -> Self {
        WhyFailed::Call(not_run)
    }
}

impl WhyFailed {
    /// The first error.
    #[inline(never)]
    fn first_error(self) -> TaskError {
        match self {
            WhyFailed::Call(NotRun { error, .. }) => TaskError::of_call(0, &error),
            WhyFailed::Items(partial) => partial.first_error(),
        }
    }

    #[track_caller]
    #[inline(never)]
    fn raise(self) -> ! {
        match self {
            WhyFailed::Call(NotRun { error, .. }) => panic!("{error}"),
            WhyFailed::Items(_) => panic!("{}", self.first_error()),
        }
    }
}

/// The same for a map with results of this type.
pub(in crate::pool) struct Failed<R> {
    why: WhyFailed,
    _results: PhantomData<R>,
}

impl<R> From<NotRun> for Failed<R> {
    fn from(not_run: NotRun) -> Self {
        // SAFETY: there are no slots.
        unsafe { Failed::of(WhyFailed::Call(not_run)) }
    }
}

impl<R> Failed<R> {
    /// # Safety
    /// If there are slots, they are for this type.
    pub(super) unsafe fn of(why: WhyFailed) -> Failed<R> {
        Failed {
            why,
            _results: PhantomData,
        }
    }

    /// Every item's result or error.
    pub(in crate::pool) fn into_outcomes(self) -> Vec<Outcome<R>> {
        match self.why {
            WhyFailed::Call(NotRun { error, n_items }) => (0..n_items)
                .map(|item| Err(TaskError::of_call(item, &error)))
                .collect(),
            // SAFETY: the caller of `of` vouched for the type.
            WhyFailed::Items(partial) => unsafe { partial.into_outcomes() },
        }
    }

    /// The first error.
    pub(in crate::pool) fn first_error(self) -> TaskError {
        self.why.first_error()
    }

    /// Panics with the first error.
    #[track_caller]
    fn raise(self) -> ! {
        self.why.raise()
    }
}

/// Results of this type: all, or why some are missing.
///
/// # Safety
/// The slots were made for this type.
pub(super) unsafe fn landed_as<R>(
    landed: Result<Slots, Box<Partial>>,
) -> Result<Vec<R>, Failed<R>> {
    match landed {
        // SAFETY: the caller vouches for the type, and each slot has its value.
        Ok(slots) => Ok(unsafe { slots.into_vec() }),
        // SAFETY: the caller vouches for the type.
        Err(partial) => Err(unsafe { Failed::of(WhyFailed::Items(partial)) }),
    }
}
