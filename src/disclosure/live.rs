//! The journal as it grows: the entries that each new one requires in a partner's feed.

use super::accepted::AcceptedHeader;
use super::consent_news::{ConsentNews, consent_news};
use super::discloser::Discloser;
use super::gathering::{Found, Gathering};
use super::read_error::{record_id, unless_damaged};
use super::reader::JournalReader;
use super::rules::denied_by;
use super::series_head::newest;
use super::standing::{Marks, Standing};
use crate::exchange::{FeedAction, Reason};
use crate::ident::{AgencyName, PartnerNumber, RecordId, SeriesId};
use crate::pb::{self, journal_entry::Event};
use crate::policy::RecordFacts;
use crate::record::commit;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Records that refer to what came or went and are looked at in one step; when there are more,
/// everything is.
const REFERRERS_MAX: usize = 1_024;
/// Refused duties that are offered again at once; more than one batch of a feed is never under way for
/// duties alone.
const DUTIES_MAX: usize = 1_024;
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

impl<R: JournalReader> Discloser<R> {
    /// Considers journal entries from `start` on.
    pub fn live(&mut self, start: u64, end: u64) -> Result<Found, R::Error> {
        let mut gathering = Gathering::begin(self, start)?;
        for index in start..end {
            if unless_damaged(self.consider_entry(index, &mut gathering))?.is_none() {
                gathering.pass_over(index);
            }
            gathering.reach(index + 1);
            if gathering.records() >= STEP_RECORDS {
                break;
            }
        }
        Ok(gathering.finish())
    }

    fn consider_entry(&mut self, index: u64, gathering: &mut Gathering) -> Result<(), R::Error> {
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
            Some(Considered::Consent(ConsentNews::Message(message))) => {
                gathering.send(self, &message);
            }
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
    ) -> Result<(), R::Error> {
        for id in ids {
            if let Some(series) = self.look_at_record_and_series(&id, gathering)? {
                self.look_at_referrers(series, gathering)?;
            }
        }
        Ok(())
    }

    fn consider(&mut self, of: &Considering, gathering: &mut Gathering) -> Result<(), R::Error> {
        let header = of.record.header();
        let series = header.series;
        let is_theirs = header.originator == self.agency || of.source == Some(self.number);
        let refers =
            !matches!(of.news, News::Own | News::Slots) && !self.referrers(series, 1)?.is_empty();
        let used = refers && self.uses_series_of(&of.record)?;
        let entries = gathering.entries();
        if of.news != News::Slots {
            self.look_at_series(&of.record, of.marks, gathering)?;
        }
        if !is_theirs {
            gathering.bring(self, &of.record, of.marks, true)?;
        }
        // What the partner uses may be what it no longer sees, until other rules have looked at that. So whatever comes
        // or goes counts too.
        let moved = gathering.entries() != entries;
        if refers && (self.may_turn(of, used, is_theirs)? || moved) {
            self.look_at_referrers(series, gathering)?;
        }
        Ok(())
    }

    /// Returns true if records that refer to this one have to be looked at. `used`: the partner had a
    /// revision of its series in use. `is_theirs`: it gave the record itself.
    fn may_turn(
        &mut self,
        of: &Considering,
        used: bool,
        is_theirs: bool,
    ) -> Result<bool, R::Error> {
        // Hardly ever; what was found out about others may depend on it.
        if matches!(of.news, News::Use | News::EndOfHold) {
            self.forget_links();
            return Ok(is_theirs || self.may_know_of(&of.record)?);
        }
        self.turned(of.record.header().series, used)
    }

    /// Looks at the other revisions of a record's series: a newer one decides them too. A revision
    /// that the partner has nothing of is due only if it is as new. Returns true if one came or went as a whole.
    fn look_at_series(
        &mut self,
        record: &Verified,
        marks: Marks,
        gathering: &mut Gathering,
    ) -> Result<bool, R::Error> {
        let header = record.header();
        // A withdrawal takes nothing back: the partner is told of it.
        let is_alone = header.revision == 1 && !marks.is_superseded();
        if is_alone || record.kind() == Kind::Withdrawal {
            return Ok(false);
        }
        let mut turned = false;
        let members = self.members(header.series, &header.originator)?;
        let last = newest(&members).map(|member| member.revision).next();
        for member in members.iter().filter(|member| member.id != record.id()) {
            let is_newest = Some(member.revision) == last && member.kind != Kind::Withdrawal;
            if is_newest || self.told(&member.id)?.is_some_and(|told| told.is_live()) {
                turned |= self.look_again(&member.id, gathering)?.is_some();
            }
        }
        Ok(turned)
    }

    /// The same as [`Self::look_again`], for a record with its series.
    fn look_at_record_and_series(
        &mut self,
        id: &RecordId,
        gathering: &mut Gathering,
    ) -> Result<Option<SeriesId>, R::Error> {
        let Some((record, standing)) = self.reader.record_and_standing(id)? else {
            return Ok(None);
        };
        let beside = self.look_at_series(&record, standing.marks, gathering)?;
        let turned = self.look_at(&record, &standing, gathering)?;
        Ok(turned.or_else(|| beside.then(|| record.header().series)))
    }

    /// Returns true if the partner has a record, or may have it apart from later events here. A
    /// record that it may not know of has no effect, not even on the order of the work.
    fn may_know_of(&mut self, record: &Verified) -> Result<bool, R::Error> {
        let known = self.told(&record.id())?.is_some();
        Ok(known || self.decide(&RecordFacts::from(record.header())).release.allowed)
    }

    /// Looks at the records that refer to a series, and at those that refer to what thereby comes
    /// or goes as a whole.
    fn look_at_referrers(
        &mut self,
        series: SeriesId,
        gathering: &mut Gathering,
    ) -> Result<(), R::Error> {
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
                let Event::RecordAccepted(accepted) = self.reader.entry(index)? else { continue };
                let id = commit::record_id(&accepted.header);
                waiting.extend(self.look_again(&id, gathering)?);
            }
        }
        Ok(())
    }

    /// Journal indexes of records that refer to a series.
    fn referrers(&self, series: SeriesId, most: usize) -> Result<Vec<u64>, R::Error> {
        match self.reader.may_be_referred_to(series)? {
            true => self.reader.referrers(series, most),
            false => Ok(Vec::new()),
        }
    }

    /// Brings the feed to a record that is here. Gives its series if it came or went as a whole.
    pub(super) fn look_again(
        &mut self,
        id: &RecordId,
        gathering: &mut Gathering,
    ) -> Result<Option<SeriesId>, R::Error> {
        let Some((record, standing)) = self.reader.record_and_standing(id)? else {
            return Ok(None);
        };
        self.look_at(&record, &standing, gathering)
    }

    fn look_at(
        &mut self,
        record: &Verified,
        standing: &Standing,
        gathering: &mut Gathering,
    ) -> Result<Option<SeriesId>, R::Error> {
        let header = record.header();
        if header.originator == self.agency || standing.partner == Some(self.number) {
            return Ok(None);
        }
        let turned = gathering.bring(self, record, standing.marks, false)?;
        Ok(turned.then_some(header.series))
    }

    /// Returns the subject of an entry; `None` if nothing can follow from it.
    fn considered(
        &mut self,
        index: u64,
        gathering: &mut Gathering,
    ) -> Result<Option<Considered>, R::Error> {
        if let Some((record, source)) = self.reader.recently_accepted(index) {
            // Of the records of late only those in use are remembered.
            let news = news_of(&record, source);
            let marks = Marks::default();
            return Ok(Some(Considered::Record(Considering { record, marks, source, news })));
        }
        let (id, source, news) = match self.reader.entry(index)? {
            Event::RecordAccepted(accepted) => {
                let header = AcceptedHeader::decode(index, &accepted)?;
                if self.decide_by_header(&header, gathering)? {
                    return Ok(None);
                }
                (header.id, Some(accepted.partner), News::Revision)
            }
            Event::SlotsReceived(received) => {
                (record_id(index, &received.record_id)?, Some(received.partner), News::Slots)
            }
            Event::SlotsErased(erased) => return self.on_erasure(index, erased),
            Event::RecordRestricted(pb::RecordRestricted {
                record_id: id,
                restricted: false,
                ..
            }) => (record_id(index, &id)?, None, News::EndOfHold),
            Event::RecordRetracted(retracted) => {
                (record_id(index, &retracted.record_id)?, None, News::Use)
            }
            Event::RecordReceivedAgain(received) => {
                (record_id(index, &received.record_id)?, None, News::Use)
            }
            Event::ReceiptReceived(receipt) if receipt.partner == self.agency.as_str() => {
                let ids = self.lapsed(&receipt.exceptions)?;
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
                    ids.extend(self.reader.held_records(*entry)?);
                }
                return Ok(Some(Considered::Again(ids)));
            }
            event => {
                return Ok(consent_news(index, &event, &self.agency)?.map(Considered::Consent));
            }
        };
        let Some((record, standing)) = self.reader.record_and_standing(&id)? else {
            return Ok(None);
        };
        let source = match source {
            Some(name) => self.number_of(&name),
            None => standing.partner,
        };
        let news = match news {
            News::Revision => news_of(&record, source),
            other => other,
        };
        let marks = standing.marks;
        Ok(Some(Considered::Record(Considering { record, marks, source, news })))
    }

    /// Decides an accepted record by its header if no other record depends on it, and if the partner itself gave it or
    /// is denied it and has nothing of it. Returns false if the record must be read.
    fn decide_by_header(
        &mut self,
        accepted: &AcceptedHeader,
        gathering: &mut Gathering,
    ) -> Result<bool, R::Error> {
        let AcceptedHeader { journal_index, id, header, partner, .. } = accepted;
        let is_first = header.revision == 1 && header.kind != Kind::Withdrawal;
        if !is_first || (partner.is_some() && self.reader.may_be_referred_to(header.series)?) {
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
        if self.reader.is_superseded(*journal_index)? {
            return Ok(false);
        }
        denial.into_iter().for_each(|policy| gathering.deny(policy));
        Ok(true)
    }

    /// The duty to erase, unless the partner laid it on us itself.
    fn on_erasure(
        &self,
        index: u64,
        erased: pb::SlotsErased,
    ) -> Result<Option<Considered>, R::Error> {
        let pb::SlotsErased { record_id: id, order, partner, .. } = erased;
        let Some(order) = order.filter(|_| partner != self.agency.as_str()) else {
            return Ok(None);
        };
        Ok(Some(Considered::Erasure { id: record_id(index, &id)?, order }))
    }

    fn on_offer(&self, offered: &pb::RefusedOffered) -> Result<Considered, R::Error> {
        let range = offered.feed_from..offered.feed_size;
        let mut duties = Vec::new();
        for index in self.reader.refused_duties(self.feed, range, DUTIES_MAX)? {
            let duty = self.reader.feed_entry(self.feed, index)?;
            duties.extend(duty.filter(|duty| duty.action() == pb::FeedAction::Erase));
        }
        Ok(Considered::Offer(duties))
    }

    /// Returns the records of which the partner reports in a receipt that their entries came without them.
    fn lapsed(&self, exceptions: &[pb::FeedException]) -> Result<Vec<RecordId>, R::Error> {
        let mut ids = Vec::new();
        for exception in exceptions {
            if Reason::try_from(exception.reason) != Ok(Reason::NotSupplied) {
                continue;
            }
            let entry = self.reader.feed_entry(self.feed, exception.index)?;
            if let Some(entry) = entry.filter(|entry| FeedAction::shows_record(entry.action())) {
                ids.push(record_id(exception.index, &entry.record_id)?);
            }
        }
        Ok(ids)
    }

    fn number_of(&self, agency: &str) -> Option<PartnerNumber> {
        let agency = agency.parse::<AgencyName>().ok()?;
        Some(self.reader.partner(&agency)?.number)
    }
}

fn news_of(record: &Verified, source: Option<PartnerNumber>) -> News {
    if source.is_none() && record.header().revision == 1 { News::Own } else { News::Revision }
}
