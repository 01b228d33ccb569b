//! A node's directory with a history in it, written by the journal itself, and ways to tamper.

use crate::exchange::{Exception, ExceptionStatement, Reason};
use crate::ident::{AgencyName, Generation, KeyId, LeafIndex, RecordId, Timestamp};
use crate::journal::JournalError;
use crate::journal::entry::receipt_name;
use crate::journal::erase::Ground;
use crate::journal::open::{JournalOptions, begin, genesis, open};
use crate::journal::progress::{Progress, Rescan};
use crate::journal::transaction::{Origin, Signing, Transaction};
use crate::journal::writer::{Clock, JournalWriter, WriterThread};
use crate::merkle::{
    Checkpoint, CosignatureTime, Cosigner, Note, NoteSigner, NoteVerifier, SignedCheckpoint,
    leaf_hash,
};
use crate::partner::card::tests as cards;
use crate::partner::{Role, SecretKey, VerifiedCard};
use crate::pb::{self, FeedAction, journal_entry::Event};
use crate::policy::{PartnerFacts, Reasons, Unusual, facts_hash};
use crate::record::consent::{Consent, ConsentTerms, Parties};
use crate::record::draft::{self, Draft, Place, SeriesSecret};
use crate::record::erasure::{ErasureBasis, ErasureOrder};
use crate::record::signed::{KeyRing, Signed, Verified, VerifiedRoots};
use crate::record::slots::SlotMask;
use crate::store::EngineKind;
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use prost::Message as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

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
    let card = Party::partner().card();
    pb::PartnerFacts {
        sector: pb::Sector::from(card.card().sector).into(),
        country: card.card().country.to_string(),
        ..pb::PartnerFacts::default()
    }
}

/// The three entries by which a partner begins: a proposal at `index`, an approval, the partner.
pub(super) fn addition(party: &Party, number: u32, index: u64) -> [Event; 3] {
    let card = Some(party.card().signed().clone());
    let act = pb::AddPartnerAct { card: card.clone(), facts: Some(agreed()), reveals: false };
    [
        Event::ActProposed(pb::ActProposed {
            client: "admin".into(),
            role: "admin".into(),
            act: Some(pb::Act { act: Some(pb::act::Act::AddPartner(act)) }),
            expires_at_ms: u64::MAX,
        }),
        Event::ActDecided(pb::ActDecided {
            proposal: index,
            client: "officer".into(),
            role: "policy-officer".into(),
            approved: true,
            reason: String::new(),
            closes: true,
        }),
        Event::PartnerChanged(pb::PartnerChanged {
            agency: party.agency.to_string(),
            number,
            state: pb::PartnerState::Active.into(),
            card,
            facts: Some(agreed()),
            client: "officer".into(),
            proposal: index,
        }),
    ]
}

/// An agency whose keys have the seeds from `base` on.
pub(in crate::cli) struct Party {
    pub(in crate::cli) agency: AgencyName,
    base: u8,
}

impl Party {
    pub(in crate::cli) fn own() -> Self {
        Self { agency: "npa.go.jp".parse().unwrap(), base: 10 }
    }

    pub(in crate::cli) fn partner() -> Self {
        Self { agency: "cert.example".parse().unwrap(), base: 30 }
    }

    pub(super) fn stranger() -> Self {
        Self { agency: "far.example".parse().unwrap(), base: 50 }
    }

    pub(super) fn key(&self, role: Role) -> SecretKey {
        let place = Role::ALL.iter().position(|other| *other == role).unwrap();
        SecretKey::from_seed(role, self.base + place as u8)
    }

    pub(in crate::cli) fn card(&self) -> VerifiedCard {
        let mut card = cards::sample();
        let public = |role| *self.key(role).public();
        card.agency = self.agency.clone();
        card.identity_key = public(Role::Identity);
        card.record_keys[0].key = public(Role::Record);
        card.journal_key = public(Role::Journal);
        card.witness_key = public(Role::Witness);
        card.receipt_key = public(Role::Receipt);
        card.seal(&self.key(Role::Identity)).unwrap()
    }

    /// This party's order to erase slots of one of its records.
    pub(super) fn order(&self, record: &Verified, slots: u32) -> ErasureOrder {
        let key = self.key(Role::Record);
        let signer = (key.signing_key(), key.public().id());
        let slots = SlotMask::from_bits(slots);
        ErasureOrder::sign(&record.id(), slots, ErasureBasis::Led16, at(), signer)
    }

    fn cosigner(&self) -> Cosigner {
        let key = self.key(Role::Receipt).signing_key().clone();
        Cosigner::new(receipt_name(&self.agency).parse().unwrap(), key)
    }

    /// This party's witness cosigns a note under that name.
    pub(super) fn cosign(&self, name: &str, note: &[u8]) -> Bytes {
        self.cosign_at(name, note, at())
    }

    /// The same at another time.
    pub(super) fn cosign_at(&self, name: &str, note: &[u8], at: Timestamp) -> Bytes {
        let key = self.key(Role::Witness).signing_key().clone();
        let cosigner = Cosigner::new(name.parse().unwrap(), key);
        let note = Note::parse(note).unwrap();
        let checkpoint = Checkpoint::parse(note.text()).unwrap();
        let line = cosigner.cosign(&checkpoint, CosignatureTime::from(at));
        [note.to_bytes(), format!("{line}\n").into_bytes()].concat().into()
    }

    pub(in crate::cli) fn signing(&self) -> Signing {
        Signing {
            agency: self.agency.clone(),
            journal_key: self.key(Role::Journal).signing_key().clone(),
            series_secret: secret(),
        }
    }

    /// Signed records about the numbered subjects; one of them a withdrawal.
    pub(in crate::cli) fn records(&self, numbers: std::ops::Range<u8>) -> Vec<Arc<Verified>> {
        let mut salt = u128::from(self.base) << 64 | u128::from(numbers.start) << 32;
        let sealed = numbers
            .map(|number| {
                let draft = Draft::try_from(indicator(number)).unwrap();
                let place = Place::first(draft.series(&secret()));
                draft.seal(self.agency.clone(), place, at(), || {
                    salt += 1;
                    salt.to_be_bytes()
                })
            })
            .collect();
        let key = self.key(Role::Record);
        let signed = draft::sign(sealed, key.signing_key(), key.public().id(), || [5; 32]).unwrap();
        signed.into_iter().map(Arc::new).collect()
    }

    /// A record of this party under these handling rules.
    pub(super) fn record(&self, change: impl FnOnce(&mut pb::Marking)) -> Arc<Verified> {
        let draft = marked(change);
        let place = Place::first(draft.series(&secret()));
        self.sign_at(draft, place)
    }

    /// The revision that follows a record of this party, under other handling rules.
    pub(super) fn revision(
        &self,
        of: &Verified,
        change: impl FnOnce(&mut pb::Marking),
    ) -> Arc<Verified> {
        let header = of.header();
        self.sign_at(marked(change), Place::after(header.series, header.revision, of.id()))
    }

    /// The withdrawal of a record's series.
    pub(super) fn withdrawal(&self, of: &Verified) -> Arc<Verified> {
        let content = pb::Withdrawal { reason: 1, explanation: "mistaken".into() };
        self.sign_at(Draft::withdrawal(content).unwrap(), Place::end(of.header().series))
    }

    fn sign_at(&self, draft: Draft, place: Place) -> Arc<Verified> {
        let mut salt = u128::from(self.base) << 96;
        let sealed = draft.seal(self.agency.clone(), place, at(), || {
            salt += 1;
            salt.to_be_bytes()
        });
        let key = self.key(Role::Record);
        let signed =
            draft::sign(vec![sealed], key.signing_key(), key.public().id(), || [5; 32]).unwrap();
        Arc::new(signed.into_iter().next().unwrap())
    }

    /// Signs a consent of this party as an originator, under its own record key.
    pub(super) fn says(&self, holder: &Self, saying: ConsentTerms) -> Consent {
        let key = self.key(Role::Record);
        let parties = Parties { originator: &self.agency, holder: &holder.agency };
        Consent::sign(saying, parties, (key.signing_key(), key.public().id())).unwrap()
    }

    /// A copy of a record of this party with only some slots open.
    fn part(&self, record: &Verified, open: u32) -> Arc<Verified> {
        let envelope = record.redacted(SlotMask::from_bits(open));
        let ring = Ring(self.key(Role::Record).signing_key().verifying_key());
        Arc::new(
            Signed::decode(envelope).unwrap().verify(&ring, &mut VerifiedRoots::default()).unwrap(),
        )
    }
}

struct Ring(VerifyingKey);

impl KeyRing for Ring {
    fn record_key(&self, _: &AgencyName, _: KeyId, _: Timestamp) -> Option<VerifyingKey> {
        Some(self.0)
    }
}

fn secret() -> SeriesSecret {
    SeriesSecret::from_bytes([9; 32])
}

pub(super) fn at() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn marked(change: impl FnOnce(&mut pb::Marking)) -> Draft {
    let mut wire = indicator(77);
    change(wire.marking.as_mut().unwrap());
    Draft::try_from(wire).unwrap()
}

fn indicator(number: u8) -> pb::Draft {
    pb::Draft {
        marking: Some(pb::Marking {
            tlp: pb::Tlp::Green.into(),
            pap: pb::Pap::Green.into(),
            // The time of the first record ends as soon as it is made.
            retain_until_ms: if number == 0 { at().unix_ms().unsigned_abs() } else { 0 },
            ..pb::Marking::default()
        }),
        labels: vec!["takedown".into()],
        operation: "chakra-v".into(),
        confidence: 80,
        key: String::new(),
        reinstate: false,
        content: Some(pb::draft::Content::Indicator(pb::Indicator {
            value: format!("popup-{number}.example.com"),
            role: "popup".into(),
            title: "fake alert".into(),
            notes: "seen twice".into(),
            ..pb::Indicator::default()
        })),
    }
}

pub(in crate::cli) fn id_bytes(record: &Verified) -> Bytes {
    Bytes::copy_from_slice(record.id().as_bytes())
}

pub(in crate::cli) fn feed_entry(
    action: FeedAction,
    record: &Verified,
    open_slots: u32,
    policy_version: u64,
) -> pb::FeedEntry {
    pb::FeedEntry {
        action: action.into(),
        record_id: id_bytes(record),
        open_slots,
        policy_version,
        at_ms: at().unix_ms() as u64,
        ..pb::FeedEntry::default()
    }
}

/// A directory, and the writer of its journal.
pub(in crate::cli) struct Node {
    pub(in crate::cli) dir: tempfile::TempDir,
    pub(in crate::cli) ledger: JournalWriter,
    writer: WriterThread,
    runtime: tokio::runtime::Runtime,
    pub(in crate::cli) records: Vec<Arc<Verified>>,
}

/// The ground of an erasure when the time of a record has ended.
pub(super) fn retention() -> Ground {
    Ground { basis: ErasureBasis::Retention, authority: String::new(), ..approved(0, None) }
}

/// The ground of an erasure that two persons approved.
pub(super) fn approved(proposal: u64, order: Option<ErasureOrder>) -> Ground {
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
        let dir = tempfile::tempdir().unwrap();
        let (own, partner) = (Party::own(), Party::partner());
        std::fs::write(dir.path().join("card.txt"), own.card().to_armour().unwrap()).unwrap();
        let files = BTreeMap::from([("sharing.cedar".to_owned(), POLICY.as_bytes().to_vec())]);
        let hash = crate::audit::bundle_hash(&files);
        let bundle = dir.path().join("policies").join(hash.to_string());
        std::fs::create_dir_all(&bundle).unwrap();
        std::fs::write(bundle.join("sharing.cedar"), POLICY).unwrap();
        let signing = own.signing();
        begin(&options(dir.path()), own.signing(), ticking(), move |t| {
            t.append(genesis(&own.agency))?;
            t.append(Event::CardIssued(pb::CardIssued {
                card: Some(own.card().signed().clone()),
            }))?;
            addition(&partner, 1, 2).into_iter().try_for_each(|event| t.append(event).map(drop))
        })
        .unwrap();
        let (ledger, writer) = opened(dir.path(), signing);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let node = Self { dir, ledger, writer, runtime, records: Vec::new() };
        let mut events = policy_events(Bytes::copy_from_slice(hash.as_bytes()));
        change(&mut events);
        node.commit(move |t| events.into_iter().try_for_each(|event| t.append(event).map(drop)));
        node
    }

    /// Stops and starts again with another journal key.
    pub(super) fn reopened(self, signing: Signing) -> Self {
        let Self { dir, ledger, writer, runtime, records } = self;
        drop(ledger);
        writer.join().unwrap();
        let (ledger, writer) = opened(dir.path(), signing);
        Self { dir, ledger, writer, runtime, records }
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
        let partner = Party::partner();
        let theirs = Arc::clone(&partner.records(20..21)[0]);
        let order = node.order_erased();
        let ours = &node.records[1];
        let id = ours.id();
        let agency = partner.agency.clone();
        let waiting = partner.order(&theirs, 0b100);
        let held = theirs.id();
        let came = [
            feed_entry(FeedAction::Erased, ours, order.slots.bits(), 1),
            pb::FeedEntry {
                order: Some((&waiting).into()),
                ..feed_entry(FeedAction::Erase, &theirs, 0b100, 1)
            },
        ];
        let refused = [pb::FeedException {
            index: 4,
            reason: pb::ExceptionReason::HeldAsEvidence.into(),
            detail: String::new(),
        }];
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
        node.publish(vec![feed_entry(FeedAction::Erased, &theirs, 0b100, 1)]);
        node
    }

    /// Erases slots of the second record by an approved act, and orders the partner to erase them too.
    pub(in crate::cli) fn order_erased(&self) -> ErasureOrder {
        let ours = Arc::clone(&self.records[1]);
        let order = Party::own().order(&ours, 0b110);
        self.commit(move |t| {
            let decided = t.append(Event::ActProposed(pb::ActProposed {
                client: "sato".into(),
                role: "analyst".into(),
                act: Some(pb::Act {
                    act: Some(pb::act::Act::Erase(pb::EraseAct {
                        record_id: id_bytes(&ours),
                        slots: 0b110,
                        basis: pb::ErasureBasis::Led16.into(),
                        authority: "file 7".into(),
                        series_head: id_bytes(&ours),
                    })),
                }),
                expires_at_ms: at().unix_ms() as u64 + 1_000_000,
            }))?;
            t.append(Event::ActDecided(pb::ActDecided {
                proposal: decided,
                client: "tanaka".into(),
                role: "policy-officer".into(),
                approved: true,
                reason: String::new(),
                closes: true,
            }))?;
            let ground = approved(decided, Some(order));
            t.erase(&ours.id(), order.slots, &ground).map(drop)
        });
        let ours = &self.records[1];
        let duty = pb::FeedEntry {
            order: Some((&order).into()),
            ..feed_entry(FeedAction::Erase, ours, 0b110, 1)
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
        let agency = Party::partner().agency;
        self.commit(move |t| t.hold_back(&agency, Reasons::NONE.with(rule), &[record]));
    }

    /// Two persons decide on what is held because of a rule; `below` as the proposal says.
    pub(in crate::cli) fn decide_held(&self, rule: Unusual, released: bool, below: u64) {
        let agency = Party::partner().agency;
        self.commit(move |t| {
            let reasons = Reasons::NONE.with(rule);
            let number = t.state().partners[&agency].number;
            let bundle = t.held_below(number, reasons, u64::MAX)?;
            let proposal = t.append(Event::ActProposed(pb::ActProposed {
                client: "sato".into(),
                role: "analyst".into(),
                act: Some(pb::Act {
                    act: Some(pb::act::Act::Release(pb::ReleaseAct {
                        partner: agency.to_string(),
                        rules: reasons.bits(),
                        released,
                        below,
                        records: bundle.records(),
                        reason: "looked at".into(),
                    })),
                }),
                expires_at_ms: at().unix_ms() as u64 + 1_000_000,
            }))?;
            t.append(Event::ActDecided(pb::ActDecided {
                proposal,
                client: "tanaka".into(),
                role: "policy-officer".into(),
                approved: true,
                reason: String::new(),
                closes: true,
            }))?;
            t.decide_held(&agency, reasons, &bundle, proposal, released)
        });
    }

    pub(in crate::cli) fn commit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> Bytes {
        self.runtime.block_on(self.ledger.commit(job)).unwrap().1.note
    }

    pub(in crate::cli) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(in crate::cli) fn submit(&mut self, numbers: std::ops::Range<u8>) {
        let records = Party::own().records(numbers);
        self.records.extend(records.iter().cloned());
        self.commit(move |t| {
            records.into_iter().try_for_each(|r| t.accept(r, Origin::Client("desk")).map(drop))
        });
    }

    pub(in crate::cli) fn publish(&self, entries: Vec<pb::FeedEntry>) {
        let partner = Party::partner().agency;
        self.commit(move |t| {
            let rescan = Rescan { rules: t.state().rules_since(&partner), ..Rescan::default() };
            let progress = Progress { considered: t.size().get(), rescan };
            t.publish(&partner, &entries, progress, 2)
        });
    }

    pub(super) fn disclose(&self, numbers: std::ops::Range<usize>) {
        let entries: Vec<_> = self.records[numbers]
            .iter()
            .map(|r| feed_entry(FeedAction::Disclose, r, r.open_slots().bits() & 0b110, 1))
            .collect();
        let revised = entries.iter().map(|entry| {
            let action = FeedAction::Revise.into();
            pb::FeedEntry { action, open_slots: 0b1000, ..entry.clone() }
        });
        self.publish(entries.iter().cloned().chain(revised).collect());
    }

    /// The partner's receipt for everything published, but for the second entry since the last one.
    pub(in crate::cli) fn take_receipt(&self) {
        let snapshot = self.ledger.view().snapshot();
        let receipted = snapshot.state.partners[&Party::partner().agency].receipted;
        let refused = Exception::new(LeafIndex::new(receipted + 1), Reason::Policy, "");
        self.take_receipt_but(&[refused], |_| {});
    }

    /// The same but for these entries; the entry of the journal is changed before it is written.
    pub(in crate::cli) fn take_receipt_but(
        &self,
        refused: &[Exception],
        change: impl FnOnce(&mut pb::ReceiptReceived),
    ) {
        let (own, partner) = (Party::own(), Party::partner());
        let snapshot = self.ledger.view().snapshot();
        let known = &snapshot.state.partners[&partner.agency];
        let published = Note::parse(&known.published.note).unwrap();
        let checkpoint = Checkpoint::parse(published.text()).unwrap();
        let origin = Generation::FIRST.feed_origin(&own.agency, &partner.agency);
        let signer = NoteSigner::new(origin.parse().unwrap(), own.signing().journal_key);
        let range = known.receipted..checkpoint.size().get();
        let feed = origin.parse().unwrap();
        let statement = ExceptionStatement::sign(&feed, range, refused, &partner.cosigner());
        let mut receipt = pb::ReceiptReceived {
            partner: partner.agency.to_string(),
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
        let (own, partner) = (Party::own(), Party::partner());
        let key = partner.key(Role::Witness).signing_key().clone();
        let name = format!("{}/witness", partner.agency);
        let cosigner = Cosigner::new(name.parse().unwrap(), key);
        let checkpoint = Checkpoint::parse(Note::parse(note).unwrap().text()).unwrap();
        let origin = Generation::FIRST.journal_origin(&own.agency);
        let signer = NoteSigner::new(origin.parse().unwrap(), own.signing().journal_key);
        let line = cosigner.cosign(&checkpoint, CosignatureTime::from(at()));
        let signed = SignedCheckpoint::sign(checkpoint, &signer);
        let note = signed.with_cosignature(line, &NoteVerifier::from(&cosigner)).unwrap();
        let note = note.to_bytes().into();
        self.commit(move |t| {
            t.append(Event::CosignatureReceived(pb::CosignatureReceived { witness: name, note }))
        });
    }

    /// Records from the partner's feed: one in part and then more of it, one of a stranger.
    fn take_feed(&self) {
        let partner = Party::partner();
        let whole = Arc::clone(&partner.records(20..21)[0]);
        let part = partner.part(&whole, 0b110);
        let mut merged = (*part).clone();
        let gained = merged.absorb(&partner.part(&whole, u32::MAX), SlotMask::NONE).unwrap();
        let foreign = Arc::clone(&Party::stranger().records(30..31)[0]);
        let first = [
            feed_entry(FeedAction::Disclose, &part, 0b110, 1),
            feed_entry(FeedAction::Disclose, &foreign, foreign.open_slots().bits(), 1),
        ];
        let more = [feed_entry(FeedAction::Revise, &whole, whole.open_slots().bits(), 1)];
        let agency = partner.agency.clone();
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
    let card = Party::partner().card();
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
        Event::ActProposed(pb::ActProposed {
            client: officer.clone(),
            role: role.clone(),
            act: Some(pb::Act { act: Some(pb::act::Act::ApplyPolicy(act)) }),
            expires_at_ms: u64::MAX,
        }),
        Event::ActDecided(pb::ActDecided {
            proposal: 6,
            client: "second".to_owned(),
            role: role.clone(),
            approved: true,
            reason: String::new(),
            closes: true,
        }),
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

fn options(dir: &Path) -> JournalOptions {
    let mut options = JournalOptions::new(&dir.join("store"), EngineKind::Fjall);
    options.segments.segment_bytes_max = 5 << 10;
    options
}

/// A clock that goes on by a little at each look.
fn ticking() -> Clock {
    let ticks = AtomicI64::new(at().unix_ms());
    Arc::new(move || Timestamp::from_unix_ms(ticks.fetch_add(7, Ordering::Relaxed)).unwrap())
}

fn opened(dir: &Path, signing: Signing) -> (JournalWriter, WriterThread) {
    let (ledger, writer, _) = open(&options(dir), signing, ticking()).unwrap();
    (ledger, writer)
}

/// A batch of the partner's feed: its entries, what `job` makes of them from the index of the first one
/// on, and the receipt.
pub(super) fn received(
    t: &mut Transaction<'_>,
    entries: &[pb::FeedEntry],
    exceptions: &[pb::FeedException],
    job: impl FnOnce(&mut Transaction<'_>, u64) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let (own, partner) = (Party::own(), Party::partner());
    let known = &t.state().partners[&partner.agency].received;
    let (mut frontier, before) = (known.frontier.clone(), known.exceptions);
    let start = frontier.size().get();
    let entries: Vec<Bytes> = entries.iter().map(|entry| entry.encode_to_vec().into()).collect();
    t.receive_entries(&partner.agency, start, &entries)?;
    job(t, start)?;
    frontier.extend(entries.iter().map(|entry| leaf_hash(entry)));
    let origin = Generation::FIRST.feed_origin(&partner.agency, &own.agency);
    let checkpoint = Checkpoint::new(origin.parse().unwrap(), frontier.head()).unwrap();
    let signer = NoteSigner::new(origin.parse().unwrap(), partner.signing().journal_key);
    let edge: Vec<u8> =
        frontier.to_hashes().iter().flat_map(|hash| hash.as_bytes().to_vec()).collect();
    t.append(Event::FeedReceived(pb::FeedReceived {
        partner: partner.agency.to_string(),
        note: receipted(SignedCheckpoint::sign(checkpoint, &signer), &own),
        frontier: edge.into(),
        exceptions: exceptions.to_vec(),
        exceptions_total: before + exceptions.len() as u64,
    }))
    .map(drop)
}

fn receipted(signed: SignedCheckpoint, by: &Party) -> Bytes {
    let cosigner = by.cosigner();
    let line = cosigner.cosign(signed.checkpoint(), CosignatureTime::from(at()));
    let verifier = NoteVerifier::from(&cosigner);
    signed.with_cosignature(line, &verifier).unwrap().to_bytes().into()
}

/// Returns a checkpoint of the own journal with another root.
pub(in crate::cli) fn forged_checkpoint(size: u64) -> Bytes {
    let own = Party::own();
    let origin = Generation::FIRST.journal_origin(&own.agency);
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
