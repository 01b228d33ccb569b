//! The small state that the journal adds up to: partners, policy, cursors.
//!
//! It is a fold over the entries and nothing else. The last entry of each sort is also kept in the
//! index, so that start-up reads the tail of the log only.

pub(super) mod keys;
pub(super) mod note;
pub mod open_act;
mod baseline_rows;
pub mod witnessing;

use super::JournalError;
use super::consents::ConsentState;
use super::consents::state as consent_state;
use super::entry;
use super::progress::{Progress, Rescan};
use crate::exchange::Offering;
use crate::ident::{AgencyName, Generation, PolicyVersion, Timestamp};
use crate::merkle::Frontier;
use crate::partner::VerifiedCard;
use crate::pb::{self, journal_entry::Event};
use crate::policy::{Baseline, OriginatorNumber};
use crate::store::{Change, Table};
use baseline_rows::BaselineRows;
use bytes::Bytes;
use keys::{
    COUNT_KEY, act_key, cards_key, compared_key, counted_entries, partner_key, version_key,
    witnessing_key,
};
use open_act::OpenAct;
use std::collections::BTreeMap;
use std::sync::Arc;
use witnessing::Witnessing;

pub use super::ids::{FeedNumber, PARTNERS_MAX, PartnerNumber};
pub(super) use note::{generation_of, note_size};

/// The state of one partner.
#[derive(Debug, Clone)]
pub struct PartnerRecord {
    pub number: PartnerNumber,
    /// The number of our feed to it.
    pub feed: FeedNumber,
    /// The number of its feed to us.
    pub source: FeedNumber,
    pub card: Arc<VerifiedCard>,
    pub state: pb::PartnerState,
    pub facts: pb::PartnerFacts,
    /// Our feed to it.
    pub published: Published,
    /// The usual amounts that it gets, for the release brake.
    pub baseline: Arc<Baseline>,
    /// Its feed to us.
    pub received: Received,
    /// Entries of our feed that it gave receipts for.
    pub receipted: u64,
    /// Signed note with its last receipt; empty before the first.
    pub receipt_note: Bytes,
    /// Entries of our feed that it did not take.
    pub exceptions: u64,
    /// The refusals of the partner, and the new offers.
    pub offering: Offering,
    /// The last receipt with a refusal.
    pub(super) refused_by: u64,
    /// The last entry that changed what may be decided for it.
    changed_at: u64,
}

impl PartnerRecord {
    /// Returns the index of the last entry that changed the partner.
    pub const fn changed_at(&self) -> u64 {
        self.changed_at
    }

    /// The entry that leaves the partner as it is; whoever writes it changes what is to change.
    pub fn as_it_is(&self, agency: &AgencyName, client: &str) -> pb::PartnerChanged {
        pb::PartnerChanged {
            agency: agency.to_string(),
            number: u32::from(self.number.get()),
            state: self.state.into(),
            card: Some(self.card.signed().clone()),
            facts: Some(self.facts.clone()),
            client: client.to_owned(),
            proposal: 0,
        }
    }
}

/// The published part of our feed to a partner.
#[derive(Debug, Clone, Default)]
pub struct Published {
    pub size: u64,
    /// Signed note of the newest head; empty before the first.
    pub note: Bytes,
    pub progress: Progress,
    pub policy_version: PolicyVersion,
    pub records_disclosed: u64,
    pub fields_withheld: u64,
}

/// The received part of a partner's feed.
#[derive(Debug, Clone, Default)]
pub struct Received {
    pub frontier: Frontier,
    /// Signed note with our receipt; empty before the first.
    pub note: Bytes,
    pub exceptions: u64,
}

/// A comparison with another bundle, with its counts.
#[derive(Debug, Clone)]
pub struct Compared {
    pub journal_index: u64,
    pub at: Timestamp,
    pub compared: Arc<pb::PolicyCompared>,
}

/// Bundles compared with the one in force that are kept in mind; people work on one or two.
pub const COMPARED_MAX: usize = 16;

/// Acts that may wait at once. People decide on them; more would not be read.
pub const ACTS_OPEN_MAX: usize = 64;

/// Everything that the entries so far add up to.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub partners: BTreeMap<AgencyName, PartnerRecord>,
    pub policy: Option<pb::PolicyApplied>,
    /// The entry that put it in force.
    policy_at: u64,
    pub card: Option<Arc<VerifiedCard>>,
    pub records: u64,
    pub witnessing: Arc<Witnessing>,
    /// The requests and statements on consent, and the consents in force.
    pub consents: ConsentState,
    /// Size of the journal after the last entry that is not about cosignatures. A witness is asked
    /// again only when this grew: what it answers is itself an entry.
    pub substance: u64,
    /// Acts that wait for a decision, by the index of their proposal.
    pub acts: BTreeMap<u64, OpenAct>,
    /// Erasures that were approved and are not carried out in full.
    pub erasing: BTreeMap<u64, OpenAct>,
    /// The newest comparison of each bundle with the one in force, by the bundle's hash.
    pub compared: BTreeMap<Bytes, Compared>,
    /// Keys of acts and comparisons that the last entry closed.
    closed: Vec<Vec<u8>>,
    /// Counts entries after which less may be disclosed than before: erasures and holds. It begins
    /// anew with the process.
    pub narrowings: u64,
    /// The last entry that `records` counts; entries may be applied again after a restart.
    counted_to: Option<u64>,
    /// Time of the last entry.
    pub last_at: Option<Timestamp>,
    /// The reading of the wall clock when an administrator confirmed it last.
    pub clock_confirmed: Option<Timestamp>,
}

impl State {
    /// This agency, once its card is there.
    pub fn own(&self) -> Option<&AgencyName> {
        self.card.as_ref().map(|card| &card.card().agency)
    }

    /// Returns the generation of this node's own logs.
    pub fn generation(&self) -> Generation {
        self.card.as_ref().map_or(Generation::FIRST, |card| card.card().generation)
    }

    pub fn policy_version(&self) -> PolicyVersion {
        PolicyVersion::new(self.policy.as_ref().map_or(0, |policy| policy.version))
    }

    /// The number under which records of an originator are counted.
    pub fn originator(&self, originator: &AgencyName) -> OriginatorNumber {
        if self.card.as_ref().is_some_and(|card| card.card().agency == *originator) {
            return OriginatorNumber::OWN;
        }
        let partner = self.partners.get(originator);
        partner.map_or(OriginatorNumber::UNKNOWN, |partner| {
            OriginatorNumber::numbered(partner.number.get())
        })
    }

    /// The number of the partner that an entry names.
    pub fn number_of(&self, index: u64, name: &str) -> Result<PartnerNumber, JournalError> {
        let partner = name.parse::<AgencyName>().ok();
        let partner = partner.and_then(|agency| self.partners.get(&agency));
        partner.map(|partner| partner.number).ok_or_else(|| JournalError::Entry {
            index,
            reason: format!("partner {name:?} is unknown"),
        })
    }

    /// The present feed of a partner that an entry names.
    pub(super) fn source_of(&self, index: u64, name: &str) -> Result<FeedNumber, JournalError> {
        let number = self.number_of(index, name)?;
        let (_, partner) = self.partner_by_number(number).ok_or_else(|| JournalError::Entry {
            index,
            reason: format!("partner {name:?} is unknown"),
        })?;
        Ok(partner.source)
    }

    /// The entry from which holds what is decided for a partner now: the last change of the policy
    /// or of the partner.
    pub fn rules_since(&self, agency: &AgencyName) -> u64 {
        let changed_at = self.partners.get(agency).map_or(0, |partner| partner.changed_at);
        changed_at.max(self.policy_at)
    }

    pub fn partner_by_number(
        &self,
        number: PartnerNumber,
    ) -> Option<(&AgencyName, &PartnerRecord)> {
        self.partners.iter().find(|(_, partner)| partner.number == number)
    }

    /// Takes the next entry into account.
    pub fn apply(&mut self, index: u64, at: Timestamp, event: &Event) -> Result<(), JournalError> {
        let broken = |reason: String| JournalError::Entry { index, reason };
        self.last_at = Some(at);
        let about_cosignatures =
            matches!(event, Event::CosignatureGiven(_) | Event::CosignatureReceived(_));
        if !about_cosignatures {
            self.substance = self.substance.max(index + 1);
        }
        self.closed.clear();
        let narrows = matches!(
            event,
            Event::SlotsErased(_) | Event::RecordRestricted(_) | Event::RecordRetracted(_)
        );
        self.narrowings += u64::from(narrows);
        match event {
            Event::Genesis(_)
            | Event::LogSucceeded(_)
            | Event::SlotsReceived(_)
            | Event::SlotsErased(_)
            | Event::RecordRestricted(_)
            | Event::RecordRetracted(_)
            | Event::RecordReceivedAgain(_)
            | Event::ProvenanceReceived(_)
            | Event::DisclosuresHeld(_)
            | Event::HeldDecided(_)
            | Event::ErasureReported(_)
            | Event::FeedEntriesReceived(_) => {}
            // What is about logs that were succeeded counts no more. The index keeps the last entry of
            // each sort, so such a one may come after the card of the generation that followed.
            Event::FeedPublished(pb::FeedPublished { note, .. })
            | Event::ReceiptReceived(pb::ReceiptReceived { note, .. })
            | Event::CosignatureReceived(pb::CosignatureReceived { note, .. })
                if generation_of(note) != self.generation() => {}
            Event::FeedReceived(received)
                if generation_of(&received.note)
                    != self.partner(index, &received.partner)?.card.card().generation => {}
            Event::ClockConfirmed(confirmed) => {
                let wall = i64::try_from(confirmed.wall_ms).ok();
                self.clock_confirmed = wall.and_then(|ms| Timestamp::from_unix_ms(ms).ok());
            }
            Event::ActProposed(proposed) => self.propose(index, at, proposed),
            Event::ActDecided(decided) => self.decide(index, decided),
            Event::ErasureCompleted(completed) => {
                if let Some(act) = self.erasing.remove(&completed.proposal) {
                    self.forget_act(completed.proposal, &act);
                }
            }
            Event::RecordAccepted(_) => {
                if self.counted_to.is_none_or(|last| index > last) {
                    self.records += 1;
                    self.counted_to = Some(index);
                }
            }
            Event::FeedPublished(published) => {
                let size = note_size(&published.note).map_err(broken)?;
                let partner = self.partner(index, &published.partner)?;
                baseline_rows::note(Arc::make_mut(&mut partner.baseline), at, published);
                partner.published = Published {
                    size,
                    note: published.note.clone(),
                    progress: Progress {
                        considered: published.considered,
                        rescan: Rescan {
                            rules: published.rescan_rules,
                            next: published.rescan_next,
                            end: published.rescan_end,
                        },
                    },
                    policy_version: PolicyVersion::new(published.policy_version),
                    records_disclosed: published.records_disclosed,
                    fields_withheld: published.fields_withheld,
                };
            }
            Event::FeedReceived(received) => {
                let size = note_size(&received.note).map_err(broken)?;
                let hashes = received
                    .frontier
                    .chunks_exact(32)
                    .filter_map(|hash| crate::ident::TreeHash::try_from(hash).ok())
                    .collect();
                let frontier = Frontier::from_hashes(crate::ident::TreeSize::new(size), hashes)
                    .map_err(|error| broken(error.to_string()))?;
                self.partner(index, &received.partner)?.received = Received {
                    frontier,
                    note: received.note.clone(),
                    exceptions: received.exceptions_total,
                };
            }
            Event::ReceiptReceived(receipt) => {
                let size = note_size(&receipt.note).map_err(broken)?;
                let partner = self.partner(index, &receipt.partner)?;
                partner.receipted = size;
                partner.receipt_note = receipt.note.clone();
                partner.exceptions = receipt.exceptions_total;
                partner.note_refusals(index, at, event);
            }
            Event::ReceiptLost(lost) => {
                if lost.generation == self.generation().to_wire() {
                    let partner = self.partner(index, &lost.partner)?;
                    partner.receipted = lost.held;
                    partner.receipt_note = lost.note.clone();
                }
            }
            Event::RefusedOffered(offered) => {
                if self.is_of_now(offered) {
                    self.partner(index, &offered.partner)?.note_refusals(index, at, event);
                }
            }
            Event::PartnerChanged(changed) => self.change_partner(index, changed)?,
            Event::PolicyApplied(policy) => {
                self.policy = Some(policy.clone());
                self.policy_at = index;
                for hash in self.compared.keys().cloned().collect::<Vec<_>>() {
                    self.forget_compared(&hash);
                }
            }
            Event::PolicyCompared(compared) => self.compare(index, at, compared),
            Event::CardIssued(issued) => {
                let card = issued.card.clone().unwrap_or_default();
                let before = self.generation();
                self.card = Some(Arc::new(verified(index, card)?));
                if self.generation() != before {
                    self.begin_anew();
                }
            }
            Event::CosignatureGiven(given) => self.witnessing_mut().give(index, at, given)?,
            Event::CosignatureReceived(received) => {
                self.witnessing_mut().receive(index, at, received)?;
            }
            Event::ContradictionFound(found) => {
                self.witnessing_mut().contradict(index, at, found);
            }
            Event::WitnessAdded(added) => self.witnessing_mut().add(index, added)?,
            Event::ConsentRequested(_)
            | Event::ConsentGiven(_)
            | Event::ConsentReceived(_)
            | Event::ConsentEnded(_) => {
                let own = self.card.as_ref().map(|card| &card.card().agency);
                self.consents.apply(index, event, own)?;
            }
        }
        Ok(())
    }

    /// The own logs are of another generation: nobody holds anything of them.
    fn begin_anew(&mut self) {
        let generation = self.generation();
        for partner in self.partners.values_mut() {
            partner.feed = FeedNumber::of(partner.number, generation);
            partner.published = Published::default();
            Arc::make_mut(&mut partner.baseline).begin_anew();
            partner.receipted = 0;
            partner.receipt_note = Bytes::new();
            partner.exceptions = 0;
            partner.offering = Offering::default();
        }
        self.witnessing_mut().received.clear();
    }

    fn witnessing_mut(&mut self) -> &mut Witnessing {
        Arc::make_mut(&mut self.witnessing)
    }

    /// Takes a proposal in; those that ran out by then are gone.
    fn propose(&mut self, index: u64, at: Timestamp, proposed: &pb::ActProposed) {
        let now = at.unix_ms().unsigned_abs();
        let expired = self.acts.iter().filter(|(_, act)| act.proposed.expires_at_ms <= now);
        for proposal in expired.map(|(proposal, _)| *proposal).collect::<Vec<_>>() {
            self.close(proposal);
        }
        let act = OpenAct { proposed: proposed.clone(), at, decisions: Vec::new() };
        self.acts.insert(index, act);
    }

    fn compare(&mut self, journal_index: u64, at: Timestamp, compared: &pb::PolicyCompared) {
        let hash = compared.bundle_hash.clone();
        if !self.compared.contains_key(&hash) && self.compared.len() >= COMPARED_MAX {
            let oldest = self.compared.iter().min_by_key(|(_, other)| other.journal_index);
            if let Some(oldest) = oldest.map(|(hash, _)| hash.clone()) {
                self.forget_compared(&oldest);
            }
        }
        let compared = Arc::new(compared.clone());
        self.compared.insert(hash, Compared { journal_index, at, compared });
    }

    fn forget_compared(&mut self, hash: &Bytes) {
        if self.compared.remove(hash).is_some() {
            self.closed.push(compared_key(hash));
        }
    }

    fn decide(&mut self, index: u64, decided: &pb::ActDecided) {
        let Some(act) = self.acts.get_mut(&decided.proposal) else { return };
        if decided.closes && !(decided.approved && act.is_erasure()) {
            self.close(decided.proposal);
            return;
        }
        act.decisions.push((index, decided.clone()));
        if decided.closes
            && let Some(act) = self.acts.remove(&decided.proposal)
        {
            self.erasing.insert(decided.proposal, act);
        }
    }

    fn close(&mut self, proposal: u64) {
        if let Some(act) = self.acts.remove(&proposal) {
            self.forget_act(proposal, &act);
        }
    }

    fn forget_act(&mut self, proposal: u64, act: &OpenAct) {
        self.closed.push(act_key(proposal, proposal));
        self.closed.extend(act.decisions.iter().map(|(index, _)| act_key(proposal, *index)));
    }

    fn partner(&mut self, index: u64, name: &str) -> Result<&mut PartnerRecord, JournalError> {
        name.parse::<AgencyName>()
            .ok()
            .and_then(|agency| self.partners.get_mut(&agency))
            .ok_or_else(|| JournalError::Entry {
                index,
                reason: format!("partner {name:?} is unknown"),
            })
    }

    fn change_partner(
        &mut self,
        index: u64,
        changed: &pb::PartnerChanged,
    ) -> Result<(), JournalError> {
        let broken = |reason: String| JournalError::Entry { index, reason };
        let agency: AgencyName = changed
            .agency
            .parse()
            .map_err(|error: crate::ident::IdentError| broken(error.to_string()))?;
        let number = u16::try_from(changed.number)
            .ok()
            .filter(|number| usize::from(*number) <= PARTNERS_MAX)
            .map(PartnerNumber::new)
            .ok_or_else(|| broken(format!("partner number {} is too large", changed.number)))?;
        let card = Arc::new(verified(index, changed.card.clone().unwrap_or_default())?);
        let feed = FeedNumber::of(number, self.generation());
        let source = FeedNumber::of(number, card.card().generation);
        let partner = self.partners.entry(agency).or_insert_with(|| PartnerRecord {
            number,
            feed,
            source,
            card: Arc::clone(&card),
            state: pb::PartnerState::Unspecified,
            facts: pb::PartnerFacts::default(),
            published: Published::default(),
            baseline: Arc::default(),
            received: Received::default(),
            receipted: 0,
            receipt_note: Bytes::new(),
            exceptions: 0,
            offering: Offering::default(),
            refused_by: 0,
            changed_at: index,
        });
        partner.changed_at = index;
        if partner.card.card().generation != card.card().generation {
            // Its feed begins anew. Our receipts for the one before stay in the journal.
            partner.source = source;
            partner.received = Received::default();
        }
        partner.card = card;
        partner.state = changed.state();
        partner.facts = changed.facts.clone().unwrap_or_default();
        Ok(())
    }

    /// Writes the index keys of an entry: that of the last entry of its sort, for start-up, and
    /// those for questions about the past.
    pub fn remember(&self, index: u64, event: &Event, bytes: &[u8], changes: &mut Vec<Change>) {
        let number_of = |name: &str| {
            let agency = name.parse::<AgencyName>().ok()?;
            self.partners.get(&agency).map(|partner| partner.number)
        };
        super::history::rows::put(number_of, index, event, changes);
        let number = |name: &str| number_of(name).map(PartnerNumber::get);
        let key = match event {
            Event::Genesis(_)
            | Event::LogSucceeded(_)
            | Event::SlotsReceived(_)
            | Event::RecordAccepted(_)
            | Event::SlotsErased(_)
            | Event::RecordRestricted(_)
            | Event::RecordRetracted(_)
            | Event::RecordReceivedAgain(_)
            | Event::ProvenanceReceived(_)
            | Event::DisclosuresHeld(_)
            | Event::HeldDecided(_)
            | Event::ErasureReported(_)
            | Event::ErasureCompleted(_)
            | Event::FeedEntriesReceived(_) => None,
            Event::ActProposed(_) => Some(act_key(index, index)),
            Event::ActDecided(decided) => {
                let is_kept = !decided.closes || self.erasing.contains_key(&decided.proposal);
                is_kept.then(|| act_key(decided.proposal, index))
            }
            Event::FeedPublished(e) => number(&e.partner).map(|n| partner_key(n, 2)),
            Event::FeedReceived(e) => number(&e.partner).map(|n| partner_key(n, 3)),
            Event::ReceiptReceived(e) => number(&e.partner).map(|n| partner_key(n, 5)),
            // Kept instead of the last receipt, which no longer counts.
            Event::ReceiptLost(e) => number(&e.partner).map(|n| partner_key(n, 5)),
            Event::RefusedOffered(e) => number(&e.partner).map(|n| partner_key(n, 6)),
            Event::PartnerChanged(e) => number(&e.agency).map(|n| partner_key(n, 1)),
            Event::PolicyApplied(applied) => {
                let value = index.to_be_bytes().to_vec();
                changes.push(Change::put(Table::Meta, version_key(applied.version), value));
                Some(b"policy".to_vec())
            }
            Event::PolicyCompared(compared) => Some(compared_key(&compared.bundle_hash)),
            Event::CardIssued(_) => Some(b"card".to_vec()),
            Event::ClockConfirmed(_) => Some(b"clock".to_vec()),
            Event::CosignatureGiven(e) => Some(witnessing_key(1, &e.origin)),
            Event::CosignatureReceived(e) => Some(witnessing_key(2, &e.witness)),
            // The first alone is in force; were a later one kept, its index would be.
            Event::ContradictionFound(e) => {
                let first = self.witnessing.contradictions.get(&e.origin);
                first
                    .is_none_or(|found| found.journal_index == index)
                    .then(|| witnessing_key(3, &e.origin))
            }
            Event::WitnessAdded(e) => Some(witnessing_key(4, &e.vkey)),
            Event::ConsentRequested(_)
            | Event::ConsentGiven(_)
            | Event::ConsentReceived(_)
            | Event::ConsentEnded(_) => Some(consent_state::key(index)),
        };
        if let Some(key) = self.card_key(event) {
            changes.push(Change::put(Table::Meta, key, index.to_be_bytes().to_vec()));
        }
        if let Event::FeedPublished(published) = event {
            let agency = published.partner.parse::<AgencyName>().ok();
            let partner = agency.and_then(|agency| self.partners.get(&agency));
            if let Some(partner) = partner {
                let of = (partner.number, partner.feed, &*partner.baseline);
                baseline_rows::put(of, index, published, changes);
            }
        }
        // The last receipt with a refusal is kept beside the last of all, and is read before it.
        if let Event::ReceiptReceived(receipt) = event
            && let Some(number) = number(&receipt.partner)
            && entry::has_refusals(receipt)
        {
            let value = [&index.to_be_bytes()[..], bytes].concat();
            changes.push(Change::put(Table::Meta, partner_key(number, 4), value));
        }
        let closed = self.closed.iter().map(|key| Change::delete(Table::Meta, key.clone()));
        changes.extend(closed);
        if let Some(key) = key {
            let mut value = index.to_be_bytes().to_vec();
            value.extend_from_slice(bytes);
            changes.push(Change::put(Table::Meta, key, value));
        }
    }

    /// Returns the index key under which the entry of a card is kept, if the event brings a card.
    fn card_key(&self, event: &Event) -> Option<Vec<u8>> {
        let (number, card) = match event {
            Event::CardIssued(_) => (None, self.card.as_ref()?),
            Event::PartnerChanged(changed) => {
                let partner = self.partners.get(&changed.agency.parse::<AgencyName>().ok()?)?;
                (Some(partner.number), &partner.card)
            }
            _ => return None,
        };
        let mut key = cards_key(number);
        key.extend_from_slice(&card.card().serial.to_be_bytes());
        Some(key)
    }

    /// Keeps how many records there are, once for all entries of a batch.
    pub fn remember_count(&self, changes: &mut Vec<Change>) {
        let Some(counted_to) = self.counted_to else { return };
        let mut value = self.records.to_be_bytes().to_vec();
        value.extend_from_slice(&counted_to.to_be_bytes());
        changes.push(Change::put(Table::Meta, *COUNT_KEY, value));
    }

    /// Builds the state that [`Self::remember`] kept; later entries are applied from the log.
    pub fn recall(
        pairs: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), crate::store::StoreError>>,
    ) -> Result<Self, JournalError> {
        let mut state = Self::default();
        let (mut entries, mut baseline) = (Vec::new(), BaselineRows::default());
        for pair in pairs {
            let (key, value) = pair?;
            let Some((head, rest)) = value.split_first_chunk::<8>() else { continue };
            if key == COUNT_KEY {
                state.records = u64::from_be_bytes(*head);
                state.counted_to = rest.try_into().ok().map(u64::from_be_bytes);
                state.substance = counted_entries(&value).unwrap_or_default();
            } else if baseline.take(&key, rest)? {
                continue;
            } else if key == b"policy"
                || key == b"card"
                || key == b"clock"
                || key.starts_with(b"p")
                || key.starts_with(b"w/")
                || key.starts_with(b"a/")
                || key.starts_with(b"q/")
                || key.starts_with(consent_state::PREFIX)
            {
                // Partner rows sort by number and then by sort of entry: the partner itself first.
                entries.push((key, u64::from_be_bytes(*head), Bytes::copy_from_slice(rest)));
            }
        }
        for (_, index, bytes) in entries {
            let (at, event) = entry::decode(index, &bytes)?;
            let last = state.last_at.map_or(at, |last| last.max(at));
            state.apply(index, last, &event)?;
        }
        // What the last entries alone left of it is less than was kept.
        for partner in state.partners.values_mut() {
            partner.baseline = Arc::new(baseline.baseline(partner.number, partner.feed));
        }
        Ok(state)
    }
}

fn verified(index: u64, card: pb::SignedCard) -> Result<VerifiedCard, JournalError> {
    VerifiedCard::try_from(card)
        .map_err(|error| JournalError::Entry { index, reason: error.to_string() })
}
