//! `%%capture` and `--out`: printed output is hidden, and may become a variable.

use super::{CellError, Session};
use crate::output::{Event, Parser, Stream};
use crate::protocol::Output;

/// The maximum of the output that becomes a variable: it is compiled into a cell.
const CAPTURED_BYTES: usize = 1 << 20;

impl Session {
    /// Ends the capture of a cell: assigns its output to the variable.
    ///
    /// # Errors
    ///
    /// If that cannot be compiled.
    pub(super) fn assign_captured(&mut self, variable: Option<String>) -> Result<(), CellError> {
        let output = self.link.end_capture().unwrap_or_default();
        let Some(variable) = variable else {
            return Ok(());
        };
        let mut text = text_of(output);
        if text.len() > CAPTURED_BYTES {
            let mut end = CAPTURED_BYTES;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            self.link.warn(&format!(
                "`{variable}` has the first {CAPTURED_BYTES} bytes of what was printed"
            ));
        }
        self.run_rust(&format!("let {variable}: String = String::from({text:?});"))
    }
}

/// The text that was printed to standard output, without rich output such as images.
fn text_of(output: Vec<Output>) -> String {
    let mut parser = Parser::new(Stream::Stdout);
    let mut events = Vec::new();
    for output in output {
        if let Output::Stdout(bytes) = output {
            parser.push(&bytes, &mut events);
        }
    }
    parser.finish(&mut events);
    let texts = events.into_iter().filter_map(|event| match event {
        Event::Text(_, text) => Some(text),
        _ => None,
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_in_order_and_nothing_else() {
        // {"kind":"result","data":{"text/html":"2"}}
        let picture =
            b"\x1b]7717;1;0;eyJraW5kIjoicmVzdWx0IiwiZGF0YSI6eyJ0ZXh0L2h0bWwiOiIyIn19\x1b\\";
        let output = vec![
            Output::Stdout(b"a\n\xc3".to_vec()),
            Output::Stderr(b"error".to_vec()),
            Output::Stdout([&b"\xa4 "[..], picture, b"b"].concat()),
            Output::Waits(1),
        ];
        assert_eq!(text_of(output), "a\n\u{e4} b");
    }
}
