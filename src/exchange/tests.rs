//! The behaviour of a session and a check for each possible fault.

use bytes::Bytes;
use prost::Message as _;

use super::entry::FeedAction;
use super::exception::{Exception, Reason};
use super::exception_statement::{SignedExceptions, receipt as signed_receipt};
use super::fault::{Evidence, Fault, Misbehaviour, OwnFault, Refusal};
use super::fixture::{Agency, Feed, Ring, check, start_of_day};
use super::output::{Alert, Closing, Output};
use super::session::{Input, Session, Standing};
use super::signed_time::{CLOCK_DIFFERENCE_MS_MAX, ImpossibleTime};
use super::{
    BATCH_ENTRIES_MAX, BatchFault, BatchForm, CheckedBatch, Pair, WINDOW, WitnessStanding,
};
use crate::ident::{LeafIndex, Timestamp, TreeHash, TreeSize};
use crate::merkle::{CosignatureTime, EMPTY_ROOT, Frontier, OpenError, TreeHead};
use crate::pb;
use crate::pb::exchange_frame::Body;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;

/// Agency a discloses to agency b; a third one stands by.
struct Scene {
    a: Agency,
    b: Agency,
    c: Agency,
    feed: Feed,
    records: Vec<Verified>,
}

const ALL: SlotMask = SlotMask::from_bits(u32::MAX);

impl Scene {
    /// A feed of so many records, each under a head of its own.
    fn new(records: usize) -> Self {
        let (a, b, c) = (Agency::new(1), Agency::new(2), Agency::new(3));
        let mut feed = Feed::new(&a, &b);
        let records: Vec<_> =
            (0..records).map(|n| a.indicator(&format!("host{n}.example"), 50)).collect();
        for record in &records {
            feed.append(FeedAction::Disclose, record, record.open_slots());
            feed.publish();
        }
        Self { a, b, c, feed, records }
    }

    fn ring(&self) -> Ring {
        Ring::of([&self.a, &self.b])
    }

    fn receiving_pair(&self) -> Pair {
        self.b.pair_with(&self.a)
    }

    /// The batch from entry `from` to the head at `to`, as an honest sender makes it.
    fn batch(&self, from: u64, to: u64) -> pb::FeedBatch {
        let head = self.feed.heads.iter().find(|(head, _)| head.size.get() == to).unwrap();
        self.feed.batch(from, head, |entry| {
            let record = self.records.iter().find(|record| record.id() == entry.record);
            record.map_or_else(pb::Envelope::default, |r| r.redacted(entry.open_slots))
        })
    }

    fn check(&self, from: u64, batch: pb::FeedBatch) -> Result<CheckedBatch, BatchFault> {
        check(&self.receiving_pair(), &self.ring(), self.feed.frontier_at(from), batch)
    }

    /// b's receipt for the head at `size`.
    fn receipt(&self, size: u64) -> Vec<u8> {
        let head = self.feed.heads.iter().find(|(head, _)| head.size.get() == size).unwrap();
        self.feed.receipt(&head.1, &self.b.receipts)
    }

    /// b's receipt for the entries from one index to another, of which it did not take these.
    fn answer(&self, from: u64, to: u64, exceptions: &[Exception]) -> Input {
        self.answer_with(self.receipt(to), from..to, exceptions)
    }

    /// The same, signed so much later than the day began.
    fn answer_at(&self, from: u64, to: u64, later_ms: i64) -> Input {
        let head = self.feed.heads.iter().find(|(head, _)| head.size.get() == to).unwrap();
        let at = start_of_day().plus_ms(later_ms);
        self.answer_with(self.feed.receipt_at(&head.1, &self.b.receipts, at), from..to, &[])
    }

    fn answer_with(
        &self,
        note: Vec<u8>,
        range: std::ops::Range<u64>,
        exceptions: &[Exception],
    ) -> Input {
        let feed = self.a.pair_with(&self.b).own_feed();
        let answer = signed_receipt(note, &feed, range, exceptions, &self.b.receipts);
        frame(Body::Receipt(answer))
    }

    /// Returns the time at which b signed the receipt in a frame.
    fn signed_at(&self, frame: &pb::ExchangeFrame) -> CosignatureTime {
        let Some(Body::Receipt(receipt)) = &frame.body else { panic!("{frame:?}") };
        self.receiving_pair().own_receipt_time(&receipt.note).unwrap()
    }

    fn root_at(&self, size: u64) -> TreeHash {
        self.feed.root_at(TreeSize::new(size)).unwrap()
    }

    /// Returns the standing of b after its receipt for `size` entries.
    fn receiver_standing(&self, size: u64) -> Standing {
        Standing {
            partner_feed: self.feed.frontier_at(size),
            receipt_note: if size == 0 { Vec::new() } else { self.receipt(size) },
            ..nothing()
        }
    }

    fn sender(&self, receipted: u64) -> Session {
        let published = self.feed.published();
        let receipted = TreeSize::new(receipted);
        self.a.session(&self.b, Standing { published, receipted, ..nothing() }).0
    }

    /// A receiver that holds `size` entries and has had hello.
    fn receiver(&self, size: u64) -> Session {
        let mut session = self.b.session(&self.a, self.receiver_standing(size)).0;
        assert!(give(&mut session, frame(hello(&self.a, Vec::new(), size))).is_empty());
        session
    }

    /// A sender whose partner holds `size` entries, as both know, and the outputs since.
    fn sender_after_hello(&self, size: u64) -> (Session, Vec<Output>) {
        let mut session = self.sender(size);
        let note = if size == 0 { Vec::new() } else { self.receipt(size) };
        let mut out = give(&mut session, frame(hello(&self.b, note, 0)));
        if size > 0 {
            let (size, root) = (TreeSize::new(size), Some(self.root_at(size)));
            out = give(&mut session, root_of_own(size, root));
        }
        (session, out)
    }

    /// Answers loads until none is asked for; gives the number of batches sent.
    fn serve(&self, session: &mut Session, mut out: Vec<Output>) -> usize {
        let mut sent = 0;
        while let Some(Output::Load { from }) = out.last() {
            let from = from.get();
            let root = self.root_at(from + 1);
            out = give(session, loaded(self.batch(from, from + 1), root));
            sent += usize::from(matches!(&out[0], Output::Send(_)));
        }
        sent
    }
}

fn nothing() -> Standing {
    Standing {
        published: TreeSize::new(0),
        receipted: TreeSize::new(0),
        partner_feed: Frontier::new(),
        receipt_note: Vec::new(),
        witness: WitnessStanding::default(),
    }
}

fn frame(body: Body) -> Input {
    Input::Frame(pb::ExchangeFrame { body: Some(body) })
}

/// The root of our feed at a size; its heads were published when the day began.
fn root_of_own(size: TreeSize, root: Option<TreeHash>) -> Input {
    Input::Root { size, root, published_at: Some(start_of_day()) }
}

fn loaded(batch: pb::FeedBatch, root: TreeHash) -> Input {
    Input::Loaded { batch, root, published_at: Some(start_of_day()) }
}

fn hello(by: &Agency, receipt_note: Vec<u8>, receipted: u64) -> Body {
    Body::Hello(pb::Hello {
        protocol: 1,
        agency: by.name.to_string(),
        receipt_note: receipt_note.into(),
        receipted,
        ..pb::Hello::default()
    })
}

/// A receipt without a statement about exceptions.
fn unaccounted(note: Vec<u8>) -> Input {
    frame(Body::Receipt(pb::Receipt { note: note.into(), ..pb::Receipt::default() }))
}

/// Without the word that a hello holds, which comes with every first answer.
fn give(session: &mut Session, input: Input) -> Vec<Output> {
    let mut out = session.handle(input, start_of_day());
    out.retain(|output| !matches!(output, Output::Assured));
    out
}

/// The fault that an input ends the session with, and that it stays ended.
fn fault(session: &mut Session, input: Input) -> Fault {
    let mut out = give(session, input);
    let Some(Output::Close(Closing::Fault(fault))) = out.pop() else { panic!("{out:?}") };
    assert!(give(session, Input::Drain).is_empty());
    fault
}

fn exception_of(scene: &Scene, batch: pb::FeedBatch) -> (Reason, String) {
    let entries = batch.entries.len();
    let checked = scene.check(0, batch).unwrap();
    let [exception] = &checked.exceptions[..] else { panic!("{:?}", checked.exceptions) };
    assert_eq!(checked.taken.len(), entries - 1, "the rest is taken");
    assert!(checked.taken.iter().all(|taken| taken.index != exception.index));
    (exception.reason, exception.detail().to_owned())
}

// Checks of a batch.

#[test]
fn an_honest_batch_is_taken_whole() {
    let scene = Scene::new(3);
    let checked = scene.check(1, scene.batch(1, 3)).unwrap();
    let records: Vec<_> = checked.taken.into_iter().filter_map(|taken| taken.record).collect();
    assert!(records.iter().map(|record| &**record).eq(&scene.records[1..]));
    assert_eq!(checked.frontier, scene.feed.frontier_at(3));
    assert!(checked.exceptions.is_empty());
}

#[test]
fn a_forged_record_is_an_exception_and_the_rest_is_taken() {
    let scene = Scene::new(3);
    let mut batch = scene.batch(0, 3);
    let signature = batch.envelopes[1].signature.as_mut().unwrap();
    let mut bytes = signature.signature.to_vec();
    bytes[5] ^= 1;
    signature.signature = bytes.into();
    assert_eq!(exception_of(&scene, batch).0, Reason::Signature);
}

#[test]
fn a_record_of_an_unknown_originator_is_an_exception() {
    let mut scene = Scene::new(1);
    let foreign = scene.c.indicator("foreign.example", 50);
    scene.feed.append(FeedAction::Disclose, &foreign, ALL);
    scene.feed.publish();
    scene.records.push(foreign);
    assert_eq!(exception_of(&scene, scene.batch(0, 2)).0, Reason::Signature);
}

#[test]
fn changed_content_is_an_exception() {
    let scene = Scene::new(2);
    let mut batch = scene.batch(0, 2);
    batch.envelopes[0].slots[6].salt = Bytes::from_static(&[0; 16]);
    assert_eq!(exception_of(&scene, batch).0, Reason::Malformed);
}

#[test]
fn more_open_slots_than_the_entry_says_are_an_exception() {
    let mut scene = Scene::new(1);
    let record = scene.a.indicator("more.example", 50);
    scene.feed.append(FeedAction::Disclose, &record, SlotMask::from_bits(0b1110));
    scene.feed.publish();
    let mut batch = scene.batch(0, 2);
    batch.envelopes[1] = record.redacted(SlotMask::from_bits(0b11110));
    let (reason, detail) = exception_of(&scene, batch);
    assert_eq!(reason, Reason::Malformed);
    assert_eq!(detail, "slots 0x10 are open and not disclosed");
}

#[test]
fn fewer_open_slots_than_the_entry_says_are_taken() {
    let scene = Scene::new(1);
    let mut batch = scene.batch(0, 1);
    batch.envelopes[0] = scene.records[0].redacted(SlotMask::NONE);
    let checked = scene.check(0, batch).unwrap();
    assert_eq!(checked.taken[0].record.as_ref().unwrap().open_slots(), SlotMask::NONE);
}

#[test]
fn another_record_than_the_entry_names_is_an_exception() {
    let scene = Scene::new(2);
    let mut batch = scene.batch(0, 2);
    batch.envelopes[1] = batch.envelopes[0].clone();
    assert_eq!(exception_of(&scene, batch).0, Reason::Malformed);
}

#[test]
fn an_envelope_that_is_no_longer_supplied_is_an_exception() {
    let scene = Scene::new(2);
    let mut batch = scene.batch(0, 2);
    batch.envelopes[1] = pb::Envelope::default();
    assert_eq!(exception_of(&scene, batch), (Reason::NotSupplied, String::new()));
}

#[test]
fn withdraw_goes_with_a_withdrawal_and_disclose_does_not() {
    for (action, fits) in [(FeedAction::Withdraw, true), (FeedAction::Disclose, false)] {
        let mut scene = Scene::new(1);
        let withdrawal = scene.a.withdrawal(&scene.records[0]);
        scene.feed.append(action, &withdrawal, ALL);
        scene.feed.publish();
        scene.records.push(withdrawal);
        let checked = scene.check(0, scene.batch(0, 2)).unwrap();
        assert_eq!(checked.exceptions.is_empty(), fits);
    }
    let mut scene = Scene::new(1);
    scene.feed.append(FeedAction::Withdraw, &scene.records[0], ALL);
    scene.feed.publish();
    assert_eq!(exception_of(&scene, scene.batch(0, 2)).0, Reason::Malformed);
}

#[test]
fn a_duty_carries_no_envelope() {
    let mut scene = Scene::new(1);
    scene.feed.append(FeedAction::Retract, &scene.records[0], SlotMask::NONE);
    scene.feed.publish();
    let mut batch = scene.batch(0, 2);
    assert_eq!(exception_of(&scene, batch.clone()).0, Reason::Malformed);
    batch.envelopes[1] = pb::Envelope::default();
    let checked = scene.check(0, batch).unwrap();
    assert_eq!(checked.taken[1].entry.action, FeedAction::Retract);
    assert!(checked.exceptions.is_empty());
}

#[test]
fn an_entry_that_cannot_be_read_does_not_end_the_feed() {
    let mut scene = Scene::new(1);
    for leaf in [&b"no entry"[..], &[0; 200], b""] {
        scene.feed.append_bytes(Bytes::copy_from_slice(leaf));
    }
    scene.feed.publish();
    let checked = scene.check(0, scene.batch(0, 4)).unwrap();
    assert_eq!((checked.taken.len(), checked.exceptions.len()), (1, 3));
    assert!(checked.exceptions.iter().all(|e| e.reason == Reason::Malformed));
}

#[test]
fn another_root_under_a_good_signature_is_evidence() {
    let scene = Scene::new(1);
    let root = TreeHash::from_bytes([5; 32]);
    let signed = TreeHead { size: TreeSize::new(1), root };
    let forked = pb::FeedBatch { note: scene.feed.sign(signed).into(), ..scene.batch(0, 1) };
    let verdict = scene.check(0, forked.clone());
    assert!(matches!(verdict, Err(BatchFault::Fork { .. })), "{verdict:?}");

    let mut session = scene.receiver(0);
    let out = give(&mut session, frame(Body::FeedBatch(forked.clone())));
    assert!(matches!(out[..], [Output::Check { .. }]));
    let Fault::Contradiction(evidence) = fault(&mut session, Input::Checked(verdict)) else {
        panic!("a fork is evidence")
    };
    let (note, held) = (forked.note.to_vec(), Vec::new());
    let computed = scene.root_at(1);
    assert_eq!(*evidence, Evidence::PartnerForked { note, signed, computed, held });
}

#[test]
fn a_repeat_with_another_root_is_evidence() {
    let scene = Scene::new(1);
    let signed = TreeHead { size: TreeSize::new(1), root: TreeHash::from_bytes([5; 32]) };
    let forked = pb::FeedBatch { note: scene.feed.sign(signed).into(), ..scene.batch(0, 1) };
    let found = fault(&mut scene.receiver(1), frame(Body::FeedBatch(forked)));
    let Fault::Contradiction(evidence) = found else { panic!("{found:?}") };
    assert!(matches!(*evidence, Evidence::PartnerForked { held, .. } if !held.is_empty()));
}

#[test]
fn notes_of_another_feed_key_or_size_are_refused_without_evidence() {
    let scene = Scene::new(2);
    let note_of = |feed: &Feed| Bytes::from(feed.sign(scene.feed.heads[0].0));
    let with = |note| scene.check(0, pb::FeedBatch { note, ..scene.batch(0, 1) }).unwrap_err();
    let other_feed = with(note_of(&Feed::new(&scene.a, &scene.c)));
    assert!(matches!(other_feed, BatchFault::Note(OpenError::Origin { .. })), "{other_feed:?}");
    let reversed = with(note_of(&Feed::new(&scene.b, &scene.a)));
    assert!(matches!(reversed, BatchFault::Note(OpenError::Origin { .. })), "{reversed:?}");
    assert!(matches!(with(Bytes::new()), BatchFault::Note(OpenError::Note(_))));
    let (found, wanted) = (TreeSize::new(2), TreeSize::new(1));
    let longer = with(scene.feed.heads[1].1.clone().into());
    assert_eq!(longer, BatchFault::NoteSize { found, wanted });

    let mut impostor = Scene::new(0);
    impostor.a = Agency::new(4);
    let head = scene.feed.heads[0].0;
    let mut note = Feed::new(&impostor.a, &scene.b).sign(head);
    // The right origin over a signature of another's key.
    note.splice(.."agency4".len(), *b"agency1");
    let forged = with(note.into());
    assert!(matches!(forged, BatchFault::Note(OpenError::Verify { .. })), "{forged:?}");
}

// The receiving side of a session.

#[test]
fn a_receipt_leaves_only_after_the_batch_is_durable() {
    let scene = Scene::new(2);
    let mut session = scene.receiver(0);
    let out = give(&mut session, frame(Body::FeedBatch(scene.batch(0, 2))));
    let [Output::Check { frontier, batch }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(*frontier, Frontier::new());
    let out = give(&mut session, Input::Checked(scene.check(0, batch.clone().into_wire())));
    let [Output::Store(received)] = &out[..] else { panic!("{out:?}") };
    assert!(scene.a.pair_with(&scene.b).open_receipt(&received.receipt_note).is_ok());
    let out = give(&mut session, Input::Stored(Vec::new()));
    let [Output::Send(sent)] = &out[..] else { panic!("{out:?}") };
    let Some(Body::Receipt(receipt)) = &sent.body else { panic!("{sent:?}") };
    assert_eq!(receipt.note, received.receipt_note);
}

#[test]
fn a_repeated_batch_changes_nothing_and_is_answered_with_the_receipt_held() {
    let scene = Scene::new(3);
    let mut session = scene.receiver(2);
    for (from, to) in [(0, 1), (0, 2), (1, 2)] {
        let out = give(&mut session, frame(Body::FeedBatch(scene.batch(from, to))));
        let [Output::Send(sent)] = &out[..] else { panic!("{out:?}") };
        let note = scene.receipt(2).into();
        let answer = pb::Receipt { note, ..pb::Receipt::default() };
        assert_eq!(sent.body, Some(Body::Receipt(answer)));
    }
    let out = give(&mut session, frame(Body::FeedBatch(scene.batch(2, 3))));
    assert!(matches!(&out[..], [Output::Check { frontier, .. }] if frontier.size().get() == 2));
}

#[test]
fn a_gap_and_an_overlap_end_the_stream() {
    let scene = Scene::new(4);
    for (from, to) in [(2, 3), (0, 2), (3, 4)] {
        let found = fault(&mut scene.receiver(1), frame(Body::FeedBatch(scene.batch(from, to))));
        let (found_at, wanted) = (LeafIndex::new(from), TreeSize::new(1));
        assert_eq!(found, Misbehaviour::BatchOrder { found: found_at, wanted }.into());
    }
}

#[test]
fn an_oversized_batch_ends_the_stream() {
    let scene = Scene::new(1);
    let mut batch = scene.batch(0, 1);
    batch.entries = vec![batch.entries[0].clone(); BATCH_ENTRIES_MAX + 1];
    let found = fault(&mut scene.receiver(0), frame(Body::FeedBatch(batch.clone())));
    let form = |form| Fault::from(Misbehaviour::BatchForm(form));
    assert_eq!(found, form(BatchForm::Entries(BATCH_ENTRIES_MAX + 1)));
    batch.entries.truncate(1);
    batch.envelopes[0].header = vec![0; super::BATCH_BYTES_MAX].into();
    let found = fault(&mut scene.receiver(0), frame(Body::FeedBatch(batch.clone())));
    assert_eq!(found, form(BatchForm::Bytes(batch.encoded_len())));
    let mut batch = scene.batch(0, 1);
    batch.entries[0] = vec![0; super::FOREIGN_ENTRY_BYTES_MAX + 1].into();
    let found = fault(&mut scene.receiver(0), frame(Body::FeedBatch(batch)));
    assert_eq!(found, form(BatchForm::EntryBytes(super::FOREIGN_ENTRY_BYTES_MAX + 1)));
}

#[test]
fn more_batches_than_the_window_end_the_stream() {
    let scene = Scene::new(WINDOW + 1);
    let mut session = scene.receiver(0);
    let size = WINDOW as u64;
    for from in 0..size {
        give(&mut session, frame(Body::FeedBatch(scene.batch(from, from + 1))));
    }
    let found = fault(&mut session, frame(Body::FeedBatch(scene.batch(size, size + 1))));
    assert_eq!(found, Misbehaviour::WindowExceeded.into());
}

#[test]
fn a_receipt_that_a_cut_swallowed_comes_again_with_its_exceptions() {
    let scene = Scene::new(3);
    let mut receiver = scene.b.session(&scene.a, scene.receiver_standing(2)).0;
    let out = give(&mut receiver, frame(hello(&scene.a, Vec::new(), 1)));
    assert!(matches!(out[..], [Output::LoadExceptions { from }] if from.get() == 1));
    let lost = Exception::new(LeafIndex::new(1), Reason::Policy, "");
    let out = give(&mut receiver, Input::Exceptions(vec![lost.clone()]));
    let [Output::Send(again)] = &out[..] else { panic!("{out:?}") };

    let mut sender = scene.sender(1);
    give(&mut sender, frame(hello(&scene.b, scene.receipt(2), 0)));
    let (size, root) = (TreeSize::new(2), Some(scene.root_at(2)));
    let out = give(&mut sender, root_of_own(size, root));
    assert!(out.is_empty(), "nothing is sent before the receipt has come again: {out:?}");
    let out = give(&mut sender, Input::Frame(again.clone()));
    let [Output::RecordReceipt { size, signed, .. }, Output::Load { from }] = &out[..] else {
        panic!("{out:?}")
    };
    let [SignedExceptions { exceptions, .. }] = &signed[..] else { panic!("{signed:?}") };
    assert_eq!((size.get(), &exceptions[..], from.get()), (2, &[lost][..], 2));
}

#[test]
fn a_partner_that_knows_of_a_later_receipt_raises_an_alert() {
    let scene = Scene::new(2);
    let mut session = scene.b.session(&scene.a, scene.receiver_standing(1)).0;
    let out = give(&mut session, frame(hello(&scene.a, Vec::new(), 2)));
    let (receipted, held) = (TreeSize::new(2), TreeSize::new(1));
    let wanted = Alert::OwnEntriesLost { receipted, held };
    assert!(matches!(out[..], [Output::Alert(alert)] if alert == wanted));
}

// The sending side of a session.

#[test]
fn a_stream_goes_on_from_what_the_partner_holds() {
    let scene = Scene::new(5);
    let (mut session, out) = scene.sender_after_hello(3);
    assert!(matches!(out[..], [Output::Load { from }] if from.get() == 3));
    assert_eq!(scene.serve(&mut session, out), 2);
}

#[test]
fn at_most_a_window_is_under_way_and_each_receipt_lets_one_more_go() {
    let scene = Scene::new(WINDOW + 3);
    let (mut session, out) = scene.sender_after_hello(0);
    assert_eq!(scene.serve(&mut session, out), WINDOW);
    assert_eq!(session.lag().map(|lag| lag.entries), Some(WINDOW as u64 + 3));
    let out = give(&mut session, scene.answer(0, 1, &[]));
    assert!(matches!(out[..], [Output::RecordReceipt { .. }, Output::Load { .. }]));
    assert_eq!(scene.serve(&mut session, out), 1);
    let repeated = give(&mut session, scene.answer(0, 1, &[]));
    assert!(repeated.is_empty(), "{repeated:?}");
}

#[test]
fn a_receipt_by_a_wrong_key_is_refused() {
    let scene = Scene::new(1);
    let note = &scene.feed.heads[0].1;
    for note in [note.clone(), scene.feed.receipt(note, &scene.c.receipts)] {
        let (mut session, out) = scene.sender_after_hello(0);
        scene.serve(&mut session, out);
        let found = fault(&mut session, unaccounted(note.clone()));
        assert!(matches!(found, Fault::PeerMisbehaved(Misbehaviour::Receipt(_))), "{found:?}");
        let found = fault(&mut scene.sender(0), frame(hello(&scene.b, note, 0)));
        let hello_receipt =
            matches!(found, Fault::PeerMisbehaved(Misbehaviour::HelloReceipt { .. }));
        assert!(hello_receipt, "{found:?}");
    }
}

#[test]
fn a_receipt_signed_more_than_a_day_ahead_is_refused() {
    let scene = Scene::new(1);
    let note = &scene.feed.heads[0].1;
    for (hours, is_refused) in [(23, false), (25, true), (24 * 365, true)] {
        let at = start_of_day().plus_ms(hours * 3_600_000);
        let signed = scene.feed.receipt_at(note, &scene.b.receipts, at);
        let out = scene.sender(0).handle(frame(hello(&scene.b, signed, 0)), start_of_day());
        let is_ahead = |output: &Output| {
            let Output::Close(Closing::Fault(Fault::PeerMisbehaved(found))) = output else {
                return false;
            };
            matches!(found, Misbehaviour::SignedTime(ImpossibleTime::Ahead { .. }))
        };
        assert_eq!(out.iter().any(is_ahead), is_refused, "{hours} hours");
    }
}

#[test]
fn a_receipt_dated_before_its_head_was_published_is_refused_and_changes_nothing() {
    let scene = Scene::new(1);
    for (early_ms, is_refused) in [(0, false), (1_000, true), (400 * 24 * 3_600_000, true)] {
        let (mut session, out) = scene.sender_after_hello(0);
        scene.serve(&mut session, out);
        let answer = scene.answer_at(0, 1, -CLOCK_DIFFERENCE_MS_MAX - early_ms);
        let out = give(&mut session, answer);
        let refused = matches!(
            &out[..],
            [Output::Close(Closing::Fault(Fault::PeerMisbehaved(Misbehaviour::SignedTime(
                ImpossibleTime::BeforeMade { .. }
            ))))]
        );
        assert_eq!(refused, is_refused, "{out:?}");
        assert!(is_refused || matches!(&out[..], [Output::RecordReceipt { .. }]), "{out:?}");
    }
}

#[test]
fn a_receipt_that_goes_back_before_the_last_one_is_refused_on_this_stream_and_the_next() {
    let scene = Scene::new(3);
    let goes_back = |session: &mut Session, answer| {
        let found = fault(session, answer);
        let Fault::PeerMisbehaved(Misbehaviour::SignedTime(found)) = found else {
            panic!("{found:?}")
        };
        assert!(matches!(found, ImpossibleTime::GoesBack { .. }), "{found:?}");
    };
    let (mut session, out) = scene.sender_after_hello(0);
    scene.serve(&mut session, out);
    let out = give(&mut session, scene.answer_at(0, 1, 60_000));
    let [Output::RecordReceipt { note, .. }] = &out[..] else { panic!("{out:?}") };
    goes_back(&mut session, scene.answer_at(1, 2, 59_000));

    let witness = WitnessStanding { receipted_note: note.clone(), ..WitnessStanding::default() };
    let (published, receipted) = (scene.feed.published(), TreeSize::new(1));
    let standing = Standing { published, receipted, witness, ..nothing() };
    let next = || {
        let mut session = scene.a.session(&scene.b, standing.clone()).0;
        give(&mut session, frame(hello(&scene.b, scene.receipt(1), 0)));
        let out = give(&mut session, root_of_own(TreeSize::new(1), Some(scene.root_at(1))));
        assert_eq!(scene.serve(&mut session, out), 2);
        session
    };
    goes_back(&mut next(), scene.answer_at(1, 2, 59_000));
    let out = give(&mut next(), scene.answer_at(1, 2, 60_000));
    assert!(matches!(out[..], [Output::RecordReceipt { .. }]), "{out:?}");
}

#[test]
fn an_honest_receipt_never_goes_back_and_is_signed_anew_when_it_is_given_again() {
    let scene = Scene::new(3);
    let later = |ms| start_of_day().plus_ms(ms);
    let receipt = |session: &mut Session, from: u64, now: Timestamp| {
        session.handle(frame(Body::FeedBatch(scene.batch(from, from + 1))), now);
        let checked = scene.check(from, scene.batch(from, from + 1));
        session.handle(Input::Checked(checked), now);
        let out = session.handle(Input::Stored(Vec::new()), now);
        let [Output::Send(frame)] = &out[..] else { panic!("{out:?}") };
        scene.signed_at(frame)
    };
    let mut session = scene.receiver(0);
    assert_eq!(receipt(&mut session, 0, later(60_000)), later(60_000).into());
    assert_eq!(receipt(&mut session, 1, later(0)), later(60_000).into(), "the clock went back");
    assert_eq!(receipt(&mut session, 2, later(61_000)), later(61_000).into());

    let mut session = scene.b.session(&scene.a, scene.receiver_standing(2)).0;
    give(&mut session, frame(hello(&scene.a, Vec::new(), 1)));
    let out = session.handle(Input::Exceptions(Vec::new()), later(90_000));
    let [Output::Send(again)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(scene.signed_at(again), later(90_000).into());
}

#[test]
fn a_receipt_out_of_order_is_refused() {
    let scene = Scene::new(3);
    let (mut session, out) = scene.sender_after_hello(0);
    scene.serve(&mut session, out);
    let found = fault(&mut session, scene.answer(1, 2, &[]));
    let wanted = Some(TreeSize::new(1));
    let order = Misbehaviour::ReceiptOrder { found: TreeSize::new(2), wanted };
    assert_eq!(found, order.into());
}

#[test]
fn a_partner_ahead_of_our_feed_is_evidence() {
    let scene = Scene::new(3);
    let standing = Standing { published: TreeSize::new(2), ..nothing() };
    let mut session = scene.a.session(&scene.b, standing).0;
    let Fault::Contradiction(evidence) =
        fault(&mut session, frame(hello(&scene.b, scene.receipt(3), 0)))
    else {
        panic!("a rollback is evidence")
    };
    let (receipted, own) = (scene.feed.heads[2].0, TreeSize::new(2));
    assert_eq!(*evidence, Evidence::OwnRolledBack { note: scene.receipt(3), receipted, own });
}

#[test]
fn a_partner_with_another_root_of_our_feed_is_evidence() {
    let scene = Scene::new(2);
    let mut session = scene.sender(0);
    let out = give(&mut session, frame(hello(&scene.b, scene.receipt(1), 0)));
    assert!(matches!(out[..], [Output::AskRoot(size)] if size.get() == 1));
    let root = root_of_own(TreeSize::new(1), Some(EMPTY_ROOT));
    let found = fault(&mut session, root);
    let Fault::Contradiction(evidence) = found else { panic!("{found:?}") };
    assert!(matches!(*evidence, Evidence::OwnForked { own: EMPTY_ROOT, .. }));
}

#[test]
fn a_partner_that_lost_entries_gets_them_again_and_no_receipt_is_recorded_twice() {
    let scene = Scene::new(2);
    let mut session = scene.sender(2);
    let out = give(&mut session, frame(hello(&scene.b, Vec::new(), 0)));
    let (receipted, held) = (TreeSize::new(2), TreeSize::new(0));
    let wanted = Alert::PartnerLostEntries { receipted, held };
    assert!(matches!(out[..], [Output::Alert(alert), Output::Load { .. }] if alert == wanted));
    assert_eq!(scene.serve(&mut session, out), 2);
    assert!(give(&mut session, scene.answer(0, 1, &[])).is_empty());
}

#[test]
fn exceptions_outside_the_receipted_entries_are_refused() {
    let scene = Scene::new(2);
    let exception = |index| Exception::new(LeafIndex::new(index), Reason::Policy, "");
    for wrong in [vec![exception(1)], vec![exception(0), exception(0)], vec![exception(9)]] {
        let (mut session, out) = scene.sender_after_hello(0);
        scene.serve(&mut session, out);
        let found = fault(&mut session, scene.answer(0, 1, &wrong));
        let is_of_statement = matches!(found, Fault::PeerMisbehaved(Misbehaviour::Statement(_)));
        assert!(is_of_statement, "{found:?}");
    }
}

#[test]
fn a_receipt_without_a_signed_statement_of_its_exceptions_is_refused() {
    let scene = Scene::new(2);
    for answer in [unaccounted(scene.receipt(1)), {
        let Input::Frame(mut frame) = scene.answer(0, 1, &[]) else { panic!("no frame") };
        if let Some(Body::Receipt(receipt)) = &mut frame.body {
            let reason = pb::ExceptionReason::Policy.into();
            receipt.exceptions.push(pb::FeedException { reason, ..Default::default() });
        }
        Input::Frame(frame)
    }] {
        let (mut session, out) = scene.sender_after_hello(0);
        scene.serve(&mut session, out);
        let found = fault(&mut session, answer);
        assert!(matches!(found, Fault::PeerMisbehaved(Misbehaviour::Statement(_))), "{found:?}");
    }
}

// Hello, drain, and what the driver may not do.

#[test]
fn a_peer_of_another_name_or_protocol_is_refused() {
    let scene = Scene::new(0);
    let found = fault(&mut scene.sender(0), frame(hello(&scene.c, Vec::new(), 0)));
    assert!(matches!(found, Fault::PeerRefused(Refusal::Agency { .. })));
    let Body::Hello(sound) = hello(&scene.b, Vec::new(), 0) else { panic!("a hello") };
    let long = pb::Hello { agency: "x".repeat(1 << 20), ..sound };
    let found = fault(&mut scene.sender(0), frame(Body::Hello(long)));
    assert!(found.to_string().len() < 1_000 && format!("{found:?}").len() < 1_000);
    let later = pb::Hello { protocol: 2, ..pb::Hello::default() };
    let found = fault(&mut scene.sender(0), frame(Body::Hello(later)));
    assert_eq!(found, Refusal::Protocol(2).into());
}

#[test]
fn frames_before_hello_and_a_second_hello_end_the_stream() {
    let scene = Scene::new(1);
    let early = fault(&mut scene.sender(0), scene.answer(0, 1, &[]));
    assert_eq!(early, Misbehaviour::BeforeHello("receipt").into());
    let empty = fault(&mut scene.sender(0), Input::Frame(pb::ExchangeFrame { body: None }));
    assert_eq!(empty, Misbehaviour::EmptyFrame.into());
    let twice = fault(&mut scene.receiver(0), frame(hello(&scene.a, Vec::new(), 0)));
    assert_eq!(twice, Misbehaviour::HelloTwice.into());
}

#[test]
fn a_drained_stream_sends_no_batch_and_closes_when_all_is_receipted() {
    let scene = Scene::new(3);
    let (mut session, out) = scene.sender_after_hello(2);
    scene.serve(&mut session, out);
    let out = give(&mut session, Input::Drain);
    assert!(matches!(out[..], [Output::Send(_)]));
    assert!(give(&mut session, Input::Published(TreeSize::new(3))).is_empty());
    assert!(give(&mut session, frame(Body::Drain(pb::Drain {}))).is_empty());
    let out = give(&mut session, scene.answer(2, 3, &[]));
    let [Output::RecordReceipt { .. }, Output::Close(how)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(*how, Closing::Drained);
    assert!(session.lag().is_none());
}

#[test]
fn a_batch_after_drain_ends_the_stream() {
    let scene = Scene::new(1);
    let mut session = scene.receiver(0);
    give(&mut session, frame(Body::FeedBatch(scene.batch(0, 1))));
    give(&mut session, frame(Body::Drain(pb::Drain {})));
    let found = fault(&mut session, frame(Body::FeedBatch(scene.batch(0, 1))));
    assert_eq!(found, Misbehaviour::AfterDrain("batch").into());
}

#[test]
fn answers_that_nobody_asked_for_are_our_own_fault() {
    let scene = Scene::new(1);
    let unasked = |input| fault(&mut scene.receiver(0), input);
    let own = |what| Fault::from(OwnFault::Unasked(what));
    assert_eq!(unasked(Input::Stored(Vec::new())), own("stored"));
    assert_eq!(unasked(Input::Exceptions(Vec::new())), own("exceptions"));
    assert_eq!(unasked(Input::Checked(scene.check(0, scene.batch(0, 1)))), own("verdict"));
    assert_eq!(unasked(root_of_own(TreeSize::new(0), None)), own("root"));
    let (batch, root) = (scene.batch(0, 1), EMPTY_ROOT);
    assert_eq!(unasked(loaded(batch, root)), own("batch"));
}

#[test]
fn a_store_that_contradicts_itself_is_not_spoken_for() {
    let scene = Scene::new(2);
    let start = |standing| {
        Session::start(scene.receiving_pair(), scene.b.receipts.clone(), standing).map(drop)
    };
    assert_eq!(start(scene.receiver_standing(2)), Ok(()));
    let wrong = Standing { receipt_note: scene.receipt(1), ..scene.receiver_standing(2) };
    assert!(matches!(start(wrong), Err(OwnFault::ReceiptNote { .. })));
    let none = Standing { receipt_note: Vec::new(), ..scene.receiver_standing(2) };
    assert!(matches!(start(none), Err(OwnFault::ReceiptNote { .. })));
    let ahead = Standing { receipted: TreeSize::new(1), ..nothing() };
    assert!(matches!(start(ahead), Err(OwnFault::FeedShrank { .. })));
    let other_key = scene.c.receipts.clone();
    let found = Session::start(scene.receiving_pair(), other_key, nothing()).map(drop);
    assert_eq!(found, Err(OwnFault::ReceiptKey));
}
