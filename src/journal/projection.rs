//! The changes to the index that follow from entries and their content: one derivation, for the commit that
//! writes them and for a rebuild from the segments.
//!
//! It depends on the state after the entry, the durable index, the changes that wait before it, the entry and
//! its content. It adds no entry, signs nothing and writes nothing.

use super::JournalError;
use super::entry;
use super::erasure_index::{self, Erasure, ErasureNote};
use super::held;
use super::index::{self, Disclosure, Marks, RecordPlace, SeriesHead};
use super::pending::{ContentFrame, Located, Pending, PendingContent};
use super::provenance;
use super::refusals;
use super::series::{self, Joined, Member};
use super::signing::Signing;
use super::state::{self, FeedNumber, PartnerNumber, State};
use super::view::View;
use super::waiting;
use crate::exchange::{FeedAction, Provenance, Reason, TakenBack};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb::{self, journal_entry::Event};
use crate::record::erasure::ErasureBasis;
use crate::record::header::Header;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::Table;
use std::sync::Arc;

/// The content of a record, or its header where an erasure overwrote the content.
pub(super) enum Left {
    Record(Arc<Verified>),
    Header(RecordId, Box<Header>),
}

impl Left {
    pub(super) fn header(&self) -> &Header {
        match self {
            Self::Record(record) => record.header(),
            Self::Header(_, header) => header,
        }
    }

    fn id(&self) -> RecordId {
        match self {
            Self::Record(record) => record.id(),
            Self::Header(id, _) => *id,
        }
    }

    fn record(&self) -> Option<&Arc<Verified>> {
        match self {
            Self::Record(record) => Some(record),
            Self::Header(..) => None,
        }
    }

    fn into_pending(self) -> PendingContent {
        match self {
            Self::Record(record) => PendingContent::Record(record),
            Self::Header(..) => PendingContent::Overwritten,
        }
    }
}

/// Facts that the writer has at hand; what is missing is derived or looked up.
#[derive(Default)]
pub(super) struct Derived {
    pub(super) terms: Option<Vec<Vec<u8>>>,
    pub(super) fingerprint: Option<[u8; 32]>,
    /// The head of the series before, if the series has one.
    pub(super) head: Option<Option<SeriesHead>>,
    /// The record as it was in use before an erasure.
    pub(super) before: Option<Arc<Verified>>,
}

/// The content frame before an entry.
pub(super) struct Content {
    pub(super) frame: ContentFrame,
    pub(super) left: Left,
    pub(super) derived: Derived,
}

/// An entry on its way into the index.
pub(super) struct Entry<'a> {
    pub(super) index: u64,
    pub(super) at: Timestamp,
    pub(super) event: &'a Event,
    pub(super) bytes: &'a [u8],
}

pub(super) struct Projection<'a> {
    pub(super) view: &'a View,
    pub(super) signing: &'a Signing,
    /// After the entry.
    pub(super) state: &'a State,
    pub(super) pending: &'a mut Pending,
}

impl Projection<'_> {
    /// Adds the changes of an entry.
    pub(super) fn entry(
        &mut self,
        entry: &Entry<'_>,
        content: Option<Content>,
    ) -> Result<(), JournalError> {
        let Entry { index, at, event, bytes } = *entry;
        let changes = &mut self.pending.changes;
        self.state.remember(index, event, bytes, changes);
        waiting::put_entry(self.state, index, event, changes)?;
        held::put_entry(self.state, index, event, changes)?;
        provenance::put_entry(self.state, event, changes)?;
        let content = || {
            let reason = "its content is missing".to_owned();
            content.ok_or(JournalError::Entry { index, reason })
        };
        match event {
            Event::RecordAccepted(accepted) => self.accepted(index, accepted, content()?),
            Event::SlotsReceived(received) => self.extended(index, received, content()?),
            Event::SlotsErased(erased) => self.erased(index, at, erased, content()?),
            Event::RecordRestricted(restricted) => {
                let (id, located) = self.known(index, &restricted.record_id)?;
                let marks = located.place.marks().with_restricted(restricted.restricted);
                let place = located.place.marked(marks);
                self.pending.places.insert(id, Located { place, ..located });
                Ok(())
            }
            Event::RecordRetracted(retracted) => self.retracted(index, retracted),
            Event::RecordReceivedAgain(received) => self.received_again(index, received),
            Event::ReceiptReceived(receipt) => self.receipt(receipt),
            Event::FeedPublished(published) => {
                let Some(feed) = self.feed_of(&published.partner, &published.note) else {
                    return Ok(());
                };
                self.head(feed, size_of(index, &published.note)?, index)
            }
            Event::FeedReceived(received) => {
                if let Some(feed) = self.feed_of(&received.partner, &received.note) {
                    let size = size_of(index, &received.note)?;
                    self.pending.changes.push(index::put_received(feed, size, index));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Returns the number of the partner that an entry names; `None` also where it names none.
    fn number(&self, agency: &str) -> Option<PartnerNumber> {
        if agency.is_empty() {
            return None;
        }
        let agency = agency.parse::<AgencyName>().ok()?;
        self.state.partners.get(&agency).map(|partner| partner.number)
    }

    /// Returns the feed to or from a partner that a note is about. The state may be of a generation after it.
    fn feed_of(&self, partner: &str, note: &[u8]) -> Option<FeedNumber> {
        Some(FeedNumber::of(self.number(partner)?, state::generation_of(note)))
    }

    /// Returns the record that an entry is about.
    pub(super) fn known(&self, index: u64, id: &[u8]) -> Result<(RecordId, Located), JournalError> {
        let id = entry::record_id(id)?;
        let located = self.pending.located(self.view, &id)?.ok_or_else(|| {
            let reason = format!("it is about record {id}, which is not there");
            JournalError::Entry { index, reason }
        })?;
        Ok((id, located))
    }

    fn put_terms(&mut self, left: &Left, terms: Option<Vec<Vec<u8>>>, accepted: u64) {
        match (terms, left.record()) {
            (Some(terms), _) => {
                let terms = terms.into_iter().map(|term| index::put_term(term, accepted));
                self.pending.changes.extend(terms);
            }
            (None, Some(record)) => {
                index::put_terms(record, accepted, &mut self.pending.changes);
            }
            (None, None) => {}
        }
    }

    fn accepted(
        &mut self,
        index: u64,
        accepted: &pb::RecordAccepted,
        content: Content,
    ) -> Result<(), JournalError> {
        let Content { frame, left, derived } = content;
        let Derived { terms, fingerprint, head, .. } = derived;
        let (id, header) = (left.id(), left.header());
        let open = SlotMask::from_bits(accepted.open_slots);
        let given = self.number(&accepted.partner).map(|partner| Provenance::new(partner, open));
        let key = (header.series, header.originator.clone());
        let before = match head {
            Some(head) => head,
            None => self.pending.series_head(self.view, key.0, &key.1)?,
        };
        let fingerprint = fingerprint
            .or_else(|| left.record().and_then(|record| self.signing.fingerprint_of(record)));
        let head = SeriesHead::after(before, header, id, fingerprint);
        self.pending.changes.push(index::put_series(key.0, &key.1, &head));
        self.pending.series.insert(key, head);
        self.put_terms(&left, terms, index);
        erasure_index::put_retention(left.header(), &id, &mut self.pending.changes);
        let marks = match before {
            Some(head) => self.join(&head, left.header(), id, index)?,
            None => Marks::default(),
        };
        let place = RecordPlace::new(index, given, marks);
        let content = left.into_pending();
        self.pending.places.insert(id, Located { place, frame, content });
        Ok(())
    }

    /// Marks the head of a series that gets another record; returns the marks of that one.
    fn join(
        &mut self,
        head: &SeriesHead,
        header: &Header,
        id: RecordId,
        index: u64,
    ) -> Result<Marks, JournalError> {
        let (head_id, located) = self.known(index, head.id.as_bytes())?;
        let joined = Joined::new(head, header);
        let head_index = located.place.journal_index;
        let added = [Member::of_head(head, head_index), Member::of_header(header, id, index)];
        let put = added.map(|member| member.put(header.series, &header.originator));
        self.pending.changes.extend(put);
        let key = (header.series, header.originator.clone());
        let mut members = self.pending.members.get(&key).cloned().unwrap_or_default();
        members.extend(added);
        self.pending.members.insert(key, members);
        let marks = located.place.marks();
        if joined.supersedes_head && !marks.is_superseded() {
            self.pending.changes.push(series::put_superseded_record(head_index));
            let place = located.place.marked(marks.with_superseded());
            self.pending.places.insert(head_id, Located { place, ..located });
        }
        if !joined.is_superseded {
            return Ok(Marks::default());
        }
        self.pending.changes.push(series::put_superseded_record(index));
        Ok(Marks::default().with_superseded())
    }

    fn extended(
        &mut self,
        index: u64,
        received: &pb::SlotsReceived,
        content: Content,
    ) -> Result<(), JournalError> {
        let (id, located) = self.known(index, &received.record_id)?;
        let gained = SlotMask::from_bits(received.open_slots);
        let given = match (located.place.given, self.number(&received.partner)) {
            (Some(given), Some(partner)) => Some(given.gained(partner, gained)),
            (given, _) => given,
        };
        self.pending.supersede(id, located.frame);
        let place = RecordPlace { given, ..located.place };
        self.put_terms(&content.left, content.derived.terms, place.journal_index);
        let (frame, content) = (content.frame, content.left.into_pending());
        self.pending.places.insert(id, Located { place, frame, content });
        Ok(())
    }

    fn erased(
        &mut self,
        index: u64,
        at: Timestamp,
        erased: &pb::SlotsErased,
        content: Content,
    ) -> Result<(), JournalError> {
        let Content { frame, left, derived } = content;
        let (id, located) = self.known(index, &erased.record_id)?;
        let before = match derived.before {
            Some(before) => Some(before),
            None => self.pending.record(self.view, &id)?,
        };
        let superseded = self.view.superseded(&id)?;
        self.pending.overwrite(id, &superseded, located.frame);
        let basis = ErasureBasis::from_number(erased.basis).ok_or_else(|| JournalError::Entry {
            index,
            reason: format!("legal ground {} is unknown", erased.basis),
        })?;
        let header = left.header();
        let key = (header.series, header.originator.clone());
        let erasure = Erasure {
            id: &id,
            header,
            accepted: located.place.journal_index,
            entry: index,
            note: ErasureNote { slots: SlotMask::from_bits(erased.slots), basis, at },
            barred: self.pending.barred(self.view, key.0, &key.1)?,
            before: before.as_deref(),
            after: left.record().map(|record| &**record),
            superseded: &superseded,
        };
        let head = self.pending.series_head(self.view, key.0, &key.1)?;
        let barred = erasure.barred_after();
        if let Some(head) = erasure.put(head, &mut self.pending.changes) {
            self.pending.barred.insert(key.clone(), barred);
            self.pending.series.insert(key, head);
        }
        let place = located.place.marked(located.place.marks().with_erased());
        let content = left.into_pending();
        self.pending.places.insert(id, Located { place, frame, content });
        Ok(())
    }

    fn retracted(
        &mut self,
        index: u64,
        retracted: &pb::RecordRetracted,
    ) -> Result<(), JournalError> {
        let (id, located) = self.known(index, &retracted.record_id)?;
        let slots = SlotMask::from_bits(retracted.slots);
        let given = located.place.given.map(|given| match (retracted.retracted, slots) {
            (true, SlotMask::NONE) => given.after(TakenBack::Whole),
            (true, slots) => given.after(TakenBack::Slots(slots)),
            (false, _) => Provenance { is_retracted: false, ..given },
        });
        self.give(id, located, given)
    }

    fn received_again(
        &mut self,
        index: u64,
        received: &pb::RecordReceivedAgain,
    ) -> Result<(), JournalError> {
        let (id, located) = self.known(index, &received.record_id)?;
        let slots = SlotMask::from_bits(received.open_slots);
        let before = located.place.given;
        // The entry is there because the partner's leave counts.
        let given = match (before, self.number(&received.partner)) {
            (Some(given), Some(partner)) => given.again(partner, slots, true).or(before),
            (given, _) => given,
        };
        if let Some(before) = before.filter(|before| given.is_none_or(|g| g.from != before.from)) {
            self.pending.changes.push(provenance::put(&id, before.from, before.slots));
            self.pending.add_provenance(&id, before.from, before.slots);
        }
        self.give(id, located, given)
    }

    /// Changes the permission for the use of a record; queries find it by the slots in use alone.
    fn give(
        &mut self,
        id: RecordId,
        located: Located,
        given: Option<Provenance<PartnerNumber>>,
    ) -> Result<(), JournalError> {
        let place = RecordPlace { given, ..located.place };
        let mut content = located.content;
        if place.retracted_slots() != located.place.retracted_slots()
            && let Some(record) = self.pending.record(self.view, &id)?
        {
            let in_use = record.withholding(place.retracted_slots());
            let accepted = place.journal_index;
            index::put_terms_after(&record, &in_use, accepted, &mut self.pending.changes);
            if let PendingContent::Record(record) = &mut content {
                *record = Arc::new(in_use);
            }
        }
        self.pending.places.insert(id, Located { place, frame: located.frame, content });
        Ok(())
    }

    fn receipt(&mut self, receipt: &pb::ReceiptReceived) -> Result<(), JournalError> {
        let Some(feed) = self.feed_of(&receipt.partner, &receipt.note) else { return Ok(()) };
        let entries = self.view.not_taken_entries(feed, &receipt.exceptions)?;
        for entry in &entries {
            self.pending.not_taken.insert((feed, entry.feed_index), ());
        }
        for entry in entries {
            let known = self.pending.disclosure(self.view, feed, &entry.record)?;
            let denial = match entry.reason {
                Reason::NotSupplied => refusals::denial_in(receipt, entry.feed_index),
                _ => self.pending.denial(self.view, feed, &entry)?,
            };
            let changes = &mut self.pending.changes;
            if let Some(after) = refusals::put_not_taken(feed, &entry, known, denial, changes) {
                self.pending.disclosures.insert((feed, entry.record), after);
            }
        }
        Ok(())
    }

    /// Keeps the first head of a size, which tells when that was published.
    fn head(&mut self, feed: FeedNumber, size: u64, index: u64) -> Result<(), JournalError> {
        let is_known = self.pending.heads.contains_key(&(feed, size))
            || self.view.index().read(Table::Tagged, &index::head_key(feed, size))?.is_some();
        if size > 0 && !is_known {
            self.pending.heads.insert((feed, size), ());
            self.pending.changes.push(index::put_head(feed, size, index));
        }
        Ok(())
    }

    /// Adds the changes of an entry in the feed to a partner; `before` is what was disclosed of its record, if
    /// the caller knows it.
    pub(super) fn feed_entry(
        &mut self,
        feed: FeedNumber,
        feed_index: u64,
        entry: &pb::FeedEntry,
        before: Option<Option<Disclosure>>,
    ) -> Result<(), JournalError> {
        let id = entry::record_id(&entry.record_id)?;
        // What we erased at the partner's word, and an entry about consent, discloses nothing.
        if FeedAction::is_about_disclosure(entry.action()) {
            let before = match before {
                Some(before) => before,
                None => self.pending.disclosure(self.view, feed, &id)?,
            };
            let disclosure = Disclosure::after(before, feed_index, entry);
            let changes = &mut self.pending.changes;
            changes.extend(index::put_shown_before(feed, &id, before, entry.action()));
            changes.push(index::put_disclosure(feed, &id, disclosure));
            changes.extend(refusals::forget(feed, &id, before, disclosure));
            self.pending.disclosures.insert((feed, id), disclosure);
        }
        self.pending.changes.extend(index::put_feed_entry(feed, &id, feed_index, entry));
        Ok(())
    }
}

fn size_of(index: u64, note: &[u8]) -> Result<u64, JournalError> {
    state::note_size(note).map_err(|reason| JournalError::Entry { index, reason })
}
