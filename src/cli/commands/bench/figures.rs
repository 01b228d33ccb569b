//! Figures with their limits and targets, as a table for people and a document for machines.
//!
//! Says whether a target was met, never rounds a miss into a hit, and holds no result of its own.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::Format;
use crate::cli::table::Table;
use crate::numerals::grouped;
use serde_json::{Value, json};

/// The target of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    /// The figure itself.
    AtLeast(f64),
    /// The figure itself.
    Below(f64),
    AtMost(f64),
    /// The figure divided by its limit.
    RatioAtLeast(f64),
}

/// The most that is possible here, measured beside the figure and in its unit.
#[derive(Debug, Clone, PartialEq)]
struct Limit {
    what: String,
    value: f64,
}

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    /// The same measurement in another unit, for example µs each.
    remark: String,
    limit: Option<Limit>,
    target: Option<Target>,
}

impl Figure {
    pub(super) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let remark = String::new();
        Self { what: what.into(), value, unit, remark, limit: None, target: None }
    }

    #[must_use]
    pub(super) fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = remark.into();
        self
    }

    #[must_use]
    pub(super) fn limit(mut self, what: impl Into<String>, value: f64) -> Self {
        self.limit = Some(Limit { what: what.into(), value });
        self
    }

    #[must_use]
    pub(super) const fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.limit.as_ref().map(|limit| self.value / limit.value)
    }

    /// `None` without a target.
    fn met(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(bound) => self.value >= bound,
            Target::Below(bound) => self.value < bound,
            Target::AtMost(bound) => self.value <= bound,
            Target::RatioAtLeast(bound) => self.ratio().is_some_and(|ratio| ratio >= bound),
        })
    }

    fn target_text(&self) -> String {
        self.target.map_or_else(String::new, |target| match target {
            Target::AtLeast(bound) => format!(">= {}", number(bound)),
            Target::Below(bound) => format!("< {}", number(bound)),
            Target::AtMost(bound) => format!("<= {}", number(bound)),
            Target::RatioAtLeast(bound) => format!("ratio >= {bound}"),
        })
    }

    fn cells(&self) -> [String; 8] {
        [
            self.what.clone(),
            number(self.value),
            self.unit.to_owned(),
            self.remark.clone(),
            self.limit.as_ref().map_or_else(String::new, |limit| {
                format!("{} {}", number(limit.value), limit.what)
            }),
            self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            self.target_text(),
            self.met().map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
        ]
    }

    fn to_json(&self) -> Value {
        let limit = self.limit.as_ref();
        json!({
            "what": self.what,
            "figure": self.value,
            "unit": self.unit,
            "remark": self.remark,
            "limit": limit.map(|limit| limit.value),
            "limit_is": limit.map(|limit| limit.what.clone()),
            "ratio": self.ratio(),
            "target": self.target.map(|_| self.target_text()),
            "met": self.met(),
        })
    }
}

/// Digits enough to compare, none that are noise.
fn number(value: f64) -> String {
    if value.abs() < 100.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    // Rates and sizes are positive and far below 2^53.
    grouped(value.round().max(0.0) as u64)
}

/// All figures of a run.
#[derive(Debug)]
pub(super) struct Figures {
    records: u32,
    engine: &'static str,
    figures: Vec<Figure>,
}

impl Figures {
    pub(super) const fn new(records: u32, engine: &'static str) -> Self {
        Self { records, engine, figures: Vec::new() }
    }

    pub(super) fn extend(&mut self, figures: impl IntoIterator<Item = Figure>) {
        self.figures.extend(figures);
    }

    pub(super) fn show(&self, context: &Context) -> Result<(), CliError> {
        if context.output.format() == Format::Table {
            context.output.table(&self.table())
        } else {
            context.output.document(self.to_json())
        }
    }

    fn table(&self) -> Table {
        let header = ["measured", "figure", "unit", "that is", "limit", "ratio", "target", "met"];
        let mut table = Table::new(header).right(&[1, 5]).below(&[3, 4, 6]);
        self.figures.iter().for_each(|figure| table.row(figure.cells()));
        table
    }

    fn to_json(&self) -> Value {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "optimised": !cfg!(debug_assertions),
            "processors": processors,
            "records": self.records,
            "engine": self.engine,
            "figures": self.figures.iter().map(Figure::to_json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(value: f64) -> Figure {
        Figure::new("records verified", value, "/s")
    }

    #[test]
    fn a_ratio_just_below_its_target_is_a_miss() {
        let target = Target::RatioAtLeast(10.0);
        assert_eq!(rate(999.9).limit("one by one", 100.0).target(target).met(), Some(false));
        assert_eq!(rate(1_000.0).limit("one by one", 100.0).target(target).met(), Some(true));
        assert_eq!(rate(1_000.0).target(target).met(), Some(false));
    }

    #[test]
    fn a_figure_without_a_target_is_neither_met_nor_missed() {
        assert_eq!(rate(1.0).met(), None);
        assert_eq!(rate(1.0).to_json()["met"], Value::Null);
    }

    #[test]
    fn bounds_of_the_figure_itself_are_checked_as_written() {
        assert_eq!(rate(50.0).target(Target::AtMost(50.0)).met(), Some(true));
        assert_eq!(rate(300.0).target(Target::Below(300.0)).met(), Some(false));
        assert_eq!(rate(10_000.0).target(Target::AtLeast(10_000.0)).met(), Some(true));
    }

    #[test]
    fn a_row_shows_figure_limit_ratio_and_verdict() {
        let figure = rate(312_500.4)
            .remark("3.20 µs each")
            .limit("one strict verification each", 30_000.0)
            .target(Target::RatioAtLeast(10.0));
        assert_eq!(
            figure.cells().join("|"),
            "records verified|312,500|/s|3.20 µs each|30,000 one strict verification each|10.42|\
             ratio >= 10|yes"
        );
    }
}
