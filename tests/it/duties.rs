//! Duties that a partner lays on a node: forged ones are refused and tell nothing of what is held,
//! and what takes a record back stands outside the policy on what is accepted.

use bytes::Bytes;
use liaison::exchange::{FeedAction, FeedEntry, WHOLE_RECORD};
use liaison::ident::RecordId;
use liaison::pb::{self, ExceptionReason};
use liaison::policy::ClientRole;
use liaison::record::commit::record_id;
use liaison::record::slots::SlotMask;

use crate::fixture::{CORE_ONLY, RunningNode, audited, indicator};
use crate::impostor::{Impostor, duty, shown};

const PARTNER: &str = "impostor.example";
const VALUE: SlotMask = SlotMask::from_bits(0b10);

fn erase(by: &Impostor, id: RecordId) -> (FeedEntry, pb::Envelope) {
    let order = Some(by.order(&id, VALUE));
    let entry = FeedEntry { order, ..duty(FeedAction::Erase, id, VALUE) };
    (entry, pb::Envelope::default())
}

fn retract(id: RecordId) -> (FeedEntry, pb::Envelope) {
    (duty(FeedAction::Retract, id, WHOLE_RECORD), pb::Envelope::default())
}

async fn view(node: &RunningNode, id: &RecordId) -> pb::RecordView {
    let id = Bytes::copy_from_slice(id.as_bytes());
    node.view(ClientRole::Analyst, &id).await.unwrap()
}

fn is_open(view: &pb::RecordView) -> bool {
    view.envelope.as_ref().unwrap().slots[0].state() == pb::SlotState::Open
}

#[tokio::test]
async fn a_forged_erasure_in_the_batch_of_its_record_is_refused_and_tells_nothing_of_what_is_held()
{
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "npa.example", "police", CORE_ONLY).await;
    node.apply_policy(CORE_ONLY).await;
    let mut partner = Impostor::enrolled_at(PARTNER, &node).await;
    let stranger = Impostor::unknown_to("stranger.example", &node).await;
    let own = node.submit(vec![indicator("own.example", "")]).await.remove(0).record_id;
    let own = RecordId::try_from(&own[..]).unwrap();
    let nowhere = RecordId::from_bytes([7; 32]);
    let theirs = partner.record(indicator("theirs.example", ""));
    let id = record_id(&theirs.header);
    let mut forged = erase(&stranger, id);
    forged.0.open_slots = VALUE;
    let batch = partner.batch_of(vec![
        (shown(FeedAction::Disclose, &theirs), theirs.clone()),
        forged,
        erase(&partner, own),
        erase(&partner, nowhere),
        retract(own),
        retract(nowhere),
    ]);
    let exceptions = partner.deliver(batch).await.exceptions;
    let refused: Vec<_> = exceptions.iter().map(|e| (e.index, e.reason())).collect();
    let expected = [
        (1, ExceptionReason::Signature),
        (2, ExceptionReason::NotOrdered),
        (3, ExceptionReason::NotOrdered),
    ];
    assert_eq!(refused, expected, "{exceptions:?}");
    assert_eq!(exceptions[1].detail, exceptions[2].detail, "held and unknown are answered alike");
    for id in [&id, &own] {
        assert!(is_open(&view(&node, id).await));
    }
    audited(&node);

    // Its own good order about its own record is carried out, in a batch of its own or not.
    let again = partner.record(indicator("again.example", ""));
    let other = record_id(&again.header);
    let batch = partner.batch_of(vec![
        (shown(FeedAction::Disclose, &again), again.clone()),
        erase(&partner, other),
        erase(&partner, id),
    ]);
    assert_eq!(partner.deliver(batch).await.exceptions, []);
    for id in [&id, &other] {
        assert!(!is_open(&view(&node, id).await));
    }
    audited(&node);
}

#[tokio::test]
async fn what_is_taken_back_and_shown_again_in_one_batch_can_be_taken_back_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "npa.example", "police", CORE_ONLY).await;
    node.apply_policy(CORE_ONLY).await;
    let mut partner = Impostor::enrolled_at(PARTNER, &node).await;
    let record = partner.record(indicator("again.example", ""));
    let id = record_id(&record.header);
    let given = (shown(FeedAction::Disclose, &record), record.clone());
    let narrowed = || (duty(FeedAction::Retract, id, VALUE), pb::Envelope::default());
    let widened = (shown(FeedAction::Revise, &record), record.clone());
    for (entries, open) in
        [(vec![given], true), (vec![narrowed(), widened], true), (vec![narrowed()], false)]
    {
        let batch = partner.batch_of(entries);
        assert_eq!(partner.deliver(batch).await.exceptions, []);
        assert_eq!(is_open(&view(&node, &id).await), open);
    }
    audited(&node);
}

#[tokio::test]
async fn whoever_took_a_record_takes_its_withdrawal_whatever_is_accepted_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "npa.example", "police", CORE_ONLY).await;
    node.apply_policy(CORE_ONLY).await;
    let mut partner = Impostor::enrolled_at(PARTNER, &node).await;
    let taken = partner.record(indicator("taken.example", ""));
    let batch = partner.batch(vec![taken.clone()]);
    assert_eq!(partner.deliver(batch).await.exceptions, []);

    let (start, end) = (CORE_ONLY.find("@id(\"test/share\")").unwrap(), CORE_ONLY.len());
    node.apply_policy(&CORE_ONLY[start..end]).await;
    let never = partner.record(indicator("never.example", ""));
    let withdrawals = [&taken, &never].map(|of| partner.withdrawal(of));
    let mut with = vec![(shown(FeedAction::Disclose, &never), never.clone())];
    with.extend(withdrawals.clone().map(|of| (shown(FeedAction::Withdraw, &of), of)));
    let batch = partner.batch_of(with);
    let exceptions = partner.deliver(batch).await.exceptions;
    let refused: Vec<_> = exceptions.iter().map(|e| (e.index, e.reason())).collect();
    assert_eq!(refused, [(1, ExceptionReason::Policy), (3, ExceptionReason::Policy)]);
    assert!(view(&node, &record_id(&taken.header)).await.withdrawn);
    audited(&node);
}
