//! An index made anew from the segments is that of before, key by key, whatever the journal went through.

use super::JournalError;
use super::erase::Ground;
use super::erase_tests::ground;
use super::ids::PartnerNumber;
use super::progress::Progress;
use super::provenance::AlsoGiven;
use super::transaction::{Origin, Transaction};
use crate::ident::AgencyName;
use crate::pb::{self, draft::Content, journal_entry::Event};
use crate::record::draft::{Draft, Place};
use crate::record::erasure::ErasureBasis;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::testkit::{
    Agency, Pairs, TestJournal, assert_same_index, draft, exception, feed_entry, id_bytes, pairs,
    partner_changed, receipt_of, redacted, secret,
};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::path::Path;
use std::sync::Arc;

/// Partners of the journal.
const PARTNERS: usize = 2;
/// This agency, the first partner, and one that is no partner.
const ORIGINATORS: [usize; 3] = [0, 1, 3];
const VALUES: [&str; 2] = ["one.example", "two.example"];

/// A partner by its place.
type Partner = usize;

/// The place of a new record in its series.
#[derive(Debug, Clone, Copy)]
enum Follows {
    /// The newest revision known here, or nothing.
    Newest,
    /// The same predecessor as another revision.
    Rival,
    /// It ends the series.
    End,
}

#[derive(Debug, Clone)]
enum Step {
    /// A record of an originator, in full from a client or in part from a partner.
    Accept {
        originator: usize,
        value: usize,
        title: u8,
        follows: Follows,
        by: Option<(Partner, u32)>,
    },
    Extend {
        record: Index,
        by: Partner,
        slots: u32,
    },
    ReceiveAgain {
        record: Index,
        by: Partner,
        slots: u32,
    },
    AddProvenance {
        record: Index,
        by: Partner,
        slots: u32,
    },
    Retract {
        record: Index,
        by: Partner,
        slots: u32,
    },
    Erase {
        record: Index,
        slots: u32,
        basis: ErasureBasis,
    },
    Restrict {
        record: Index,
        on: bool,
    },
    Publish {
        to: Partner,
        action: pb::FeedAction,
        record: Index,
        slots: u32,
    },
    Receipt {
        from: Partner,
        refused: Option<(Index, pb::ExceptionReason)>,
    },
    Hold {
        from: Partner,
        record: Index,
    },
    Decide {
        from: Partner,
        held: Index,
        released: bool,
    },
    ApplyPolicy,
    SuspendPartner {
        partner: Partner,
    },
    /// Everything since the last commit becomes durable.
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    let (record, by) = (any::<Index>(), 0..PARTNERS);
    let some = prop_oneof![any::<u32>(), Just(u32::MAX)];
    let follows = select(vec![Follows::Newest, Follows::Newest, Follows::Rival, Follows::End]);
    let origin = proptest::option::of((by.clone(), some.clone()));
    let basis = select(ErasureBasis::ALL.to_vec());
    let action = select(vec![
        pb::FeedAction::Disclose,
        pb::FeedAction::Revise,
        pb::FeedAction::Withdraw,
        pb::FeedAction::Retract,
        pb::FeedAction::Erase,
    ]);
    let reason = select(vec![
        pb::ExceptionReason::Policy,
        pb::ExceptionReason::Malformed,
        pb::ExceptionReason::NotSupplied,
        pb::ExceptionReason::NotOrdered,
        pb::ExceptionReason::HeldAsEvidence,
    ]);
    let given = (record.clone(), by.clone(), some.clone());
    prop_oneof![
        6 => (0..3_usize, 0..VALUES.len(), 0..3_u8, follows, origin).prop_map(
            |(originator, value, title, follows, by)| {
                Step::Accept { originator, value, title, follows, by }
            }
        ),
        2 => given.clone().prop_map(|(record, by, slots)| Step::Extend { record, by, slots }),
        2 => given.clone().prop_map(|(record, by, slots)| Step::ReceiveAgain { record, by, slots }),
        1 => given.clone().prop_map(|(record, by, slots)| Step::AddProvenance { record, by, slots }),
        2 => given.prop_map(|(record, by, slots)| Step::Retract { record, by, slots }),
        2 => (record.clone(), some.clone(), basis)
            .prop_map(|(record, slots, basis)| Step::Erase { record, slots, basis }),
        1 => (record.clone(), any::<bool>()).prop_map(|(record, on)| Step::Restrict { record, on }),
        4 => (by.clone(), action, record.clone(), some)
            .prop_map(|(to, action, record, slots)| Step::Publish { to, action, record, slots }),
        2 => (by.clone(), proptest::option::of((record.clone(), reason)))
            .prop_map(|(from, refused)| Step::Receipt { from, refused }),
        1 => (by.clone(), record.clone()).prop_map(|(from, record)| Step::Hold { from, record }),
        1 => (by.clone(), record, any::<bool>())
            .prop_map(|(from, held, released)| Step::Decide { from, held, released }),
        1 => Just(Step::ApplyPolicy),
        1 => by.prop_map(|partner| Step::SuspendPartner { partner }),
        4 => Just(Step::Commit),
    ]
}

/// This agency, its partners, and others.
fn agency(place: usize) -> Agency {
    match place {
        0 => Agency::own(),
        _ => Agency::new(place as u8),
    }
}

fn name(partner: Partner) -> AgencyName {
    agency(partner + 1).name
}

fn number(partner: Partner) -> PartnerNumber {
    PartnerNumber::new(partner as u16 + 1)
}

fn changed(partner: Partner, state: pb::PartnerState) -> Event {
    let number = u32::from(number(partner).get());
    Event::PartnerChanged(partner_changed(&agency(partner + 1), number, state))
}

/// Everything that was ever put into a journal.
struct History {
    /// Those of which there are records.
    agencies: Vec<Agency>,
    /// Records in full, in the order of their acceptance.
    records: Vec<Arc<Verified>>,
    held: Vec<u64>,
    policies: u64,
}

impl History {
    fn seal(&self, originator: &Agency, value: &str, title: u8, follows: Follows) -> Arc<Verified> {
        let indicator = Draft::try_from(draft(Content::Indicator(pb::Indicator {
            value: value.to_owned(),
            title: format!("Title {title} of {value}"),
            notes: if title == 0 { String::new() } else { format!("notes {title}") },
            ..pb::Indicator::default()
        })))
        .unwrap();
        let series = indicator.series(&secret());
        let of_series = |record: &&Arc<Verified>| {
            let header = record.header();
            header.series == series
                && header.originator == originator.name
                && header.kind == Kind::Indicator
        };
        let newest = self.records.iter().filter(of_series).max_by_key(|r| r.header().revision);
        let place = match (follows, newest) {
            (Follows::End, _) => return Arc::new(originator.withdrawal_of(series)),
            (_, None) => Place::first(series),
            (Follows::Newest, Some(record)) => {
                Place::after(series, record.header().revision, record.id())
            }
            (Follows::Rival, Some(record)) => match record.header().previous {
                Some(previous) => Place::after(series, record.header().revision - 1, previous),
                None => Place::first(series),
            },
        };
        Arc::new(originator.sign(indicator, place))
    }

    fn record(&self, index: &Index) -> Option<Arc<Verified>> {
        (!self.records.is_empty()).then(|| Arc::clone(index.get(&self.records)))
    }

    fn apply(&mut self, tx: &mut Transaction<'_>, step: &Step) -> Result<(), JournalError> {
        let feed_index = tx.size().get();
        match step {
            Step::Accept { originator, value, title, follows, by } => {
                let originator = &self.agencies[ORIGINATORS[*originator]];
                let record = self.seal(originator, VALUES[*value], *title, *follows);
                if tx.holds(&record.id())? {
                    return Ok(());
                }
                self.records.push(Arc::clone(&record));
                match by {
                    None => tx.accept(record, Origin::Client("desk"))?,
                    Some((partner, open)) => {
                        let origin = Origin::Partner { agency: &name(*partner), feed_index };
                        tx.accept(redacted(&record, *open), origin)?
                    }
                };
                Ok(())
            }
            Step::Extend { record, by, slots } => {
                let Some(full) = self.record(record) else { return Ok(()) };
                let Some(known) = tx.record(&full.id())? else { return Ok(()) };
                let mut merged = (*known).clone();
                match merged.absorb(&redacted(&full, *slots), SlotMask::NONE) {
                    Some(gained) if !gained.is_empty() => {
                        tx.extend(Arc::new(merged), gained, (&name(*by), feed_index))
                    }
                    _ => Ok(()),
                }
            }
            Step::ReceiveAgain { record, by, slots } => {
                let Some(full) = self.record(record) else { return Ok(()) };
                let Some(known) = tx.record(&full.id())? else { return Ok(()) };
                // Slots that are not in use come with the content frame of an extension first.
                let (name, slots) = (name(*by), SlotMask::from_bits(*slots));
                let slots = slots.and(known.open_slots());
                let is_originator = full.header().originator == name;
                tx.receive_again(&full.id(), slots, is_originator, (&name, number(*by), feed_index))
            }
            Step::AddProvenance { record, by, slots } => {
                let Some(full) = self.record(record) else { return Ok(()) };
                let open_slots = SlotMask::from_bits(*slots).and(SlotMask::all(full.kind()));
                let given = [AlsoGiven { record: full.id(), open_slots, feed_index }];
                tx.add_provenance(&name(*by), number(*by), &given)
            }
            Step::Retract { record, by, slots } => {
                let Some(full) = self.record(record) else { return Ok(()) };
                let by = (&name(*by), number(*by), feed_index);
                tx.retract(&full.id(), SlotMask::from_bits(*slots), by)
            }
            Step::Erase { record, slots, basis } => {
                let Some(full) = self.record(record) else { return Ok(()) };
                let ground = Ground { basis: *basis, ..ground() };
                tx.erase(&full.id(), SlotMask::from_bits(*slots), &ground).map(drop)
            }
            Step::Restrict { record, on } => {
                let Some(full) = self.record(record) else { return Ok(()) };
                tx.restrict(&full.id(), *on, "by a court".to_owned(), "dpo").map(drop)
            }
            Step::Publish { to, action, record, slots } => {
                let Some(full) = self.record(record) else { return Ok(()) };
                let open = SlotMask::from_bits(*slots).and(SlotMask::all(full.kind()));
                let entry = feed_entry(*action, &full.id(), open.bits());
                tx.publish(&name(*to), &[entry], Progress::default(), 1)
            }
            Step::Receipt { from, refused } => self.receipt(tx, *from, refused.as_ref()),
            Step::Hold { from, record } => {
                let Some(full) = self.record(record) else { return Ok(()) };
                let held = Event::DisclosuresHeld(pb::DisclosuresHeld {
                    partner: name(*from).to_string(),
                    rules: 1,
                    record_ids: vec![id_bytes(&full.id())],
                    policy_version: 1,
                });
                self.held.push(tx.append(held)?);
                Ok(())
            }
            Step::Decide { from, held, released } => {
                if self.held.is_empty() {
                    return Ok(());
                }
                let decided = Event::HeldDecided(pb::HeldDecided {
                    partner: name(*from).to_string(),
                    rules: 1,
                    proposal: 0,
                    released: *released,
                    held: vec![*held.get(&self.held)],
                });
                tx.append(decided).map(drop)
            }
            Step::ApplyPolicy => {
                self.policies += 1;
                tx.append(Event::PolicyApplied(pb::PolicyApplied {
                    version: self.policies,
                    bundle_hash: Bytes::copy_from_slice(&[self.policies as u8; 32]),
                    ..pb::PolicyApplied::default()
                }))
                .map(drop)
            }
            Step::SuspendPartner { partner } => {
                tx.append(changed(*partner, pb::PartnerState::Suspended)).map(drop)
            }
            Step::Commit => Ok(()),
        }
    }

    /// The partner's receipt for everything that is durable, but for one entry that it refuses.
    fn receipt(
        &self,
        tx: &mut Transaction<'_>,
        from: Partner,
        refused: Option<&(Index, pb::ExceptionReason)>,
    ) -> Result<(), JournalError> {
        let published = tx.state().partners[&name(from)].published.size;
        let durable = tx.view.feed(tx.state().partners[&name(from)].feed)?.size();
        if durable == 0 || durable != published {
            return Ok(());
        }
        let refused =
            refused.map(|(index, reason)| exception(index.index(durable as usize) as u64, *reason));
        tx.receipt(receipt_of(tx, &name(from), refused.into_iter().collect()))
    }
}

fn check(steps: &[Step]) {
    let journal = run(steps);
    assert_made_anew_is(&pairs(journal.view().index()), journal);
}

/// Takes a new journal through these steps.
fn run(steps: &[Step]) -> TestJournal {
    let journal = TestJournal::new();
    for partner in 0..PARTNERS {
        journal.commit(move |tx| tx.append(changed(partner, pb::PartnerState::Active)).map(drop));
    }
    let agencies = (0..=ORIGINATORS[2]).map(agency).collect();
    let history = History { agencies, records: Vec::new(), held: Vec::new(), policies: 0 };
    let history = Arc::new(std::sync::Mutex::new(history));
    for group in steps.split_inclusive(|step| matches!(step, Step::Commit)) {
        let (group, history) = (group.to_vec(), Arc::clone(&history));
        journal.commit(move |tx| {
            group.iter().try_for_each(|step| history.lock().unwrap().apply(tx, step))
        });
    }
    journal
}

fn assert_made_anew_is(live: &Pairs, journal: TestJournal) {
    assert_same_index(live, &pairs(journal.reindexed().view().index()));
}

/// A store and its index that an earlier build wrote, of a random history of 320 steps.
const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores/random-history");

#[test]
fn a_store_of_an_earlier_build_has_the_index_that_this_one_makes_of_it() {
    let journal = TestJournal::of_copy(Path::new(STORED));
    assert!(!journal.report.rebuilt && journal.report.replayed_entries == 0);
    let stored = pairs(journal.view().index());
    assert!(stored.len() > 1_000, "{} keys", stored.len());
    assert_made_anew_is(&stored, journal);
}

/// Returns the configuration for a usual run of some seconds; `PROPTEST_CASES` sets another number.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::with_cases(cases.unwrap_or(60)) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_index_made_anew_is_the_live_one_key_by_key(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        check(&steps);
    }
}
