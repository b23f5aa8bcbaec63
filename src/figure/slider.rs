//! Figures that change with sliders: one for each combination of settings.

use std::fmt;

use crate::display::{self, Bundle};

use super::Figure;
use super::canvas::{LETTER_HEIGHT, WIDTH, id};
use super::number::escape;

/// Moves the figures onto the stage, shows the one that the sliders select, and removes the
/// fallback. Without the script, the page shows the start figure, with the others folded under it.
const SCRIPT: &str = r#"(function () {
  var selector = '[id="SLIDER_ID"]:not([data-moves])';
  Array.prototype.forEach.call(document.querySelectorAll(selector), function (root) {
    root.setAttribute("data-moves", "");
    var all = function (what) { return Array.prototype.slice.call(root.querySelectorAll(what)); };
    var stage = root.querySelector("[data-stage]"), ranges = all("input[type=range]"), frames = [];
    all("[data-frame]").forEach(function (frame) {
      frames[Number(frame.getAttribute("data-frame"))] = frame;
      frame.querySelector("[data-settings]").remove();
      stage.appendChild(frame);
    });
    all("details[data-others]").forEach(function (details) { details.remove(); });
    var shown = null;
    function move() {
      var index = 0;
      ranges.forEach(function (range) {
        var names = range.getAttribute("data-names").split("|");
        index = index * names.length + Number(range.value);
        range.setAttribute("aria-valuetext", names[range.value]);
        range.nextElementSibling.textContent = names[range.value];
      });
      frames.forEach(function (frame, at) { frame.style.display = at === index ? "" : "none"; });
      var numbers = frames[index].querySelector("details");
      if (shown && numbers) { numbers.open = shown.open; }
      shown = numbers;
    }
    ranges.forEach(function (range) { range.addEventListener("input", move); });
    root.querySelector("[data-controls]").style.display = "";
    move();
  });
})();"#;

/// A figure that changes with a few settings; all combinations are drawn beforehand.
///
/// In a notebook and in an exported page a reader moves the sliders with the pointer or the arrow
/// keys. Where no script runs, the figure for the start settings is shown, with the others folded
/// under it; as plain text, each of the others is described in one line.
///
/// Each combination of settings is a drawing of some kilobytes, so keep them to a few dozen. Give
/// the charts' axes fixed ends ([`Line::y_between`](super::Line::y_between),
/// [`Timeline::until`](super::Timeline::until)), so that only the data moves.
///
/// # Example
/// ```
/// use forklore::figure::{Line, Slider, Unit};
///
/// let shares = [0.0, 0.1, 0.5];
/// let amdahl = Slider::new("Amdahl's law")
///     .control("serial share", &["0 %", "10 %", "50 %"], 1)
///     .figures(|at| {
///         let s = shares[at[0]];
///         let points = [1.0, 2.0, 4.0, 8.0].map(|p| (p, 1.0 / (s + (1.0 - s) / p)));
///         Line::new("Speed-up").x("workers", Unit::Count).series("", &points).figure()
///     });
/// assert_eq!(amdahl.at(&[2]).table().rows()[1][1], "1.33");
/// println!("{amdahl}");
/// ```
#[derive(Debug, Clone)]
pub struct Slider {
    title: String,
    controls: Vec<Control>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Control {
    name: String,
    settings: Vec<String>,
    start: usize,
}

impl Slider {
    /// A figure without sliders.
    pub fn new(title: &str) -> Slider {
        Slider {
            title: title.to_owned(),
            controls: Vec::new(),
        }
    }

    /// Adds a slider: its name, its settings in order, and the index of the start setting.
    ///
    /// # Panics
    /// If there are no settings, or `start` is not the index of one.
    #[must_use]
    pub fn control(mut self, name: &str, settings: &[&str], start: usize) -> Slider {
        assert!(
            start < settings.len(),
            "the slider `{name}` starts at {start} of {} settings",
            settings.len()
        );
        self.controls.push(Control {
            name: name.to_owned(),
            settings: settings.iter().map(|name| (*name).to_owned()).collect(),
            start,
        });
        self
    }

    /// Draws the figures: calls `draw` for each combination of settings, given as an index for each
    /// slider.
    pub fn figures(self, mut draw: impl FnMut(&[usize]) -> Figure) -> Sliding {
        let n_figures: usize = self
            .controls
            .iter()
            .map(|control| control.settings.len())
            .product();
        let figures = (0..n_figures)
            .map(|index| draw(&self.settings_of(index)))
            .collect();
        Sliding {
            slider: self,
            figures,
        }
    }

    /// The settings of a figure: the last slider changes first.
    fn settings_of(&self, mut index: usize) -> Vec<usize> {
        let mut at = vec![0; self.controls.len()];
        for (place, control) in at.iter_mut().zip(&self.controls).rev() {
            *place = index % control.settings.len();
            index /= control.settings.len();
        }
        at
    }

    fn index_of(&self, at: &[usize]) -> usize {
        assert_eq!(at.len(), self.controls.len(), "a setting for each slider");
        at.iter()
            .zip(&self.controls)
            .fold(0, |index, (place, control)| {
                assert!(
                    *place < control.settings.len(),
                    "no such setting of `{}`",
                    control.name
                );
                index * control.settings.len() + place
            })
    }

    /// `workers: 4, work per item: 1 µs`.
    fn told(&self, at: &[usize]) -> String {
        let told: Vec<String> = self
            .controls
            .iter()
            .zip(at)
            .map(|(control, place)| format!("{}: {}", control.name, control.settings[*place]))
            .collect();
        told.join(", ")
    }
}

/// A [`Slider`] with its figures. As the last expression of a notebook's cell it is shown.
#[derive(Clone)]
pub struct Sliding {
    slider: Slider,
    figures: Vec<Figure>,
}

impl Sliding {
    /// The figure for these settings: an index for each slider.
    ///
    /// # Panics
    /// If there is no such setting.
    pub fn at(&self, at: &[usize]) -> &Figure {
        &self.figures[self.slider.index_of(at)]
    }

    fn start(&self) -> usize {
        let at: Vec<usize> = self
            .slider
            .controls
            .iter()
            .map(|control| control.start)
            .collect();
        self.slider.index_of(&at)
    }

    /// The sliders, the figures, and the script that connects them, for a page.
    pub fn html(&self) -> String {
        let told: Vec<String> = self
            .figures
            .iter()
            .map(|figure| figure.description().to_owned())
            .collect();
        let mut tell_apart: Vec<&str> = vec![&self.slider.title];
        tell_apart.extend(told.iter().map(String::as_str));
        let id = id(&tell_apart);
        let start = self.start();
        let others: String = (0..self.figures.len())
            .filter(|index| *index != start)
            .map(|index| self.frame(index))
            .collect();
        let folded = match others.is_empty() {
            true => String::new(),
            false => format!(
                "<details data-others><summary>The same for other settings</summary>{others}</details>"
            ),
        };
        format!(
            "<div role=\"group\" id=\"{id}\" aria-label=\"{title}\" style=\"max-width:{:.0}em\"><p style=\"margin:.5em 0 0\">\
             <strong>{title}</strong></p><div data-controls style=\"display:none\">{}</div>\
             <div data-stage>{}</div>{folded}<script>{}</script></div>",
            WIDTH / LETTER_HEIGHT,
            self.controls(&id),
            self.frame(start),
            SCRIPT.replace("SLIDER_ID", &id),
            title = escape(&self.slider.title),
        )
    }

    /// A labelled range for each slider, with the name of the setting beside it. The Lumino
    /// attribute keeps JupyterLab, which is built on Lumino, from taking the arrow keys.
    fn controls(&self, id: &str) -> String {
        let control = |(index, control): (usize, &Control)| {
            let names: Vec<String> = control.settings.iter().map(|name| escape(name)).collect();
            format!(
                "<div style=\"display:flex;flex-wrap:wrap;align-items:center;gap:.3em .8em;margin:.4em 0\">\
                 <label for=\"{id}c{index}\" style=\"min-width:9em\">{}</label>\
                 <input id=\"{id}c{index}\" type=\"range\" min=\"0\" max=\"{}\" step=\"1\" value=\"{}\" \
                 aria-valuetext=\"{}\" data-names=\"{}\" data-lm-suppress-shortcuts style=\"flex:1 1 12em\">\
                 <output for=\"{id}c{index}\" style=\"min-width:6em\">{}</output></div>",
                escape(&control.name),
                control.settings.len() - 1,
                control.start,
                names[control.start],
                names.join("|"),
                names[control.start],
            )
        };
        self.slider
            .controls
            .iter()
            .enumerate()
            .map(control)
            .collect()
    }

    /// A figure under a line with its settings. The script removes the line, because the sliders
    /// show the settings.
    fn frame(&self, index: usize) -> String {
        format!(
            "<div data-frame=\"{index}\"><p data-settings style=\"margin:.5em 0 0\">{}</p>{}</div>",
            escape(&self.slider.told(&self.slider.settings_of(index))),
            self.figures[index].html()
        )
    }

    /// The start figure in words, and one line for each of the others.
    pub fn text(&self) -> String {
        let start = self.start();
        let told = |index: usize| self.slider.told(&self.slider.settings_of(index));
        let mut text = format!(
            "{}\n\nFor {}:\n\n{}\n\nFor other settings:",
            self.slider.title,
            told(start),
            self.figures[start].text()
        );
        for index in (0..self.figures.len()).filter(|index| *index != start) {
            text.push_str(&format!(
                "\n- {}: {}",
                told(index),
                self.figures[index].description()
            ));
        }
        text
    }

    /// Shows the sliders and figures below the earlier output.
    ///
    /// # Panics
    /// As `println!` does, if standard output cannot be written.
    pub fn show(&self) {
        display::show(&Bundle::html(self.html()).with_text(self.text()));
    }

    /// Called by evcxr to show a cell's value.
    #[doc(hidden)]
    pub fn evcxr_display(&self) {
        self.show();
    }
}

impl fmt::Display for Sliding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Sliding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bar;
    use super::*;

    fn products() -> Sliding {
        Slider::new("a <product>")
            .control("one", &["2", "3"], 1)
            .control("other", &["5", "7", "11"], 0)
            .figures(|at| {
                let product = [2.0, 3.0][at[0]] * [5.0, 7.0, 11.0][at[1]];
                Bar::new("product").bar("it is", product).figure()
            })
    }

    #[test]
    fn every_combination_has_its_figure() {
        let sliding = products();
        assert_eq!(sliding.figures.len(), 6);
        assert_eq!(sliding.at(&[0, 2]).table().rows()[0][1], "22");
        assert_eq!(sliding.at(&[1, 0]).table().rows()[0][1], "15");
        for index in 0..6 {
            let at = sliding.slider.settings_of(index);
            assert_eq!(sliding.slider.index_of(&at), index);
        }
    }

    #[test]
    fn the_page_has_labelled_sliders_and_is_whole_without_a_script() {
        let html = products().html();
        assert_eq!(html.matches("type=\"range\"").count(), 2);
        assert_eq!(html.matches("<label for=").count(), 2);
        assert_eq!(html.matches("data-lm-suppress-shortcuts").count(), 2);
        assert_eq!(html.matches("<svg").count(), 6);
        assert_eq!(html.matches("<table>").count(), 6);
        let (seen, folded) = html.split_once("<details data-others>").unwrap();
        assert!(seen.contains("data-frame=\"3\"") && seen.contains("one: 3, other: 5"));
        assert_eq!(folded.matches("<div data-frame").count(), 5);
        assert!(html.contains("a &lt;product&gt;") && !html.contains("SLIDER_ID"));
        assert!(
            !html.contains("src=") && !html.contains("https:"),
            "nothing is fetched"
        );
    }

    #[test]
    fn the_text_tells_all_of_them() {
        let text = products().text();
        assert!(
            text.starts_with("a <product>\n\nFor one: 3, other: 5:"),
            "{text}"
        );
        assert_eq!(text.matches("\n- one: ").count(), 5);
        assert!(text.contains("- one: 2, other: 11: A bar chart"), "{text}");
    }

    #[test]
    #[should_panic(expected = "starts at 2 of 2 settings")]
    fn a_slider_starts_somewhere() {
        let _ = Slider::new("t").control("c", &["a", "b"], 2);
    }
}
