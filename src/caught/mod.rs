//! Runs the user's code and turns its panic into data: the only module of the library that catches
//! panics.
//!
//! A panic's payload is a user's value like any other, so its destructor may panic as well. Dropped
//! after the `catch_unwind` that returned it, such a payload would unwind into code that expects no
//! panic: out of a worker, into the program that was forked. So a [`Payload`] catches panics of its
//! own drop, and [`drop_quietly`] does so for a value whose drop no longer matters.

pub(crate) mod last_panic;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `f`; its panic is the error.
///
/// What `f` changed before it panicked stays changed: the caller must ensure that nothing is left
/// half done.
#[inline]
pub(crate) fn run<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Payload(Some(payload)))
}

/// As [`run`], but compiled once, in the library: a cell that calls it compiles only `f`.
#[inline(never)]
pub(crate) fn call(f: &mut dyn FnMut()) -> Result<(), Payload> {
    run(f)
}

/// Drops a value that no longer matters. The panic hook reports a panic of its destructor, which is
/// then caught.
pub(crate) fn drop_quietly<T>(value: T) {
    if std::mem::needs_drop::<T>() {
        let _ = run(|| drop(value));
    }
}

/// The payload of a caught panic.
#[derive(Debug)]
pub(crate) struct Payload(Option<Box<dyn Any + Send>>);

impl Payload {
    /// The value.
    pub(crate) fn value(&self) -> &(dyn Any + Send) {
        self.0.as_deref().unwrap_or(&())
    }

    /// Resumes the panic.
    pub(crate) fn resume(mut self) -> ! {
        resume_unwind(self.0.take().unwrap_or_else(|| Box::new(())))
    }
}

impl From<Box<dyn Any + Send>> for Payload {
    /// From the error of joining a thread.
    fn from(payload: Box<dyn Any + Send>) -> Payload {
        Payload(Some(payload))
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let payload = self.0.take();
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // A loop of such drops might never end.
            std::mem::forget(second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when dropped, with another value of its type as the payload.
    struct Endless;

    impl Drop for Endless {
        fn drop(&mut self) {
            std::panic::panic_any(Endless);
        }
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_goes_no_further() {
        let payload = run(|| -> () { std::panic::panic_any(Endless) }).unwrap_err();
        assert!(payload.value().is::<Endless>());
        drop(payload);
        drop_quietly(Endless);
    }

    #[test]
    fn also_while_another_panic_is_on_its_way() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                drop_quietly(Endless);
            }
        }
        let payload = run(|| -> () {
            let _late = Late;
            panic!("first");
        })
        .unwrap_err();
        assert_eq!(payload.value().downcast_ref::<&str>(), Some(&"first"));
    }

    #[test]
    fn a_panic_may_go_on() {
        let payload = call(&mut || panic!("text")).unwrap_err();
        let again = run(|| -> () { payload.resume() }).unwrap_err();
        assert_eq!(again.value().downcast_ref::<&str>(), Some(&"text"));
    }
}
