//! A node in memory, as far as decisions about one partner read it.

use super::accepted::AcceptedHeader;
use super::gathering::Found;
use super::read_error::{BrokenEntry, ReadError};
use super::reader::{ConsentsInForce, JournalReader, PartnerStanding, RecordReader};
use super::series_head::{Member, SeriesHead};
use super::standing::{Disclosure, HeldState, Marks, Standing};
use crate::exchange::{FeedAction, FeedEntry};
use crate::ident::{AgencyName, FeedNumber, PartnerNumber, RecordId, SeriesId};
use crate::pb::{self, journal_entry::Event};
use crate::policy::{Baseline, OriginatorNumber};
use crate::record::header::Header;
use crate::record::signed::{Verified, references};
use crate::record::slots::SlotMask;
use crate::testkit::{NOW_MS, own, partner};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// The partner that is decided about.
pub(super) const PARTNER: PartnerNumber = PartnerNumber::new(1);
/// Another partner, which gave records.
pub(super) const GIVER: PartnerNumber = PartnerNumber::new(2);

#[derive(Debug, thiserror::Error)]
pub(super) enum MemoryError {
    #[error(transparent)]
    Broken(#[from] BrokenEntry),
    #[error("stored bytes are damaged")]
    Damaged,
}

impl ReadError for MemoryError {
    fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged)
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) entries: Vec<Event>,
    /// In the order of their acceptance.
    pub(super) records: Vec<(Arc<Verified>, Standing)>,
    pub(super) feed: Vec<pb::FeedEntry>,
    pub(super) disclosures: BTreeMap<RecordId, Disclosure>,
    /// Slots that feeds before the present one gave.
    pub(super) earlier: BTreeMap<RecordId, SlotMask>,
    pub(super) held: BTreeMap<RecordId, HeldState>,
    pub(super) held_by: BTreeMap<u64, Vec<RecordId>>,
    pub(super) waiting: BTreeMap<RecordId, SlotMask>,
    pub(super) answered: BTreeMap<RecordId, SlotMask>,
    pub(super) refused: BTreeSet<u64>,
    pub(super) damaged: BTreeSet<RecordId>,
    pub(super) offered_below: u64,
    pub(super) baseline: Arc<Baseline>,
    pub(super) consents: ConsentsInForce,
}

/// Everything that a reader is asked about.
#[derive(Default)]
pub(super) struct Memory(Mutex<State>);

impl Memory {
    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn append(&self, event: Event) -> u64 {
        let mut state = self.state();
        state.entries.push(event);
        state.entries.len() as u64 - 1
    }

    /// Accepts a record from a client, or from a partner.
    pub(super) fn accept(&self, record: &Verified, from: Option<PartnerNumber>) {
        let envelope = record.envelope();
        let journal_index = self.append(Event::RecordAccepted(pb::RecordAccepted {
            header: envelope.header,
            signature: envelope.signature,
            partner: from.map(name_of).map(|name| name.to_string()).unwrap_or_default(),
            open_slots: record.open_slots().bits(),
            ..pb::RecordAccepted::default()
        }));
        let standing = Standing { journal_index, partner: from, marks: Marks::default() };
        let mut state = self.state();
        state.records.push((Arc::new(record.clone()), standing));
        let of_series = |of: &Verified| {
            let (of, header) = (of.header(), record.header());
            of.series == header.series && of.originator == header.originator
        };
        let last = state.records.iter().filter(|(of, _)| of_series(of));
        let last = last.map(|(of, _)| of.header().revision).max();
        let alone = state.records.iter().filter(|(of, _)| of_series(of)).count() == 1;
        let newest: Vec<_> =
            state.records.iter().map(|(of, _)| Some(of.header().revision) == last).collect();
        let tied =
            state.records.iter().zip(&newest).filter(|((of, _), is)| of_series(of) && **is).count()
                > 1;
        for ((of, standing), is_newest) in state.records.iter_mut().zip(newest) {
            if of_series(of) && !alone && (tied || !is_newest) {
                standing.marks = standing.marks.with_superseded();
            }
        }
    }

    /// Changes the marks of a record.
    pub(super) fn mark(&self, id: &RecordId, change: impl Fn(Marks) -> Marks) {
        for (record, standing) in &mut self.state().records {
            if record.id() == *id {
                standing.marks = change(standing.marks);
            }
        }
    }

    /// Replaces a record by what is left of it.
    pub(super) fn replace(&self, record: Verified) {
        for (of, _) in &mut self.state().records {
            if of.id() == record.id() {
                *of = Arc::new(record.clone());
            }
        }
    }

    /// Writes down what a step found. Returns the new entries as action, record and slots.
    pub(super) fn publish(&self, found: Found) -> Vec<(FeedAction, RecordId, SlotMask)> {
        let mut state = self.state();
        let mut entries = Vec::new();
        for mut entry in found.runs.into_iter().flat_map(|run| run.entries) {
            entry.at_ms = NOW_MS.unsigned_abs();
            let decoded = FeedEntry::decode(&entry.encode_to_vec()).unwrap();
            let id = RecordId::try_from(&entry.record_id[..]).unwrap();
            let (index, before) = (state.feed.len() as u64, state.disclosures.get(&id).copied());
            if FeedAction::is_about_disclosure(entry.action()) {
                state.disclosures.insert(id, Disclosure::after(before, index, &entry));
            }
            entries.push((decoded.action, id, decoded.open_slots));
            state.feed.push(entry);
        }
        for id in found.held.into_values().flatten() {
            state.held.insert(id, HeldState::Waiting);
        }
        entries
    }
}

pub(super) fn name_of(number: PartnerNumber) -> AgencyName {
    match number {
        PARTNER => partner(),
        _ => "giver.example".parse().unwrap(),
    }
}

type Read<T> = Result<T, MemoryError>;

impl RecordReader for Memory {
    type Error = MemoryError;

    fn standing(&self, id: &RecordId) -> Read<Option<Standing>> {
        Ok(self.record_and_standing(id)?.map(|(_, standing)| standing))
    }

    fn record(&self, id: &RecordId) -> Read<Option<Arc<Verified>>> {
        Ok(self.record_and_standing(id)?.map(|(record, _)| record))
    }

    fn record_and_marks(&self, id: &RecordId) -> Read<Option<(Arc<Verified>, Marks)>> {
        Ok(self.record_and_standing(id)?.map(|(record, standing)| (record, standing.marks)))
    }

    fn record_and_standing(&self, id: &RecordId) -> Read<Option<(Arc<Verified>, Standing)>> {
        let state = self.state();
        if state.damaged.contains(id) {
            return Err(MemoryError::Damaged);
        }
        Ok(state.records.iter().find(|(record, _)| record.id() == *id).cloned())
    }

    fn marks_at(&self, id: &RecordId, _: u64) -> Read<Marks> {
        Ok(self.standing(id)?.map(|standing| standing.marks).unwrap_or_default())
    }

    fn series_by_originator(&self, series: SeriesId) -> Read<Vec<(AgencyName, SeriesHead)>> {
        let mut heads: BTreeMap<AgencyName, SeriesHead> = BTreeMap::new();
        for (record, _) in &self.state().records {
            let header = record.header();
            if header.series == series {
                let before = heads.get(&header.originator).copied();
                let head = SeriesHead::after(before, header, record.id(), None);
                heads.insert(header.originator.clone(), head);
            }
        }
        Ok(heads.into_iter().collect())
    }

    fn members(&self, series: SeriesId, originator: &AgencyName) -> Read<Vec<Member>> {
        let state = self.state();
        let of = |header: &Header| header.series == series && header.originator == *originator;
        let members: Vec<_> = state
            .records
            .iter()
            .filter(|(record, _)| of(record.header()))
            .map(|(record, standing)| Member {
                journal_index: standing.journal_index,
                revision: record.header().revision,
                kind: record.kind(),
                id: record.id(),
            })
            .collect();
        Ok(if members.len() > 1 { members } else { Vec::new() })
    }

    fn is_newest(&self, header: &Header) -> Read<bool> {
        let members = self.members(header.series, &header.originator)?;
        Ok(members.iter().all(|member| member.revision <= header.revision))
    }

    fn superseded_in(&self, range: Range<u64>) -> Read<HashSet<u64>> {
        let state = self.state();
        let superseded = state.records.iter().filter(|(_, of)| of.marks.is_superseded());
        Ok(superseded
            .map(|(_, of)| of.journal_index)
            .filter(|index| range.contains(index))
            .collect())
    }

    fn is_superseded(&self, journal_index: u64) -> Read<bool> {
        Ok(self.superseded_in(0..u64::MAX)?.contains(&journal_index))
    }

    fn may_be_referred_to(&self, series: SeriesId) -> Read<bool> {
        Ok(!self.referrers(series, 1)?.is_empty())
    }

    fn referrers(&self, series: SeriesId, most: usize) -> Read<Vec<u64>> {
        let state = self.state();
        let refers =
            |record: &Verified| references(record.kind(), record.slots()).any(|to| to == series);
        let referring = state.records.iter().filter(|(record, _)| refers(record));
        Ok(referring.map(|(_, standing)| standing.journal_index).take(most).collect())
    }

    fn disclosure(&self, _: FeedNumber, id: &RecordId) -> Read<Option<Disclosure>> {
        Ok(self.state().disclosures.get(id).copied())
    }

    fn disclosed_before(&self, _: PartnerNumber, id: &RecordId) -> Read<Option<SlotMask>> {
        Ok(self.state().earlier.get(id).copied())
    }

    fn ever_held(&self, _: PartnerNumber) -> Read<bool> {
        Ok(!self.state().held.is_empty())
    }

    fn held_state(&self, _: PartnerNumber, id: &RecordId) -> Read<Option<HeldState>> {
        Ok(self.state().held.get(id).copied())
    }

    fn waiting_slots(&self, id: &RecordId, _: PartnerNumber) -> Read<SlotMask> {
        Ok(self.state().waiting.get(id).copied().unwrap_or_default())
    }

    fn answered_slots(&self, id: &RecordId, _: FeedNumber) -> Read<SlotMask> {
        Ok(self.state().answered.get(id).copied().unwrap_or_default())
    }
}

impl JournalReader for Memory {
    fn journal_size(&self) -> u64 {
        self.state().entries.len() as u64
    }

    fn entry(&self, index: u64) -> Read<Event> {
        Ok(self.state().entries[index as usize].clone())
    }

    fn recently_accepted(&self, _: u64) -> Option<(Arc<Verified>, Option<PartnerNumber>)> {
        None
    }

    fn headers(&self, range: Range<u64>) -> impl Iterator<Item = Read<AcceptedHeader>> {
        let entries = self.state().entries.clone();
        (0..).zip(entries).filter(move |(index, _)| range.contains(index)).filter_map(
            |(index, event)| match event {
                Event::RecordAccepted(accepted) => {
                    Some(AcceptedHeader::decode(index, &accepted).map_err(MemoryError::from))
                }
                _ => None,
            },
        )
    }

    fn partner(&self, agency: &AgencyName) -> Option<PartnerStanding> {
        let number = [PARTNER, GIVER].into_iter().find(|number| name_of(*number) == *agency)?;
        let state = self.state();
        Some(PartnerStanding {
            number,
            feed: FeedNumber::new(number.get()),
            exceptions: 0,
            feed_size: state.feed.len() as u64,
            offered_below: state.offered_below,
            baseline: Arc::clone(&state.baseline),
        })
    }

    fn originator(&self, originator: &AgencyName) -> OriginatorNumber {
        match *originator == own() {
            true => OriginatorNumber::OWN,
            false => OriginatorNumber::numbered(GIVER.get()),
        }
    }

    fn consents(&self) -> ConsentsInForce {
        self.state().consents.clone()
    }

    fn feed_entry(&self, _: FeedNumber, index: u64) -> Read<Option<pb::FeedEntry>> {
        Ok(self.state().feed.get(index as usize).cloned())
    }

    fn refused_duties(&self, _: FeedNumber, range: Range<u64>, most: usize) -> Read<Vec<u64>> {
        Ok(self.state().refused.range(range).copied().take(most).collect())
    }

    fn held_records(&self, entry: u64) -> Read<Vec<RecordId>> {
        Ok(self.state().held_by.get(&entry).cloned().unwrap_or_default())
    }
}
