//! What goes to a partner: from accepted records to entries of its feed.
//!
//! One task a partner walks the journal. The fast selection finds candidates, Cedar has the last
//! word, and what is disclosed stands in the feed before it leaves. Nothing here sends anything.

use super::partners::policy_facts;
use super::policies::{Rules, denied_by, record_facts};
use super::{Node, NodeError};
use crate::exchange::{HeadSpacing, LAG_ENTRIES_MAX};
use crate::ident::{AgencyName, PolicyVersion, RecordId, SeriesId};
use crate::journal::JournalError;
use crate::journal::gate::Closed;
use crate::journal::index::Disclosure;
use crate::journal::state::{FeedNumber, PartnerNumber};
use crate::journal::transaction::Transaction;
use crate::journal::view::View;
use crate::pb::{self, journal_entry::Event};
use crate::policy::{Decision, MemoDecider, Moment, PartnerFacts, RecordFacts, Selector};
use crate::record::kind::{Kind, SlotClass};
use crate::record::signed::Verified;
use crate::record::slots::{SlotMask, SlotNumber};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

/// Journal entries considered in one step; between steps the task looks at what changed.
const STEP_ENTRIES: u64 = 2_048;
/// A partner to whom nothing goes has its position written down this often, so that a restart
/// considers at most so many entries again.
const POSITION_EVERY: u64 = 100_000;
/// Revisions of a series looked at to find whether a partner holds any of them.
const CHAIN_MAX: usize = 64;

/// Entries of a feed that get a head of their own.
#[derive(Default)]
struct Run {
    entries: Vec<pb::FeedEntry>,
    /// What was disclosed of each record before.
    before: Vec<Option<Disclosure>>,
    /// Fields that were here and are not disclosed.
    withheld: u64,
}

/// What one step found.
#[derive(Default)]
pub(super) struct Found {
    runs: Vec<Run>,
    /// Entries of the feed when the step began.
    feed_size: u64,
    considered: u64,
    denied: BTreeMap<String, u64>,
    erred: u64,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.runs.iter().all(|run| run.entries.is_empty())
    }
}

/// What decisions were made on. An auditor decides each anew from what the journal says where the
/// entry stands, so nothing of this may have changed in between.
struct Basis {
    version: PolicyVersion,
    facts: PartnerFacts,
    moment: Moment,
    narrowings: u64,
}

impl Basis {
    fn holds(&self, tx: &Transaction<'_>, agency: &AgencyName) -> bool {
        let state = tx.state();
        let facts = state.partners.get(agency).map(|partner| policy_facts(agency, partner));
        state.policy_version() == self.version
            && matches!(facts, Some(Ok(facts)) if facts == self.facts)
            && tx.now().hour() == self.moment.hour()
            && state.narrowings == self.narrowings
    }
}

/// What a journal entry may make owing to a partner.
enum Considered {
    /// A record, with the partner that it came from.
    Record(Arc<Verified>, Option<PartnerNumber>),
    Erasure(Box<pb::SlotsErased>),
}

/// An entry that the feed is to have.
struct Owed {
    entry: pb::FeedEntry,
    /// What was disclosed of its record before.
    before: Option<Disclosure>,
    record: RecordId,
    /// Of its envelope, at the most.
    bytes: usize,
    /// Fields that are here and not in it.
    withheld: u64,
}

/// Decides for one partner under one set of rules.
pub(super) struct Discloser {
    view: Arc<View>,
    agency: AgencyName,
    number: PartnerNumber,
    feed: FeedNumber,
    rules: Arc<Rules>,
    facts: PartnerFacts,
    moment: Moment,
    selector: Selector,
    decider: MemoDecider,
    links: HashMap<SeriesId, bool>,
}

impl Discloser {
    pub(super) fn new(
        view: &Arc<View>,
        rules: Arc<Rules>,
        agency: &AgencyName,
        number: PartnerNumber,
        moment: Moment,
    ) -> Option<Self> {
        let facts = rules.partners.get(agency)?.clone();
        let feed = view.snapshot().state.partners.get(agency)?.feed;
        Some(Self {
            feed,
            view: Arc::clone(view),
            agency: agency.clone(),
            number,
            selector: Selector::new(&rules.compiled, &facts, &moment),
            decider: MemoDecider::new(Arc::clone(&rules.compiled)),
            facts,
            moment,
            rules,
            links: HashMap::new(),
        })
    }

    pub(super) fn is_current(&self, rules: &Arc<Rules>, moment: &Moment) -> bool {
        Arc::ptr_eq(&self.rules, rules) && self.moment == *moment
    }

    fn basis(&self, narrowings: u64) -> Basis {
        let (version, facts) = (self.rules.version, self.facts.clone());
        Basis { version, facts, moment: self.moment.clone(), narrowings }
    }

    fn decide(&mut self, record: &RecordFacts) -> Arc<Decision> {
        self.decider.decide(&self.facts, record, &self.moment)
    }

    /// What of this record the partner may have now; `None` if nothing, not even its header.
    pub(super) fn permitted(
        &mut self,
        record: &Verified,
        facts: &RecordFacts,
    ) -> Result<Option<SlotMask>, JournalError> {
        if record.kind() == Kind::Withdrawal {
            let told = self.partner_holds_series(record)?;
            return Ok(told.then(|| self.withdrawal_slots(record, facts)));
        }
        let decision = self.decide(facts);
        if !decision.release.allowed {
            return Ok(None);
        }
        let open = record.slots_in(decision.revealed).and(record.open_slots());
        self.without_hidden_links(record, open).map(Some)
    }

    fn withdrawal_slots(&mut self, record: &Verified, facts: &RecordFacts) -> SlotMask {
        let decision = self.decide(facts);
        record.slots_in(decision.revealed.with(SlotClass::Core)).and(record.open_slots())
    }

    /// A reference to what the partner may not see is a disclosure, so its whole slot is withheld.
    fn without_hidden_links(
        &mut self,
        record: &Verified,
        open: SlotMask,
    ) -> Result<SlotMask, JournalError> {
        let mut hidden = SlotMask::NONE;
        for number in SlotNumber::of(record.kind()).filter(|number| open.contains(*number)) {
            for series in record.references(number) {
                if !self.sees_series(series)? {
                    hidden = hidden.with(number);
                }
            }
        }
        Ok(open.without(hidden))
    }

    fn sees_series(&mut self, series: SeriesId) -> Result<bool, JournalError> {
        if let Some(seen) = self.links.get(&series) {
            return Ok(*seen);
        }
        let mut seen = false;
        for head in self.view.series_heads(series)? {
            if let Some(record) = self.view.usable(&head.id)? {
                let own = record.header().originator == self.agency;
                seen |= own || self.decide(&record_facts(record.header())).release.allowed;
            }
        }
        // Only what can be seen is remembered: the record may yet come.
        if seen {
            self.links.insert(series, true);
        }
        Ok(seen)
    }

    /// Whether the partner was ever given a revision of this record's series.
    fn partner_holds_series(&self, record: &Verified) -> Result<bool, JournalError> {
        let mut previous = record.header().previous;
        for _ in 0..CHAIN_MAX {
            let Some(id) = previous else { return Ok(false) };
            if self.view.disclosure(self.feed, &id)?.is_some()
                || self.view.disclosed_before(self.number, &id)?.is_some()
            {
                return Ok(true);
            }
            previous = match self.view.record(&id)? {
                Some(record) => record.header().previous,
                None => None,
            };
        }
        Ok(false)
    }

    /// Considers journal entries from `start` on.
    fn step(&mut self, start: u64, end: u64) -> Result<Found, JournalError> {
        let snapshot = self.view.snapshot();
        let feed_size =
            snapshot.state.partners.get(&self.agency).map_or(0, |own| own.published.size);
        let mut found = Found { considered: start, feed_size, ..Found::default() };
        let mut spacing = HeadSpacing::default();
        let mut run = Run::default();
        // What this very step disclosed of records that come up in it more than once.
        let mut shown: HashMap<RecordId, Disclosure> = HashMap::new();
        for index in start..end {
            if let Some(Owed { entry, before, record, bytes, withheld }) =
                self.consider(index, &shown, &mut found)?
            {
                if !spacing.admits_bytes(bytes) {
                    spacing.restart();
                    spacing.admits_bytes(bytes);
                    found.runs.push(std::mem::take(&mut run));
                }
                run.withheld += withheld;
                shown.insert(record, Disclosure::after(before, feed_size, &entry));
                run.before.push(before);
                run.entries.push(entry);
            }
            found.considered = index + 1;
        }
        if !run.entries.is_empty() {
            found.runs.push(run);
        }
        Ok(found)
    }

    fn consider(
        &mut self,
        index: u64,
        shown: &HashMap<RecordId, Disclosure>,
        found: &mut Found,
    ) -> Result<Option<Owed>, JournalError> {
        let (record, source) = match self.accepted(index)? {
            Some(Considered::Record(record, source)) => (record, source),
            Some(Considered::Erasure(erased)) => return self.erasure(&erased, shown),
            None => return Ok(None),
        };
        if source == Some(self.number) {
            return Ok(None);
        }
        let id = record.id();
        if record.header().originator == self.agency {
            return Ok(None);
        }
        let before = self.before(&id, shown)?;
        let entry = self.entry_for(&record, before, found)?;
        Ok(entry.map(|entry| {
            let open = SlotMask::from_bits(entry.open_slots);
            Owed {
                bytes: record.envelope_bytes_max(),
                withheld: record.open_slots().without(open).count().into(),
                entry,
                before,
                record: id,
            }
        }))
    }

    /// What was disclosed of a record, in this very step too.
    fn before(
        &self,
        id: &RecordId,
        shown: &HashMap<RecordId, Disclosure>,
    ) -> Result<Option<Disclosure>, JournalError> {
        match shown.get(id) {
            Some(disclosure) => Ok(Some(*disclosure)),
            None => self.view.disclosure(self.feed, id),
        }
    }

    /// The duty to erase, if the partner has any of the slots and did not lay it on us itself.
    fn erasure(
        &self,
        erased: &pb::SlotsErased,
        shown: &HashMap<RecordId, Disclosure>,
    ) -> Result<Option<Owed>, JournalError> {
        let Some(order) = erased.order.clone() else { return Ok(None) };
        if erased.partner == self.agency.as_str() {
            return Ok(None);
        }
        let id = crate::journal::entry::record_id(&erased.record_id)?;
        let before = self.before(&id, shown)?;
        // What it received in a feed that was succeeded, it has still.
        let earlier = self.view.disclosed_before(self.number, &id)?.unwrap_or(SlotMask::NONE);
        let disclosed = before.map_or(earlier, |before| before.slots.or(earlier));
        let owed = disclosed.and(SlotMask::from_bits(order.slots));
        Ok((!owed.is_empty()).then(|| Owed {
            entry: pb::FeedEntry {
                action: pb::FeedAction::Erase.into(),
                record_id: erased.record_id.clone(),
                open_slots: owed.bits(),
                policy_version: self.rules.version.get(),
                // Known when it is written down.
                at_ms: 0,
                order: Some(order),
            },
            before,
            record: id,
            bytes: 0,
            withheld: 0,
        }))
    }

    /// The record that a journal entry is about, and the partner that the entry is owed to.
    fn accepted(&self, index: u64) -> Result<Option<Considered>, JournalError> {
        if let Some((record, source)) = self.view.recently_accepted(index) {
            return Ok(Some(Considered::Record(record, source)));
        }
        let (id, source) = match self.view.event(index)?.1 {
            Event::RecordAccepted(accepted) => {
                (crate::record::commit::record_id(&accepted.header), accepted.partner)
            }
            Event::SlotsReceived(received) => {
                (crate::journal::entry::record_id(&received.record_id)?, received.partner)
            }
            Event::SlotsErased(erased) => return Ok(Some(Considered::Erasure(Box::new(erased)))),
            Event::RecordRestricted(pb::RecordRestricted {
                record_id, restricted: false, ..
            })
            | Event::RecordRetracted(pb::RecordRetracted { record_id, retracted: false, .. }) => {
                let id = crate::journal::entry::record_id(&record_id)?;
                let source = self.view.place(&id)?.and_then(|place| place.partner);
                let record = self.view.usable(&id)?;
                return Ok(record.map(|record| Considered::Record(record, source)));
            }
            _ => return Ok(None),
        };
        let snapshot = self.view.snapshot();
        let source = source
            .parse::<AgencyName>()
            .ok()
            .and_then(|agency| snapshot.state.partners.get(&agency))
            .map(|partner| partner.number);
        Ok(self.view.usable(&id)?.map(|record| Considered::Record(record, source)))
    }

    fn entry_for(
        &mut self,
        record: &Verified,
        before: Option<Disclosure>,
        found: &mut Found,
    ) -> Result<Option<pb::FeedEntry>, JournalError> {
        let is_withdrawal = record.kind() == Kind::Withdrawal;
        let facts = record_facts(record.header());
        let selected = self.selector.select(&facts);
        if !is_withdrawal && !selected.released && !selected.erred {
            // Counting needs the reason, and the reason is Cedar's; it is remembered by facts.
            let decision = self.decide(&facts);
            if !decision.release.allowed {
                *found.denied.entry(denied_by(&decision)).or_default() += 1;
                return Ok(None);
            }
        }
        let Some(open) = self.permitted(record, &facts)? else {
            let decision = self.decide(&facts);
            found.erred += u64::from(decision.erred());
            *found.denied.entry(denied_by(&decision)).or_default() += 1;
            return Ok(None);
        };
        let action = match before {
            Some(before) if open.without(before.slots).is_empty() => return Ok(None),
            Some(_) => pb::FeedAction::Revise,
            None if is_withdrawal => pb::FeedAction::Withdraw,
            None => pb::FeedAction::Disclose,
        };
        let entry = pb::FeedEntry {
            action: action.into(),
            record_id: Bytes::copy_from_slice(record.id().as_bytes()),
            open_slots: open.bits(),
            policy_version: self.rules.version.get(),
            // Known when it is written down.
            at_ms: 0,
            order: None,
        };
        Ok(Some(entry))
    }
}

impl Node {
    /// Walks the journal for one partner until the node stops or the partner is revoked.
    pub(super) async fn disclose_to(self: Arc<Self>, agency: AgencyName) {
        // Whoever shut the gate told why.
        let shut = |error: &NodeError| {
            matches!(error, NodeError::Journal(JournalError::Closed(Closed::Shut(_))))
        };
        let ended = self.disclose_until_stopped(&agency).await;
        if let Err(error) = ended
            && !shut(&error)
        {
            tracing::error!(partner = %agency, %error, "disclosing has ended");
            self.links.failed(&agency, error.to_string());
        }
    }

    async fn disclose_until_stopped(&self, agency: &AgencyName) -> Result<(), NodeError> {
        let mut grown = self.grown();
        let mut rules_changed = self.rules_changed.subscribe();
        let mut stopping = self.stopping();
        let mut held: Option<Discloser> = None;
        let mut considered = self.considered(agency);
        tokio::select! {
            () = self.guard.gate().opened() => {}
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        }
        loop {
            grown.mark_unchanged();
            rules_changed.mark_unchanged();
            let snapshot = self.view().snapshot();
            let Some(partner) = snapshot.state.partners.get(agency) else { return Ok(()) };
            let unreceipted = partner.published.size.saturating_sub(partner.receipted);
            let may_go_on = partner.state == pb::PartnerState::Active
                && snapshot.state.policy.is_some()
                && !snapshot.state.witnessing.is_frozen(agency)
                && unreceipted <= LAG_ENTRIES_MAX;
            if may_go_on && considered < snapshot.size {
                let discloser = self.discloser(held.take(), agency, partner.number);
                let Some(discloser) = discloser else { return Ok(()) };
                let end = snapshot.size.min(considered + STEP_ENTRIES);
                let (discloser, found) = self.step(discloser, considered, end).await?;
                let basis = discloser.basis(snapshot.state.narrowings);
                held = Some(discloser);
                let reached = found.considered;
                if self.publish(agency, found, basis).await? {
                    considered = reached;
                    self.links.considered(agency, considered);
                }
                continue;
            }
            tokio::select! {
                _ = grown.changed() => {}
                _ = rules_changed.changed() => {}
                _ = stopping.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    fn considered(&self, agency: &AgencyName) -> u64 {
        let snapshot = self.view().snapshot();
        snapshot.state.partners.get(agency).map_or(0, |partner| partner.published.considered)
    }

    /// The discloser of before, unless rules or hour are others now.
    fn discloser(
        &self,
        held: Option<Discloser>,
        agency: &AgencyName,
        number: PartnerNumber,
    ) -> Option<Discloser> {
        let rules = self.rules();
        let moment = Moment::at(self.now());
        held.filter(|held| held.is_current(&rules, &moment))
            .or_else(|| Discloser::new(self.view(), rules, agency, number, moment))
    }

    async fn step(
        &self,
        mut discloser: Discloser,
        start: u64,
        end: u64,
    ) -> Result<(Discloser, Found), NodeError> {
        tokio::task::spawn_blocking(move || {
            let found = discloser.step(start, end)?;
            Ok((discloser, found))
        })
        .await
        .map_err(|_| JournalError::Stopped)?
    }

    /// Writes down what was found. `false`: policy, partner or hour are others by now, nothing was
    /// written, and all of it is to be decided again.
    async fn publish(
        &self,
        agency: &AgencyName,
        mut found: Found,
        basis: Basis,
    ) -> Result<bool, NodeError> {
        {
            let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
            let own = denials.entry(agency.clone()).or_default();
            for (policy, count) in &found.denied {
                *own.entry(policy.clone()).or_default() += count;
            }
        }
        if found.erred > 0 {
            tracing::error!(partner = %agency, records = found.erred,
                "a policy could not be evaluated; the records were withheld");
        }
        let behind = found.considered.saturating_sub(self.considered(agency));
        if found.is_empty() && behind < POSITION_EVERY {
            return Ok(true);
        }
        let agency = agency.clone();
        let (written, _) = self
            .ledger
            .commit(move |tx| {
                if !found.is_empty() && !basis.holds(tx, &agency) {
                    return Ok(false);
                }
                if found.runs.is_empty() {
                    tx.publish(&agency, &[], None, found.considered, 0)?;
                }
                // Nothing else went into the feed, so what was looked up still stands.
                let stands = tx.feed_size(&agency) == found.feed_size;
                let at_ms = tx.now().unix_ms() as u64;
                for Run { entries, before, withheld } in &mut found.runs {
                    entries.iter_mut().for_each(|entry| entry.at_ms = at_ms);
                    let before = stands.then_some(&before[..]);
                    tx.publish(&agency, entries, before, found.considered, *withheld)?;
                }
                Ok(true)
            })
            .await?;
        Ok(written)
    }
}
