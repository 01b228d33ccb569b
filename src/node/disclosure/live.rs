//! The journal as it grows: the entries that each new one requires in a partner's feed.

use super::discloser::Discloser;
use super::gathering::{Found, Gathering};
use crate::exchange::{FeedAction, Reason};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::journal::consents::{ConsentNews, consent_news};
use crate::journal::entry::{decode_feed, record_id};
use crate::journal::headers::{AcceptedHeader, header_of};
use crate::journal::ids::PartnerNumber;
use crate::journal::index::{Marks, RecordPlace};
use crate::journal::refusals::{DUTIES_MAX, NotTaken};
use crate::journal::search;
use crate::journal::series::newest;
use crate::journal::{JournalError, unless_damaged};
use crate::node::policies::rules::denied_by;
use crate::pb::{self, journal_entry::Event};
use crate::policy::RecordFacts;
use crate::record::commit;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::store::{KeyRange, Order, Table};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Records that refer to what came or went and are looked at in one step; when there are more,
/// everything is.
const REFERRERS_MAX: usize = 1_024;
/// A step that looked at so many records goes no further: one entry may be about thousands.
const STEP_RECORDS: u64 = 2_048;

/// A journal entry that may require entries in a partner's feed.
enum Considered {
    Record(Considering),
    Erasure {
        id: RecordId,
        order: pb::ErasureOrder,
    },
    /// Records that the brake held and two persons released.
    Again(Vec<RecordId>),
    /// Records for which the partner reported that it got no envelope.
    Lapsed(Vec<RecordId>),
    Consent(ConsentNews),
    /// Duties that are repeated because the partner refused them, while everything is looked at again for
    /// the records that it refused.
    Offer(Vec<pb::FeedEntry>),
}

/// A record that an entry is about.
struct Considering {
    record: Arc<Verified>,
    marks: Marks,
    /// The partner that brought the subject of the entry.
    source: Option<PartnerNumber>,
    news: News,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    /// It was submitted here and begins its series, which nobody could refer to before.
    Own,
    /// It was accepted.
    Revision,
    /// More of it is here.
    Slots,
    /// It came back into use, or went out of it.
    Use,
    /// A hold on it ended.
    EndOfHold,
}

impl Discloser {
    /// Considers journal entries from `start` on.
    pub(super) fn live(&mut self, start: u64, end: u64) -> Result<Found, JournalError> {
        let mut gathering = Gathering::begin(self, start)?;
        for index in start..end {
            if unless_damaged(self.consider_entry(index, &mut gathering))?.is_none() {
                gathering.pass_over(self, index);
            }
            gathering.reach(index + 1);
            if gathering.records() >= STEP_RECORDS {
                break;
            }
        }
        Ok(gathering.finish())
    }

    fn consider_entry(
        &mut self,
        index: u64,
        gathering: &mut Gathering,
    ) -> Result<(), JournalError> {
        match self.considered(index, gathering)? {
            Some(Considered::Record(of)) => {
                if of.news == News::EndOfHold {
                    gathering.answer(self, &of.record)?;
                }
                self.consider(&of, gathering)?;
            }
            Some(Considered::Erasure { id, order }) => gathering.erase(self, id, order)?,
            Some(Considered::Again(ids)) => self.look_at_all(ids, gathering)?,
            Some(Considered::Lapsed(ids)) => {
                gathering.lapse();
                self.look_at_all(ids, gathering)?;
            }
            Some(Considered::Consent(ConsentNews::Message(said))) => gathering.say(self, &said),
            Some(Considered::Consent(ConsentNews::Record(id))) => {
                self.look_at_all(vec![id], gathering)?;
            }
            Some(Considered::Consent(ConsentNews::All)) => gathering.rescan(),
            Some(Considered::Offer(duties)) => {
                for duty in duties {
                    gathering.repeat(self, duty)?;
                }
                gathering.rescan();
            }
            None => {}
        }
        Ok(())
    }

    fn look_at_all(
        &mut self,
        ids: Vec<RecordId>,
        gathering: &mut Gathering,
    ) -> Result<(), JournalError> {
        for id in ids {
            if let Some(series) = self.look_at_record_and_series(&id, gathering)? {
                self.look_at_referrers(series, gathering)?;
            }
        }
        Ok(())
    }

    fn consider(
        &mut self,
        of: &Considering,
        gathering: &mut Gathering,
    ) -> Result<(), JournalError> {
        let header = of.record.header();
        let series = header.series;
        let is_theirs = header.originator == self.agency || of.source == Some(self.number);
        let refers =
            !matches!(of.news, News::Own | News::Slots) && !self.referrers(series, 1)?.is_empty();
        let used = refers && self.uses_series_of(&of.record)?;
        if of.news != News::Slots {
            self.look_at_series(&of.record, of.marks, gathering)?;
        }
        if !is_theirs {
            gathering.bring(self, &of.record, of.marks, true)?;
        }
        if refers && self.may_turn(of, used)? {
            self.look_at_referrers(series, gathering)?;
        }
        Ok(())
    }

    /// Returns true if records that refer to this one have to be looked at. `used`: the partner had a
    /// revision of its series in use.
    fn may_turn(&mut self, of: &Considering, used: bool) -> Result<bool, JournalError> {
        // Hardly ever; what was found out about others may depend on it.
        if matches!(of.news, News::Use | News::EndOfHold) {
            self.forget_links();
            return self.may_know_of(&of.record);
        }
        self.turned(of.record.header().series, used)
    }

    /// Looks at the other revisions of a record's series: a newer one decides them too. A revision
    /// that the partner has nothing of is due only if it is as new.
    fn look_at_series(
        &mut self,
        record: &Verified,
        marks: Marks,
        gathering: &mut Gathering,
    ) -> Result<(), JournalError> {
        let header = record.header();
        // A withdrawal takes nothing back: the partner is told of it.
        let is_alone = header.revision == 1 && !marks.is_superseded();
        if is_alone || record.kind() == Kind::Withdrawal {
            return Ok(());
        }
        let members = self.members(header.series, &header.originator)?;
        let last = newest(&members).map(|member| member.revision).next();
        for member in members.iter().filter(|member| member.id != record.id()) {
            let is_newest = Some(member.revision) == last && member.kind != Kind::Withdrawal;
            if is_newest || self.told(&member.id)?.is_some_and(|told| told.is_live()) {
                self.look_again(&member.id, gathering)?;
            }
        }
        Ok(())
    }

    /// The same as [`Self::look_again`], and its series with it.
    fn look_at_record_and_series(
        &mut self,
        id: &RecordId,
        gathering: &mut Gathering,
    ) -> Result<Option<SeriesId>, JournalError> {
        let Some((place, record)) = self.view.placed_record(id)? else { return Ok(None) };
        self.look_at_series(&record, place.marks(), gathering)?;
        self.look_at(&record, &place, gathering)
    }

    /// Returns true if the partner has a record, or may have it apart from later events here. A
    /// record that it may not know of has no effect, not even on the order of the work.
    fn may_know_of(&mut self, record: &Verified) -> Result<bool, JournalError> {
        let known = self.told(&record.id())?.is_some();
        Ok(known || self.decide(&RecordFacts::from(record.header())).release.allowed)
    }

    /// Looks at the records that refer to a series, and at those that refer to what thereby comes
    /// or goes as a whole.
    fn look_at_referrers(
        &mut self,
        series: SeriesId,
        gathering: &mut Gathering,
    ) -> Result<(), JournalError> {
        let (mut waiting, mut seen) = (vec![series], BTreeSet::new());
        let mut room = REFERRERS_MAX;
        while let Some(series) = waiting.pop() {
            if !seen.insert(series) {
                continue;
            }
            let referrers = self.referrers(series, room + 1)?;
            if referrers.len() > room {
                gathering.rescan();
                return Ok(());
            }
            room -= referrers.len();
            for index in referrers {
                let Event::RecordAccepted(accepted) = self.view.event(index)?.1 else { continue };
                let id = commit::record_id(&accepted.header);
                waiting.extend(self.look_again(&id, gathering)?);
            }
        }
        Ok(())
    }

    /// Journal indexes of records that refer to a series.
    fn referrers(&self, series: SeriesId, most: usize) -> Result<Vec<u64>, JournalError> {
        if !self.view.may_be_referred_to(series)? {
            return Ok(Vec::new());
        }
        let range = KeyRange::prefix(search::linked_term(series));
        let found = self.view.index().scan(Table::Search, &range, Order::Ascending).take(most);
        let index = |pair: Result<(Vec<u8>, Vec<u8>), _>| Ok(search::journal_index(&pair?.0));
        found.map(index).filter_map(Result::transpose).collect()
    }

    /// Brings the feed to a record that is here. Gives its series if it came or went as a whole.
    pub(super) fn look_again(
        &mut self,
        id: &RecordId,
        gathering: &mut Gathering,
    ) -> Result<Option<SeriesId>, JournalError> {
        let Some((place, record)) = self.view.placed_record(id)? else { return Ok(None) };
        self.look_at(&record, &place, gathering)
    }

    fn look_at(
        &mut self,
        record: &Verified,
        place: &RecordPlace,
        gathering: &mut Gathering,
    ) -> Result<Option<SeriesId>, JournalError> {
        let header = record.header();
        if header.originator == self.agency || place.partner() == Some(self.number) {
            return Ok(None);
        }
        let turned = gathering.bring(self, record, place.marks(), false)?;
        Ok(turned.then_some(header.series))
    }

    /// Returns the subject of an entry; `None` if nothing can follow from it.
    fn considered(
        &mut self,
        index: u64,
        gathering: &mut Gathering,
    ) -> Result<Option<Considered>, JournalError> {
        if let Some((record, source)) = self.view.recently_accepted(index) {
            // Of the records of late only those in use are remembered.
            let news = news_of(&record, source);
            let marks = Marks::default();
            return Ok(Some(Considered::Record(Considering { record, marks, source, news })));
        }
        let (id, source, news) = match self.view.event(index)?.1 {
            Event::RecordAccepted(accepted) => {
                let header = header_of(index, &accepted)?;
                if self.decide_by_header(&header, gathering)? {
                    return Ok(None);
                }
                (header.id, Some(accepted.partner), News::Revision)
            }
            Event::SlotsReceived(received) => {
                (record_id(&received.record_id)?, Some(received.partner), News::Slots)
            }
            Event::SlotsErased(erased) => return self.on_erasure(erased),
            Event::RecordRestricted(pb::RecordRestricted {
                record_id: id,
                restricted: false,
                ..
            }) => (record_id(&id)?, None, News::EndOfHold),
            Event::RecordRetracted(retracted) => {
                (record_id(&retracted.record_id)?, None, News::Use)
            }
            Event::RecordReceivedAgain(received) => {
                (record_id(&received.record_id)?, None, News::Use)
            }
            Event::ReceiptReceived(receipt) if receipt.partner == self.agency.as_str() => {
                let entries = self.view.not_taken_entries(self.feed, &receipt.exceptions)?;
                let is_lapsed = |entry: &&NotTaken| {
                    FeedAction::shows_record(entry.action) && entry.reason == Reason::NotSupplied
                };
                let lapsed = entries.iter().filter(is_lapsed);
                let ids: Vec<_> = lapsed.map(|entry| entry.record).collect();
                return Ok((!ids.is_empty()).then_some(Considered::Lapsed(ids)));
            }
            Event::RefusedOffered(offered) if offered.partner == self.agency.as_str() => {
                return self.on_offer(&offered).map(Some);
            }
            Event::HeldDecided(decided)
                if decided.released && decided.partner == self.agency.as_str() =>
            {
                let mut ids = Vec::new();
                for entry in &decided.held {
                    ids.extend(self.view.held_records(*entry)?);
                }
                return Ok(Some(Considered::Again(ids)));
            }
            event => {
                return Ok(consent_news(&event, &self.agency)?.map(Considered::Consent));
            }
        };
        let Some((place, record)) = self.view.placed_record(&id)? else { return Ok(None) };
        let source = match source {
            Some(name) => self.number_of(&name),
            None => place.partner(),
        };
        let news = match news {
            News::Revision => news_of(&record, source),
            other => other,
        };
        let (record, marks) = (Arc::new(record), place.marks());
        Ok(Some(Considered::Record(Considering { record, marks, source, news })))
    }

    /// Decides an accepted record by its header if no other record depends on it, and if the partner itself gave it or
    /// is denied it and has nothing of it. Returns false if the record must be read.
    fn decide_by_header(
        &mut self,
        accepted: &AcceptedHeader,
        gathering: &mut Gathering,
    ) -> Result<bool, JournalError> {
        let AcceptedHeader { journal_index, id, header, partner, .. } = accepted;
        let is_first = header.revision == 1 && header.kind != Kind::Withdrawal;
        if !is_first || (partner.is_some() && self.view.may_be_referred_to(header.series)?) {
            return Ok(false);
        }
        let is_theirs = header.originator == self.agency || partner.as_ref() == Some(&self.agency);
        let mut denial = None;
        if !is_theirs {
            let facts = self.facts_of(id, header);
            let decision = self.decide(&facts);
            if decision.release.allowed || decision.erred() || self.told(id)?.is_some() {
                return Ok(false);
            }
            denial = Some(denied_by(&decision));
        }
        // Another revision may depend on it.
        if self.view.is_superseded(*journal_index)? {
            return Ok(false);
        }
        denial.into_iter().for_each(|policy| gathering.deny(policy));
        Ok(true)
    }

    /// The duty to erase, unless the partner laid it on us itself.
    fn on_erasure(&self, erased: pb::SlotsErased) -> Result<Option<Considered>, JournalError> {
        let pb::SlotsErased { record_id: id, order, partner, .. } = erased;
        let Some(order) = order.filter(|_| partner != self.agency.as_str()) else {
            return Ok(None);
        };
        Ok(Some(Considered::Erasure { id: record_id(&id)?, order }))
    }

    fn on_offer(&self, offered: &pb::RefusedOffered) -> Result<Considered, JournalError> {
        let (from, to) = (offered.feed_from, offered.feed_size);
        let mut duties = Vec::new();
        for duty in self.view.refused_duties(self.feed, from, to, DUTIES_MAX)? {
            let index = duty.feed_index;
            for bytes in self.view.feed_entries(self.feed, index..index + 1)? {
                let duty = decode_feed(index, &bytes)?;
                duties.extend((duty.action() == pb::FeedAction::Erase).then_some(duty));
            }
        }
        Ok(Considered::Offer(duties))
    }

    fn number_of(&self, agency: &str) -> Option<PartnerNumber> {
        let agency = agency.parse::<AgencyName>().ok()?;
        let snapshot = self.view.snapshot();
        snapshot.state.partners.get(&agency).map(|partner| partner.number)
    }
}

fn news_of(record: &Verified, source: Option<PartnerNumber>) -> News {
    if source.is_none() && record.header().revision == 1 { News::Own } else { News::Revision }
}
