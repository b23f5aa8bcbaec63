//! Stores a notebook's variables between its cells: evcxr's store, compiled once.
//!
//! evcxr inserts the source of such a store into every cell, and compiling its hash map from names
//! to values of any type is most of the compiler's work. The forklore kernel uses this module
//! instead. The names, their behaviour and the printed lines are evcxr's; code that does not depend
//! on a variable's type is compiled here.

use std::any::{Any, TypeId};
use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake};
use std::thread::{LocalKey, Thread};

mod copy;
mod failed;

pub use failed::{EvcxrUserCodeError, Panicked, catch};

/// Printed to report an early return by `?`.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";
const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";

/// The name of a session's tokio runtime.
const RUNTIME: &str = "evcxr_tokio_runtime";

/// The variables of a session, by name.
#[repr(C)]
pub struct VariableStore {
    /// The first field: the kernel's process, which does not know the type, finds it at the store's
    /// address.
    handle: Handle,
    variables: HashMap<String, Variable>,
    /// Copies of variables that the running cell may change.
    guarded: Vec<(String, Variable)>,
}

/// A store's interface for the process that runs the cells. The kernel has the same definition.
#[repr(C)]
struct Handle {
    mark: u64,
    guard: unsafe extern "C" fn(*mut VariableStore, *mut u8, usize) -> usize,
    settle: unsafe extern "C" fn(*mut VariableStore, bool),
}

/// Distinguishes a store of this module from evcxr's own.
const MARK: u64 = u64::from_le_bytes(*b"forkl-01");

type Copy = fn(&dyn Any) -> Box<dyn Any>;

struct Variable {
    value: Box<dyn Any>,
    /// Copies a value by its bytes.
    copy: Option<Copy>,
    /// The process with the threads that the value depends on.
    threads_of: Option<u32>,
}

/// Values that depend on their threads: a cell that uses or drops one after these have ended would
/// wait for them forever.
const THREADED: [&str; 2] = [
    "tokio::runtime::runtime::Runtime",
    "rayon_core::thread_pool::ThreadPool",
];

/// The process of the threads that a value of this type has started, if it is of such a type.
fn process_of_threads(type_name: &str) -> Option<u32> {
    let is_threaded = THREADED.iter().any(|name| type_name.contains(name));
    is_threaded.then(std::process::id)
}

/// How a tokio runtime is stored, and what made it.
struct Shared<T> {
    maker: Maker,
    value: Arc<T>,
}

/// The process, because a runtime's threads exist nowhere else; and the address of the code that
/// made it, because cells that are linked with their own tokio know only the threads that their
/// tokio started.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Maker {
    pid: u32,
    code: usize,
}

impl VariableStore {
    /// Stores a value.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        let copy = match std::mem::needs_drop::<T>() {
            true => None,
            false => Some(copy_bits::<T> as Copy),
        };
        self.put(name, Box::new(value), copy, std::any::type_name::<T>());
    }

    /// Whether the variable, if there is one with this name, has the type that the cell expects and
    /// is still valid; prints a message if not.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Takes a value out of the store.
    ///
    /// # Panics
    ///
    /// If there is no such variable, or it has another type: a cell calls
    /// [`VariableStore::check_variable`] first.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast() {
            Ok(value) => *value,
            Err(_) => has_another_type(),
        }
    }

    /// As evcxr's: the value of this name, created if it is missing.
    ///
    /// # Panics
    ///
    /// If the variable has another type.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        // Each cell has its own `F`, and so its own copy of this.
        self.shared(name, Self::lazy_arc::<T, F> as *const () as usize, create)
    }

    /// The session's tokio runtime. It is created if it is missing, and created again in another
    /// process or by the code of another tokio. The previous one is never dropped: tasks may still
    /// run on it, or the drop would wait for threads that no longer exist.
    ///
    /// # Panics
    ///
    /// If no runtime can be created.
    pub fn runtime<T: 'static>(&mut self, create: fn() -> io::Result<T>) -> Arc<Mutex<T>> {
        self.shared(RUNTIME, create as usize, || match create() {
            Ok(runtime) => Mutex::new(runtime),
            Err(error) => panic!("no tokio runtime for `.await`: {error}"),
        })
    }

    fn shared<T: 'static>(
        &mut self,
        name: &str,
        code: usize,
        create: impl FnOnce() -> T,
    ) -> Arc<T> {
        let pid = std::process::id();
        let maker = Maker { pid, code };
        if let Some(kept) = self.variables.get(name) {
            match kept.value.downcast_ref::<Shared<T>>() {
                Some(shared) if shared.maker == maker => return Arc::clone(&shared.value),
                // Another tokio's runtime has another type.
                _ => std::mem::forget(self.variables.remove(name)),
            }
        }
        let value = Arc::new(create());
        let shared = Shared {
            maker,
            value: Arc::clone(&value),
        };
        self.put(name, Box::new(shared), None, "");
        value
    }

    #[inline(never)]
    fn put(&mut self, name: &str, value: Box<dyn Any>, copy: Option<Copy>, type_name: &str) {
        let variable = Variable {
            value,
            copy,
            threads_of: process_of_threads(type_name),
        };
        self.variables.insert(name.to_owned(), variable);
    }

    #[inline(never)]
    fn check(&mut self, name: &str, expected: TypeId) -> bool {
        let Some(variable) = self.variables.get(name) else {
            return true;
        };
        if variable
            .threads_of
            .is_some_and(|pid| pid != std::process::id())
        {
            // Its drop would wait for them.
            std::mem::forget(self.variables.remove(name));
            eprintln!(
                "The variable {name} is lost: its threads ended when a cell was rolled back. \
                 Run the cell that makes it again."
            );
            println!("{VARIABLE_CHANGED_TYPE}{name}");
            return false;
        }
        let is_same = (*variable.value).type_id() == expected;
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
            Some(variable) => variable.value,
            None => panic!("Variable '{name}' has gone missing"),
        }
    }

    /// Copies those variables of these names that can be copied; returns their names.
    fn guard(&mut self, names: &str) -> String {
        let mut budget_bytes = GUARDED_BYTES;
        let mut guarded = Vec::new();
        for name in names.split(' ') {
            let copy = |variable: &Variable| copy::of(variable, &mut budget_bytes);
            if let Some(variable) = self.variables.get(name).and_then(copy) {
                self.guarded.push((name.to_owned(), variable));
                guarded.push(name);
            }
        }
        guarded.join(" ")
    }

    /// After the cell: restores the variables from their copies, or discards the copies.
    fn settle(&mut self, restores: bool) {
        for (name, variable) in self.guarded.drain(..) {
            if restores {
                self.variables.insert(name, variable);
            }
        }
    }
}

/// The maximum that is copied before a cell: a few milliseconds' worth.
const GUARDED_BYTES: usize = 16 << 20;

fn copy_bits<T: 'static>(value: &dyn Any) -> Box<dyn Any> {
    match value.downcast_ref::<T>() {
        // SAFETY: `put_variable` sets this only for a type without a destructor: it owns nothing,
        // so a second copy is harmless.
        Some(value) => Box::new(unsafe { std::ptr::read(value) }),
        None => has_another_type(),
    }
}

unsafe extern "C" fn guard(store: *mut VariableStore, names: *mut u8, n_bytes: usize) -> usize {
    // SAFETY: the kernel passes the store that a cell returned, while none runs, and a buffer of
    // its own.
    let (store, names) = unsafe { (&mut *store, std::slice::from_raw_parts_mut(names, n_bytes)) };
    let guarded = store.guard(&String::from_utf8_lossy(names));
    // The result is a subset of the names, so there is room.
    names[..guarded.len()].copy_from_slice(guarded.as_bytes());
    guarded.len()
}

unsafe extern "C" fn settle(store: *mut VariableStore, restores: bool) {
    // SAFETY: as above.
    unsafe { (*store).settle(restores) };
}

/// The kernel turns a `thread_local!` into this: a static that all cells share. The macro's
/// constant would be separate in each cell.
pub struct Key<T: 'static> {
    /// In an `UnsafeCell`, because the compiler would copy a constant's value into each notebook
    /// cell.
    key: UnsafeCell<LocalKey<T>>,
}

// SAFETY: nothing changes the key once it is made.
unsafe impl<T: 'static> Sync for Key<T> {}

impl<T: 'static> Key<T> {
    /// Shares one cell's key with all cells.
    pub const fn new(key: LocalKey<T>) -> Key<T> {
        Key {
            key: UnsafeCell::new(key),
        }
    }
}

impl<T: 'static> Deref for Key<T> {
    type Target = LocalKey<T>;

    fn deref(&self) -> &LocalKey<T> {
        // SAFETY: nothing changes it; this is the only access, and it reads.
        unsafe { &*self.key.get() }
    }
}

#[cold]
#[inline(never)]
fn has_another_type() -> ! {
    panic!("Variable changed type")
}

/// Replaces evcxr's tokio runtime in cells that do not await.
pub struct Now;

impl Now {
    /// Runs a future to completion: one that is never pending, or any other that needs nothing from
    /// a runtime.
    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let mut future = std::pin::pin!(future);
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            std::thread::park();
        }
    }
}

/// Locks a mutex whose value no panic can leave inconsistent, such as a runtime.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty store. It is never freed, because the cells pass on its address.
#[inline(never)]
pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::new(empty()))
}

fn empty() -> VariableStore {
    VariableStore {
        handle: Handle {
            mark: MARK,
            guard,
            settle,
        },
        variables: HashMap::new(),
        guarded: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
