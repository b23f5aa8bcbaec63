//! A set of items, one bit for each.

/// Which of `n` items are in the set.
pub(super) struct Bits {
    words: Vec<u64>,
    n: usize,
    n_set: usize,
}

impl Bits {
    pub(in crate::pool) fn new(n: usize) -> Bits {
        Bits {
            words: vec![0; n.div_ceil(64)],
            n,
            n_set: 0,
        }
    }

    #[inline]
    pub(in crate::pool) fn has(&self, item: usize) -> bool {
        item < self.n && self.words[item / 64] & (1 << (item % 64)) != 0
    }

    /// Adds an item; false if it was there already or is none of the items.
    #[inline]
    pub(in crate::pool) fn set(&mut self, item: usize) -> bool {
        if item >= self.n || self.has(item) {
            return false;
        }
        self.words[item / 64] |= 1 << (item % 64);
        self.n_set += 1;
        true
    }

    /// Adds `first .. first + n`; false, and nothing is added, if one was there or is none.
    pub(super) fn set_range(&mut self, first: usize, n: usize) -> bool {
        let Some(end) = first.checked_add(n).filter(|&end| end <= self.n) else {
            return false;
        };
        if masks(first, end).any(|(word, mask)| self.words[word] & mask != 0) {
            return false;
        }
        for (word, mask) in masks(first, end) {
            self.words[word] |= mask;
        }
        self.n_set += n;
        true
    }

    /// Whether every item is in the set.
    pub(in crate::pool) fn is_full(&self) -> bool {
        self.n_set == self.n
    }

    /// The items that are not in the set.
    pub(super) fn holes(&self) -> impl Iterator<Item = usize> {
        (0..self.n).filter(|&item| !self.has(item))
    }
}

/// The words that `first .. end` touches, and which bits of them.
fn masks(first: usize, end: usize) -> impl Iterator<Item = (usize, u64)> {
    (first / 64..end.div_ceil(64))
        .map(move |word| {
            let low = first.saturating_sub(word * 64).min(64);
            let high = (end - word * 64).min(64);
            let below = |bit: usize| if bit == 64 { u64::MAX } else { (1 << bit) - 1 };
            (word, below(high) & !below(low))
        })
        .filter(|&(_, mask)| mask != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_is_its_items(n in 0usize..300, first in 0usize..310, length in 0usize..310) {
            let mut bits = Bits::new(n);
            let fits = first + length <= n;
            prop_assert_eq!(bits.set_range(first, length), fits);
            for item in 0..n {
                prop_assert_eq!(bits.has(item), fits && item >= first && item < first + length);
            }
            prop_assert_eq!(bits.is_full(), bits.holes().next().is_none());
        }
    }

    #[test]
    fn nothing_is_added_twice() {
        let mut bits = Bits::new(130);
        assert!(bits.set(64));
        assert!(!bits.set(64));
        assert!(!bits.set(130));
        assert!(!bits.set_range(0, 65));
        assert!(bits.set_range(65, 65));
        assert!(bits.set_range(0, 64));
        assert!(bits.is_full());
    }
}
