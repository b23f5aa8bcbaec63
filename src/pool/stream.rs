//! Lazy maps as streams for async tasks.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Pool;
use super::call::callable::{Bound, Unary};
use super::call::run::Call;
use super::call::way::Mappable;
use super::context::AsContext;
use super::imap::Results;

/// The results of a lazy map as a stream, each passed through `item`.
pub(super) struct Lazy<C, I: Iterator, R, T> {
    results: Results<C, I, R>,
    item: fn((usize, R)) -> T,
}

impl<C, I, A> Lazy<C, I, C::Output, C::Output>
where
    I: Iterator<Item = A>,
    C: Mappable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize + DeserializeOwned,
{
    #[track_caller]
    pub(super) fn in_order(call: &Call<'_>, f: C, args: impl IntoIterator<IntoIter = I>) -> Self {
        Lazy {
            results: Results::begin(call, f, args, true),
            item: |(_, result)| result,
        }
    }
}

impl<C, I, A> Lazy<C, I, C::Output, (usize, C::Output)>
where
    I: Iterator<Item = A>,
    C: Mappable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize + DeserializeOwned,
{
    #[track_caller]
    pub(super) fn unordered(call: &Call<'_>, f: C, args: impl IntoIterator<IntoIter = I>) -> Self {
        Lazy {
            results: Results::begin(call, f, args, false),
            item: |next| next,
        }
    }
}

impl<C, I, A, T> Stream for Lazy<C, I, C::Output, T>
where
    I: Iterator<Item = A>,
    C: Mappable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize + DeserializeOwned,
{
    type Item = T;

    #[track_caller]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let lazy = self.get_mut();
        let next = lazy.results.poll_next(context.waker());
        next.map(|next| next.map(lazy.item))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.results.size_hint()
    }
}

/// Nothing in it is pinned.
impl<C, I: Iterator, R, T> Unpin for Lazy<C, I, R, T> {}

impl Pool {
    /// As [`imap`](Pool::imap), for an async task: the results, in order, as a stream.
    ///
    /// With the feature `async`. Arguments are taken from their iterator, and tasks run, only a
    /// little ahead of the results that are taken, so a slow consumer delays the tasks that follow,
    /// and memory use stays small. Dropping the stream cancels everything not yet started. For how
    /// its task is woken, see [`Pending`](super::Pending#impl-Future-for-Pending%3CT%3E).
    ///
    /// # Panics
    /// As [`imap`](Pool::imap).
    ///
    /// # Example
    /// ```standalone_crate
    /// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    /// # // Any executor will do.
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = pin!(future);
    /// #     loop {
    /// #         if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
    /// #             return output;
    /// #         }
    /// #     }
    /// # }
    /// # fn main() -> forklore::Result<()> {
    /// use futures_core::Stream;
    /// # use std::pin::Pin;
    ///
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let mut squares = pool.stream(|x: u64| x * x, 0..);
    /// // `next` is what the crates futures, futures-lite, and tokio-stream add to a stream.
    /// # async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    /// #     std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
    /// # }
    /// block_on(async {
    ///     assert_eq!(next(&mut squares).await, Some(0));
    ///     assert_eq!(next(&mut squares).await, Some(1));
    ///     assert_eq!(next(&mut squares).await, Some(4));
    /// });
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn stream<F, I, A, R>(
        &self,
        f: F,
        args: I,
    ) -> impl Stream<Item = R> + Unpin + use<F, I, A, R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Lazy::in_order(&self.call(), Unary(f), args)
    }

    /// As [`stream`](Pool::stream), but yields each result as soon as it is ready, with its
    /// argument's index in the input, as [`imap_unordered`](Pool::imap_unordered) does.
    ///
    /// # Panics
    /// As [`imap`](Pool::imap).
    #[track_caller]
    pub fn stream_unordered<F, I, A, R>(
        &self,
        f: F,
        args: I,
    ) -> impl Stream<Item = (usize, R)> + Unpin + use<F, I, A, R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Lazy::unordered(&self.call(), Unary(f), args)
    }

    /// As [`stream`](Pool::stream), with a context for all tasks, as in
    /// [`map_with`](Pool::map_with). It is encoded together with the first argument, and borrowed
    /// for as long as the stream lives.
    ///
    /// # Panics
    /// As [`imap_with`](Pool::imap_with).
    ///
    /// # Example
    /// ```standalone_crate
    /// # use std::{future::poll_fn, pin::{Pin, pin}, task::{Context, Poll, Waker}};
    /// # // Any executor will do.
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = pin!(future);
    /// #     loop {
    /// #         if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
    /// #             return output;
    /// #         }
    /// #     }
    /// # }
    /// # fn main() -> forklore::Result<()> {
    /// use futures_core::Stream;
    ///
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let words = vec!["zero".to_owned(), "one".to_owned(), "two".to_owned()];
    /// let mut lengths = pool.stream_with(&words, |words, i: usize| words[i].len(), 0..3);
    /// # let mut next = || block_on(poll_fn(|context| Pin::new(&mut lengths).poll_next(context)));
    /// // `next` is what the crates futures, futures-lite, and tokio-stream add to a stream.
    /// assert_eq!([next(), next(), next(), next()], [Some(4), Some(3), Some(3), None]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn stream_with<'c, X, F, I, A, R>(
        &self,
        context: &'c X,
        f: F,
        args: I,
    ) -> impl Stream<Item = R> + Unpin + use<'c, X, F, I, A, R>
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Lazy::in_order(&self.call(), Bound { f, context }, args)
    }

    /// As [`stream_with`](Pool::stream_with), but yields each result as soon as it is ready, with
    /// its argument's index in the input.
    ///
    /// # Panics
    /// As [`imap_with`](Pool::imap_with).
    #[track_caller]
    pub fn stream_unordered_with<'c, X, F, I, A, R>(
        &self,
        context: &'c X,
        f: F,
        args: I,
    ) -> impl Stream<Item = (usize, R)> + Unpin + use<'c, X, F, I, A, R>
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Lazy::unordered(&self.call(), Bound { f, context }, args)
    }
}
