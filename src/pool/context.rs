//! A value that all tasks of a map read, sent to each worker once.
//!
//! ```text
//!  owner:   value ── encode, once ──▶ a `ContextMemory` that workers read; each job names what it holds
//!  worker:  decode, once ──▶ &value ──▶ f(&value, item), for each of its items
//! ```
//!
//! Its memory is released once nothing names it any more: neither a job of the call nor, if there
//! is one, the [`Context`].

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::wire::{self, Sink};

/// A context that stays with the workers over many maps.
///
/// A plain value is sent again with each [`map_with`](crate::Pool::map_with); a `Context` is sent
/// once to each pool that uses it, and each worker decodes it once. The workers drop it when its
/// last clone is dropped. Clones are cheap, and other threads may use them.
///
/// It dereferences to its value.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use forklore::{Context, Pool};
///
/// let pool = Pool::with_workers(2)?;
/// let primes = Context::new(vec![2u64, 3, 5, 7, 11, 13]);
/// let divisors = |primes: &Vec<u64>, n: u64| primes.iter().filter(|&p| n % p == 0).count();
/// assert_eq!(pool.map_with(&primes, divisors, [30, 7, 17]), [3, 1, 0]);
/// assert_eq!(pool.map_with(&primes, |primes, i: usize| primes[i], 0..3), [2, 3, 5]);
/// assert_eq!(primes.len(), 6);
/// # Ok(()) }
/// ```
pub struct Context<C>(Arc<Inner<C>>);

struct Inner<C> {
    value: C,
    /// Where it is written: one entry for each memory that still exists.
    written: Mutex<Vec<Arc<Written>>>,
}

impl<C> Context<C> {
    /// A context with this value. Nothing is sent before the first map.
    pub fn new(value: C) -> Context<C> {
        Context(Arc::new(Inner {
            value,
            written: Mutex::default(),
        }))
    }
}

impl<C> Clone for Context<C> {
    fn clone(&self) -> Context<C> {
        Context(Arc::clone(&self.0))
    }
}

impl<C> Deref for Context<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0.value
    }
}

impl<C: fmt::Debug> fmt::Debug for Context<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.0.value).finish()
    }
}

/// What [`map_with`](crate::Pool::map_with) takes as a context: any value that serde can write and
/// read, or a [`Context`] of one.
///
/// Only this library implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to workers as a context",
    label = "this context cannot be sent",
    note = "a context is a value whose type has `#[derive(serde::Serialize, serde::Deserialize)]` \
            and borrows nothing, or a `Context` of one"
)]
pub trait AsContext: Source {
    /// The type that tasks get a reference to.
    type Value: Serialize + DeserializeOwned;

    /// The value.
    fn value(&self) -> &Self::Value;
}

impl<C: Serialize + DeserializeOwned> AsContext for C {
    type Value = C;

    fn value(&self) -> &C {
        self
    }
}

impl<C: Serialize + DeserializeOwned> AsContext for Context<C> {
    type Value = C;

    fn value(&self) -> &C {
        self
    }
}

/// A value that can be written for workers. Sealed: no other crate can implement it.
pub trait Source {
    /// Writes the value into `memory`, or finds it there.
    ///
    /// # Errors
    /// `is_encode()`, or `is_os()` if there is no room.
    fn written(&self, memory: &Arc<dyn ContextMemory>) -> Result<Arc<Written>>;
}

impl<C: Serialize + DeserializeOwned> Source for C {
    fn written(&self, memory: &Arc<dyn ContextMemory>) -> Result<Arc<Written>> {
        Written::new(memory, &mut |sink| wire::encode(self, sink))
    }
}

impl<C: Serialize + DeserializeOwned> Source for Context<C> {
    fn written(&self, memory: &Arc<dyn ContextMemory>) -> Result<Arc<Written>> {
        let Inner { value, written } = &*self.0;
        find_or_write(written, memory, &mut |sink| wire::encode(value, sink))
    }
}

/// Held while the value is encoded, so that only one of several threads encodes it.
fn find_or_write(
    written: &Mutex<Vec<Arc<Written>>>,
    memory: &Arc<dyn ContextMemory>,
    encode: &mut Encode<'_>,
) -> Result<Arc<Written>> {
    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
    written.retain(|written| written.memory.strong_count() > 0);
    let is_there = |written: &&Arc<Written>| written.is_in(memory);
    if let Some(known) = written.iter().find(is_there) {
        return Ok(Arc::clone(known));
    }
    let new = Written::new(memory, encode)?;
    written.push(Arc::clone(&new));
    Ok(new)
}

/// Writes a value's bytes.
pub type Encode<'e> = dyn FnMut(&mut dyn Sink) -> Result<()> + 'e;

/// Where workers find contexts: each transport has its own.
pub trait ContextMemory: Send + Sync {
    /// Writes a context and returns its name: unique among those that exist, and not 0.
    ///
    /// # Errors
    /// Those of `encode`, or if there is no room.
    fn write(&self, encode: &mut Encode<'_>) -> Result<u64>;

    /// Drops a context that no open job names. Workers drop their copies.
    fn forget(&self, name: u64);
}

/// A context in a memory where workers find it. Dropping this drops the context.
pub struct Written {
    name: u64,
    memory: Weak<dyn ContextMemory>,
}

impl Written {
    /// # Errors
    /// As [`ContextMemory::write`], with a message that mentions the context.
    pub(super) fn new(
        memory: &Arc<dyn ContextMemory>,
        encode: &mut Encode<'_>,
    ) -> Result<Arc<Written>> {
        Ok(Arc::new(Written {
            name: memory.write(encode).map_err(Error::of_context)?,
            memory: Arc::downgrade(memory),
        }))
    }

    /// Its name in its memory.
    pub(super) fn name(&self) -> u64 {
        self.name
    }

    fn is_in(&self, memory: &Arc<dyn ContextMemory>) -> bool {
        std::ptr::addr_eq(self.memory.as_ptr(), Arc::as_ptr(memory))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.upgrade() {
            memory.forget(self.name);
        }
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory that only counts.
    #[derive(Default)]
    struct Names(Mutex<(u64, Vec<u64>)>);

    impl Names {
        fn alive(&self) -> Vec<u64> {
            self.0.lock().unwrap().1.clone()
        }
    }

    impl ContextMemory for Names {
        fn write(&self, encode: &mut Encode<'_>) -> Result<u64> {
            encode(&mut Vec::new())?;
            let mut names = self.0.lock().unwrap();
            names.0 += 1;
            let name = names.0;
            names.1.push(name);
            Ok(name)
        }

        fn forget(&self, name: u64) {
            self.0.lock().unwrap().1.retain(|alive| *alive != name);
        }
    }

    #[test]
    fn a_value_is_written_for_each_call_and_a_context_once_for_each_memory() {
        let names = [Arc::new(Names::default()), Arc::new(Names::default())];
        let memories = names
            .clone()
            .map(|names| -> Arc<dyn ContextMemory> { names });
        let value = 7u8;
        let first = value.written(&memories[0]).unwrap();
        let second = value.written(&memories[0]).unwrap();
        assert_eq!(names[0].alive(), [1, 2]);
        drop(first);
        assert_eq!(names[0].alive(), [2]);
        drop(second);

        let context = Context::new(7u8);
        let first = context.written(&memories[0]).unwrap();
        assert_eq!(
            first.name(),
            context.clone().written(&memories[0]).unwrap().name()
        );
        assert_eq!(context.written(&memories[1]).unwrap().name(), 1);
        assert_eq!((names[0].alive(), names[1].alive()), (vec![3], vec![1]));
        drop(context);
        // A job still names the second.
        assert_eq!((names[0].alive(), names[1].alive()), (vec![3], vec![]));
        drop(first);
        assert!(names[0].alive().is_empty());
    }

    #[test]
    fn a_memory_that_is_gone_is_not_looked_for() {
        let context = Context::new(String::new());
        for _ in 0..3 {
            let memory: Arc<dyn ContextMemory> = Arc::new(Names::default());
            context.written(&memory).unwrap();
            assert_eq!(context.0.written.lock().unwrap().len(), 1);
        }
    }

    #[test]
    fn what_cannot_be_written_is_tried_again() {
        let memory: Arc<dyn ContextMemory> = Arc::new(Names::default());
        let written = Mutex::default();
        let refuse = &mut |_: &mut dyn Sink| Err(Error::invalid_input("not now"));
        assert!(find_or_write(&written, &memory, refuse).is_err());
        assert!(find_or_write(&written, &memory, &mut |_| Ok(())).is_ok());
    }
}
