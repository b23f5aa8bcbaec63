//! The names of hashbrown that the standard library's own types are made of: rust-analyzer looks no
//! further, and without them it does not know what a map's iterator yields. (The real sources are
//! not part of `rust-src`.)

#![no_std]

use core::marker::PhantomData;

pub struct HashMap<K, V, S, A>(PhantomData<(K, V, S, A)>);
pub struct HashSet<K, S, A>(PhantomData<(K, S, A)>);

pub mod hash_map {
    use core::marker::PhantomData;

    pub use super::HashMap;
    pub struct Iter<'a, K, V>(PhantomData<&'a (K, V)>);
    pub struct IterMut<'a, K, V>(PhantomData<&'a (K, V)>);
    pub struct IntoIter<K, V, A>(PhantomData<(K, V, A)>);
    pub struct Drain<'a, K, V, A>(PhantomData<&'a (K, V, A)>);
    pub struct ExtractIf<'a, K, V, F, A>(PhantomData<&'a (K, V, F, A)>);
    pub struct RustcOccupiedEntry<'a, K, V, A>(PhantomData<&'a (K, V, A)>);
    pub struct RustcVacantEntry<'a, K, V, A>(PhantomData<&'a (K, V, A)>);
}

pub mod hash_set {
    use core::marker::PhantomData;

    pub use super::HashSet;
    pub struct Iter<'a, K>(PhantomData<&'a K>);
    pub struct IntoIter<K, A>(PhantomData<(K, A)>);
    pub struct Drain<'a, K, A>(PhantomData<&'a (K, A)>);
    pub struct ExtractIf<'a, K, F, A>(PhantomData<&'a (K, F, A)>);
}
