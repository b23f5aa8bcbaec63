//! A figure's numbers, for readers who want the exact values or cannot see the drawing.

use std::fmt;

use super::number::escape;

/// Rows of cells under column headings. Prints in columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heads: &[&str]) -> Table {
        Table {
            heads: heads.iter().map(|head| (*head).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The headings of the columns.
    pub fn heads(&self) -> &[String] {
        &self.heads
    }

    /// The cells, row by row, as they are printed.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The table as HTML, with a caption for readers who reach it without its figure.
    pub(super) fn html(&self, caption: &str) -> String {
        let heads: String = self
            .heads
            .iter()
            .map(|head| format!("<th scope=\"col\">{}</th>", escape(head)))
            .collect();
        let row = |row: &Vec<String>| -> String {
            let cells = row.iter().enumerate().map(|(column, cell)| match column {
                0 => format!("<th scope=\"row\">{}</th>", escape(cell)),
                _ => format!("<td>{}</td>", escape(cell)),
            });
            format!("<tr>{}</tr>", cells.collect::<String>())
        };
        let rows: String = self.rows.iter().map(row).collect();
        format!(
            "<table><caption>{}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>\
             </table>",
            escape(caption)
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || std::iter::once(&self.heads).chain(&self.rows);
        let mut widths = vec![0; self.heads.len()];
        for line in lines() {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (index, line) in lines().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let cells = line.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            f.write_str(cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_html_is_escaped() {
        let mut table = Table::new(&["case", "median"]);
        table.push(vec!["a < b".into(), "1 µs".into()]);
        table.push(vec!["c".into(), "200 µs".into()]);
        assert_eq!(
            table.to_string(),
            "case   median\na < b    1 µs\nc      200 µs"
        );
        assert!(
            table
                .html("t")
                .contains("<th scope=\"row\">a &lt; b</th><td>1 µs</td>")
        );
    }
}
