//! The taking in of a partner's feed by the writer: records, more slots of them, duties.
//!
//! Every duty is judged here, against the record as the entries before it left it, and is carried out
//! before the receipt for the batch can leave. What is not carried out is an exception of the receipt.

use crate::exchange::{
    Duty, Exception, FeedAction, FeedEntry, GivenRecord, Reason, ReceivedBatch, Taken,
    judge_consent, judge_order, judge_report, judge_withdrawal, reopened,
};
use crate::ident::{AgencyName, LeafIndex};
use crate::journal::JournalError;
use crate::journal::erase::Ground;
use crate::journal::ids::PartnerNumber;
use crate::journal::prepared::{HeadAt, Prepared};
use crate::journal::provenance::AlsoGiven;
use crate::journal::transaction::{Origin, Transaction};
use crate::journal::view::View;
use crate::node::consents;
use crate::node::erasure::erase::PartLimit;
use crate::node::keyring::Keys;
use crate::pb;
use crate::pb::journal_entry::Event;
use crate::record::header::Header;
use crate::record::signed::{RecordError, Verified};
use crate::record::slots::SlotMask;
use crate::record::stored;
use std::cell::OnceCell;
use std::sync::Arc;

/// Bytes that one batch makes the writer stage before the entries left are refused; the entry that is carried
/// out then may come on top. New records alone never come to so many: an envelope is stored about twice.
const STAGED_BYTES_MAX: usize = PartLimit::OF_A_JOB.bytes;

/// Bytes of the records that the orders of one batch make the writer read: 1,024 of 64 KiB. An order that has
/// nothing to erase makes it write nothing.
const READ_BYTES_MAX: usize = 64 << 20;

/// The text of the refusal.
const OVER_LIMIT: &str =
    "the entries before it in the batch make this node write as much as one batch may";

/// A record of a batch that holds, with what was known of it when it was checked.
pub(in crate::node) struct Incoming {
    feed_index: u64,
    prepared: Prepared,
    known: Option<Arc<Verified>>,
    /// Size of the journal before anything was looked up.
    size: u64,
}

/// Derives and looks up what the writer would otherwise have to.
pub(in crate::node) fn incoming(
    view: &View,
    taken: &[Taken],
) -> Result<Vec<Incoming>, JournalError> {
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

/// The result of taking a batch in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) enum TakenIn {
    /// It is stored but for these entries, and its duties are carried out.
    Stored { erased: bool, exceptions: Vec<Exception> },
    /// Things changed since it was checked; it must come again.
    Overtaken,
}

/// A batch on its way into the journal.
struct Taking<'a, 'tx> {
    tx: &'a mut Transaction<'tx>,
    agency: &'a AgencyName,
    number: PartnerNumber,
    /// The record keys of all agencies, once one was asked for; no card changes within a job.
    keys: OnceCell<Keys>,
    refused: Vec<Exception>,
    also_given: Vec<AlsoGiven>,
    erased: bool,
    /// Bytes that were staged when the job began.
    begun_at: usize,
    /// Bytes of the records that its orders read.
    read: usize,
}

pub(super) fn ingest(
    tx: &mut Transaction<'_>,
    agency: &AgencyName,
    number: PartnerNumber,
    batch: ReceivedBatch,
    incoming: Vec<Incoming>,
) -> Result<TakenIn, JournalError> {
    let ReceivedBatch { checked, receipt_note } = batch;
    let held = tx.state().partners.get(agency).map(|partner| partner.received.frontier.size());
    if held.is_none_or(|held| held.get() != checked.start.get()) {
        return Ok(TakenIn::Overtaken);
    }
    let begun_at = tx.staged_bytes();
    tx.receive_entries(agency, checked.start.get(), &checked.entries)?;
    let (keys, refused, also_given) = (OnceCell::new(), Vec::new(), Vec::new());
    let mut taking =
        Taking { tx, agency, number, keys, refused, also_given, erased: false, begun_at, read: 0 };
    let mut incoming = incoming.into_iter();
    for taken in checked.taken {
        taking.take(taken, &mut incoming)?;
    }
    let Taking { tx, refused, also_given, erased, .. } = taking;
    tx.add_provenance(agency, number, &also_given)?;
    let exceptions = Exception::merged(checked.exceptions, refused);
    let frontier: Vec<u8> =
        checked.frontier.to_hashes().iter().flat_map(|hash| *hash.as_bytes()).collect();
    let before = tx.state().partners.get(agency).map_or(0, |partner| partner.received.exceptions);
    let received = pb::FeedReceived {
        partner: agency.to_string(),
        note: receipt_note.into(),
        frontier: frontier.into(),
        exceptions_total: before + exceptions.len() as u64,
        exceptions: exceptions.iter().map(pb::FeedException::from).collect(),
    };
    tx.append(Event::FeedReceived(received))?;
    Ok(TakenIn::Stored { erased, exceptions })
}

impl Taking<'_, '_> {
    /// Carries out an entry, or notes why it is not.
    fn take(
        &mut self,
        taken: Taken,
        incoming: &mut impl Iterator<Item = Incoming>,
    ) -> Result<(), JournalError> {
        let Taken { index, entry, record, is_accepted } = taken;
        let at = (self.agency, self.number, index.get());
        let duty = match (entry.action, record) {
            (FeedAction::Erase, _) => self.on_order(&entry, at)?,
            (FeedAction::Retract, _) => {
                // Of a record that the partner never gave nothing is in use by its leave, be it here
                // or not: there is one answer.
                self.tx.retract(&entry.record, entry.open_slots, at)?;
                Duty::CarryOut
            }
            (FeedAction::ConsentRequest | FeedAction::Consent, _) => {
                self.on_consent(&entry, index)?
            }
            (FeedAction::Erased, _) => self.on_report(&entry, at)?,
            (_, Some(record)) => match incoming.next() {
                Some(incoming) if incoming.feed_index == index.get() && self.is_full() => {
                    over_limit()
                }
                Some(incoming) if incoming.feed_index == index.get() => {
                    match self.on_record(record.header(), is_accepted)? {
                        Duty::CarryOut => match keep(self.tx, incoming, at)? {
                            Kept::ByThis => Duty::CarryOut,
                            Kept::ByAnother(given) => {
                                self.also_given.push(given);
                                Duty::CarryOut
                            }
                            Kept::Not(error) => Duty::Refused(Reason::Malformed, error.to_string()),
                        },
                        duty => duty,
                    }
                }
                _ => return Err(JournalError::Index(format!("entry {index} was not prepared"))),
            },
            (_, None) => Duty::CarryOut,
        };
        match duty {
            Duty::CarryOut => {}
            Duty::Waits(detail) => self.refuse(index, Reason::HeldAsEvidence, &detail),
            Duty::Refused(reason, detail) => self.refuse(index, reason, &detail),
        }
        Ok(())
    }

    fn refuse(&mut self, index: LeafIndex, reason: Reason, detail: &str) {
        self.refused.push(Exception::new(index, reason, detail));
    }

    /// Returns true if entries that may make the writer rewrite a record are refused from here on. So a batch
    /// never stages more than a job may, and never delays others for long. Its sender sends it again.
    fn is_full(&self) -> bool {
        self.tx.staged_bytes() - self.begun_at >= STAGED_BYTES_MAX || self.read >= READ_BYTES_MAX
    }

    fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| Keys::of(self.tx.state()))
    }

    /// Erases everything that is ordered, also what never came: so it can't come later.
    fn on_order(&mut self, entry: &FeedEntry, at: At<'_>) -> Result<Duty, JournalError> {
        if self.is_full() {
            return Ok(over_limit());
        }
        let id = &entry.record;
        let gave = self.tx.given_by(id, self.number)?;
        let held = match gave {
            Some(_) => self.tx.record(id)?.zip(self.tx.marks(id)?),
            None => None,
        };
        self.read += held.as_ref().map_or(0, |(record, _)| stored::encoded_len(record));
        let erased = if held.is_some() { self.tx.erased(id)? } else { SlotMask::NONE };
        let given = held.as_ref().map(|(record, marks)| GivenRecord {
            header: record.header(),
            erased,
            is_restricted: marks.is_restricted(),
        });
        let duty = judge_order(entry, given, self.keys());
        let Some(order) = entry.order else { return Ok(duty) };
        let (agency, _, feed_index) = at;
        match duty {
            Duty::CarryOut => {
                let ground = Ground {
                    basis: order.basis,
                    authority: String::new(),
                    proposal: 0,
                    partner: Some((agency.clone(), feed_index)),
                    order: Some(order),
                };
                self.erased |= !self.tx.erase(id, order.slots, &ground)?.is_empty();
            }
            Duty::Waits(_) => {
                // What may not be erased may not be used either.
                let reason = "its originator ordered it erased; it is kept as evidence".to_owned();
                self.tx.hold_against(id, (entry.open_slots, &order), reason, at)?;
            }
            Duty::Refused(..) => {}
        }
        Ok(duty)
    }

    /// A partner may tell of erasures that our feed ordered, and of no others.
    fn on_report(&mut self, entry: &FeedEntry, at: At<'_>) -> Result<Duty, JournalError> {
        let ordered = self.tx.ordered(&entry.record, self.number)?;
        let duty = judge_report(entry, ordered);
        if duty == Duty::CarryOut {
            self.tx.report_erased(&entry.record, entry.open_slots, at)?;
        }
        Ok(duty)
    }

    fn on_consent(&mut self, entry: &FeedEntry, index: LeafIndex) -> Result<Duty, JournalError> {
        let Some(said) = &entry.message else { return Ok(Duty::CarryOut) };
        let state = self.tx.state();
        let (own, dealings) = (&self.tx.signing().agency, &state.consents.dealings);
        let duty = judge_consent(said, self.agency, own, self.keys(), dealings);
        if duty == Duty::CarryOut {
            consents::hear(self.tx, self.agency, said, index.get())?;
        }
        Ok(duty)
    }

    /// A withdrawal is a duty: it stands outside what policy accepts.
    fn on_record(&self, header: &Header, is_accepted: bool) -> Result<Duty, JournalError> {
        let gave_series = !is_accepted
            && self.tx.series_given_by(header.series, &header.originator, self.number)?;
        Ok(judge_withdrawal(is_accepted, gave_series))
    }
}

fn over_limit() -> Duty {
    Duty::Refused(Reason::OverLimit, OVER_LIMIT.to_owned())
}

/// The partner, its number, and the index in its feed.
type At<'a> = (&'a AgencyName, PartnerNumber, u64);

/// The result of keeping what came of a record.
enum Kept {
    /// Nothing is to be noted beside the record.
    ByThis,
    /// It is here by another's leave, and this is to be noted of it.
    ByAnother(AlsoGiven),
    /// It breaks the rules together with what is here of it.
    Not(RecordError),
}

/// Keeps what came of a record, unless it breaks the rules together with what is here of it.
fn keep(
    tx: &mut Transaction<'_>,
    Incoming { prepared, known, size, .. }: Incoming,
    at @ (agency, number, feed_index): At<'_>,
) -> Result<Kept, JournalError> {
    let id = prepared.record().id();
    let Some(known) = tx.record_since(&id, known, size)? else {
        let origin = Origin::Partner { agency, feed_index };
        return tx.accept(prepared, origin).map(|_| Kept::ByThis);
    };
    let record = prepared.record();
    let is_originator = record.header().originator == *agency;
    let given = tx.given(&id)?;
    let mut merged = (*known).clone();
    // What was taken back comes into use again by the leave of whoever took it back alone.
    let barred = given
        .filter(|given| !given.heeds(number, is_originator))
        .map_or(SlotMask::NONE, |given| given.retracted);
    let reopened = reopened(known.erased_slots(), tx.erased(&id)?, is_originator);
    let gained = if barred.is_empty() {
        merged.absorb(record, reopened)
    } else {
        merged.absorb(&record.withholding(barred), reopened)
    };
    let gained = gained.unwrap_or(SlotMask::NONE);
    if !gained.is_empty() {
        if let Err(error) = merged.check_rules() {
            return Ok(Kept::Not(error));
        }
        tx.extend(Arc::new(merged), gained, (agency, feed_index))?;
    }
    let open_slots = record.open_slots();
    tx.receive_again(&id, open_slots, is_originator, at)?;
    let is_known =
        tx.given_by(&id, number)?.is_some_and(|gave| open_slots.without(gave).is_empty());
    Ok(match is_known {
        true => Kept::ByThis,
        false => Kept::ByAnother(AlsoGiven { record: id, open_slots, feed_index }),
    })
}
