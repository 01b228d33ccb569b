//! The second pass: writes each entry that is wanted with its proof, what it brings along, and then
//! the entries that a reader needs to know the keys.

use super::manifest::{Item, MANIFEST, Manifest, Share, sha256};
use super::survey::{Key, KeyOf, PART_FILES_MAX, PartError, Plan};
use crate::audit::content::Content;
use crate::audit::export::{ExportError, Sink, head};
use crate::audit::feed_name::FeedName;
use crate::audit::segment::{Chunk, FrameKind};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb::{self, journal_entry::Event};
use crate::record::header::Header;
use bytes::Bytes;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

/// A part under way.
#[derive(Debug)]
pub struct PartWriter<S> {
    plan: Plan,
    sink: S,
    files: BTreeMap<Item, String>,
    index: u64,
    content: Option<Bytes>,
    feeds: BTreeMap<u16, FeedPlace>,
    /// The agencies whose keys the taken entries require, and below the versions of policy.
    partners: BTreeSet<AgencyName>,
    policies: BTreeSet<u64>,
}

/// The progress of reading a feed.
#[derive(Debug, Default)]
struct FeedPlace {
    index: u64,
    taken: u64,
    /// Entries were taken and their head is not published yet.
    unpublished: bool,
    /// Entries that were taken and not receipted yet.
    unreceipted: BTreeSet<u64>,
}

/// The extent to which an entry is taken: not at all, alone, or with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    No,
    Bare,
    Whole,
}

impl<S: Sink> PartWriter<S> {
    pub fn new(plan: Plan, sink: S) -> Self {
        Self {
            plan,
            sink,
            files: BTreeMap::new(),
            index: 0,
            content: None,
            feeds: BTreeMap::new(),
            partners: BTreeSet::new(),
            policies: BTreeSet::new(),
        }
    }

    /// Takes the next piece of the same segments. What was written since the first pass is left out.
    pub fn take(&mut self, chunk: &Chunk) -> Result<(), PartError> {
        for span in &chunk.spans {
            let payload = chunk.payload(*span);
            match span.kind {
                _ if self.index >= self.plan.journal.size() => return Ok(()),
                FrameKind::Content => self.content = Some(payload),
                FrameKind::Entry => self.entry(&payload)?,
                FrameKind::Feed => self.feed_entry(&payload)?,
                FrameKind::Commit => {}
            }
        }
        Ok(())
    }

    fn broken(&self, reason: impl ToString) -> PartError {
        ExportError::Entry { index: self.index, reason: reason.to_string() }.into()
    }

    fn file(&mut self, item: Item, bytes: &[u8]) -> Result<(), PartError> {
        if self.files.len() == PART_FILES_MAX {
            return Err(PartError::TooMuch);
        }
        self.sink.write(&item.to_string(), bytes).map_err(ExportError::Write)?;
        self.files.insert(item, sha256(bytes));
        Ok(())
    }

    fn entry(&mut self, bytes: &Bytes) -> Result<(), PartError> {
        let content = self.content.take();
        let entry = pb::JournalEntry::decode(bytes.clone()).map_err(|error| self.broken(error))?;
        let at = time(entry.at_ms).ok_or_else(|| self.broken("a time beyond 2100"))?;
        let wanted = match &entry.event {
            Some(event) => self.wants(event, at)?,
            None => Wanted::No,
        };
        if wanted != Wanted::No {
            self.prove(self.index, bytes)?;
        }
        if let (Wanted::Whole, Some(content)) = (wanted, content) {
            let content = self.for_evidence(content)?;
            self.file(Item::Content(self.index), &content)?;
        }
        self.index += 1;
        Ok(())
    }

    /// Content as the part may hold it: of what its originator keeps from proceedings, the commitments.
    fn for_evidence(&self, frame: Bytes) -> Result<Bytes, PartError> {
        let id = frame.first_chunk().copied().map(RecordId::from_bytes);
        let Some(kind) = id.and_then(|id| self.plan.kept_out.get(&id)) else { return Ok(frame) };
        let content = Content::read(&frame).map_err(|fault| self.broken(fault))?;
        Ok(if content.is_overwritten { frame } else { content.kept_out(*kind).into() })
    }

    fn prove(&mut self, index: u64, bytes: &Bytes) -> Result<(), PartError> {
        let proof = self.plan.journal.prove(index, bytes, &self.plan.note)?;
        self.file(Item::Entry(index), &proof)
    }

    fn wants(&mut self, event: &Event, at: Timestamp) -> Result<Wanted, PartError> {
        let is_neighbour = self.plan.neighbours.contains(&Some(self.index));
        let is_wanted = self.plan.selection.has(at) || self.is_about(event);
        // A reader checks the signatures of a neighbour too.
        if is_wanted || is_neighbour {
            self.needs(event)?;
        }
        Ok(match (is_wanted, is_neighbour) {
            (true, _) => Wanted::Whole,
            (false, true) => Wanted::Bare,
            (false, false) => Wanted::No,
        })
    }

    /// Returns true if an entry is about one of the records, or about their feed entries that were
    /// taken.
    fn is_about(&mut self, event: &Event) -> bool {
        let has = |id: Option<RecordId>| id.is_some_and(|id| self.plan.records.contains(&id));
        match event {
            Event::RecordAccepted(accepted) => {
                has(Some(crate::record::commit::record_id(&accepted.header)))
            }
            Event::SlotsReceived(received) => has(RecordId::try_from(&received.record_id[..]).ok()),
            Event::SlotsErased(erased) => RecordId::try_from(&erased.record_id[..])
                .is_ok_and(|id| has(Some(id)) || self.plan.erased.contains(&id)),
            Event::RecordRestricted(held) => has(RecordId::try_from(&held.record_id[..]).ok()),
            Event::RecordRetracted(event) => has(RecordId::try_from(&event.record_id[..]).ok()),
            Event::DisclosuresHeld(held) => {
                held.record_ids.iter().any(|id| has(RecordId::try_from(&id[..]).ok()))
            }
            Event::ErasureReported(event) => has(RecordId::try_from(&event.record_id[..]).ok()),
            Event::RecordReceivedAgain(event) => has(RecordId::try_from(&event.record_id[..]).ok()),
            Event::ProvenanceReceived(received) => received
                .records
                .iter()
                .any(|record| has(RecordId::try_from(&record.record_id[..]).ok())),
            Event::ConsentGiven(_) | Event::ConsentReceived(_) => {
                self.plan.consents.contains(&self.index)
            }
            Event::ActProposed(_) => self.plan.acts.contains(&self.index),
            Event::ActDecided(decided) => self.plan.acts.contains(&decided.proposal),
            Event::ErasureCompleted(completed) => self.plan.acts.contains(&completed.proposal),
            Event::FeedPublished(published) => self
                .feed_to(&published.partner)
                .is_some_and(|feed| std::mem::take(&mut feed.unpublished)),
            Event::ReceiptReceived(receipt) => {
                let size = head(&receipt.note).map_or(0, |head| head.size.get());
                self.feed_to(&receipt.partner).is_some_and(|feed| {
                    let later = feed.unreceipted.split_off(&size);
                    !std::mem::replace(&mut feed.unreceipted, later).is_empty()
                })
            }
            _ => false,
        }
    }

    fn feed_to(&mut self, partner: &str) -> Option<&mut FeedPlace> {
        // Those of the generation now, whose numbers are the greatest read so far.
        let is_to = |number: &u16| {
            self.plan.feeds.get(number).is_some_and(|feed| feed.name.partner.as_str() == partner)
        };
        let number = self.feeds.keys().rev().copied().find(is_to)?;
        self.feeds.get_mut(&number)
    }

    /// Notes whose card a reader needs.
    fn needs(&mut self, event: &Event) -> Result<(), PartError> {
        let partner = match event {
            Event::RecordAccepted(accepted) => {
                let header =
                    Header::decode(&accepted.header).map_err(|error| self.broken(error))?;
                self.partners.insert(header.originator);
                &accepted.partner
            }
            Event::SlotsReceived(received) => &received.partner,
            Event::FeedPublished(published) => &published.partner,
            Event::FeedReceived(received) => &received.partner,
            Event::FeedEntriesReceived(came) => &came.partner,
            Event::ReceiptReceived(receipt) => &receipt.partner,
            Event::SlotsErased(erased) => &erased.partner,
            Event::RecordRetracted(retracted) => &retracted.partner,
            Event::RecordRestricted(held) => &held.partner,
            Event::ErasureReported(reported) => &reported.partner,
            Event::DisclosuresHeld(held) => &held.partner,
            Event::HeldDecided(decided) => &decided.partner,
            Event::RecordReceivedAgain(received) => &received.partner,
            Event::ProvenanceReceived(received) => &received.partner,
            Event::RefusedOffered(offered) => &offered.partner,
            Event::ReceiptLost(lost) => &lost.partner,
            Event::ConsentReceived(received) => &received.partner,
            _ => return Ok(()),
        };
        self.partners.extend(partner.parse::<AgencyName>());
        Ok(())
    }

    fn feed_entry(&mut self, payload: &Bytes) -> Result<(), PartError> {
        let (number, bytes) =
            payload.split_first_chunk::<2>().ok_or_else(|| self.broken("an empty feed entry"))?;
        let number = u16::from_le_bytes(*number);
        let Some(feed) = self.plan.feeds.get(&number) else {
            return Err(self.broken("a feed entry without a partner"));
        };
        let place = self.feeds.entry(number).or_default();
        let index = place.index;
        place.index += 1;
        let entry = pb::FeedEntry::decode(bytes).map_err(|error| {
            PartError::Export(ExportError::Entry { index: self.index, reason: error.to_string() })
        })?;
        let id = RecordId::try_from(&entry.record_id[..]).ok();
        let is_wanted = id.is_some_and(|id| self.plan.records.contains(&id))
            || time(entry.at_ms).is_some_and(|at| self.plan.selection.has(at));
        if !is_wanted || index >= feed.log.size() {
            return Ok(());
        }
        place.taken += 1;
        place.unpublished = true;
        place.unreceipted.insert(index);
        let note = feed.note.as_ref().ok_or(ExportError::Empty)?;
        let (name, proof) = (feed.name.clone(), feed.log.prove(index, bytes, note)?);
        self.partners.insert(name.partner.clone());
        self.policies.insert(entry.policy_version);
        self.file(Item::Feed(name, index), &proof)
    }

    /// Writes what a reader needs to check it, and the manifest. Gives how much of the journal and of
    /// each feed was taken.
    pub fn finish(mut self) -> Result<(Share, BTreeMap<FeedName, Share>), PartError> {
        if self.index < self.plan.journal.size() {
            return Err(PartError::Changed);
        }
        for Key { index, bytes, of } in std::mem::take(&mut self.plan.keys) {
            let is_needed = match &of {
                KeyOf::Agency => true,
                KeyOf::Partner(partner) => self.partners.contains(partner),
                KeyOf::Policy(version) => self.policies.contains(version),
            };
            if is_needed && !self.files.contains_key(&Item::Entry(index)) {
                self.prove(index, &bytes)?;
            }
        }
        let note = self.plan.note.clone();
        self.file(Item::Checkpoint, &note)?;
        let here = self.files.keys().filter(|item| matches!(item, Item::Entry(_))).count() as u64;
        let journal = Share { here, of: self.plan.journal.size() };
        let taken = self.feeds.iter().filter(|(_, place)| place.taken > 0);
        let feeds: BTreeMap<FeedName, Share> = taken
            .filter_map(|(number, place)| {
                let feed = self.plan.feeds.get(number)?;
                Some((feed.name.clone(), Share { here: place.taken, of: feed.log.size() }))
            })
            .collect();
        let manifest = Manifest {
            agency: self.plan.agency,
            asked: self.plan.selection,
            journal,
            feeds: feeds.clone(),
            files: self.files,
        };
        let text = manifest.to_text();
        self.sink.write(MANIFEST, text.as_bytes()).map_err(ExportError::Write)?;
        Ok((journal, feeds))
    }
}

pub(super) fn time(ms: u64) -> Option<Timestamp> {
    Timestamp::from_unix_ms(i64::try_from(ms).ok()?).ok()
}
