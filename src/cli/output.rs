//! The one place that writes: results to stdout, everything else to stderr.
//!
//! The format never depends on whether stdout is a terminal; only colour, width and progress do.
//! Text that came from a node is made harmless for terminals before it is shown to people.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use super::error::CliError;
use super::table::{Table, WIDTH};

/// Names the shape of every JSON document that the tool writes.
pub const SCHEMA: &str = "liaison.cli/v1";

/// The format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One document.
    Json,
    /// One document a line, as they come.
    Ndjson,
}

/// The use of colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

/// The output of a command.
pub struct Output {
    format: Format,
    color: bool,
    /// Columns of text for a table.
    width: usize,
    stdout: Mutex<Box<dyn Write + Send>>,
    stderr: Mutex<Box<dyn Write + Send>>,
}

impl Output {
    pub fn new(format: Format, color: Color) -> Self {
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
            }
        };
        let terminal = comfy_table::Table::new().width();
        Self {
            format,
            color,
            // A terminal that does not know its width says 0.
            width: terminal.filter(|width| *width > 0).map_or(WIDTH, usize::from),
            stdout: Mutex::new(Box::new(std::io::stdout())),
            stderr: Mutex::new(Box::new(std::io::stderr())),
        }
    }

    #[cfg(test)]
    pub(crate) fn captured(
        format: Format,
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
    ) -> Self {
        let (stdout, stderr) = (Mutex::new(stdout), Mutex::new(stderr));
        Self { format, color: false, width: WIDTH, stdout, stderr }
    }

    pub const fn format(&self) -> Format {
        self.format
    }

    /// A document that stands for the whole result.
    pub fn document(&self, value: Value) -> Result<(), CliError> {
        let value = with_schema(value);
        let text = match self.format {
            Format::Ndjson => value.to_string(),
            Format::Json | Format::Table => format!("{value:#}"),
        };
        self.result(&text)
    }

    /// One of many documents, as it comes.
    pub fn line_document(&self, value: Value) -> Result<(), CliError> {
        self.result(&with_schema(value).to_string())
    }

    pub(super) fn table(&self, table: &Table) -> Result<(), CliError> {
        self.result(&table.to_text_within(self.width))
    }

    /// A result in words.
    pub fn text(&self, text: &str) -> Result<(), CliError> {
        self.result(text)
    }

    /// Either the document or the words, as the format asks.
    pub fn either(&self, value: Value, text: impl FnOnce() -> String) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.result(&text()),
            Format::Json | Format::Ndjson => self.document(value),
        }
    }

    /// Bytes that are the result as they are, for example a completion script.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(write_error)
    }

    /// A remark beside the result. A reader of stderr that has gone is not a reason to stop.
    pub fn note(&self, text: &str) {
        let mut stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// A remark that so many things are missing from the result; nothing for none.
    pub fn note_damaged(&self, count: u64, things: &str) {
        if count > 0 {
            self.note(&format!(
                "{count} {things} cannot be read, because stored bytes are damaged; see `liaison status`"
            ));
        }
    }

    /// A question; the answer is read elsewhere.
    pub fn prompt(&self, text: &str) {
        let mut stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// Shows an error, once, at the end of the process.
    pub fn error(&self, error: &CliError) {
        if matches!(error, CliError::BrokenPipe) {
            return;
        }
        match self.format {
            Format::Table => {
                let text = harmless_lines(&error.to_text());
                match text.strip_prefix("error").filter(|_| self.color) {
                    Some(rest) => self.note(&format!("\u{1b}[1;31merror\u{1b}[0m{rest}")),
                    None => self.note(&text),
                }
            }
            Format::Json | Format::Ndjson => self.note(&error.to_json().to_string()),
        }
    }

    fn result(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(write_error)
    }
}

fn write_error(source: std::io::Error) -> CliError {
    match source.kind() {
        std::io::ErrorKind::BrokenPipe => CliError::BrokenPipe,
        _ => CliError::Output { source },
    }
}

fn with_schema(value: Value) -> Value {
    let mut document = Map::new();
    document.insert("schema".to_owned(), SCHEMA.into());
    match value {
        Value::Object(fields) => document.extend(fields),
        other => {
            document.insert("result".to_owned(), other);
        }
    }
    Value::Object(document)
}

/// One line of text without anything that a terminal would obey or that hides its direction.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if obeyed_by_terminals(c) { '\u{fffd}' } else { c }).collect()
}

/// Like [`harmless`], but keeps line breaks.
pub fn harmless_lines(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && obeyed_by_terminals(c) { '\u{fffd}' } else { c }).collect()
}

fn obeyed_by_terminals(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_command_quietly() {
        let output = Output::captured(Format::Table, Box::new(Gone), Box::new(std::io::sink()));
        let error = output.text("x").unwrap_err();
        assert!(matches!(error, CliError::BrokenPipe));
        assert_eq!(error.exit().code(), 0);
    }

    #[test]
    fn escape_sequences_and_direction_marks_do_not_reach_a_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{202e}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert_eq!(harmless_lines("a\nb\r"), "a\nb\u{fffd}");
    }

    #[test]
    fn every_document_names_its_schema() {
        assert_eq!(with_schema(serde_json::json!({"a": 1}))["schema"], SCHEMA);
        assert_eq!(with_schema(serde_json::json!([1]))["result"][0], 1);
    }
}
