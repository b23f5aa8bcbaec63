//! The contexts that a worker has decoded, each once, until they are forgotten.

use std::cell::RefCell;
use std::ptr::NonNull;

use serde::de::DeserializeOwned;

use super::transport::{Arrived, ContextId};
use crate::caught;
use crate::error::{Cause, Error, Result};
use crate::wire;

/// Makes a value of a context's bytes.
///
/// # Safety
/// If the bytes [stay](Arrived::stay), the value is read no longer than that.
pub(super) type Decode = unsafe fn(&Arrived<'_>) -> Result<Held>;

/// A value of a type that its user knows.
pub(super) struct Held {
    value: NonNull<()>,
    drop: unsafe fn(NonNull<()>),
}

/// What a worker has decoded.
#[derive(Default)]
pub(in crate::pool) struct Decoded {
    /// Few: contexts that are in use at the same time.
    entries: RefCell<Vec<Entry>>,
}

struct Entry {
    id: ContextId,
    /// The value, or why there is none: that is not tried again for each item.
    outcome: std::result::Result<Held, Cause>,
}

impl Held {
    fn new<V>(value: V) -> Held {
        unsafe fn drop_box<V>(value: NonNull<()>) {
            // SAFETY: the caller vouches that this is the box's, and not used any more.
            drop(unsafe { Box::from_raw(value.cast::<V>().as_ptr()) });
        }
        Held {
            value: NonNull::from(Box::leak(Box::new(value))).cast(),
            drop: drop_box::<V>,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The destructor is the user's, and its panic is no task's.
        // SAFETY: the value is a box of the type that `drop` knows, and dropped once.
        let _ = caught::call(&mut || unsafe { (self.drop)(self.value) });
    }
}

/// Decodes a context that is a `V`. One that is a single large piece of plain numbers, or text, is
/// not copied: the value is a view of the bytes.
///
/// # Safety
/// As [`Decode`].
pub(super) unsafe fn decode<V: DeserializeOwned>(arrived: &Arrived<'_>) -> Result<Held> {
    if arrived.stay {
        // SAFETY: the caller vouches that the bytes stay as long as the view is used.
        match unsafe { wire::view::<V>(arrived.bytes) } {
            Some(Ok(view)) => return Ok(Held::new(view)),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    wire::decode::<V>(arrived.bytes).map(Held::new)
}

impl Decoded {
    /// The value of a context, which `decode` makes at the first call. It stays until the context
    /// is forgotten.
    ///
    /// # Safety
    /// `decode` belongs to the context's type; the value is read only while a job that names the
    /// context is open.
    pub(super) unsafe fn get(
        &self,
        arrived: &Arrived<'_>,
        decode: Decode,
    ) -> std::result::Result<NonNull<()>, Cause> {
        if let Some(outcome) = self.known(arrived.id) {
            return outcome;
        }
        // Not borrowed meanwhile: what is decoded is the user's code.
        // SAFETY: the caller vouches for both.
        let outcome = unsafe { decode(arrived) }.map_err(not_decoded);
        self.put(arrived.id, outcome);
        self.known(arrived.id)
            .unwrap_or_else(|| Err(not_decoded(Error::decode_message("it was forgotten"))))
    }

    /// Notes that a context cannot be decoded.
    pub(super) fn fail(&self, id: ContextId, cause: &Cause) {
        self.put(id, Err(cause.clone()));
    }

    /// Whether some context is not there any more.
    pub(in crate::pool) fn has_dead(&self, is_alive: impl Fn(ContextId) -> bool) -> bool {
        let entries = self.entries.borrow();
        entries.iter().any(|entry| !is_alive(entry.id))
    }

    /// Drops what is not there any more.
    pub(in crate::pool) fn forget_dead(&self, is_alive: impl Fn(ContextId) -> bool) {
        let mut entries = self.entries.borrow_mut();
        if entries.is_empty() {
            return;
        }
        let dead: Vec<Entry> = entries
            .extract_if(.., |entry| !is_alive(entry.id))
            .collect();
        // Their destructors are the user's.
        drop(entries);
        drop(dead);
    }

    fn known(&self, id: ContextId) -> Option<std::result::Result<NonNull<()>, Cause>> {
        let entries = self.entries.borrow();
        let entry = entries.iter().find(|entry| entry.id == id)?;
        let outcome = entry.outcome.as_ref();
        Some(outcome.map(|held| held.value).map_err(Cause::clone))
    }

    fn put(&self, id: ContextId, outcome: std::result::Result<Held, Cause>) {
        self.entries.borrow_mut().push(Entry { id, outcome });
    }
}

fn not_decoded(error: Error) -> Cause {
    Cause::Decode(format!("its context: {error}"))
}
