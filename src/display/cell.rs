//! The code that the kernel puts around a learner's code. Internal: it changes with the kernel.

use std::fmt::{self, Debug};
use std::process::ExitCode;

use super::{Bundle, Listener, message, send, show};
use crate::timing::{Timed, Timeit};

#[doc(hidden)]
pub use crate::{
    __forklore_clock_start as start, __forklore_clock_stop as stop, __forklore_local as local,
    __forklore_time as time, __forklore_timeit as timeit,
};

/// What the kernel imports into every session, in one line, because evcxr may reorder several.
#[doc(hidden)]
pub mod names {
    pub use super::{EvcxrDisplay as _, local as _l, time as _t, timeit as _ti};
}

/// Shows the value of a cell's last expression.
///
/// evcxr appends `.evcxr_display()` to that expression. A type's own inherent method of that name
/// takes precedence; this trait, which every session imports, gives it to all other types that
/// implement `Debug`.
pub trait EvcxrDisplay {
    /// Shows the value, unless it is `()`.
    fn evcxr_display(&self);
}

impl<T: Debug + ?Sized> EvcxrDisplay for T {
    #[inline(always)]
    fn evcxr_display(&self) {
        show_value(std::any::type_name::<T>(), &self);
    }
}

impl<T: Debug> Timed<T> {
    /// Shows the value in a cell: the times, then the value.
    #[doc(hidden)]
    pub fn evcxr_display(&self) {
        println!("{self}");
        EvcxrDisplay::evcxr_display(&self.value);
    }
}

impl Timeit {
    /// Shows the value in a cell.
    #[doc(hidden)]
    pub fn evcxr_display(&self) {
        println!("{self}");
    }
}

#[inline(never)]
fn show_value(type_name: &str, value: &dyn Debug) {
    if type_name == "()" {
        return;
    }
    // The kernel's `:fmt` and `:types` set these.
    let is_set = |name| std::env::var_os(name).is_some();
    let mut text = match is_set("FORKLORE_PRETTY") {
        true => format!("{value:#?}"),
        false => format!("{value:?}"),
    };
    if is_set("FORKLORE_TYPES") {
        text = format!(": {} = {text}", without_paths(type_name));
    }
    let bundle = Bundle::text(text);
    match Listener::detect() {
        Listener::Forklore => send(&message("result", None, &bundle)),
        _ => show(&bundle),
    }
}

/// Shortens `alloc::vec::Vec<core::option::Option<i32>>` to `Vec<Option<i32>>`.
#[doc(hidden)]
pub fn without_paths(type_name: &str) -> String {
    let mut short = String::new();
    for part in type_name.split("::") {
        let name_start = short
            .trim_end_matches(|c: char| c.is_alphanumeric() || c == '_')
            .len();
        short.truncate(name_start);
        short.push_str(part);
    }
    short
}

#[cfg(test)]
#[test]
fn types_are_shown_without_their_paths() {
    let name = std::any::type_name::<(&str, Vec<Option<i32>>)>();
    assert_eq!(without_paths(name), "(&str, Vec<Option<i32>>)");
    let name = "&alloc::vec::Vec<core::option::Option<(i32, my_crate::T)>>";
    assert_eq!(without_paths(name), "&Vec<Option<(i32, T)>>");
}

/// What a program's `main` may return.
#[diagnostic::on_unimplemented(
    message = "`main` returns `{Self}`, and a cell runs a `main` that returns `()`, a `Result` or an `ExitCode`"
)]
pub trait Termination {
    /// The error with which the program ends, as the program would print it.
    fn error(self) -> Option<String>;
}

impl Termination for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl Termination for ExitCode {
    fn error(self) -> Option<String> {
        (self != ExitCode::SUCCESS).then(|| format!("`main` returned {self:?}"))
    }
}

impl<T: Termination, E: Debug> Termination for Result<T, E> {
    fn error(self) -> Option<String> {
        match self {
            Ok(value) => value.error(),
            Err(error) => Some(format!("Error: {error:?}")),
        }
    }
}

/// Ends a cell that holds a program, with the value that its `main` returned.
///
/// # Errors
///
/// If the program failed: the text that it would have printed.
pub fn ended(outcome: impl Termination) -> Result<(), String> {
    outcome.error().map_or(Ok(()), Err)
}

#[cfg(test)]
#[test]
fn a_program_fails_as_it_would_without_a_notebook() {
    assert_eq!(ended(()), Ok(()));
    assert_eq!(ended(ExitCode::SUCCESS), Ok(()));
    assert!(ended(ExitCode::from(3)).unwrap_err().contains("3"));
    assert_eq!(ended(Ok::<_, String>(())), Ok(()));
    let failed: Result<ExitCode, &str> = Err("no");
    assert_eq!(ended(failed), Err("Error: \"no\"".to_owned()));
    assert!(ended(Ok::<_, String>(ExitCode::FAILURE)).is_err());
}

/// Prints the measurement of a clock.
#[inline(never)]
pub fn say(measured: &dyn fmt::Display) {
    println!("{measured}");
}

/// `%%time`, first line: starts a clock under the name that the cell gives it.
#[doc(hidden)]
#[macro_export]
macro_rules! __forklore_clock_start {
    ($clock:ident) => {
        let $clock = $crate::timing::Stopwatch::start();
    };
}

/// `%%time`, last line: stops the clock, after the last expression if there is one, and prints. The
/// expression's temporaries live to the end of the statement, as they would without the clock.
#[doc(hidden)]
#[macro_export]
macro_rules! __forklore_clock_stop {
    ($clock:ident) => {
        $crate::display::cell::say(&$clock.stop())
    };
    ($clock:ident, $value:expr) => {
        match ($value, $clock.stop()) {
            (value, times) => {
                $crate::display::cell::say(&times);
                value
            }
        }
    };
}

/// `%time`: measures one expression, prints the times, and returns its value.
#[doc(hidden)]
#[macro_export]
macro_rules! __forklore_time {
    ($value:expr) => {
        match ($crate::timing::Stopwatch::start(), $value) {
            (clock, value) => {
                $crate::display::cell::say(&clock.stop());
                value
            }
        }
    };
}

/// `%timeit`: measures one expression many times, as often as `-n` and `-r` say.
#[doc(hidden)]
#[macro_export]
macro_rules! __forklore_timeit {
    ($value:expr) => {
        $crate::timing::timeit(|| $value)
    };
    ($value:expr, $loops:expr, $n_runs:expr) => {
        $crate::timing::timeit_with($loops, $n_runs, || $value)
    };
}

/// A `let` that evcxr does not see, so that it does not keep the variable for later cells. `_l!(`
/// is as long as `let `. The cell already reports that the variable is not kept, so a warning about
/// an unused variable would be noise.
#[doc(hidden)]
#[macro_export]
macro_rules! __forklore_local {
    ($($code:tt)*) => {
        #[allow(unused_variables)]
        let $($code)*;
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_method_comes_before_the_trait() {
        #[derive(Debug)]
        struct Own<'a>(&'a std::cell::Cell<bool>);
        impl Own<'_> {
            fn evcxr_display(&self) {
                self.0.set(true);
            }
        }
        let shown = std::cell::Cell::new(false);
        (Own(&shown)).evcxr_display();
        assert!(shown.take());
        let own = Own(&shown);
        own.evcxr_display();
        assert!(shown.take());
        // A type without its own method uses the trait's; for `()` that shows nothing.
        ().evcxr_display();
    }

    #[test]
    fn the_timing_macros_give_the_value() {
        let v = vec![1, 2, 3];
        assert_eq!(time!(&v), &[1, 2, 3]);
        let moved = time!(v);
        start!(_clock);
        let n = moved.len();
        assert_eq!(stop!(_clock, n + 1), 4);
        // Temporaries live to the end of the statement.
        assert_eq!(time!(String::from("abc").as_str()).len(), 3);
        assert!(timeit!(1 + 1).loops() > 0);
    }
}
