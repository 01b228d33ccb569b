//! The check of a proof file about one record, with nothing but the file and the reader's knowledge
//! of the originator.
//!
//! The first thing that does not hold ends it. What the file cannot show is listed, so that nobody
//! takes silence for a check.

use super::card::{Card, CardFault};
use super::expectations::Anchor;
use super::failure::{Check, Fault};
use super::line_ends::changed_line_ends;
use super::proof_file::ProofFile;
use super::proof_report::{Checked, Field, FieldState, ProofReport, Unchecked};
use crate::ident::{AgencyName, Generation, KeyId, RecordId, Timestamp};
use crate::merkle::{
    NotProved, NoteVerifier, Origin, ProofPolicy, SignatureType, SignedCheckpoint, TlogProof,
    leaf_hash,
};
use crate::pb::{self, FeedAction, journal_entry::Event};
use crate::record::consent::{Consent, ConsentVerdict, Parties, Purpose, Scope};
use crate::record::signed::{KeyRing, Signed, Slot, Verified, VerifiedRoots};
use crate::record::slots::{SlotMask, SlotNumber};
use ed25519_dalek::VerifyingKey;
use prost::Message as _;
use std::collections::BTreeMap;
use std::error::Error;

/// Checks a proof file; `anchor` is what the reader knows of the originator from elsewhere.
pub fn verify_proof(bytes: &[u8], anchor: &Anchor) -> Result<ProofReport, Fault> {
    let file = ProofFile::parse(bytes).map_err(|error| {
        changed_line_ends(bytes).unwrap_or_else(|| {
            Fault::new(Check::ProofForm, "a proof of liaison-proof/v1", told(&error))
        })
    })?;
    let mut proof = Proof::new(&file)?;
    let originator = proof.check_record(anchor)?;
    proof.check_acceptance(&originator)?;
    proof.check_consent(&originator)?;
    for (partner, disclosure) in &file.disclosures {
        proof.check_disclosure(partner, disclosure)?;
    }
    Ok(proof.report(originator))
}

/// A proof file under examination.
struct Proof<'a> {
    file: &'a ProofFile,
    agencies: BTreeMap<AgencyName, History>,
    record: Option<Verified>,
    accepted_at: Option<Timestamp>,
    checked: Vec<Checked>,
    unchecked: Vec<Unchecked>,
}

impl<'a> Proof<'a> {
    fn new(file: &'a ProofFile) -> Result<Self, Fault> {
        let agencies = file.cards.iter().map(|(agency, cards)| {
            let history = History::check(agency, cards)
                .map_err(|found| Fault::new(Check::ProofCards, "sound cards", found))?;
            Ok((agency.clone(), history))
        });
        Ok(Self {
            file,
            agencies: agencies.collect::<Result<_, Fault>>()?,
            record: None,
            accepted_at: None,
            checked: Vec::new(),
            unchecked: Vec::new(),
        })
    }

    fn history(&self, agency: &AgencyName) -> Result<&History, Fault> {
        let missing = || Fault::new(Check::ProofCards, format!("a card of {agency}"), "none");
        self.agencies.get(agency).ok_or_else(missing)
    }

    /// Form, commitments and the originator's signature. Gives the originator.
    fn check_record(&mut self, anchor: &Anchor) -> Result<AgencyName, Fault> {
        let signed = Signed::decode(self.file.envelope.clone())
            .map_err(|error| Fault::new(Check::RecordForm, "a record", error))?;
        let originator = signed.header().originator.clone();
        let history = self.history(&originator)?;
        let newest = history.newest();
        history.newest_first().try_for_each(|card| anchor.check(card))?;
        if matches!(anchor, Anchor::Directory) {
            let number = newest.number();
            self.unchecked.push(Unchecked::Identity { agency: originator.clone(), number });
        }
        let record = self
            .history(&originator)?
            .verify(signed)
            .map_err(|error| Fault::new(Check::RecordSignature, &originator, error))?;
        let open = record.open_slots().count();
        self.checked.push(Checked::Record {
            originator: originator.clone(),
            key: record.signature().key_id,
            open,
            slots: record.slots().len() as u32,
        });
        self.record = Some(record);
        Ok(originator)
    }

    fn record(&self) -> Result<&Verified, Fault> {
        self.record.as_ref().ok_or_else(|| Fault::new(Check::RecordForm, "a record", "none"))
    }

    /// Checks that the holder's journal accepted this record.
    fn check_acceptance(&mut self, originator: &AgencyName) -> Result<(), Fault> {
        let file = self.file;
        let holder = &file.holder;
        let (at, accepted) = entry(file.acceptance.extra())?;
        let (said, shown) = (&accepted.header, &file.envelope.header);
        if said != shown || accepted.signature != file.envelope.signature {
            let found = "that of another record, or under another signature";
            return Err(Fault::new(Check::ProofEntry, "the acceptance of this record", found));
        }
        let witnesses = self.witnesses(holder);
        // Of any generation that a card in the file has; another has no key.
        let generation = generation_of(&file.acceptance);
        let keys = Keys {
            origin: generation.journal_origin(holder),
            log: self.history(holder)?.journal_keys(generation),
            cosigners: witnesses,
            quorum: 0,
        };
        let signed = keys.verify(&file.acceptance)?;
        let newest = self.history(originator)?.newest();
        let key = self.record()?.signature().key_id;
        if let Some(since) = newest.compromised_since(key).filter(|since| *since <= at) {
            self.unchecked.push(Unchecked::Compromised { key, since });
        }
        self.accepted_at = Some(at);
        self.checked.push(Checked::Accepted {
            holder: holder.clone(),
            at,
            index: file.acceptance.index(),
            size: signed.checkpoint().size(),
        });
        self.cosigned(&signed);
        self.passed_over(&file.acceptance, &signed);
        if signed.cosignatures().is_empty() {
            self.unchecked.push(Unchecked::NoWitness { holder: holder.clone() });
        }
        Ok(())
    }

    /// Checks that the originator consents to the record's use as evidence, where its marking
    /// requires that.
    fn check_consent(&mut self, originator: &AgencyName) -> Result<(), Fault> {
        let fault = |expected: String, found: &dyn ToString| {
            Fault::new(Check::Consent, expected, found.to_string())
        };
        let (id, header) = (self.record()?.id(), self.record()?.header().clone());
        let file = self.file;
        let Some((by, wire)) = &file.consent else {
            if header.marking.use_limits.no_evidence && !self.record()?.open_slots().is_empty() {
                self.unchecked.push(Unchecked::NotForEvidence { originator: originator.clone() });
            }
            return Ok(());
        };
        let consent = Consent::try_from(wire.clone())
            .map_err(|error| fault("a statement about consent".to_owned(), &error))?;
        let ConsentVerdict::Granted { until } = consent.verdict else {
            return Err(fault("a consent".to_owned(), &"a refusal, or one taken back"));
        };
        let covers = match &consent.subject.scope {
            Scope::Record(of) => *of == id,
            Scope::Operation(code) => header.operation.as_ref() == Some(code),
            Scope::All => true,
        };
        if by != originator || !covers || consent.subject.purpose != Purpose::Evidence {
            let expected = format!("a consent of {originator} to use this record as evidence");
            return Err(fault(expected, &"another"));
        }
        let parties = Parties { originator, holder: &file.holder };
        consent
            .verify(parties, self.history(originator)?)
            .map_err(|error| fault(format!("a statement of {originator}"), &error))?;
        self.checked.push(Checked::Consented {
            originator: originator.clone(),
            holder: file.holder.clone(),
            key: consent.key_id,
            until,
        });
        Ok(())
    }

    /// Checks that the record was disclosed to a partner, and that the partner holds it.
    fn check_disclosure(&mut self, partner: &AgencyName, proof: &TlogProof) -> Result<(), Fault> {
        let holder = &self.file.holder;
        let entry = feed_entry(proof.extra())?;
        if entry.record_id[..] != self.record()?.id().as_bytes()[..] {
            let found = "that of another record";
            return Err(Fault::new(Check::ProofEntry, "the disclosure of this record", found));
        }
        let generation = generation_of(proof);
        let keys = Keys {
            origin: generation.feed_origin(holder, partner),
            log: self.history(holder)?.journal_keys(generation),
            cosigners: self.history(partner)?.receipt_keys(),
            quorum: 1,
        };
        let signed = keys.verify(proof)?;
        self.checked.push(Checked::Receipted {
            partner: partner.clone(),
            action: entry.action(),
            fields: self.names(SlotMask::from_bits(entry.open_slots))?,
            index: proof.index(),
            size: signed.checkpoint().size(),
            at: signed.cosignatures().iter().map(|line| line.at).max(),
        });
        self.passed_over(proof, &signed);
        self.unchecked.push(Unchecked::Exceptions { partner: partner.clone() });
        Ok(())
    }

    /// The witness keys of everybody but the holder, under the names that their lines carry.
    fn witnesses(&self, holder: &AgencyName) -> Vec<NoteVerifier> {
        let others = self.agencies.iter().filter(|(agency, _)| *agency != holder);
        others.flat_map(|(_, history)| history.witness_keys()).collect()
    }

    fn cosigned(&mut self, signed: &SignedCheckpoint) {
        self.checked.extend(signed.cosignatures().iter().map(|line| Checked::Witnessed {
            witness: line.name.to_string(),
            size: signed.checkpoint().size(),
            at: line.at,
        }));
    }

    /// Lines by keys that are not in the file.
    fn passed_over(&mut self, proof: &TlogProof, signed: &SignedCheckpoint) {
        let lines = proof.note().signatures().len() - signed.note().signatures().len();
        if lines > 0 {
            let log = signed.checkpoint().origin().clone();
            self.unchecked.push(Unchecked::Lines { log, lines });
        }
    }

    fn names(&self, mask: SlotMask) -> Result<Vec<&'static str>, Fault> {
        let kind = self.record()?.kind();
        let shown = SlotNumber::of(kind).filter(|number| mask.contains(*number));
        Ok(shown.map(|number| number.spec(kind).name).collect())
    }

    fn report(self, originator: AgencyName) -> ProofReport {
        let record = self.record.as_ref();
        let field = |(number, slot): (SlotNumber, &Slot), kind| Field {
            name: number.spec(kind).name,
            state: match slot {
                Slot::Open { bytes, .. } if bytes.is_empty() => FieldState::Empty,
                Slot::Open { .. } => FieldState::Open,
                Slot::Withheld(_) => FieldState::Withheld,
                Slot::Erased(_) | Slot::ClaimedErased(_) => FieldState::Erased,
            },
        };
        let fields: Vec<Field> = record
            .map(|record| record.numbered().map(|slot| field(slot, record.kind())).collect())
            .unwrap_or_default();
        let mut unchecked = self.unchecked;
        if fields.iter().any(|field| field.state == FieldState::Erased) {
            unchecked.push(Unchecked::Erased { holder: self.file.holder.clone() });
        }
        ProofReport {
            record: record.map_or(RecordId::from_bytes([0; RecordId::BYTES]), Verified::id),
            kind: record.map_or("", |record| record.kind().name()),
            number: self.agencies.get(&originator).map(|history| history.newest().number()),
            handling: record.map(|record| record.header().marking.handling()).unwrap_or_default(),
            is_kept_out: self.file.consent.is_none()
                && record.is_some_and(|record| {
                    record.header().marking.use_limits.no_evidence && record.open_slots().is_empty()
                }),
            originator,
            fields,
            checked: self.checked,
            unchecked,
        }
    }
}

/// The journal entry that accepted a record, in its one encoding.
fn entry(bytes: &[u8]) -> Result<(Timestamp, pb::RecordAccepted), Fault> {
    let fault = |found: &dyn ToString| {
        Fault::new(Check::ProofEntry, "a journal entry that accepts a record", found.to_string())
    };
    let entry = pb::JournalEntry::decode(bytes).map_err(|error| fault(&error))?;
    let Some(Event::RecordAccepted(accepted)) = entry.event else {
        return Err(fault(&"an entry of another sort"));
    };
    let at = i64::try_from(entry.at_ms).unwrap_or(i64::MAX);
    Ok((Timestamp::from_unix_ms(at).map_err(|error| fault(&error))?, accepted))
}

fn feed_entry(bytes: &[u8]) -> Result<pb::FeedEntry, Fault> {
    let fault = |found: &dyn ToString| {
        Fault::new(Check::ProofEntry, "an entry of a feed", found.to_string())
    };
    let entry = pb::FeedEntry::decode(bytes).map_err(|error| fault(&error))?;
    match entry.action() {
        FeedAction::Unspecified => Err(fault(&"one without an action")),
        _ => Ok(entry),
    }
}

/// The generation of the log that a proof leads to, by its own word.
fn generation_of(proof: &TlogProof) -> Generation {
    Generation::named_in(proof.note().text().as_str().lines().next().unwrap_or_default())
}

/// The keys that may have signed the notes of one log.
struct Keys {
    origin: String,
    /// The newest first.
    log: Vec<VerifyingKey>,
    cosigners: Vec<NoteVerifier>,
    quorum: usize,
}

impl Keys {
    /// Verifies the checkpoint by each of the log's keys. If none fits, it returns the refusal by
    /// the newest key.
    fn verify(&self, proof: &TlogProof) -> Result<SignedCheckpoint, Fault> {
        let fault = |found: String| {
            let expected = format!("an entry of {}", self.origin);
            Fault::new(Check::ProofInclusion, expected, found)
        };
        let origin: Origin = self.origin.parse().map_err(|error| fault(told(&error)))?;
        let leaf = leaf_hash(proof.extra());
        let mut first: Option<NotProved> = None;
        for key in &self.log {
            let log = verifier(&self.origin, SignatureType::Ed25519, key);
            let Some(log) = log else { continue };
            let policy = ProofPolicy {
                origin: &origin,
                log: &log,
                cosigners: &self.cosigners,
                quorum: self.quorum,
            };
            match proof.verify(&leaf, policy) {
                Ok(signed) => return Ok(signed),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(fault(first.map_or_else(|| "no key to check it".to_owned(), |error| told(&error))))
    }
}

/// The cards of one agency, oldest first; never empty, all of one identity.
pub(super) struct History(Vec<Card>);

impl History {
    /// Checks every signature, that serials ascend, and that a card names the one before it where
    /// that is here.
    pub(super) fn check(agency: &AgencyName, wire: &[pb::SignedCard]) -> Result<Self, String> {
        let cards: Vec<Card> = wire
            .iter()
            .map(Card::check)
            .collect::<Result<_, CardFault>>()
            .map_err(|e| e.to_string())?;
        if let Some(other) = cards.iter().find(|card| card.agency != *agency) {
            return Err(format!("a card of {} among those of {agency}", other.agency));
        }
        for pair in cards.windows(2) {
            let [before, after] = pair else { continue };
            if !after.is_same_identity(before) {
                return Err(format!("cards of {agency} under two identity keys"));
            }
            if after.serial <= before.serial {
                return Err(format!("card {} of {agency} behind {}", after.serial, before.serial));
            }
            if after.serial == before.serial + 1 && !after.follows(before) {
                return Err(format!("card {} of {agency} names another before it", after.serial));
            }
        }
        if cards.is_empty() { Err(format!("no card of {agency}")) } else { Ok(Self(cards)) }
    }

    fn newest(&self) -> &Card {
        self.0.last().expect("a history has one card at least")
    }

    fn verify(&self, signed: Signed) -> Result<Verified, crate::record::signed::RecordError> {
        signed.verify(self, &mut VerifiedRoots::default())
    }

    fn newest_first(&self) -> impl Iterator<Item = &Card> {
        self.0.iter().rev()
    }

    fn journal_keys(&self, generation: Generation) -> Vec<VerifyingKey> {
        let cards = self.newest_first().filter(|card| card.generation == generation);
        let mut keys: Vec<_> = cards.map(|card| card.journal).collect();
        keys.dedup();
        keys
    }

    fn receipt_keys(&self) -> Vec<NoteVerifier> {
        self.cosigners("receipt", |card| &card.receipt)
    }

    fn witness_keys(&self) -> Vec<NoteVerifier> {
        self.cosigners("witness", |card| &card.witness)
    }

    fn cosigners(&self, role: &str, key: impl Fn(&Card) -> &VerifyingKey) -> Vec<NoteVerifier> {
        let name = format!("{}/{role}", self.newest().agency);
        let of = |card| verifier(&name, SignatureType::Cosignature, key(card));
        let mut found: Vec<NoteVerifier> = self.newest_first().filter_map(of).collect();
        found.dedup();
        found
    }
}

impl KeyRing for History {
    /// By the newest card that lists the key at all: a later card may have shortened its time.
    fn record_key(
        &self,
        originator: &AgencyName,
        id: KeyId,
        at: Timestamp,
    ) -> Option<VerifyingKey> {
        let card = self.newest_first().find(|card| card.lists(id))?;
        card.record_key(originator, id, at)
    }
}

/// `None` only if a name is too long for a note, which agency names are not.
fn verifier(name: &str, role: SignatureType, key: &VerifyingKey) -> Option<NoteVerifier> {
    NoteVerifier::new(name.parse().ok()?, role, key.as_bytes()).ok()
}

/// An error with its causes.
fn told(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
