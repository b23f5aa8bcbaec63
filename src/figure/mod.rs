//! Plots for all readers: readable on light and dark pages, without colour vision, and with a
//! screen reader.
//!
//! Each chart is built and returns a [`Figure`]: a drawing as SVG, its text alternative, and its
//! numbers as a table. Lines and letters take the page's own text colour; data have the colours of
//! the Okabe–Ito palette and, in addition, a marker's shape or a pattern. In a notebook, a figure
//! that is the last expression of a cell is drawn; anywhere else it prints as text.
//!
//! ```
//! use forklore::figure::{Line, Unit};
//!
//! let figure = Line::new("Speed-up by number of workers")
//!     .x("workers", Unit::Count)
//!     .y("speed-up", Unit::Times)
//!     .series("measured", &[(1.0, 1.0), (2.0, 1.9), (4.0, 3.1)])
//!     .reference("ideal", &[(1.0, 1.0), (4.0, 4.0)])
//!     .figure();
//! assert!(figure.svg().contains("<title"));
//! println!("{figure}");
//! ```
//!
//! | chart | shows |
//! | --- | --- |
//! | [`Strip`] | every run of a few cases, and their medians |
//! | [`Line`] | how one number grows with another; logarithmic axes on request |
//! | [`Bar`] | a number for each of a few things |
//! | [`Stacked`] | what each of a few totals is made of |
//! | [`Matrix`] | which of a few ways is best for each of a few things |
//! | [`Raster`] | a grid of numbers as an image |
//! | [`Timeline`] | who did what when: a row for each worker |
//! | [`Pages`] | which pages of its memory a process shares, before a fork, after it, after each write |
//! | [`Slider`] | one of these for each setting of a slider, to be moved through |
//! | [`Diagram`] | boxes and arrows, without numbers |

mod axis;
mod bar;
mod canvas;
mod diagram;
mod line;
mod matrix;
pub(crate) mod number;
mod pages;
mod raster;
mod slider;
mod stacked;
mod strip;
mod table;
mod timeline;

use std::fmt;

use crate::display::{self, Bundle};

pub use bar::Bar;
pub use diagram::{BoxLook, Diagram};
pub use line::Line;
pub use matrix::Matrix;
pub use number::Unit;
pub use pages::{PageState, Pages, Photograph};
pub use raster::Raster;
pub use slider::{Slider, Sliding};
pub use stacked::Stacked;
pub use strip::Strip;
pub use table::Table;
pub use timeline::{Timeline, TimelineSpan};

pub(crate) use number::escape;

use canvas::{Canvas, LETTER_HEIGHT, WIDTH};

/// The smallest letters that a reader can read on a phone.
const SMALLEST_LETTER_PX: f64 = 11.0;

/// A drawing, a description of it, and its numbers. See the [module](self).
///
/// Prints as its [`text`](Figure::text). As the last expression of a notebook's cell it is drawn.
#[derive(Clone, PartialEq)]
pub struct Figure {
    title: String,
    description: String,
    /// The content of the `svg` element.
    body: String,
    height: f64,
    /// A drawing in letters, for terminals; empty if the chart has none.
    sketch: String,
    table: Table,
}

impl Figure {
    fn new(title: &str, description: String, canvas: Canvas, table: Table) -> Figure {
        let (body, height) = canvas.finish(&[title, &description]);
        Figure {
            title: title.to_owned(),
            description,
            body,
            height,
            sketch: String::new(),
            table,
        }
    }

    fn with_sketch(mut self, sketch: String) -> Figure {
        self.sketch = sketch;
        self
    }

    /// The figure's title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What the figure shows, in sentences.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The numbers that are drawn.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The drawing as a separate document, with title and description; it follows the reader's
    /// choice of a light or a dark page.
    ///
    /// # Example
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let figure = forklore::figure::Bar::new("CPUs").bar("online", 8.0).bar("mine", 2.0).figure();
    /// let file = std::env::temp_dir().join(format!("cpus-{}.svg", std::process::id()));
    /// std::fs::write(&file, figure.svg())?;
    /// # std::fs::remove_file(&file)?;
    /// # Ok(()) }
    /// ```
    pub fn svg(&self) -> String {
        let style = format!(
            "width=\"{WIDTH}\" height=\"{:.0}\"><style>svg{{color:#1a1a1a;background:#fff}}\
             @media (prefers-color-scheme:dark){{svg{{color:#e8e8e8;background:#111}}}}</style>",
            self.height
        );
        self.element(&style)
    }

    /// The figure for a page: the drawing under its title, in the page's own colours, with the
    /// numbers folded under it.
    pub fn html(&self) -> String {
        // On a narrow screen it scrolls in its box: if it were shrunk, its letters would be too
        // small to read.
        let narrowest = (WIDTH * SMALLEST_LETTER_PX / LETTER_HEIGHT).ceil();
        let style =
            format!("style=\"width:100%;min-width:{narrowest}px;height:auto;color:inherit\">");
        let numbers = match self.table.rows().is_empty() {
            // A diagram.
            true => String::new(),
            false => format!(
                "<details><summary>The numbers</summary>{}</details>",
                self.table.html(&self.title)
            ),
        };
        format!(
            "<figure style=\"margin:.5em 0;max-width:{:.0}em\"><figcaption><strong>{}</strong>\
             </figcaption><div style=\"overflow-x:auto\">{}</div>{numbers}</figure>",
            WIDTH / LETTER_HEIGHT,
            escape(&self.title),
            self.element(&style)
        )
    }

    /// The figure in words: title, description, a sketch where the chart has one, and the numbers.
    pub fn text(&self) -> String {
        let parts = [
            self.title.clone(),
            self.description.clone(),
            self.sketch.trim_end().to_owned(),
            self.table.to_string(),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("\n\n")
    }

    /// The figure for [`display`]: as HTML, and as text for front ends that show no HTML.
    pub fn bundle(&self) -> Bundle {
        Bundle::html(self.html()).with_text(self.text())
    }

    /// Shows the figure below the earlier output.
    ///
    /// # Panics
    /// As `println!` does, if standard output cannot be written.
    pub fn show(&self) {
        display::show(&self.bundle());
    }

    /// Called by evcxr to show a cell's value.
    #[doc(hidden)]
    pub fn evcxr_display(&self) {
        self.show();
    }

    /// The `svg` element; `style` closes its start tag.
    fn element(&self, style: &str) -> String {
        let id = canvas::id(&[&self.title, &self.description, &self.body]);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"{id}t {id}d\" \
             viewBox=\"0 0 {WIDTH} {:.0}\" font-family=\"sans-serif\" font-size=\"{LETTER_HEIGHT}\" {style}\
             <title id=\"{id}t\">{}</title><desc id=\"{id}d\">{}</desc>{}</svg>",
            self.height,
            escape(&self.title),
            escape(&self.description),
            self.body
        )
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar() -> Figure {
        Bar::new("x^10 & <24>")
            .bar("one", 1.0)
            .bar("two", 2.0)
            .figure()
    }

    #[test]
    fn a_figure_has_a_title_a_description_and_its_numbers() {
        for shown in [bar().svg(), bar().html()] {
            for part in [
                "x^10 &amp; &lt;24&gt;</title>",
                "</desc>",
                "role=\"img\"",
                "currentColor",
            ] {
                assert!(shown.contains(part), "{part} is missing in {shown}");
            }
        }
        assert!(bar().html().contains("<table>"));
        let text = format!("{:?}", bar());
        assert!(text.starts_with("x^10 & <24>") && text.contains("two"));
    }

    #[test]
    fn only_a_document_of_its_own_brings_a_background() {
        assert!(bar().svg().contains("prefers-color-scheme"));
        assert!(!bar().html().contains("<style"));
    }

    #[test]
    fn letters_are_large_enough_on_a_phone() {
        let html = bar().html();
        let (_, rest) = html.split_once("min-width:").unwrap();
        let width_px: f64 = rest.split_once("px").unwrap().0.parse().unwrap();
        assert!(width_px / WIDTH * LETTER_HEIGHT >= SMALLEST_LETTER_PX);
    }

    #[test]
    fn ids_differ_between_figures_on_a_page() {
        let other = Bar::new("other").bar("one", 1.0).figure();
        let id = |figure: &Figure| {
            let html = figure.html();
            let (_, rest) = html.split_once("<title id=\"").unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        assert_ne!(id(&bar()), id(&other));
        assert_eq!(id(&bar()), id(&bar()));
    }
}
