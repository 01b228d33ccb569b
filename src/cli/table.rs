//! Tables for people: a header line, columns apart by two blanks, no borders.

use super::output::harmless;

/// Characters of a cell that are shown; the whole is in the JSON.
const CELL_CHARS_MAX: usize = 100;

/// A table under construction.
pub(super) struct Table {
    inner: comfy_table::Table,
    columns: usize,
}

impl Table {
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner
            .load_style(comfy_table::presets::NOTHING)
            .set_content_arrangement(comfy_table::ContentArrangement::Disabled)
            .force_no_tty()
            .set_header(header.map(str::to_uppercase));
        for column in inner.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self { inner, columns: N }
    }

    /// Columns of numbers are easier to compare when their digits stand below each other.
    #[must_use]
    pub(super) fn right(mut self, columns: &[usize]) -> Self {
        for column in columns {
            if let Some(column) = self.inner.column_mut(*column) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
        self
    }

    /// Adds a row; absent cells stay empty.
    pub(super) fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        self.inner.add_row(cells.into_iter().take(self.columns).map(|cell| shown(&cell)));
    }

    pub(super) fn to_text(&self) -> String {
        self.inner.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

/// Lines of `name  value` with the names in one column; empty values are left out.
pub(super) fn facts<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs
        .iter()
        .map(|(name, value)| format!("{name:<width$}  {}", harmless(value)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn shown(cell: &str) -> String {
    let text = harmless(cell);
    if text.chars().count() <= CELL_CHARS_MAX {
        return text;
    }
    text.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_header_line_and_no_borders() {
        let mut table = Table::new(["name", "count"]).right(&[1]);
        table.row(["a".to_owned(), "1".to_owned()]);
        table.row(["long name".to_owned(), "12,345".to_owned()]);
        assert_eq!(table.to_text(), "NAME        COUNT\na               1\nlong name  12,345");
    }

    #[test]
    fn a_long_cell_is_cut_with_a_mark() {
        assert_eq!(shown(&"x".repeat(500)).chars().count(), CELL_CHARS_MAX);
    }

    #[test]
    fn facts_line_up_and_empty_ones_are_left_out() {
        let text = facts([("a", "1".to_owned()), ("bcd", "2".to_owned()), ("e", String::new())]);
        assert_eq!(text, "a    1\nbcd  2");
    }
}
