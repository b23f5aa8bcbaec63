//! The contexts that a worker has decoded. Each is decoded once and kept until it is forgotten.

use std::cell::RefCell;
use std::ptr::NonNull;

use serde::de::DeserializeOwned;

use super::transport::{Arrived, ContextId};
use crate::caught;
use crate::error::{Cause, Error, Result};
use crate::wire;

/// Decodes a context's bytes.
///
/// # Safety
/// If the bytes [stay](Arrived::stay), the value is read only as long as they do.
pub(super) type Decode = unsafe fn(&Arrived<'_>) -> Result<Held>;

/// A value whose type its user knows.
pub(super) struct Held {
    value: NonNull<()>,
    drop: unsafe fn(NonNull<()>),
}

/// The contexts that a worker has decoded.
#[derive(Default)]
pub(in crate::pool) struct Decoded {
    /// Only a few: the contexts that are in use at the same time.
    entries: RefCell<Vec<Entry>>,
}

struct Entry {
    id: ContextId,
    /// The value, or why decoding failed: it is not tried again for each item.
    outcome: std::result::Result<Held, Cause>,
}

impl Held {
    pub(super) fn new<V>(value: V) -> Held {
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
        // The destructor is user code, and its panic belongs to no task.
        // SAFETY: the value is a box of the type that `drop` knows, and dropped once.
        let _ = caught::call(&mut || unsafe { (self.drop)(self.value) });
    }
}

/// Decodes a context of type `V`. One that is a single large piece of plain numbers, or text, is
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
    /// The value of a context. The first call decodes it with `decode`; it stays until the context
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
        // Not borrowed during this call: decoding runs user code.
        // SAFETY: the caller vouches for both.
        let outcome = unsafe { decode(arrived) }.map_err(not_decoded);
        self.put(arrived.id, outcome);
        self.known(arrived.id)
            .unwrap_or_else(|| Err(not_decoded(Error::decode_message("it was forgotten"))))
    }

    /// Records that a context cannot be decoded.
    pub(super) fn fail(&self, id: ContextId, cause: &Cause) {
        self.put(id, Err(cause.clone()));
    }

    /// Whether some context no longer exists.
    pub(in crate::pool) fn has_dead(&self, is_alive: impl Fn(ContextId) -> bool) -> bool {
        let entries = self.entries.borrow();
        entries.iter().any(|entry| !is_alive(entry.id))
    }

    /// Drops the contexts that no longer exist.
    pub(in crate::pool) fn forget_dead(&self, is_alive: impl Fn(ContextId) -> bool) {
        let mut entries = self.entries.borrow_mut();
        if entries.is_empty() {
            return;
        }
        let dead: Vec<Entry> = entries
            .extract_if(.., |entry| !is_alive(entry.id))
            .collect();
        // Their destructors are user code.
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::rc::Rc;

    thread_local! {
        /// Counts the values below.
        static COUNTED: RefCell<(u32, Rc<()>)> = RefCell::default();
    }

    /// A value that counts how often it is decoded, and how many copies are alive.
    struct Counted {
        value: u64,
        _alive: Rc<()>,
    }

    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: serde::Deserializer<'de>>(
            from: D,
        ) -> std::result::Result<Self, D::Error> {
            let alive = COUNTED.with_borrow_mut(|(n_decoded, alive)| {
                *n_decoded += 1;
                Rc::clone(alive)
            });
            let value = u64::deserialize(from)?;
            Ok(Counted {
                value,
                _alive: alive,
            })
        }
    }

    fn n_decoded_and_alive() -> (u32, usize) {
        COUNTED.with_borrow(|(n_decoded, alive)| (*n_decoded, Rc::strong_count(alive) - 1))
    }

    fn id(name: u64, generation: u64) -> ContextId {
        ContextId { name, generation }
    }

    /// What a worker gets for a context.
    fn get<V: DeserializeOwned>(
        decoded: &Decoded,
        id: ContextId,
        bytes: &[u8],
        stay: bool,
    ) -> std::result::Result<NonNull<V>, Cause> {
        let arrived = Arrived { id, bytes, stay };
        // SAFETY: each id has one type here, and the tests keep the bytes.
        unsafe { decoded.get(&arrived, decode::<V>) }.map(NonNull::cast)
    }

    fn encoded(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        wire::encode(value, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn each_is_decoded_once_until_it_is_forgotten() {
        let decoded = Decoded::default();
        let (seven, eight) = (encoded(&7u64), encoded(&8u64));
        for _ in 0..3 {
            for (id, bytes, value) in [(id(1, 0), &seven, 7), (id(2, 0), &eight, 8)] {
                let counted = get::<Counted>(&decoded, id, bytes, true).unwrap();
                // SAFETY: nothing was forgotten.
                assert_eq!(unsafe { counted.as_ref() }.value, value);
            }
        }
        assert_eq!(n_decoded_and_alive(), (2, 2));
        assert!(!decoded.has_dead(|_| true));
        // Another context has this name now.
        let is_alive = |dead: ContextId| dead != id(1, 0);
        assert!(decoded.has_dead(is_alive));
        decoded.forget_dead(is_alive);
        assert_eq!(n_decoded_and_alive(), (2, 1));
        let counted = get::<Counted>(&decoded, id(1, 1), &eight, true).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { counted.as_ref() }.value, 8);
        assert_eq!(n_decoded_and_alive(), (3, 2));
        drop(decoded);
        assert_eq!(n_decoded_and_alive(), (3, 0));
    }

    #[test]
    fn what_cannot_be_decoded_is_not_tried_again() {
        let decoded = Decoded::default();
        for _ in 0..3 {
            let outcome = get::<Counted>(&decoded, id(1, 0), &[1, 2, 3], true);
            let Err(Cause::Decode(text)) = outcome else {
                panic!("three bytes are no number");
            };
            assert!(text.starts_with("its context: "), "{text}");
        }
        assert_eq!(n_decoded_and_alive(), (1, 0));
    }

    #[test]
    fn a_large_piece_that_stays_is_not_copied() {
        let decoded = Decoded::default();
        let text = encoded(&"x".repeat(100_000));
        for (name, stay) in [(1, true), (2, false)] {
            let seen = get::<String>(&decoded, id(name, 0), &text, stay).unwrap();
            // SAFETY: nothing was forgotten.
            let seen = unsafe { seen.as_ref() };
            assert!(seen.len() == 100_000 && seen.bytes().all(|byte| byte == b'x'));
            assert_eq!(text.as_ptr_range().contains(&seen.as_ptr()), stay);
        }
        decoded.forget_dead(|_| false);
        assert_eq!(text.len(), 100_008);
    }
}
