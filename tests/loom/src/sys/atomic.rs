//! loom's atomics with sequential consistency.
//!
//! loom takes `SeqCst` loads and stores for acquire and release, but knows sequentially consistent
//! fences. So such an operation has fences around it here, which is how processors without an
//! instruction for it do it.

pub(crate) use loom::sync::atomic::{Ordering, fence};

macro_rules! atomics {
    ($($name:ident $number:ty;)*) => { $(
        #[derive(Debug, Default)]
        pub(crate) struct $name(loom::sync::atomic::$name);

        impl $name {
            pub(crate) fn new(value: $number) -> Self {
                $name(loom::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $number {
                before(order);
                self.0.load(if is_total(order) { Ordering::Acquire } else { order })
            }

            pub(crate) fn store(&self, value: $number, order: Ordering) {
                self.0.store(value, if is_total(order) { Ordering::Release } else { order });
                before(order);
            }

            pub(crate) fn fetch_add(&self, value: $number, order: Ordering) -> $number {
                around(order, || self.0.fetch_add(value, weaker(order)))
            }

            pub(crate) fn fetch_sub(&self, value: $number, order: Ordering) -> $number {
                around(order, || self.0.fetch_sub(value, weaker(order)))
            }

            pub(crate) fn fetch_or(&self, value: $number, order: Ordering) -> $number {
                around(order, || self.0.fetch_or(value, weaker(order)))
            }

            pub(crate) fn fetch_update(
                &self, success: Ordering, failure: Ordering, next: impl FnMut($number) -> Option<$number>,
            ) -> Result<$number, $number> {
                self.0.fetch_update(success, failure, next)
            }

            pub(crate) fn swap(&self, value: $number, order: Ordering) -> $number {
                around(order, || self.0.swap(value, weaker(order)))
            }

            pub(crate) fn compare_exchange(
                &self, old: $number, new: $number, success: Ordering, failure: Ordering,
            ) -> Result<$number, $number> {
                let failure = if is_total(failure) { Ordering::Acquire } else { failure };
                around(success, || self.0.compare_exchange(old, new, weaker(success), failure))
            }

            pub(crate) fn compare_exchange_weak(
                &self, old: $number, new: $number, success: Ordering, failure: Ordering,
            ) -> Result<$number, $number> {
                self.compare_exchange(old, new, success, failure)
            }
        }
    )* };
}

atomics! {
    AtomicU32 u32;
    AtomicU64 u64;
}

fn is_total(order: Ordering) -> bool {
    order == Ordering::SeqCst
}

fn weaker(order: Ordering) -> Ordering {
    if is_total(order) {
        Ordering::AcqRel
    } else {
        order
    }
}

fn before(order: Ordering) {
    if is_total(order) {
        fence(Ordering::SeqCst);
    }
}

fn around<R>(order: Ordering, operate: impl FnOnce() -> R) -> R {
    before(order);
    let result = operate();
    before(order);
    result
}
