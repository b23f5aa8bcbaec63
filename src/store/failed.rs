//! How a cell fails: it panics, or `?` returns an error.

use std::any::TypeId;
use std::error::Error;
use std::fmt::Display;
use std::io;
use std::panic::Location;

use super::USER_ERROR_OCCURRED;
use crate::caught;

/// A cell panicked; the panic hook has reported it.
#[derive(Debug, PartialEq, Eq)]
pub struct Panicked;

/// Runs a cell's statements and turns their panic into an error. evcxr catches panics in the cell
/// itself; here that code is compiled once. Also, if LLVM inlined `catch_unwind` into the cell, it
/// would lose line numbers, and the kernel could not trace a panic.
///
/// # Errors
///
/// When the statements panic.
#[inline]
pub fn catch(cell: impl FnOnce()) -> Result<(), Panicked> {
    let mut cell = Some(cell);
    let mut run = || {
        if let Some(cell) = cell.take() {
            cell();
        }
    };
    caught::call(&mut run).map_err(|_| Panicked)
}

/// The error type of a cell: converting an error into it, as `?` does, prints the error.
pub struct EvcxrUserCodeError {}

impl<T: Display> From<T> for EvcxrUserCodeError {
    #[track_caller]
    fn from(error: T) -> Self {
        report(&error, typeid::of::<T>(), Location::caller());
        EvcxrUserCodeError {}
    }
}

/// Errors up to this length, including causes, are shown in full.
const ERROR_BYTES: usize = 4096;
/// A longer chain of causes may be a cycle.
const N_CAUSES: usize = 16;

/// Reports to the kernel, in a separate line, that a `?` here returned an error. The text is in
/// hexadecimal digits, so that nothing in it ends the line. A zero byte precedes each cause.
#[cold]
#[inline(never)]
fn report(error: &dyn Display, type_id: TypeId, location: &Location<'_>) {
    let mut text = error.to_string();
    for cause in causes(error, &text, type_id) {
        text.push('\0');
        text.push_str(&cause);
    }
    let mut end = text.len().min(ERROR_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let digits: String = text[..end]
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (line, column, file) = (location.line(), location.column(), location.file());
    println!("{USER_ERROR_OCCURRED} {line} {column} {digits} {file}");
}

/// The causes of an error with this text, if they can be found: errors of any type are shown, and
/// few types are statically known to be an [`Error`].
fn causes(error: &dyn Display, text: &str, type_id: TypeId) -> Vec<String> {
    if let Some(error) = as_error(error, type_id) {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(known) = cause.filter(|_| causes.len() < N_CAUSES) {
            causes.push(known.to_string());
            cause = known.source();
        }
        return causes;
    }
    // `anyhow` and `eyre` join their causes like this.
    let whole = format!("{error:#}");
    let rest = whole.strip_prefix(text);
    let rest = rest.and_then(|rest| rest.strip_prefix(": "));
    rest.into_iter().map(str::to_owned).collect()
}

/// The error in a value of this type, if it is one of the types for arbitrary errors.
fn as_error(value: &dyn Display, type_id: TypeId) -> Option<&(dyn Error + 'static)> {
    let value: *const dyn Display = value;
    // SAFETY: each cast follows a check that the value has the type of that id.
    unsafe {
        if type_id == TypeId::of::<Box<dyn Error>>() {
            Some(&**value.cast::<Box<dyn Error>>())
        } else if type_id == TypeId::of::<Box<dyn Error + Send>>() {
            Some(&**value.cast::<Box<dyn Error + Send>>())
        } else if type_id == TypeId::of::<Box<dyn Error + Send + Sync>>() {
            Some(&**value.cast::<Box<dyn Error + Send + Sync>>())
        } else if type_id == TypeId::of::<io::Error>() {
            Some(&*value.cast::<io::Error>())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match f.alternate() {
                true => write!(f, "outer: {}", self.0),
                false => f.write_str("outer"),
            }
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn outer() -> Outer {
        Outer(io::Error::other(Box::<dyn Error + Send + Sync>::from(
            "inner",
        )))
    }

    fn causes_of<T: Display>(error: T) -> Vec<String> {
        causes(&error, &error.to_string(), typeid::of::<T>())
    }

    #[test]
    fn causes_are_known_of_boxed_errors_and_of_those_that_show_them() {
        assert_eq!(causes_of(Box::<dyn Error>::from(outer())), ["inner"]);
        assert_eq!(
            causes_of(Box::<dyn Error + Send>::from(Box::new(outer()))),
            ["inner"]
        );
        assert_eq!(
            causes_of(Box::<dyn Error + Send + Sync>::from(outer())),
            ["inner"]
        );
        let twice = io::Error::other(Outer(io::Error::other(outer())));
        assert_eq!(causes_of(twice), ["outer", "inner"]);
        // Formats its causes as `anyhow` does.
        assert_eq!(causes_of(outer()), ["inner"]);
    }

    #[test]
    fn other_errors_have_none() {
        assert!(causes_of("text").is_empty());
        assert!(causes_of(String::from("a: b")).is_empty());
        assert!(causes_of(Box::<dyn Error>::from("text")).is_empty());
        assert!(causes_of(io::Error::from(io::ErrorKind::NotFound)).is_empty());
    }

    #[test]
    fn a_circle_of_causes_ends() {
        #[derive(Debug)]
        struct Circle;
        impl Display for Circle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("again")
            }
        }
        impl Error for Circle {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&Circle)
            }
        }
        assert_eq!(causes_of(Box::<dyn Error>::from(Circle)).len(), N_CAUSES);
    }

    #[test]
    fn a_cell_s_panic_is_an_error() {
        let text = String::from("moved");
        assert_eq!(catch(|| drop(text)), Ok(()));
        assert_eq!(
            catch(|| std::panic::resume_unwind(Box::new(1))),
            Err(Panicked)
        );
    }
}
