//! Reads a line from the user: in a notebook through the front end, elsewhere from standard input.

use std::io::{self, Write as _};

use crate::display;
use crate::error::{Error, Result};

/// Asks the user for a line and returns it without its newline.
///
/// The forklore kernel asks the front end, which shows `prompt` beside a field; elsewhere `prompt`
/// is printed and a line read from standard input. (`std::io::stdin().read_line(…)` works in a cell
/// too, but has no prompt there.)
///
/// ```no_run
/// # fn main() -> forklore::Result<()> {
/// let name = forklore::input("Your name? ")?;
/// println!("Hello {name}");
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`is_closed`](Error::is_closed) at the end of the input; also in a cell whose front end offers
/// no input, for example in a notebook that a program runs.
pub fn input(prompt: &str) -> Result<String> {
    ask(prompt, false)
}

/// As [`input`], for passwords and other secrets: the front end hides what the user types. A
/// terminal shows it.
///
/// # Errors
///
/// As [`input`].
pub fn password(prompt: &str) -> Result<String> {
    ask(prompt, true)
}

fn ask(prompt: &str, is_password: bool) -> Result<String> {
    let failed = |error| Error::os("cannot ask for input", error);
    if !display::send_prompt(prompt, is_password) {
        print!("{prompt}");
        io::stdout().flush().map_err(failed)?;
    }
    let mut line = String::new();
    if io::stdin().read_line(&mut line).map_err(failed)? == 0 {
        return Err(Error::closed_channel(format!(
            "no answer to {prompt:?}: standard input has ended; a notebook can ask only when a person runs it"
        )));
    }
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(line)
}
