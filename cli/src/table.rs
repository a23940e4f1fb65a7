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

    /// The table's lines, each ended by a line feed, none by a blank. Where they don't fit into `columns`, each row is a
    /// block of its own, a cell a line: a table that the terminal folds can't be read.
    pub fn render(&self, columns: Option<usize>) -> String {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let total = widths.iter().sum::<usize>() + GAP * N.saturating_sub(1);
        match (columns, self.rows.split_first()) {
            (Some(columns), Some((head, rows))) if total > columns => blocks(head, rows),
            _ => self.lines(&widths),
        }
    }

    fn lines(&self, widths: &[usize; N]) -> String {
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

/// Every row as lines of head and cell; a cell that is empty says nothing.
fn blocks<const N: usize>(head: &[String; N], rows: &[[String; N]]) -> String {
    let width = head.iter().map(|name| name.width()).max().unwrap_or_default() + GAP;
    let mut out = String::new();
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        for (name, cell) in head.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
            let _ = writeln!(out, "{name}{:1$}{cell}", "", width - name.width()); // a String takes everything
        }
    }
    out
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
        assert_eq!(table.render(None), "BANK  CARD\n株式  1\nBank  2\n");
    }

    #[test]
    fn what_does_not_fit_the_terminal_is_shown_row_by_row() {
        let mut table = Table::new(["#", "ACCOUNT", "NOTE"]);
        table.row(["1", "...4382", ""]);
        table.row(["2", "...3239", "株式"]);
        assert_eq!(table.render(Some(16)), table.render(None), "it fits exactly");
        assert_eq!(
            table.render(Some(15)),
            "#        1\nACCOUNT  ...4382\n\n#        2\nACCOUNT  ...3239\nNOTE     株式\n"
        );
    }

    proptest! {
        #[test]
        fn a_row_is_one_line_whatever_is_in_it(a in any::<String>(), b in any::<String>()) {
            let mut table = Table::new(["A", "B"]);
            table.row([&a, &b]);
            prop_assert_eq!(table.render(None).lines().count(), 2);
        }
    }
}
