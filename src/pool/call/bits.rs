//! A set of items, with one bit for each.

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

    /// Adds an item; false if the set has it already or it is out of range.
    #[inline]
    pub(in crate::pool) fn set(&mut self, item: usize) -> bool {
        if item >= self.n || self.has(item) {
            return false;
        }
        self.words[item / 64] |= 1 << (item % 64);
        self.n_set += 1;
        true
    }

    /// Removes an item; false if the set did not have it.
    pub(super) fn unset(&mut self, item: usize) -> bool {
        let had = self.has(item);
        if had {
            self.words[item / 64] &= !(1 << (item % 64));
            self.n_set -= 1;
        }
        had
    }

    /// The number of items that could be in the set.
    pub(super) fn len(&self) -> usize {
        self.n
    }

    /// Adds `first .. first + n`; false, and nothing is added, if the set has one of them already
    /// or one is out of range.
    pub(super) fn set_range(&mut self, first: usize, n: usize) -> bool {
        let Some(end) = first.checked_add(n).filter(|&end| end <= self.n) else {
            return false;
        };
        if n == 0 {
            return true;
        }
        // A partial word, full words, and another partial word, which may be the same as the first.
        let (start, last) = (first / 64, (end - 1) / 64);
        let mut from_first = u64::MAX << (first % 64);
        let mut to_last = u64::MAX >> (63 - (end - 1) % 64);
        if start == last {
            from_first &= to_last;
            to_last = from_first;
        }
        let words = &mut self.words[start..=last];
        let ends = words[0] & from_first | words[last - start] & to_last;
        let inner = 1..(last - start).max(1);
        if ends != 0 || words[inner.clone()].iter().any(|&word| word != 0) {
            return false;
        }
        words[inner].fill(u64::MAX);
        words[0] |= from_first;
        words[last - start] |= to_last;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_is_its_items(
            n in 0usize..300, first in 0usize..310, length in 0usize..310, taken in 0usize..310,
        ) {
            let mut bits = Bits::new(n);
            bits.set(taken);
            let range = first..first + length;
            let fits = range.end <= n && !range.contains(&taken);
            prop_assert_eq!(bits.set_range(first, length), fits);
            for item in 0..n {
                prop_assert_eq!(bits.has(item), item == taken || fits && range.contains(&item));
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
        assert!(bits.unset(129) && !bits.unset(129) && !bits.unset(130));
        assert!(!bits.has(129) && !bits.is_full());
    }
}
