//! Tables for people: a header line, columns apart by two blanks, no borders.
//!
//! In a table that is too wide a last column of text goes on in further lines. If that is not enough, columns that are
//! marked for it leave the table, and their cells stand beneath each row. No line is broken within a word, so ids and
//! values can be copied whole.

use super::output::harmless;
use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm, wrap};

/// Characters of a cell that are shown in its column; the whole is in the JSON.
const CELL_CHARS_MAX: usize = 100;
/// Characters of a cell that are shown beneath its row: four lines, and any URL that people work with.
const TEXT_CHARS_MAX: usize = 400;

/// Blanks between two columns.
const GAP: usize = 2;
/// The least room for a column whose text goes on in further lines.
const TEXT_WIDTH_MIN: usize = 40;

/// Columns of text where the terminal's width is unknown.
pub(super) const WIDTH: usize = 100;

/// A table under construction.
pub(super) struct Table {
    header: Vec<String>,
    right: Vec<usize>,
    below: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        let header = header.map(str::to_owned).into();
        Self { header, right: Vec::new(), below: Vec::new(), rows: Vec::new() }
    }

    /// Columns of numbers are easier to compare when their digits stand below each other.
    #[must_use]
    pub(super) fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.into();
        self
    }

    /// Columns of text that may leave the table where it is too wide, the first of them first.
    #[must_use]
    pub(super) fn below(mut self, columns: &[usize]) -> Self {
        self.below = columns.into();
        self
    }

    /// Adds a row; absent cells stay empty.
    pub(super) fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell)).collect());
    }

    /// The table for a page.
    pub(super) fn to_text(&self) -> String {
        self.to_text_within(WIDTH)
    }

    /// The table for so many columns of text.
    pub(super) fn to_text_within(&self, width: usize) -> String {
        let (mut columns, lines) = self.fitted(width);
        columns.sort_unstable();
        let mut lines = lines.into_iter();
        let mut text = lines.next().unwrap_or_default();
        for (row, line) in self.rows.iter().zip(lines) {
            text.extend(line);
            text.extend(self.beneath(row, &columns, width));
        }
        text.join("\n")
    }

    /// The columns that leave the table, and what is left of it: the lines of the header and of each row.
    fn fitted(&self, width: usize) -> (Vec<usize>, Vec<Vec<String>>) {
        for count in 0..self.below.len() {
            let (moved, rest) = self.below.split_at(count);
            let grid = self.grid(moved);
            if grid.iter().all(|line| display_width(line) <= width) && !self.cuts(rest) {
                return (moved.to_vec(), grid.into_iter().map(|line| vec![line]).collect());
            }
            if let Some(wrapped) = self.wrapped(moved, rest, width) {
                return (moved.to_vec(), wrapped);
            }
        }
        let grid = self.grid(&self.below);
        (self.below.clone(), grid.into_iter().map(|line| vec![line]).collect())
    }

    /// The table with the last column of text broken between words, if that is enough.
    fn wrapped(&self, moved: &[usize], rest: &[usize], width: usize) -> Option<Vec<Vec<String>>> {
        let last = (0..self.header.len()).rev().find(|column| !moved.contains(column));
        let last = last.filter(|last| rest.contains(last))?;
        let others: Vec<usize> = rest.iter().copied().filter(|column| *column != last).collect();
        let grid = self.grid(&[moved, &[last]].concat());
        let used = grid.iter().map(|line| display_width(line)).max().unwrap_or_default() + GAP;
        if used + TEXT_WIDTH_MIN > width || self.cuts(&others) {
            return None;
        }
        let header = self.header[last].to_uppercase();
        let cells = self.rows.iter().map(|row| row.get(last).map_or("", String::as_str));
        let lines = grid.iter().zip([&header[..]].into_iter().chain(cells)).map(|(line, cell)| {
            if cell.is_empty() {
                return vec![line.clone()];
            }
            let name = format!("{line}{}", " ".repeat(used - display_width(line)));
            hanging(&name, &cut(cell, TEXT_CHARS_MAX), width)
        });
        let lines: Vec<Vec<String>> = lines.collect();
        lines.iter().flatten().all(|line| display_width(line) <= width).then_some(lines)
    }

    /// Returns true if a cell of these columns is too long for its column.
    fn cuts(&self, columns: &[usize]) -> bool {
        let mut cells = self
            .rows
            .iter()
            .flat_map(|row| columns.iter().filter_map(move |column| row.get(*column)));
        cells.any(|cell| cell.chars().count() > CELL_CHARS_MAX)
    }

    /// The lines of the table without some columns: the header and one for each row.
    fn grid(&self, without: &[usize]) -> Vec<String> {
        let columns: Vec<usize> =
            (0..self.header.len()).filter(|column| !without.contains(column)).collect();
        let mut inner = comfy_table::Table::new();
        inner
            .load_style(comfy_table::presets::NOTHING)
            .set_content_arrangement(comfy_table::ContentArrangement::Disabled)
            .force_no_tty()
            .set_header(columns.iter().map(|column| self.header[*column].to_uppercase()));
        for (column, index) in inner.column_iter_mut().zip(&columns) {
            column.set_padding((0, GAP as u16));
            if self.right.contains(index) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
        for row in &self.rows {
            let cells = columns.iter().map(|column| row.get(*column).map_or("", String::as_str));
            inner.add_row(cells.map(|cell| cut(cell, CELL_CHARS_MAX)));
        }
        inner.to_string().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The cells of these columns, each after its name.
    fn beneath(&self, row: &[String], columns: &[usize], width: usize) -> Vec<String> {
        let name = |column: &usize| self.header[*column].to_lowercase();
        let longest = columns.iter().map(|column| name(column).len()).max().unwrap_or_default();
        let filled = columns.iter().filter_map(|column| {
            let cell = row.get(*column).filter(|cell| !cell.is_empty())?;
            let cell = cut(cell, TEXT_CHARS_MAX);
            Some(hanging(&format!("  {:<longest$}  ", name(column)), &cell, width))
        });
        filled.flatten().collect()
    }
}

/// Lines of text that begin with a name and are broken between words alone.
fn hanging(name: &str, text: &str, width: usize) -> Vec<String> {
    let blank = " ".repeat(display_width(name));
    let options = Options::new(width)
        .initial_indent(name)
        .subsequent_indent(&blank)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    wrap(text, options).into_iter().map(String::from).collect()
}

/// Lines of `name  value` with the names in one column; empty values are left out.
pub(super) fn facts<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = pairs
        .iter()
        .flat_map(|(name, value)| hanging(&format!("{name:<width$}  "), &harmless(value), WIDTH));
    lines.collect::<Vec<_>>().join("\n")
}

fn cut(cell: &str, chars_max: usize) -> String {
    match cell.char_indices().nth(chars_max) {
        None => cell.to_owned(),
        Some(_) => cell.chars().take(chars_max - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_header_line_and_no_borders() {
        let mut table = Table::new(["name", "count"]).right(&[1]);
        table.row(["a".to_owned(), "1".to_owned()]);
        table.row(["long name".to_owned(), "12,345".to_owned()]);
        assert_eq!(table.to_text(), "NAME        COUNT\na               1\nlong name  12,345");
    }

    /// Panics if a line is longer than a page is wide.
    pub(crate) fn assert_fits(text: &str) {
        for line in text.lines() {
            assert!(display_width(line) <= WIDTH, "{line:?} in\n{text}");
        }
    }

    const ID: &str = "9f31c2d4a7b8";

    #[test]
    fn a_table_that_is_too_wide_shows_long_cells_beneath_their_rows() {
        let mut table = Table::new(["id", "what", "count"]).right(&[2]).below(&[1]);
        table.row([ID.to_owned(), ["a word"; 10].join(" "), "7".to_owned()]);
        table.row(["9f".to_owned(), String::new(), "12".to_owned()]);
        assert_eq!(
            table.to_text_within(36),
            "ID            COUNT\n\
             9f31c2d4a7b8      7\n\
             \u{20} what  a word a word a word a word\n\
             \u{20}       a word a word a word a word\n\
             \u{20}       a word a word\n\
             9f               12"
        );
        assert!(table.to_text().starts_with("ID            WHAT"));
    }

    #[test]
    fn a_last_column_of_text_goes_on_in_further_lines_where_there_is_room() {
        let mut table = Table::new(["id", "what"]).below(&[1]);
        table.row([ID.to_owned(), ["a word"; 10].join(" ")]);
        table.row(["9f".to_owned(), "short".to_owned()]);
        assert_eq!(
            table.to_text_within(56),
            "ID            WHAT\n\
             9f31c2d4a7b8  a word a word a word a word a word a word\n\
             \u{20}             a word a word a word a word\n\
             9f            short"
        );
        table.row(["ab".to_owned(), "x".repeat(43)]);
        let text = table.to_text_within(56);
        assert!(text.ends_with(&format!("\nab\n  what  {}", "x".repeat(43))), "{text}");
    }

    #[test]
    fn no_word_is_broken_however_narrow_the_terminal_is() {
        let mut table = Table::new(["id", "of"]).below(&[1]);
        let id = "ab".repeat(32);
        table.row([ID.to_owned(), format!("record {id}")]);
        let text = table.to_text_within(20);
        assert!(text.lines().any(|line| line.trim() == id), "{text}");
        assert_eq!(text.lines().nth(1), Some(ID));
    }

    #[test]
    fn characters_of_two_columns_are_counted_as_such() {
        let mut table = Table::new(["id", "title"]).below(&[1]);
        table.row([ID.to_owned(), "捜査".repeat(12)]);
        assert_eq!(table.to_text_within(62).lines().count(), 2);
        assert_eq!(table.to_text_within(61).lines().count(), 3);
    }

    #[test]
    fn a_long_cell_is_cut_with_a_mark() {
        let long = "x".repeat(500);
        assert_eq!(cut(&long, 100), format!("{}…", "x".repeat(99)));
        assert_eq!(cut(&long, 500), long);
        let mut table = Table::new(["id", "url"]).below(&[1]);
        table.row([ID.to_owned(), "y".repeat(101)]);
        let text = table.to_text_within(1_000);
        assert!(text.ends_with(&format!("\n{ID}  {}", "y".repeat(101))), "{text}");
    }

    #[test]
    fn facts_line_up_and_empty_ones_are_left_out() {
        let text = facts([("a", "1".to_owned()), ("bcd", "2".to_owned()), ("e", String::new())]);
        assert_eq!(text, "a    1\nbcd  2");
        let long = facts([("name", "words ".repeat(30))]);
        let words = |count: usize| ["words"; 30][..count].join(" ");
        assert_eq!(long, format!("name  {}\n      {}", words(15), words(15)));
    }
}
