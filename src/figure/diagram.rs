//! Boxes and arrows, for ideas that are explained rather than measured.
//!
//! A diagram's description says everything that the drawing shows, so that a reader who cannot see
//! it can understand it. It has no numbers.

use super::Figure;
use super::canvas::{Anchor, Canvas};
use super::table::Table;

/// How a box looks. Boxes that stand for the same kind of thing should look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxLook {
    /// Only an outline, with the text at its top.
    Frame,
    /// Filled with the colour and pattern of this index in the palette.
    Filled(usize),
}

/// A drawing of boxes and arrows. A figure is 640 units wide; the first coordinate runs to the
/// right, the second down.
///
/// # Example
/// ```
/// use forklore::figure::{BoxLook, Diagram};
///
/// let figure = Diagram::new("A fork", "The parent's arrow points to its child.", 60.0)
///     .boxed(BoxLook::Filled(0), (10.0, 10.0), (120.0, 40.0), "parent")
///     .boxed(BoxLook::Filled(1), (300.0, 10.0), (120.0, 40.0), "child")
///     .arrow((130.0, 30.0), (300.0, 30.0))
///     .figure();
/// assert_eq!(figure.description(), "The parent's arrow points to its child.");
/// ```
#[must_use]
pub struct Diagram {
    title: String,
    description: String,
    canvas: Canvas,
}

impl Diagram {
    /// Starts a diagram of this height. `description` says in sentences everything that it shows.
    pub fn new(title: &str, description: &str, height: f64) -> Diagram {
        let mut canvas = Canvas::default();
        canvas.height = height;
        Diagram {
            title: title.to_owned(),
            description: description.to_owned(),
            canvas,
        }
    }

    /// Adds a box with its text; `from` is its upper left corner, `size` its width and height.
    pub fn boxed(
        mut self,
        look: BoxLook,
        from: (f64, f64),
        size: (f64, f64),
        text: &str,
    ) -> Diagram {
        let middle = from.0 + size.0 / 2.0;
        match look {
            BoxLook::Frame => {
                self.canvas.frame(from, size);
                self.canvas
                    .text((middle, from.1 + 18.0), Anchor::Middle, text);
            }
            BoxLook::Filled(kind) => {
                self.canvas.area(kind, from, size, "");
                let centre = (middle, from.1 + size.1 / 2.0);
                self.canvas.text_on_area(kind, centre, size.0, text);
            }
        }
        self
    }

    /// Adds text centred on a point.
    pub fn text(mut self, at: (f64, f64), text: &str) -> Diagram {
        self.canvas.text(at, Anchor::Middle, text);
        self
    }

    /// Adds an arrow.
    pub fn arrow(mut self, from: (f64, f64), to: (f64, f64)) -> Diagram {
        self.canvas.arrow(from, to, false);
        self
    }

    /// Adds a dashed arrow, for something that is awaited, or was requested and not given.
    pub fn dashed_arrow(mut self, from: (f64, f64), to: (f64, f64)) -> Diagram {
        self.canvas.arrow(from, to, true);
        self
    }

    /// Draws the diagram.
    pub fn figure(self) -> Figure {
        Figure::new(&self.title, self.description, self.canvas, Table::new(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagram_has_words_and_no_numbers() {
        let figure = Diagram::new("Two boxes", "A box points to another.", 100.0)
            .boxed(BoxLook::Frame, (0.0, 0.0), (90.0, 60.0), "one")
            .boxed(BoxLook::Filled(1), (200.0, 0.0), (90.0, 60.0), "other")
            .arrow((90.0, 30.0), (200.0, 30.0))
            .figure();
        assert_eq!(figure.text(), "Two boxes\n\nA box points to another.");
        assert!(!figure.html().contains("The numbers"));
        for part in [
            ">one<",
            ">other<",
            "<polygon",
            "A box points to another.</desc>",
        ] {
            assert!(figure.svg().contains(part), "{part}");
        }
    }
}
