//! From a call of the pool to its results: which way a function takes, and what can go wrong.

use std::cell::Cell;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caught;
use crate::error::{Error, Outcome, Result, TaskError};

use super::callable::{Callable, Nullary, why_not_shipped};
use super::flight::{Flight, Function, Shared};
use super::notes::Notes;
use super::spent::Spent;
use super::task::{Inherited, run_inherited, run_inherited_on_encoded, run_shipped};
use super::transport::Encoded;
use super::turns::Start;
use crate::pool::plan::Schedule;
use crate::pool::settings::{LocalCall, Settings, StartMethod};
use crate::pool::shm::args::Arguments;
use crate::pool::shm::desk::Shm;

/// Runs `f` over `args` and waits for the results. `notes` say where the time went, if they are on.
pub(in crate::pool) fn run<C, A>(
    pool: &Rc<Shared>,
    f: &C,
    args: impl Iterator<Item = A>,
    schedule: Schedule,
    notes: &mut Notes,
) -> std::result::Result<Vec<C::Output>, Failed<C::Output>>
where
    C: Callable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize + DeserializeOwned,
{
    run_watched(pool, f, args, schedule, notes, &mut |_| {})
}

/// As [`run`]; `watch` is called once everything is on its way, and may wait for it.
pub(in crate::pool) fn run_watched<C, A>(
    pool: &Rc<Shared>,
    f: &C,
    args: impl Iterator<Item = A>,
    schedule: Schedule,
    notes: &mut Notes,
    watch: &mut dyn FnMut(&Flight),
) -> std::result::Result<Vec<C::Output>, Failed<C::Output>>
where
    C: Callable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize + DeserializeOwned,
{
    if size_of::<C>() == 0 {
        let mut spent = Spent::held();
        let Some(flight) = ship::<C, A>(pool, args, schedule, &mut spent, notes)? else {
            return Ok(Vec::new());
        };
        watch(&flight);
        let results = flight.land_in_place_of(&mut |_| spent.drop_one(), notes);
        return results.map_err(Failed::Items);
    }
    let args: Vec<A> = args.collect();
    notes.encoded();
    let n_items = args.len();
    let fail = |error| Failed::Call { error, n_items };
    drop(pool.open_engine().map_err(fail)?);
    if n_items == 0 {
        return Ok(Vec::new());
    }
    // The workers move the arguments out of their own copies of this memory.
    let call = Inherited {
        f,
        args: args.as_ptr(),
    };
    let call = LocalCall {
        run: run_inherited::<C, A, Shm>,
        call: std::ptr::from_ref(&call).cast(),
    };
    let workers = fork_for(pool, call, why_not_shipped::<C>, n_items, None).map_err(fail)?;
    notes.forked();
    let mut encoded = inherited(n_items);
    encoded.traced = notes.is_on();
    let flight = Flight::launch(&workers, Function::Inherited, encoded, schedule).map_err(fail)?;
    watch(&flight);
    // Who takes a dead worker's place inherits the arguments anew: they stay until all tasks have ended.
    let mut spent = args.into_iter();
    let mut make_way = |has_ended: bool| caught::drop_quietly(has_ended.then(|| spent.next()));
    let outcome = flight.land_in_place_of(&mut make_way, notes);
    workers.join();
    outcome.map_err(Failed::Items)
}

/// The results, or a panic with what went wrong.
#[track_caller]
pub(in crate::pool) fn results_or_raise<R>(
    outcome: std::result::Result<Vec<R>, Failed<R>>,
) -> Vec<R> {
    match outcome {
        Ok(results) => results,
        Err(failed) => failed.raise(),
    }
}

/// Each item's result or error.
pub(in crate::pool) fn outcomes<R>(
    outcome: std::result::Result<Vec<R>, Failed<R>>,
) -> Vec<Outcome<R>> {
    match outcome {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(failed) => failed.into_results(),
    }
}

/// What came of beginning a call.
pub(in crate::pool) enum Begun {
    /// There were no arguments.
    Empty,
    Flying(Flight),
    /// It takes its turn.
    InTurn(Rc<Shared>, Start),
}

/// Begins to run `f` over `args`, which live on with the flight, or lets it wait for its turn.
pub(in crate::pool) fn begin<C, A>(
    pool: &Rc<Shared>,
    f: C,
    args: impl Iterator<Item = A>,
) -> std::result::Result<Begun, Failed<C::Output>>
where
    C: Callable<A> + 'static,
    A: Serialize + DeserializeOwned + 'static,
    C::Output: Serialize,
{
    if size_of::<C>() == 0 {
        let schedule = pool.settings().schedule;
        let (mut spent, mut notes) = (Spent::dropped(), Notes::default());
        let flight = ship::<C, A>(pool, args, schedule, &mut spent, &mut notes)?;
        return Ok(flight.map_or(Begun::Empty, Begun::Flying));
    }
    let owned: Box<(C, Vec<A>)> = Box::new((f, args.collect()));
    let n_items = owned.1.len();
    let fail = |error| Failed::Call { error, n_items };
    drop(pool.open_engine().map_err(fail)?);
    if n_items == 0 {
        return Ok(Begun::Empty);
    }
    let call = Box::new(Inherited {
        f: &raw const owned.0,
        args: owned.1.as_ptr(),
    });
    let local = LocalCall {
        run: run_inherited::<C, A, Shm>,
        call: std::ptr::from_ref(&*call).cast(),
    };
    let n_workers = pool.n_workers().min(n_items);
    let inherited = Box::new((call, owned));
    let pool = Rc::clone(pool);
    let begin = begin_inherited(
        Rc::clone(&pool),
        local,
        why_not_shipped::<C>,
        n_items,
        inherited,
    );
    Ok(Begun::InTurn(pool, Start { n_workers, begin }))
}

/// What forks workers for a call and launches it. What does not depend on the function is here.
fn begin_inherited(
    pool: Rc<Shared>,
    local: LocalCall,
    why_not_shipped: fn() -> String,
    n_items: usize,
    call: Box<dyn std::any::Any>,
) -> Box<dyn FnOnce() -> Result<Flight>> {
    Box::new(move || {
        let workers = fork_for(&pool, local, why_not_shipped, n_items, Some(call))?;
        let schedule = pool.settings().schedule;
        Flight::launch(&workers, Function::Inherited, inherited(n_items), schedule)
    })
}

/// What will call `f` on arguments that come one by one: the pool itself, or workers forked for
/// this stream, which inherit `f`. The caller keeps `f` alive as long as the workers.
pub(in crate::pool) fn stream<C, A>(pool: &Rc<Shared>, f: &C) -> Result<(Rc<Shared>, Function)>
where
    C: Callable<A>,
    A: DeserializeOwned,
    C::Output: Serialize,
{
    drop(pool.open_engine()?);
    if size_of::<C>() == 0 {
        return Ok((Rc::clone(pool), Function::Shipped(run_shipped::<C, A, Shm>)));
    }
    let call = LocalCall {
        run: run_inherited_on_encoded::<C, A, Shm>,
        call: std::ptr::from_ref(f).cast(),
    };
    let workers = fork_for(pool, call, why_not_shipped::<C>, usize::MAX, None)?;
    Ok((workers, Function::Inherited))
}

/// Runs `f` once on each worker, and waits for the results, one for each seat.
pub(in crate::pool) fn broadcast<F, R>(pool: &Rc<Shared>, _f: &F) -> Vec<Outcome<R>>
where
    F: Fn() -> R,
    R: Serialize + DeserializeOwned,
{
    let n_seats = pool.n_workers();
    if size_of::<F>() != 0 {
        let error = Error::invalid_input(format!(
            "{}, and a broadcast runs on workers that exist already and have not inherited that; \
             pass a function that captures nothing, and share values through what was made before \
             the pool",
            why_not_shipped::<F>()
        ));
        return Failed::Call {
            error,
            n_items: n_seats,
        }
        .into_results();
    }
    let launch = |seat| -> Result<Flight> {
        let encoded = pool.encode(std::iter::once(()), &mut Spent::dropped())?;
        let function = Function::Shipped(run_shipped::<Nullary<F>, (), Shm>);
        Flight::launch_for(pool, function, encoded, Schedule::Dynamic, Some(seat))
    };
    // All begin before the first is waited for.
    let flights: Vec<Result<Flight>> = (0..n_seats).map(launch).collect();
    let results = flights.into_iter().enumerate().map(|(seat, flight)| {
        let mut results = flight
            .map_err(|error| TaskError::not_run(seat, error))?
            .land()
            .map_err(|results| Failed::Items(results).first_error().at(seat))?;
        results
            .pop()
            .ok_or_else(|| TaskError::not_run(seat, "it has no result; please report this"))
    });
    results.collect()
}

/// The function has no state: its name is sent, and the arguments as bytes.
fn ship<C, A>(
    pool: &Rc<Shared>,
    args: impl Iterator<Item = A>,
    schedule: Schedule,
    spent: &mut Spent<A>,
    notes: &mut Notes,
) -> std::result::Result<Option<Flight>, Failed<C::Output>>
where
    C: Callable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize,
{
    let mut n_items = 0;
    let mut args = args.inspect(|_| n_items += 1);
    let encoded = pool.encode(&mut args, spent);
    if encoded.is_err() {
        // Every item is to be told of the error.
        args.by_ref().for_each(drop);
    }
    // The iterator's destructor is the user's, and the arguments have no owner yet.
    let dropped = caught::run(|| drop(args));
    let fail = |error| Failed::Call { error, n_items };
    let mut encoded = encoded.map_err(fail)?;
    if let Err(payload) = dropped {
        pool.forget(encoded);
        payload.resume();
    }
    encoded.traced = notes.is_on();
    notes.encoded();
    if n_items == 0 {
        return Ok(None);
    }
    let function = Function::Shipped(run_shipped::<C, A, Shm>);
    let flight = Flight::launch(pool, function, encoded, schedule);
    flight.map(Some).map_err(fail)
}

/// Forks workers that inherit a call, no more than there are items. `why_not_shipped` says what made that necessary.
fn fork_for(
    pool: &Shared,
    call: LocalCall,
    why_not_shipped: fn() -> String,
    n_items: usize,
    inherited: Option<Box<dyn std::any::Any>>,
) -> Result<Rc<Shared>> {
    let settings = pool.settings();
    let settings = Settings {
        n_workers: Cell::new(pool.n_workers().min(n_items)),
        method: StartMethod::Fork,
        local: Some(call),
        ..settings.clone()
    };
    Shared::start(settings, inherited).map_err(|error| {
        if error.is_multi_threaded() {
            return error.for_closure(&why_not_shipped());
        }
        error
    })
}

/// Arguments that are not sent.
fn inherited(n_items: usize) -> Encoded<Arguments> {
    Encoded {
        n_items,
        ..Encoded::default()
    }
}

/// Why a map has no plain vector of results.
pub(in crate::pool) enum Failed<R> {
    /// The call itself failed; nothing was run.
    Call { error: Error, n_items: usize },
    /// Some items have no result.
    Items(Vec<Outcome<R>>),
}

impl<R> Failed<R> {
    /// Every item's result or error.
    pub(super) fn into_results(self) -> Vec<Outcome<R>> {
        match self {
            Failed::Call { error, n_items } => (0..n_items)
                .map(|item| Err(TaskError::not_run(item, &error)))
                .collect(),
            Failed::Items(results) => results,
        }
    }

    /// The first error; `None` if the call failed without an item to tell of.
    pub(in crate::pool) fn first_error(self) -> TaskError {
        if let Failed::Call { error, .. } = self {
            return TaskError::not_run(0, error);
        }
        let first = self
            .into_results()
            .into_iter()
            .find_map(std::result::Result::err);
        first.unwrap_or_else(|| TaskError::not_run(0, "no item has an error; please report this"))
    }

    /// Panics with the first error.
    #[track_caller]
    fn raise(self) -> ! {
        match self {
            Failed::Call { error, .. } => panic!("{error}"),
            Failed::Items(_) => panic!("{}", self.first_error()),
        }
    }
}
