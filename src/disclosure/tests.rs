//! Decisions on a node in memory: one fact a test.

use super::memory::{GIVER, Memory, PARTNER};
use super::*;
use crate::exchange::{Acceptance as _, Allowed, FeedAction};
use crate::ident::{PolicyVersion, RecordId, SeriesId};
use crate::pb::{self, draft::Content, journal_entry::Event};
use crate::policy::{BrakeLimits, Bundle, Compiled, PartnerFacts, PolicyHour, Vocabulary};
use crate::record::draft::{Draft, Place};
use crate::record::erasure::ErasureBasis;
use crate::record::kind::{ClassSet, SlotClass};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::testkit::{self, Agency, draft, id_bytes, now, own, partner};
use bytes::Bytes;
use std::sync::{Arc, LazyLock};

/// Shares what has a confidence of 50 or more, with its references; accepts 60 or more.
static SHARES: LazyLock<Arc<Bundle>> = LazyLock::new(|| bundle("resource.confidence >= 50", true));
/// The same without references.
static WITHHOLDS_LINKS: LazyLock<Arc<Bundle>> =
    LazyLock::new(|| bundle("resource.confidence >= 50", false));
/// The same from 60 on for indicators.
static SHARES_SURE: LazyLock<Arc<Bundle>> = LazyLock::new(|| {
    bundle(r#"resource.confidence >= 60 || resource.kind == Liaison::Kind::"opinion""#, true)
});
static SHARES_NOTHING: LazyLock<Arc<Bundle>> =
    LazyLock::new(|| bundle("resource.confidence >= 101", false));

fn bundle(when: &str, links: bool) -> Arc<Bundle> {
    let mut text =
        testkit::permit("share", "share", when) + &testkit::permit("forward", "forward", when);
    text += &testkit::permit("accept", "accept", "resource.confidence >= 60");
    if links {
        text += &testkit::permit("links", "reveal:links", "resource.confidence >= 0");
    }
    let files = [("10.cedar".to_owned(), text)];
    Arc::new(Bundle::load(files, &Vocabulary::default()).unwrap())
}

fn rules(bundle: &Arc<Bundle>) -> PartnerRules {
    let facts = PartnerFacts { agency: partner(), ..testkit::policy::partner() };
    let compiled = Compiled::new(Arc::clone(bundle), own(), [facts.clone()]);
    PartnerRules { version: PolicyVersion::new(1), compiled: Arc::new(compiled), facts, since: 0 }
}

/// A node and the work for its partner so far.
struct Node {
    memory: Arc<Memory>,
    agency: Agency,
    considered: u64,
}

type Entries = Vec<(FeedAction, RecordId, SlotMask)>;

impl Node {
    fn new() -> Self {
        Self { memory: Arc::default(), agency: Agency::own(), considered: 0 }
    }

    fn discloser(&self, bundle: &Arc<Bundle>) -> Discloser<Memory> {
        let limits = BrakeLimits::default();
        let policy_hour = PolicyHour::at(now());
        Discloser::new(&self.memory, rules(bundle), &partner(), policy_hour, limits).unwrap()
    }

    /// Considers everything that is new; returns the entries and the findings beside them.
    fn find(&mut self, bundle: &Arc<Bundle>) -> (Entries, Found) {
        let mut discloser = self.discloser(bundle);
        let size = self.memory.journal_size();
        let mut found = discloser.live(self.considered, size).unwrap();
        self.considered = found.reached;
        let runs = std::mem::take(&mut found.runs);
        let held = found.held.clone();
        let entries = self.memory.publish(Found { runs, held, ..Found::default() });
        (entries, found)
    }

    /// Two persons release or refuse records that were held by one entry.
    fn decide_held(&self, records: &[RecordId], released: bool) {
        let entry = self.memory.append(Event::DisclosuresHeld(pb::DisclosuresHeld::default()));
        self.memory.state().held_by.insert(entry, records.to_vec());
        self.memory.append(Event::HeldDecided(pb::HeldDecided {
            partner: partner().to_string(),
            released,
            held: vec![entry],
            ..pb::HeldDecided::default()
        }));
    }

    fn live(&mut self, bundle: &Arc<Bundle>) -> Entries {
        self.find(bundle).0
    }

    fn rescan(&self, bundle: &Arc<Bundle>) -> Entries {
        let found = self.discloser(bundle).rescan(0, self.memory.journal_size()).unwrap();
        self.memory.publish(found)
    }

    /// Submits a record of which there is nothing yet.
    fn submit(&self, draft: pb::Draft) -> Verified {
        let record = self.agency.first(draft);
        self.memory.accept(&record, None);
        record
    }

    fn revise(&self, of: &Verified, draft: pb::Draft) -> Verified {
        let record = self.agency.revision(of, draft);
        self.memory.accept(&record, None);
        record
    }

    fn allowed(&self, bundle: &Arc<Bundle>, record: &Verified) -> Allowed {
        let mut discloser = self.discloser(bundle);
        let (record, marks) = self.memory.record_and_marks(&record.id()).unwrap().unwrap();
        discloser.verdict(&record, marks).unwrap().allowed
    }
}

/// A draft that may go on to others, with so much confidence.
fn clear(draft: pb::Draft, confidence: u32) -> pb::Draft {
    let (tlp, pap) = (pb::Tlp::Clear.into(), pb::Pap::Clear.into());
    let marking = Some(pb::Marking { tlp, pap, ..pb::Marking::default() });
    pb::Draft { marking, confidence, ..draft }
}

fn indicator(value: &str, confidence: u32) -> pb::Draft {
    clear(testkit::indicator(value, ""), confidence)
}

fn note(key: &str, about: &[SeriesId]) -> pb::Draft {
    clear(testkit::note(key, "", about), 50)
}

fn opinion(key: &str, on: SeriesId) -> pb::Draft {
    let content = Content::Opinion(pb::Opinion {
        record: Bytes::copy_from_slice(on.as_bytes()),
        verdict: pb::OpinionVerdict::Agree.into(),
        ..pb::Opinion::default()
    });
    pb::Draft { key: key.to_owned(), ..clear(draft(content), 50) }
}

/// The slots that the policy which shares most shows.
fn shown(record: &Verified) -> SlotMask {
    record.slots_in(ClassSet::CORE.with(SlotClass::Links)).and(record.open_slots())
}

fn of(record: &Verified, action: FeedAction) -> (FeedAction, RecordId, SlotMask) {
    (action, record.id(), shown(record))
}

fn whole(record: &Verified) -> (FeedAction, RecordId, SlotMask) {
    (FeedAction::Retract, record.id(), SlotMask::from_bits(u32::MAX))
}

#[test]
fn a_record_that_policy_allows_is_owed_once() {
    let mut node = Node::new();
    let record = node.submit(indicator("one.example", 50));
    assert_eq!(node.live(&SHARES), [of(&record, FeedAction::Disclose)]);
    assert_eq!(node.live(&SHARES), []);
    assert_eq!(node.rescan(&SHARES), []);
}

#[test]
fn a_denial_is_counted_for_the_policy_that_denied() {
    let mut node = Node::new();
    let record = node.submit(indicator("one.example", 49));
    let (entries, found) = node.find(&SHARES);
    assert_eq!(entries, []);
    assert_eq!(found.denied.values().sum::<u64>(), 1);
    assert_eq!(found.denied.keys().next().unwrap(), "nothing permits");
    assert_eq!(node.allowed(&SHARES, &record), Allowed::Nothing);
}

#[test]
fn another_policy_takes_back_what_it_denies_and_shows_it_again() {
    let mut node = Node::new();
    let record = node.submit(indicator("one.example", 50));
    node.live(&SHARES);
    assert_eq!(node.rescan(&SHARES_NOTHING), [whole(&record)]);
    assert_eq!(node.rescan(&SHARES_NOTHING), []);
    assert_eq!(node.rescan(&SHARES), [of(&record, FeedAction::Disclose)]);
}

#[test]
fn a_record_that_a_partner_took_back_is_taken_back_here_too() {
    let mut node = Node::new();
    let record = Agency::named("giver.example", 22).first(indicator("one.example", 50));
    node.memory.accept(&record, Some(GIVER));
    assert_eq!(node.live(&SHARES), [of(&record, FeedAction::Disclose)]);
    node.memory.mark(&record.id(), |marks| marks.with_retracted(true));
    node.memory.append(Event::RecordRetracted(pb::RecordRetracted {
        record_id: id_bytes(&record.id()),
        ..pb::RecordRetracted::default()
    }));
    assert_eq!(node.live(&SHARES), [whole(&record)]);
}

#[test]
fn a_record_under_a_hold_stays_as_it_is_at_the_partner() {
    let mut node = Node::new();
    let (had, new) = (node.submit(indicator("one.example", 50)), indicator("two.example", 50));
    node.live(&SHARES);
    let new = node.submit(new);
    for record in [&had, &new] {
        node.memory.mark(&record.id(), |marks| marks.with_restricted(true));
        assert_eq!(node.allowed(&SHARES, record), Allowed::AsItIs);
    }
    assert_eq!(node.live(&SHARES), []);
    // A hold keeps nothing with a partner that policy denies.
    assert_eq!(node.rescan(&SHARES_NOTHING), [whole(&had)]);
}

#[test]
fn a_withdrawal_goes_to_whom_a_revision_went_and_to_nobody_else() {
    let mut node = Node::new();
    let given = node.submit(indicator("one.example", 50));
    let kept = node.submit(indicator("two.example", 49));
    node.live(&SHARES);
    let withdrawals = [&given, &kept].map(|record| node.agency.withdrawal(record));
    withdrawals.iter().for_each(|record| node.memory.accept(record, None));
    let entries = node.live(&SHARES_NOTHING);
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].0, entries[0].1), (FeedAction::Withdraw, withdrawals[0].id()));
}

#[test]
fn an_older_revision_is_never_disclosed_anew_and_goes_with_the_newest() {
    let mut node = Node::new();
    let first = node.submit(indicator("one.example", 50));
    let second = node.revise(&first, indicator("one.example", 60));
    assert_eq!(node.live(&SHARES), [of(&second, FeedAction::Disclose)]);
    let third = node.revise(&second, indicator("one.example", 49));
    assert_eq!(node.live(&SHARES), [whole(&second)]);
    let fourth = node.revise(&third, indicator("one.example", 50));
    assert_eq!(node.live(&SHARES), [of(&fourth, FeedAction::Disclose)]);
}

#[test]
fn of_two_revisions_that_are_as_new_both_must_be_allowed() {
    let mut node = Node::new();
    let first = node.submit(indicator("one.example", 50));
    node.live(&SHARES);
    let allowed = node.revise(&first, indicator("one.example", 60));
    assert_eq!(node.live(&SHARES), [of(&allowed, FeedAction::Disclose)]);
    node.revise(&first, indicator("one.example", 49));
    let mut taken_back = node.live(&SHARES);
    taken_back.sort_by_key(|entry| entry.1);
    let mut expected = vec![whole(&first), whole(&allowed)];
    expected.sort_by_key(|entry| entry.1);
    assert_eq!(taken_back, expected);
}

#[test]
fn a_record_does_not_go_back_to_the_partner_that_gave_it_or_signed_it() {
    let mut node = Node::new();
    let signed = Agency::partner().first(indicator("one.example", 50));
    let given = Agency::stranger().first(indicator("two.example", 50));
    node.memory.accept(&signed, Some(GIVER));
    node.memory.accept(&given, Some(PARTNER));
    assert_eq!(node.live(&SHARES), []);
    assert_eq!(node.rescan(&SHARES), []);
}

#[test]
fn a_reference_to_what_the_partner_may_not_see_is_withheld() {
    let mut node = Node::new();
    let [seen, hidden] = [("one.example", 50), ("two.example", 49)]
        .map(|(value, confidence)| node.submit(indicator(value, confidence)));
    let all = node.submit(note("a", &[seen.header().series]));
    let cut = node.submit(note("b", &[seen.header().series, hidden.header().series]));
    let entries = node.live(&SHARES);
    assert!(entries.contains(&of(&all, FeedAction::Disclose)));
    let links = all.kind().reference_slots().fold(SlotMask::NONE, SlotMask::with);
    let without_links = shown(&cut).without(links);
    assert!(entries.contains(&(FeedAction::Disclose, cut.id(), without_links)));
    // A policy that withholds the class takes it back from whatever has it.
    let class = ClassSet::EMPTY.with(SlotClass::Links);
    let taken_back = |record: &Verified| {
        (FeedAction::Retract, record.id(), record.slots_in(class).and(record.open_slots()))
    };
    assert_eq!(node.rescan(&WITHHOLDS_LINKS), [taken_back(&seen), taken_back(&all)]);
}

#[test]
fn slots_that_came_after_the_record_go_under_a_policy_that_shows_them() {
    let mut node = Node::new();
    let whole = Agency::named("giver.example", 22).first(note("a", &[]));
    let links = whole.kind().reference_slots().fold(SlotMask::NONE, SlotMask::with);
    node.memory.accept(&whole.withholding(links), Some(GIVER));
    assert_eq!(node.live(&WITHHOLDS_LINKS).len(), 1);
    node.memory.replace(whole.clone());
    assert_eq!(node.rescan(&WITHHOLDS_LINKS), []);
    assert_eq!(node.rescan(&SHARES), [of(&whole, FeedAction::Revise)]);
}

#[test]
fn a_record_that_its_originator_gave_since_goes_to_the_partner_that_gave_it_first() {
    let node = Node::new();
    let record = Agency::named("giver.example", 22).first(indicator("one.example", 50));
    node.memory.accept(&record, Some(PARTNER));
    assert_eq!(node.rescan(&SHARES), []);
    for (of, standing) in &mut node.memory.state().records {
        if of.id() == record.id() {
            standing.partner = Some(GIVER);
        }
    }
    assert_eq!(node.rescan(&SHARES), [of(&record, FeedAction::Disclose)]);
}

#[test]
fn a_record_goes_only_with_its_subject_and_comes_when_that_comes() {
    let mut node = Node::new();
    let subject = node.submit(indicator("one.example", 49));
    let about = node.submit(opinion("a", subject.header().series));
    assert_eq!(node.live(&SHARES), []);
    assert_eq!(node.allowed(&SHARES, &about), Allowed::Nothing);
    let revision = node.revise(&subject, indicator("one.example", 50));
    let mut entries = node.live(&SHARES);
    entries.sort_by_key(|entry| entry.1);
    let mut expected = vec![of(&revision, FeedAction::Disclose), of(&about, FeedAction::Disclose)];
    expected.sort_by_key(|entry| entry.1);
    assert_eq!(entries, expected);
    // It goes when the subject goes.
    node.revise(&revision, indicator("one.example", 49));
    let mut entries = node.live(&SHARES);
    entries.sort_by_key(|entry| entry.1);
    let mut expected = vec![whole(&revision), whole(&about)];
    expected.sort_by_key(|entry| entry.1);
    assert_eq!(entries, expected);
}

#[test]
fn what_is_about_a_record_that_the_partner_took_back_from_us_goes() {
    let mut node = Node::new();
    let theirs = Agency::named("giver.example", 22).first(indicator("one.example", 49));
    node.memory.accept(&theirs, Some(PARTNER));
    let about = node.submit(opinion("a", theirs.header().series));
    assert_eq!(node.live(&SHARES), [of(&about, FeedAction::Disclose)]);
    node.memory.mark(&theirs.id(), |marks| marks.with_retracted(true));
    node.memory.append(Event::RecordRetracted(pb::RecordRetracted {
        record_id: id_bytes(&theirs.id()),
        retracted: true,
        partner: partner().to_string(),
        ..pb::RecordRetracted::default()
    }));
    assert_eq!(node.live(&SHARES), [whole(&about)]);
}

#[test]
fn what_is_about_a_record_comes_with_its_revision_before_other_rules_looked_at_the_one_in_use() {
    let mut node = Node::new();
    let subject = node.submit(indicator("one.example", 50));
    assert_eq!(node.live(&SHARES), [of(&subject, FeedAction::Disclose)]);
    let about = node.submit(opinion("a", subject.header().series));
    assert_eq!(node.live(&SHARES_SURE), []);
    let revision = node.revise(&subject, indicator("one.example", 70));
    let entries = node.live(&SHARES_SURE);
    assert!(entries.contains(&of(&revision, FeedAction::Disclose)), "{entries:?}");
    assert!(entries.contains(&of(&about, FeedAction::Disclose)), "{entries:?}");
}

#[test]
fn a_record_whose_subject_slot_is_not_here_stays_as_it_is() {
    let mut node = Node::new();
    let subject = node.submit(indicator("one.example", 50));
    let about = Agency::named("giver.example", 22).first(opinion("a", subject.header().series));
    let slots = about.kind().subject_slots().fold(SlotMask::NONE, SlotMask::with);
    let cut = about.withholding(slots);
    node.memory.accept(&cut, Some(GIVER));
    assert_eq!(node.live(&SHARES), [of(&subject, FeedAction::Disclose)]);
    assert_eq!(node.allowed(&SHARES, &cut), Allowed::AsItIs);
}

#[test]
fn a_chain_of_subjects_is_followed_seven_steps_and_a_circle_shows_nothing() {
    let mut node = Node::new();
    let mut last = node.submit(indicator("one.example", 50));
    let mut chain = Vec::new();
    for n in 0..9 {
        last = node.submit(opinion(&format!("opinion {n}"), last.header().series));
        chain.push(last.clone());
    }
    let is_shown =
        |node: &Node, record: &Verified| node.allowed(&SHARES, record) != Allowed::Nothing;
    let depths: Vec<bool> = chain.iter().map(|record| is_shown(&node, record)).collect();
    let followed = depths.iter().take_while(|shown| **shown).count();
    assert!((7..=8).contains(&followed), "{depths:?}");
    assert!(depths.iter().skip(followed).all(|shown| !shown), "{depths:?}");
    // Two opinions, each on the other.
    let drafts =
        ["a", "b"].map(|key| Draft::try_from(opinion(key, chain[0].header().series)).unwrap());
    let series = drafts.map(|draft| draft.series(&testkit::secret()));
    for (at, key) in ["a", "b"].into_iter().enumerate() {
        let draft = opinion(key, series[1 - at]);
        let record = node.agency.sign(draft, Place::first(series[at]));
        node.memory.accept(&record, None);
        assert!(!is_shown(&node, &record));
    }
    drop(node.live(&SHARES));
}

#[test]
fn an_entry_knows_the_place_of_the_one_before_it_in_the_same_step() {
    let node = Node::new();
    node.submit(indicator("one.example", 50));
    let erased = node.submit(indicator("two.example", 50));
    let slots = SlotMask::all(erased.kind());
    let order = node.agency.order(&erased.id(), slots, ErasureBasis::ALL[0]);
    node.memory.append(Event::SlotsErased(pb::SlotsErased {
        record_id: id_bytes(&erased.id()),
        slots: slots.bits(),
        order: Some((&order).into()),
        ..pb::SlotsErased::default()
    }));
    let size = node.memory.journal_size();
    let found = node.discloser(&SHARES).live(0, size).unwrap();
    let [run] = &found.runs[..] else { panic!("one run") };
    let actions: Vec<_> = run.entries.iter().map(pb::FeedEntry::action).collect();
    let disclose = pb::FeedAction::Disclose;
    assert_eq!(actions, [disclose, disclose, pb::FeedAction::Erase]);
    let places: Vec<_> = run.before.iter().map(|before| before.map(|of| of.feed_index)).collect();
    assert_eq!(places, [None, None, Some(1)]);
}

#[test]
fn an_order_to_erase_goes_to_whom_slots_were_given_and_not_to_who_laid_it() {
    let order = |node: &Node, record: &Verified, by: &str| {
        let slots = SlotMask::all(record.kind());
        let order = node.agency.order(&record.id(), slots, ErasureBasis::ALL[0]);
        node.memory.append(Event::SlotsErased(pb::SlotsErased {
            record_id: id_bytes(&record.id()),
            slots: slots.bits(),
            partner: by.to_owned(),
            order: Some((&order).into()),
            ..pb::SlotsErased::default()
        }));
    };
    let mut node = Node::new();
    let given = node.submit(indicator("one.example", 50));
    let kept = node.submit(indicator("two.example", 49));
    let earlier = node.submit(indicator("three.example", 49));
    node.live(&SHARES);
    let all = SlotMask::all(earlier.kind());
    node.memory.state().earlier.insert(earlier.id(), all);
    order(&node, &given, partner().as_str());
    assert_eq!(node.live(&SHARES), []);
    for record in [&given, &kept, &earlier] {
        order(&node, record, "");
    }
    let expected =
        [(FeedAction::Erase, given.id(), shown(&given)), (FeedAction::Erase, earlier.id(), all)];
    assert_eq!(node.live(&SHARES), expected);
}

#[test]
fn the_end_of_a_hold_reports_the_slots_that_the_partner_ordered_erased() {
    let mut node = Node::new();
    let record = Agency::partner().first(indicator("one.example", 50));
    node.memory.accept(&record, Some(PARTNER));
    node.live(&SHARES);
    let title = SlotMask::from_bits(0b10).and(record.open_slots());
    let all = SlotMask::all(record.kind());
    node.memory.replace(record.erased(all));
    let end = || {
        node.memory.append(Event::RecordRestricted(pb::RecordRestricted {
            record_id: id_bytes(&record.id()),
            restricted: false,
            ..pb::RecordRestricted::default()
        }))
    };
    end();
    assert_eq!(node.discloser(&SHARES).live(1, 2).unwrap().runs.len(), 0, "nothing was ordered");
    node.memory.state().waiting.insert(record.id(), title);
    let found = node.discloser(&SHARES).live(1, 2).unwrap();
    assert_eq!(node.memory.publish(found), [(FeedAction::Erased, record.id(), title)]);
    node.memory.state().answered.insert(record.id(), title);
    let found = node.discloser(&SHARES).live(1, 2).unwrap();
    assert_eq!(node.memory.publish(found), []);
}

#[test]
fn an_offer_repeats_refused_orders_and_looks_at_everything_again() {
    let mut node = Node::new();
    let record = node.submit(indicator("one.example", 50));
    node.live(&SHARES);
    let order = node.agency.order(&record.id(), record.open_slots(), ErasureBasis::ALL[0]);
    node.memory.append(Event::SlotsErased(pb::SlotsErased {
        record_id: id_bytes(&record.id()),
        slots: record.open_slots().bits(),
        order: Some((&order).into()),
        ..pb::SlotsErased::default()
    }));
    let erase = node.live(&SHARES);
    assert_eq!(erase[0].0, FeedAction::Erase);
    node.memory.state().refused.extend([0, 1]);
    let offer = |agency: &str| {
        Event::RefusedOffered(pb::RefusedOffered {
            partner: agency.to_owned(),
            feed_size: 2,
            ..pb::RefusedOffered::default()
        })
    };
    node.memory.append(offer("giver.example"));
    let (entries, found) = node.find(&SHARES);
    assert_eq!((entries, found.rescan), (vec![], false), "it is another partner's");
    node.memory.append(offer(partner().as_str()));
    let (entries, found) = node.find(&SHARES);
    assert_eq!((entries, found.rescan), (erase, true));
}

#[test]
fn what_was_refused_below_an_offer_is_owed_again() {
    let mut node = Node::new();
    let record = node.submit(indicator("one.example", 50));
    node.live(&SHARES);
    let refuse =
        |disclosure: &mut Disclosure| disclosure.disclosed = disclosure.disclosed.refused();
    node.memory.state().disclosures.get_mut(&record.id()).map(refuse).unwrap();
    assert_eq!(node.rescan(&SHARES), []);
    node.memory.state().offered_below = 1;
    assert_eq!(node.rescan(&SHARES), [of(&record, FeedAction::Revise)]);
}

#[test]
fn entries_that_came_without_their_records_are_owed_again() {
    let mut node = Node::new();
    let record = node.submit(indicator("one.example", 50));
    node.live(&SHARES);
    let lapse = |disclosure: &mut Disclosure| disclosure.disclosed = disclosure.disclosed.lapsed();
    node.memory.state().disclosures.get_mut(&record.id()).map(lapse).unwrap();
    let receipt = |reason: pb::ExceptionReason| {
        Event::ReceiptReceived(pb::ReceiptReceived {
            partner: partner().to_string(),
            exceptions: vec![testkit::exception(0, reason), testkit::exception(9, reason)],
            ..pb::ReceiptReceived::default()
        })
    };
    node.memory.append(receipt(pb::ExceptionReason::Malformed));
    let (entries, found) = node.find(&SHARES);
    assert_eq!((entries, found.lapsed), (vec![], false));
    node.memory.append(receipt(pb::ExceptionReason::NotSupplied));
    let (entries, found) = node.find(&SHARES);
    assert_eq!((entries, found.lapsed), (vec![of(&record, FeedAction::Revise)], true));
}

#[test]
fn damage_keeps_one_record_back_and_no_other() {
    let mut node = Node::new();
    let [damaged, sound] = ["one.example", "two.example"].map(|v| node.submit(indicator(v, 50)));
    node.memory.state().damaged.insert(damaged.id());
    let (entries, found) = node.find(&SHARES);
    assert_eq!(entries, [of(&sound, FeedAction::Disclose)]);
    assert_eq!((found.damaged, found.reached), (Some(0), 2));
    node.memory.state().damaged.clear();
    assert_eq!(node.rescan(&SHARES), [of(&damaged, FeedAction::Disclose)]);
}

#[test]
fn a_first_disclosure_that_is_unusual_waits_until_it_is_released() {
    let mut node = Node::new();
    node.submit(indicator("one.example", 50));
    node.live(&SHARES);
    let held = node.submit(indicator("two.example", 50));
    node.memory.state().held.insert(held.id(), HeldState::Waiting);
    assert_eq!(node.live(&SHARES), []);
    let about = node.submit(opinion("a", held.header().series));
    assert_eq!(node.live(&SHARES), [], "nothing refers to what waits");
    node.memory.state().held.insert(held.id(), HeldState::Released);
    node.decide_held(&[held.id()], false);
    assert_eq!(node.live(&SHARES), []);
    node.decide_held(&[held.id()], true);
    let mut entries = node.live(&SHARES);
    entries.sort_by_key(|entry| entry.1);
    let mut expected = vec![of(&held, FeedAction::Disclose), of(&about, FeedAction::Disclose)];
    expected.sort_by_key(|entry| entry.1);
    assert_eq!(entries, expected);
}

#[test]
fn what_refers_to_a_series_comes_when_its_revisions_are_released_together() {
    let mut node = Node::new();
    node.submit(indicator("one.example", 50));
    node.live(&SHARES);
    let held = node.submit(indicator("two.example", 50));
    let newest = node.revise(&held, indicator("two.example", 51));
    let about = node.submit(opinion("a", held.header().series));
    let both = [held.id(), newest.id()];
    node.memory.state().held.extend(both.map(|id| (id, HeldState::Waiting)));
    assert_eq!(node.live(&SHARES), []);
    node.memory.state().held.extend(both.map(|id| (id, HeldState::Released)));
    node.decide_held(&both, true);
    let entries = node.live(&SHARES);
    assert!(entries.contains(&of(&newest, FeedAction::Disclose)), "{entries:?}");
    assert!(entries.contains(&of(&about, FeedAction::Disclose)), "{entries:?}");
}

#[test]
fn what_two_persons_refused_never_goes() {
    let mut node = Node::new();
    let refused = node.submit(indicator("one.example", 50));
    node.memory.state().held.insert(refused.id(), HeldState::Refused);
    assert_eq!(node.live(&SHARES), []);
    assert_eq!(node.rescan(&SHARES), []);
}

#[test]
fn a_decision_of_the_past_does_not_know_what_came_later() {
    let mut node = Node::new();
    let first = node.submit(indicator("one.example", 50));
    let then = node.memory.journal_size();
    node.revise(&first, indicator("one.example", 49));
    let consents = node.memory.consents();
    let mut past = node.discloser(&SHARES).at_size(then, consents);
    let (record, marks) = node.memory.record_and_marks(&first.id()).unwrap().unwrap();
    let verdict = past.verdict(&record, Marks::default()).unwrap();
    assert_eq!(verdict.allowed, Allowed::Slots { open: shown(&first), erased: SlotMask::NONE });
    assert!(past.sees_series(first.header().series).unwrap());
    let mut present = node.discloser(&SHARES);
    assert_eq!(present.verdict(&record, marks).unwrap().allowed, Allowed::Nothing);
    assert!(!present.sees_series(first.header().series).unwrap());
    drop(node.live(&SHARES));
}

#[test]
fn an_entry_is_sent_with_all_of_its_slots_or_without_its_record() {
    let mut node = Node::new();
    let record = node.submit(indicator("one.example", 50));
    node.live(&SHARES);
    let entry = node.memory.feed_entry(crate::ident::FeedNumber::new(1), 0).unwrap().unwrap();
    let empty = pb::Envelope::default();
    assert_eq!(
        node.discloser(&SHARES).envelope_to_send(0, &entry).unwrap(),
        record.redacted(shown(&record))
    );
    assert_eq!(node.discloser(&SHARES_NOTHING).envelope_to_send(0, &entry).unwrap(), empty);
    let more = pb::FeedEntry { open_slots: u32::MAX, ..entry.clone() };
    assert_eq!(node.discloser(&SHARES).envelope_to_send(0, &more).unwrap(), empty);
    let retract = pb::FeedEntry { action: pb::FeedAction::Retract.into(), ..entry.clone() };
    assert_eq!(node.discloser(&SHARES).envelope_to_send(0, &retract).unwrap(), empty);
    node.memory.state().damaged.insert(record.id());
    assert_eq!(node.discloser(&SHARES).envelope_to_send(0, &entry).unwrap(), empty);
    assert_eq!(node.discloser(&SHARES).bytes_written_again(0, &entry).unwrap(), 0);
    node.memory.state().damaged.clear();
    let erase = pb::FeedEntry { action: pb::FeedAction::Erase.into(), ..entry };
    let bytes = node.discloser(&SHARES).bytes_written_again(0, &erase).unwrap();
    assert_eq!(bytes, record.envelope_bytes_max());
}

#[test]
fn an_older_revision_that_the_partner_uses_is_sent_and_no_other() {
    let mut node = Node::new();
    let first = node.submit(indicator("one.example", 50));
    node.live(&SHARES);
    node.revise(&first, indicator("one.example", 60));
    let entry = node.memory.feed_entry(crate::ident::FeedNumber::new(1), 0).unwrap().unwrap();
    assert_eq!(
        node.discloser(&SHARES).envelope_to_send(0, &entry).unwrap(),
        first.redacted(shown(&first))
    );
    node.memory.state().disclosures.clear();
    let empty = pb::Envelope::default();
    assert_eq!(node.discloser(&SHARES).envelope_to_send(0, &entry).unwrap(), empty);
}

#[test]
fn a_discloser_is_current_only_under_the_same_rules_in_the_same_hour_with_the_same_consents() {
    let node = Node::new();
    let (rules, hour) = (rules(&SHARES), PolicyHour::at(now()));
    let (agency, limits) = (partner(), BrakeLimits::default());
    let discloser =
        Discloser::new(&node.memory, rules.clone(), &agency, hour.clone(), limits).unwrap();
    assert!(discloser.is_current(&rules, &hour));
    assert!(!discloser.is_current(&PartnerRules { since: 1, ..rules.clone() }, &hour));
    assert!(!discloser.is_current(&self::rules(&SHARES), &hour), "another compilation");
    assert!(!discloser.is_current(&rules, &PolicyHour::at(now().plus_ms(3_600_000))));
    node.memory.state().consents.changes += 1;
    assert!(!discloser.is_current(&rules, &hour));
    assert!(Discloser::new(&node.memory, rules, &own(), hour, BrakeLimits::default()).is_none());
}

#[test]
fn acceptance_is_decided_by_policy_and_anew_in_another_hour() {
    let mut accepting = Accepting::new(rules(&SHARES), PolicyHour::at(now()));
    let agency = Agency::partner();
    let mut accepts = |confidence, at| {
        accepting.set_time(at);
        accepting.accepts(agency.first(indicator("one.example", confidence)).header())
    };
    for _ in 0..2 {
        assert!(accepts(60, now()));
        assert!(!accepts(59, now()));
    }
    let after_the_agreement = "2031-01-01".parse().unwrap();
    assert!(!accepts(60, after_the_agreement));
}

#[test]
fn a_request_that_a_partner_made_is_not_sent_to_it() {
    let mut node = Node::new();
    node.memory.append(Event::ConsentRequested(pb::ConsentRequested {
        partner: partner().to_string(),
        ..pb::ConsentRequested::default()
    }));
    assert_eq!(node.live(&SHARES), [], "a partner asked it");
}
