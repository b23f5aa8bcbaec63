//! A shared array of numbers.

use std::fmt;
use std::ops::{Bound, Range, RangeBounds};

use crate::error::{Error, Result};
use crate::sys::atomic::Ordering;
use crate::sys::region::Region;

use super::number::Number;

/// An array of numbers in memory that is shared with all processes forked later.
///
/// Workers write their results in place; nothing is encoded, sent or copied.
///
/// # What is synchronised
/// Each element by itself: an element is read and written whole, and
/// [`update`](SharedArray::update) loses no change. Nothing more: a process that reads while
/// another writes may see some new elements and some old ones, in any order. The end of a map, a
/// [`Lock`](crate::Lock), an [`Event`](crate::Event) and a message order everything before them, so
/// the usual pattern needs no care: each worker writes its own elements, the map returns, the
/// caller reads.
///
/// The accesses are relaxed atomics: the same machine instructions as plain ones, but the compiler
/// does not vectorise them. A loop that depends on vector instructions works on a copy
/// ([`read`](SharedArray::read), [`write`](SharedArray::write)) or on
/// [`as_slice`](SharedArray::as_slice), which is `unsafe`, because nothing proves that no process
/// writes.
///
/// # Fork safety
/// Make it before the fork. The first write to a page takes its memory; if none is left, Linux
/// kills a process, as with all memory.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use forklore::{Pool, SharedArray};
///
/// let pool = Pool::with_workers(2)?;
/// let input = SharedArray::<f64>::from_slice(&[1.0, 4.0, 9.0, 16.0])?;
/// let roots = SharedArray::<f64>::zeroed(4)?;
/// pool.map(|i: usize| roots.set(i, input.get(i).sqrt()), 0..4);
/// assert_eq!(roots.to_vec(), [1.0, 2.0, 3.0, 4.0]);
/// # Ok(()) }
/// ```
pub struct SharedArray<T: Number> {
    region: Region,
    length: usize,
    cells: std::marker::PhantomData<T::Cell>,
}

// SAFETY: the memory is used only through atomics; the region is an address and a length, and
// unmapped by the thread that drops it.
unsafe impl<T: Number> Send for SharedArray<T> {}
// SAFETY: as above.
unsafe impl<T: Number> Sync for SharedArray<T> {}

impl<T: Number> SharedArray<T> {
    /// An array of `n` zeros (`false` for `bool`).
    ///
    /// # Errors
    /// `is_invalid_input()` if no address space is that large, `is_os()` if the OS refuses.
    pub fn zeroed(n: usize) -> Result<SharedArray<T>> {
        let bytes = n
            .checked_mul(size_of::<T>())
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .ok_or_else(|| {
                Error::invalid_input(format!(
                    "an array of {n} numbers of {} bytes is larger than any memory",
                    size_of::<T>()
                ))
            })?;
        Ok(SharedArray {
            region: Region::exactly(bytes.max(1))?,
            length: n,
            cells: std::marker::PhantomData,
        })
    }

    /// An array with a copy of a slice's numbers.
    ///
    /// # Errors
    /// As [`zeroed`](SharedArray::zeroed).
    pub fn from_slice(numbers: &[T]) -> Result<SharedArray<T>> {
        let array = SharedArray::zeroed(numbers.len())?;
        array.write(0, numbers);
        Ok(array)
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the array is empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The number at `index`.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    #[track_caller]
    pub fn get(&self, index: usize) -> T {
        T::load(&self.cells()[index], Ordering::Relaxed)
    }

    /// Stores a number at `index`.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    #[track_caller]
    pub fn set(&self, index: usize, value: T) {
        T::store(&self.cells()[index], value, Ordering::Relaxed);
    }

    /// Replaces the number at `index` with what `f` returns for it, and returns the new one. No
    /// change of another process is lost: if there was one in between, `f` is called again.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let histogram = forklore::SharedArray::<u32>::zeroed(10)?;
    /// pool.map(|x: usize| { histogram.update(x % 10, |n| n + 1); }, 0..1000);
    /// assert_eq!(histogram.to_vec(), [100; 10]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn update(&self, index: usize, f: impl FnMut(T) -> T) -> T {
        T::update(&self.cells()[index], f).1
    }

    /// Stores the same number in every element.
    pub fn fill(&self, value: T) {
        for cell in self.cells() {
            T::store(cell, value, Ordering::Relaxed);
        }
    }

    /// A copy of all numbers.
    pub fn to_vec(&self) -> Vec<T> {
        self.iter().collect()
    }

    /// A copy of the numbers in a range.
    ///
    /// # Panics
    /// If the range reaches beyond the end.
    #[track_caller]
    pub fn read(&self, range: impl RangeBounds<usize>) -> Vec<T> {
        let cells = &self.cells()[self.range(range)];
        let load = |cell| T::load(cell, Ordering::Relaxed);
        cells.iter().map(load).collect()
    }

    /// Copies a slice's numbers into the array, from `start` on.
    ///
    /// # Panics
    /// If the slice reaches beyond the end.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let array = forklore::SharedArray::<u32>::zeroed(8)?;
    /// // Each task computes a part in memory of its own and puts it down in one go.
    /// pool.map(|part: usize| array.write(4 * part, &[part as u32; 4]), 0..2);
    /// assert_eq!(array.read(2..6), [0, 0, 1, 1]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn write(&self, start: usize, numbers: &[T]) {
        let cells = &self.cells()[start..];
        assert!(
            numbers.len() <= cells.len(),
            "{} numbers from index {start} on do not fit into {}",
            numbers.len(),
            self.length
        );
        for (cell, number) in cells.iter().zip(numbers) {
            T::store(cell, *number, Ordering::Relaxed);
        }
    }

    /// Iterates over the numbers, each read when the iterator reaches it.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator + '_ {
        let load = |cell| T::load(cell, Ordering::Relaxed);
        self.cells().iter().map(load)
    }

    /// The numbers as a slice, without a copy.
    ///
    /// # Safety
    /// While the slice lives, no process may write to the array. After a map has returned, the
    /// processes that it forked are gone; other forked processes may not be.
    pub unsafe fn as_slice(&self) -> &[T] {
        // SAFETY: the memory holds `length` numbers; a cell has its number's size, no more than
        // its alignment, and its bytes; that no process writes is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.base().cast::<T>(), self.length) }
    }

    /// A range of the numbers as a mutable slice.
    ///
    /// # Safety
    /// While the slice lives, nothing else may read or write that range: no other process, no other
    /// slice, no other method call.
    ///
    /// # Panics
    /// If the range reaches beyond the end.
    #[track_caller]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice_mut(&self, range: impl RangeBounds<usize>) -> &mut [T] {
        let Range { start, end } = self.range(range);
        assert!(start <= end && end <= self.length);
        // SAFETY: the part lies inside of the memory; see `as_slice`; that it has no other user is
        // the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.base().cast::<T>().add(start), end - start) }
    }

    fn cells(&self) -> &[T::Cell] {
        // SAFETY: the region holds `length` cells, which are atomics, were zero at first, and live
        // as long as `self`; it begins with a page, which is aligned for all of them.
        unsafe { std::slice::from_raw_parts(self.base().cast::<T::Cell>(), self.length) }
    }

    fn base(&self) -> *mut u8 {
        self.region.base().as_ptr()
    }

    fn range(&self, range: impl RangeBounds<usize>) -> Range<usize> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.length,
        };
        start..end
    }
}

impl<T: Number> fmt::Debug for SharedArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
