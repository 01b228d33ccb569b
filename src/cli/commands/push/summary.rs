//! The summary at the end of a push, and the document that holds the node's receipt.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ledger::{Ledger, REINSTATE};
use super::retry;
use super::state::{Counts, PartReceipt};
use crate::cli::error::CliError;
use crate::cli::output::SCHEMA;
use crate::cli::table::facts;
use crate::numerals::grouped;

/// The end of a push.
pub(super) struct Summary {
    file: PathBuf,
    counts: Counts,
    rows_per_second: u64,
    receipts: Vec<PartReceipt>,
    receipt_path: PathBuf,
    rejects_path: PathBuf,
    withdrawn: u64,
}

impl Summary {
    pub(super) fn of(file: &Path, ledger: &Ledger<'_>, receipt_path: &Path) -> Self {
        Self {
            file: file.to_owned(),
            counts: ledger.counts(),
            rows_per_second: ledger.rows_per_second(),
            receipts: ledger.receipts().to_vec(),
            receipt_path: receipt_path.to_owned(),
            rejects_path: ledger.rejects_path().to_owned(),
            withdrawn: ledger.withdrawn(),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let Counts { created, revised, unchanged, rejected } = self.counts;
        let mut lines = vec![
            ("rows", grouped(self.counts.rows())),
            ("created", grouped(created)),
            ("revised", grouped(revised)),
            ("unchanged", grouped(unchanged)),
            ("rejected", grouped(rejected)),
            ("rate", format!("{} rows/s", grouped(self.rows_per_second))),
        ];
        if rejected > 0 {
            lines.push(("report", self.rejects_path.display().to_string()));
        }
        if !self.receipts.is_empty() {
            lines.push(("receipt", self.receipt_path.display().to_string()));
        }
        if self.rows_without_receipt() > 0 {
            let text = format!(
                "{} rows were answered on a stream that was cut; push again with --restart to have them receipted",
                grouped(self.rows_without_receipt())
            );
            lines.push(("no receipt", text));
        }
        facts(lines)
    }

    pub(super) fn to_json(&self) -> Value {
        let rejected = self.counts.rejected > 0;
        json!({
            "rows": self.counts.rows(),
            "created": self.counts.created,
            "revised": self.counts.revised,
            "unchanged": self.counts.unchanged,
            "rejected": self.counts.rejected,
            "rows_per_second": self.rows_per_second,
            "rows_without_receipt": self.rows_without_receipt(),
            "receipt": (!self.receipts.is_empty()).then(|| self.receipt_path.display().to_string()),
            "report": rejected.then(|| self.rejects_path.display().to_string()),
        })
    }

    /// The proof that the rows arrived, one part for each stream that was needed.
    pub(super) fn receipt_document(&self) -> Value {
        json!({
            "schema": SCHEMA,
            "file": self.file.display().to_string(),
            "rows": self.counts.rows(),
            "rejected": self.counts.rejected,
            "rows_without_receipt": self.rows_without_receipt(),
            "receipts": self.receipts,
        })
    }

    /// `command` is the one that was typed.
    pub(super) fn result(&self, command: &[OsString]) -> Result<(), CliError> {
        let report = &self.rejects_path;
        let mut fix = retry::command(command, &self.file, report).map_or_else(
            || format!("correct the rows in {0} and push {0}", report.display()),
            |command| format!("correct the rows in {} and run: {command}", report.display()),
        );
        if self.withdrawn > 0 {
            fix.push_str(&format!(
                "; {} rows are about what was withdrawn and are taken only with {REINSTATE}",
                grouped(self.withdrawn)
            ));
        }
        partly_done(self.counts.rejected, self.counts.rows(), report, fix)
    }

    fn rows_without_receipt(&self) -> u64 {
        if self.receipts.is_empty() {
            // Nothing was sent: there is nothing to receipt.
            return 0;
        }
        let covered: u64 = self.receipts.iter().map(|part| part.through_row - part.after_row).sum();
        self.counts.rows().saturating_sub(covered)
    }
}

/// The end of a look at the file.
pub(super) struct DryRun {
    pub(super) good: u64,
    pub(super) rejected: u64,
}

impl DryRun {
    pub(super) fn to_text(&self) -> String {
        facts([
            ("rows", grouped(self.good + self.rejected)),
            ("would send", grouped(self.good)),
            ("rejected", grouped(self.rejected)),
        ])
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "dry_run": true,
            "rows": self.good + self.rejected,
            "would_send": self.good,
            "rejected": self.rejected,
        })
    }

    pub(super) fn result(&self, file: &Path, report: &Path) -> Result<(), CliError> {
        let fix = format!("correct these rows in {}; nothing was sent", file.display());
        partly_done(self.rejected, self.good + self.rejected, report, fix)
    }
}

/// The error of a push that was interrupted.
pub(super) fn broken_off(ledger: &Ledger<'_>) -> CliError {
    let rows = ledger.counts().rows();
    let fix = if ledger.can_resume() {
        "run the same command to go on"
    } else {
        "send all rows again; those that the node has are found unchanged"
    };
    CliError::Interrupted { kept: format!("{rows} rows are settled"), fix: fix.into() }
}

/// Adds to an error how much is safe, and whether the same command goes on.
pub(super) fn with_progress(error: CliError, ledger: &Ledger<'_>) -> CliError {
    let rows = ledger.counts().rows();
    match error {
        CliError::Interrupted { .. } => broken_off(ledger),
        CliError::Node { source, .. } => {
            let doing = if rows == 0 {
                "push; no row is settled".into()
            } else if ledger.can_resume() {
                format!("push on; {rows} rows are settled and the same command goes on after them")
            } else {
                format!(
                    "push on; {rows} rows are settled, and input that is not a file cannot be gone on \
                     with: send all rows again; those that the node has are found unchanged"
                )
            };
            CliError::Node { doing, source }
        }
        other => other,
    }
}

fn partly_done(rejected: u64, rows: u64, report: &Path, fix: String) -> Result<(), CliError> {
    match rejected {
        0 => Ok(()),
        rejected => Err(CliError::PartlyDone { rejected, rows, report: report.to_owned(), fix }),
    }
}
