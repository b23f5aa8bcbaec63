//! Where the user's code runs and its panic is data: the only place of the library that catches
//! one.
//!
//! What a panic carries is a value of the user's like any other, and its destructor may panic as
//! well. Dropped behind the `catch_unwind` that gave it, such a payload would unwind on into code
//! that believes nothing can happen any more: out of a worker, into the program that was forked. So
//! a [`Payload`] catches what its own drop does, and the same holds for a value whose drop no
//! longer matters ([`drop_quietly`]).

pub(crate) mod last_panic;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `f`; its panic is the error.
///
/// What `f` has changed when it panics stays changed: the caller sees to it that nothing is half
/// done then.
#[inline]
pub(crate) fn run<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Payload(Some(payload)))
}

/// As [`run`], compiled once, in the library: a cell that calls it compiles no more than `f`.
#[inline(never)]
pub(crate) fn call(f: &mut dyn FnMut()) -> Result<(), Payload> {
    run(f)
}

/// Drops a value whose fate changes nothing any more. A panic of its destructor is reported by the
/// panic hook, and goes no further.
pub(crate) fn drop_quietly<T>(value: T) {
    if std::mem::needs_drop::<T>() {
        let _ = run(|| drop(value));
    }
}

/// What a caught panic carried.
#[derive(Debug)]
pub(crate) struct Payload(Option<Box<dyn Any + Send>>);

impl Payload {
    /// The value.
    pub(crate) fn value(&self) -> &(dyn Any + Send) {
        self.0.as_deref().unwrap_or(&())
    }

    /// Goes on with the panic.
    pub(crate) fn resume(mut self) -> ! {
        resume_unwind(self.0.take().unwrap_or_else(|| Box::new(())))
    }
}

impl From<Box<dyn Any + Send>> for Payload {
    /// What joining a thread gave.
    fn from(payload: Box<dyn Any + Send>) -> Payload {
        Payload(Some(payload))
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let payload = self.0.take();
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // This could go on without an end.
            std::mem::forget(second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when it is dropped, with another one of the kind as the payload.
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
