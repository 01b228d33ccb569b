//! The part of an exchange stream's driver that is about cosignatures: bringing our checkpoint with
//! its proof, having the partner's judged, and writing down what comes back.

use super::witness::{ShownBy, Witnessing, adopt};
use crate::exchange::{Input, JournalSize, WitnessStanding};
use crate::ident::{AgencyName, TreeSize};
use crate::journal::entry::witness_name;
use crate::merkle::ShownCheckpoint;
use crate::node::error::NodeError;
use crate::node::peers::driver::{Answer, Driver, End, is_still};
use crate::pb::{self, journal_entry::Event};
use std::sync::Arc;

impl Witnessing {
    pub(in crate::node) fn journal_size(&self) -> JournalSize {
        let snapshot = self.core.view().snapshot();
        JournalSize {
            size: TreeSize::new(snapshot.size),
            substance: TreeSize::new(snapshot.state.substance),
        }
    }

    pub(in crate::node) fn standing(&self, agency: &AgencyName) -> WitnessStanding {
        let snapshot = self.core.view().snapshot();
        let witnessing = &snapshot.state.witnessing;
        let note = |cosigned: Option<&crate::journal::state::witnessing::Cosigned>| {
            cosigned.map_or_else(Vec::new, |cosigned| cosigned.note.to_vec())
        };
        let partner = snapshot.state.partners.get(agency);
        let origin = partner.map(|partner| partner.card.card().generation.journal_origin(agency));
        WitnessStanding {
            journal: self.journal_size(),
            witnessed_note: note(origin.and_then(|origin| witnessing.given.get(&origin))),
            cosigned_note: note(witnessing.received.get(&witness_name(agency))),
            receipted_note: partner.map_or_else(Vec::new, |partner| partner.receipt_note.to_vec()),
            every_ms: i64::from(self.every_seconds) * 1_000,
        }
    }
}

impl Driver<'_> {
    pub(in crate::node) fn answer_journal_root(&self, size: TreeSize) -> Result<(), End> {
        let journal = self.peers.core.view().journal();
        // What is signed ends at the snapshot; leaves behind it may be on their way.
        let has = size.get() <= self.peers.core.view().snapshot().size;
        let root = if has { Some(journal.root_at(size.get())?) } else { None };
        self.answer(Input::JournalRoot { size, root });
        Ok(())
    }

    pub(in crate::node) fn load_checkpoint(&self, old: TreeSize) -> Result<(), End> {
        let view = self.peers.core.view();
        let snapshot = view.snapshot();
        let needs_proof = old.get() > 0 && old.get() < snapshot.size;
        let proof = if needs_proof {
            view.journal().consistency(old.get(), snapshot.size)?
        } else {
            Vec::new()
        };
        let (note, made_at) = (snapshot.note.to_vec(), snapshot.state.last_at);
        self.answer(Input::Checkpoint { proof, note, made_at });
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

    /// Takes in a cosignature from before the own logs were succeeded.
    pub(in crate::node) async fn adopt_cosignature(&self, note: Vec<u8>) -> Result<(), End> {
        let origin = self.peers.pair(self.agency)?.partner.journal_origin().to_string();
        let partner = self.agency.to_string();
        let given = pb::CosignatureGiven { origin, partner, note: note.into() };
        let (agency, generation) = (self.agency.clone(), self.generation);
        // The writer takes what is judged later after it.
        let _in_turn = self
            .peers
            .core
            .journal
            .enqueue(
                move |tx| {
                    if is_still(tx, &agency, generation) { adopt(tx, given) } else { Ok(()) }
                },
            )
            .await
            .map_err(NodeError::from)?;
        Ok(())
    }

    pub(in crate::node) async fn record_cosignature(&self, note: Vec<u8>) -> Result<(), End> {
        let witness = witness_name(self.agency);
        self.peers.core.time.signed(self.agency, &witness, &note);
        let received = pb::CosignatureReceived { witness, note: note.into() };
        let (agency, generation) = (self.agency.clone(), self.generation);
        // Nothing waits for it: the witness has it too.
        let _in_turn = self
            .peers
            .core
            .journal
            .enqueue(move |tx| {
                if !is_still(tx, &agency, generation) {
                    return Ok(());
                }
                tx.append(Event::CosignatureReceived(received)).map(drop)
            })
            .await
            .map_err(NodeError::from)?;
        Ok(())
    }
}
