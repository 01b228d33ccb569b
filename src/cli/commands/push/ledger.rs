//! The account of a push: what came of each row, in the order of the file.
//!
//! A row counts once the node's answer is here or once it was refused before sending; nothing is
//! ever counted that a cut could take back.

use super::batch::Batch;
use super::heard::{Heard, ReceiptGiver};
use super::rejects::Rejects;
use super::row::Refusal;
use super::state::{Counts, PartReceipt, Position, StateFile};
use super::unknown_cases::CaseReferences;
use crate::cli::error::CliError;
use crate::cli::progress::Progress;
use crate::cli::schema::{self, Absent};
use crate::pb::{self, DraftOutcome};

/// The option that takes what was withdrawn.
pub(super) const REINSTATE: &str = "--reinstate";

pub(super) struct Ledger<'a> {
    position: Position,
    rejects: Rejects,
    /// None for a pipe, which cannot be read again, and for a dry run.
    state: Option<StateFile>,
    progress: Progress<'a>,
    /// Rows that were settled before this stream.
    rows_before: u64,
    heard: Heard,
    case_references: CaseReferences,
    giver: Option<ReceiptGiver>,
    /// Columns without a place in the kind that were found on the way.
    without_place: Vec<String>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(
        position: Position,
        rejects: Rejects,
        state: Option<StateFile>,
        progress: Progress<'a>,
    ) -> Self {
        let rows_before = position.counts.rows();
        let heard = Heard::default();
        Self {
            position,
            rejects,
            state,
            progress,
            rows_before,
            heard,
            case_references: CaseReferences::default(),
            giver: None,
            without_place: Vec::new(),
        }
    }

    /// Receipts must be this giver's; without one none is taken.
    #[must_use]
    pub(super) fn receipted_by(self, giver: ReceiptGiver) -> Self {
        Self { giver: Some(giver), ..self }
    }

    pub(super) const fn counts(&self) -> Counts {
        self.position.counts
    }

    pub(super) const fn case_references(&self) -> &CaseReferences {
        &self.case_references
    }

    /// Rejected rows whose thing was withdrawn before.
    pub(super) const fn withdrawn(&self) -> u64 {
        self.position.withdrawn
    }

    pub(super) fn without_place(&self) -> &[String] {
        &self.without_place
    }

    pub(super) fn receipts(&self) -> &[PartReceipt] {
        &self.position.receipts
    }

    pub(super) fn rejects_path(&self) -> &std::path::Path {
        self.rejects.path()
    }

    pub(super) fn rows_per_second(&self) -> u64 {
        self.progress.rows_per_second(self.counts().rows())
    }

    /// Settles a portion with the node's answers, one for each of its drafts.
    pub(super) fn settle(
        &mut self,
        batch: &Batch,
        results: &[pb::DraftResult],
    ) -> Result<(), CliError> {
        if results.len() != batch.draft_count {
            return Err(CliError::Answer(format!(
                "{} results for {} drafts",
                results.len(),
                batch.draft_count
            )));
        }
        self.without_place.extend_from_slice(&batch.without_place);
        let mut results = results.iter();
        for row in &batch.rows {
            let refusal = match &row.refusal {
                Some(refusal) => Some(refusal.clone()),
                None => results.next().map(|result| self.count(result)).transpose()?.flatten(),
            };
            match (refusal, &row.case_reference) {
                (Some(refusal), _) => self.reject(row.line, &refusal, &row.original)?,
                (None, Some(reference)) => self.case_references.add(reference),
                (None, None) => {}
            }
        }
        self.save(false)?;
        self.progress.update(batch.bytes_read, self.counts().rows());
        Ok(())
    }

    /// Settles a portion that was only looked at.
    pub(super) fn settle_unsent(&mut self, batch: &Batch) -> Result<u64, CliError> {
        self.without_place.extend_from_slice(&batch.without_place);
        for row in &batch.rows {
            if let Some(refusal) = &row.refusal {
                self.reject(row.line, refusal, &row.original)?;
            }
        }
        Ok(batch.draft_count as u64)
    }

    /// Takes the receipt over the rows of this stream, if it holds.
    pub(super) fn close(&mut self, receipt: &pb::SubmissionReceipt) -> Result<(), CliError> {
        let giver = self.giver.as_ref();
        let giver =
            giver.ok_or_else(|| CliError::Answer("a receipt that was not asked for".into()))?;
        self.heard.check(receipt, giver)?;
        self.position.receipts.push(PartReceipt {
            after_row: self.rows_before,
            through_row: self.counts().rows(),
            receipt: schema::to_json("SubmissionReceipt", receipt, Absent::Shown),
        });
        Ok(())
    }

    /// Makes the account durable.
    pub(super) fn save(&mut self, now: bool) -> Result<(), CliError> {
        self.flush()?;
        self.write_state(now)
    }

    fn flush(&mut self) -> Result<(), CliError> {
        let path = self.rejects.path().to_owned();
        self.position.report = self.rejects.flush().map_err(CliError::file("write", &path))?;
        Ok(())
    }

    fn write_state(&mut self, now: bool) -> Result<(), CliError> {
        match &mut self.state {
            Some(state) if now => state.write(&self.position),
            Some(state) => state.note(&self.position),
            None => Ok(()),
        }
    }

    pub(super) fn can_resume(&self) -> bool {
        self.state.is_some()
    }

    /// The push is complete.
    pub(super) fn finish(&mut self) -> Result<(), CliError> {
        self.save(true)?;
        self.progress.finish();
        self.state.as_ref().map_or(Ok(()), StateFile::remove)
    }

    /// The push ends before its end. Without a settled row it leaves no state, which would stand in
    /// the way of the right command.
    pub(super) fn break_off(&mut self) -> Result<(), CliError> {
        self.progress.finish();
        self.flush()?;
        if self.counts().rows() == 0 {
            return self.state.as_ref().map_or(Ok(()), StateFile::remove);
        }
        self.position.report.is_all = true;
        self.write_state(true)
    }

    fn count(&mut self, result: &pb::DraftResult) -> Result<Option<Refusal>, CliError> {
        self.heard.add(result)?;
        let counts = &mut self.position.counts;
        match result.outcome() {
            DraftOutcome::Created => counts.created += 1,
            DraftOutcome::Revised => counts.revised += 1,
            DraftOutcome::Unchanged => counts.unchanged += 1,
            DraftOutcome::Refused => {
                // The node's reason names the flag for such a row alone.
                self.position.withdrawn += u64::from(result.reason.contains(REINSTATE));
                return Ok(Some(Refusal::new(result.field.clone(), result.reason.clone())));
            }
            DraftOutcome::Unspecified => {
                return Err(CliError::Answer("a result without an outcome".into()));
            }
        }
        Ok(None)
    }

    fn reject(
        &mut self,
        line: u64,
        refusal: &Refusal,
        original: &csv::ByteRecord,
    ) -> Result<(), CliError> {
        self.position.counts.rejected += 1;
        let path = self.rejects.path().to_owned();
        self.rejects.add(line, refusal, original).map_err(CliError::file("write", &path))
    }
}
