//! A real journal is verified, and then every way to tamper with it is tried.

use super::fixtures::{
    Frame, Node, POLICY, addition, agreed, forged_checkpoint, framed, frames, ground, no_record,
    records, retention,
};
use super::*;
use crate::audit::{self, Disclosure, ReceiptState, UnknownName, Verdict, bundle_hash};
use crate::audit::{Check, Place};
use crate::exchange::WHOLE_RECORD;
use crate::journal::erase::Ground;
use crate::journal::progress::{Progress, Rescan};
use crate::pb::{self, FeedAction, act::Act, journal_entry::Event};
use crate::policy::{Reasons, Unusual};
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::testkit::{Agency, approved, feed_entry, own, partner, partner_changed, proposed};
use std::sync::{Arc, LazyLock};

/// The segments of a full node, written once.
static SEGMENTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| Node::full().segments());

pub(super) fn audited(segments: &[Vec<u8>]) -> Report {
    let numbered = (1..).zip(segments).map(|(number, bytes)| Ok((number, &bytes[..])));
    audit::verify(Expectations::default(), numbered).unwrap()
}

pub(super) fn verified(node: &Node) -> Report {
    verify_directory(node.path(), &AuditOptions::default()).unwrap()
}

fn failed_check(report: &Report) -> Check {
    report.failure.as_ref().unwrap_or_else(|| panic!("nothing failed:\n{report}")).fault.check
}

#[test]
fn a_whole_history_is_verified_and_counted() {
    let node = Node::full();
    let report = verified(&node);
    assert_eq!(report.failure, None);
    assert_eq!(report.number.unwrap().to_string(), Agency::own().card().number().to_string());
    assert_eq!(report.checkpoint.size.get(), node.journal.view().snapshot().size);
    assert_eq!((report.records, report.counts.submitted, report.counts.received), (7, 5, 2));
    assert_eq!((report.counts.extended, report.counts.signatures), (1, 6));
    let feed = &report.feeds[0];
    assert_eq!((feed.size, feed.records, feed.receipted), (10, 5, 6));
    assert_eq!((feed.exceptions, feed.refused, feed.received), (1, 1, 3));
    let remarks: Vec<_> = report.remarks.iter().map(Remark::name).collect();
    assert_eq!(remarks, ["trusts_directory", "unknown_originators"]);
    assert!(node.segments().len() > 1, "the history should span segments");
    let text = report.to_string();
    assert!(text.contains("journal    npa.go.jp, 2026-03-01T00:00:00"), "{text}");
    assert!(text.ends_with("OK with 2 remarks\n"), "{text}");
    assert_eq!(report.to_json()["checkpoint"]["size"], report.checkpoint.size.to_string());
}

/// A node that erased the notes of its first record, whose number is 0.
pub(super) fn with_erasure() -> Node {
    let node = Node::full();
    let id = node.records[0].id();
    node.commit(move |t| t.erase(&id, SlotMask::all(Kind::Indicator), &retention()));
    node
}

#[test]
fn an_erased_record_is_verified_from_its_header_and_what_is_left() {
    let node = with_erasure();
    let report = verified(&node);
    assert_eq!(report.failure, None);
    assert_eq!((report.counts.erased, report.counts.not_carried_out), (1, 0));
}

/// Publishes the disclosure of a record.
fn published(node: &Node, place: usize) {
    node.publish(vec![feed_entry(FeedAction::Disclose, &node.records[place].id(), 0b110)]);
}

#[test]
fn what_was_held_and_released_is_disclosed_and_stands_in_the_ledger() {
    let node = Node::held();
    node.decide_held(Unusual::Volume, true, 1_000);
    node.decide_held(Unusual::NewKind, false, 1_000);
    published(&node, 1);
    let filter = Some(LedgerFilter::default());
    let report = verify_with(node.path(), &AuditOptions::default(), filter).unwrap();
    assert_eq!(report.failure, None);
    let of = |place: usize| {
        let id = node.records[place].id();
        let rows = report.disclosures.iter().filter(move |row| row.record == id);
        rows.map(Disclosure::action_name).collect::<Vec<_>>()
    };
    assert_eq!(of(1), ["held", "released", "disclose"]);
    assert_eq!(of(2), ["held", "refused"]);
}

#[test]
fn what_waits_or_was_refused_may_be_in_no_feed() {
    let waits = Node::held();
    published(&waits, 1);
    let refused = Node::held();
    refused.decide_held(Unusual::NewKind, false, 1_000);
    published(&refused, 2);
    let beyond = Node::held();
    beyond.decide_held(Unusual::Volume, true, 3);
    let known = Node::held();
    known.hold(known.records[0].id(), Unusual::Volume);
    let twice = Node::held();
    twice.hold(twice.records[1].id(), Unusual::NewKind);
    let alone = Node::held();
    let partner = partner();
    alone.commit(move |t| {
        let number = t.state().partners[&partner].number;
        let reasons = Reasons::NONE.with(Unusual::Volume);
        let bundle = t.held_below(number, reasons, u64::MAX)?;
        t.decide_held(&partner, reasons, &bundle, 0, true)
    });
    for (what, node) in [
        ("waits", waits),
        ("refused", refused),
        ("later than the proposal", beyond),
        ("disclosed before", known),
        ("held twice", twice),
        ("by nobody", alone),
    ] {
        assert_eq!(failed_check(&verified(&node)), Check::Release, "{what}");
    }
}

#[test]
fn an_erasure_whose_bytes_are_still_there_is_told() {
    let node = Node::full();
    let before = node.segments();
    let id = node.records[0].id();
    node.commit(move |t| t.erase(&id, SlotMask::all(Kind::Indicator), &retention()));
    let mut after = node.segments();
    for (old, new) in before.iter().zip(&mut after) {
        new[..old.len()].copy_from_slice(old);
    }
    let report = audited(&after);
    assert_eq!((report.failure.clone(), report.counts.not_carried_out), (None, 1));
    assert!(report.remarks.contains(&Remark::ErasurePending { records: 1 }));
}

#[test]
fn content_overwritten_without_an_entry_is_found() {
    let changed = |flags: u8| {
        let mut segments = SEGMENTS.clone();
        let mut first = frames(&segments[0]);
        let content = first.iter_mut().find(|frame| frame.kind == 2).unwrap();
        content.payload[32..].fill(0);
        content.flags = flags;
        segments[0] = framed(1, &first);
        failed_check(&audited(&segments))
    };
    assert_eq!(changed(1), Check::Content);
    assert_eq!(changed(0), Check::Content);
    let node = Node::full();
    let id = node.records[0].id();
    let ground = Ground { authority: "nobody".to_owned(), ..ground(0, None) };
    node.commit(move |t| t.erase(&id, SlotMask::all(Kind::Indicator), &ground));
    assert_eq!(failed_check(&verified(&node)), Check::Erasure);
}

#[test]
fn the_number_and_the_card_pin_the_agency() {
    let node = Node::full();
    let number = Agency::own().card().number().to_string();
    let pinned = AuditOptions { identity: Some(number), ..AuditOptions::default() };
    let report = verify_directory(node.path(), &pinned).unwrap();
    assert!(!report.remarks.contains(&Remark::TrustsDirectory));
    let other = AuditOptions {
        identity: Some(Agency::partner().card().number().to_string()),
        ..AuditOptions::default()
    };
    let report = verify_directory(node.path(), &other).unwrap();
    assert_eq!(failed_check(&report), Check::Identity);
    assert_eq!(report.verdict(), Verdict::Failed);
    let path = node.path().join("elsewhere.txt");
    let by_card = AuditOptions { card: Some(path.clone()), ..AuditOptions::default() };
    std::fs::write(&path, Agency::own().card().to_armour().unwrap()).unwrap();
    assert_eq!(verify_directory(node.path(), &by_card).unwrap().failure, None);
    std::fs::write(&path, Agency::partner().card().to_armour().unwrap()).unwrap();
    assert_eq!(failed_check(&verify_directory(node.path(), &by_card).unwrap()), Check::Identity);
    let misheard = AuditOptions { identity: Some("12345".into()), ..AuditOptions::default() };
    assert!(matches!(verify_directory(node.path(), &misheard), Err(AuditError::Number(_))));
}

/// Positions spread over all segments.
fn positions(most: usize) -> Vec<(usize, usize)> {
    let all: Vec<_> = SEGMENTS
        .iter()
        .enumerate()
        .flat_map(|(segment, bytes)| (0..bytes.len()).map(move |at| (segment, at)))
        .collect();
    all.iter().copied().step_by(all.len().div_ceil(most)).collect()
}

/// Returns the position of the last commit frame.
fn last_commit() -> usize {
    let last = SEGMENTS.last().unwrap();
    let len = u32::from_le_bytes(*last.last_chunk::<4>().unwrap()) as usize;
    last.len() - len
}

#[test]
fn every_flipped_byte_is_found_and_only_the_last_commit_can_look_torn() {
    let whole = audited(&SEGMENTS);
    assert_eq!(whole.failure, None);
    let last = SEGMENTS.len() - 1;
    let mut segments = SEGMENTS.clone();
    for (segment, at) in positions(2_100) {
        segments[segment][at] ^= 1 << (at % 8);
        let report = audited(&segments);
        segments[segment][at] ^= 1 << (at % 8);
        if segment == last && at >= last_commit() {
            assert!(report.remarks.iter().any(|r| matches!(r, Remark::TornTail { .. })));
            assert!(report.checkpoint.size < whole.checkpoint.size);
            assert_eq!(report.failure, None);
        } else {
            let failure = report.failure.unwrap_or_else(|| panic!("segment {segment} byte {at}"));
            let Place::Segment { offset, .. } = failure.place else { panic!("{failure}") };
            assert!(offset <= at as u64, "{failure}");
        }
    }
}

#[test]
fn every_flipped_byte_under_a_sound_checksum_is_found() {
    for (number, bytes) in (1..).zip(SEGMENTS.iter()) {
        let sound = frames(bytes);
        assert_eq!(framed(number, &sound), *bytes);
        for place in 0..sound.len() {
            let len = sound[place].payload.len();
            for at in (0..len).step_by(len.div_ceil(5)) {
                let mut frames = sound.clone();
                frames[place].payload[at] ^= 1 << (at % 8);
                let mut segments = SEGMENTS.clone();
                segments[number as usize - 1] = framed(number, &frames);
                let report = audited(&segments);
                assert!(report.failure.is_some(), "segment {number} frame {place} byte {at}");
            }
        }
    }
}

/// Applies `edit` to the frames of each segment at every place where it can.
fn every_edit(mut edit: impl FnMut(&mut Vec<Frame>, usize) -> bool) {
    let mut tried = 0;
    for (number, bytes) in (1..).zip(SEGMENTS.iter()) {
        let sound = frames(bytes);
        for place in 0..sound.len() {
            let mut frames = sound.clone();
            if !edit(&mut frames, place) || frames == sound {
                continue;
            }
            let mut segments = SEGMENTS.clone();
            segments[number as usize - 1] = framed(number, &frames);
            let report = audited(&segments);
            assert!(report.failure.is_some(), "segment {number} frame {place}:\n{report}");
            tried += 1;
        }
    }
    assert!(tried >= 5, "only {tried} edits were possible");
}

#[test]
fn a_dropped_frame_is_found() {
    every_edit(|frames, place| {
        // Without its last commit a log is merely shorter; see the test on truncation.
        let is_commit = frames[place].kind == 4;
        frames.remove(place);
        !is_commit
    });
}

#[test]
fn a_dropped_batch_is_found() {
    every_edit(|frames, place| {
        let Some(end) = frames[place..].iter().position(|frame| frame.kind == 4) else {
            return false;
        };
        let is_start = place == 0 || frames[place - 1].kind == 4;
        frames.drain(place..=place + end);
        is_start && place < frames.len()
    });
}

#[test]
fn a_frame_that_stands_twice_is_found() {
    every_edit(|frames, place| {
        frames.insert(place, frames[place].clone());
        true
    });
}

#[test]
fn frames_that_changed_places_are_found() {
    every_edit(|frames, place| {
        if place + 1 == frames.len() {
            return false;
        }
        frames.swap(place, place + 1);
        // A commit that moved to the end of the log's last batch leaves a torn tail otherwise.
        frames.last().is_some_and(|frame| frame.kind == 4)
    });
}

#[test]
fn a_missing_segment_is_found() {
    let node = Node::full();
    std::fs::remove_file(node.segment_path(1)).unwrap();
    assert_eq!(failed_check(&verified(&node)), Check::SegmentSequence);
}

#[test]
fn an_emptied_store_is_no_sound_journal() {
    assert_eq!(failed_check(&audited(&[])), Check::Genesis);
    assert_eq!(failed_check(&audited(&[framed(1, &[])])), Check::Genesis);
}

#[test]
fn bytes_behind_the_last_commit_are_a_remark() {
    let mut segments = SEGMENTS.clone();
    let extra = frames(&segments[0])[0].clone();
    let tail = framed(1, &[extra]);
    segments.last_mut().unwrap().extend_from_slice(&tail[16..]);
    let report = audited(&segments);
    assert_eq!(report.failure, None);
    assert_eq!(report.checkpoint, audited(&SEGMENTS).checkpoint);
    assert!(report.remarks.iter().any(|r| matches!(r, Remark::TornTail { .. })));
}

#[test]
fn a_file_that_is_no_segment_is_a_remark() {
    let node = Node::full();
    std::fs::write(node.path().join("store/segments/notes.txt"), "x").unwrap();
    let report = verified(&node);
    assert!(report.remarks.contains(&Remark::ForeignFile { name: "notes.txt".into() }));
}

#[test]
fn a_history_cut_off_at_its_end_is_found_by_leaf_files_and_without_them_by_a_later_checkpoint() {
    let mut node = Node::new();
    node.submit(0..2);
    let kept = std::fs::read(node.segment_path(1)).unwrap();
    let early = node.journal.view().snapshot().note.clone();
    node.submit(2..4);
    let late = node.journal.view().snapshot().note.clone();
    let file = node.path().join("held.note");
    let with = |note: &[u8]| {
        std::fs::write(&file, note).unwrap();
        let options = AuditOptions { checkpoint: Some(file.clone()), ..AuditOptions::default() };
        verify_directory(node.path(), &options).unwrap()
    };
    assert_eq!(with(&early).failure, None);
    assert_eq!(with(&late).failure, None);
    let size = node.journal.view().snapshot().size;
    for forged in [0, 1, size, size + 1] {
        let report = with(&forged_checkpoint(forged));
        assert_eq!(failed_check(&report), Check::KnownCheckpoint, "size {forged}");
    }
    std::fs::write(node.segment_path(1), kept).unwrap();
    assert_eq!(failed_check(&verified(&node)), Check::Recorded, "the leaf files show it");
    for file in std::fs::read_dir(node.path().join("store")).unwrap().map(|e| e.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "leaves") {
            std::fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(verified(&node).failure, None);
    assert_eq!(with(&early).failure, None);
    assert_eq!(failed_check(&with(&late)), Check::KnownCheckpoint);
    let mut foreign = late.to_vec();
    let at = foreign.len() - 10;
    foreign[at] = if foreign[at] == b'A' { b'B' } else { b'A' };
    let unsigned = with(&foreign);
    assert_eq!(unsigned.failure, None, "what nobody signed contradicts nothing");
    assert!(unsigned.unusable.is_some());
}

#[test]
fn altered_policy_files_are_found_and_absent_ones_remarked() {
    let node = Node::full();
    let policies = node.path().join("policies");
    let bundle = std::fs::read_dir(&policies).unwrap().next().unwrap().unwrap().path();
    std::fs::write(bundle.join("sharing.cedar"), format!("{POLICY}\n")).unwrap();
    assert_eq!(failed_check(&verified(&node)), Check::PolicyFiles);
    std::fs::write(bundle.join("sharing.cedar"), POLICY.replace('\n', "\r\n")).unwrap();
    let report = verified(&node);
    assert_eq!(failed_check(&report), Check::LineEnds);
    assert!(report.to_string().contains("in sharing.cedar of policy"), "{report}");
    std::fs::remove_dir_all(&policies).unwrap();
    assert!(verified(&node).remarks.contains(&Remark::PolicyFilesAbsent { versions: 1 }));
}

#[test]
fn the_hash_of_a_bundle_is_that_of_the_policy_module() {
    let text = include_str!("../../policy/sample.cedar");
    let files = [("b.cedar", text), ("a.cedar", "")];
    let named = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let bundle = crate::policy::Bundle::load(named, &crate::policy::Vocabulary::default());
    let bytes = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    assert_eq!(bundle_hash(&BTreeMap::from(bytes)), bundle.unwrap().hash());
}

/// Returns the check that finds a dishonest node's own entries, signatures and all.
pub(super) fn dishonest(act: impl FnOnce(&mut Node)) -> Check {
    let mut node = Node::new();
    node.submit(0..2);
    act(&mut node);
    failed_check(&verified(&node))
}

fn disclosing(entry: impl FnOnce(&Verified) -> pb::FeedEntry) -> Check {
    dishonest(|node| node.publish(vec![entry(&node.records[0])]))
}

#[test]
fn a_disclosure_outside_policy_or_holdings_is_found() {
    let disclose = |slots, version| {
        disclosing(|record| pb::FeedEntry {
            policy_version: version,
            ..feed_entry(FeedAction::Disclose, &record.id(), slots)
        })
    };
    assert_eq!(disclose(0b10, 0), Check::Disclosure);
    assert_eq!(disclose(0b10, 2), Check::Disclosure);
    assert_eq!(disclose(1, 1), Check::Disclosure);
    assert_eq!(disclose(1 << 31, 1), Check::Disclosure);
    let unknown = disclosing(|record| pb::FeedEntry {
        record_id: no_record(),
        ..feed_entry(FeedAction::Disclose, &record.id(), 0b10)
    });
    assert_eq!(unknown, Check::Disclosure);
    let first = disclosing(|record| feed_entry(FeedAction::Revise, &record.id(), 0b10));
    assert_eq!(first, Check::Disclosure);
    let no_withdrawal = disclosing(|record| feed_entry(FeedAction::Withdraw, &record.id(), 0b10));
    assert_eq!(no_withdrawal, Check::Disclosure);
}

#[test]
fn what_was_disclosed_is_taken_back_and_disclosed_again() {
    let mut node = Node::new();
    node.submit(0..2);
    let entry = |action, slots| feed_entry(action, &node.records[0].id(), slots);
    node.publish(vec![
        entry(FeedAction::Disclose, 0b110),
        entry(FeedAction::Retract, 0b100),
        entry(FeedAction::Revise, 0b110),
        entry(FeedAction::Retract, WHOLE_RECORD.bits()),
        entry(FeedAction::Disclose, 0b10),
    ]);
    assert_eq!(verified(&node).failure, None);
}

#[test]
fn a_retraction_of_what_was_not_disclosed_or_is_no_longer_is_found() {
    let publish = |entries: &[(FeedAction, u32, u64)]| {
        dishonest(|node| {
            let entry = |(action, slots, version): &(FeedAction, u32, u64)| pb::FeedEntry {
                policy_version: *version,
                ..feed_entry(*action, &node.records[0].id(), *slots)
            };
            node.publish(entries.iter().map(entry).collect());
        })
    };
    let (whole, shown) = (WHOLE_RECORD.bits(), (FeedAction::Disclose, 0b110, 1));
    let back = (FeedAction::Retract, whole, 1);
    assert_eq!(publish(&[back]), Check::Disclosure);
    assert_eq!(publish(&[shown, back, back]), Check::Disclosure);
    assert_eq!(publish(&[shown, back, (FeedAction::Revise, 0b110, 1)]), Check::Disclosure);
    for wrong in [(0, 1), (1, 1), (1 << 30, 1), (0b10, 0), (whole, 2)] {
        let wrong = (FeedAction::Retract, wrong.0, wrong.1);
        assert_eq!(publish(&[shown, wrong]), Check::Disclosure, "{wrong:?}");
    }
}

#[test]
fn a_rescan_that_names_other_rules_goes_back_or_goes_too_far_is_found() {
    let publish = |rescans: &[(u64, u64, u64)]| {
        let mut node = Node::new();
        node.submit(0..2);
        for (rules, next, end) in rescans.iter().copied() {
            let partner = partner();
            node.commit(move |t| {
                let rules = t.state().rules_since(&partner) + rules;
                let rescan = Rescan { rules, next, end };
                let progress = Progress { considered: t.size().get(), rescan };
                t.publish(&partner, &[], progress, 2)
            });
        }
        verified(&node).failure.map(|failure| failure.fault.check)
    };
    assert_eq!(publish(&[(0, 0, 3), (0, 2, 3), (0, 3, 3), (0, 0, 5), (0, 4, 5)]), None);
    for wrong in [&[(1, 0, 0)][..], &[(0, 4, 3)], &[(0, 0, 900)], &[(0, 2, 3), (0, 1, 3)]] {
        assert_eq!(publish(wrong), Some(Check::FeedTotals), "{wrong:?}");
    }
}

#[test]
fn a_disclosure_that_its_policy_version_does_not_allow_is_found() {
    let everything = disclosing(|record| {
        feed_entry(FeedAction::Disclose, &record.id(), record.open_slots().bits())
    });
    assert_eq!(everything, Check::PolicyDecision);
    let before_the_hour = disclosing(|record| {
        let entry = feed_entry(FeedAction::Disclose, &record.id(), 0b10);
        pb::FeedEntry { at_ms: entry.at_ms - 3_600_000, ..entry }
    });
    assert_eq!(before_the_hour, Check::FeedTime);
}

#[test]
fn a_record_with_another_keys_signature_is_found() {
    let check = dishonest(|node| {
        let good = &records(&Agency::own(), 8..9)[0];
        let stolen = records(&Agency::partner(), 9..10)[0].signature().clone();
        let forged = Verified::from_store(
            good.header_bytes().clone(),
            pb::RecordSignature { key_id: stolen_key(good), ..(&stolen).into() },
            good.slots().to_vec(),
        );
        let forged = Arc::new(forged.unwrap());
        node.commit(move |t| t.accept(forged, crate::journal::transaction::Origin::Client("x")));
    });
    assert_eq!(check, Check::RecordSignature);
}

fn stolen_key(record: &Verified) -> Bytes {
    Bytes::copy_from_slice(record.signature().key_id.as_bytes())
}

#[test]
fn a_receipt_for_what_was_never_published_is_found() {
    let check = dishonest(|node| {
        let entry = feed_entry(FeedAction::Disclose, &node.records[0].id(), 0b10);
        node.publish(vec![entry]);
        node.take_receipt();
        let partner = partner().to_string();
        let note = node.journal.view().snapshot().note.clone();
        node.commit(move |t| {
            t.append(Event::ReceiptReceived(pb::ReceiptReceived {
                partner,
                note,
                exceptions: Vec::new(),
                exceptions_total: 1,
                ..pb::ReceiptReceived::default()
            }))
        });
    });
    assert_eq!(check, Check::Receipt);
}

/// The partner joins a circle, by an act with these facts if there is one.
fn joining(approved: Option<pb::PartnerFacts>) -> Option<Check> {
    let mut node = Node::new();
    node.submit(0..2);
    let agency = partner().to_string();
    let joined = pb::PartnerFacts { circles: vec!["desk".into()], ..agreed() };
    node.commit(move |t| {
        let mut proposal = 0;
        if let Some(after) = approved {
            let act = Act::ChangeFacts(pb::ChangeFactsAct {
                agency: agency.clone(),
                before: Some(agreed()),
                after: Some(after),
                reveals: false,
            });
            proposal = t.append(Event::ActProposed(proposed("admin", "admin", act)))?;
            t.append(self::approved(proposal))?;
        }
        t.append(Event::PartnerChanged(pb::PartnerChanged {
            facts: Some(joined),
            client: "officer".into(),
            proposal,
            ..partner_changed(&Agency::partner(), 1, pb::PartnerState::Active)
        }))
    });
    verified(&node).failure.map(|failure| failure.fault.check)
}

#[test]
fn a_partner_that_joins_a_circle_without_a_second_person_is_found() {
    assert_eq!(joining(None), Some(Check::Act));
    assert_eq!(joining(Some(agreed())), Some(Check::Act));
    let joined = pb::PartnerFacts { circles: vec!["desk".into()], ..agreed() };
    assert_eq!(joining(Some(joined)), None);
}

/// Returns the finding of an auditor when these entries follow an honest beginning.
fn after_these(events: impl FnOnce(&mut Node) -> Vec<Event>) -> Option<Check> {
    let mut node = Node::new();
    let events = events(&mut node);
    node.commit(move |t| events.into_iter().try_for_each(|event| t.append(event).map(drop)));
    verified(&node).failure.map(|failure| failure.fault.check)
}

#[test]
fn a_partner_that_nobody_approved_is_found() {
    // Entries 0 to 8 stand; the addition begins at entry 9.
    let honest = || addition(&Agency::stranger(), 2, 9).to_vec();
    assert_eq!(after_these(|_| honest()), None);
    let changed = |event: Event, change: fn(&mut pb::PartnerChanged)| match event {
        Event::PartnerChanged(mut changed) => {
            change(&mut changed);
            Event::PartnerChanged(changed)
        }
        other => other,
    };
    assert_eq!(after_these(|_| vec![honest().remove(2)]), Some(Check::Act));
    let lies: [fn(&mut pb::PartnerChanged); 4] = [
        |c| c.proposal = 0,
        |c| c.state = pb::PartnerState::Suspended.into(),
        |c| c.facts.as_mut().unwrap().country = "FR".into(),
        |c| c.facts.as_mut().unwrap().set_sector(pb::Sector::Vendor),
    ];
    for lie in lies {
        let events = honest().into_iter().map(|event| changed(event, lie)).collect();
        assert_eq!(after_these(|_| events), Some(Check::Act));
    }
    let refused = honest().into_iter().map(|event| match event {
        Event::ActDecided(decided) => {
            Event::ActDecided(pb::ActDecided { approved: false, ..decided })
        }
        other => other,
    });
    let refused = refused.collect();
    assert_eq!(after_these(|_| refused), Some(Check::Act));
}

#[test]
fn a_partner_that_one_person_resumed_is_found() {
    let state = |state: pb::PartnerState, proposal| {
        let [_, _, Event::PartnerChanged(known)] = addition(&Agency::partner(), 1, 2) else {
            unreachable!("the third entry is the partner")
        };
        let state = state.into();
        Event::PartnerChanged(pb::PartnerChanged { state, proposal, ..known })
    };
    use pb::PartnerState::{Active, Suspended};
    let agency = partner().to_string();
    let resumption = |changed_at| {
        let act = pb::ResumePartnerAct { agency: agency.clone(), changed_at };
        Event::ActProposed(proposed("admin", "admin", Act::ResumePartner(act)))
    };
    let approved = approved(10);
    let suspended = || state(Suspended, 0);
    let honest = vec![suspended(), resumption(9), approved.clone(), state(Active, 10)];
    assert_eq!(after_these(|_| honest.clone()), None);
    assert_eq!(after_these(|_| vec![suspended(), state(Active, 0)]), Some(Check::Act));
    assert_eq!(after_these(|_| vec![suspended(), state(Active, 2)]), Some(Check::Act));
    // An approval serves once, and only the partner as it was when the act was proposed.
    let again = honest.into_iter().chain([suspended(), state(Active, 10)]).collect();
    assert_eq!(after_these(|_| again), Some(Check::Act));
    let stale = vec![suspended(), resumption(4), approved, state(Active, 10)];
    assert_eq!(after_these(|_| stale), Some(Check::Act));
}

#[test]
fn a_card_that_moves_a_partner_to_another_country_changes_nothing_that_was_agreed() {
    // The card of the stranger says the same as every card; the agreement alone is read.
    let moved = || {
        let [_, _, Event::PartnerChanged(known)] = addition(&Agency::partner(), 1, 2) else {
            unreachable!("the third entry is the partner")
        };
        let facts = Some(pb::PartnerFacts { country: "FR".into(), ..agreed() });
        Event::PartnerChanged(pb::PartnerChanged { facts, proposal: 0, ..known })
    };
    assert_eq!(after_these(|_| vec![moved()]), Some(Check::Act));
}

#[test]
fn policy_versions_that_skip_are_found() {
    let check = dishonest(|node| {
        node.commit(|t| {
            t.append(Event::PolicyApplied(pb::PolicyApplied {
                version: 3,
                bundle_hash: Bytes::from(vec![1; 32]),
                ..pb::PolicyApplied::default()
            }))
        });
    });
    assert_eq!(check, Check::PolicyVersion);
}

#[test]
fn an_own_card_of_another_identity_is_found() {
    let check = dishonest(|node| {
        let card = Some(Agency::partner().card().signed().clone());
        node.commit(|t| t.append(Event::CardIssued(pb::CardIssued { card })));
    });
    assert_eq!(check, Check::OwnCard);
}

#[test]
fn the_ledger_says_who_received_which_fields_and_whether_with_a_receipt() {
    let node = Node::full();
    let rows = |filter| {
        let report = verify_with(node.path(), &AuditOptions::default(), Some(filter)).unwrap();
        assert_eq!(report.failure, None);
        report.disclosures
    };
    let all = rows(LedgerFilter::default());
    assert_eq!(all.len(), 10);
    let with = |receipt| all.iter().filter(|row| row.receipt == receipt).count();
    assert_eq!(with(ReceiptState::Taken), 5);
    assert_eq!(with(ReceiptState::NotTaken), 1, "one was refused");
    assert_eq!(all[0].fields(), ["type", "value"]);
    assert_eq!((all[0].action_name(), all[3].action_name()), ("disclose", "revise"));
    let record = node.records[1].id();
    let prefix = record.to_string()[..9].parse().ok();
    let one = rows(LedgerFilter { record: prefix, ..LedgerFilter::default() });
    assert_eq!(one.len(), 2);
    assert!(one.iter().all(|row| row.record == record && row.policy_version == 1));
    let stranger = Some(own());
    assert!(rows(LedgerFilter { partner: stranger, ..LedgerFilter::default() }).is_empty());
    let case = Some("NPA-1".to_owned());
    assert!(rows(LedgerFilter { case, ..LedgerFilter::default() }).is_empty());
    let late = Some(all[0].at.plus_ms(1));
    assert!(rows(LedgerFilter { from: late, ..LedgerFilter::default() }).is_empty());
    let html = verified(&node).to_html(&audit::Occasion {
        source: "npa".into(),
        program: "liaison".into(),
        at: "2026-03-01".into(),
    });
    assert!(html.contains("The history holds") && html.contains("cert.example"), "{html}");
}

#[test]
fn a_name_that_the_history_does_not_have_is_told_from_one_without_disclosures() {
    let mut node = Node::full();
    node.submit(200..201);
    let unknown =
        |filter| verify_with(node.path(), &AuditOptions::default(), Some(filter)).unwrap().unknown;
    assert_eq!(unknown(LedgerFilter::default()), None);
    let (all, partner) = (vec![partner()], Some(own()));
    let found = unknown(LedgerFilter { partner, ..LedgerFilter::default() });
    assert_eq!(found, Some(UnknownName::Partner(all)));
    let record = |prefix: &str| {
        let record = Some(prefix.parse().unwrap());
        unknown(LedgerFilter { record, ..LedgerFilter::default() })
    };
    assert_eq!(record("deadbeef"), Some(UnknownName::Record));
    let undisclosed = node.records.last().unwrap().id().to_string();
    assert_eq!(record(&undisclosed), None);
    let case = Some("NPA-1".to_owned());
    let found = unknown(LedgerFilter { case, ..LedgerFilter::default() });
    assert_eq!(found, Some(UnknownName::Case));
}

#[test]
fn a_cosignature_must_be_by_a_named_key_on_a_checkpoint_that_the_journal_had() {
    let mut node = Node::new();
    node.submit(0..2);
    node.take_cosignature(&node.journal.view().snapshot().note.clone());
    let report = verified(&node);
    assert_eq!(report.failure, None);
    assert_eq!((report.counts.cosignatures, report.counts.old_cosignatures), (1, 0));
    for size in [3, 1_000] {
        let check = dishonest(|node| node.take_cosignature(&forged_checkpoint(size)));
        assert_eq!(check, Check::Cosignature, "size {size}");
    }
    let unsigned = dishonest(|node| {
        let note = node.journal.view().snapshot().note.clone();
        let witness = "cert.example/witness".to_owned();
        let received = pb::CosignatureReceived { witness, note };
        node.commit(|t| t.append(Event::CosignatureReceived(received)));
    });
    assert_eq!(unsigned, Check::Cosignature);
}
