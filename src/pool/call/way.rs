//! The two ways in which a function and its arguments reach workers: they are sent to running
//! workers, or inherited by newly forked ones.

use std::sync::Arc;
use std::vec::IntoIter;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caught;
use crate::error::Result;

use super::callable::{self, Bound, Callable, Nullary, Star, Unary, how_to_ship, is_non_capturing};
use super::flight::{Flight, Function};
use super::input::Args;
use super::outcome::NotRun;
use super::run::Call;
use super::shared::{Inheritance, Load, Shared};
use super::spent::Spent;
use super::work::{
    Inherited, Trampoline, run_inherited, run_inherited_on_encoded, run_shipped, run_with_context,
};
use crate::pool::context::{AsContext, Source};
use crate::pool::settings::{LocalCall, Settings, StartMethod};
use crate::pool::shm::desk::Shm;
use crate::pool::star::StarFn;

/// A function that can be mapped, and how the pool's own workers get it.
pub(in crate::pool) trait Mappable<A>: Callable<A> + Sized {
    /// Whether running workers can run it; otherwise, workers are forked for it.
    const IS_SHIPPED: bool = is_non_capturing::<Self>();

    /// Why it is not shipped.
    fn why_not_shipped() -> String {
        callable::why_not_shipped::<Self>()
    }

    /// The code that runs it in a worker.
    fn trampoline() -> Trampoline<Shm>
    where
        A: DeserializeOwned,
        Self::Output: Serialize,
    {
        run_shipped::<Self, A, Shm>
    }

    /// The context that each call gets in addition to the argument.
    fn context(&self) -> Option<&dyn Source> {
        None
    }
}

impl<F: Fn(A) -> R, A, R> Mappable<A> for Unary<F> {}

impl<F: Fn() -> R, R> Mappable<()> for Nullary<F> {}

impl<F: StarFn<T>, T> Mappable<T> for Star<F> {}

impl<F, X, A, R> Mappable<A> for Bound<'_, F, X>
where
    X: AsContext,
    F: Fn(&X::Value, A) -> R,
{
    const IS_SHIPPED: bool = is_non_capturing::<F>();

    fn why_not_shipped() -> String {
        callable::why_not_shipped_with_context::<F>()
    }

    fn trampoline() -> Trampoline<Shm>
    where
        A: DeserializeOwned,
        R: Serialize,
    {
        run_with_context::<F, X::Value, A, R, Shm>
    }

    fn context(&self) -> Option<&dyn Source> {
        Some(self.context)
    }
}

/// How a map's function and arguments reach workers. The choice is made at compile time, so that a
/// notebook cell compiles only the way that it uses.
pub(super) trait Way<C, A>: Sized {
    /// Takes all arguments from their iterator, and puts them where workers find them.
    fn encode(
        call: &mut Call<'_>,
        f: &C,
        args: impl Iterator<Item = A>,
    ) -> Result<(Self, Load), NotRun>;

    /// Publishes the call to workers. The way must live until they have ended.
    fn publish(&self, call: &mut Call<'_>, load: Load) -> Result<Flight>;

    /// Drops an argument that is no longer needed, because a large result is about to be made.
    fn make_way(&mut self, has_ended: bool);
}

/// The function is non-capturing: its name is sent, and the arguments as bytes.
pub(super) struct Sent<A> {
    spent: Spent<A>,
}

impl<C, A> Way<C, A> for Sent<A>
where
    C: Mappable<A>,
    A: Serialize + DeserializeOwned,
    C::Output: Serialize,
{
    fn encode(
        call: &mut Call<'_>,
        f: &C,
        args: impl Iterator<Item = A>,
    ) -> Result<(Self, Load), NotRun> {
        let mut spent = Spent::held();
        let load = call.encode(&mut Args::of(args, &mut spent), f.context())?;
        Ok((Sent { spent }, load))
    }

    fn publish(&self, call: &mut Call<'_>, load: Load) -> Result<Flight> {
        Flight::launch(call.pool(), sent::<C, A>(), load, call.options())
    }

    fn make_way(&mut self, _has_ended: bool) {
        self.spent.drop_one();
    }
}

/// A non-capturing function, in the form that the pool's own workers run.
pub(super) fn sent<C, A>() -> Function
where
    C: Mappable<A>,
    A: DeserializeOwned,
    C::Output: Serialize,
{
    Function::Shipped(C::trampoline())
}

/// The function has state: workers are forked for it, and inherit it and the arguments.
pub(super) struct Kept<C, A> {
    /// Where workers find both. Replacements for dead workers are forked later, and use it too.
    call: Box<Inherited<C, A>>,
    /// The workers move the arguments out of their own copies of this memory.
    args: IntoIter<A>,
}

impl<C, A> Way<C, A> for Kept<C, A>
where
    C: Mappable<A>,
    C::Output: Serialize,
{
    fn encode(
        call: &mut Call<'_>,
        f: &C,
        args: impl Iterator<Item = A>,
    ) -> Result<(Self, Load), NotRun> {
        let args: Vec<A> = args.collect();
        let load = call.keep(args.len())?;
        let args = args.into_iter();
        let call = Box::new(Inherited {
            f,
            args: args.as_slice().as_ptr(),
        });
        Ok((Kept { call, args }, load))
    }

    fn publish(&self, call: &mut Call<'_>, load: Load) -> Result<Flight> {
        let why = C::why_not_shipped;
        let workers = fork_for(call.pool(), self.local_call(), why, load.n_items, None)?;
        call.forked();
        Flight::launch(&workers, Function::Inherited, load, call.options())
    }

    /// A worker that replaces a dead one inherits the arguments again, so they stay until all tasks
    /// have ended.
    fn make_way(&mut self, has_ended: bool) {
        caught::drop_quietly(has_ended.then(|| self.args.next()));
    }
}

impl<C, A> Kept<C, A>
where
    C: Callable<A>,
    C::Output: Serialize,
{
    /// The call that workers run if they are forked while this lives.
    pub(super) fn local_call(&self) -> LocalCall {
        LocalCall {
            run: run_inherited::<C, A, Shm>,
            call: std::ptr::from_ref(&*self.call).cast(),
        }
    }
}

/// A call for workers that inherit only `f` and receive their arguments. `f` must live as long as
/// they do.
pub(super) fn inherited<C, A>(f: &C) -> LocalCall
where
    C: Callable<A>,
    A: DeserializeOwned,
    C::Output: Serialize,
{
    LocalCall {
        run: run_inherited_on_encoded::<C, A, Shm>,
        call: std::ptr::from_ref(f).cast(),
    }
}

/// Forks workers that inherit a call, at most one per item. `why_not_shipped` explains why that is
/// necessary.
pub(super) fn fork_for(
    pool: &Shared,
    call: LocalCall,
    why_not_shipped: fn() -> String,
    n_items: usize,
    inherited: Option<Inheritance>,
) -> Result<Arc<Shared>> {
    let settings = pool.settings();
    settings.check_may_fork(why_not_shipped)?;
    let settings = Settings {
        method: StartMethod::Fork,
        is_auto: false,
        local: Some(call),
        ..settings.clone()
    };
    let n_workers = pool.n_workers().min(n_items);
    Shared::start(settings, n_workers, inherited).map_err(|error| {
        if error.is_multi_threaded() {
            let why = why_not_shipped();
            return error.for_closure(&why, how_to_ship(&why));
        }
        error
    })
}
