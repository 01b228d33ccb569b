//! The index made again from the segments: what each batch of frames adds to it.
//!
//! It derives from entries what the writer derives when it stages them, in the same functions
//! wherever there is anything to decide. It signs nothing and adds no entry.

use super::JournalError;
use super::entry;
use super::erasure_index::{self, Erasure, ErasureNote};
use super::held;
use super::index::{self, Disclosure, Marks, RecordPlace, SeriesHead};
use super::log::Log;
use super::provenance;
use super::refusals;
use super::series::{self, Joined, Member};
use super::state::{self, FeedNumber, PartnerNumber, State};
use super::transaction::Signing;
use super::view::View;
use super::waiting;
use crate::exchange::{FeedAction, Given, Reason, TakenBack};
use crate::ident::{AgencyName, RecordId, SeriesId, Timestamp};
use crate::merkle::leaf_hash;
use crate::pb::{self, journal_entry::Event};
use crate::record::commit;
use crate::record::erasure::ErasureBasis;
use crate::record::header::Header;
use crate::record::signed::{Slot, Verified};
use crate::record::slots::SlotMask;
use crate::record::stored;
use crate::store::{Change, Frame, FrameKind, LeafRecord, Position, Segments, Table};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};

/// The frames of one batch.
#[derive(Default)]
struct Batch {
    frames: Vec<(Position, Frame)>,
    /// Journal size after the batch, once its commit was read.
    size: Option<u64>,
}

/// Frames on their way into the index.
pub(super) struct Replay<'a> {
    view: &'a View,
    signing: &'a Signing,
    segments: &'a mut Segments,
    pub(super) state: State,
    batch: Batch,
    /// Entries that were taken into the index again.
    pub(super) entries: u64,
    /// The first of them.
    from: Option<u64>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        view: &'a View,
        signing: &'a Signing,
        segments: &'a mut Segments,
        state: State,
    ) -> Self {
        let batch = Batch::default();
        Self { view, signing, segments, state, batch, entries: 0, from: None }
    }

    pub(super) fn frame(&mut self, position: Position, frame: Frame) -> Result<(), JournalError> {
        if self.batch.size.is_some() {
            self.finish(position)?;
        }
        if frame.kind == FrameKind::Commit {
            let size = std::str::from_utf8(&frame.payload)
                .ok()
                .and_then(|note| note.lines().nth(1)?.parse().ok())
                .ok_or_else(|| JournalError::Index(format!("no checkpoint at {position}")))?;
            self.batch.size = Some(size);
        } else {
            self.batch.frames.push((position, frame));
        }
        Ok(())
    }

    /// Takes a whole batch into account; the next one begins at `end`.
    pub(super) fn finish(&mut self, end: Position) -> Result<(), JournalError> {
        let Batch { frames, size } = std::mem::take(&mut self.batch);
        let Some(size) = size else { return Ok(()) };
        let count = frames.iter().filter(|(_, f)| f.kind == FrameKind::Entry).count() as u64;
        let first = size.checked_sub(count).ok_or_else(|| {
            JournalError::Index(format!("{count} entries under a checkpoint of size {size}"))
        })?;
        let from = *self.from.get_or_insert(first);
        let mut step = Step::new(self.view, self.signing, &mut self.state, first, from);
        for (position, frame) in frames {
            step.take(position, &frame)?;
        }
        let due = std::mem::take(&mut step.due);
        let mut changes = step.publish()?;
        self.state.remember_count(&mut changes);
        // Before the index hears of an erasure, it is carried out.
        self.segments.erase_content(&due, stored::KEPT_BYTES)?;
        self.view.index.stage(changes, end)?;
        self.entries += count;
        Ok(())
    }
}

/// The index changes of one batch, derived from its frames.
struct Step<'a> {
    view: &'a View,
    signing: &'a Signing,
    state: &'a mut State,
    next_index: u64,
    first_index: u64,
    /// The first entry of the whole replay.
    replayed_from: u64,
    content: Option<(Position, Bytes)>,
    /// Content that an erasure of this batch has yet to overwrite.
    due: Vec<Position>,
    superseded: Vec<(RecordId, Position)>,
    journal: Vec<LeafRecord>,
    feeds: HashMap<FeedNumber, Vec<(LeafRecord, pb::FeedEntry)>>,
    feed_sizes: HashMap<FeedNumber, u64>,
    /// Sizes of feeds that were first published in the batch.
    heads: HashSet<(FeedNumber, u64)>,
    /// Entries of feeds that receipts of the batch say were not taken.
    not_taken: HashSet<(FeedNumber, u64)>,
    places: HashMap<RecordId, RecordPlace>,
    series: HashMap<(SeriesId, AgencyName), SeriesHead>,
    disclosures: HashMap<(FeedNumber, RecordId), Disclosure>,
    changes: Vec<Change>,
}

impl<'a> Step<'a> {
    fn new(
        view: &'a View,
        signing: &'a Signing,
        state: &'a mut State,
        first_index: u64,
        replayed_from: u64,
    ) -> Self {
        Self {
            replayed_from,
            due: Vec::new(),
            superseded: Vec::new(),
            view,
            signing,
            state,
            next_index: first_index,
            first_index,
            content: None,
            journal: Vec::new(),
            feeds: HashMap::new(),
            feed_sizes: HashMap::new(),
            heads: HashSet::new(),
            not_taken: HashSet::new(),
            places: HashMap::new(),
            series: HashMap::new(),
            disclosures: HashMap::new(),
            changes: Vec::new(),
        }
    }

    fn take(&mut self, position: Position, frame: &Frame) -> Result<(), JournalError> {
        match frame.kind {
            FrameKind::Content => self.content = Some((position, frame.payload.clone())),
            FrameKind::Entry => self.entry(position, &frame.payload)?,
            FrameKind::Feed => {
                let Some((number, bytes)) = frame.feed() else { return Ok(()) };
                let entry = entry::decode_feed(0, &bytes)?;
                let leaf = (leaf_hash(&bytes), position);
                self.feeds.entry(FeedNumber::new(number)).or_default().push((leaf, entry));
            }
            FrameKind::Commit => {}
        }
        Ok(())
    }

    fn entry(&mut self, position: Position, bytes: &Bytes) -> Result<(), JournalError> {
        let index = self.next_index;
        self.next_index += 1;
        let (at, event) = entry::decode(index, bytes)?;
        self.journal.push((leaf_hash(bytes), position));
        self.state.apply(index, at, &event)?;
        self.state.remember(index, &event, bytes, &mut self.changes);
        waiting::put_entry(self.state, index, &event, &mut self.changes)?;
        held::put_entry(self.state, index, &event, &mut self.changes)?;
        provenance::put_entry(self.state, &event, &mut self.changes)?;
        match event {
            Event::RecordAccepted(accepted) => self.accepted(index, accepted),
            Event::SlotsReceived(received) => self.extended(index, &received),
            Event::SlotsErased(erased) => self.erased(index, at, &erased),
            Event::RecordRestricted(restricted) => {
                let (id, known) = self.known(index, &restricted.record_id)?;
                let marks = known.marks().with_restricted(restricted.restricted);
                self.place(id, known.marked(marks));
                Ok(())
            }
            Event::RecordRetracted(retracted) => self.retracted(index, &retracted),
            Event::RecordReceivedAgain(received) => self.received_again(index, &received),
            Event::ReceiptReceived(receipt) => self.receipt(&receipt),
            Event::FeedPublished(published) => {
                if let Some(feed) = self.feed_of(&published.partner, &published.note) {
                    let size = size_of(index, &published.note)?;
                    self.feed_sizes.insert(feed, size);
                    self.first_head(feed, size, index)?;
                }
                Ok(())
            }
            Event::FeedReceived(received) => {
                if let Some(feed) = self.feed_of(&received.partner, &received.note) {
                    let size = size_of(index, &received.note)?;
                    self.changes.push(index::put_received(feed, size, index));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The feed to or from a partner that a note is about. The state may be of a generation after it.
    fn feed_of(&self, partner: &str, note: &[u8]) -> Option<FeedNumber> {
        Some(FeedNumber::of(self.number(partner)?, state::generation_of(note)))
    }

    /// Keeps the first head of a size, which tells when that was published.
    fn first_head(&mut self, feed: FeedNumber, size: u64, index: u64) -> Result<(), JournalError> {
        let key = index::head_key(feed, size);
        let is_known = self.view.index.read(Table::Disclosures, &key)?.is_some();
        if size > 0 && !is_known && self.heads.insert((feed, size)) {
            self.changes.push(index::put_head(feed, size, index));
        }
        Ok(())
    }

    /// The content before an entry; without slots if it was overwritten.
    fn content_of(&mut self, index: u64) -> Result<(Position, Option<Vec<Slot>>), JournalError> {
        let missing = || JournalError::Entry { index, reason: "its content is missing".to_owned() };
        let (position, payload) = self.content.take().ok_or_else(missing)?;
        slots_in(index, &payload).map(|slots| (position, slots))
    }

    fn accepted(&mut self, index: u64, accepted: pb::RecordAccepted) -> Result<(), JournalError> {
        let broken = |reason: String| JournalError::Entry { index, reason };
        let (content, slots) = self.content_of(index)?;
        let id = commit::record_id(&accepted.header);
        let partner = accepted
            .partner
            .parse::<AgencyName>()
            .ok()
            .and_then(|agency| self.state.partners.get(&agency))
            .map(|partner| partner.number);
        let open = SlotMask::from_bits(accepted.open_slots);
        let given = partner.map(|partner| Given::new(partner, open));
        let header = Header::decode(&accepted.header).map_err(|error| broken(error.to_string()))?;
        erasure_index::put_retention(&header, &id, &mut self.changes);
        let key = (header.series, header.originator.clone());
        let before = self.head(&key)?;
        let marks = match before {
            Some(head) => self.join(&head, &header, id, index)?,
            None => Marks::default(),
        };
        self.place(id, RecordPlace::new(index, content, given, marks));
        let head = match record_of(index, accepted, slots)? {
            Some(record) => {
                index::put_terms(&record, index, &mut self.changes);
                SeriesHead::after(before, &record, self.signing.fingerprint_of(&record))
            }
            None => SeriesHead::after_header(before, &header, id, None),
        };
        self.changes.push(index::put_series(key.0, &key.1, &head));
        self.series.insert(key, head);
        Ok(())
    }

    /// What the writer does when a series gets another record.
    fn join(
        &mut self,
        head: &SeriesHead,
        header: &Header,
        id: RecordId,
        index: u64,
    ) -> Result<Marks, JournalError> {
        let (head_id, known) = self.known(index, head.id.as_bytes())?;
        let joined = Joined::new(head, header);
        let members =
            [Member::of_head(head, known.journal_index), Member::of_header(header, id, index)];
        self.changes.extend(members.map(|member| member.put(header.series, &header.originator)));
        if joined.supersedes_head && !known.marks().is_superseded() {
            self.changes.push(series::put_superseded_record(known.journal_index));
            self.place(head_id, known.marked(known.marks().with_superseded()));
        }
        if !joined.is_superseded {
            return Ok(Marks::default());
        }
        self.changes.push(series::put_superseded_record(index));
        Ok(Marks::default().with_superseded())
    }

    fn head(&self, key: &(SeriesId, AgencyName)) -> Result<Option<SeriesHead>, JournalError> {
        match self.series.get(key) {
            Some(head) => Ok(Some(*head)),
            None => self.view.series_head(key.0, &key.1),
        }
    }

    fn known(&self, index: u64, id: &[u8]) -> Result<(RecordId, RecordPlace), JournalError> {
        let id = entry::record_id(id)?;
        let known = match self.places.get(&id) {
            Some(place) => Some(*place),
            None => self.view.place(&id)?,
        };
        let missing = || JournalError::Entry {
            index,
            reason: format!("it speaks of record {id}, which is not there"),
        };
        Ok((id, known.ok_or_else(missing)?))
    }

    /// The entry that accepted a record. It may be in this very batch, where the view does not have
    /// it yet.
    fn acceptance(&self, journal_index: u64) -> Result<pb::RecordAccepted, JournalError> {
        let here =
            journal_index.checked_sub(self.first_index).and_then(|at| usize::try_from(at).ok());
        let event = match here.and_then(|at| self.journal.get(at)) {
            Some((_, position)) => {
                entry::decode(journal_index, &self.view.segments.read(*position)?.payload)?.1
            }
            None => self.view.event(journal_index)?.1,
        };
        match event {
            Event::RecordAccepted(accepted) => Ok(accepted),
            _ => Err(JournalError::Entry {
                index: journal_index,
                reason: "it accepts no record".to_owned(),
            }),
        }
    }

    fn extended(&mut self, index: u64, received: &pb::SlotsReceived) -> Result<(), JournalError> {
        let (content, slots) = self.content_of(index)?;
        let (id, known) = self.known(index, &received.record_id)?;
        let gained = SlotMask::from_bits(received.open_slots);
        let partner = self.number(&received.partner);
        let given = known.given.map(|given| match partner {
            Some(partner) => given.gained(partner, gained),
            None => given,
        });
        self.place(id, RecordPlace { content, given, ..known });
        self.changes.push(erasure_index::put_superseded(&id, known.content));
        self.superseded.push((id, known.content));
        let accepted = self.acceptance(known.journal_index)?;
        if let Some(record) = record_of(index, accepted, slots)? {
            index::put_terms(&record, known.journal_index, &mut self.changes);
        }
        Ok(())
    }

    /// An erasure whose bytes may still be there: then they are due now.
    fn erased(
        &mut self,
        index: u64,
        at: Timestamp,
        erased: &pb::SlotsErased,
    ) -> Result<(), JournalError> {
        let broken = |reason: String| JournalError::Entry { index, reason };
        let (content, slots) = self.content_of(index)?;
        let (id, known) = self.known(index, &erased.record_id)?;
        let mut superseded = self.view.superseded(&id)?;
        superseded.extend(self.superseded.extract_if(.., |(of, _)| *of == id).map(|(_, at)| at));
        superseded.push(known.content);
        for old in &superseded {
            if !self.view.segments.read(*old)?.is_erased() {
                self.due.push(*old);
            }
        }
        let accepted = self.acceptance(known.journal_index)?;
        let header = Header::decode(&accepted.header).map_err(|error| broken(error.to_string()))?;
        let old = slots_in(index, &self.view.segments.read(known.content)?.payload)?;
        if old.is_none() && known.journal_index < self.replayed_from {
            // What it was found by is in the index and can no longer be told.
            let text = format!("the erasure of entry {index} was cut short");
            return Err(JournalError::Index(text));
        }
        let before = record_of(index, accepted.clone(), old)?;
        let after = record_of(index, accepted, slots)?;
        let basis = ErasureBasis::from_number(erased.basis)
            .ok_or_else(|| broken(format!("legal ground {} is unknown", erased.basis)))?;
        let key = (header.series, header.originator.clone());
        let note = ErasureNote { slots: SlotMask::from_bits(erased.slots), basis, at };
        let erasure = Erasure {
            id: &id,
            header: &header,
            accepted: known.journal_index,
            entry: index,
            note,
            barred: self.barred(&key)?,
            before: before.as_ref(),
            after: after.as_ref(),
            superseded: &superseded,
        };
        if let Some(head) = erasure.put(self.head(&key)?, &mut self.changes) {
            self.series.insert(key, head);
        }
        self.place(id, erasure_index::place_after(known, content));
        Ok(())
    }

    fn barred(
        &self,
        (series, originator): &(SeriesId, AgencyName),
    ) -> Result<SlotMask, JournalError> {
        let key = erasure_index::barred_key(*series, originator);
        let of_batch = self.changes.iter().rev().find(|change| *change.key == *key);
        match of_batch.and_then(|change| change.value.as_deref()) {
            Some(value) => erasure_index::slots_of(value),
            None => self.view.barred_slots(*series, originator),
        }
    }

    fn place(&mut self, id: RecordId, place: RecordPlace) {
        self.changes.push(index::put_place(&id, place));
        self.places.insert(id, place);
    }

    fn number(&self, agency: &str) -> Option<PartnerNumber> {
        let agency = agency.parse::<AgencyName>().ok()?;
        self.state.partners.get(&agency).map(|partner| partner.number)
    }

    fn retracted(
        &mut self,
        index: u64,
        retracted: &pb::RecordRetracted,
    ) -> Result<(), JournalError> {
        let (id, known) = self.known(index, &retracted.record_id)?;
        let slots = SlotMask::from_bits(retracted.slots);
        let given = known.given.map(|given| match (retracted.retracted, slots) {
            (true, SlotMask::NONE) => given.after(TakenBack::Whole),
            (true, slots) => given.after(TakenBack::Slots(slots)),
            (false, _) => Given { is_retracted: false, ..given },
        });
        self.give(index, id, known, given)
    }

    fn received_again(
        &mut self,
        index: u64,
        received: &pb::RecordReceivedAgain,
    ) -> Result<(), JournalError> {
        let (id, known) = self.known(index, &received.record_id)?;
        let slots = SlotMask::from_bits(received.open_slots);
        // The entry is there because the partner's leave counts.
        let given = match (known.given, self.number(&received.partner)) {
            (Some(given), Some(partner)) => given.again(partner, slots, true).or(known.given),
            (given, _) => given,
        };
        self.changes.extend(provenance::put_displaced(&id, known.given, given));
        self.give(index, id, known, given)
    }

    /// By whose leave a record is used from here on; it is found by what is in use alone.
    fn give(
        &mut self,
        index: u64,
        id: RecordId,
        known: RecordPlace,
        given: Option<Given<PartnerNumber>>,
    ) -> Result<(), JournalError> {
        let place = RecordPlace { given, ..known };
        if place.retracted_slots() != known.retracted_slots() {
            let accepted = self.acceptance(known.journal_index)?;
            let slots = slots_in(index, &self.view.segments.read(known.content)?.payload)?;
            if let Some(record) = record_of(index, accepted, slots)? {
                let in_use = record.withholding(place.retracted_slots());
                let accepted = known.journal_index;
                index::put_terms_after(&record, &in_use, accepted, &mut self.changes);
            }
        }
        self.place(id, place);
        Ok(())
    }

    fn receipt(&mut self, receipt: &pb::ReceiptReceived) -> Result<(), JournalError> {
        let Some(feed) = self.feed_of(&receipt.partner, &receipt.note) else { return Ok(()) };
        let entries = self.view.not_taken_entries(feed, &receipt.exceptions)?;
        self.not_taken.extend(entries.iter().map(|entry| (feed, entry.feed_index)));
        for entry in entries {
            let known = match self.disclosures.get(&(feed, entry.record)) {
                Some(known) => Some(*known),
                None => self.view.disclosure(feed, &entry.record)?,
            };
            let denial = match entry.reason {
                Reason::NotSupplied => refusals::denial_in(receipt, entry.feed_index),
                _ => self
                    .view
                    .denial(feed, &entry, |index| self.not_taken.contains(&(feed, index)))?,
            };
            let after = refusals::put_not_taken(feed, &entry, known, denial, &mut self.changes);
            if let Some(after) = after {
                self.disclosures.insert((feed, entry.record), after);
            }
        }
        Ok(())
    }

    /// Puts the leaves of the batch into their logs; what is there already is written again.
    fn publish(mut self) -> Result<Vec<Change>, JournalError> {
        put_leaves(&self.view.journal, self.first_index, &self.journal)?;
        for (feed, entries) in std::mem::take(&mut self.feeds) {
            let size = self.feed_sizes.get(&feed).copied().unwrap_or_default();
            let first = size.checked_sub(entries.len() as u64).ok_or_else(|| {
                JournalError::Index("a feed grew without a published head".to_owned())
            })?;
            for (feed_index, (_, entry)) in (first..).zip(&entries) {
                let id = entry::record_id(&entry.record_id)?;
                let before = match self.disclosures.get(&(feed, id)) {
                    Some(disclosure) => Some(*disclosure),
                    None => self.view.disclosure(feed, &id)?,
                };
                if FeedAction::is_about_disclosure(entry.action()) {
                    let disclosure = Disclosure::after(before, feed_index, entry);
                    let shown_before = index::put_shown_before(feed, &id, before, entry.action());
                    self.changes.extend(shown_before);
                    self.disclosures.insert((feed, id), disclosure);
                    self.changes.push(index::put_disclosure(feed, &id, disclosure));
                    self.changes.extend(refusals::forget(feed, &id, before, disclosure));
                }
                self.changes.extend(index::put_feed_entry(feed, &id, feed_index, entry));
            }
            let leaves: Vec<LeafRecord> = entries.iter().map(|(leaf, _)| *leaf).collect();
            put_leaves(&*self.view.feed(feed)?, first, &leaves)?;
        }
        Ok(self.changes)
    }
}

/// The slots in content; none if it was overwritten.
fn slots_in(index: u64, payload: &Bytes) -> Result<Option<Vec<Slot>>, JournalError> {
    if stored::overwritten(payload).is_some() {
        return Ok(None);
    }
    let (_, slots) = stored::read(payload)
        .map_err(|error| JournalError::Entry { index, reason: error.to_string() })?;
    Ok(Some(slots))
}

fn size_of(index: u64, note: &[u8]) -> Result<u64, JournalError> {
    state::note_size(note).map_err(|reason| JournalError::Entry { index, reason })
}

fn record_of(
    index: u64,
    accepted: pb::RecordAccepted,
    slots: Option<Vec<Slot>>,
) -> Result<Option<Verified>, JournalError> {
    let Some(slots) = slots else { return Ok(None) };
    Verified::from_store(accepted.header, accepted.signature.unwrap_or_default(), slots)
        .map(Some)
        .map_err(|error| JournalError::Entry { index, reason: error.to_string() })
}

fn put_leaves(log: &Log, first: u64, leaves: &[LeafRecord]) -> Result<(), JournalError> {
    let size = log.size();
    if size < first {
        return Err(JournalError::Index(format!("a leaf file ends at {size}, before {first}")));
    }
    if size > first {
        log.truncate(first)?;
    }
    log.append(leaves)
}
