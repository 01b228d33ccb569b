//! A node's directory with a history in it, written by the journal itself, and ways to tamper.

use crate::exchange::{Exception, ExceptionStatement, Reason};
use crate::ident::{Generation, LeafIndex, RecordId, Timestamp};
use crate::journal::JournalError;
use crate::journal::entry::witness_name;
use crate::journal::erase::Ground;
use crate::journal::open::{JournalOptions, genesis};
use crate::journal::progress::{Progress, Rescan};
use crate::journal::transaction::{Origin, Transaction};
use crate::merkle::{Checkpoint, Note, NoteSigner, NoteVerifier, SignedCheckpoint, leaf_hash};
use crate::pb::{self, FeedAction, act::Act, draft::Content, journal_entry::Event};
use crate::policy::{PartnerFacts, Reasons, Unusual, facts_hash};
use crate::record::draft::{Draft, Place};
use crate::record::erasure::{ErasureBasis, ErasureOrder};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::testkit::{
    Agency, NOW_MS, TestJournal, approved, draft, exception, feed_entry, green, id_bytes, now, own,
    partner, partner_changed, proposed, redacted, secret,
};
use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(in crate::cli) const POLICY: &str = r#"@id("agency/green")
@title("Certs get what is green, and nothing but its core fields")
@agreement("framework 2026")
@owner("policy@npa.go.jp")
permit (principal is Liaison::Partner, action in Liaison::Action::"release", resource)
when { resource.tlp == Liaison::Tlp::"GREEN" }
unless { resource.personal_data };
"#;

/// Returns the facts agreed with every partner of these journals.
pub(super) fn agreed() -> pb::PartnerFacts {
    let card = Agency::partner().card();
    pb::PartnerFacts {
        sector: pb::Sector::from(card.card().sector).into(),
        country: card.card().country.to_string(),
        ..pb::PartnerFacts::default()
    }
}

/// The three entries by which a partner begins: a proposal at `index`, an approval, the partner.
pub(super) fn addition(party: &Agency, number: u32, index: u64) -> [Event; 3] {
    let card = Some(party.card().signed().clone());
    let act = pb::AddPartnerAct { card, facts: Some(agreed()), reveals: false };
    [
        Event::ActProposed(proposed("admin", "admin", Act::AddPartner(act))),
        approved(index),
        Event::PartnerChanged(pb::PartnerChanged {
            facts: Some(agreed()),
            client: "tanaka".into(),
            proposal: index,
            ..partner_changed(party, number, pb::PartnerState::Active)
        }),
    ]
}

/// A draft under these handling rules.
pub(super) fn marked(change: impl FnOnce(&mut pb::Marking)) -> Draft {
    let mut wire = indicator(77);
    change(wire.marking.as_mut().unwrap());
    Draft::try_from(wire).unwrap()
}

fn indicator(number: u8) -> pb::Draft {
    pb::Draft {
        marking: Some(pb::Marking {
            // The time of the first record ends as soon as it is made.
            retain_until_ms: if number == 0 { NOW_MS.unsigned_abs() } else { 0 },
            ..green()
        }),
        labels: vec!["takedown".into()],
        operation: "chakra-v".into(),
        confidence: 80,
        ..draft(Content::Indicator(pb::Indicator {
            value: format!("popup-{number}.example.com"),
            role: "popup".into(),
            title: "fake alert".into(),
            notes: "seen twice".into(),
            ..pb::Indicator::default()
        }))
    }
}

/// Records of an agency about the numbered subjects, signed as one batch.
pub(in crate::cli) fn records(of: &Agency, numbers: std::ops::Range<u8>) -> Vec<Arc<Verified>> {
    let placed = numbers.map(|number| {
        let draft = Draft::try_from(indicator(number)).unwrap();
        let place = Place::first(draft.series(&secret()));
        (draft, place)
    });
    of.sign_all(placed.collect(), now()).into_iter().map(Arc::new).collect()
}

/// A record of an agency under these handling rules.
pub(super) fn record(of: &Agency, change: impl FnOnce(&mut pb::Marking)) -> Arc<Verified> {
    Arc::new(of.first(marked(change)))
}

/// An order of the own agency to erase slots of one of its records.
pub(super) fn order(record: &Verified, slots: u32) -> ErasureOrder {
    let slots = SlotMask::from_bits(slots);
    Agency::own().order(&record.id(), slots, ErasureBasis::Led16)
}

/// A node's directory with its journal.
pub(in crate::cli) struct Node {
    pub(in crate::cli) journal: TestJournal,
    pub(in crate::cli) records: Vec<Arc<Verified>>,
}

/// The act that erases value and type of a record.
pub(super) fn erase_act(record: &Verified) -> pb::EraseAct {
    pb::EraseAct {
        record_id: id_bytes(&record.id()),
        slots: 0b110,
        basis: pb::ErasureBasis::Led16.into(),
        authority: "file 7".into(),
        series_head: id_bytes(&record.id()),
    }
}

/// The ground of an erasure when the time of a record has ended.
pub(super) fn retention() -> Ground {
    Ground { basis: ErasureBasis::Retention, authority: String::new(), ..ground(0, None) }
}

/// The ground of an erasure that two persons approved.
pub(super) fn ground(proposal: u64, order: Option<ErasureOrder>) -> Ground {
    let (basis, authority) = (ErasureBasis::Led16, "file 7".to_owned());
    Ground { basis, authority, proposal, partner: None, order }
}

impl Node {
    /// Genesis, card, partner and policy; no records yet.
    pub(in crate::cli) fn new() -> Self {
        Self::with_policy(|_| {})
    }

    /// The same, with the entries that put the policy in force changed before they are written.
    pub(in crate::cli) fn with_policy(change: impl FnOnce(&mut Vec<Event>)) -> Self {
        let first = |t: &mut Transaction<'_>| {
            t.append(genesis(&own()))?;
            t.append(Event::CardIssued(pb::CardIssued {
                card: Some(Agency::own().card().signed().clone()),
            }))?;
            let addition = addition(&Agency::partner(), 1, 2);
            addition.into_iter().try_for_each(|event| t.append(event).map(drop))
        };
        let options = |options: &mut JournalOptions| {
            options.dir.push("store");
            options.segments.segment_bytes_max = 5 << 10;
        };
        let journal = TestJournal::begin(options, first).ticking(7);
        let node = Self { journal, records: Vec::new() };
        let card = Agency::own().card().to_armour().unwrap();
        std::fs::write(node.path().join("card.txt"), card).unwrap();
        let files = BTreeMap::from([("sharing.cedar".to_owned(), POLICY.as_bytes().to_vec())]);
        let hash = crate::audit::bundle_hash(&files);
        let bundle = node.path().join("policies").join(hash.to_string());
        std::fs::create_dir_all(&bundle).unwrap();
        std::fs::write(bundle.join("sharing.cedar"), POLICY).unwrap();
        let mut events = policy_events(Bytes::copy_from_slice(hash.as_bytes()));
        change(&mut events);
        node.commit(move |t| events.into_iter().try_for_each(|event| t.append(event).map(drop)));
        node
    }

    /// Stops and starts again with the keys of this agency.
    pub(super) fn reopened(self, agency: &Agency) -> Self {
        Self { journal: self.journal.restarted_as(agency, |_| ()), ..self }
    }

    /// A node with everything that can be in a journal.
    pub(in crate::cli) fn full() -> Self {
        let mut node = Self::new();
        node.submit(0..5);
        node.disclose(0..3);
        node.take_receipt();
        node.take_feed();
        node.disclose(3..5);
        node
    }

    /// A full node, with an own record ordered erased that the partner held until its hold ended, and
    /// a record of the partner of which the same is true here.
    pub(in crate::cli) fn erased() -> Self {
        let node = Self::full();
        let partner = Agency::partner();
        let theirs = Arc::clone(&records(&partner, 20..21)[0]);
        let order = node.order_erased();
        let ours = &node.records[1];
        let id = ours.id();
        let agency = partner.name.clone();
        let slots = SlotMask::from_bits(0b100);
        let waiting = partner.order(&theirs.id(), slots, ErasureBasis::Led16);
        let held = theirs.id();
        let came = [
            feed_entry(FeedAction::Erased, &ours.id(), order.slots.bits()),
            pb::FeedEntry {
                order: Some((&waiting).into()),
                ..feed_entry(FeedAction::Erase, &theirs.id(), 0b100)
            },
        ];
        let refused = [exception(4, pb::ExceptionReason::HeldAsEvidence)];
        node.commit(move |t| {
            let number = t.state().partners[&agency].number;
            received(t, &came, &refused, |t, _| {
                t.report_erased(&id, order.slots, (&agency, number, 3))?;
                t.hold_against(
                    &held,
                    (waiting.slots, &waiting),
                    "an exhibit".into(),
                    (&agency, number, 4),
                )
            })
        });
        node.commit(move |t| t.restrict(&held, false, "closed".into(), "tanaka"));
        node.publish(vec![feed_entry(FeedAction::Erased, &theirs.id(), 0b100)]);
        node
    }

    /// Erases slots of the second record by an approved act, and orders the partner to erase them too.
    pub(in crate::cli) fn order_erased(&self) -> ErasureOrder {
        let ours = Arc::clone(&self.records[1]);
        let order = order(&ours, 0b110);
        self.commit(move |t| {
            let act = Act::Erase(erase_act(&ours));
            let decided = t.append(Event::ActProposed(proposed("sato", "analyst", act)))?;
            t.append(approved(decided))?;
            let ground = ground(decided, Some(order));
            t.erase(&ours.id(), order.slots, &ground).map(drop)
        });
        let ours = &self.records[1];
        let duty = pb::FeedEntry {
            order: Some((&order).into()),
            ..feed_entry(FeedAction::Erase, &ours.id(), 0b110)
        };
        self.publish(vec![duty]);
        order
    }

    /// A node that holds its second record for the partner because of the volume, and its third because
    /// of its kind.
    pub(in crate::cli) fn held() -> Self {
        let mut node = Self::new();
        node.submit(0..4);
        node.disclose(0..1);
        for (place, rule) in [(1, Unusual::Volume), (2, Unusual::NewKind)] {
            let record = node.records[place].id();
            node.hold(record, rule);
        }
        node
    }

    pub(in crate::cli) fn hold(&self, record: RecordId, rule: Unusual) {
        let agency = partner();
        self.commit(move |t| t.hold_back(&agency, Reasons::NONE.with(rule), &[record]));
    }

    /// Two persons decide on what is held because of a rule; `below` as the proposal says.
    pub(in crate::cli) fn decide_held(&self, rule: Unusual, released: bool, below: u64) {
        let agency = partner();
        self.commit(move |t| {
            let reasons = Reasons::NONE.with(rule);
            let number = t.state().partners[&agency].number;
            let bundle = t.held_below(number, reasons, u64::MAX)?;
            let act = Act::Release(pb::ReleaseAct {
                partner: agency.to_string(),
                rules: reasons.bits(),
                released,
                below,
                records: bundle.records(),
                reason: "looked at".into(),
            });
            let proposal = t.append(Event::ActProposed(proposed("sato", "analyst", act)))?;
            t.append(approved(proposal))?;
            t.decide_held(&agency, reasons, &bundle, proposal, released)
        });
    }

    pub(in crate::cli) fn commit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> Bytes {
        self.journal.run(self.journal.writer.commit(job)).unwrap().1.note
    }

    pub(in crate::cli) fn path(&self) -> &Path {
        self.journal.home.path()
    }

    pub(in crate::cli) fn submit(&mut self, numbers: std::ops::Range<u8>) {
        let records = records(&Agency::own(), numbers);
        self.records.extend(records.iter().cloned());
        self.commit(move |t| {
            records.into_iter().try_for_each(|r| t.accept(r, Origin::Client("desk")).map(drop))
        });
    }

    pub(in crate::cli) fn publish(&self, entries: Vec<pb::FeedEntry>) {
        let partner = partner();
        self.commit(move |t| {
            let rescan = Rescan { rules: t.state().rules_since(&partner), ..Rescan::default() };
            let progress = Progress { considered: t.size().get(), rescan };
            t.publish(&partner, &entries, progress, 2)
        });
    }

    pub(super) fn disclose(&self, numbers: std::ops::Range<usize>) {
        let entries: Vec<_> = self.records[numbers]
            .iter()
            .map(|r| feed_entry(FeedAction::Disclose, &r.id(), r.open_slots().bits() & 0b110))
            .collect();
        let revised = entries.iter().map(|entry| {
            let action = FeedAction::Revise.into();
            pb::FeedEntry { action, open_slots: 0b1000, ..entry.clone() }
        });
        self.publish(entries.iter().cloned().chain(revised).collect());
    }

    /// The partner's receipt for everything published, but for the second entry since the last one.
    pub(in crate::cli) fn take_receipt(&self) {
        let snapshot = self.journal.view().snapshot();
        let receipted = snapshot.state.partners[&partner()].receipted;
        let refused = Exception::new(LeafIndex::new(receipted + 1), Reason::Policy, "");
        self.take_receipt_but(&[refused], |_| {});
    }

    /// The same but for these entries; the entry of the journal is changed before it is written.
    pub(in crate::cli) fn take_receipt_but(
        &self,
        refused: &[Exception],
        change: impl FnOnce(&mut pb::ReceiptReceived),
    ) {
        let (own, partner) = (Agency::own(), Agency::partner());
        let snapshot = self.journal.view().snapshot();
        let known = &snapshot.state.partners[&partner.name];
        let published = Note::parse(&known.published.note).unwrap();
        let checkpoint = Checkpoint::parse(published.text()).unwrap();
        let origin = Generation::FIRST.feed_origin(&own.name, &partner.name);
        let signer = NoteSigner::new(origin.parse().unwrap(), own.signing().journal_key);
        let range = known.receipted..checkpoint.size().get();
        let feed = origin.parse().unwrap();
        let statement = ExceptionStatement::sign(&feed, range, refused, &partner.receipts);
        let mut receipt = pb::ReceiptReceived {
            partner: partner.name.to_string(),
            note: receipted(SignedCheckpoint::sign(checkpoint, &signer), &partner),
            exceptions: refused.iter().map(Into::into).collect(),
            exceptions_total: known.exceptions + refused.len() as u64,
            statement: Some((&statement).into()),
            ..pb::ReceiptReceived::default()
        };
        change(&mut receipt);
        self.commit(move |t| t.append(Event::ReceiptReceived(receipt)));
    }

    /// The partner's witness cosigns one of our checkpoints.
    pub(in crate::cli) fn take_cosignature(&self, note: &[u8]) {
        let witness = witness_name(&partner());
        let note = Agency::partner().cosign(&witness, note, now()).into();
        self.commit(move |t| {
            t.append(Event::CosignatureReceived(pb::CosignatureReceived { witness, note }))
        });
    }

    /// Records from the partner's feed: one in part and then more of it, one of a stranger.
    fn take_feed(&self) {
        let partner = Agency::partner();
        let whole = Arc::clone(&records(&partner, 20..21)[0]);
        let part = redacted(&whole, 0b110);
        let mut merged = (*part).clone();
        let gained = merged.absorb(&whole, SlotMask::NONE).unwrap();
        let foreign = Arc::clone(&records(&Agency::stranger(), 30..31)[0]);
        let first = [
            feed_entry(FeedAction::Disclose, &part.id(), 0b110),
            feed_entry(FeedAction::Disclose, &foreign.id(), foreign.open_slots().bits()),
        ];
        let more = [feed_entry(FeedAction::Revise, &whole.id(), whole.open_slots().bits())];
        let agency = partner.name.clone();
        self.commit(move |t| {
            let from = |feed_index| Origin::Partner { agency: &agency, feed_index };
            received(t, &first, &[], |t, _| {
                t.accept(part, from(0))?;
                t.accept(foreign, from(1)).map(drop)
            })?;
            received(t, &more, &[], |t, _| t.extend(Arc::new(merged), gained, (&agency, 2)))
        });
    }

    /// The files of the segments.
    pub(in crate::cli) fn segments(&self) -> Vec<Vec<u8>> {
        (1..)
            .map(|number| self.segment_path(number))
            .map_while(|path| std::fs::read(path).ok())
            .collect()
    }

    pub(in crate::cli) fn segment_path(&self, number: u32) -> PathBuf {
        self.path().join("store/segments").join(format!("{number:08}.seg"))
    }
}

/// Returns the partner's facts that policy may read.
fn partner_facts() -> PartnerFacts {
    let card = Agency::partner().card();
    PartnerFacts {
        agency: card.card().agency.clone(),
        sector: card.card().sector,
        country: card.card().country,
        client: false,
        suspended: false,
        agreement_until: Timestamp::MAX,
        circles: Vec::new(),
        operations: Vec::new(),
        tags: BTreeMap::new(),
    }
}

/// Returns entries 5 to 8, by which the first policy comes into force: somebody compares it, proposes it,
/// another approves, and it is in force.
fn policy_events(bundle_hash: Bytes) -> Vec<Event> {
    let change = pb::PolicyChange::Widening.into();
    let (officer, role) = ("officer".to_owned(), "policy-officer".to_owned());
    let act = pb::ApplyPolicyAct {
        bundle_hash: bundle_hash.clone(),
        comparison: 5,
        change,
        ..pb::ApplyPolicyAct::default()
    };
    vec![
        Event::PolicyCompared(pb::PolicyCompared {
            bundle_hash: bundle_hash.clone(),
            facts_hash: Bytes::copy_from_slice(&facts_hash(&[partner_facts()])),
            journal_size: 5,
            change,
            difference_hash: vec![1; 32].into(),
            client: officer.clone(),
            role: role.clone(),
            ..pb::PolicyCompared::default()
        }),
        Event::ActProposed(proposed(&officer, &role, Act::ApplyPolicy(act))),
        approved(6),
        Event::PolicyApplied(pb::PolicyApplied {
            version: 1,
            bundle_hash,
            client: officer,
            role,
            comparison: 5,
            proposal: 6,
            decisions: vec![7],
            change,
            ..pb::PolicyApplied::default()
        }),
    ]
}

/// A batch of the partner's feed: its entries, what `job` makes of them from the index of the first one
/// on, and the receipt.
pub(super) fn received(
    t: &mut Transaction<'_>,
    entries: &[pb::FeedEntry],
    exceptions: &[pb::FeedException],
    job: impl FnOnce(&mut Transaction<'_>, u64) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let (own, partner) = (Agency::own(), Agency::partner());
    let known = &t.state().partners[&partner.name].received;
    let (mut frontier, before) = (known.frontier.clone(), known.exceptions);
    let start = frontier.size().get();
    let entries: Vec<Bytes> = entries.iter().map(|entry| entry.encode_to_vec().into()).collect();
    t.receive_entries(&partner.name, start, &entries)?;
    job(t, start)?;
    frontier.extend(entries.iter().map(|entry| leaf_hash(entry)));
    let origin = Generation::FIRST.feed_origin(&partner.name, &own.name);
    let checkpoint = Checkpoint::new(origin.parse().unwrap(), frontier.head()).unwrap();
    let signer = NoteSigner::new(origin.parse().unwrap(), partner.signing().journal_key);
    let edge: Vec<u8> =
        frontier.to_hashes().iter().flat_map(|hash| hash.as_bytes().to_vec()).collect();
    t.append(Event::FeedReceived(pb::FeedReceived {
        partner: partner.name.to_string(),
        note: receipted(SignedCheckpoint::sign(checkpoint, &signer), &own),
        frontier: edge.into(),
        exceptions: exceptions.to_vec(),
        exceptions_total: before + exceptions.len() as u64,
    }))
    .map(drop)
}

fn receipted(signed: SignedCheckpoint, by: &Agency) -> Bytes {
    let line = by.receipts.cosign(signed.checkpoint(), now().into());
    let verifier = NoteVerifier::from(&by.receipts);
    signed.with_cosignature(line, &verifier).unwrap().to_bytes().into()
}

/// Returns a checkpoint of the own journal with another root.
pub(in crate::cli) fn forged_checkpoint(size: u64) -> Bytes {
    let own = Agency::own();
    let origin = Generation::FIRST.journal_origin(&own.name);
    let head = crate::merkle::TreeHead {
        size: crate::ident::TreeSize::new(size),
        root: leaf_hash(b"another history"),
    };
    own.signing().sign(&origin, head).unwrap()
}

/// A record id that nothing has.
pub(in crate::cli) fn no_record() -> Bytes {
    Bytes::copy_from_slice(RecordId::from_bytes([7; 32]).as_bytes())
}

/// A frame taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Frame {
    pub(in crate::cli) kind: u8,
    pub(in crate::cli) flags: u8,
    pub(in crate::cli) payload: Vec<u8>,
}

/// The frames of a segment. Of commits, the checkpoint alone.
pub(in crate::cli) fn frames(segment: &[u8]) -> Vec<Frame> {
    let mut rest = &segment[16..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        let (kind, flags, payload) = (rest[8], rest[9], &rest[10..10 + len]);
        let payload = if kind == 4 { &payload[4..len - 4] } else { payload };
        frames.push(Frame { kind, flags, payload: payload.to_vec() });
        rest = &rest[10 + len..];
    }
    frames
}

/// The bytes of frames with sound framing and checksums.
pub(in crate::cli) fn framed(number: u32, frames: &[Frame]) -> Vec<u8> {
    let mut out = b"LIAISON\0\x01\0\0\0".to_vec();
    out.extend_from_slice(&number.to_le_bytes());
    let mut start = out.len() as u32;
    for Frame { kind, flags, payload } in frames {
        let mut payload = payload.clone();
        if *kind == 4 {
            let len = payload.len() as u32 + 18;
            payload = [&start.to_le_bytes()[..], &payload, &len.to_le_bytes()].concat();
        }
        let body = [&[*kind, *flags][..], &payload].concat();
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        out.extend_from_slice(&body);
        if *kind == 4 {
            start = out.len() as u32;
        }
    }
    out
}
