//! Output events for a front end.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One of the two streams that front ends distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// An output event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Text of one stream.
    Text(Stream, String),
    /// A MIME bundle.
    Rich(Rich),
    /// Clear this cell's output so far; if `wait`, only when the next output arrives.
    Clear {
        /// Wait for the next output.
        wait: bool,
    },
    /// The cell is about to read a line from standard input.
    Prompt {
        /// The prompt.
        text: String,
        /// Whether the input must be hidden.
        is_password: bool,
    },
}

/// A MIME bundle, and where to show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rich {
    /// Where to show it: below, in place of an earlier one, or as the cell's result.
    pub kind: RichKind,
    /// Identifies it for later updates.
    pub id: Option<String>,
    /// Content by MIME type: a string, or JSON for JSON types.
    pub data: Map<String, Value>,
    /// Metadata by MIME type.
    pub metadata: Map<String, Value>,
}

impl Rich {
    /// Output to show below earlier output, by MIME type.
    pub fn display(data: impl IntoIterator<Item = (String, String)>) -> Rich {
        let data = data.into_iter();
        Rich {
            kind: RichKind::Display,
            id: None,
            data: data
                .map(|(mime, text)| (mime, Value::String(text)))
                .collect(),
            metadata: Map::new(),
        }
    }
}

/// Where to show a MIME bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RichKind {
    /// Below earlier output.
    Display,
    /// In place of the output with the same id.
    Update,
    /// As the value of the cell.
    Result,
}
