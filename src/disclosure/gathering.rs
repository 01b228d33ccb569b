//! Entries of a feed on their way to the writer, in runs that each get a head of their own.

use super::brake::Braked;
use super::discloser::Discloser;
use super::read_error::record_id;
use super::reader::JournalReader;
use super::standing::{Disclosure, Marks};
use crate::exchange::{Allowed, ConsentMessage, Disclosed, FeedAction, HeadSpacing, owed};
use crate::ident::{RecordId, SeriesId};
use crate::pb;
use crate::policy::{Categories, NewRecords, Reasons};
use crate::record::consent::CONSENT_BYTES_MAX;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Entries of a feed that get a head of their own.
#[derive(Default)]
pub struct Run {
    pub entries: Vec<pb::FeedEntry>,
    /// The earlier disclosure of each record.
    pub before: Vec<Option<Disclosure>>,
    /// Fields that were here and are not disclosed.
    pub withheld: u64,
    /// The records that it discloses to a partner that was never given anything of them.
    pub new: NewRecords,
    /// The series of the records that it shows: each was decided by its newest revision.
    pub shown: Vec<SeriesId>,
}

/// The findings of one step.
#[derive(Default)]
pub struct Found {
    pub runs: Vec<Run>,
    /// Entries of the feed when the step began.
    pub feed_size: u64,
    /// Entries of it that the partner had reported as not taken.
    pub exceptions: u64,
    /// Entries of the journal when it began.
    pub journal_size: u64,
    /// The step went up to this journal entry.
    pub reached: u64,
    /// More depends on what was found than one step looks at: everything is to be looked at again.
    pub rescan: bool,
    /// Records are due again because the partner reported that they came without their content.
    pub lapsed: bool,
    pub denied: BTreeMap<String, u64>,
    pub erred: u64,
    /// Records that the brake holds, by what is unusual about them.
    pub held: BTreeMap<Reasons, Vec<RecordId>>,
    /// The first entry that could not be decided because stored bytes are damaged.
    pub damaged: Option<u64>,
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.runs.iter().all(|run| run.entries.is_empty())
    }
}

/// A record about which something may be due.
struct Owing<'a> {
    kind: Kind,
    id: RecordId,
    /// The record, if it was read as a whole.
    record: Option<&'a Verified>,
    /// The state of it in the present feed.
    before: Option<Disclosure>,
    /// The state of it over all feeds to the partner.
    told: Option<Disclosed>,
}

/// Collects what a step finds.
pub(super) struct Gathering {
    found: Found,
    spacing: HeadSpacing,
    run: Run,
    entries: usize,
    /// Records that were looked at.
    records: u64,
}

impl Gathering {
    /// For a step that begins at this journal entry.
    pub(super) fn begin<R: JournalReader>(
        discloser: &mut Discloser<R>,
        start: u64,
    ) -> Result<Self, R::Error> {
        let journal_size = discloser.reader.journal_size();
        discloser.begin();
        discloser.set_brake()?;
        let partner = discloser.reader.partner(&discloser.agency);
        let (feed_size, exceptions) =
            partner.map_or((0, 0), |partner| (partner.feed_size, partner.exceptions));
        Ok(Self {
            found: Found {
                feed_size,
                exceptions,
                journal_size,
                reached: start,
                ..Found::default()
            },
            spacing: HeadSpacing::default(),
            run: Run::default(),
            entries: 0,
            records: 0,
        })
    }

    pub(super) const fn entries(&self) -> usize {
        self.entries
    }

    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    pub(super) const fn reach(&mut self, index: u64) {
        self.found.reached = index;
    }

    /// Notes that what an entry brings about cannot be decided: nothing of it is disclosed, and the rest goes on.
    pub(super) fn pass_over(&mut self, index: u64) {
        self.found.damaged = Some(self.found.damaged.map_or(index, |first| first.min(index)));
    }

    pub(super) const fn rescan(&mut self) {
        self.found.rescan = true;
    }

    pub(super) const fn lapse(&mut self) {
        self.found.lapsed = true;
    }

    pub(super) fn finish(mut self) -> Found {
        if !self.run.entries.is_empty() {
            self.found.runs.push(self.run);
        }
        self.found
    }

    /// Counts a record that a policy denies.
    pub(super) fn deny(&mut self, policy: String) {
        *self.found.denied.entry(policy).or_default() += 1;
    }

    /// Brings the feed to what the partner may have of a record now. Every entry that shows or takes
    /// back anything is made here. Tells whether the record as a whole came or went.
    pub(super) fn bring<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        record: &Verified,
        marks: Marks,
        counts: bool,
    ) -> Result<bool, R::Error> {
        self.records += 1;
        let id = record.id();
        let before = discloser.disclosure(&id)?;
        let told = discloser.told_beside(before, &id)?;
        let verdict = discloser.verdict(record, marks)?;
        if counts {
            self.found.erred += u64::from(verdict.erred);
            verdict.denied_by.into_iter().for_each(|policy| self.deny(policy));
        }
        if told.is_none() && self.holds_back(discloser, record, verdict.allowed)? {
            return Ok(false);
        }
        let of = Owing { kind: record.kind(), id, record: Some(record), before, told };
        Ok(self.owe(discloser, of, verdict.allowed))
    }

    /// Returns true if the brake holds a record of which the partner was never given anything. An
    /// entry that takes something back waits for nobody.
    fn holds_back<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        record: &Verified,
        allowed: Allowed,
    ) -> Result<bool, R::Error> {
        let Allowed::Slots { open, .. } = allowed else { return Ok(false) };
        let begins = record.kind() != Kind::Withdrawal;
        Ok(begins && discloser.brake(record, open, &mut self.found)? == Braked::Held)
    }

    /// The same for a record of which only the header was looked at, because nothing of it may be
    /// shown.
    pub(super) fn take_back<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        kind: Kind,
        id: RecordId,
        before: Option<Disclosure>,
        told: Disclosed,
    ) {
        let of = Owing { kind, id, record: None, before, told: Some(told) };
        self.owe(discloser, of, Allowed::Nothing);
    }

    /// Adds the entries that are due, derived from all feeds to the partner. The state in the
    /// present feed follows from its own entries alone.
    fn owe<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        of: Owing<'_>,
        allowed: Allowed,
    ) -> bool {
        let Owing { kind, id, record, before, told } = of;
        let was_live = told.is_some_and(|told| told.is_live());
        let (mut is_live, mut after) = (was_live, before);
        for (action, slots) in owed(told, kind, allowed).entries() {
            let shown = record.filter(|_| action.carries_record());
            let entry = entry(discloser, action.into(), &id, slots);
            after = self.push(discloser, id, entry, after, shown);
            let is_new = told.is_none() && action == FeedAction::Disclose;
            if let Some(record) = record.filter(|_| is_new) {
                let header = record.header();
                let sorts = Categories::of(header.kind, header.is_personal_data());
                self.run.new.add(discloser.reader.originator(&header.originator), sorts);
            }
            is_live = after.is_some_and(|after| after.disclosed.is_live());
        }
        was_live != is_live
    }

    /// Adds the duty to erase slots that the partner was given.
    pub(super) fn erase<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        id: RecordId,
        order: pb::ErasureOrder,
    ) -> Result<(), R::Error> {
        let before = discloser.disclosure(&id)?;
        // What it was given in a feed that was succeeded, it may have still.
        let earlier = discloser.reader.disclosed_before(discloser.number, &id)?;
        let given = before.map_or(SlotMask::NONE, |before| before.disclosed.given);
        let given = given.or(earlier.unwrap_or(SlotMask::NONE));
        let owed = given.and(SlotMask::from_bits(order.slots));
        if owed.is_empty() {
            return Ok(());
        }
        self.push_order(discloser, id, (pb::FeedAction::Erase, owed, Some(order)), before)
    }

    /// Lays a duty on the partner once more that it refused.
    pub(super) fn repeat<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        refused: pb::FeedEntry,
    ) -> Result<(), R::Error> {
        let id = record_id(0, &refused.record_id)?;
        let before = discloser.disclosure(&id)?;
        let (action, slots) = (refused.action(), SlotMask::from_bits(refused.open_slots));
        self.push_order(discloser, id, (action, slots, refused.order), before)
    }

    /// Adds a duty with its order. The partner writes again what is left of the record, so a batch holds no more of
    /// that than of records. The duty needs nothing of a record that cannot be read here.
    fn push_order<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        id: RecordId,
        (action, slots, order): (pb::FeedAction, SlotMask, Option<pb::ErasureOrder>),
        before: Option<Disclosure>,
    ) -> Result<(), R::Error> {
        let duty = pb::FeedEntry { order, ..entry(discloser, action, &id, slots) };
        let left = discloser.envelope_bytes_max(&id)?;
        self.push_weighing(discloser, id, duty, before, None, left);
        Ok(())
    }

    /// Reports to the partner the slots that were erased at its order when the hold ended, of those that
    /// its feed named. It knows of no others.
    pub(super) fn answer<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        record: &Verified,
    ) -> Result<(), R::Error> {
        let id = record.id();
        let ordered = discloser.reader.waiting_slots(&id, discloser.number)?;
        let erased = ordered.and(record.erased_slots());
        let fresh = erased.without(discloser.reader.answered_slots(&id, discloser.feed)?);
        if !fresh.is_empty() {
            let told = entry(discloser, pb::FeedAction::Erased, &id, fresh);
            self.push(discloser, id, told, None, None);
        }
        Ok(())
    }

    /// Adds a request or statement on consent for the partner.
    pub(super) fn send<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        message: &ConsentMessage,
    ) {
        let id = message.record();
        let (action, consent_request, consent) = match message {
            ConsentMessage::Request(request) => {
                (pb::FeedAction::ConsentRequest, Some(Box::new(request.into())), None)
            }
            ConsentMessage::Consent(consent) => {
                (pb::FeedAction::Consent, None, Some(Box::new(consent.into())))
            }
        };
        let entry = entry(discloser, action, &id, SlotMask::NONE);
        self.push(discloser, id, pb::FeedEntry { consent_request, consent, ..entry }, None, None);
    }

    /// Adds an entry; `shown` is the record that goes with it. Gives what is disclosed after it.
    fn push<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        id: RecordId,
        entry: pb::FeedEntry,
        before: Option<Disclosure>,
        shown: Option<&Verified>,
    ) -> Option<Disclosure> {
        let about_consent = if entry.consent_request.is_some() || entry.consent.is_some() {
            CONSENT_BYTES_MAX
        } else {
            0
        };
        let bytes = shown.map_or(about_consent, Verified::envelope_bytes_max);
        self.push_weighing(discloser, id, entry, before, shown, bytes)
    }

    /// The place in the feed of the next entry, if nothing else goes into the feed before.
    const fn feed_index(&self) -> u64 {
        self.found.feed_size + self.entries as u64
    }

    /// The same for an entry that counts for so many bytes of a batch.
    fn push_weighing<R: JournalReader>(
        &mut self,
        discloser: &mut Discloser<R>,
        id: RecordId,
        entry: pb::FeedEntry,
        before: Option<Disclosure>,
        shown: Option<&Verified>,
        bytes: usize,
    ) -> Option<Disclosure> {
        if !self.spacing.admits_bytes(bytes) {
            self.spacing.restart();
            self.spacing.admits_bytes(bytes);
            self.found.runs.push(std::mem::take(&mut self.run));
        }
        let after = match FeedAction::is_about_disclosure(entry.action()) {
            false => before,
            true => Some(Disclosure::after(before, self.feed_index(), &entry)),
        };
        if let Some(after) = after {
            discloser.note(id, after);
        }
        if let Some(record) = shown {
            let (header, open) = (record.header(), SlotMask::from_bits(entry.open_slots));
            self.run.shown.push(header.series);
            self.run.withheld += u64::from(record.open_slots().without(open).count());
        }
        self.run.before.push(before);
        self.run.entries.push(entry);
        self.entries += 1;
        after
    }
}

/// An entry of a feed whose time is known when it is written down.
fn entry<R: JournalReader>(
    discloser: &Discloser<R>,
    action: pb::FeedAction,
    id: &RecordId,
    slots: SlotMask,
) -> pb::FeedEntry {
    pb::FeedEntry {
        action: action.into(),
        record_id: Bytes::copy_from_slice(id.as_bytes()),
        open_slots: slots.bits(),
        policy_version: discloser.version().get(),
        at_ms: 0,
        ..pb::FeedEntry::default()
    }
}
