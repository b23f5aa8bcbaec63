//! A lock that is released before a subscriber gets the events that happened under it.

use std::ops::{Deref, DerefMut};

use super::Told;

/// A value that records its own events.
pub(in crate::pool) trait Eventful {
    /// Takes the events that were not emitted yet.
    fn take_events(&mut self) -> Told;
}

/// A guard of an [`Eventful`] value. It emits the events after it has released the lock, so that a
/// subscriber finds the lock free.
pub(in crate::pool) struct Telling<G>
where
    G: DerefMut<Target: Eventful>,
{
    // Fields are dropped in this order.
    guard: G,
    told: Told,
}

impl<G> Telling<G>
where
    G: DerefMut<Target: Eventful>,
{
    pub(in crate::pool) fn after(guard: G) -> Telling<G> {
        let told = Told::nothing();
        Telling { guard, told }
    }
}

impl<G> Drop for Telling<G>
where
    G: DerefMut<Target: Eventful>,
{
    fn drop(&mut self) {
        self.told = self.guard.take_events();
    }
}

impl<G> Deref for Telling<G>
where
    G: DerefMut<Target: Eventful>,
{
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G> DerefMut for Telling<G>
where
    G: DerefMut<Target: Eventful>,
{
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}
