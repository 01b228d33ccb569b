//! The node's answers on one stream, to compare its receipt with.

use crate::cli::error::CliError;
use crate::ident::{AgencyName, RecordId};
use crate::merkle::{Frontier, leaf_hash};
use crate::node::receipt;
use crate::partner::PublicKey;
use crate::pb::{self, DraftOutcome};
use bytes::Bytes;

/// The agency that gives receipts, and the key that it signs them with.
#[derive(Debug, Clone)]
pub(super) struct ReceiptGiver {
    pub(super) agency: AgencyName,
    pub(super) key: PublicKey,
}

/// Answers by outcome, and the tree over the ids in them.
#[derive(Debug, Default)]
pub(super) struct Heard {
    figures: pb::SubmissionReceipt,
    ids: Frontier,
}

impl Heard {
    pub(super) fn add(&mut self, result: &pb::DraftResult) -> Result<(), CliError> {
        match result.outcome() {
            DraftOutcome::Created => self.figures.created += 1,
            DraftOutcome::Revised => self.figures.revised += 1,
            DraftOutcome::Unchanged => self.figures.unchanged += 1,
            DraftOutcome::Refused => {
                self.figures.refused += 1;
                return Ok(());
            }
            DraftOutcome::Unspecified => {
                return Err(CliError::Answer("a result without an outcome".into()));
            }
        }
        let id = RecordId::try_from(&result.record_id[..])
            .map_err(|error| CliError::Answer(format!("the record id of a result: {error}")))?;
        self.ids.push(leaf_hash(id.as_bytes()));
        Ok(())
    }

    /// Returns the figures that a receipt over these answers must contain.
    pub(super) fn figures(&self) -> pb::SubmissionReceipt {
        let ids_root = Bytes::copy_from_slice(self.ids.root().as_bytes());
        pb::SubmissionReceipt { ids_root, ..self.figures.clone() }
    }

    /// Checks that the receipt covers exactly these answers and that its giver signed it.
    pub(super) fn check(
        &self,
        found: &pb::SubmissionReceipt,
        giver: &ReceiptGiver,
    ) -> Result<(), CliError> {
        let wrong = |found: String| CliError::Verification { found };
        let pb::SubmissionReceipt { checkpoint_note, note, .. } = found.clone();
        let wanted = pb::SubmissionReceipt { checkpoint_note, note, ..self.figures() };
        if *found != wanted {
            return Err(wrong("the node's receipt is not over what its answers said".into()));
        }
        receipt::verify(&giver.agency, found, &giver.key)
            .map_err(|error| wrong(format!("the node's receipt does not hold: {error}")))
    }
}
