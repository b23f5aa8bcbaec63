//! Maps that are lazy on both sides: arguments are taken, and results kept, only a little ahead.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::sync::Arc;
#[cfg(feature = "async")]
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caught::{self, Payload};
use crate::error::{Outcome, Result};

use super::call::flight::{Flight, Function};
#[cfg(feature = "async")]
use super::call::futures::Polled;
use super::call::input::Args;
use super::call::options::Options;
use super::call::run::Call;
use super::call::shared::Shared;
use super::call::spent::Spent;
use super::call::way::Mappable;
use super::context::Written;
use super::plan::Schedule;

/// Chunks in flight per worker: one that runs, one that waits, and one whose results are being
/// collected.
const CHUNKS_PER_WORKER: usize = 3;
/// Chunks grow until one takes this long, so that its transport pays off, and no further, because
/// everything in flight takes memory.
const WORTH_ITS_WAY: Duration = Duration::from_micros(200);
const LARGEST_CHUNK: usize = 4096;

/// A map that takes arguments and yields results one by one.
struct Stream<C, I: Iterator> {
    /// Dropped first: chunks in flight need the workers.
    window: VecDeque<Chunk>,
    shared: Arc<Shared>,
    function: Function,
    options: Options,
    /// Workers that are forked for this stream inherit it from here.
    f: Box<C>,
    /// The context, once it is written.
    context: Option<Arc<Written>>,
    args: Fuse<I>,
    /// The panic of the arguments' iterator, kept until the results of the items before it are
    /// taken.
    panic: Option<Payload>,
    /// The next argument: its index in the input.
    next_index: usize,
    chunk_items: usize,
}

/// A part of the input in flight.
struct Chunk {
    flight: Flight,
    first_index: usize,
    launched: Instant,
    #[cfg(feature = "async")]
    polled: Polled,
}

impl<C, I, A> Stream<C, I>
where
    I: Iterator<Item = A>,
    C: Mappable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize + DeserializeOwned,
{
    fn new(call: &Call<'_>, f: C, args: I) -> Result<Self> {
        let f = Box::new(f);
        let (shared, function) = call.stream::<C, A>(&f)?;
        Ok(Stream {
            window: VecDeque::new(),
            shared,
            function,
            options: call.options(),
            f,
            context: None,
            args: args.fuse(),
            panic: None,
            next_index: 0,
            chunk_items: 1,
        })
    }

    /// The results of the oldest chunk, or of any finished one, with the item of the first result.
    /// `None` at the end of the input.
    #[track_caller]
    fn next_chunk(&mut self, in_order: bool) -> Option<(usize, Vec<Outcome<C::Output>>)> {
        if let Err(error) = self.fill_window() {
            panic!("{error}");
        }
        if self.window.is_empty()
            && let Some(panic) = self.panic.take()
        {
            panic.resume();
        }
        let which = if in_order {
            0
        } else {
            self.any_that_has_ended()?
        };
        let chunk = self.window.remove(which)?;
        let results = match chunk.flight.land() {
            Ok(results) => results.into_iter().map(Ok).collect(),
            Err(failed) => failed.into_outcomes(),
        };
        if chunk.launched.elapsed() < WORTH_ITS_WAY {
            self.chunk_items = (2 * self.chunk_items).min(LARGEST_CHUNK);
        }
        Some((chunk.first_index, results))
    }

    /// The number of items that were taken from the input and not yet returned as results.
    fn n_in_flight(&self) -> usize {
        self.window.iter().map(|chunk| chunk.flight.n_items()).sum()
    }

    fn fill_window(&mut self) -> Result<()> {
        let capacity = CHUNKS_PER_WORKER * self.shared.n_workers();
        while self.window.len() < capacity && self.panic.is_none() {
            let args = self.args.by_ref().take(self.chunk_items);
            let args = UntilPanic {
                args,
                panic: &mut self.panic,
            };
            let mut encoded = self
                .shared
                .encode(&mut Args::of(args, &mut Spent::dropped()))?;
            let n_items = encoded.n_items;
            if n_items == 0 {
                return Ok(());
            }
            encoded.context = self.written()?;
            // One worker runs the whole chunk; the stream is what is divided.
            let options = self.options.scheduled(Schedule::Fixed(n_items));
            let options = options.beginning_at(self.next_index);
            self.window.push_back(Chunk {
                flight: Flight::launch(&self.shared, self.function, encoded, options)?,
                first_index: self.next_index,
                launched: Instant::now(),
                #[cfg(feature = "async")]
                polled: Polled::default(),
            });
            self.next_index += n_items;
        }
        Ok(())
    }

    /// The context, unless the workers inherit it.
    fn written(&mut self) -> Result<Option<Arc<Written>>> {
        if C::IS_SHIPPED
            && self.context.is_none()
            && let Some(context) = self.f.context()
        {
            self.context = Some(self.shared.written(context)?);
        }
        Ok(self.context.clone())
    }

    /// Whether [`next_chunk`](Stream::next_chunk) would not wait. If it would, the task of `waker`
    /// is woken when that changes.
    #[cfg(feature = "async")]
    fn poll_chunk(&mut self, in_order: bool, waker: &Waker) -> bool {
        // `next_chunk` reports a failure to fill the window, and the end of the input.
        if self.fill_window().is_err() || self.window.is_empty() {
            return true;
        }
        let n_that_count = if in_order { 1 } else { self.window.len() };
        let mut that_count = self.window.iter_mut().take(n_that_count);
        that_count.any(|chunk| chunk.flight.poll(waker, &mut chunk.polled))
    }

    fn any_that_has_ended(&self) -> Option<usize> {
        while !self.window.is_empty() {
            let now = Some(Instant::now());
            let ended = self.window.iter().position(|chunk| chunk.flight.wait(now));
            if ended.is_some() {
                return ended;
            }
            Flight::wait_for_any(self.window.iter().map(|chunk| &chunk.flight));
        }
        None
    }
}

/// Arguments that end where their iterator panics, so that the items before it are not lost.
struct UntilPanic<'a, I> {
    args: I,
    panic: &'a mut Option<Payload>,
}

impl<I: Iterator> Iterator for UntilPanic<'_, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        if self.panic.is_some() {
            return None;
        }
        match caught::run(|| self.args.next()) {
            Ok(next) => next,
            Err(panic) => {
                *self.panic = Some(panic);
                None
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.args.size_hint()
    }
}

/// The results of a stream, one by one, each with its item.
pub(super) struct Results<C, I: Iterator, R> {
    stream: Stream<C, I>,
    ready: std::iter::Enumerate<std::vec::IntoIter<Outcome<R>>>,
    first_index: usize,
    in_order: bool,
}

impl<C, I, A> Results<C, I, C::Output>
where
    I: Iterator<Item = A>,
    C: Mappable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize + DeserializeOwned,
{
    /// Starts a lazy map; results come `in_order`, or as soon as they are ready.
    ///
    /// # Panics
    /// If no call can be made, because the pool is closed or the workers that the function needs
    /// cannot be forked.
    #[track_caller]
    pub(super) fn begin(
        call: &Call<'_>,
        f: C,
        args: impl IntoIterator<IntoIter = I>,
        in_order: bool,
    ) -> Self {
        let stream = match Stream::new(call, f, args.into_iter()) {
            Ok(stream) => stream,
            Err(error) => panic!("{error}"),
        };
        Results {
            stream,
            ready: Vec::new().into_iter().enumerate(),
            first_index: 0,
            in_order,
        }
    }
}

impl<C, I, A> Results<C, I, C::Output>
where
    I: Iterator<Item = A>,
    C: Mappable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize + DeserializeOwned,
{
    /// The next result of the chunk that was taken last.
    #[track_caller]
    fn next_here(&mut self) -> Option<(usize, C::Output)> {
        let (index, result) = self.ready.next()?;
        let item = self.first_index + index;
        match result {
            Ok(value) => Some((item, value)),
            Err(error) => panic!("{}", error.at(item)),
        }
    }

    /// Waits for the next chunk and takes it; `None` at the end.
    #[track_caller]
    fn take_chunk(&mut self) -> Option<()> {
        let (first_index, results) = self.stream.next_chunk(self.in_order)?;
        self.first_index = first_index;
        self.ready = results.into_iter().enumerate();
        Some(())
    }

    /// The next result if it is ready. If not, the task of `waker` is woken when it is.
    #[cfg(feature = "async")]
    pub(super) fn poll_next(&mut self, waker: &Waker) -> Poll<Option<(usize, C::Output)>> {
        loop {
            let next = self.next_here();
            if next.is_some() {
                return Poll::Ready(next);
            }
            if !self.stream.poll_chunk(self.in_order, waker) {
                return Poll::Pending;
            }
            if self.take_chunk().is_none() {
                return Poll::Ready(None);
            }
        }
    }
}

impl<C, I, A> Iterator for Results<C, I, C::Output>
where
    I: Iterator<Item = A>,
    C: Mappable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize + DeserializeOwned,
{
    type Item = (usize, C::Output);

    #[track_caller]
    fn next(&mut self) -> Option<(usize, C::Output)> {
        loop {
            let next = self.next_here();
            if next.is_some() {
                return next;
            }
            self.take_chunk()?;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n_here = self.ready.len() + self.stream.n_in_flight();
        let (least, most) = self.stream.args.size_hint();
        let most = most.and_then(|most| most.checked_add(n_here));
        (least.saturating_add(n_here), most)
    }
}
