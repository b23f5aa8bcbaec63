//! Draws a photograph as two grids, and describes it in words and numbers.

use crate::figure::Figure;
use crate::figure::canvas::{Anchor, Canvas};
use crate::figure::number::Unit;
use crate::figure::table::Table;

use super::{PageState, Photograph, count};

/// Rows of the palette: for a page that the process has alone, and for a shared page.
const OWN: usize = 1;
const SHARED: usize = 0;
const COLUMNS: usize = 16;
/// Beyond this number of pages, a cell of the grid stands for several.
const MOST_CELLS: usize = 128;
/// The distance between cells, and their size.
const STEP: f64 = 17.0;
const CELL: f64 = 15.0;
const TOP: f64 = 34.0;
/// Where the grids begin.
const LEFT: [f64; 2] = [44.0, 362.0];
/// The letters in a line of the sketch.
const SKETCH_COLUMNS: usize = 64;
/// The maximum number of page ranges that are named one by one.
const MOST_RANGES: usize = 6;

impl Photograph {
    /// The photograph's figure: the parent's pages on the left, the child's on the right.
    pub(super) fn figure(&self) -> Figure {
        let n_pages = self.parent.len().max(self.child.len());
        let per_cell = n_pages.div_ceil(MOST_CELLS).max(1);
        let n_rows = n_pages.div_ceil(per_cell).div_ceil(COLUMNS).max(1);
        let bottom = TOP + STEP * n_rows as f64 + 8.0;
        let mut canvas = Canvas::default();
        for (left, (name, pages)) in LEFT.into_iter().zip(self.processes()) {
            let centre = left + STEP * COLUMNS as f64 / 2.0;
            canvas.text((centre, 18.0), Anchor::Middle, name);
            match pages.is_empty() {
                true => {
                    let middle = (TOP + bottom) / 2.0;
                    canvas.text((centre, middle), Anchor::Middle, self.why_empty(name));
                }
                false => grid(&mut canvas, left, pages, per_cell),
            }
        }
        let names = ["this process alone", "shared with another", "not in memory"];
        canvas.height = canvas.legend(bottom, &names, |canvas, index, (x, y)| {
            let state = [PageState::Own, PageState::Shared, PageState::Absent][index];
            cell(canvas, (x - CELL / 2.0, y - CELL / 2.0), &[state]);
        });
        Figure::new(
            &self.moment,
            self.description(per_cell),
            canvas,
            self.table(),
        )
        .with_sketch(self.sketch())
    }

    fn processes(&self) -> [(&'static str, &[PageState]); 2] {
        [("parent", &self.parent), ("child", &self.child)]
    }

    fn why_empty(&self, name: &str) -> &'static str {
        match name {
            "parent" => "could not be read",
            _ => "no child took this photograph",
        }
    }

    fn description(&self, per_cell: usize) -> String {
        let mut sentences = Vec::new();
        for (name, pages) in self.processes() {
            sentences.push(match (pages.is_empty(), name) {
                (false, _) => in_words(name, pages),
                (true, "child") => continue,
                (true, _) => "The parent's pages could not be read.".to_owned(),
            });
        }
        if per_cell > 1 {
            sentences.push(format!(
                "Each cell of the grid stands for {per_cell} pages."
            ));
        }
        if self.huge_bytes > 0 {
            let bytes = Unit::Bytes.format(self.huge_bytes as f64);
            sentences.push(format!("{bytes} of this memory lie in huge pages."));
        }
        sentences.join(" ")
    }

    fn table(&self) -> Table {
        let heads = [
            "",
            "pages",
            "its own",
            "shared",
            "not in memory",
            "its own are",
        ];
        let mut table = Table::new(&heads);
        for (name, pages) in self.processes() {
            if pages.is_empty() {
                continue;
            }
            let mut row = vec![name.to_owned(), pages.len().to_string()];
            for state in [PageState::Own, PageState::Shared, PageState::Absent] {
                row.push(count(pages, state).to_string());
            }
            row.push(which(pages, PageState::Own));
            table.push(row);
        }
        table
    }

    /// `parent #...#...`; a cell of the sketch stands for as many pages as a cell of the grid.
    fn sketch(&self) -> String {
        let mut lines = Vec::new();
        for (name, pages) in self.processes() {
            let per_letter = pages.len().div_ceil(SKETCH_COLUMNS * 4).max(1);
            let letters: Vec<char> = pages.chunks(per_letter).map(letter).collect();
            for (index, line) in letters.chunks(SKETCH_COLUMNS).enumerate() {
                let name = if index == 0 { name } else { "" };
                lines.push(format!("{name:<6} {}", line.iter().collect::<String>()));
            }
        }
        lines.join("\n")
    }
}

fn grid(canvas: &mut Canvas, left: f64, pages: &[PageState], per_cell: usize) {
    for (index, group) in pages.chunks(per_cell).enumerate() {
        let (row, column) = (index / COLUMNS, index % COLUMNS);
        let (x, y) = (left + STEP * column as f64, TOP + STEP * row as f64);
        if column == 0 {
            let number = (index * per_cell).to_string();
            canvas.text((left - 6.0, y + 12.0), Anchor::End, &number);
        }
        cell(canvas, (x, y), group);
    }
}

/// Fills a cell from the left with the share of pages that the process has alone, then with the
/// share of shared pages.
fn cell(canvas: &mut Canvas, (x, y): (f64, f64), pages: &[PageState]) {
    canvas.frame((x, y), (CELL, CELL));
    let mut from = x;
    for (row, state) in [(OWN, PageState::Own), (SHARED, PageState::Shared)] {
        let width = CELL * count(pages, state) as f64 / pages.len() as f64;
        if width > 0.0 {
            canvas.area(row, (from, y), (width, CELL), "");
            from += width;
        }
    }
}

/// `#`, `.` or `_` if all pages are in the same state; `+` if the process has some of them alone.
fn letter(pages: &[PageState]) -> char {
    let of_all = |state| count(pages, state) == pages.len();
    match () {
        () if of_all(PageState::Own) => '#',
        () if of_all(PageState::Absent) => '_',
        () if count(pages, PageState::Own) > 0 => '+',
        () => '.',
    }
}

fn in_words(name: &str, pages: &[PageState]) -> String {
    let n_own = count(pages, PageState::Own);
    let mut sentence = match n_own {
        0 => format!("The {name} has none of {} pages alone", pages.len()),
        n if n == pages.len() => format!("The {name} has all {n} pages alone"),
        n => format!(
            "The {name} has {n} of {} pages alone ({})",
            pages.len(),
            which(pages, PageState::Own)
        ),
    };
    for (state, what) in [
        (PageState::Shared, "shared"),
        (PageState::Absent, "not in memory"),
    ] {
        match count(pages, state) {
            0 => {}
            n => sentence.push_str(&format!(
                "; {n} {} {what}",
                if n == 1 { "is" } else { "are" }
            )),
        }
    }
    sentence + "."
}

/// `every 4th from 0 to 60`, or `0 to 3, 7`.
fn which(pages: &[PageState], state: PageState) -> String {
    let numbers: Vec<usize> = (0..pages.len()).filter(|at| pages[*at] == state).collect();
    let steps: Vec<usize> = numbers.windows(2).map(|two| two[1] - two[0]).collect();
    if let [first, _, ..] = steps[..]
        && first > 1
        && steps.iter().all(|step| *step == first)
    {
        let last = numbers.len() - 1;
        return format!(
            "every {} from {} to {}",
            nth(first),
            numbers[0],
            numbers[last]
        );
    }
    let runs: Vec<&[usize]> = numbers.chunk_by(|one, next| next - one == 1).collect();
    let mut named: Vec<String> = runs
        .iter()
        .take(MOST_RANGES)
        .map(|run| match run {
            [one] => one.to_string(),
            run => format!("{} to {}", run[0], run[run.len() - 1]),
        })
        .collect();
    match runs.len().saturating_sub(MOST_RANGES) {
        0 => {}
        n => named.push(format!("and {n} more")),
    }
    named.join(", ")
}

fn nth(n: usize) -> String {
    let ending = match (n % 10, n % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(letters: &str) -> Vec<PageState> {
        let state = |letter| match letter {
            '#' => PageState::Own,
            '.' => PageState::Shared,
            _ => PageState::Absent,
        };
        letters.chars().map(state).collect()
    }

    fn photograph(parent: &str, child: &str) -> Photograph {
        Photograph {
            moment: "now".to_owned(),
            parent: states(parent),
            child: states(child),
            huge_bytes: 0,
        }
    }

    #[test]
    fn each_page_is_a_cell_in_the_drawing_the_sketch_and_the_numbers() {
        let figure = photograph("#...#...#", "#...#..._").figure();
        let svg = figure.svg();
        // A frame for each cell, and 3 for the legend's 4 keys; an area for each page in memory.
        assert_eq!(svg.matches("fill=\"none\"").count(), 9 + 9 + 3);
        assert_eq!(svg.matches("<rect").count() - 1, 2 * 18 + 3 + 2 - 1);
        assert!(
            figure.text().contains("parent #...#...#\nchild  #...#..._"),
            "{figure}"
        );
        assert_eq!(
            figure.table().rows()[0][1..],
            ["9", "3", "6", "0", "every 4th from 0 to 8"]
        );
        assert_eq!(figure.table().rows()[1][1..], ["9", "2", "6", "1", "0, 4"]);
        assert!(
            figure.description().starts_with(
                "The parent has 3 of 9 pages alone (every 4th from 0 to 8); 6 are shared. The child"
            ),
            "{}",
            figure.description()
        );
    }

    #[test]
    fn more_pages_than_cells_share_cells() {
        let figure = photograph(&"#...".repeat(256), "").figure();
        assert!(
            figure
                .description()
                .contains("Each cell of the grid stands for 8 pages.")
        );
        assert!(figure.svg().contains("no child took this photograph"));
        // Each cell has one part for each state.
        assert_eq!(figure.svg().matches("url(#").count(), MOST_CELLS + 1);
        assert!(figure.text().contains("parent ++++"), "{figure}");
    }

    #[test]
    fn what_could_not_be_read_is_said() {
        let figure = photograph("", "##").figure();
        assert!(figure.svg().contains("could not be read"));
        assert_eq!(
            figure.description(),
            "The parent's pages could not be read. The child has all 2 pages alone."
        );
        assert_eq!(figure.table().rows().len(), 1);
        let huge = Photograph {
            huge_bytes: 2 << 20,
            ..photograph("#", "")
        };
        assert!(huge.figure().description().ends_with("lie in huge pages."));
        // Memory without a page gives a figure too.
        assert!(photograph("", "").figure().svg().contains("</svg>"));
    }

    #[test]
    fn pages_are_named_by_ranges() {
        let own = |letters: &str| which(&states(letters), PageState::Own);
        assert_eq!(own("...."), "");
        assert_eq!(own("###.#"), "0 to 2, 4");
        assert_eq!(own("#.#.#"), "every 2nd from 0 to 4");
        assert_eq!(
            own("#..##.#.#.#.##.#.#"),
            "0, 3 to 4, 6, 8, 10, 12 to 13, and 2 more"
        );
    }
}
