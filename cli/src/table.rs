//! Tables for people: aligned by what a terminal shows, not by bytes.

use crate::text::safe;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

/// Columns between two cells.
const GAP: usize = 2;

/// A table under construction: a head and rows of as many cells.
#[derive(Clone, Debug)]
pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with this head. Text is made safe here, so that no caller can forget.
    pub fn new(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(|cell| safe(cell).to_string())] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(|cell| safe(cell).to_string()));
    }

    /// The table's lines, each ended by a line feed, none by a blank.
    pub fn render(&self) -> String {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                let _ = write!(line, "{cell}{:1$}", "", width - cell.width() + GAP); // a String takes everything
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wide_characters_count_as_wide() {
        let mut table = Table::new(["BANK", "CARD"]);
        table.row(["株式", "1"]);
        table.row(["Bank", "2"]);
        assert_eq!(table.render(), "BANK  CARD\n株式  1\nBank  2\n");
    }

    proptest! {
        #[test]
        fn a_row_is_one_line_whatever_is_in_it(a in any::<String>(), b in any::<String>()) {
            let mut table = Table::new(["A", "B"]);
            table.row([&a, &b]);
            prop_assert_eq!(table.render().lines().count(), 2);
        }
    }
}
