//! A shared number.

use std::fmt;

use crate::error::Result;
use crate::sys::atomic::Ordering;

use super::number::Number;
use super::placed::{Placed, Shareable};

/// A number in memory that is shared with all processes forked later: a counter, a flag, a best
/// result so far.
///
/// Every access is atomic: no process sees half a change, no change is lost, and no killed process
/// can leave a lock behind, because there is none. A [`get`](Value::get) that sees a
/// [`set`](Value::set) also sees what its process had written to other shared memory before.
///
/// # Fork safety
/// Make it before the fork. However a child ends, it leaves the value as it was at its last change.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// let pool = forklore::Pool::with_workers(2)?;
/// let n_even = forklore::Value::new(0u32)?;
/// pool.map(
///     |x: u64| {
///         if x % 2 == 0 {
///             n_even.update(|n| n + 1);
///         }
///     },
///     0..1000,
/// );
/// assert_eq!(n_even.get(), 500);
/// # Ok(()) }
/// ```
pub struct Value<T: Number> {
    cell: Placed<Cell<T>>,
}

#[repr(transparent)]
struct Cell<T: Number>(T::Cell);

// SAFETY: `Number` is sealed, and all its cells are atomics for which zero is a value.
unsafe impl<T: Number> Shareable for Cell<T> {}

impl<T: Number> Value<T> {
    /// A shared number with the initial `value`.
    ///
    /// # Errors
    /// `is_os()` if there is no memory for it: it takes a page.
    pub fn new(value: T) -> Result<Value<T>> {
        let cell = Placed::<Cell<T>>::zeroed()?;
        T::store(&cell.0, value, Ordering::Release);
        Ok(Value { cell })
    }

    /// The current number.
    pub fn get(&self) -> T {
        T::load(&self.cell.0, Ordering::Acquire)
    }

    /// Stores another number.
    pub fn set(&self, value: T) {
        T::store(&self.cell.0, value, Ordering::Release);
    }

    /// Stores another number and returns the old one.
    pub fn swap(&self, value: T) -> T {
        T::swap(&self.cell.0, value)
    }

    /// Replaces the number with what `f` returns for it, and returns the new one.
    ///
    /// No change of another process is lost: if there was one in between, `f` is called again, so
    /// it should have no side effects. `set(get() + 1)`, in contrast, loses changes.
    pub fn update(&self, f: impl FnMut(T) -> T) -> T {
        T::update(&self.cell.0, f).1
    }
}

impl<T: Number> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value").field(&self.get()).finish()
    }
}
