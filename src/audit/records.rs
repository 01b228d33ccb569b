//! Records: who signed them, and which of their slots are here.

use super::content::{Content, slots_hash};
use super::examine::Accepted;
use super::failure::{Check, Fault};
use super::holdings::{ContentLeft, Row, RowNumber, SeriesKey};
use super::ledger::Audit;
use super::received::{Claim, SHOWING, TAKING_BACK};
use super::words::slots;
use crate::exchange::{Provenance, TakenBack};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb::{self, FeedAction};
use crate::record::signed::{BatchSignature, check_contents};
use crate::record::slots::SlotMask;

impl Audit {
    /// A record whose form and content are sound was accepted at `at`.
    pub(super) fn accept(&mut self, accepted: Accepted, at: Timestamp) -> Result<(), Fault> {
        let Accepted { attested, signature, content, open_slots, partner, feed_index, facts } =
            accepted;
        if self.own.is_empty() {
            return Err(Fault::new(Check::OwnCard, "the agency's card before any record", "none"));
        }
        let open = SlotMask::from_bits(open_slots);
        if open.bits() != open_slots || !content.is_overwritten && open != content.open {
            return Err(mismatch(content.open, open_slots));
        }
        let is_originator = partner == attested.header().originator.as_str();
        check_marks(&content, SlotMask::NONE, is_originator)?;
        if partner.is_empty() {
            self.counts.submitted += 1;
        } else {
            let id = attested.id();
            let (record, actions) = (&id.as_bytes()[..], &SHOWING[..]);
            let claim = Claim { partner: &partner, index: feed_index, record, actions };
            self.claim_slots(&claim, open_slots)?;
            self.counts.received += 1;
        }
        let header = attested.header();
        let mut start = [0; 16];
        start.copy_from_slice(&header.slots_hash[..16]);
        let (id, facts) = (attested.id(), self.policy.facts.number(facts));
        let series = SeriesKey::new(header.series, &header.originator);
        let place = (header.kind, series, header.revision);
        let mut row = Row::new(id, start, open, facts, place);
        let retain_until = header.marking.retain_until;
        row.content = ContentLeft::of(content.is_overwritten);
        row.partner =
            partner.parse().ok().and_then(|name| self.partners.number(&name)).unwrap_or(0);
        if let Some(disclosures) = &mut self.disclosures {
            disclosures.accept(&attested, &content);
        }
        let header = attested.header();
        let originator = header.originator.clone();
        let Some(number) = self.holdings.insert(row) else {
            let found = format!("record {id} again");
            return Err(Fault::new(Check::RecordRepeated, "a new record", found));
        };
        if let Some(until) = retain_until {
            self.holdings.keep_until(number, until);
        }
        let own = self.own.last().filter(|card| card.agency == originator);
        match own.or_else(|| self.partners.card(&originator)) {
            Some(card) => {
                let key = attested
                    .verify(card, &mut self.roots)
                    .map_err(|error| Fault::new(Check::RecordSignature, &originator, error))?;
                self.key_use.accept(key, at);
                self.counts.signatures += 1;
            }
            None => {
                check_path(signature)?;
                self.counts.unknown_originator += 1;
            }
        }
        self.count(originator);
        Ok(())
    }

    fn count(&mut self, originator: AgencyName) {
        *self.counts.originators.entry(originator).or_default() += 1;
    }

    /// More slots of a record came in; `content` holds all that are here now.
    pub(super) fn extend(
        &mut self,
        received: &pb::SlotsReceived,
        content: &Content,
    ) -> Result<(), Fault> {
        let claim = Claim {
            partner: &received.partner,
            index: received.feed_index,
            record: &received.record_id,
            actions: &SHOWING,
        };
        self.claim_slots(&claim, received.open_slots)?;
        let (number, row) = self.known(&received.record_id, content)?;
        let before = row.open;
        let gained = SlotMask::from_bits(received.open_slots);
        let is_new =
            !gained.is_empty() && gained.and(before.or(self.holdings.erased(number))).is_empty();
        let shows = content.is_overwritten || before.or(gained) == content.open;
        if !is_new || received.open_slots != gained.bits() || !shows {
            return Err(mismatch(content.open.without(before), received.open_slots));
        }
        check_marks(content, self.holdings.erased(number), self.is_from_originator(number))?;
        let given = self.given_by(number, &received.partner)?;
        if let Some((given, from, is_originator)) = given {
            let barred = given.retracted.and(gained);
            if !given.heeds(from, is_originator) && !barred.is_empty() {
                let expected = "slots that were not taken back by another partner";
                return Err(Fault::new(Check::OpenSlots, expected, slots(barred.bits())));
            }
            self.holdings.give(number, given.gained(from, gained));
        }
        let row = self.holdings.row_mut(number);
        row.open = before.or(gained);
        row.content = row.content.and(content.is_overwritten);
        self.counts.extended += 1;
        Ok(())
    }

    /// Returns whether a record came from its originator when it was accepted.
    fn is_from_originator(&self, number: RowNumber) -> bool {
        let row = self.holdings.at(number);
        let originator = &self.policy.facts.of(row.facts).originator;
        self.partners.number(originator).is_some_and(|number| number == row.partner)
    }

    /// Returns the permission for the use of a record before an entry about a partner's feed, and
    /// that partner. The last value is true if the partner is the record's originator. `None` for a
    /// record that was submitted here.
    fn given_by(
        &self,
        number: RowNumber,
        partner: &str,
    ) -> Result<Option<(Provenance<u16>, u16, bool)>, Fault> {
        self.partners.known(partner)?;
        let agency = partner.parse::<AgencyName>().ok();
        let from = agency.as_ref().and_then(|agency| self.partners.number(agency));
        let facts = self.policy.facts.of(self.holdings.at(number).facts);
        let is_originator = agency.as_ref() == Some(&facts.originator);
        Ok(self.holdings.given(number).zip(from).map(|(given, from)| (given, from, is_originator)))
    }

    /// A partner took back slots of a record that came from it, or the whole.
    pub(super) fn retract(&mut self, retracted: &pb::RecordRetracted) -> Result<(), Fault> {
        let actions: &[FeedAction] = if retracted.retracted { &TAKING_BACK } else { &SHOWING };
        self.claim(&Claim {
            partner: &retracted.partner,
            index: retracted.feed_index,
            record: &retracted.record_id,
            actions,
        })?;
        let number = self.held(&retracted.record_id)?;
        let fault = |expected: &str, found: String| Fault::new(Check::OpenSlots, expected, found);
        let Some((given, from, _)) = self.given_by(number, &retracted.partner)? else {
            return Err(fault("a record of a partner", "one that was submitted here".to_owned()));
        };
        let gave = self.gave(number, &retracted.partner)?;
        let named = SlotMask::from_bits(retracted.slots);
        let given = match (retracted.retracted, named.is_empty()) {
            (false, _) => Provenance { is_retracted: false, ..given },
            (true, true) if from != given.from => {
                let expected = "a partner by whose leave the record is used";
                return Err(fault(expected, retracted.partner.clone()));
            }
            (true, true) => given.after(TakenBack::Whole),
            (true, false) => {
                let theirs = if from == given.from { SlotMask::from_bits(u32::MAX) } else { gave };
                let beyond = named.without(self.holdings.at(number).open.and(theirs));
                if named.bits() != retracted.slots || !beyond.is_empty() {
                    let expected = "slots that are in use here and that the partner gave";
                    return Err(fault(expected, slots(retracted.slots)));
                }
                given.after(TakenBack::Slots(named))
            }
        };
        self.holdings.give(number, given);
        Ok(())
    }

    /// A partner whose leave counts disclosed what was here already.
    pub(super) fn receive_again(
        &mut self,
        received: &pb::RecordReceivedAgain,
    ) -> Result<(), Fault> {
        let claim = Claim {
            partner: &received.partner,
            index: received.feed_index,
            record: &received.record_id,
            actions: &SHOWING,
        };
        self.claim_slots(&claim, received.open_slots)?;
        let number = self.held(&received.record_id)?;
        let again =
            self.given_by(number, &received.partner)?.and_then(|(given, from, is_originator)| {
                given.again(from, SlotMask::from_bits(received.open_slots), is_originator)
            });
        let Some(given) = again else {
            let expected = "news from a partner by whose leave the record is used";
            return Err(Fault::new(Check::OpenSlots, expected, &received.partner));
        };
        self.holdings.give(number, given);
        Ok(())
    }

    pub(super) fn held(&self, id: &[u8]) -> Result<RowNumber, Fault> {
        let id = RecordId::try_from(id)
            .map_err(|error| Fault::new(Check::EntryForm, "a record id", error))?;
        let held = self.holdings.find(&id).map(|(number, _)| number);
        held.ok_or_else(|| Fault::new(Check::EntryForm, "a record accepted before", id))
    }

    /// Slots were erased; `content` holds all that is left, and everything before is overwritten.
    pub(super) fn erase(
        &mut self,
        erased: &pb::SlotsErased,
        content: &Content,
        (index, at): (u64, Timestamp),
    ) -> Result<(), Fault> {
        let (number, row) = self.known(&erased.record_id, content)?;
        if !erased.partner.is_empty() {
            self.gave(number, &erased.partner)?;
        }
        self.check_ground(erased, number, at)?;
        // The end of a hold carries out what came before.
        let has_waited = !self.holds.waiting_for(number, &erased.partner).is_empty();
        if !erased.partner.is_empty() && !has_waited {
            let claim = Claim {
                partner: &erased.partner,
                index: erased.feed_index,
                record: &erased.record_id,
                actions: &[FeedAction::Erase],
            };
            self.claim_order(&claim, erased.order.as_ref())?;
        }
        self.check_erased(erased, number)?;
        let slots = SlotMask::from_bits(erased.slots);
        let is_new = !slots.is_empty() && slots.and(self.holdings.erased(number)).is_empty();
        let is_sound = is_new && slots.bits() == erased.slots;
        let left = row.open.without(slots);
        let shows = content.is_overwritten
            || content.open == left && slots.without(content.erased).is_empty();
        if !is_sound || !shows {
            return Err(mismatch(content.erased, erased.slots));
        }
        let by_entries = self.holdings.erased(number).or(slots);
        check_marks(content, by_entries, self.is_from_originator(number))?;
        if row.content.has_bytes() {
            self.counts.not_carried_out += 1;
            self.unfinished.push(row.id);
        }
        self.counts.erased += 1;
        let row = self.holdings.row_mut(number);
        row.open = left;
        row.content = ContentLeft::of(content.is_overwritten);
        self.holdings.erase(number, slots);
        self.partners.owe(index, number, erased);
        Ok(())
    }

    /// A record accepted before, whose content stands before this entry too.
    fn known(&self, id: &[u8], content: &Content) -> Result<(RowNumber, Row), Fault> {
        let id = RecordId::try_from(id)
            .map_err(|error| Fault::new(Check::EntryForm, "a record id", error))?;
        if content.id != id {
            let expected = format!("the content of record {id}");
            return Err(Fault::new(Check::Content, expected, format!("that of {}", content.id)));
        }
        let (number, row) = self.holdings.find(&id).ok_or_else(|| {
            Fault::new(Check::Content, "a record accepted before", format!("record {id}"))
        })?;
        if !content.is_overwritten {
            check_slots(row, content)?;
        }
        Ok((number, *row))
    }

    /// Checks that content is missing only if an entry records its erasure.
    pub(super) fn check_erasures(&self) -> Result<(), Fault> {
        let Some(row) = self.holdings.overwritten() else { return Ok(()) };
        let found = format!("overwritten content of record {} without such an entry", row.id);
        Err(Fault::new(Check::Content, "content, or an entry that says it was erased", found))
    }
}

/// Content has slots as erased that entries erased, and those that the originator marked so when it gave the
/// record.
fn check_marks(content: &Content, by_entries: SlotMask, may_mark: bool) -> Result<(), Fault> {
    let beyond = content.erased.without(by_entries);
    if may_mark || beyond.is_empty() {
        return Ok(());
    }
    let expected = "slots that an entry erased, or the originator that gave the record";
    Err(Fault::new(Check::OpenSlots, expected, slots(beyond.bits())))
}

fn check_slots(row: &Row, content: &Content) -> Result<(), Fault> {
    let kind = row.kind;
    let slots = &content.slots;
    if slots.len() != kind.slots().len() {
        let expected = format!("{} slots", kind.slots().len());
        return Err(Fault::new(Check::Content, expected, slots.len()));
    }
    if slots_hash(kind, slots)[..16] != row.slots_hash {
        let expected = "the slots that the originator signed";
        return Err(Fault::new(Check::Content, expected, format!("others, of record {}", row.id)));
    }
    check_contents(kind, slots)
        .map_err(|error| Fault::new(Check::Content, "slots by the rules", error))
}

fn mismatch(here: SlotMask, said: u32) -> Fault {
    Fault::new(Check::OpenSlots, format!("{:#010x}", here.bits()), format!("{said:#010x}"))
}

/// Checks the form of a signature whose key is not known here: a place in a tree of 64 leaves.
fn check_path(wire: pb::RecordSignature) -> Result<(), Fault> {
    let fault = |error: &dyn std::fmt::Display| {
        Fault::new(Check::RecordSignature, "a place in a signed batch", error)
    };
    BatchSignature::try_from(wire).map(drop).map_err(|error| fault(&error))
}
