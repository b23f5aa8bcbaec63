//! What a front end shows.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One of the two streams that front ends tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What a cell prints.
    Stdout,
    /// What a cell prints to standard error.
    Stderr,
}

/// Something to show.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Text of one stream.
    Text(Stream, String),
    /// A MIME bundle.
    Rich(Rich),
    /// Clear what this cell has shown so far; if `wait`, only when the next output comes.
    Clear {
        /// Wait for the next output.
        wait: bool,
    },
    /// The cell is about to read a line from standard input.
    Prompt {
        /// What is asked.
        text: String,
        /// Whether the answer must not be seen.
        is_password: bool,
    },
}

/// A MIME bundle, and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Rich {
    /// Shown below, in place of an earlier one, or as the cell's result.
    pub kind: RichKind,
    /// By which a later update finds it.
    pub id: Option<String>,
    /// Content by MIME type: a string, or JSON for JSON types.
    pub data: Map<String, Value>,
    /// Metadata by MIME type.
    pub metadata: Map<String, Value>,
}

impl Rich {
    /// Something to show below what is there, by MIME type.
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

/// What becomes of a MIME bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RichKind {
    /// Shown below what is there.
    Display,
    /// Shown in place of what has the same id.
    Update,
    /// The value of the cell.
    Result,
}
