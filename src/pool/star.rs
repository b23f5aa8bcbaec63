//! Functions of several parameters, for tuples.

/// A function that takes a tuple's elements as its parameters, for
/// [`Pool::starmap`](crate::pool::Pool::starmap): every `Fn` of two to six parameters is one.
pub trait StarFn<T> {
    /// The function's return type.
    type Output;

    /// Calls the function with the tuple's elements.
    fn call_spread(&self, args: T) -> Self::Output;
}

macro_rules! spread {
    ($($arg:ident)*) => {
        impl<Func: Fn($($arg),*) -> Ret, Ret, $($arg),*> StarFn<($($arg,)*)> for Func {
            type Output = Ret;

            #[allow(non_snake_case, reason = "type and value parameters share their names")]
            fn call_spread(&self, ($($arg,)*): ($($arg,)*)) -> Ret {
                self($($arg),*)
            }
        }
    };
}

spread!(A B);
spread!(A B C);
spread!(A B C D);
spread!(A B C D E);
spread!(A B C D E F);
