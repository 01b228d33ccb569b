//! Duties between partners: what is taken back and shown again.

use super::erase_tests::{Journal, TITLE, indicator, open, partner, signing};
use super::open::{self, JournalOptions};
use super::state::PartnerNumber;
use super::transaction::{Origin, Transaction};
use crate::ident::RecordId;
use crate::record::slots::SlotMask;
use crate::store::EngineKind;
use std::path::Path;
use std::sync::Arc;

const NUMBER: PartnerNumber = PartnerNumber::new(1);

/// The journal of a directory after a restart with an index made anew.
fn indexed_again(journal: Journal, dir: &Path) -> Journal {
    journal.stop();
    let options = JournalOptions::new(dir, EngineKind::Fjall);
    open::reindex(&options, signing()).unwrap();
    open(dir, EngineKind::Fjall)
}

#[test]
fn what_is_taken_back_and_shown_again_in_one_batch_can_be_taken_back_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    journal.add_partner();
    let (record, title) = (indicator(), SlotMask::from_bits(TITLE));
    let (id, first, whole) = (record.id(), Arc::clone(&record), Arc::clone(&record));
    journal.commit(move |tx| {
        let origin = Origin::Partner { agency: &partner(), number: NUMBER, feed_index: 0 };
        tx.accept(first, origin).map(drop)
    });
    let retract = |feed_index| {
        move |tx: &mut Transaction<'_>| tx.retract(&id, title, (&partner(), NUMBER, feed_index))
    };
    let taken_back = retract(1);
    journal.commit(move |tx| {
        taken_back(tx)?;
        let mut merged = (*tx.record(&id)?.unwrap()).clone();
        let gained = merged.absorb(&whole).unwrap();
        assert_eq!(gained, title, "what is taken back is no longer in use");
        tx.extend(Arc::new(merged), gained, (&partner(), NUMBER, 2))
    });
    let in_use = |journal: &Journal, id: &RecordId| {
        let kept = journal.ledger.view().kept(id).unwrap().unwrap();
        (kept.record.open_slots(), journal.finds("kept"))
    };
    let all = record.open_slots();
    assert_eq!(in_use(&journal, &id), (all, 1));
    let journal = indexed_again(journal, dir.path());
    assert_eq!(in_use(&journal, &id), (all, 1));
    journal.commit(retract(3));
    assert_eq!(in_use(&journal, &id), (all.without(title), 0));
    let journal = indexed_again(journal, dir.path());
    assert_eq!(in_use(&journal, &id), (all.without(title), 0));
}
