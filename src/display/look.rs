//! What a front end's list of variables shows of each variable. Internal: it changes with the
//! kernel.
//!
//! The kernel runs [`look!`](crate::__forklore_look) in a copy of the cells' process, and ends that
//! copy if it takes too long. So each variable is written as soon as it has been looked at.

use std::fmt::{self, Debug, Write as _};
use std::fs::File;
use std::io::Write as _;

use super::push_json_string;
use crate::caught;

#[doc(hidden)]
pub use crate::__forklore_look as look;

/// How much of a value's text is kept: on one line, and with one part per line.
const LINE_BYTES: usize = 512;
const PARTS_BYTES: usize = 16 << 10;

/// A variable. The traits [`Shown`], [`Counted`] and [`Hidden`] are tried on it in this order of
/// types: `&&&Of`, `&&Of`, `&Of`.
#[derive(Debug)]
pub struct Of<'a, T>(pub &'a T);

/// Types that implement `Debug`.
pub trait Shown<'a> {
    /// The value, as something that can be shown.
    fn shown(&self) -> Option<&'a dyn Debug>;
}

impl<'a, T: Debug> Shown<'a> for &&Of<'a, T> {
    fn shown(&self) -> Option<&'a dyn Debug> {
        Some(self.0)
    }
}

/// Types whose items can be counted without looking at each.
pub trait Counted {
    /// The number of items.
    fn counted(&self) -> Option<usize>;
}

impl<'a, T> Counted for &&Of<'a, T>
where
    &'a T: IntoIterator,
    <&'a T as IntoIterator>::IntoIter: ExactSizeIterator,
{
    fn counted(&self) -> Option<usize> {
        Some(self.0.into_iter().len())
    }
}

/// All other types.
pub trait Hidden<'a> {
    /// `None`: the value cannot be shown.
    fn shown(&self) -> Option<&'a dyn Debug> {
        None
    }

    /// `None`: the value has no items to count.
    fn counted(&self) -> Option<usize> {
        None
    }
}

impl<'a, T> Hidden<'a> for &Of<'a, T> {}

/// One variable.
pub struct Variable<'a> {
    /// Its name.
    pub name: &'static str,
    /// The size of the value itself, in bytes.
    pub n_bytes: usize,
    /// The number of items. This may run the code of a user's type, which may fail.
    pub n_items: &'a dyn Fn() -> Option<usize>,
    /// The value, if it can be shown.
    pub value: Option<&'a dyn Debug>,
}

/// Writes a description of these variables to a file, one line of JSON for each. Writes nothing if
/// the file cannot be written.
#[inline(never)]
pub fn write(path: &str, variables: &[Variable<'_>]) {
    let Ok(mut file) = File::create(path) else {
        return;
    };
    for variable in variables {
        if file.write_all(line_of(variable).as_bytes()).is_err() {
            return;
        }
    }
}

fn line_of(variable: &Variable<'_>) -> String {
    let mut json = String::from(r#"{"name":"#);
    push_json_string(&mut json, variable.name);
    let _ = write!(json, r#","n_bytes":{}"#, variable.n_bytes);
    let mut n_items = None;
    let _ = caught::call(&mut || n_items = (variable.n_items)());
    if let Some(n_items) = n_items {
        let _ = write!(json, r#","n_items":{n_items}"#);
    }
    if let Some(value) = variable.value {
        for (key, text) in [
            ("line", Start::of(format_args!("{value:?}"), LINE_BYTES)),
            ("parts", Start::of(format_args!("{value:#?}"), PARTS_BYTES)),
        ] {
            let _ = write!(json, r#","{key}":"#);
            push_json_string(&mut json, &text);
        }
    }
    json.push_str("}\n");
    json
}

/// The beginning of a text. Writing beyond it fails, which stops a value whose text would take
/// minutes.
struct Start {
    text: String,
    left_bytes: usize,
}

impl Start {
    /// As much of the text as fits, with an ellipsis if it was cut.
    fn of(text: fmt::Arguments<'_>, n_bytes: usize) -> String {
        let mut start = Start {
            text: String::new(),
            left_bytes: n_bytes,
        };
        let mut is_whole = false;
        let ended = caught::call(&mut || is_whole = start.write_fmt(text).is_ok());
        if ended.is_err() {
            start.text.push_str("… (its `Debug` panicked)");
        } else if !is_whole {
            start.text.push('…');
        }
        start.text
    }
}

impl fmt::Write for Start {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let mut end = piece.len().min(self.left_bytes);
        while !piece.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&piece[..end]);
        self.left_bytes -= end;
        match end == piece.len() {
            true => Ok(()),
            false => {
                self.left_bytes = 0;
                Err(fmt::Error)
            }
        }
    }
}

/// Writes a description of these variables to a file.
#[doc(hidden)]
#[macro_export]
macro_rules! __forklore_look {
    ($path:literal; $($variable:ident)*) => {{
        #[allow(unused_imports)]
        use $crate::display::look::{Counted as _, Hidden as _, Of, Shown as _, Variable, write};
        write($path, &[$(Variable {
            name: ::std::stringify!($variable),
            n_bytes: ::std::mem::size_of_val(&$variable),
            n_items: &|| (&&&Of(&$variable)).counted(),
            value: (&&&Of(&$variable)).shown(),
        }),*]);
    }};
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    struct Opaque;

    struct Endless;

    impl Debug for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("größe, ")?;
            }
        }
    }

    struct Panics;

    impl Debug for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            std::panic::resume_unwind(Box::new(1))
        }
    }

    #[test]
    #[expect(
        clippy::needless_borrow,
        reason = "as the kernel writes it: the references choose the trait that a type has"
    )]
    fn each_variable_shows_what_its_type_lets_it() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("forklore-look-{}", std::process::id()));
        let (number, list, map) = (7_u16, vec![1, 2], HashMap::from([("a", 1)]));
        let (opaque, opaques, endless, panics) = (Opaque, [Opaque, Opaque], Endless, Panics);
        let variables = [
            Variable {
                name: "number",
                n_bytes: 2,
                n_items: &|| (&&&Of(&number)).counted(),
                value: (&&&Of(&number)).shown(),
            },
            Variable {
                name: "list",
                n_bytes: 24,
                n_items: &|| (&&&Of(&list)).counted(),
                value: (&&&Of(&list)).shown(),
            },
            Variable {
                name: "map",
                n_bytes: 48,
                n_items: &|| (&&&Of(&map)).counted(),
                value: (&&&Of(&map)).shown(),
            },
            Variable {
                name: "opaque",
                n_bytes: 0,
                n_items: &|| (&&&Of(&opaque)).counted(),
                value: (&&&Of(&opaque)).shown(),
            },
            Variable {
                name: "opaques",
                n_bytes: 0,
                n_items: &|| (&&&Of(&opaques)).counted(),
                value: (&&&Of(&opaques)).shown(),
            },
            Variable {
                name: "endless",
                n_bytes: 0,
                n_items: &|| panic!("none"),
                value: (&&&Of(&endless)).shown(),
            },
            Variable {
                name: "panics",
                n_bytes: 0,
                n_items: &|| None,
                value: (&&&Of(&panics)).shown(),
            },
        ];
        write(path.to_str().unwrap(), &variables);
        let written = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(
            lines[..5],
            [
                r#"{"name":"number","n_bytes":2,"line":"7","parts":"7"}"#,
                r#"{"name":"list","n_bytes":24,"n_items":2,"line":"[1, 2]","parts":"[\n    1,\n    2,\n]"}"#,
                r#"{"name":"map","n_bytes":48,"n_items":1,"line":"{\"a\": 1}","parts":"{\n    \"a\": 1,\n}"}"#,
                r#"{"name":"opaque","n_bytes":0}"#,
                r#"{"name":"opaques","n_bytes":0,"n_items":2}"#,
            ]
        );
        assert!(lines[5].len() < PARTS_BYTES + 2 * LINE_BYTES && lines[5].ends_with("…\"}"));
        assert!(lines[6].contains("panicked"), "{}", lines[6]);
    }
}
