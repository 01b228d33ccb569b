//! Agencies with all their private keys, and the public keys of some of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::{SigningKey, VerifyingKey};

use super::{draft, now, own, partner, sample_card, withdrawal_draft};
use crate::exchange::{Output, Pair, Session, Side, SideKeys, Standing};
use crate::ident::{AgencyName, Generation, KeyId, RecordId, SeriesId, Timestamp};
use crate::journal::entry::{receipt_name, witness_name};
use crate::journal::transaction::Signing;
use crate::merkle::{Checkpoint, Cosigner, Note, NoteSigner, NoteVerifier};
use crate::partner::{Card, Role, SecretKey, VerifiedCard};
use crate::pb::{self, draft::Content};
use crate::record::consent::{Consent, ConsentTerms, Parties};
use crate::record::draft::{Draft, Place, SeriesSecret, sign};
use crate::record::erasure::{ErasureBasis, ErasureOrder};
use crate::record::signed::{KeyRing, Slot, Verified};
use crate::record::slots::SlotMask;

/// The series secret of every agency.
pub(crate) fn secret() -> SeriesSecret {
    SeriesSecret::from_bytes([9; 32])
}

/// An agency with all its private keys.
pub(crate) struct Agency {
    pub(crate) name: AgencyName,
    pub(crate) log: NoteSigner,
    pub(crate) receipts: Cosigner,
    pub(crate) witness: Cosigner,
    pub(crate) record_key: SigningKey,
    pub(crate) generation: Generation,
    /// Receipt and witness keys of generations before.
    retired: Vec<NoteVerifier>,
    /// Its keys have the seeds from eight times this on.
    number: u8,
    salts: AtomicU64,
}

impl Agency {
    /// The agency whose node is under test.
    pub(crate) fn own() -> Self {
        Self::named(own().as_str(), 0)
    }

    pub(crate) fn partner() -> Self {
        Self::named(partner().as_str(), 20)
    }

    /// An agency that is neither.
    pub(crate) fn stranger() -> Self {
        Self::named("far.example", 21)
    }

    /// One of several that differ in their number alone.
    pub(crate) fn new(number: u8) -> Self {
        Self::named(&format!("agency{number}.example"), number)
    }

    pub(crate) fn named(name: &str, number: u8) -> Self {
        let name: AgencyName = name.parse().unwrap();
        let (log, receipts, witness) = log_keys(&name, number, Generation::FIRST);
        Self {
            log,
            receipts,
            witness,
            record_key: secret_key(Role::Record, number, Generation::FIRST).signing_key().clone(),
            generation: Generation::FIRST,
            retired: Vec::new(),
            number,
            salts: AtomicU64::new(0),
            name,
        }
    }

    pub(crate) fn key(&self, role: Role) -> SecretKey {
        secret_key(role, self.number, self.generation)
    }

    pub(crate) fn key_id(&self) -> KeyId {
        self.key(Role::Record).public().id()
    }

    /// The name and the keys that its own journal needs.
    pub(crate) fn signing(&self) -> Signing {
        Signing {
            agency: self.name.clone(),
            journal_key: self.key(Role::Journal).signing_key().clone(),
            series_secret: secret(),
        }
    }

    pub(crate) fn card(&self) -> VerifiedCard {
        self.card_with(|_| ())
    }

    /// Its card after a change.
    pub(crate) fn card_with(&self, change: impl FnOnce(&mut Card)) -> VerifiedCard {
        let public = |role| *self.key(role).public();
        let mut card = sample_card();
        card.agency = self.name.clone();
        card.generation = self.generation;
        card.identity_key = public(Role::Identity);
        card.record_keys[0].key = public(Role::Record);
        card.journal_key = public(Role::Journal);
        card.witness_key = public(Role::Witness);
        card.receipt_key = public(Role::Receipt);
        change(&mut card);
        card.seal(&self.key(Role::Identity)).unwrap()
    }

    pub(crate) fn side(&self) -> Side {
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
    pub(crate) fn succeed(&mut self) {
        self.retired.extend([&self.receipts, &self.witness].map(NoteVerifier::from));
        self.generation = self.generation.next().unwrap();
        (self.log, self.receipts, self.witness) =
            log_keys(&self.name, self.number, self.generation);
    }

    pub(crate) fn pair_with(&self, partner: &Self) -> Pair {
        Pair { own: self.side(), partner: partner.side() }
    }

    pub(crate) fn session(&self, partner: &Self, standing: Standing) -> (Session, Vec<Output>) {
        Session::start(self.pair_with(partner), self.receipts.clone(), standing).unwrap()
    }

    /// Cosigns a note as a witness under that name.
    pub(crate) fn cosign(&self, name: &str, note: &[u8], at: Timestamp) -> Vec<u8> {
        let key = self.key(Role::Witness).signing_key().clone();
        let cosigner = Cosigner::new(name.parse().unwrap(), key);
        let note = Note::parse(note).unwrap();
        let line = cosigner.cosign(&Checkpoint::parse(note.text()).unwrap(), at.into());
        [note.to_bytes(), format!("{line}\n").into_bytes()].concat()
    }

    /// Orders slots of a record erased, whoever its originator is.
    pub(crate) fn order(
        &self,
        record: &RecordId,
        slots: SlotMask,
        basis: ErasureBasis,
    ) -> ErasureOrder {
        ErasureOrder::sign(record, slots, basis, now(), (&self.record_key, self.key_id()))
    }

    /// Signs a statement of this agency as an originator.
    pub(crate) fn consent(&self, holder: &AgencyName, terms: ConsentTerms) -> Consent {
        let parties = Parties { originator: &self.name, holder };
        Consent::sign(terms, parties, (&self.record_key, self.key_id())).unwrap()
    }

    /// Signs drafts as one batch.
    pub(crate) fn sign_all(&self, drafts: Vec<(Draft, Place)>, at: Timestamp) -> Vec<Verified> {
        let seal = |(draft, place): (Draft, Place)| {
            draft.seal(self.name.clone(), place, at, || {
                let count = self.salts.fetch_add(1, Ordering::Relaxed) + 1;
                (u128::from(self.number) << 64 | u128::from(count)).to_be_bytes()
            })
        };
        let sealed = drafts.into_iter().map(seal).collect();
        sign(sealed, &self.record_key, self.key_id(), || [5; 32]).unwrap()
    }

    /// Signs a draft for a place in a series.
    pub(crate) fn sign(
        &self,
        draft: impl TryInto<Draft, Error: fmt::Debug>,
        place: Place,
    ) -> Verified {
        self.sign_all(vec![(draft.try_into().unwrap(), place)], now()).remove(0)
    }

    /// Signs a draft as the first record of its series.
    pub(crate) fn first(&self, draft: impl TryInto<Draft, Error: fmt::Debug>) -> Verified {
        let draft: Draft = draft.try_into().unwrap();
        let place = Place::first(draft.series(&secret()));
        self.sign(draft, place)
    }

    /// Signs a draft as the revision that follows a record.
    pub(crate) fn revision(
        &self,
        of: &Verified,
        draft: impl TryInto<Draft, Error: fmt::Debug>,
    ) -> Verified {
        let header = of.header();
        self.sign(draft, Place::after(header.series, header.revision, of.id()))
    }

    /// An indicator with slots of several classes.
    pub(crate) fn indicator(&self, value: &str, confidence: u32) -> Verified {
        let content = Content::Indicator(pb::Indicator {
            value: value.into(),
            title: "first".into(),
            source: "feed a".into(),
            reporter: "desk 7".into(),
            notes: "line".into(),
            ..pb::Indicator::default()
        });
        self.first(pb::Draft { confidence, ..draft(content) })
    }

    /// The withdrawal of a record's series.
    pub(crate) fn withdrawal(&self, of: &Verified) -> Verified {
        self.withdrawal_of(of.header().series)
    }

    pub(crate) fn withdrawal_of(&self, series: SeriesId) -> Verified {
        self.sign(withdrawal_draft(), Place::end(series))
    }
}

fn secret_key(role: Role, number: u8, generation: Generation) -> SecretKey {
    let place = Role::ALL.iter().position(|other| *other == role).unwrap();
    let mut seed = [number * 8 + place as u8; 32];
    if Role::LOGS.contains(&role) && generation != Generation::FIRST {
        seed[0] = u8::MAX - generation.get();
    }
    SecretKey::from_seed(role, seed)
}

fn log_keys(
    name: &AgencyName,
    number: u8,
    generation: Generation,
) -> (NoteSigner, Cosigner, Cosigner) {
    let key = |role| secret_key(role, number, generation).signing_key().clone();
    (
        NoteSigner::new(generation.journal_origin(name).parse().unwrap(), key(Role::Journal)),
        Cosigner::new(receipt_name(name).parse().unwrap(), key(Role::Receipt)),
        Cosigner::new(witness_name(name).parse().unwrap(), key(Role::Witness)),
    )
}

/// A copy of a record with only these slots open, as a partner may get it.
pub(crate) fn redacted(record: &Verified, open: u32) -> Arc<Verified> {
    let open = SlotMask::from_bits(open);
    let envelope = record.redacted(open);
    let slots = record
        .numbered()
        .map(|(number, slot)| match slot {
            Slot::Open { .. } if open.contains(number) => slot.clone(),
            _ => Slot::Withheld(slot.commitment(record.kind(), number)),
        })
        .collect();
    let signature = envelope.signature.unwrap();
    Arc::new(Verified::from_store(envelope.header, signature, slots).unwrap())
}

/// The record keys of some agencies.
pub(crate) struct Ring(BTreeMap<AgencyName, (KeyId, VerifyingKey)>);

impl Ring {
    pub(crate) fn of<'a>(agencies: impl IntoIterator<Item = &'a Agency>) -> Self {
        let entry = |a: &Agency| (a.name.clone(), (a.key_id(), a.record_key.verifying_key()));
        Self(agencies.into_iter().map(entry).collect())
    }

    /// The key of one agency.
    pub(crate) fn one(name: &str, id: KeyId, key: &SigningKey) -> Self {
        Self(BTreeMap::from([(name.parse().unwrap(), (id, key.verifying_key()))]))
    }
}

impl KeyRing for Ring {
    fn record_key(&self, name: &AgencyName, key: KeyId, _: Timestamp) -> Option<VerifyingKey> {
        self.0.get(name).filter(|(id, _)| *id == key).map(|(_, key)| *key)
    }
}
