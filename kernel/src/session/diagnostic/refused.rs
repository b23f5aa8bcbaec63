//! Variables that evcxr refuses to keep: evcxr's message names evcxr and no position; these
//! messages name the `let` and what to do.

use super::message::{Label, Message, Place};
use super::source::Sources;
use super::{Cells, in_a_line, render};
use crate::cell;
use crate::session::CellError;

/// evcxr's sentences, the sentences that replace them, and what to do.
const SENTENCES: [(&str, &str, &str); 4] = [
    (
        "is a closure",
        "is a closure, which has no type that could be written down, so it cannot be kept for later cells",
        "box it, as in `let f: Box<dyn Fn(i32) -> i32> = Box::new(|x| x + 1);`, or put the code into a block `{ … }`",
    ),
    (
        "determine type of variable",
        "needs an explicit type: the kernel could not find it out",
        "write the type, as in `let x: Vec<u8> = …;`, or put the code into a block `{ … }`",
    ),
    (
        "cannot be persisted",
        "has a type that could not be written down, so it cannot be kept for later cells",
        "give it a type that has a name, such as a `Box<dyn Trait>`, or put the code into a block `{ … }`",
    ),
    (
        "contains a reference",
        "borrows from another variable, so it cannot be kept for later cells",
        "give it a value of its own, or put the code into a block `{ … }`",
    ),
];

/// What rust-analyzer needs to know the types of the standard library.
const WITHOUT_SOURCES: &str =
    "or let the kernel know the types: `rustup component add rust-src`, then restart it";

/// The error for a variable that evcxr refuses to keep, if evcxr's message is one of these.
pub(in crate::session) fn refused(
    said: &str,
    cells: Cells<'_>,
    has_rust_src: bool,
) -> Option<CellError> {
    let sentence = SENTENCES
        .iter()
        .find(|(theirs, _, _)| said.contains(theirs))?;
    let variable = said.split_once("ariable `")?.1.split('`').next()?;
    let mut message = Message::new("error", format!("`{variable}` {}", sentence.1));
    let sources = Sources::new(cells, String::new());
    // The compiled code has the same lines, and no magics that would confuse the parser.
    if let Some(bytes) = cell::binding_of(cells.code, variable) {
        message.labels.push(Label {
            place: Place::Cell(sources.in_cell(bytes)),
            is_primary: true,
            text: None,
        });
    }
    message.children.push(Message::new("help", sentence.2));
    let mut evalue = in_a_line(&message);
    if !has_rust_src && said.contains("determine type") {
        message.children.push(Message::new("help", WITHOUT_SOURCES));
        evalue = format!("{evalue}; {WITHOUT_SOURCES}");
    }
    Some(CellError {
        ename: "CompileError".to_owned(),
        evalue,
        traceback: vec![render::render(&message, &sources)],
    })
}
