//! What comes from a partner's feed, in the writer: records, more slots of them, duties.
//!
//! A duty that was accepted when the batch was checked is carried out here, before the receipt for
//! the batch can leave. Should a hold have come between, nothing of the batch is stored.

use super::consents;
use super::keyring::Keys;
use super::policies::{Rules, record_facts};
use crate::exchange::{
    Acceptance, ConsentFault, Dealings, Duty, FeedAction, FeedEntry, Reason, ReceivedBatch, Said,
    Taken,
};
use crate::ident::{AgencyName, LeafIndex};
use crate::journal::JournalError;
use crate::journal::erase::Ground;
use crate::journal::prepared::{HeadAt, Prepared};
use crate::journal::state::PartnerNumber;
use crate::journal::transaction::{Origin, Transaction};
use crate::journal::view::View;
use crate::pb;
use crate::policy::{Moment, PartnerFacts, hold};
use crate::record::consent::{Parties, Purpose, Subject};
use crate::record::header::Header;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use std::collections::HashMap;
use std::sync::Arc;

/// Verdicts on acceptance kept; then all are forgotten.
const ACCEPTS_MAX: usize = 16_384;

/// What this node decides on what a partner sends.
pub(super) struct Accepting {
    pub(super) rules: Arc<Rules>,
    pub(super) facts: PartnerFacts,
    pub(super) moment: Moment,
    pub(super) known: HashMap<crate::policy::RecordFacts, bool>,
    pub(super) view: Arc<View>,
    pub(super) keys: Arc<Keys>,
    pub(super) own: AgencyName,
    /// The partner whose feed it is.
    pub(super) number: PartnerNumber,
    /// What it said about consent, beyond what is stored.
    pub(super) ahead: Ahead,
}

/// What was said about consent once everything is stored that was checked: batches are checked while
/// those before them are being stored.
#[derive(Default)]
pub(super) struct Ahead {
    stored: Arc<Dealings>,
    dealings: Dealings,
    accepted: Vec<Said>,
}

impl Ahead {
    fn take(
        &mut self,
        stored: &Arc<Dealings>,
        agency: &AgencyName,
        said: &Said,
    ) -> Result<(), ConsentFault> {
        if !Arc::ptr_eq(&self.stored, stored) {
            self.dealings = (**stored).clone();
            self.stored = Arc::clone(stored);
            let Self { dealings, accepted, .. } = self;
            // What is stored by now is refused as a repeat, and is waited for no longer.
            accepted.retain(|said| dealings.take(agency, said).is_ok());
        }
        self.dealings.take(agency, said)?;
        if !said.is_revocation() {
            self.accepted.push(said.clone());
        }
        Ok(())
    }
}

impl Acceptance for Accepting {
    fn accepts(&mut self, header: &Header) -> bool {
        let Self { rules, facts, moment, known, .. } = self;
        let record = record_facts(header);
        if let Some(verdict) = known.get(&record) {
            return *verdict;
        }
        let verdict = rules.compiled.accepts(facts, &record, moment).allowed;
        if known.len() >= ACCEPTS_MAX {
            known.clear();
        }
        known.insert(record, verdict);
        verdict
    }

    fn duty(&mut self, entry: &FeedEntry) -> Duty {
        if entry.action == FeedAction::Erased {
            return self.answer(entry);
        }
        if let Some(said) = &entry.said {
            return self.heard(said);
        }
        match self.view.kept(&entry.record) {
            Ok(None) => Duty::Accepted,
            Ok(Some(kept)) => self.judge(entry, &kept.record, kept.marks.is_restricted()),
            // It is not carried out, so it must not be receipted as if it were.
            Err(error) => {
                tracing::error!(%error, "a duty could not be judged");
                Duty::Refused(Reason::NotOrdered, "the record cannot be read here".to_owned())
            }
        }
    }
}

impl Accepting {
    /// A partner may tell of erasures that our feed ordered, and of no others.
    fn answer(&self, entry: &FeedEntry) -> Duty {
        let slots = entry.open_slots;
        match self.view.ordered(&entry.record, self.number) {
            Ok(ordered) if !slots.is_empty() && slots.without(ordered).is_empty() => Duty::Accepted,
            Ok(_) => {
                let text = "the erasure of these slots was not ordered here".to_owned();
                Duty::Refused(Reason::NotOrdered, text)
            }
            Err(error) => {
                tracing::error!(%error, "the answer to a duty could not be judged");
                Duty::Refused(Reason::NotOrdered, "the duty cannot be read here".to_owned())
            }
        }
    }

    /// What the partner asks or says about consent: as originator it signs, as holder it asks for itself.
    fn heard(&mut self, said: &Said) -> Duty {
        let agency = self.facts.agency.clone();
        if let Said::Consent(consent) = said {
            let parties = Parties { originator: &agency, holder: &self.own };
            if let Err(error) = consent.verify(parties, &*self.keys) {
                return Duty::Refused(Reason::Signature, error.to_string());
            }
        }
        let is_pointless = matches!(
            said.subject(),
            Subject { purpose: Purpose::Forward(to), .. } if *to == agency || *to == self.own
        );
        if is_pointless {
            let text = "the records are here and with their originator already".to_owned();
            return Duty::Refused(Reason::NotOrdered, text);
        }
        let stored = Arc::clone(&self.view.snapshot().state.consents.dealings);
        match self.ahead.take(&stored, &agency, said) {
            Ok(()) => Duty::Accepted,
            Err(fault) => Duty::Refused(Reason::NotOrdered, fault.to_string()),
        }
    }

    fn judge(&self, entry: &FeedEntry, record: &Verified, restricted: bool) -> Duty {
        let header = record.header();
        let refused = |text: String| Duty::Refused(Reason::NotOrdered, text);
        let Some(order) = &entry.order else {
            let own = header.originator == self.own;
            let text = "only its originator retracts it, which is this agency";
            return if own { refused(text.to_owned()) } else { Duty::Accepted };
        };
        if let Err(error) = order.verify(&entry.record, &header.originator, &*self.keys) {
            return refused(error.to_string());
        }
        match hold(header.kind, restricted, order.basis) {
            Some(_) if record.is_erased(order.slots) => Duty::Accepted,
            Some(hold) => Duty::Refused(Reason::HeldAsEvidence, hold.to_string()),
            None => Duty::Accepted,
        }
    }
}

/// A record of a batch that holds, with what was known of it when it was checked.
pub(super) struct Incoming {
    feed_index: u64,
    prepared: Prepared,
    known: Option<Arc<Verified>>,
    /// Size of the journal before anything was looked up.
    size: u64,
}

/// Derives and looks up what the writer would otherwise have to.
pub(super) fn incoming(view: &View, taken: &[Taken]) -> Result<Vec<Incoming>, JournalError> {
    let size = view.snapshot().size;
    let records = taken.iter().filter_map(|taken| Some((taken.index, taken.record.as_ref()?)));
    let prepare = |(index, record): (LeafIndex, &Arc<Verified>)| {
        let header = record.header();
        let head = view.series_head(header.series, &header.originator)?;
        Ok(Incoming {
            feed_index: index.get(),
            known: view.record(&record.id())?,
            prepared: Prepared::new(Arc::clone(record)).after(HeadAt { head, size }),
            size,
        })
    };
    records.map(prepare).collect()
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenIn {
    /// It is stored, and its duties are carried out.
    Stored { erased: bool },
    /// Things changed since it was checked; it must come again.
    Overtaken,
}

pub(super) fn take_in(
    tx: &mut Transaction<'_>,
    agency: &AgencyName,
    number: PartnerNumber,
    batch: ReceivedBatch,
    incoming: Vec<Incoming>,
) -> Result<TakenIn, JournalError> {
    let ReceivedBatch { checked, receipt_note } = batch;
    let held = tx.state().partners.get(agency).map(|partner| partner.received.frontier.size());
    if held.is_none_or(|held| held.get() != checked.start.get())
        || overtaken(tx, &checked.taken)?
        || contradicted(tx, agency, &checked.taken)
    {
        return Ok(TakenIn::Overtaken);
    }
    let mut erased = false;
    let mut incoming = incoming.into_iter();
    for Taken { index, entry, record } in checked.taken {
        let at = (agency, number, index.get());
        match (entry.action, record) {
            (FeedAction::Erase, _) => erased |= erase(tx, &entry, at)?,
            (FeedAction::Retract, _) => tx.retract(&entry.record, entry.open_slots, at)?,
            (FeedAction::ConsentRequest | FeedAction::Consent, _) => {
                let Some(said) = &entry.said else { continue };
                consents::hear(tx, agency, said, index.get())?;
            }
            (FeedAction::Erased, _) => {
                tx.report_erased(&entry.record, entry.open_slots, (agency, at.2))?;
            }
            (_, Some(_)) => match incoming.next() {
                Some(record) if record.feed_index == index.get() => keep(tx, record, at)?,
                _ => return Err(JournalError::Index(format!("entry {index} was not prepared"))),
            },
            (_, None) => {}
        }
    }
    for Taken { index, entry, .. } in &checked.declined {
        let Some(order) = &entry.order else { continue };
        // What may not be erased may not be used either.
        let reason = "its originator ordered it erased; it is kept as evidence".to_owned();
        tx.hold_against(&entry.record, order, reason, (agency, number, index.get()))?;
    }
    let size = checked.frontier.size().get();
    let frontier: Vec<u8> =
        checked.frontier.to_hashes().iter().flat_map(|hash| *hash.as_bytes()).collect();
    let before = tx.state().partners.get(agency).map_or(0, |partner| partner.received.exceptions);
    let received = pb::FeedReceived {
        partner: agency.to_string(),
        note: receipt_note.into(),
        frontier: frontier.into(),
        exceptions_total: before + checked.exceptions.len() as u64,
        exceptions: checked.exceptions.iter().map(pb::FeedException::from).collect(),
    };
    tx.receive(received, size)?;
    Ok(TakenIn::Stored { erased })
}

/// Whether a record that is to be erased came under a hold after the batch was checked.
fn overtaken(tx: &Transaction<'_>, taken: &[Taken]) -> Result<bool, JournalError> {
    for Taken { entry, .. } in taken.iter().filter(|taken| taken.entry.order.is_some()) {
        let (Some(record), Some(marks)) = (tx.record(&entry.record)?, tx.marks(&entry.record)?)
        else {
            continue;
        };
        let is_done = entry.order.is_some_and(|order| record.is_erased(order.slots));
        if marks.is_restricted() && !is_done {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether something about consent no longer follows from what was said before it.
fn contradicted(tx: &Transaction<'_>, agency: &AgencyName, taken: &[Taken]) -> bool {
    let mut said = taken.iter().filter_map(|taken| taken.entry.said.as_deref()).peekable();
    if said.peek().is_none() {
        return false;
    }
    let mut dealings = (*tx.state().consents.dealings).clone();
    said.any(|said| dealings.take(agency, said).is_err())
}

/// The partner, its number, and the index in its feed.
type At<'a> = (&'a AgencyName, PartnerNumber, u64);

fn keep(
    tx: &mut Transaction<'_>,
    Incoming { prepared, known, size, .. }: Incoming,
    at @ (agency, number, feed_index): At<'_>,
) -> Result<(), JournalError> {
    let id = prepared.record().id();
    let Some(known) = tx.record_since(&id, known, size)? else {
        let origin = Origin::Partner { agency, number, feed_index };
        return tx.accept(prepared, origin).map(drop);
    };
    let record = prepared.record();
    let is_originator = record.header().originator == *agency;
    let given = tx.given(&id)?;
    let mut merged = (*known).clone();
    // What was taken back comes into use again by the leave of whoever took it back alone.
    let barred = given
        .filter(|given| !given.heeds(number, is_originator))
        .map_or(SlotMask::NONE, |given| given.retracted);
    let gained = if barred.is_empty() {
        merged.absorb(record)
    } else {
        merged.absorb(&record.withholding(barred))
    };
    let gained = gained.unwrap_or(SlotMask::NONE);
    if !gained.is_empty() {
        tx.extend(Arc::new(merged), gained, at)?;
    }
    tx.receive_again(&id, record.open_slots(), is_originator, at)
}

/// Erases everything that is ordered, also what never came: so it can't come later.
fn erase(
    tx: &mut Transaction<'_>,
    entry: &FeedEntry,
    (agency, _, feed_index): At<'_>,
) -> Result<bool, JournalError> {
    let Some(order) = entry.order else { return Ok(false) };
    let ground = Ground {
        basis: order.basis,
        authority: String::new(),
        proposal: 0,
        partner: Some((agency.clone(), feed_index)),
        order: Some(order),
    };
    tx.erase(&entry.record, order.slots, &ground).map(|slots| !slots.is_empty())
}
