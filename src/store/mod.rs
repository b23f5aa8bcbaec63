//! Where a notebook's variables are between its cells: evcxr's, compiled once.
//!
//! evcxr puts the text of such a store into every cell, where a hash map from names to values of
//! any type is most of what the compiler has to do. The forklore kernel compiles this module
//! instead of the text. The names, what they do and the lines that are printed are evcxr's; what
//! does not depend on a variable's type is compiled here.

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

/// Printed where an early end with `?` is to be reported.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";
const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";

/// The name of a session's tokio runtime.
const RUNTIME: &str = "evcxr_tokio_runtime";

/// The variables of a session, by name.
#[repr(C)]
pub struct VariableStore {
    /// First: the kernel's process, which does not know the type, finds it at the store's address.
    handle: Handle,
    variables: HashMap<String, Variable>,
    /// Copies of what the cell that runs may change.
    guarded: Vec<(String, Variable)>,
}

/// What the process that runs the cells may do with a store. The kernel has the same definition.
#[repr(C)]
struct Handle {
    mark: u64,
    guard: unsafe extern "C" fn(*mut VariableStore, *mut u8, usize) -> usize,
    settle: unsafe extern "C" fn(*mut VariableStore, bool),
}

/// Tells a store of this module from evcxr's own.
const MARK: u64 = u64::from_le_bytes(*b"forkl-01");

type Copy = fn(&dyn Any) -> Box<dyn Any>;

struct Variable {
    value: Box<dyn Any>,
    /// Copies a value whose bytes are all of it.
    copy: Option<Copy>,
    /// The process that has the threads without which the value is nothing.
    threads_of: Option<u32>,
}

/// Values that are nothing without their threads: a cell that uses or drops one after these have
/// ended waits for them forever.
const THREADED: [&str; 2] = [
    "tokio::runtime::runtime::Runtime",
    "rayon_core::thread_pool::ThreadPool",
];

/// The process of the threads that a value of this type has started, if it is of such a type.
fn process_of_threads(type_name: &str) -> Option<u32> {
    let is_threaded = THREADED.iter().any(|name| type_name.contains(name));
    is_threaded.then(std::process::id)
}

/// What a tokio runtime is kept as, and who made it.
struct Shared<T> {
    maker: Maker,
    value: Arc<T>,
}

/// The process, because a runtime's threads are nowhere else; and where in memory the code is that
/// made it, because cells that are linked with a tokio of their own know only the threads that this
/// one has started.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Maker {
    pid: u32,
    code: usize,
}

impl VariableStore {
    /// Keeps a value.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        let copy = match std::mem::needs_drop::<T>() {
            true => None,
            false => Some(copy_bits::<T> as Copy),
        };
        self.put(name, Box::new(value), copy, std::any::type_name::<T>());
    }

    /// Whether the variable, if there is one of this name, has the type that the cell expects, and
    /// still is what it was; says so if not.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Gives a value away.
    ///
    /// # Panics
    ///
    /// If there is no such variable, or it has another type: a cell asks
    /// [`VariableStore::check_variable`] first.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast() {
            Ok(value) => *value,
            Err(_) => has_another_type(),
        }
    }

    /// As evcxr's: the value of this name, which is made where it is missing.
    ///
    /// # Panics
    ///
    /// If the variable has another type.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        // Each cell has its own `F`, and so its own copy of this.
        self.shared(name, Self::lazy_arc::<T, F> as *const () as usize, create)
    }

    /// The session's tokio runtime, which is made where it is missing, and made again in another
    /// process and by the code of another tokio. The one before is never dropped: tasks may still
    /// run on it, or its threads may be gone and would be waited for.
    ///
    /// # Panics
    ///
    /// If no runtime can be made.
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
                // Of another tokio, the type is another one too.
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

    /// Copies the variables of these names, as far as they can be copied; gives the names of those.
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

    /// The cell has ended: puts the copies back for what it has left, or throws them away.
    fn settle(&mut self, restores: bool) {
        for (name, variable) in self.guarded.drain(..) {
            if restores {
                self.variables.insert(name, variable);
            }
        }
    }
}

/// The most that is copied before a cell: a few milliseconds' worth.
const GUARDED_BYTES: usize = 16 << 20;

fn copy_bits<T: 'static>(value: &dyn Any) -> Box<dyn Any> {
    match value.downcast_ref::<T>() {
        // SAFETY: `put_variable` asks this only of a type that is not dropped: it owns nothing, so
        // two of it are no more than one.
        Some(value) => Box::new(unsafe { std::ptr::read(value) }),
        None => has_another_type(),
    }
}

unsafe extern "C" fn guard(store: *mut VariableStore, names: *mut u8, n_bytes: usize) -> usize {
    // SAFETY: the kernel passes the store that a cell returned, while none runs, and a buffer of
    // its own.
    let (store, names) = unsafe { (&mut *store, std::slice::from_raw_parts_mut(names, n_bytes)) };
    let guarded = store.guard(&String::from_utf8_lossy(names));
    // These are some of the names, so there is room.
    names[..guarded.len()].copy_from_slice(guarded.as_bytes());
    guarded.len()
}

unsafe extern "C" fn settle(store: *mut VariableStore, restores: bool) {
    // SAFETY: as above.
    unsafe { (*store).settle(restores) };
}

/// What the kernel makes of a `thread_local!`: a static, which all cells share, where the macro
/// makes a constant that each cell would have for itself.
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

#[cold]
#[inline(never)]
fn has_another_type() -> ! {
    panic!("Variable changed type")
}

/// Stands where evcxr has a tokio runtime, in cells that do not await.
pub struct Now;

impl Now {
    /// Runs a future that is never pending to its end; any other one too, without what a runtime
    /// would give it.
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

/// Locks a mutex whose value no panic can have left unfinished, such as a runtime.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty store, which is never freed: the cells hand its address on.
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
