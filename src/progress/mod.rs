//! Progress of an iterator, while it runs.
//!
//! ```
//! let mut sum = 0;
//! for x in forklore::progress(0..1_000) {
//!     sum += x;
//! }
//! assert_eq!(sum, 499_500);
//! ```
//!
//! In a notebook of the forklore kernel the line changes in place; in a terminal there is a bar on
//! standard error ([`indicatif`](https://docs.rs/indicatif)); anywhere else the last state is
//! printed at the end, so that a log has one line and not a thousand. No helper thread is involved:
//! the line moves when the iterator does, at most ten times a second.
//!
//! For a pool's maps, use [`Pool::with_progress`](crate::Pool::with_progress).

mod meter;
mod screen;

pub(crate) use meter::Meter;
pub(crate) use screen::{Line, Screen};

/// Shows the progress of an iterator: items done, items per second, and, if the iterator knows its
/// length, the time left.
///
/// An item counts as done when the next one is requested.
///
/// Output whose reader is gone is dropped silently. (In a notebook of the forklore kernel it
/// panics, as `println!` does.)
///
/// # Example
/// ```
/// use forklore::progress;
///
/// let lengths: Vec<usize> = progress(["fork", "wait"]).label("words").map(str::len).collect();
/// assert_eq!(lengths, [4, 4]);
/// ```
pub fn progress<I: IntoIterator>(items: I) -> Progress<I::IntoIter> {
    let items = items.into_iter();
    let total = match items.size_hint() {
        (least, Some(most)) if least == most => Some(most as u64),
        _ => None,
    };
    Progress {
        items,
        label: String::new(),
        total,
        meter: None,
        is_one_out: false,
    }
}

/// An iterator whose progress is shown. See [`progress`].
#[derive(Debug)]
pub struct Progress<I> {
    items: I,
    label: String,
    total: Option<u64>,
    /// Set from the first item on.
    meter: Option<Meter>,
    /// Whether an item was returned that is not counted yet.
    is_one_out: bool,
}

impl<I> Progress<I> {
    /// Sets the label of the line.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = label.to_owned();
        self
    }

    /// Sets the number of items, for an iterator that does not know its length.
    #[must_use]
    pub fn total(mut self, n: usize) -> Self {
        self.total = Some(n as u64);
        self
    }

    fn meter(&mut self) -> &mut Meter {
        let (label, total) = (&self.label, self.total);
        self.meter.get_or_insert_with(|| Meter::new(label, total))
    }
}

impl<I: Iterator> Iterator for Progress<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let was_out = self.is_one_out;
        let meter = self.meter();
        if was_out {
            meter.advance();
        }
        let item = self.items.next();
        self.is_one_out = item.is_some();
        if item.is_none() {
            self.meter().finish();
        }
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<I: ExactSizeIterator> ExactSizeIterator for Progress<I> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_done_when_the_next_is_asked_for() {
        let mut items = progress([1, 2, 3]);
        assert_eq!(items.len(), 3);
        assert_eq!(items.next(), Some(1));
        assert_eq!(items.meter().done(), 0);
        assert_eq!(items.next(), Some(2));
        assert_eq!(items.meter().done(), 1);
        assert_eq!(
            (items.next(), items.next(), items.next()),
            (Some(3), None, None)
        );
        assert_eq!(items.meter().done(), 3);
    }

    #[test]
    fn an_endless_iterator_has_no_total_unless_set() {
        assert_eq!(progress(0..).total, None);
        assert_eq!(progress(0..).total(7).total, Some(7));
        assert_eq!(progress(vec![(); 5]).total, Some(5));
    }
}
