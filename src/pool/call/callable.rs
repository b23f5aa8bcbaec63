//! The functions that a pool can call: of one argument, or with a tuple spread over their
//! parameters.

use crate::pool::context::AsContext;
use crate::pool::star::StarFn;

/// A function as the pool's inner loops call it. A non-capturing function stays one: these wrappers
/// add nothing to its size.
pub(crate) trait Callable<A> {
    /// The type of a call's result.
    type Output;

    /// Calls the function.
    fn call(&self, arg: A) -> Self::Output;
}

/// Whether a function has no state, so that any process that has its code may call it.
///
/// A value without size can still prove something that holds only in this process: that a lock is
/// held, or that a thread is the main one. The type system cannot distinguish a closure that
/// captured such a value from a non-capturing one, unless the value has a destructor, as guards
/// have, or an alignment. Closures with such values are inherited by a fork, as state is.
pub(in crate::pool) const fn is_non_capturing<F>() -> bool {
    size_of::<F>() == 0 && !std::mem::needs_drop::<F>() && align_of::<F>() == 1
}

/// The reason why a closure cannot be sent.
const HAS_CAPTURED: &str = "this function has captured something";

/// The same for a closure that has a context.
const HAS_CAPTURED_MORE: &str = "this function has captured something beside its context";

/// What the user can do about a function that cannot be sent for this reason.
pub(in crate::pool) fn how_to_ship(why: &str) -> &'static str {
    if why == HAS_CAPTURED_MORE {
        "put that into the context as well: pool.map_with(&(context, captured), \
         |(context, captured), item| …, items)"
    } else if why == HAS_CAPTURED {
        "send along what it has captured: pool.map_with(&captured, |captured, item| …, items), and \
         likewise try_map_with, imap_with and apply_with"
    } else {
        "pass the function itself"
    }
}

/// As [`why_not_shipped`], for a function that has a context.
pub(in crate::pool) fn why_not_shipped_with_context<F>() -> String {
    let why = why_not_shipped::<F>();
    match why == HAS_CAPTURED {
        true => HAS_CAPTURED_MORE.to_owned(),
        false => why,
    }
}

/// The reason why a function of this type (a `C`, or the `F` in it) has a size: it captures
/// something, or it is a pointer and not the function that it points to.
pub(in crate::pool) fn why_not_shipped<F>() -> String {
    let name = std::any::type_name::<F>();
    // The user's type is inside one of the wrappers below.
    let wrapped = name.split_once("callable::").and_then(|(_, wrapper)| {
        let (_, inner) = wrapper.split_once('<')?;
        inner.strip_suffix('>')
    });
    let name = wrapped.unwrap_or(name);
    let is_pointer = ["fn(", "for<", "unsafe fn(", "extern ", "unsafe extern "]
        .iter()
        .any(|start| name.starts_with(start));
    if is_pointer {
        format!("this is a pointer to a function ({name}), not the function itself")
    } else if name.starts_with('&') || name.contains("dyn ") {
        format!("this is a reference to a function ({name}), not the function itself")
    } else {
        HAS_CAPTURED.to_owned()
    }
}

impl<C: Callable<A>, A> Callable<A> for &C {
    type Output = C::Output;

    fn call(&self, arg: A) -> C::Output {
        (**self).call(arg)
    }
}

/// A function of one argument.
#[derive(Clone, Copy)]
pub(crate) struct Unary<F>(pub(crate) F);

impl<F: Fn(A) -> R, A, R> Callable<A> for Unary<F> {
    type Output = R;

    fn call(&self, arg: A) -> R {
        (self.0)(arg)
    }
}

/// A function of a context and one argument, with the context of a call.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'c, F, X> {
    pub(crate) f: F,
    pub(crate) context: &'c X,
}

impl<F, X, A, R> Callable<A> for Bound<'_, F, X>
where
    X: AsContext,
    F: Fn(&X::Value, A) -> R,
{
    type Output = R;

    fn call(&self, arg: A) -> R {
        (self.f)(self.context.value(), arg)
    }
}

/// The same in a worker that received the function and the context.
pub(super) struct SentBound<'c, F, V> {
    pub(super) f: &'c F,
    pub(super) value: &'c V,
}

impl<F: Fn(&V, A) -> R, V, A, R> Callable<A> for SentBound<'_, F, V> {
    type Output = R;

    fn call(&self, arg: A) -> R {
        (self.f)(self.value, arg)
    }
}

/// A function without arguments.
#[derive(Clone, Copy)]
pub(crate) struct Nullary<F>(pub(crate) F);

impl<F: Fn() -> R, R> Callable<()> for Nullary<F> {
    type Output = R;

    fn call(&self, (): ()) -> R {
        (self.0)()
    }
}

/// A function whose parameters a tuple is spread over.
#[derive(Clone, Copy)]
pub(crate) struct Star<F>(pub(crate) F);

impl<F: StarFn<T>, T> Callable<T> for Star<F> {
    type Output = F::Output;

    fn call(&self, args: T) -> F::Output {
        self.0.call_spread(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_without_size_is_state() {
        fn is_shipped<F: Fn(u64) -> u64>(_: &F) -> bool {
            is_non_capturing::<Unary<F>>()
        }
        struct Guard;
        impl Drop for Guard {
            fn drop(&mut self) {}
        }
        let (guard, aligned) = (Guard, [0u64; 0]);
        let with_guard = move |x| {
            let _proof = &guard;
            x
        };
        let with_alignment = move |x| x + aligned.len() as u64;
        assert_eq!(size_of_val(&with_guard) + size_of_val(&with_alignment), 0);
        assert!(!is_shipped(&with_guard) && !is_shipped(&with_alignment));
        assert!(is_shipped(&|x| x + 1));
    }

    #[test]
    fn pointers_are_told_from_closures() {
        fn why<F: Fn(u64) -> u64>(_: &F) -> String {
            why_not_shipped::<Unary<F>>()
        }
        let n = 1;
        let closure = |x| x + n;
        assert_eq!(why(&closure), "this function has captured something");
        assert!(how_to_ship(&why(&closure)).contains("map_with"));
        let pointer: fn(u64) -> u64 = |x| x;
        assert_eq!(how_to_ship(&why(&pointer)), "pass the function itself");
        assert!(why(&pointer).contains("pointer to a function (fn(u64) -> u64)"));
        assert!(why(&&closure).contains("reference to a function (&"));
        let boxed: Box<dyn Fn(u64) -> u64> = Box::new(closure);
        assert!(why(&boxed).contains("reference to a function"));
        assert!(why_not_shipped::<extern "C" fn()>().contains("pointer"));
    }
}
