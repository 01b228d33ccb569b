//! The decision on what a partner may have of a record now: policy, use of the record here, and
//! references.
//!
//! The one decision for everything that goes to a partner and for everything that is taken back.
//! It reads and never writes.

use super::brake::Brake;
use super::reader::{ConsentsInForce, JournalReader};
use super::rules::{PartnerRules, denied_by, release_facts};
use super::series_head::SeriesHead;
use super::standing::{Disclosure, Marks};
use crate::exchange::{Allowed, Disclosed, SeriesVerdict};
use crate::ident::{AgencyName, FeedNumber, PartnerNumber, PolicyVersion, RecordId, SeriesId};
use crate::policy::{
    BrakeLimits, Decision, MemoDecider, PartnerFacts, PolicyHour, RecordFacts, Selector,
};
use crate::record::header::Header;
use crate::record::kind::{Kind, SlotClass};
use crate::record::signed::{Slot, Verified};
use crate::record::slots::{SlotMask, SlotNumber};
use std::collections::HashMap;
use std::sync::Arc;

/// Records in a row of which each is shown only if the next is: an answer to a request about an
/// opinion is three. Beyond that, and in a circle, nothing is shown.
const SUBJECTS_MAX: usize = 8;

/// A series, whose id another agency may have copied.
type SeriesKey = (SeriesId, AgencyName);

/// The last series that was decided: its revisions are asked about one after the other.
type LastSeries = Option<(SeriesKey, SeriesVerdict)>;

/// The basis of decisions. An auditor makes each decision again from the journal at the place of
/// the entry, so this may not have changed in between.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// The journal entry from which the rules hold for the partner.
    pub rules: u64,
    pub version: PolicyVersion,
    pub facts: PartnerFacts,
    pub policy_hour: PolicyHour,
    /// Entries that narrowed a series.
    pub narrowings: u64,
    /// Changes of the consents in force.
    pub consents: u64,
}

/// The part of a record that may be shown, and the reason if it may not.
pub struct Verdict {
    pub allowed: Allowed,
    /// The deciding policy, where one denied.
    pub(super) denied_by: Option<String>,
    pub(super) erred: bool,
}

impl Verdict {
    const fn silent(allowed: Allowed) -> Self {
        Self { allowed, denied_by: None, erred: false }
    }
}

/// Decides for one partner under one set of rules, in one hour.
pub struct Discloser<R> {
    pub(super) reader: Arc<R>,
    pub(super) agency: AgencyName,
    pub(super) number: PartnerNumber,
    pub(super) feed: FeedNumber,
    rules: PartnerRules,
    pub(super) policy_hour: PolicyHour,
    pub(super) brake: Brake,
    consents: ConsentsInForce,
    pub(super) selector: Selector,
    decider: MemoDecider,
    /// The feed index below which every refused record is offered again.
    offered_below: u64,
    /// The disclosures of this step.
    shown: HashMap<RecordId, Disclosure>,
    /// True for a series that the partner may see, as far as it was asked since the last step
    /// began.
    links: HashMap<SeriesId, bool>,
    /// The series that are being asked about.
    asking: Vec<SeriesId>,
    pub(super) last_series: LastSeries,
    /// Entries that the journal had at the time that is asked about; `None`: all.
    pub(super) size: Option<u64>,
}

impl<R: JournalReader> Discloser<R> {
    /// Returns `None` if the agency is not a partner of this node.
    pub fn new(
        reader: &Arc<R>,
        rules: PartnerRules,
        agency: &AgencyName,
        policy_hour: PolicyHour,
        limits: BrakeLimits,
    ) -> Option<Self> {
        let partner = reader.partner(agency)?;
        Some(Self {
            feed: partner.feed,
            number: partner.number,
            reader: Arc::clone(reader),
            consents: reader.consents(),
            agency: agency.clone(),
            selector: Selector::new(&rules.compiled, &rules.facts, &policy_hour),
            decider: MemoDecider::new(Arc::clone(&rules.compiled)),
            policy_hour,
            rules,
            offered_below: 0,
            shown: HashMap::new(),
            links: HashMap::new(),
            asking: Vec::new(),
            last_series: None,
            size: None,
            brake: Brake::new(limits),
        })
    }

    /// The same for a time when the journal had this size and these consents were in force.
    #[must_use]
    pub fn at_size(self, size: u64, consents: ConsentsInForce) -> Self {
        Self { consents, size: Some(size), ..self }
    }

    /// Returns true if it decides under these rules, in this hour, with the consents now in force.
    pub fn is_current(&self, rules: &PartnerRules, policy_hour: &PolicyHour) -> bool {
        self.rules.are(rules)
            && self.policy_hour == *policy_hour
            && self.consents.changes == self.reader.consents().changes
    }

    /// Returns the facts of a record that policy sees.
    pub(super) fn facts_of(&self, id: &RecordId, header: &Header) -> RecordFacts {
        release_facts(id, header, self.consents.consents(), &self.policy_hour)
    }

    /// Returns the basis of its decisions, where so many entries narrowed a series.
    pub fn basis(&self, narrowings: u64) -> Basis {
        Basis {
            rules: self.rules.since,
            version: self.rules.version,
            facts: self.rules.facts.clone(),
            policy_hour: self.policy_hour.clone(),
            narrowings,
            consents: self.consents.changes,
        }
    }

    pub(super) fn version(&self) -> PolicyVersion {
        self.rules.version
    }

    /// The partner is active and its agreement runs: otherwise everything is denied for that alone.
    pub fn is_in_standing(&self) -> bool {
        self.rules.facts.is_in_standing(&self.policy_hour)
    }

    /// Begins a step, and forgets the answers about references: records come and change between
    /// steps.
    pub fn begin(&mut self) {
        self.shown.clear();
        self.forget_links();
        let partner = self.reader.partner(&self.agency);
        self.offered_below = partner.map_or(0, |partner| partner.offered_below);
    }

    pub(super) fn forget_links(&mut self) {
        self.links.clear();
        self.asking.clear();
        self.last_series = None;
    }

    pub(super) fn decide(&mut self, record: &RecordFacts) -> Arc<Decision> {
        self.decider.decide(&self.rules.facts, record, &self.policy_hour)
    }

    /// Returns true if time alone denies this record, which contains its own expiry.
    pub(super) fn is_expired(&self, record: &RecordFacts) -> bool {
        record.expires_hour.is_some_and(|expires| expires <= self.policy_hour.hour())
    }

    /// Returns the disclosure of a record in the present feed, that of this step too.
    pub fn disclosure(&self, id: &RecordId) -> Result<Option<Disclosure>, R::Error> {
        match self.shown.get(id) {
            Some(disclosure) => Ok(Some(*disclosure)),
            None => self.reader.disclosure(self.feed, id),
        }
    }

    /// The same, or what feeds that the present one succeeds gave of it.
    pub fn told(&self, id: &RecordId) -> Result<Option<Disclosed>, R::Error> {
        self.told_beside(self.disclosure(id)?, id)
    }

    /// Returns the same for a caller that knows the state in the present feed.
    pub(super) fn told_beside(
        &self,
        here: Option<Disclosure>,
        id: &RecordId,
    ) -> Result<Option<Disclosed>, R::Error> {
        // What was refused below the last offer is owed again.
        let here = here.map(|here| match here.feed_index < self.offered_below {
            true => here.disclosed.offered_again(),
            false => here.disclosed,
        });
        match here {
            Some(here) if !here.is_earlier => Ok(Some(here)),
            _ => Ok(self.reader.disclosed_before(self.number, id)?.map(Disclosed::earlier)),
        }
    }

    /// Notes what this step disclosed, so that what it looks at later knows.
    pub(super) fn note(&mut self, id: RecordId, disclosure: Disclosure) {
        self.shown.insert(id, disclosure);
        self.last_series = None;
    }

    /// Returns the part of this record that the partner may have now.
    pub fn verdict(&mut self, record: &Verified, marks: Marks) -> Result<Verdict, R::Error> {
        let facts = self.facts_of(&record.id(), record.header());
        if record.kind() == Kind::Withdrawal {
            return self.on_withdrawal(record, &facts, marks);
        }
        let mut verdict = self.released(record, &facts, marks)?;
        if matches!(verdict.allowed, Allowed::Slots { .. }) {
            let revealed = record.slots_in(self.decide(&facts).revealed);
            let open = self.without_hidden_links(record, revealed.and(record.open_slots()))?;
            verdict.allowed = Allowed::Slots { open, erased: record.erased_slots() };
        }
        if let Some((series, place)) = self.series_of(record.header(), marks)? {
            verdict.allowed = series.limit(verdict.allowed, record.kind(), place);
        }
        Ok(verdict)
    }

    /// The verdict on the record as a whole; its slots are not looked at, but for those that it is
    /// about.
    pub(super) fn released(
        &mut self,
        record: &Verified,
        facts: &RecordFacts,
        marks: Marks,
    ) -> Result<Verdict, R::Error> {
        let decision = self.decide(facts);
        let denied = !decision.release.allowed;
        let verdict = |allowed| Verdict {
            allowed,
            denied_by: denied.then(|| denied_by(&decision)),
            erred: decision.erred(),
        };
        if marks.is_retracted() {
            return Ok(Verdict::silent(Allowed::Nothing));
        }
        if self.is_expired(facts) || !self.is_in_standing() {
            return Ok(verdict(Allowed::AsItIs));
        }
        if denied {
            return Ok(verdict(Allowed::Nothing));
        }
        if marks.is_restricted() {
            return Ok(Verdict::silent(Allowed::AsItIs));
        }
        let slots = Allowed::Slots { open: record.open_slots(), erased: record.erased_slots() };
        Ok(match self.sees_subject(record)? {
            Some(true) => verdict(slots),
            Some(false) => Verdict::silent(Allowed::Nothing),
            None => Verdict::silent(Allowed::AsItIs),
        })
    }

    /// Decides on a withdrawal: it goes wherever anything of its series went, whatever policy now
    /// decides on it.
    fn on_withdrawal(
        &mut self,
        record: &Verified,
        facts: &RecordFacts,
        marks: Marks,
    ) -> Result<Verdict, R::Error> {
        let decision = self.decide(facts);
        if !marks.is_usable() || !self.is_in_standing() {
            return Ok(Verdict::silent(Allowed::AsItIs));
        }
        if !self.was_given_series_of(record)? {
            let denied_by = (!decision.release.allowed).then(|| denied_by(&decision));
            let erred = decision.erred();
            return Ok(Verdict { allowed: Allowed::Nothing, denied_by, erred });
        }
        let slots = record.slots_in(decision.revealed.with(SlotClass::Core));
        let open = slots.and(record.open_slots());
        let erased = record.erased_slots();
        Ok(Verdict::silent(Allowed::Slots { open, erased }))
    }

    /// Returns true if the partner sees everything that this record is about; `None` if that slot
    /// is not here.
    fn sees_subject(&mut self, record: &Verified) -> Result<Option<bool>, R::Error> {
        let mut is_known = true;
        for number in record.kind().subject_slots() {
            let is_open = matches!(record.slots().get(number.row()), Some(Slot::Open { .. }));
            is_known &= is_open;
            for series in record.references(number) {
                if !self.sees_series(series)? {
                    return Ok(Some(false));
                }
            }
        }
        Ok(is_known.then_some(true))
    }

    /// A reference to what the partner may not see is a disclosure, so its whole slot is withheld.
    fn without_hidden_links(
        &mut self,
        record: &Verified,
        open: SlotMask,
    ) -> Result<SlotMask, R::Error> {
        let mut hidden = SlotMask::NONE;
        for number in record.kind().reference_slots().filter(|number| open.contains(*number)) {
            for series in record.references(number) {
                if !self.sees_series(series)? {
                    hidden = hidden.with(number);
                }
            }
        }
        Ok(open.without(hidden))
    }

    pub fn sees_series(&mut self, series: SeriesId) -> Result<bool, R::Error> {
        if let Some(seen) = self.links.get(&series) {
            return Ok(*seen);
        }
        if self.asking.len() >= SUBJECTS_MAX || self.asking.contains(&series) {
            return Ok(false);
        }
        self.asking.push(series);
        let seen = self.sees_original(series);
        self.asking.pop();
        let seen = seen?;
        // Within a question about another series, "no" may only mean that this is a circle.
        if seen || self.asking.is_empty() {
            self.links.insert(series, seen);
        }
        Ok(seen)
    }

    /// Returns whether the partner may know of what a reference means: of agencies with records under
    /// one series id, the one whose was here first. The others copied the id, and neither show nor hide
    /// with their copy what hangs on the original.
    fn sees_original(&mut self, series: SeriesId) -> Result<bool, R::Error> {
        let mut first: Option<(u64, AgencyName, SeriesHead)> = None;
        for (originator, head) in self.reader.series_by_originator(series)? {
            let Some(begin) = self.begin_of(series, &originator, &head)? else { continue };
            if first.as_ref().is_none_or(|(before, ..)| begin < *before) {
                first = Some((begin, originator, head));
            }
        }
        match first {
            Some((_, originator, head)) => self.sees_series_of(series, &originator, &head),
            None => Ok(false),
        }
    }

    /// Returns whether the partner's sight of a series turned since it had a revision in use, or had none.
    pub(super) fn turned(&mut self, series: SeriesId, used: bool) -> Result<bool, R::Error> {
        self.links.remove(&series);
        let turned = self.sees_series(series)? != used;
        if turned {
            // Whatever is seen only with it was asked about before.
            self.links.clear();
        }
        Ok(turned)
    }
}

/// Returns true if these slots hold no reference, and the record is not about one. Then the header
/// alone shows that a partner has what it may have.
pub(super) fn is_plain(kind: Kind, slots: SlotMask) -> bool {
    let refers = |number: SlotNumber| slots.contains(number);
    kind != Kind::Withdrawal
        && kind.subject_slots().next().is_none()
        && !kind.reference_slots().any(refers)
}

/// Returns true if a partner certainly has exactly these slots of a record.
pub(super) fn has(disclosed: &Disclosed, slots: SlotMask) -> bool {
    let Disclosed { is_retracted, is_lapsed, is_earlier, .. } = *disclosed;
    !(is_retracted || is_lapsed || is_earlier) && disclosed.slots == slots
}
