//! Collects what proves one record to somebody without access to this node.
//!
//! Everything is about heads that were signed: the journal at a checkpoint that witnesses cosigned if
//! there is one, each feed at the newest head that its partner gave a receipt for.

use super::logs::wire;
use crate::audit::{PROOF_CARDS_MAX, PROOF_DISCLOSURES_MAX};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::journal::JournalError;
use crate::journal::consents::ConsentEntry;
use crate::journal::state::{PartnerRecord, State};
use crate::journal::view::{Snapshot, View};
use crate::merkle::{Note, NoteSignature};
use crate::partner::VerifiedCard;
use crate::pb::{self, journal_entry::Event};
use crate::policy::{Visibility, VisiblePart};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The proof of a record, with what the caller may see of it; `None` if it is not here, or not to be
/// known of.
pub(super) fn collect(
    view: &View,
    (own, now): (&AgencyName, Timestamp),
    id: &RecordId,
    visibility: &Visibility,
) -> Result<Option<pb::GetRecordProofResponse>, JournalError> {
    let Some(kept) = view.kept(id)? else { return Ok(None) };
    let visibility = visibility.of_record(&kept.status());
    if visibility == VisiblePart::Nothing {
        return Ok(None);
    }
    // Taken after the record was found, so that it covers the entry.
    let snapshot = view.snapshot();
    let (size, note) = covering(&snapshot, kept.journal_index);
    let acceptance = acceptance(view, kept.journal_index, size, note)?;
    let mut disclosures = Vec::new();
    for (agency, partner) in &snapshot.state.partners {
        if let Some(entry) = disclosure(view, partner, id)? {
            let partner = agency.to_string();
            disclosures.push(pb::DisclosureProof { partner, entry: Some(entry) });
        }
    }
    let more_disclosures = disclosures.len() > PROOF_DISCLOSURES_MAX;
    disclosures.truncate(PROOF_DISCLOSURES_MAX);

    let mut agencies = BTreeSet::from([own.clone(), kept.record.header().originator.clone()]);
    agencies.extend(disclosures.iter().filter_map(|found| found.partner.parse().ok()));
    agencies.extend(witnesses(&acceptance.note));
    let (envelope, consent) = match visibility {
        VisiblePart::Content => for_evidence(view, &snapshot, &kept.record, now)?,
        VisiblePart::Header | VisiblePart::Nothing => (kept.record.redacted(SlotMask::NONE), None),
    };
    let cards = agencies.iter().filter_map(|agency| cards(view, &snapshot.state, own, agency));
    Ok(Some(pb::GetRecordProofResponse {
        envelope: Some(envelope),
        consent,
        acceptance: Some(acceptance),
        disclosures,
        cards: cards.collect::<Result<_, _>>()?,
        more_disclosures,
    }))
}

/// Returns the originator that a proof of the record would name although its marking forbids that.
pub(super) fn unnamed_originator(
    view: &View,
    own: &AgencyName,
    id: &RecordId,
) -> Result<Option<AgencyName>, JournalError> {
    let Some(kept) = view.kept(id)? else { return Ok(None) };
    let header = kept.record.header();
    let must_not = header.marking.use_limits.no_attribution && header.originator != *own;
    Ok(must_not.then(|| header.originator.clone()))
}

/// The record as a proof may show it, which is evidence: of one that its originator keeps from
/// proceedings nothing but what it signed, unless it consents.
fn for_evidence(
    view: &View,
    snapshot: &Snapshot,
    record: &Verified,
    now: Timestamp,
) -> Result<(pb::Envelope, Option<pb::Consent>), JournalError> {
    let header = record.header();
    if !header.marking.use_limits.no_evidence {
        return Ok((record.envelope(), None));
    }
    let (originator, operation) = (&header.originator, header.operation.as_deref());
    let in_force = snapshot.state.consents.in_force();
    let number = in_force.evidence_number(originator, &record.id(), operation, now.hour());
    let Some(number) = number else { return Ok((record.redacted(SlotMask::NONE), None)) };
    let own = snapshot.state.own();
    let of_number = |entry: ConsentEntry| {
        let (by, consent) = match entry.event {
            Event::ConsentReceived(received) => (received.partner, received.consent?),
            Event::ConsentGiven(given) if own.is_some_and(|own| own.as_str() == given.holder) => {
                (given.holder, given.consent?)
            }
            _ => return None,
        };
        let is_it = by == originator.as_str()
            && consent.number == number
            && consent.verdict() == pb::ConsentVerdict::Granted;
        is_it.then_some(consent)
    };
    let consent = view.consent_entries(snapshot.size)?.into_iter().find_map(of_number);
    Ok((record.envelope(), consent))
}

/// The checkpoint of the journal that covers an entry and that most witnesses cosigned, the newest of
/// several; without any, the newest signed one.
fn covering(snapshot: &Snapshot, index: u64) -> (u64, Bytes) {
    let mut cosigned: BTreeMap<u64, Vec<Note>> = BTreeMap::new();
    for received in snapshot.state.witnessing.received.values() {
        let size = received.head.size.get();
        if size > index
            && let Ok(note) = Note::parse(&received.note)
        {
            cosigned.entry(size).or_default().push(note);
        }
    }
    let best = cosigned.into_iter().max_by_key(|(size, notes)| (notes.len(), *size));
    best.and_then(|(size, notes)| Some((size, joined(notes)?.to_bytes().into())))
        .unwrap_or_else(|| (snapshot.size, snapshot.note.clone()))
}

/// One note with the lines of all, which are over one text.
fn joined(notes: Vec<Note>) -> Option<Note> {
    let text = notes.first()?.text().clone();
    let mut lines: Vec<NoteSignature> = Vec::new();
    for line in notes.iter().filter(|note| *note.text() == text).flat_map(Note::signatures) {
        if !lines.contains(line) {
            lines.push(line.clone());
        }
    }
    Note::new(text, lines).ok()
}

fn acceptance(
    view: &View,
    index: u64,
    size: u64,
    note: Bytes,
) -> Result<pb::EntryProof, JournalError> {
    let path = wire(&view.journal().inclusion(index, size)?);
    Ok(pb::EntryProof { index, entry: view.entry_bytes(index)?, path, note })
}

/// The newest entry about the record in the feed to a partner, if the partner's receipt covers it.
fn disclosure(
    view: &View,
    partner: &PartnerRecord,
    id: &RecordId,
) -> Result<Option<pb::EntryProof>, JournalError> {
    let Some(disclosed) = view.disclosure(partner.feed, id)? else { return Ok(None) };
    let index = disclosed.feed_index;
    if index >= partner.receipted {
        return Ok(None);
    }
    let mut entries = view.feed_entries(partner.feed, index..index + 1)?;
    let missing = || JournalError::Index(format!("feed entry {index} is not there"));
    Ok(Some(pb::EntryProof {
        index,
        entry: entries.pop().ok_or_else(missing)?,
        path: wire(&view.feed(partner.feed)?.inclusion(index, partner.receipted)?),
        note: partner.receipt_note.clone(),
    }))
}

/// The agencies that cosigned a checkpoint, as its lines are named.
fn witnesses(note: &[u8]) -> Vec<AgencyName> {
    let Ok(note) = Note::parse(note) else { return Vec::new() };
    let names = note.signatures().iter().map(|line| line.name().as_str().to_owned());
    names.filter_map(|name| name.strip_suffix("/witness")?.parse().ok()).collect()
}

/// The cards of an agency that is known here, as far as they are of the identity of the newest.
fn cards(
    view: &View,
    state: &State,
    own: &AgencyName,
    agency: &AgencyName,
) -> Option<Result<pb::AgencyCards, JournalError>> {
    let (number, newest): (_, &Arc<VerifiedCard>) = if agency == own {
        (None, state.card.as_ref()?)
    } else {
        let partner = state.partners.get(agency)?;
        (Some(partner.number), &partner.card)
    };
    let is_same = |card: &pb::SignedCard| {
        VerifiedCard::try_from(card.clone())
            .is_ok_and(|card| card.card().identity_key == newest.card().identity_key)
    };
    let cards = view.cards(number, PROOF_CARDS_MAX).map(|mut cards| {
        cards.retain(is_same);
        pb::AgencyCards { agency: agency.to_string(), cards }
    });
    Some(cards)
}
