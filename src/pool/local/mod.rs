//! Maps that stay in this process: on threads, or on the calling thread alone.

pub(super) mod diary;
pub(super) mod serial;
#[cfg(feature = "threads")]
pub(super) mod threads;
#[cfg(feature = "threads")]
pub(super) mod within;
