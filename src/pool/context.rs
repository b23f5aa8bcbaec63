//! A value that all tasks of a map read, and that is sent to each worker once.
//!
//! ```text
//!  owner:   value ── encode, once ──▶ a `ContextMemory` that workers read; each job names what it holds
//!  worker:  decode, once ──▶ &value ──▶ f(&value, item), for each of its items
//! ```
//!
//! What was written is given back when the last that names it is gone: the jobs of the call, and
//! the [`Context`], if it is one.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::wire::{self, Sink};

/// A context that stays with the workers over many maps.
///
/// A plain value is sent again with each [`map_with`](crate::Pool::map_with); this one once to each
/// pool that it is used with, and each worker decodes it once in its life. The workers forget it
/// when it is dropped, all its clones included. Clones are cheap, and may be used by other threads.
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
    /// Where it was written, once for each memory that is still there.
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
    /// What tasks get a reference to.
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

/// Something that can be written down for workers. What no other crate can implement.
pub trait Source {
    /// Writes it into `memory`, or finds it there.
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

/// Held while it is encoded: of threads that come at the same time, one encodes.
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
    /// Writes a context down, under a name that no other that is there has. It is not 0.
    ///
    /// # Errors
    /// What `encode` says, or that there is no room.
    fn write(&self, encode: &mut Encode<'_>) -> Result<u64>;

    /// Forgets one: no job that names it is open. Workers drop what they have of it.
    fn forget(&self, name: u64);
}

/// A context where workers find it. It is forgotten when this is dropped.
pub struct Written {
    name: u64,
    memory: Weak<dyn ContextMemory>,
}

impl Written {
    /// # Errors
    /// As [`ContextMemory::write`]; they say that it was the context.
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
        // A job still names it.
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
