//! Copies of variables that own their content and share it with nothing.
//!
//! A second handle to something shared would not be a mere copy but a change: a channel with one
//! more sender does not end, an `Arc` with one more owner cannot be unwrapped. So `Clone` is not
//! enough, and the types are listed by name.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::Variable;

/// A copy of the variable, if it fits into the rest of the budget.
pub(super) fn of(variable: &Variable, budget_bytes: &mut usize) -> Option<Variable> {
    let value = &*variable.value;
    let copied = match variable.copy {
        Some(copy) => {
            *budget_bytes = budget_bytes.checked_sub(size_of_val(value))?;
            copy(value)
        }
        None => of_known(value, budget_bytes)?,
    };
    Some(Variable {
        value: copied,
        copy: variable.copy,
        threads_of: variable.threads_of,
    })
}

/// The number of bytes that a copy of a value takes.
trait Owned: Clone + 'static {
    fn n_bytes(&self) -> usize;
}

/// Tries these types, and returns the copy if one matches.
macro_rules! try_each {
    ($value:expr, $budget:expr; $($type:ty),* $(,)?) => {
        $(if let Some(value) = $value.downcast_ref::<$type>() {
            *$budget = $budget.checked_sub(value.n_bytes())?;
            return Some(Box::new(value.clone()));
        })*
    };
}

/// Copies a value of a type that owns memory.
fn of_known(value: &dyn Any, budget: &mut usize) -> Option<Box<dyn Any>> {
    macro_rules! lists {
        ($($item:ty),*) => {
            try_each!(value, budget; $(Vec<$item>, Vec<Vec<$item>>),*)
        };
    }
    macro_rules! maps {
        ($($key:ty),*) => {
            try_each!(value, budget; $(
                HashMap<$key, i32>, HashMap<$key, u32>, HashMap<$key, u64>, HashMap<$key, usize>,
                HashMap<$key, f64>, HashMap<$key, String>,
                BTreeMap<$key, i32>, BTreeMap<$key, u32>, BTreeMap<$key, u64>, BTreeMap<$key, usize>,
                BTreeMap<$key, f64>, BTreeMap<$key, String>,
                HashSet<$key>, BTreeSet<$key>
            ),*)
        };
    }
    lists!(i32, f64, u64, usize, u8, String);
    try_each!(value, budget; String, Option<String>, Vec<i64>, Vec<u32>, Vec<f32>, Vec<bool>, Vec<char>, Vec<&'static str>,
        VecDeque<i32>, VecDeque<u64>, VecDeque<usize>, VecDeque<String>);
    maps!(String, &'static str, i32);
    None
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Owned for $type {
            fn n_bytes(&self) -> usize {
                size_of::<$type>()
            }
        })*
    };
}

plain!(
    i32,
    i64,
    u8,
    u32,
    u64,
    usize,
    f32,
    f64,
    bool,
    char,
    &'static str
);

impl Owned for String {
    fn n_bytes(&self) -> usize {
        size_of::<String>() + self.len()
    }
}

impl<T: Owned> Owned for Option<T> {
    fn n_bytes(&self) -> usize {
        self.as_ref().map_or(0, Owned::n_bytes)
    }
}

/// A collection's bytes are those of its items.
macro_rules! collections {
    ($($name:ident),*) => {
        $(impl<T: Owned> Owned for $name<T>
        where
            $name<T>: Clone,
        {
            fn n_bytes(&self) -> usize {
                self.iter().map(Owned::n_bytes).sum()
            }
        })*
    };
}

collections!(Vec, VecDeque, HashSet, BTreeSet);

macro_rules! maps {
    ($($name:ident),*) => {
        $(impl<K: Owned, V: Owned> Owned for $name<K, V> {
            fn n_bytes(&self) -> usize {
                let entries = self.iter();
                entries.map(|(key, value)| key.n_bytes() + value.n_bytes()).sum()
            }
        })*
    };
}

maps!(HashMap, BTreeMap);
