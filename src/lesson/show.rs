//! How a lesson's things reach the page: HTML with its text, and numbers a person can read.

use std::fmt::Debug;

use crate::display::{self, Bundle};
pub(super) use crate::figure::number::median;
pub(super) use crate::figure::{BLUE, GREEN, ORANGE, escape};
pub(super) use crate::units::{number, time};

/// Shows a piece of HTML below the cell, and its text where no HTML can be shown.
pub(super) fn show(html: String, text: &impl Debug) {
    display::show(&Bundle::html(html).with_text(format!("{text:?}")));
}

/// A box with a coloured edge and a first word that says in text what the colour says.
pub(super) fn boxed(colour: &str, mark: &str, body: &str) -> String {
    format!(
        "<div style=\"border-left:4px solid {colour};padding:.3em .8em;margin:.3em 0\">\
         <strong>{mark}</strong> {body}</div>"
    )
}

/// Turns `` `name` `` into code.
pub(super) fn code(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces
        .map(|(index, piece)| match index % 2 {
            1 => format!("<code>{piece}</code>"),
            _ => piece.to_owned(),
        })
        .collect()
}
