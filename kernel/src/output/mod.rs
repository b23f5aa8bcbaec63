//! Turns a cell's output into what a front end shows: text and rich output, in order, as it
//! arrives.
//!
//! The user process writes bytes, which may contain text, framed escape sequences of the library's
//! `display` module, and the `EVCXR_BEGIN_CONTENT … EVCXR_END_CONTENT` blocks that other crates
//! print. [`Parser`] takes the bytes in pieces of any size, as a pipe delivers them, and returns
//! [`Event`]s. It is pure (no clock, no sockets) and holds back as little as possible: text that
//! may still become the start of a frame is shown as soon as the caller reports that nothing more
//! has arrived for a while ([`Parser::idle`]).
//!
//! Nothing that a cell writes is an error here. An invalid frame is text; invalid UTF-8 is
//! replaced; an unfinished frame or block is shown as text when the cell ends ([`Parser::finish`]).
//!
//! # The frame
//!
//! ```text
//! ESC ] 7717 ; <id> ; <more> ; <base64> ESC \
//! ```
//!
//! An operating system command, in terminals' terms: a terminal that does not know the number shows
//! nothing. `<id>` names the message (letters, digits, `-`, `.`), `<more>` is `1` if more pieces of
//! it follow and `0` on the last one. A piece has at most [`PIECE_MAX_BYTES`] bytes, the size up to
//! which a write to a pipe is not mixed with those of other processes, so pieces of several
//! messages may interleave. The decoded pieces of a message together are a JSON object:
//!
//! ```text
//! {"kind": "display" | "update" | "result", "id": "…"?, "data": {MIME: content}, "metadata": {…}?}
//! {"kind": "clear", "wait": bool}
//! {"kind": "prompt", "text": "…", "password": bool}
//! ```

mod event;
mod notation;
mod parts;
mod table;

use std::collections::HashMap;
use std::mem;

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use event::{Event, Rich, RichKind, Stream};
pub use parts::{Part, parts};

/// What opens a frame.
const INTRODUCER: &[u8] = b"\x1b]7717;";
/// What closes it (the string terminator).
const TERMINATOR: &[u8] = b"\x1b\\";
/// `PIPE_BUF` on Linux: the longest write to a pipe that no other process's write can split.
pub const PIECE_MAX_BYTES: usize = 4096;
/// The start of evcxr's convention for rich output; the MIME type and a newline follow.
const BLOCK_BEGIN: &[u8] = b"EVCXR_BEGIN_CONTENT ";
/// The line that ends such a block.
const BLOCK_END: &[u8] = b"EVCXR_END_CONTENT";
/// evcxr puts this before a value that it shows itself, which marks the value as the cell's result.
/// It is not a frame, because it has no fields.
const VALUE_MARK: &str = "\x1b]7717;value\x1b\\";
/// An unfinished block longer than this is text, and no message may be longer.
const MESSAGE_MAX_BYTES: usize = 64 << 20;
/// Maximum number of unfinished messages: with more, the writers are not ours.
const N_OPEN_MESSAGES_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Message {
    Display(Body),
    Update(Body),
    Result(Body),
    Clear {
        #[serde(default)]
        wait: bool,
    },
    Prompt {
        #[serde(default)]
        text: String,
        #[serde(default)]
        password: bool,
    },
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: Option<String>,
    data: Map<String, Value>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// The parser of one stream. See the [module](self).
#[derive(Debug)]
pub struct Parser {
    text: Text,
    /// Bytes not yet decided: at most one candidate (a frame, a block, or the beginning of one) and
    /// what follows it.
    undecided: Vec<u8>,
    /// How many of them were already shown as text, because nothing more arrived for a while.
    n_shown: usize,
    /// Where in `undecided` the search for the end of a block continues, so that a long block costs
    /// one pass.
    n_searched: usize,
    /// Messages of which some pieces have arrived.
    open: HashMap<String, Vec<u8>>,
    /// Whether to look for frames and blocks (only on stdout).
    rich: bool,
}

/// The kind of the undecided bytes' front.
enum Front {
    /// This many bytes are certainly text.
    Text(usize),
    /// A whole frame or block of this length, with its event, if any.
    Whole(usize, Option<Event>),
    /// More bytes are needed.
    Partial,
}

impl Parser {
    /// A parser for `stream`. It recognises rich output only on stdout.
    pub fn new(stream: Stream) -> Parser {
        Parser {
            text: Text {
                stream,
                incomplete: Vec::new(),
            },
            undecided: Vec::new(),
            n_shown: 0,
            n_searched: 0,
            open: HashMap::new(),
            rich: stream == Stream::Stdout,
        }
    }

    /// Takes the next bytes and appends all certain events to `events`.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        if !self.rich {
            self.text.push(bytes, events);
            return;
        }
        self.undecided.extend_from_slice(bytes);
        let mut at = 0;
        while at < self.undecided.len() {
            match self.front(at) {
                Front::Text(n) => {
                    let shown = self.n_shown.min(n);
                    self.n_shown -= shown;
                    self.text.push(&self.undecided[at + shown..at + n], events);
                    at += n;
                    self.n_searched = 0;
                }
                Front::Whole(n, event) => {
                    self.n_shown = 0;
                    events.extend(event);
                    at += n;
                    self.n_searched = 0;
                }
                Front::Partial => break,
            }
        }
        self.undecided.drain(..at);
    }

    /// Call this when nothing has arrived for a while: shows text that was held back because it
    /// could be the start of a frame.
    ///
    /// If it turns out to be one after all, it is still treated as one; its first bytes have then
    /// been seen as text.
    pub fn idle(&mut self, events: &mut Vec<Event>) {
        if self.holds_text() {
            self.text.push(&self.undecided[self.n_shown..], events);
            self.n_shown = self.undecided.len();
        }
    }

    /// Whether [`idle`](Parser::idle) would show any text.
    pub fn holds_text(&self) -> bool {
        let begins = |whole: &[u8]| whole.starts_with(&self.undecided);
        self.n_shown < self.undecided.len() && (begins(INTRODUCER) || begins(BLOCK_BEGIN))
    }

    /// Call this when the cell has ended: all undecided bytes are text.
    pub fn finish(&mut self, events: &mut Vec<Event>) {
        let rest = mem::take(&mut self.undecided);
        let shown = mem::take(&mut self.n_shown);
        self.n_searched = 0;
        self.open.clear();
        match whole_block_at_end(&rest) {
            Some(event) if shown == 0 => events.push(event),
            _ => self.text.push(&rest[shown..], events),
        }
        self.text.finish(events);
    }

    /// Determines what `undecided[at..]` begins with.
    fn front(&mut self, at: usize) -> Front {
        let bytes = &self.undecided[at..];
        match bytes[0] {
            b'\x1b' => match frame(bytes) {
                Piece::Not => Front::Text(1),
                Piece::Partial => Front::Partial,
                Piece::Whole {
                    len,
                    id,
                    more,
                    payload,
                } => {
                    let (id, more) = (id.to_owned(), more);
                    let event = self.take_piece(id, more, &payload);
                    Front::Whole(len, event)
                }
            },
            b'E' if bytes.starts_with(BLOCK_BEGIN) => self.block(at),
            b'E' if BLOCK_BEGIN.starts_with(bytes) => Front::Partial,
            _ => {
                let plain = bytes[1..]
                    .iter()
                    .position(|&b| b == b'\x1b' || b == b'E')
                    .map_or(bytes.len(), |i| i + 1);
                Front::Text(plain)
            }
        }
    }

    /// Adds a piece to its message and decodes the message if the piece is the last one.
    fn take_piece(&mut self, id: String, more: bool, payload: &[u8]) -> Option<Event> {
        if self.open.len() >= N_OPEN_MESSAGES_MAX && !self.open.contains_key(&id) {
            self.open.clear();
        }
        let message = self.open.entry(id.clone()).or_default();
        message.extend_from_slice(payload);
        if message.len() > MESSAGE_MAX_BYTES {
            self.open.remove(&id);
            return None;
        }
        if more {
            return None;
        }
        let message = self.open.remove(&id)?;
        match serde_json::from_slice(&message) {
            Ok(message) => Some(event_of(message)),
            Err(_) => {
                let text = String::from_utf8_lossy(&message).into_owned();
                Some(Event::Text(self.text.stream, text))
            }
        }
    }

    /// Handles an evcxr block that begins at `at`.
    fn block(&mut self, at: usize) -> Front {
        let bytes = &self.undecided[at..];
        let Some(header) = bytes.iter().position(|&b| b == b'\n') else {
            return if bytes.len() > BLOCK_BEGIN.len() + 256 {
                Front::Text(BLOCK_BEGIN.len())
            } else {
                Front::Partial
            };
        };
        let Some(mime) = mime_of(&bytes[BLOCK_BEGIN.len()..header]) else {
            return Front::Text(BLOCK_BEGIN.len());
        };
        // The end is a separate line; continue the search one line's length before where it
        // stopped.
        let from = self
            .n_searched
            .saturating_sub(BLOCK_END.len() + 2)
            .max(header);
        match find_block_end(bytes, from) {
            Some((content_end, len)) => {
                let content = bytes.get(header + 1..content_end).unwrap_or_default();
                Front::Whole(len, block_event(mime, content))
            }
            None if bytes.len() > MESSAGE_MAX_BYTES => Front::Text(BLOCK_BEGIN.len()),
            None => {
                self.n_searched = bytes.len();
                Front::Partial
            }
        }
    }
}

/// A format for evcxr's `:fmt` that marks a cell's value.
pub fn value_format(format: &str) -> String {
    VALUE_MARK.escape_default().to_string() + format
}

/// A piece of a framed message.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Not,
    Partial,
    Whole {
        len: usize,
        id: &'a str,
        more: bool,
        payload: Vec<u8>,
    },
}

/// Parses `ESC ] 7717 ; id ; more ; base64 ESC \` at the front of `bytes`, strictly: one byte out
/// of place and it is not one.
fn frame(bytes: &[u8]) -> Piece<'_> {
    let n = bytes.len().min(INTRODUCER.len());
    if bytes[..n] != INTRODUCER[..n] {
        return Piece::Not;
    }
    let Some(rest) = bytes.get(INTRODUCER.len()..) else {
        return Piece::Partial;
    };
    let is_field = |b: &u8| b.is_ascii_alphanumeric() || b";+/=-.".contains(b);
    let Some(body_len) = rest.iter().position(|b| !is_field(b)) else {
        return if bytes.len() > PIECE_MAX_BYTES {
            Piece::Not
        } else {
            Piece::Partial
        };
    };
    let (body, tail) = rest.split_at(body_len);
    let n = tail.len().min(TERMINATOR.len());
    if tail[..n] != TERMINATOR[..n] {
        return Piece::Not;
    }
    if tail.len() < TERMINATOR.len() {
        return Piece::Partial;
    }
    let body = str::from_utf8(body).unwrap_or_default();
    let mut fields = body.split(';');
    let (Some(id), Some(more @ ("0" | "1")), Some(base64), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Piece::Not;
    };
    match BASE64.decode(base64.as_bytes()) {
        Ok(payload) => Piece::Whole {
            len: INTRODUCER.len() + body_len + TERMINATOR.len(),
            id,
            more: more == "1",
            payload,
        },
        Err(_) => Piece::Not,
    }
}

fn event_of(message: Message) -> Event {
    let (kind, body) = match message {
        Message::Clear { wait } => return Event::Clear { wait },
        Message::Prompt { text, password } => {
            return Event::Prompt {
                text,
                is_password: password,
            };
        }
        Message::Display(body) => (RichKind::Display, body),
        Message::Update(body) => (RichKind::Update, body),
        Message::Result(body) => (RichKind::Result, body),
    };
    let mut data = body.data;
    if kind == RichKind::Result {
        table::add_table(&mut data);
    }
    Event::Rich(Rich {
        kind,
        id: body.id,
        data,
        metadata: body.metadata,
    })
}

/// The MIME type in a block's first line, if it is valid.
fn mime_of(header: &[u8]) -> Option<&str> {
    let mime = str::from_utf8(header).ok()?.trim_end();
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$&^_.+-/;=".contains(c);
    (mime.contains('/') && mime.chars().all(is_token)).then_some(mime)
}

/// Finds the line `EVCXR_END_CONTENT` at or after the newline at `from`: where the content ends,
/// and the block's length.
fn find_block_end(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut newline = from + bytes[from..].iter().position(|&b| b == b'\n')?;
    loop {
        let line = &bytes[newline + 1..];
        if let Some(after) = line.strip_prefix(BLOCK_END) {
            let len = newline + 1 + BLOCK_END.len();
            if after.starts_with(b"\n") {
                return Some((newline, len + 1));
            }
            if after.starts_with(b"\r\n") {
                return Some((newline, len + 2));
            }
        }
        newline += 1 + line.iter().position(|&b| b == b'\n')?;
    }
}

/// A block whose last line has no newline, because the cell's output ended there.
fn whole_block_at_end(rest: &[u8]) -> Option<Event> {
    let body = rest.strip_prefix(BLOCK_BEGIN)?;
    let content = body.strip_suffix(BLOCK_END)?.strip_suffix(b"\n")?;
    let (header, content) = match content.iter().position(|&b| b == b'\n') {
        Some(i) => (&content[..i], &content[i + 1..]),
        None => (content, &[][..]),
    };
    block_event(mime_of(header)?, content)
}

/// The event of a block. The value `()` is not shown.
fn block_event(mime: &str, content: &[u8]) -> Option<Event> {
    let text = String::from_utf8_lossy(content);
    // evcxr puts the type first, if types are on.
    let is_value = text.contains(VALUE_MARK);
    let text = text.replacen(VALUE_MARK, "", 1);
    if is_value && text == "()" {
        return None;
    }
    let is_json = mime == "application/json" || mime.ends_with("+json");
    let value = match serde_json::from_str(&text) {
        Ok(json) if is_json => json,
        _ => Value::String(text),
    };
    let mut data = Map::from_iter([(mime.to_owned(), value)]);
    let kind = match is_value {
        true => RichKind::Result,
        false => RichKind::Display,
    };
    if is_value {
        table::add_table(&mut data);
    }
    Some(Event::Rich(Rich {
        kind,
        id: None,
        data,
        metadata: Map::new(),
    }))
}

/// Decodes bytes to text: joins characters that a read has split, and replaces invalid UTF-8.
#[derive(Debug)]
struct Text {
    stream: Stream,
    /// The first bytes of a character whose rest has not arrived; at most three.
    incomplete: Vec<u8>,
}

impl Text {
    fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        if bytes.is_empty() {
            return;
        }
        let mut joined = mem::take(&mut self.incomplete);
        joined.extend_from_slice(bytes);
        let mut text = String::with_capacity(joined.len());
        let mut chunks = joined.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            if chunks.peek().is_none() && may_go_on(invalid) {
                self.incomplete = invalid.to_vec();
            } else {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.emit(text, events);
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        if !mem::take(&mut self.incomplete).is_empty() {
            self.emit(char::REPLACEMENT_CHARACTER.to_string(), events);
        }
    }

    fn emit(&self, text: String, events: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        match events.last_mut() {
            Some(Event::Text(stream, last)) if *stream == self.stream => last.push_str(&text),
            _ => events.push(Event::Text(self.stream, text)),
        }
    }
}

/// Whether `bytes`, at the end of the input, could be the start of a character.
fn may_go_on(bytes: &[u8]) -> bool {
    match str::from_utf8(bytes) {
        Ok(_) => false,
        Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests;
