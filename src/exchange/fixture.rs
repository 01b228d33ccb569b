//! Agencies with keys, records and feeds in memory, for the tests of this module.

use std::collections::BTreeMap;

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};

use super::entry::{ConsentMessage, FeedAction, FeedEntry};
use super::pair::{Pair, Side, SideKeys, feed_origin};
use super::session::{Session, Standing};
use super::{Acceptance, Batch, BatchFault, CheckContext, CheckedBatch, check_batch};
use crate::ident::{
    AgencyName, Generation, KeyId, PolicyVersion, RecordId, Timestamp, TreeHash, TreeSize,
};
use crate::merkle::{
    Checkpoint, Cosigner, Frontier, NoteSigner, NoteVerifier, Origin, SignedCheckpoint, TreeHead,
    leaf_hash, root_of,
};
use crate::pb;
use crate::record::consent::{Consent, ConsentTerms, Parties};
use crate::record::draft::{self, Draft, Place, SeriesSecret};
use crate::record::erasure::{ErasureBasis, ErasureOrder};
use crate::record::header::Header;
use crate::record::signed::{KeyRing, Verified, VerifiedRoots};
use crate::record::slots::SlotMask;

pub(super) fn start_of_day() -> Timestamp {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

/// An agency with all its private keys.
pub(super) struct Agency {
    pub(super) name: AgencyName,
    pub(super) log: NoteSigner,
    pub(super) receipts: Cosigner,
    pub(super) witness: Cosigner,
    pub(super) record_key: SigningKey,
    pub(super) generation: Generation,
    /// Receipt and witness keys of generations before.
    retired: Vec<NoteVerifier>,
    number: u8,
    salts: u128,
}

impl Agency {
    pub(super) fn new(number: u8) -> Self {
        let name: AgencyName = format!("agency{number}.example").parse().unwrap();
        let (log, receipts, witness) = log_keys(&name, number, Generation::FIRST);
        Self {
            log,
            receipts,
            witness,
            record_key: SigningKey::from_bytes(&[number * 16 + 3; 32]),
            generation: Generation::FIRST,
            retired: Vec::new(),
            number,
            salts: u128::from(number) << 64,
            name,
        }
    }

    pub(super) fn side(&self) -> Side {
        let keys = SideKeys {
            log: NoteVerifier::from(&self.log),
            receipts: NoteVerifier::from(&self.receipts),
            journal: NoteVerifier::from(&self.log),
            witness: NoteVerifier::from(&self.witness),
        };
        let side = Side::new(self.name.clone(), self.generation, keys).unwrap();
        side.with_retired(self.retired.clone())
    }

    /// Begins the next generation of its logs, under other keys.
    pub(super) fn succeed(&mut self) {
        self.retired.extend([&self.receipts, &self.witness].map(NoteVerifier::from));
        self.generation = self.generation.next().unwrap();
        (self.log, self.receipts, self.witness) =
            log_keys(&self.name, self.number, self.generation);
    }

    pub(super) fn pair_with(&self, partner: &Self) -> Pair {
        Pair { own: self.side(), partner: partner.side() }
    }

    pub(super) fn session(
        &self,
        partner: &Self,
        standing: Standing,
    ) -> (Session, Vec<super::Output>) {
        Session::start(self.pair_with(partner), self.receipts.clone(), standing).unwrap()
    }

    fn key_id(&self) -> KeyId {
        KeyId::try_from(&self.record_key.verifying_key().as_bytes()[..16]).unwrap()
    }

    /// Orders slots of a record erased, whoever its originator is.
    pub(super) fn order(
        &self,
        record: &RecordId,
        slots: SlotMask,
        basis: ErasureBasis,
    ) -> ErasureOrder {
        let key = (&self.record_key, self.key_id());
        ErasureOrder::sign(record, slots, basis, start_of_day(), key)
    }

    /// Signs a statement of this agency as an originator.
    pub(super) fn consent(&self, holder: &AgencyName, saying: ConsentTerms) -> Consent {
        let parties = Parties { originator: &self.name, holder };
        Consent::sign(saying, parties, (&self.record_key, self.key_id())).unwrap()
    }

    fn sign(&mut self, draft: Draft, place: Option<Place>) -> Verified {
        let first = Place::first(draft.series(&SeriesSecret::from_bytes([9; 32])));
        let sealed = draft.seal(self.name.clone(), place.unwrap_or(first), start_of_day(), || {
            self.salts += 1;
            self.salts.to_be_bytes()
        });
        draft::sign(vec![sealed], &self.record_key, self.key_id(), || [5; 32]).unwrap().remove(0)
    }

    /// An indicator with slots of several classes.
    pub(super) fn indicator(&mut self, value: &str, confidence: u32) -> Verified {
        self.marked(indicator_draft(value, confidence, "first", green()), None)
    }

    /// Signs a draft, as a new record or as the successor of another.
    pub(super) fn marked(&mut self, draft: Draft, after: Option<&Verified>) -> Verified {
        let place = after.map(|of| {
            let header = of.header();
            Place::after(header.series, header.revision, of.id())
        });
        self.sign(draft, place)
    }

    pub(super) fn withdrawal(&mut self, of: &Verified) -> Verified {
        self.withdrawal_at(Place::end(of.header().series))
    }

    /// A withdrawal that shows which revision it withdraws, which no node accepts.
    pub(super) fn withdrawal_after(&mut self, of: &Verified) -> Verified {
        let header = of.header();
        self.withdrawal_at(Place::after(header.series, header.revision, of.id()))
    }

    fn withdrawal_at(&mut self, place: Place) -> Verified {
        let content = pb::Withdrawal { reason: 1, explanation: "mistaken".into() };
        self.sign(Draft::withdrawal(content).unwrap(), Some(place))
    }
}

fn log_keys(
    name: &AgencyName,
    number: u8,
    generation: Generation,
) -> (NoteSigner, Cosigner, Cosigner) {
    let key = |role: u8| {
        let mut seed = [number * 16 + role; 32];
        seed[0] = generation.get();
        SigningKey::from_bytes(&seed)
    };
    (
        NoteSigner::new(generation.journal_origin(name).parse().unwrap(), key(1)),
        Cosigner::new(format!("{name}/receipts").parse().unwrap(), key(2)),
        Cosigner::new(format!("{name}/witness").parse().unwrap(), key(4)),
    )
}

fn green() -> pb::Marking {
    pb::Marking { tlp: pb::Tlp::Green.into(), pap: pb::Pap::Green.into(), ..pb::Marking::default() }
}

pub(super) fn indicator_draft(
    value: &str,
    confidence: u32,
    title: &str,
    marking: pb::Marking,
) -> Draft {
    let content = pb::Indicator {
        value: value.into(),
        title: title.into(),
        source: "feed a".into(),
        reporter: "desk 7".into(),
        notes: "line".into(),
        ..pb::Indicator::default()
    };
    let draft = pb::Draft {
        marking: Some(marking),
        confidence,
        content: Some(pb::draft::Content::Indicator(content)),
        ..pb::Draft::default()
    };
    Draft::try_from(draft).unwrap()
}

/// The record keys of some agencies.
pub(super) struct Ring(BTreeMap<AgencyName, (KeyId, VerifyingKey)>);

impl Ring {
    pub(super) fn of<'a>(agencies: impl IntoIterator<Item = &'a Agency>) -> Self {
        let entry = |a: &Agency| (a.name.clone(), (a.key_id(), a.record_key.verifying_key()));
        Self(agencies.into_iter().map(entry).collect())
    }
}

impl KeyRing for Ring {
    fn record_key(&self, name: &AgencyName, key: KeyId, _: Timestamp) -> Option<VerifyingKey> {
        self.0.get(name).filter(|(id, _)| *id == key).map(|(_, key)| *key)
    }
}

/// Takes every record whose confidence is at least this.
pub(super) struct AtLeast(pub(super) u8);

impl Acceptance for AtLeast {
    fn accepts(&mut self, header: &Header) -> bool {
        header.confidence >= self.0
    }
}

/// Checks with a ring of its own and no memory of roots.
pub(super) fn check(
    pair: &Pair,
    ring: &Ring,
    frontier: Frontier,
    batch: pb::FeedBatch,
) -> Result<CheckedBatch, BatchFault> {
    let (roots, acceptance) = (&mut VerifiedRoots::default(), &mut AtLeast(0));
    let mut context = CheckContext { pair, keys: ring, roots, acceptance };
    check_batch(&mut context, frontier, Batch::try_from(batch).unwrap())
}

/// A feed with its published heads.
#[derive(Clone)]
pub(super) struct Feed {
    origin: Origin,
    log: NoteSigner,
    pub(super) entries: Vec<Bytes>,
    leaves: Vec<TreeHash>,
    /// Published sizes, ascending, with their notes.
    pub(super) heads: Vec<(TreeHead, Vec<u8>)>,
}

impl Feed {
    pub(super) fn new(from: &Agency, to: &Agency) -> Self {
        Self {
            origin: feed_origin(&from.name, &to.name, from.generation),
            log: from.log.clone(),
            entries: Vec::new(),
            leaves: Vec::new(),
            heads: Vec::new(),
        }
    }

    /// Appends a request or statement on consent.
    pub(super) fn tell(&mut self, said: &ConsentMessage) {
        let action = match said {
            ConsentMessage::Request(_) => FeedAction::ConsentRequest,
            ConsentMessage::Consent(_) => FeedAction::Consent,
        };
        let entry = FeedEntry {
            action,
            record: said.record(),
            open_slots: SlotMask::NONE,
            policy_version: PolicyVersion::new(1),
            at: start_of_day(),
            order: None,
            message: Some(Box::new(said.clone())),
        };
        self.append_bytes(entry.encode());
    }

    pub(super) fn append(&mut self, action: FeedAction, record: &Verified, open_slots: SlotMask) {
        self.append_duty(action, (record.id(), open_slots), None);
    }

    /// Appends an entry about a record that need not be here.
    pub(super) fn append_duty(
        &mut self,
        action: FeedAction,
        (record, open_slots): (RecordId, SlotMask),
        order: Option<ErasureOrder>,
    ) {
        let entry = FeedEntry {
            action,
            record,
            open_slots,
            policy_version: PolicyVersion::new(1),
            at: start_of_day(),
            order,
            message: None,
        };
        self.append_bytes(entry.encode());
    }

    pub(super) fn append_bytes(&mut self, entry: Bytes) {
        self.leaves.push(leaf_hash(&entry));
        self.entries.push(entry);
    }

    /// Signs a head over all entries, whatever they are.
    pub(super) fn publish(&mut self) {
        let size = TreeSize::new(self.leaves.len() as u64);
        let head = TreeHead { size, root: root_of(&self.leaves) };
        let note = self.sign(head);
        self.heads.push((head, note));
    }

    pub(super) fn sign(&self, head: TreeHead) -> Vec<u8> {
        let checkpoint = Checkpoint::new(self.origin.clone(), head).unwrap();
        SignedCheckpoint::sign(checkpoint, &self.log).to_bytes()
    }

    /// The note of a published head with the recipient's cosignature.
    pub(super) fn receipt(&self, note: &[u8], by: &Cosigner) -> Vec<u8> {
        self.receipt_at(note, by, start_of_day())
    }

    pub(super) fn receipt_at(&self, note: &[u8], by: &Cosigner, at: Timestamp) -> Vec<u8> {
        let log = NoteVerifier::from(&self.log);
        let opened = SignedCheckpoint::open(note, &log, &[], &self.origin).unwrap();
        let line = by.cosign(opened.checkpoint(), at.into());
        opened.with_cosignature(line, &NoteVerifier::from(by)).unwrap().to_bytes()
    }

    pub(super) fn published(&self) -> TreeSize {
        self.heads.last().map_or(TreeSize::new(0), |(head, _)| head.size)
    }

    pub(super) fn root_at(&self, size: TreeSize) -> Option<TreeHash> {
        self.leaves.get(..size.get() as usize).map(root_of)
    }

    pub(super) fn frontier_at(&self, size: u64) -> Frontier {
        self.leaves[..size as usize].iter().copied().collect()
    }

    /// The batch from an entry to a published head.
    pub(super) fn batch(
        &self,
        from: u64,
        (head, note): &(TreeHead, Vec<u8>),
        mut envelope: impl FnMut(&FeedEntry) -> pb::Envelope,
    ) -> pb::FeedBatch {
        let entries = &self.entries[from as usize..head.size.get() as usize];
        let envelope = |bytes: &Bytes| {
            FeedEntry::decode(bytes).map_or_else(|_| pb::Envelope::default(), |e| envelope(&e))
        };
        pb::FeedBatch {
            start: from,
            entries: entries.to_vec(),
            envelopes: entries.iter().map(envelope).collect(),
            note: note.clone().into(),
        }
    }
}
