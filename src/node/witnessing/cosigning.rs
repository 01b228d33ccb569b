//! The part of an exchange stream's driver that is about cosignatures: bringing our checkpoint with
//! its proof, having the partner's judged, and writing down what comes back.

use super::witness::{ShownBy, Witnessing};
use crate::exchange::{Input, JournalSize};
use crate::ident::TreeSize;
use crate::journal::entry::witness_name;
use crate::merkle::ShownCheckpoint;
use crate::node::peers::answers;
use crate::node::peers::driver::{Answer, Driver, End};
use std::sync::Arc;

impl Witnessing {
    pub(in crate::node) fn journal_size(&self) -> JournalSize {
        answers::journal_size(&self.core.view().snapshot())
    }
}

impl Driver<'_> {
    pub(in crate::node) fn answer_journal_root(&self, size: TreeSize) -> Result<(), End> {
        self.answer(answers::journal_root(self.peers.core.view(), size)?);
        Ok(())
    }

    pub(in crate::node) fn load_checkpoint(&self, old: TreeSize) -> Result<(), End> {
        self.answer(answers::checkpoint(self.peers.core.view(), old)?);
        Ok(())
    }

    /// Off the driver's own way: the writer may be busy, and batches go on meanwhile.
    pub(in crate::node) fn witness(&self, shown: ShownCheckpoint) {
        let (witnessing, answers) = (Arc::clone(&self.peers.witnessing), self.answers.clone());
        tokio::spawn(async move {
            let answer = match witnessing.add_checkpoint(shown, ShownBy::Log).await {
                Ok(witnessed) => Answer::Input(Input::Witnessed(witnessed)),
                Err(error) => Answer::Failed(error),
            };
            drop(answers.send(answer));
        });
    }

    /// Takes in a cosignature from before the own logs were succeeded. What is judged later comes after it.
    pub(in crate::node) async fn adopt_cosignature(&self, note: Vec<u8>) -> Result<(), End> {
        self.in_turn(move |partner, tx| partner.adopt_cosignature(tx, note)).await
    }

    pub(in crate::node) async fn record_cosignature(&self, note: Vec<u8>) -> Result<(), End> {
        self.peers.core.time.signed(self.agency, &witness_name(self.agency), &note);
        // The witness has it too, so nothing waits for it.
        self.in_turn(move |partner, tx| partner.record_cosignature(tx, note)).await
    }
}
