//! A common interface for all pools.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Outcome;
use crate::trace::Traced;

use super::blocks::Blocks;
use super::context::AsContext;
use super::plan::Schedule;
use super::star::StarFn;

/// Applies a function to every argument: in processes, threads, or this thread alone.
///
/// Code that is generic over `Map` switches between them by one word. The bounds are the union of
/// what all of them need; each type's own method of the same name requires less.
///
/// It is sealed, so that methods can be added.
///
/// # Example
/// ```standalone_crate
/// use forklore::{Map, Pool, Serial, ThreadPool};
///
/// fn sum_of_squares(pool: &impl Map, n: u64) -> u64 {
///     pool.map(|x: u64| x * x, 0..n).iter().sum()
/// }
///
/// # fn main() -> forklore::Result<()> {
/// let expected = sum_of_squares(&Serial, 100);
/// assert_eq!(sum_of_squares(&Pool::with_workers(2)?, 100), expected);
/// assert_eq!(sum_of_squares(&ThreadPool::with_workers(2)?, 100), expected);
/// # Ok(()) }
/// ```
pub trait Map: Sealed {
    /// The number of tasks that can run at the same time.
    fn workers(&self) -> usize;

    /// Applies `f` to every argument; each item has its result or its error.
    fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send;

    /// Applies `f` to every argument and returns the results in order.
    ///
    /// # Panics
    /// With the first error of [`try_map`](Map::try_map), after all others have finished.
    #[track_caller]
    fn map<F, I, A, R>(&self, f: F, args: I) -> Vec<R>
    where
        F: Fn(A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        all_or_panic(self.try_map(f, args))
    }

    /// As [`map`](Map::map), with a context that all tasks get a reference to. Each process gets
    /// its own copy, once per call or once for all calls ([`Context`](super::Context)); threads
    /// share the value.
    ///
    /// # Panics
    /// As [`map`](Map::map).
    ///
    /// # Example
    /// ```standalone_crate
    /// use forklore::{Map, Pool, Serial, ThreadPool};
    ///
    /// fn lengths(pool: &impl Map, words: &Vec<String>) -> Vec<usize> {
    ///     pool.map_with(words, |words, i: usize| words[i].len(), 0..words.len())
    /// }
    ///
    /// # fn main() -> forklore::Result<()> {
    /// let words = vec!["fork".to_owned(), "lore".to_owned(), "pool".to_owned()];
    /// assert_eq!(lengths(&Serial, &words), [4; 3]);
    /// assert_eq!(lengths(&Pool::with_workers(2)?, &words), [4; 3]);
    /// assert_eq!(lengths(&ThreadPool::with_workers(2)?, &words), [4; 3]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    fn map_with<X, F, I, A, R>(&self, context: &X, f: F, args: I) -> Vec<R>
    where
        X: AsContext,
        X::Value: Sync,
        F: Fn(&X::Value, A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        all_or_panic(self.try_map_with(context, f, args))
    }

    /// As [`map_with`](Map::map_with); each item has its result or its error.
    fn try_map_with<X, F, I, A, R>(&self, context: &X, f: F, args: I) -> Vec<Outcome<R>>
    where
        X: AsContext,
        X::Value: Sync,
        F: Fn(&X::Value, A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send;

    /// As [`map`](Map::map), in chunks of `chunk` items.
    ///
    /// # Panics
    /// As [`map`](Map::map), and if `chunk` is 0.
    fn map_chunked<F, I, A, R>(&self, f: F, args: I, chunk: usize) -> Vec<R>
    where
        F: Fn(A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send;

    /// As [`map`](Map::map), and notes what happened when.
    ///
    /// # Panics
    /// As [`map`](Map::map).
    fn map_traced<F, I, A, R>(&self, f: F, args: I) -> Traced<Vec<R>>
    where
        F: Fn(A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send;

    /// As [`map`](Map::map) for a function of several parameters: each argument is a tuple, spread
    /// over them.
    ///
    /// # Panics
    /// As [`map`](Map::map).
    #[track_caller]
    fn starmap<F, I, T, R>(&self, f: F, args: I) -> Vec<R>
    where
        F: StarFn<T, Output = R> + Send + Sync,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        self.map(move |args: T| f.call_spread(args), args)
    }

    /// As [`map`](Map::map), lazily: arguments are taken, and tasks run, only a little ahead of the
    /// results that are taken, so that even an infinite iterator needs little memory. Tasks run
    /// block by block, except on [`Pool`](super::Pool), where a slow task does not delay those
    /// behind it.
    ///
    /// # Panics
    /// When the next result is that of a task that panicked or whose worker died.
    ///
    /// # Example
    /// ```
    /// use forklore::{Map, Serial, ThreadPool};
    ///
    /// fn first_squares(pool: &impl Map, n: usize) -> Vec<u64> {
    ///     pool.imap(|x: u64| x * x, 0..).take(n).collect()
    /// }
    ///
    /// # fn main() -> forklore::Result<()> {
    /// assert_eq!(first_squares(&Serial, 4), [0, 1, 4, 9]);
    /// assert_eq!(first_squares(&ThreadPool::with_workers(2)?, 4), [0, 1, 4, 9]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    fn imap<F, I, A, R>(&self, f: F, args: I) -> impl Iterator<Item = R>
    where
        F: Fn(A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        let run = |f: &F, block: Vec<A>| self.try_map(f, block);
        Blocks::new(f, args.into_iter(), self.workers(), run)
    }

    /// Runs `f` on one argument and returns its result.
    ///
    /// # Panics
    /// As [`map`](Map::map).
    #[track_caller]
    fn apply<F, A, R>(&self, f: F, arg: A) -> R
    where
        F: Fn(A) -> R + Send + Sync,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        only(self.map(f, std::iter::once(arg)))
    }
}

/// Seals `Map`: no other crate can implement it.
pub trait Sealed {}

/// The results, or a panic with the first error.
#[track_caller]
pub(crate) fn all_or_panic<R>(results: Vec<Outcome<R>>) -> Vec<R> {
    let mut values = Vec::with_capacity(results.len());
    // Not in a closure, which would hide the caller's location from the panic message.
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => panic!("{error}"),
        }
    }
    values
}

/// The result of a map over one argument.
pub(crate) fn only<R>(mut results: Vec<R>) -> R {
    match results.pop() {
        Some(result) => result,
        None => unreachable!("one argument has one result"),
    }
}

/// Chunks of `n` items, for maps that return no error.
///
/// # Panics
/// If `n` is 0.
#[track_caller]
pub(crate) fn chunks_of(n: usize) -> Schedule {
    match Schedule::fixed(n) {
        Ok(schedule) => schedule,
        Err(error) => panic!("{error}"),
    }
}

/// The inherent methods of a map within this process: they need no import of [`Map`], and have only
/// the bounds that such a map needs. They use two private methods: `run`, and `schedule` for the
/// default schedule.
macro_rules! own_methods {
    ($pool:ty, function: [$($function:tt)*], values: [$($value:tt)*]) => {
        impl $pool {
            /// Applies `f` to every argument and returns the results in order.
            ///
            /// # Panics
            /// With the first error of [`try_map`](Self::try_map), after all others have run.
            #[track_caller]
            pub fn map<F, I, A, R>(&self, f: F, args: I) -> Vec<R>
            where
                F: Fn(A) -> R + $($function)*,
                I: IntoIterator<Item = A>,
                A: $($value)*,
                R: $($value)*,
            {
                $crate::pool::all_or_panic(self.try_map(f, args))
            }

            /// Applies `f` to every argument; a task that panics is an error and the others run.
            pub fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<$crate::error::Outcome<R>>
            where
                F: Fn(A) -> R + $($function)*,
                I: IntoIterator<Item = A>,
                A: $($value)*,
                R: $($value)*,
            {
                self.run(&f, args, self.schedule(), &mut $crate::pool::Diary::off())
            }

            /// As [`map`](Self::map), with a context that all tasks get a reference to. Nothing is
            /// encoded.
            ///
            /// # Panics
            /// As [`map`](Self::map).
            #[track_caller]
            pub fn map_with<X, F, I, A, R>(&self, context: &X, f: F, args: I) -> Vec<R>
            where
                X: $crate::pool::AsContext,
                X::Value: $($function)*,
                F: Fn(&X::Value, A) -> R + $($function)*,
                I: IntoIterator<Item = A>,
                A: $($value)*,
                R: $($value)*,
            {
                $crate::pool::all_or_panic(self.try_map_with(context, f, args))
            }

            /// As [`map_with`](Self::map_with); a task that panics is an error and the others run.
            pub fn try_map_with<X, F, I, A, R>(
                &self,
                context: &X,
                f: F,
                args: I,
            ) -> Vec<$crate::error::Outcome<R>>
            where
                X: $crate::pool::AsContext,
                X::Value: $($function)*,
                F: Fn(&X::Value, A) -> R + $($function)*,
                I: IntoIterator<Item = A>,
                A: $($value)*,
                R: $($value)*,
            {
                let value = context.value();
                self.try_map(|item| f(value, item), args)
            }

            /// As [`map`](Self::map), in chunks of `chunk` items.
            ///
            /// # Panics
            /// As [`map`](Self::map), and if `chunk` is 0.
            #[track_caller]
            pub fn map_chunked<F, I, A, R>(&self, f: F, args: I, chunk: usize) -> Vec<R>
            where
                F: Fn(A) -> R + $($function)*,
                I: IntoIterator<Item = A>,
                A: $($value)*,
                R: $($value)*,
            {
                let schedule = $crate::pool::chunks_of(chunk);
                let outcomes = self.run(&f, args, schedule, &mut $crate::pool::Diary::off());
                $crate::pool::all_or_panic(outcomes)
            }

            /// As [`map`](Self::map), and notes what happened when.
            ///
            /// # Panics
            /// As [`map`](Self::map).
            #[track_caller]
            pub fn map_traced<F, I, A, R>(&self, f: F, args: I) -> $crate::trace::Traced<Vec<R>>
            where
                F: Fn(A) -> R + $($function)*,
                I: IntoIterator<Item = A>,
                A: $($value)*,
                R: $($value)*,
            {
                let mut diary = $crate::pool::Diary::begin();
                let outcomes = self.run(&f, args, self.schedule(), &mut diary);
                diary.finish($crate::pool::all_or_panic(outcomes))
            }

            /// As [`map`](Self::map) for a function of several parameters: each argument is a
            /// tuple, spread over them.
            ///
            /// # Panics
            /// As [`map`](Self::map).
            #[track_caller]
            pub fn starmap<F, I, T>(&self, f: F, args: I) -> Vec<F::Output>
            where
                F: $crate::pool::StarFn<T> + $($function)*,
                F::Output: $($value)*,
                I: IntoIterator<Item = T>,
                T: $($value)*,
            {
                self.map(|args| f.call_spread(args), args)
            }

            /// Runs `f` on one argument.
            ///
            /// # Panics
            /// As [`map`](Self::map).
            #[track_caller]
            pub fn apply<F, A, R>(&self, f: F, arg: A) -> R
            where
                F: Fn(A) -> R + $($function)*,
                A: $($value)*,
                R: $($value)*,
            {
                $crate::pool::only(self.map(f, std::iter::once(arg)))
            }
        }
    };
}
pub(crate) use own_methods;

/// Implements [`Map`] for a type with these inherent methods; with `imap` only if it is better than
/// the trait's.
macro_rules! impl_map {
    (@forward $pool:ty, $method:ident($($more:ident: $type:ty)?) -> $result:ty) => {
        #[track_caller]
        fn $method<F, I, A, R>(&self, f: F, args: I $(, $more: $type)?) -> $result
        where
            F: Fn(A) -> R + Send + Sync,
            I: IntoIterator<Item = A>,
            A: serde::Serialize + serde::de::DeserializeOwned + Send,
            R: serde::Serialize + serde::de::DeserializeOwned + Send,
        {
            <$pool>::$method(self, f, args $(, $more)?)
        }
    };
    (@with $pool:ty, $method:ident -> $result:ty) => {
        #[track_caller]
        fn $method<X, F, I, A, R>(&self, context: &X, f: F, args: I) -> $result
        where
            X: $crate::pool::AsContext,
            X::Value: Sync,
            F: Fn(&X::Value, A) -> R + Send + Sync,
            I: IntoIterator<Item = A>,
            A: serde::Serialize + serde::de::DeserializeOwned + Send,
            R: serde::Serialize + serde::de::DeserializeOwned + Send,
        {
            <$pool>::$method(self, context, f, args)
        }
    };
    ($pool:ty $(, $imap:ident)?) => {
        impl $crate::pool::Sealed for $pool {}

        impl $crate::pool::Map for $pool {
            fn workers(&self) -> usize {
                <$pool>::workers(self)
            }

            $crate::pool::impl_map!(@forward $pool, try_map() -> Vec<$crate::error::Outcome<R>>);
            $crate::pool::impl_map!(@forward $pool, map() -> Vec<R>);
            $crate::pool::impl_map!(@with $pool, try_map_with -> Vec<$crate::error::Outcome<R>>);
            $crate::pool::impl_map!(@with $pool, map_with -> Vec<R>);
            $crate::pool::impl_map!(@forward $pool, map_chunked(chunk: usize) -> Vec<R>);
            $crate::pool::impl_map!(@forward $pool, map_traced() -> $crate::trace::Traced<Vec<R>>);
            $($crate::pool::impl_map!(@forward $pool, $imap() -> impl Iterator<Item = R>);)?
        }
    };
}
pub(crate) use impl_map;
