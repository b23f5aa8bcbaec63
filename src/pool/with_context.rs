//! Maps whose tasks all get a reference to the same value.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Outcome;
use crate::trace::Traced;

use super::Pool;
use super::call::callable::Bound;
use super::context::AsContext;
use super::imap::Results;
use super::map::only;

impl Pool {
    /// Applies `f` to the context and every argument, and returns the results in the arguments'
    /// order: for tasks that all read one table, model or text.
    ///
    /// The context is encoded once into memory that the workers share, and each worker decodes it
    /// once per call, including a worker that starts during the call. Without arguments, nothing is
    /// encoded. To send a value once for many maps, make it a [`Context`](crate::Context).
    ///
    /// A worker decodes the context in its first task, so a [time limit](Pool::timeout) must allow
    /// for that.
    ///
    /// The tasks of one worker share its value: if one changes it, for example through a `Cell`,
    /// later tasks on the same worker see the change, and no other worker does.
    ///
    /// # What is copied
    /// If the context as a whole is a `String` or a `Vec` of plain numbers (`u8` to `u128`, `i8` to
    /// `i128`, `f32`, `f64`) of 64 KiB or more, the only copy is the owner's into shared memory:
    /// all workers read it there. Of everything else (a struct that contains such a vector, a
    /// `HashMap`, a `Vec<String>`), each worker decodes its own value.
    ///
    /// # Functions that capture
    /// A capturing function runs in workers that are forked for the call, as with
    /// [`map`](Pool::map). They inherit the context; it is neither encoded nor copied.
    ///
    /// # Panics
    /// As [`map`](Pool::map); and if the context cannot be encoded or decoded.
    ///
    /// # Fork safety
    /// A process that a task forks and that outlives the task must not use the context: another
    /// call may have reused its memory.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let cities = vec!["Bern".to_owned(), "Kyoto".to_owned(), "Quito".to_owned()];
    /// let initials = pool.map_with(&cities, |cities, i: usize| cities[i].as_bytes()[0], 0..3);
    /// assert_eq!(initials, *b"BKQ");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn map_with<X, F, I, A, R>(&self, context: &X, f: F, args: I) -> Vec<R>
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        self.call().run(&Bound { f, context }, args).results()
    }

    /// As [`map_with`](Pool::map_with); each item has its result or its error. If the context
    /// cannot be encoded or decoded, each item has an error that
    /// [says so](crate::TaskError::is_encode).
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let limits = [10, 20];
    /// let outcomes = pool.try_map_with(
    ///     &limits,
    ///     |[least, most], x: i32| {
    ///         assert!((least..=most).contains(&&x), "{x} is out of range");
    ///         x
    ///     },
    ///     [7, 14],
    /// );
    /// assert!(outcomes[0].as_ref().unwrap_err().is_panicked());
    /// assert_eq!(outcomes[1], Ok(14));
    /// # Ok(()) }
    /// ```
    pub fn try_map_with<X, F, I, A, R>(&self, context: &X, f: F, args: I) -> Vec<Outcome<R>>
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        self.call().run(&Bound { f, context }, args).outcomes()
    }

    /// As [`map_with`](Pool::map_with), with a [`Trace`](crate::Trace) of where the time went, as
    /// from [`map_traced`](Pool::map_traced). Writing the context counts as encoding.
    ///
    /// # Panics
    /// As [`map_with`](Pool::map_with).
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let traced = pool.map_traced_with(&7, |factor, x: u64| factor * x, 0..3);
    /// assert_eq!(traced.value, [0, 7, 14]);
    /// println!("{}", traced.trace.overheads());
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn map_traced_with<X, F, I, A, R>(&self, context: &X, f: F, args: I) -> Traced<Vec<R>>
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let mut call = self.call().traced();
        let results = call.run(&Bound { f, context }, args).results();
        call.finish(results)
    }

    /// As [`map_with`](Pool::map_with), lazily, as [`imap`](Pool::imap): arguments are taken, and
    /// tasks run, only a little ahead of the results that are taken. The context is encoded
    /// together with the first argument, and borrowed for as long as the iterator lives.
    ///
    /// # Panics
    /// As [`imap`](Pool::imap); at the first result if the context cannot be encoded.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let weights = vec![1.0, 0.5, 0.25];
    /// let sums = pool.imap_with(&weights, |weights, x: f64| weights.iter().sum::<f64>() * x, [2.0, 4.0]);
    /// assert_eq!(sums.collect::<Vec<_>>(), [3.5, 7.0]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn imap_with<'c, X, F, I, A, R>(
        &self,
        context: &'c X,
        f: F,
        args: I,
    ) -> impl Iterator<Item = R> + use<'c, X, F, I, A, R>
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let bound = Bound { f, context };
        Results::begin(&self.call(), bound, args, true).map(|(_, result)| result)
    }

    /// As [`imap_with`](Pool::imap_with), but yields each result as soon as it is ready, with its
    /// argument's index in the input, as [`imap_unordered`](Pool::imap_unordered) does.
    ///
    /// # Panics
    /// As [`imap_with`](Pool::imap_with).
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let table = [3, 1, 2];
    /// for (index, value) in pool.imap_unordered_with(&table, |table, i: usize| table[i], 0..3) {
    ///     assert_eq!(value, table[index]);
    /// }
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn imap_unordered_with<'c, X, F, I, A, R>(
        &self,
        context: &'c X,
        f: F,
        args: I,
    ) -> impl Iterator<Item = (usize, R)> + use<'c, X, F, I, A, R>
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Results::begin(&self.call(), Bound { f, context }, args, false)
    }

    /// Runs `f` on the context and one argument in a worker, and returns its result.
    ///
    /// # Panics
    /// As [`apply`](Pool::apply) and [`map_with`](Pool::map_with).
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let text = forklore::Context::new("to be or not to be".to_owned());
    /// let count = |text: &String, word: String| text.split(' ').filter(|w| **w == word).count();
    /// assert_eq!(pool.apply_with(&text, count, "be".to_owned()), 2);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn apply_with<X, F, A, R>(&self, context: &X, f: F, arg: A) -> R
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        only(self.map_with(context, f, std::iter::once(arg)))
    }
}
