//! Duties between partners: what is taken back and shown again, and how the answers to ours show.

use super::erase::Ground;
use super::erase_tests::{Journal, TITLE, VALUE, ground, indicator, now, open, partner, signing};
use super::open::{self, JournalOptions};
use super::progress::Progress;
use super::state::PartnerNumber;
use super::transaction::{Origin, Transaction};
use crate::ident::{KeyId, RecordId};
use crate::pb::{self, ErasureProgress, ExceptionReason, FeedAction};
use crate::record::erasure::{ErasureBasis, ErasureOrder};
use crate::record::slots::SlotMask;
use crate::store::EngineKind;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
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
        let gained = merged.absorb(&whole, SlotMask::NONE).unwrap();
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

/// A record with its disclosure, a retraction of its value and an order to erase its title in the feed to
/// the partner.
fn with_duties(journal: &Journal) -> RecordId {
    let record = indicator();
    let (id, all) = (record.id(), record.open_slots().bits());
    journal.add_partner();
    journal.accept(&record);
    let title = SlotMask::from_bits(TITLE);
    let key = (&SigningKey::from_bytes(&[1; 32]), KeyId::from_bytes([7; 16]));
    let order = ErasureOrder::sign(&id, title, ErasureBasis::Led16, now(), key);
    let entry = move |action: FeedAction, open_slots| pb::FeedEntry {
        action: action.into(),
        record_id: Bytes::copy_from_slice(id.as_bytes()),
        open_slots,
        policy_version: 1,
        at_ms: now().unix_ms().unsigned_abs(),
        ..pb::FeedEntry::default()
    };
    journal.commit(move |tx| {
        tx.erase(&id, title, &Ground { order: Some(order), ..ground() })?;
        let ordered = entry(FeedAction::Erase, TITLE);
        let entries = [
            entry(FeedAction::Disclose, all),
            entry(FeedAction::Retract, VALUE),
            pb::FeedEntry { order: Some((&order).into()), ..ordered },
        ];
        tx.publish(&partner(), &entries, Progress::default(), 0)
    });
    id
}

/// The partner's receipt for everything, which takes neither duty for this reason.
fn answer(journal: &Journal, reason: Option<ExceptionReason>) {
    journal.commit(move |tx| {
        let exception = |(index, reason): (u64, ExceptionReason)| pb::FeedException {
            index,
            reason: reason.into(),
            detail: String::new(),
        };
        let refused = reason.into_iter().flat_map(|reason| [(1, reason), (2, reason)]);
        let exceptions: Vec<_> = refused.map(exception).collect();
        tx.receipt(pb::ReceiptReceived {
            partner: partner().to_string(),
            note: tx.state().partners[&partner()].published.note.clone(),
            exceptions_total: exceptions.len() as u64,
            exceptions,
            ..pb::ReceiptReceived::default()
        })
    });
}

/// How the retraction and the order to erase show.
fn progress(journal: &Journal, id: &RecordId) -> (ErasureProgress, ErasureProgress) {
    let view = journal.ledger.view();
    let retractions = view.retractions(None, None, u64::MAX, false, 9).unwrap().retractions;
    let erasures = view.erasure_report(Some(id), false, u64::MAX, 9).unwrap().erasures;
    (retractions[0].progress(), erasures[0].partners[0].progress())
}

#[test]
fn a_duty_that_a_partner_refused_shows_as_refused_whatever_the_reason() {
    use ErasureProgress::{Done, Held, Outstanding, Refused};
    let answers = [
        (None, (Done, Done)),
        (Some(ExceptionReason::Malformed), (Refused, Refused)),
        (Some(ExceptionReason::Signature), (Refused, Refused)),
        (Some(ExceptionReason::Policy), (Refused, Refused)),
        (Some(ExceptionReason::NotSupplied), (Refused, Refused)),
        (Some(ExceptionReason::NotOrdered), (Refused, Refused)),
        (Some(ExceptionReason::HeldAsEvidence), (Refused, Held)),
    ];
    for (reason, wanted) in answers {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path(), EngineKind::Fjall);
        let id = with_duties(&journal);
        assert_eq!(progress(&journal, &id), (Outstanding, Outstanding));
        answer(&journal, reason);
        assert_eq!(progress(&journal, &id), wanted, "{reason:?}");
        let journal = indexed_again(journal, dir.path());
        assert_eq!(progress(&journal, &id), wanted, "{reason:?} with a new index");
    }
}
