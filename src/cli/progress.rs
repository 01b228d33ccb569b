//! Shows that long work goes on: a bar on a terminal, else one plain line every ten seconds.
//!
//! Writes to stderr only and never decides anything.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;
use crate::numerals::grouped;

/// Often enough to see life, seldom enough for a log.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

/// The form of progress messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// A bar when stderr is a terminal, else plain lines.
    Auto,
    /// One line every ten seconds.
    Plain,
    None,
}

/// Progress of work that is measured in bytes read and rows done, or in entries.
pub(super) struct Progress<'a> {
    shown: Shown,
    output: &'a Output,
    started: Instant,
    last_line: Instant,
    rows_before: u64,
    unit: &'static str,
}

enum Shown {
    Bar(ProgressBar),
    Plain,
    Nothing,
}

impl<'a> Progress<'a> {
    /// `bytes_total` is not known for a pipe.
    pub(super) fn start(
        mode: ProgressMode,
        bytes_total: Option<u64>,
        rows_before: u64,
        output: &'a Output,
    ) -> Self {
        let shown = match mode {
            ProgressMode::None => Shown::Nothing,
            ProgressMode::Auto if std::io::stderr().is_terminal() => Shown::Bar(bar(bytes_total)),
            ProgressMode::Auto | ProgressMode::Plain => Shown::Plain,
        };
        let now = Instant::now();
        Self { shown, output, started: now, last_line: now, rows_before, unit: "rows" }
    }

    /// Counts something else than rows.
    pub(super) fn counting(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    pub(super) fn update(&mut self, bytes_done: u64, rows_done: u64) {
        let rate = self.rows_per_second(rows_done);
        let text = || format!("{} {}, {}/s", grouped(rows_done), self.unit, grouped(rate));
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(bytes_done);
                bar.set_message(text());
            }
            Shown::Plain if self.last_line.elapsed() >= PLAIN_LINE_EVERY => {
                self.output.note(&text());
                self.last_line = Instant::now();
            }
            Shown::Plain | Shown::Nothing => {}
        }
    }

    /// Entries of a journal looked at, of so many; begun with a total of 0.
    pub(super) fn entries(&mut self, done: u64, total: u64) {
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(format!("{} of {} entries", grouped(done), grouped(total)));
            }
            Shown::Plain if self.last_line.elapsed() >= PLAIN_LINE_EVERY => {
                self.last_line = Instant::now();
                self.output.note(&format!("{} of {} entries", grouped(done), grouped(total)));
            }
            Shown::Plain | Shown::Nothing => {}
        }
    }

    pub(super) fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    /// Rows a second in this run.
    pub(super) fn rows_per_second(&self, rows_done: u64) -> u64 {
        let millis = self.started.elapsed().as_millis().max(1);
        let rows = u128::from(rows_done.saturating_sub(self.rows_before));
        u64::try_from(rows * 1000 / millis).unwrap_or(u64::MAX)
    }
}

fn bar(bytes_total: Option<u64>) -> ProgressBar {
    let bar = bytes_total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let template = match bytes_total {
        Some(_) => "{bar:30} {percent:>3} %  {msg}",
        None => "{spinner} {msg}",
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
