//! Where a notebook's variables are between its cells: evcxr's, compiled once.
//!
//! evcxr puts the text of such a store into every cell, where a hash map from names to values of any type is most of
//! what the compiler has to do. The forklore kernel puts this module in the text's place. The names, what they do and
//! the lines that are printed are evcxr's; what does not depend on a variable's type is compiled here.

use std::any::{Any, TypeId};
use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::Deref;
use std::sync::Arc;
use std::thread::LocalKey;

/// Printed where an early end with `?` is to be reported.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";
const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";

/// The variables of a session, by name.
pub struct VariableStore {
    variables: HashMap<String, Box<dyn Any>>,
}

impl VariableStore {
    /// Keeps a value.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value));
    }

    /// Whether the variable, if there is one of this name, has the type that the cell expects; says so if not.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Gives a value away.
    ///
    /// # Panics
    ///
    /// If there is no such variable, or it has another type: a cell asks [`VariableStore::check_variable`] first.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast() {
            Ok(value) => *value,
            Err(_) => has_another_type(),
        }
    }

    /// The value of this name, which is made first where it is missing.
    ///
    /// # Panics
    ///
    /// If the variable has another type.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        if !self.variables.contains_key(name) {
            self.put(name, Box::new(Arc::new(create())));
        }
        match self.variables[name].downcast_ref() {
            Some(value) => Arc::clone(value),
            None => has_another_type(),
        }
    }

    #[inline(never)]
    fn put(&mut self, name: &str, value: Box<dyn Any>) {
        self.variables.insert(name.to_owned(), value);
    }

    #[inline(never)]
    fn check(&mut self, name: &str, expected: TypeId) -> bool {
        let Some(value) = self.variables.get(name) else {
            return true;
        };
        let is_same = (**value).type_id() == expected;
        if !is_same {
            eprintln!(
                "The type of the variable {name} was redefined, so it is lost: \
                 a crate that it comes from was compiled again, or its type was defined again."
            );
            println!("{VARIABLE_CHANGED_TYPE}{name}");
        }
        is_same
    }

    #[inline(never)]
    fn take(&mut self, name: &str) -> Box<dyn Any> {
        match self.variables.remove(name) {
            Some(value) => value,
            None => panic!("Variable '{name}' has gone missing"),
        }
    }
}

/// What the kernel makes of a `thread_local!`: a static, which all cells share, where the macro makes a constant that
/// each cell would have for itself.
pub struct Key<T: 'static> {
    /// In a cell, because the compiler would put a constant's value into each cell.
    key: UnsafeCell<LocalKey<T>>,
}

// SAFETY: nothing changes the key once it is made.
unsafe impl<T: 'static> Sync for Key<T> {}

impl<T: 'static> Key<T> {
    /// Gives all cells the key that one of them has made.
    pub const fn new(key: LocalKey<T>) -> Key<T> {
        Key {
            key: UnsafeCell::new(key),
        }
    }
}

impl<T: 'static> Deref for Key<T> {
    type Target = LocalKey<T>;

    fn deref(&self) -> &LocalKey<T> {
        // SAFETY: nothing changes it, so there is no other way to it than this one, which reads.
        unsafe { &*self.key.get() }
    }
}

/// What a cell ends with where `?` meets an error, which is shown.
pub struct EvcxrUserCodeError {}

impl<T: Display> From<T> for EvcxrUserCodeError {
    fn from(error: T) -> Self {
        eprintln!("{error}");
        println!("{USER_ERROR_OCCURRED}");
        EvcxrUserCodeError {}
    }
}

#[cold]
#[inline(never)]
fn has_another_type() -> ! {
    panic!("Variable changed type")
}

/// An empty store, which nobody ever frees: the cells hand its address on.
#[inline(never)]
pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::new(VariableStore {
        variables: HashMap::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> VariableStore {
        VariableStore {
            variables: HashMap::new(),
        }
    }

    #[test]
    fn a_variable_is_taken_as_it_was_put() {
        let mut store = empty();
        store.put_variable("words", vec!["a".to_owned()]);
        assert!(store.check_variable::<Vec<String>>("words"));
        assert_eq!(store.take_variable::<Vec<String>>("words"), ["a"]);
        assert!(store.variables.is_empty());
    }

    #[test]
    fn another_type_is_noticed_and_what_is_not_there_is_no_mistake() {
        let mut store = empty();
        store.put_variable("a", 1_u8);
        assert!(!store.check_variable::<u16>("a"));
        assert!(store.check_variable::<u16>("b"));
    }

    #[test]
    fn a_key_is_the_thread_s_own() {
        thread_local! { static COUNT: std::cell::Cell<u8> = const { std::cell::Cell::new(1) }; }
        static SHARED: Key<std::cell::Cell<u8>> = Key::new(COUNT);
        SHARED.set(2);
        assert_eq!(COUNT.get(), 2);
        assert_eq!(std::thread::spawn(|| SHARED.get()).join().unwrap(), 1);
    }

    #[test]
    fn what_is_shared_is_made_once() {
        let mut store = empty();
        let first = store.lazy_arc("runtime", || 1_u8);
        let second = store.lazy_arc("runtime", || 2_u8);
        assert!(Arc::ptr_eq(&first, &second));
    }
}
