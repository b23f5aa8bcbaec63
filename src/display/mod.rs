//! Rich output that can change in place: the forklore kernel shows it while the cell runs.
//!
//! ```
//! use forklore::display::{Bundle, Live, show};
//!
//! show(&Bundle::html("<b>7</b> workers").with_text("7 workers"));
//! let mut progress = Live::new(&Bundle::text("0 of 3"));
//! for i in 1..=3 {
//!     progress.update(&Bundle::text(format!("{i} of 3")));
//! }
//! ```
//!
//! Rich output travels in the program's own standard output, so it keeps its position among the
//! printed lines, and may come from any process that has inherited that output, such as a worker.
//! For the forklore kernel it is a control sequence that terminals ignore, in pieces short enough
//! not to be mixed with other processes' output. The stock evcxr kernel gets blocks in its own
//! convention. Everything else gets the bundle's plain text. Only the forklore kernel can change
//! output in place; elsewhere a [`Live`] shows its first and its last state.

#[cfg(feature = "notebook")]
#[doc(hidden)]
pub mod cell;
#[cfg(feature = "notebook")]
#[doc(hidden)]
pub mod look;

use std::fmt::Write as _;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// The start of a control sequence, with its number, and its end.
const INTRODUCER: &str = "\x1b]7717;";
const TERMINATOR: &str = "\x1b\\";
/// The payload of one piece. In base64 and with its framing, a piece stays below the 4096 bytes
/// (`PIPE_BUF`) up to which Linux does not split a write to a pipe.
const PIECE_BYTES: usize = 2970;

/// One output in one or more MIME types: the front end shows the richest that it supports.
///
/// # Example
/// ```
/// use forklore::display::{Bundle, show};
///
/// show(&Bundle::html("<b>7</b> workers").with_text("7 workers")); // bold in a notebook, text elsewhere
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// MIME type and content.
    contents: Vec<(String, String)>,
}

impl Bundle {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Bundle {
        Bundle::default().with_text(text)
    }

    /// HTML.
    pub fn html(html: impl Into<String>) -> Bundle {
        Bundle::default().with("text/html", html)
    }

    /// Markdown.
    pub fn markdown(markdown: impl Into<String>) -> Bundle {
        Bundle::default().with("text/markdown", markdown)
    }

    /// A vector graphic.
    pub fn svg(svg: impl Into<String>) -> Bundle {
        Bundle::default().with("image/svg+xml", svg)
    }

    /// A PNG image: the bytes of the file.
    pub fn png(png: &[u8]) -> Bundle {
        Bundle::default().with("image/png", base64(png))
    }

    /// Adds, or replaces, the content in another MIME type. For JSON types (`application/json`,
    /// `…+json`), `content` is JSON; for images other than SVG, it is the file in base64.
    pub fn with(mut self, mime: impl Into<String>, content: impl Into<String>) -> Bundle {
        let mime = mime.into();
        self.contents.retain(|(other, _)| *other != mime);
        self.contents.push((mime, content.into()));
        self
    }

    /// Adds the plain text for front ends that can show nothing richer.
    pub fn with_text(self, text: impl Into<String>) -> Bundle {
        self.with("text/plain", text)
    }

    /// The bundle as a terminal shows it.
    fn as_text(&self) -> String {
        let plain = self.contents.iter().find(|(mime, _)| mime == "text/plain");
        match (plain, self.contents.first()) {
            (Some((_, text)), _) => text.clone(),
            (None, Some((mime, content))) => format!("[{mime}, {} bytes]", content.len()),
            (None, None) => String::new(),
        }
    }

    /// The data as a JSON object.
    fn as_json(&self) -> String {
        let mut json = String::from("{");
        for (mime, content) in &self.contents {
            if json.len() > 1 {
                json.push(',');
            }
            push_json_string(&mut json, mime);
            json.push(':');
            // SVG ends in +xml; content of a +json type is already JSON.
            if mime == "application/json" || mime.ends_with("+json") {
                json.push_str(content);
            } else {
                push_json_string(&mut json, content);
            }
        }
        json.push('}');
        json
    }
}

/// Shows a bundle below the earlier output.
///
/// # Panics
///
/// As `println!` does, if standard output cannot be written.
pub fn show(bundle: &Bundle) {
    match Listener::detect() {
        Listener::Forklore => send(&message("display", None, bundle)),
        Listener::Evcxr => print_blocks(bundle),
        Listener::Other => println!("{}", bundle.as_text()),
    }
}

/// Clears the cell's output so far: at once, or, if `wait`, together with the next output, which
/// avoids flicker. Outside the forklore kernel it does nothing.
///
/// # Panics
///
/// As `println!` does, if standard output cannot be written.
pub fn clear(wait: bool) {
    if Listener::detect() == Listener::Forklore {
        send(&format!(r#"{{"kind":"clear","wait":{wait}}}"#));
    }
}

/// An output that changes in place. See the [module](self).
///
/// # Fork safety
///
/// A child that has inherited a `Live` can update it too.
#[derive(Debug)]
pub struct Live {
    id: String,
    /// The last state, if output cannot change in place and the state is not yet shown.
    unshown: Option<Bundle>,
}

impl Live {
    /// Shows a bundle that can be updated.
    ///
    /// # Panics
    ///
    /// As `println!` does, if standard output cannot be written.
    pub fn new(bundle: &Bundle) -> Live {
        let id = unique_id();
        match Listener::detect() {
            Listener::Forklore => send(&message("display", Some(&id), bundle)),
            _ => show(bundle),
        }
        Live { id, unshown: None }
    }

    /// Replaces the shown bundle by `bundle`.
    ///
    /// # Panics
    ///
    /// As `println!` does, if standard output cannot be written.
    pub fn update(&mut self, bundle: &Bundle) {
        match Listener::detect() {
            Listener::Forklore => send(&message("update", Some(&self.id), bundle)),
            _ => self.unshown = Some(bundle.clone()),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(bundle) = self.unshown.take() {
            show(&bundle);
        }
    }
}

/// Announces a read from standard input to the front end, which asks the user. Returns false if
/// there is no front end.
#[cfg(feature = "notebook")]
#[inline(never)]
pub(crate) fn send_prompt(prompt: &str, is_password: bool) -> bool {
    match Listener::detect() {
        Listener::Forklore => {
            let mut json = String::from(r#"{"kind":"prompt","text":"#);
            push_json_string(&mut json, prompt);
            json.push_str(&format!(r#","password":{is_password}}}"#));
            send(&json);
        }
        // The convention of evcxr's crate `evcxr_input`.
        Listener::Evcxr if is_password => println!("EVCXR_INPUT_REQUEST_PASSWORD:{prompt}"),
        Listener::Evcxr => println!("EVCXR_INPUT_REQUEST:{prompt}"),
        Listener::Other => return false,
    }
    true
}

/// The program that reads this process's standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    Forklore,
    Evcxr,
    Other,
}

impl Listener {
    pub(crate) fn detect() -> Listener {
        let set = |name| std::env::var_os(name).is_some();
        if set("FORKLORE_KERNEL") {
            Listener::Forklore
        } else if set("EVCXR_IS_RUNTIME") {
            Listener::Evcxr
        } else {
            Listener::Other
        }
    }
}

fn message(kind: &str, id: Option<&str>, bundle: &Bundle) -> String {
    let mut json = format!(r#"{{"kind":"{kind}","data":{}"#, bundle.as_json());
    if let Some(id) = id {
        json.push_str(r#","id":"#);
        push_json_string(&mut json, id);
    }
    json.push('}');
    json
}

/// Writes a message in pieces: `ESC ] 7717 ; id ; more ; base64 ESC \`, each in its own write.
fn send(message: &str) {
    let written = write_pieces(&mut io::stdout().lock(), message);
    written.expect("failed printing to stdout");
}

fn write_pieces(out: &mut dyn io::Write, message: &str) -> io::Result<()> {
    // Flush first: buffered output must not be in the same write.
    out.flush()?;
    let id = unique_id();
    let mut pieces = message.as_bytes().chunks(PIECE_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let more = u8::from(pieces.peek().is_some());
        let frame = format!("{INTRODUCER}{id};{more};{}{TERMINATOR}", base64(piece));
        out.write_all(frame.as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

/// evcxr's own convention: a block for each MIME type.
fn print_blocks(bundle: &Bundle) {
    for (mime, content) in &bundle.contents {
        println!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT");
    }
}

/// A unique name: the clock never returns the same nanosecond twice to one process.
fn unique_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.as_nanos());
    format!("{:x}-{nanos:x}", std::process::id())
}

/// Appends a JSON string, quotes included.
fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(json, "\\u{:04x}", c as u32);
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

/// RFC 4648, with padding. A dependency would be compiled into every learner's session.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let sextet = bits >> (18 - 6 * i) & 63;
            let is_padding = i > group.len();
            text.push(if is_padding {
                '='
            } else {
                ALPHABET[sextet as usize] as char
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn json_is_escaped() {
        let bundle = Bundle::text("a\"\\\n\u{1}ä").with("application/json", "{\"x\":1}");
        assert_eq!(
            bundle.as_json(),
            r#"{"text/plain":"a\"\\\n\u0001ä","application/json":{"x":1}}"#
        );
    }

    #[test]
    fn the_plain_text_stands_in() {
        assert_eq!(Bundle::html("<b>").with_text("b").as_text(), "b");
        assert_eq!(Bundle::svg("<svg/>").as_text(), "[image/svg+xml, 6 bytes]");
        assert_eq!(Bundle::default().as_text(), "");
        assert_eq!(Bundle::text("a").with_text("b"), Bundle::text("b"));
    }

    /// Keeps each write separate, as a pipe would.
    struct Writes(Vec<Vec<u8>>);

    impl io::Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_piece_is_longer_than_a_pipe_keeps_whole() {
        let mut writes = Writes(Vec::new());
        write_pieces(&mut writes, &"x".repeat(10_000)).unwrap();
        assert_eq!(writes.0.len(), 4);
        for (i, piece) in writes.0.iter().enumerate() {
            assert!(piece.len() <= 4096, "{}", piece.len());
            let text = str::from_utf8(piece).unwrap();
            assert!(text.starts_with(INTRODUCER) && text.ends_with(TERMINATOR));
            let more = text.split(';').nth(2).unwrap();
            assert_eq!(more, if i < 3 { "1" } else { "0" });
        }
    }
}
