//! A map's path from its function and arguments to its results, as in the diagram of the
//! [pool](super::super).

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caught;
use crate::error::{Error, Outcome, Result, TaskError};
use crate::sys::ThreadBound;
use crate::trace::Traced;

use super::callable::{Nullary, is_non_capturing, why_not_shipped};
use super::flight::{Flight, Function};
use super::input::{Args, Input};
use super::notes::Notes;
use super::options::Options;
use super::outcome::{Failed, Mapped, NotRun, WhyFailed};
use super::shared::{Load, Shared};
use super::slots::Slots;
use super::spent::Spent;
use super::turns::{Start, Underway};
use super::way::{self, Kept, Mappable, Sent, Way, sent};
use crate::pool::context::Source;
use crate::pool::plan::Schedule;
use crate::pool::settings::LocalCall;

/// A call with its options: where it runs, how its tasks are run, and who watches it.
pub(in crate::pool) struct Call<'p> {
    pool: &'p Arc<Shared>,
    options: Options,
    /// Records where the time goes, if the map is traced.
    notes: Notes,
    /// Shows the workers' progress until they have ended, if the map is watched.
    progress: Option<Progress<'p>>,
}

type Progress<'p> = Box<dyn FnMut(&Flight) + 'p>;

impl<'p> Call<'p> {
    /// A call with the pool's own options.
    pub(in crate::pool) fn of(pool: &'p Arc<Shared>) -> Call<'p> {
        Call::with(pool, Options::of(pool.settings()))
    }

    /// A call with other options.
    pub(in crate::pool) fn with(pool: &'p Arc<Shared>, options: Options) -> Call<'p> {
        Call {
            pool,
            options: options.here(),
            notes: Notes::default(),
            progress: None,
        }
    }

    /// The same, cut into chunks by another schedule.
    pub(in crate::pool) fn scheduled(self, schedule: Schedule) -> Call<'p> {
        let options = self.options.scheduled(schedule);
        Call { options, ..self }
    }

    /// The same, traced from now on.
    pub(in crate::pool) fn traced(self) -> Call<'p> {
        let notes = Notes::begin();
        Call { notes, ..self }
    }

    /// The same, watched: `progress` is called once all jobs are published, and may wait for them.
    // Only the `progress` feature calls this.
    #[cfg_attr(not(feature = "progress"), allow(dead_code))]
    pub(in crate::pool) fn watched(self, progress: Progress<'p>) -> Call<'p> {
        let progress = Some(progress);
        Call { progress, ..self }
    }

    /// Runs `f` over `args` and waits for the results.
    pub(in crate::pool) fn run<C, A>(
        &mut self,
        f: &C,
        args: impl IntoIterator<Item = A>,
    ) -> Mapped<C::Output>
    where
        C: Mappable<A>,
        A: Serialize + DeserializeOwned,
        C::Output: Serialize + DeserializeOwned,
    {
        let args = args.into_iter();
        Mapped(if C::IS_SHIPPED {
            self.map::<C, A, Sent<A>>(f, args)
        } else {
            self.map::<C, A, Kept<C, A>>(f, args)
        })
    }

    fn map<C, A, W>(
        &mut self,
        f: &C,
        args: impl Iterator<Item = A>,
    ) -> Result<Vec<C::Output>, Failed<C::Output>>
    where
        C: Mappable<A>,
        C::Output: DeserializeOwned,
        W: Way<C, A>,
    {
        let mut journey = Typed::<C, _, W> {
            f,
            args: Some(args),
            way: None,
        };
        match self.carry(&mut journey) {
            // SAFETY: the journey made slots for this type, and each has its value.
            Ok(slots) => Ok(unsafe { slots.into_vec() }),
            // SAFETY: the journey made slots for this type.
            Err(why) => Err(unsafe { Failed::of(why) }),
        }
    }

    /// Runs the steps of the pool's diagram. What does not depend on the map's types is compiled
    /// here, once, and not into every notebook cell that maps.
    #[inline(never)]
    fn carry(&mut self, journey: &mut dyn Journey) -> Result<Slots, WhyFailed> {
        let load = journey.encode(self)?;
        let n_items = load.n_items;
        if n_items == 0 {
            return Ok(journey.slots(0));
        }
        let published = journey.publish(self, load);
        let flight = published.map_err(|error| NotRun { error, n_items })?;
        self.wait(&flight);
        let slots = journey.slots(n_items);
        let forked = (!flight.is_of(self.pool)).then(|| flight.shared());
        let make_way = &mut |has_ended| journey.make_way(has_ended);
        let results = flight.collate(slots, make_way, &mut self.notes);
        // Workers forked for this call end with it.
        if let Some(workers) = forked {
            workers.join();
        }
        results.map_err(WhyFailed::Items)
    }

    /// Encodes the arguments into the pool's memory, and the call's context if there are arguments.
    /// `notes` record how long it took.
    #[inline(never)]
    pub(super) fn encode(
        &mut self,
        input: &mut dyn Input,
        context: Option<&dyn Source>,
    ) -> Result<Load, NotRun> {
        let checked = self.options.check();
        let checked = checked.map_err(|error| NotRun { error, n_items: 0 });
        let mut load = checked.and_then(|()| self.pool.encode(input));
        if let Err(not_run) = &mut load {
            // Each item gets the error.
            not_run.n_items += input.count();
        }
        // The iterator's destructor is user code, and the arguments have no owner yet.
        let dropped = caught::run(|| input.end());
        let mut load = load?;
        let n_items = load.n_items;
        if let Err(payload) = dropped {
            drop(load);
            payload.resume();
        }
        if let Some(context) = context
            && n_items > 0
        {
            let written = self.pool.written(context);
            load.context = Some(written.map_err(|error| NotRun { error, n_items })?);
        }
        load.traced = self.notes.is_on();
        self.notes.encoded();
        Ok(load)
    }

    /// Keeps arguments in this process's memory, for workers to inherit.
    pub(super) fn keep(&mut self, n_items: usize) -> Result<Load, NotRun> {
        self.notes.encoded();
        let fail = |error| NotRun { error, n_items };
        self.check().map_err(fail)?;
        Ok(Load {
            n_items,
            traced: self.notes.is_on(),
            ..Load::default()
        })
    }

    /// Records that workers were forked for this call.
    pub(super) fn forked(&mut self) {
        self.notes.forked();
    }

    /// Shows the progress, if the call is watched. Collating waits for the rest.
    fn wait(&mut self, flight: &Flight) {
        if let Some(progress) = &mut self.progress {
            progress(flight);
        }
    }

    pub(super) fn pool(&self) -> &'p Arc<Shared> {
        self.pool
    }

    pub(in crate::pool) fn options(&self) -> Options {
        self.options
    }

    /// Checks that such a call can be made now.
    fn check(&self) -> Result<()> {
        self.options.check()?;
        self.pool.check_open()
    }

    /// A value with the trace of its map.
    pub(in crate::pool) fn finish<T>(self, value: T) -> Traced<T> {
        self.notes.finish(value)
    }
}

/// The steps of a map that depend on its types.
trait Journey {
    /// Takes the arguments, and puts them where workers find them.
    fn encode(&mut self, call: &mut Call<'_>) -> Result<Load, NotRun>;

    /// Lets workers begin.
    fn publish(&mut self, call: &mut Call<'_>, load: Load) -> Result<Flight>;

    /// Slots for the results.
    fn slots(&self, n_items: usize) -> Slots;

    /// Called when a large result is about to be made.
    fn make_way(&mut self, has_ended: bool);
}

/// A function and its arguments, which reach workers in one of the two ways.
struct Typed<'f, C, I, W> {
    f: &'f C,
    args: Option<I>,
    /// `Some` once the arguments are encoded.
    way: Option<W>,
}

impl<C, A, I, W> Journey for Typed<'_, C, I, W>
where
    C: Mappable<A>,
    C::Output: DeserializeOwned,
    I: Iterator<Item = A>,
    W: Way<C, A>,
{
    fn encode(&mut self, call: &mut Call<'_>) -> Result<Load, NotRun> {
        let Some(args) = self.args.take() else {
            return Ok(Load::default());
        };
        let (way, load) = W::encode(call, self.f, args)?;
        self.way = Some(way);
        Ok(load)
    }

    fn publish(&mut self, call: &mut Call<'_>, load: Load) -> Result<Flight> {
        match &self.way {
            Some(way) => way.publish(call, load),
            None => Err(Error::closed()),
        }
    }

    fn slots(&self, n_items: usize) -> Slots {
        Slots::new::<C::Output>(n_items)
    }

    fn make_way(&mut self, has_ended: bool) {
        if let Some(way) = &mut self.way {
            way.make_way(has_ended);
        }
    }
}

/// The outcome of beginning a call.
pub(in crate::pool) enum Begun {
    /// There were no arguments.
    Empty,
    Flying(Flight),
    /// The call waits for its turn.
    InTurn(Arc<Shared>, Start),
}

impl Call<'_> {
    /// Begins to run `f` over `args`, which live as long as the flight, or queues the call for its
    /// turn.
    pub(in crate::pool) fn begin<C, A>(
        mut self,
        f: C,
        args: impl Iterator<Item = A>,
    ) -> Result<Begun, Failed<C::Output>>
    where
        C: Mappable<A> + 'static,
        A: Serialize + DeserializeOwned + 'static,
        C::Output: Serialize,
    {
        if C::IS_SHIPPED {
            let load = self.encode(&mut Args::of(args, &mut Spent::dropped()), f.context())?;
            return Ok(self.launch(sent::<C, A>(), load)?);
        }
        let f = Box::new(f);
        let (kept, load) = Kept::encode(&mut self, &*f, args)?;
        if load.n_items == 0 {
            return Ok(Begun::Empty);
        }
        let n_workers = self.pool.n_workers().min(load.n_items);
        let local_call = kept.local_call();
        let call = Box::new((kept, f));
        let begin = self.begin_inherited(local_call, C::why_not_shipped, load, call);
        Ok(Begun::InTurn(
            Arc::clone(self.pool),
            Start { n_workers, begin },
        ))
    }

    fn launch(&self, function: Function, load: Load) -> Result<Begun, NotRun> {
        let n_items = load.n_items;
        if n_items == 0 {
            return Ok(Begun::Empty);
        }
        let flight = Flight::launch(self.pool, function, load, self.options);
        flight
            .map(Begun::Flying)
            .map_err(|error| NotRun { error, n_items })
    }

    /// Forks workers for a call and launches it. This part does not depend on the function.
    fn begin_inherited(
        &self,
        local_call: LocalCall,
        why_not_shipped: fn() -> String,
        load: Load,
        call: Box<dyn Any>,
    ) -> Box<dyn FnOnce() -> Result<Arc<dyn Underway>> + Send> {
        let (pool, options) = (Arc::clone(self.pool), self.options);
        let call = ThreadBound::new(call);
        Box::new(move || {
            let n_items = load.n_items;
            let workers = way::fork_for(&pool, local_call, why_not_shipped, n_items, Some(call))?;
            let flight = Flight::launch(&workers, Function::Inherited, load, options)?;
            Ok(Arc::new(flight) as Arc<dyn Underway>)
        })
    }

    /// What calls `f` on arguments that arrive one by one: the pool itself, or workers forked for
    /// this stream, which inherit `f`. The caller keeps `f` alive as long as the workers.
    pub(in crate::pool) fn stream<C, A>(&self, f: &C) -> Result<(Arc<Shared>, Function)>
    where
        C: Mappable<A>,
        A: DeserializeOwned,
        C::Output: Serialize,
    {
        self.check()?;
        if C::IS_SHIPPED {
            return Ok((Arc::clone(self.pool), sent::<C, A>()));
        }
        let local_call = way::inherited::<C, A>(f);
        let why = C::why_not_shipped;
        let workers = way::fork_for(self.pool, local_call, why, usize::MAX, None)?;
        Ok((workers, Function::Inherited))
    }
}

/// Runs `f` once on each worker, and waits for the results, one for each slot.
pub(in crate::pool) fn broadcast<F, R>(pool: &Arc<Shared>, _f: &F) -> Vec<Outcome<R>>
where
    F: Fn() -> R,
    R: Serialize + DeserializeOwned,
{
    let n_slots = pool.n_workers();
    if !is_non_capturing::<F>() {
        let error = Error::invalid_input(format!(
            "{}, and a broadcast runs on workers that exist already and have not inherited that; \
             pass a function that captures nothing, and share values through what was made before \
             the pool",
            why_not_shipped::<F>()
        ));
        let n_items = n_slots;
        return Failed::from(NotRun { error, n_items }).into_outcomes();
    }
    let options = Options::of(pool.settings()).scheduled(Schedule::Dynamic);
    let launch = |slot| -> Result<Flight> {
        let encoded = pool.encode(&mut Args::of(std::iter::once(()), &mut Spent::dropped()))?;
        let function = sent::<Nullary<F>, ()>();
        Flight::launch_for(
            pool,
            function,
            encoded,
            options.beginning_at(slot),
            Some(slot),
        )
    };
    // All begin before this thread waits for the first.
    let flights: Vec<Result<Flight>> = (0..n_slots).map(launch).collect();
    let results = flights.into_iter().enumerate().map(|(slot, flight)| {
        let mut results = flight
            .map_err(|error| TaskError::not_run(slot, error))?
            .land()
            .map_err(|failed| failed.first_error().at(slot))?;
        results
            .pop()
            .ok_or_else(|| TaskError::not_run(slot, "it has no result; please report this"))
    });
    results.collect()
}
