//! The feed to one partner: what was disclosed to it, hashed again and compared with what was
//! published and receipted.

use super::failure::{Check, Fault};
use super::given_slots::GivenSlots;
use super::holdings::{Holdings, Row, RowNumber};
use super::policy::InForce;
use super::refusals::Refused;
use super::row_set::Rows;
use super::words::{shown, slots};
use crate::exchange::{SignedTime, WHOLE_RECORD};
use crate::ident::{RecordId, Timestamp, TreeHash, TreeSize};
use crate::merkle::{CosignatureTime, Frontier, TreeHead};
use crate::pb::{self, FeedAction};
use crate::policy::{Categories, GivenCategories, OriginatorNumber};
use crate::record::kind::Kind;
use crate::record::slots::SlotMask;
use ed25519_dalek::VerifyingKey;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// A feed as its entries add up to.
#[derive(Debug, Default)]
pub(super) struct Feed {
    frontier: Frontier,
    published: TreeSize,
    records: u64,
    withheld: u64,
    /// Published heads from the last receipted one on; a partner's receipt must name one of them.
    heads: VecDeque<(TreeHead, Timestamp)>,
    receipted: TreeSize,
    /// The key and the time of the last receipt.
    last_receipt: Option<(VerifyingKey, CosignatureTime)>,
    /// Heads below this size were receipted before, by keys that the partner gave up, and are forgotten
    /// here: for them the signatures of both count alone.
    receipted_before: TreeSize,
    exceptions: u64,
    /// The partner stated its exceptions among the entries below this index.
    accounted: u64,
    /// Statements may begin from here on: a partner whose logs were succeeded states nothing anew of what
    /// it has receipts for, unless it lost them.
    accounted_before: u64,
    /// The earliest and the latest time of entries since the last published head.
    dated: Option<(Timestamp, Timestamp)>,
    /// The slots that were ever disclosed in this feed and not ordered erased.
    disclosed: GivenSlots,
    /// Those of them that were taken back and not disclosed again.
    retracted: Rows,
    /// The same of the feeds before it to the same partner.
    disclosed_before: GivenSlots,
    /// Orders to erase that the feed has to carry on, by the entry with the erasure.
    owed: BTreeMap<(u64, RowNumber), SlotMask>,
    /// Records of which something was disclosed to the partner for the first time, by originator.
    originators: BTreeMap<OriginatorNumber, u64>,
    /// The originators of such records since the last published head.
    counted: BTreeSet<OriginatorNumber>,
    /// The sorts of such records, in the feeds before too.
    sorts: GivenCategories,
    rescan: Rescan,
    /// The refusals of the partner.
    pub(super) refused: Refused,
}

/// The progress of reconsidering a feed under rules that changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Rescan {
    rules: u64,
    next: u64,
    end: u64,
}

impl Feed {
    /// Begins the feed of the next generation to the same partner; gives the one that ended.
    pub(super) fn succeed(&mut self) -> Self {
        let mut ended = std::mem::take(self);
        let earlier = std::mem::take(&mut ended.disclosed_before);
        self.disclosed_before = earlier.join(&ended.disclosed);
        // What is normal for the partner stays.
        self.sorts = ended.sorts;
        self.owed = std::mem::take(&mut ended.owed);
        ended
    }

    pub(super) fn size(&self) -> u64 {
        self.published.get()
    }

    pub(super) fn entries(&self) -> u64 {
        self.frontier.size().get()
    }

    pub(super) fn head(&self) -> TreeHead {
        self.frontier.head()
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn receipted(&self) -> u64 {
        self.receipted.get()
    }

    /// Records that the partner refused and does not hold.
    pub(super) fn refused(&self) -> u64 {
        self.refused.count()
    }

    pub(super) fn exceptions(&self) -> u64 {
        self.exceptions
    }

    /// Returns true if anything of a record was ever disclosed to the partner.
    pub(super) fn was_given(&self, row: RowNumber) -> bool {
        self.disclosed.of(row).is_some() || self.disclosed_before.of(row).is_some()
    }

    /// An order to erase stands in the entry at `index` of the journal; the feed has to carry it on for what
    /// the partner was given.
    pub(super) fn owe(&mut self, index: u64, row: RowNumber, ordered: SlotMask) {
        let given = [self.disclosed.of(row), self.disclosed_before.of(row)];
        let given = given.into_iter().flatten().fold(SlotMask::NONE, SlotMask::or);
        let owed = given.and(ordered);
        if !owed.is_empty() {
            self.owed.insert((index, row), owed);
        }
    }

    /// The feed carries on an order to erase.
    pub(super) fn order(&mut self, row: RowNumber, slots: SlotMask) {
        self.disclosed.remove(row, slots);
        self.disclosed_before.remove(row, slots);
        for (_, owed) in self.owed.iter_mut().filter(|((_, of), _)| *of == row) {
            *owed = owed.without(slots);
        }
        self.owed.retain(|_, owed| !owed.is_empty());
    }

    /// Refuses a feed that considered an erasure and does not carry on its order.
    pub(super) fn check_owed(&self, considered: u64) -> Result<(), Fault> {
        let Some(((index, _), owed)) = self.owed.first_key_value() else { return Ok(()) };
        if *index >= considered {
            return Ok(());
        }
        let expected = format!("the order of entry {index} to erase {}", slots(owed.bits()));
        let found = format!("{considered} entries considered without it");
        Err(Fault::new(Check::Erasure, expected, found))
    }

    /// Takes the next entry; `policy` is what is in force at this point. Gives the record
    /// that it is about, and its time. `originator` is that of the record.
    pub(super) fn push(
        &mut self,
        leaf: TreeHash,
        entry: &pb::FeedEntry,
        holdings: &Holdings,
        policy: &InForce,
        originator: OriginatorNumber,
    ) -> Result<(RowNumber, Timestamp), Fault> {
        let id = RecordId::try_from(&entry.record_id[..])
            .map_err(|error| Fault::new(Check::FeedEntry, "a record id", error))?;
        let (row_number, row) = holdings.find(&id).ok_or_else(|| {
            Fault::new(Check::Disclosure, "a record accepted before", format!("record {id}"))
        })?;
        let at = time(entry.at_ms)?;
        let action = FeedAction::try_from(entry.action).unwrap_or(FeedAction::Unspecified);
        match action {
            FeedAction::Unspecified | FeedAction::ConsentRequest | FeedAction::Consent => {
                return Err(Fault::new(Check::FeedEntry, "a known action", entry.action));
            }
            FeedAction::Disclose | FeedAction::Revise | FeedAction::Withdraw => {
                covered(entry, policy.version, row.open)?;
            }
            FeedAction::Retract => retracted(entry, policy.version, row.kind)?,
            FeedAction::Erase | FeedAction::Erased => {}
        }
        if action == FeedAction::Disclose && row.kind == Kind::Withdrawal {
            let expected = "the withdrawal of what was disclosed before, or a record";
            return Err(Fault::new(Check::Disclosure, expected, format!("withdrawal {id}")));
        }
        if !row.is_alone && matches!(action, FeedAction::Disclose | FeedAction::Revise) {
            check_newest(row, holdings)?;
        }
        if action == FeedAction::Withdraw && row.kind != Kind::Withdrawal {
            return Err(Fault::new(Check::Disclosure, "a withdrawal", row.kind.name()));
        }
        if action == FeedAction::Withdraw && !self.holds_series(row_number, holdings) {
            let expected = "the withdrawal of a record disclosed in this feed before";
            return Err(Fault::new(Check::Disclosure, expected, format!("record {id}")));
        }
        let shows_anew = matches!(action, FeedAction::Disclose | FeedAction::Withdraw);
        // What the sender erased may have come from the partner alone.
        if action != FeedAction::Erased && !shows_anew && !self.was_told(row_number, action) {
            let expected = "a record disclosed in this feed before";
            return Err(Fault::new(Check::Disclosure, expected, format!("record {id}")));
        }
        // What was taken back is still to be erased when that is ordered.
        let speaks_of_use = matches!(action, FeedAction::Revise | FeedAction::Retract);
        if speaks_of_use && self.retracted.has(row_number) {
            let expected = "a record not taken back in this feed before";
            return Err(Fault::new(Check::Disclosure, expected, format!("record {id}")));
        }
        if action == FeedAction::Disclose && !self.was_given(row_number) {
            let sorts = Categories::of(row.kind, policy.facts.of(row.facts).personal_data);
            self.sorts = self.sorts.and(GivenCategories::of(originator, sorts));
            *self.originators.entry(originator).or_default() += 1;
            self.counted.insert(originator);
        }
        if matches!(action, FeedAction::Disclose | FeedAction::Revise | FeedAction::Withdraw) {
            self.disclosed.add(row_number, SlotMask::from_bits(entry.open_slots));
        }
        if shows_anew {
            self.records += 1;
            self.retracted.remove(row_number);
        } else if action == FeedAction::Retract && entry.open_slots == WHOLE_RECORD.bits() {
            self.retracted.insert(row_number);
        }
        let (index, whole) = (self.entries(), entry.open_slots == WHOLE_RECORD.bits());
        let slots = SlotMask::from_bits(entry.open_slots);
        self.refused.push(index, (row_number, slots), action, whole);
        self.take(leaf, at);
        Ok((row_number, at))
    }

    /// Takes an entry that discloses nothing.
    pub(super) fn tell(&mut self, leaf: TreeHash, entry: &pb::FeedEntry) -> Result<(), Fault> {
        let at = time(entry.at_ms)?;
        self.take(leaf, at);
        Ok(())
    }

    fn take(&mut self, leaf: TreeHash, at: Timestamp) {
        self.frontier.push(leaf);
        self.dated = match self.dated {
            None => Some((at, at)),
            Some((first, last)) => Some((first.min(at), last.max(at))),
        };
    }

    /// Returns whether another record of the series of the one in `row` was ever disclosed to the partner.
    fn holds_series(&self, row: RowNumber, holdings: &Holdings) -> bool {
        let mut others = holdings.series_of(holdings.at(row)).filter(|other| *other != row);
        others.any(|other| self.was_given(other))
    }

    /// Returns true if the record was disclosed in this feed. For an action that takes away, a feed
    /// before it counts too.
    fn was_told(&self, row: RowNumber, action: FeedAction) -> bool {
        let takes_away = matches!(action, FeedAction::Retract | FeedAction::Erase);
        self.disclosed.of(row).is_some() || takes_away && self.disclosed_before.of(row).is_some()
    }

    /// Compares the entries so far with a head whose note was verified.
    pub(super) fn publish(
        &mut self,
        head: TreeHead,
        published: &pb::FeedPublished,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let computed = self.frontier.head();
        if computed != head {
            return Err(Fault::new(Check::FeedRoot, shown(head), shown(computed)));
        }
        if published.records_disclosed != self.records {
            let expected = format!("{} records disclosed", self.records);
            return Err(Fault::new(Check::FeedTotals, expected, published.records_disclosed));
        }
        self.check_originators(published)?;
        if published.fields_withheld < self.withheld {
            let expected = format!("at least {} fields withheld", self.withheld);
            return Err(Fault::new(Check::FeedTotals, expected, published.fields_withheld));
        }
        // Policy knows the time by the hour: another hour could have been another decision.
        if let Some((first, last)) = self.dated.take()
            && (first.hour() != at.hour() || last > at)
        {
            let expected = format!("entries of the hour up to {at}");
            return Err(Fault::new(Check::FeedTime, expected, format!("from {first} to {last}")));
        }
        self.withheld = published.fields_withheld;
        if self.published != head.size || self.heads.is_empty() {
            self.published = head.size;
            self.heads.push_back((head, at));
        }
        Ok(())
    }

    /// Checks what is counted of each originator: the release brake holds records by it.
    fn check_originators(&mut self, published: &pb::FeedPublished) -> Result<(), Fault> {
        let categories = |kinds, personal_data| Categories { kinds, personal_data };
        let found = GivenCategories {
            own: categories(published.kinds_disclosed, published.personal_data_disclosed),
            passed_on: categories(published.kinds_passed_on, published.personal_data_passed_on),
        };
        if found != self.sorts {
            let expected = format!("{:?} disclosed", self.sorts);
            return Err(Fault::new(Check::FeedTotals, expected, format!("{found:?}")));
        }
        let counted = std::mem::take(&mut self.counted).into_iter().map(|originator| {
            let records = self.originators.get(&originator).copied().unwrap_or_default();
            pb::OriginatorTotal { originator: originator.get().into(), records }
        });
        let counted: Vec<_> = counted.collect();
        if published.originators != counted {
            let expected = format!("records disclosed of {}", totals(&counted));
            return Err(Fault::new(Check::FeedTotals, expected, totals(&published.originators)));
        }
        Ok(())
    }

    /// Checks the recorded progress of the rescan under the rules in force, which hold from the entry
    /// `rules` on. Programs before rescans recorded none.
    pub(super) fn check_rescan(
        &mut self,
        published: &pb::FeedPublished,
        rules: u64,
    ) -> Result<(), Fault> {
        let now = Rescan {
            rules: published.rescan_rules,
            next: published.rescan_next,
            end: published.rescan_end,
        };
        let before = std::mem::replace(&mut self.rescan, now);
        if now == Rescan::default() && before == now {
            return Ok(());
        }
        if now.rules != rules {
            let expected = format!("a rescan under the rules of entry {rules}");
            return Err(Fault::new(Check::FeedTotals, expected, now.rules));
        }
        let goes_on = before.rules == now.rules && before.end == now.end;
        let least = if goes_on { before.next } else { 0 };
        if now.next < least || now.next > now.end || now.end > published.considered {
            let expected = format!("a rescan from {least} up to {}", published.considered);
            let found = format!("at {} of {}", now.next, now.end);
            return Err(Fault::new(Check::FeedTotals, expected, found));
        }
        Ok(())
    }

    /// Every entry must stand under a published head when its batch is closed.
    pub(super) fn check_published(&self) -> Result<(), Fault> {
        if self.frontier.size() == self.published {
            return Ok(());
        }
        let expected = format!("a published head of size {}", self.frontier.size());
        Err(Fault::new(Check::FeedRoot, expected, format!("one of size {}", self.published)))
    }

    /// Takes a partner's receipt whose signatures were verified: by which key, and when. Gives that time with
    /// what it is held against.
    pub(super) fn receipt(
        &mut self,
        (head, key, signed): (TreeHead, VerifyingKey, CosignatureTime),
        receipt: &pb::ReceiptReceived,
        statement: Range<u64>,
        entry: (u64, Timestamp),
    ) -> Result<SignedTime, Fault> {
        if head.size > self.receipted {
            self.check_accounted()?;
        }
        while self.heads.front().is_some_and(|(first, _)| first.size < head.size) {
            self.heads.pop_front();
        }
        let front = self.heads.front().copied();
        let is_forgotten = head.size < self.receipted_before && head.size > self.receipted;
        let known = front.filter(|(first, _)| *first == head || is_forgotten);
        let Some((published, made)) = known else {
            let expected = "a head that was published and not receipted beyond";
            return Err(Fault::new(Check::Receipt, expected, shown(head)));
        };
        // When a head that is forgotten was published is not known here.
        let made = Some(made).filter(|_| published == head);
        let last = self.last_receipt.filter(|(by, _)| *by == key).map(|(_, last)| last);
        self.last_receipt = Some((key, signed));
        let is_anew = statement.start < self.accounted_before;
        if is_anew || statement.start > self.accounted || statement.end > head.size.get() {
            let expected = format!("a statement from {} to {}", self.accounted, head.size);
            let found = format!("from {} to {}", statement.start, statement.end);
            return Err(Fault::new(Check::Receipt, expected, found));
        }
        self.receipted = head.size;
        self.accounted = statement.end;
        self.refused.receipt(head.size.get(), receipt, statement, entry)?;
        self.exceptions += receipt.exceptions.len() as u64;
        if self.accounted == head.size.get() && receipt.exceptions_total != self.exceptions {
            let expected = format!("{} exceptions in all", self.exceptions);
            return Err(Fault::new(Check::Receipt, expected, receipt.exceptions_total));
        }
        Ok(SignedTime { signed, made, last })
    }

    /// The partner holds the feed up to here only. Its receipt for that was signed by a key and at a time;
    /// there is none at the beginning of the feed.
    pub(super) fn lose_receipt(
        &mut self,
        held: TreeSize,
        signed: Option<(VerifyingKey, CosignatureTime)>,
    ) -> Result<(), Fault> {
        if held >= self.receipted {
            let expected = format!("less than {} entries held", self.receipted);
            return Err(Fault::new(Check::Receipt, expected, held));
        }
        self.last_receipt = signed;
        self.refused.lose_receipt();
        self.receipted_before = self.receipted_before.max(self.receipted);
        self.receipted = held;
        self.accounted = held.get();
        self.accounted_before = held.get();
        Ok(())
    }

    /// The partner's logs were succeeded.
    pub(super) const fn receive_from_successor(&mut self) {
        self.accounted_before = self.accounted;
    }

    /// The exceptions must be stated up to the head that was receipted last.
    pub(super) fn check_accounted(&self) -> Result<(), Fault> {
        if self.accounted == self.receipted.get() {
            return Ok(());
        }
        let expected = format!("statements of exceptions up to {}", self.receipted);
        Err(Fault::new(Check::Receipt, expected, format!("up to {}", self.accounted)))
    }
}

/// Totals of originators for people.
fn totals(totals: &[pb::OriginatorTotal]) -> String {
    let total = |of: &pb::OriginatorTotal| match of.originator {
        0 => format!("the agency itself: {}", of.records),
        number => format!("partner {number}: {}", of.records),
    };
    match totals {
        [] => "nobody".to_owned(),
        totals => totals.iter().map(total).collect::<Vec<_>>().join(", "),
    }
}

/// An older revision is never disclosed anew, and nothing of a series that is withdrawn.
fn check_newest(row: &Row, holdings: &Holdings) -> Result<(), Fault> {
    let is_over = |newest: &&Row| {
        newest.revision > row.revision || newest.kind == Kind::Withdrawal && newest.id != row.id
    };
    match holdings.newest_of(row).map(|number| holdings.at(number)).find(is_over) {
        None => Ok(()),
        Some(newest) => {
            let expected = format!("record {}, the newest of its series", newest.id);
            Err(Fault::new(Check::Disclosure, expected, format!("record {}", row.id)))
        }
    }
}

/// A disclosure can only show what is here.
fn covered(entry: &pb::FeedEntry, in_force: u64, held: SlotMask) -> Result<(), Fault> {
    under_policy(entry, in_force)?;
    if entry.open_slots & !held.bits() != 0 {
        let expected = format!("{}, which are here", slots(held.bits()));
        return Err(Fault::new(Check::Disclosure, expected, slots(entry.open_slots)));
    }
    Ok(())
}

/// A retraction names slots that its record has, or all there could be.
fn retracted(entry: &pb::FeedEntry, in_force: u64, kind: Kind) -> Result<(), Fault> {
    under_policy(entry, in_force)?;
    let named = SlotMask::from_bits(entry.open_slots);
    let is_whole = entry.open_slots == WHOLE_RECORD.bits();
    let fits = named.bits() == entry.open_slots && named.without(SlotMask::all(kind)).is_empty();
    if !is_whole && (!fits || named.is_empty()) {
        let expected = format!("slots of a {} or all", kind.name());
        return Err(Fault::new(Check::Disclosure, expected, slots(entry.open_slots)));
    }
    Ok(())
}

/// Checks that the policy in force decided what is shown and what is taken back.
fn under_policy(entry: &pb::FeedEntry, in_force: u64) -> Result<(), Fault> {
    if in_force == 0 || entry.policy_version != in_force {
        let expected = match in_force {
            0 => "no disclosure before a policy was applied".to_owned(),
            version => format!("policy version {version}"),
        };
        let found = format!("policy version {}", entry.policy_version);
        return Err(Fault::new(Check::Disclosure, expected, found));
    }
    Ok(())
}

/// Checks a running total of exceptions and gives it.
pub(super) fn exceptions(
    check: Check,
    before: u64,
    added: usize,
    total: u64,
) -> Result<u64, Fault> {
    let least = before.saturating_add(added as u64);
    if total < least {
        let expected = format!("at least {least} exceptions in all");
        return Err(Fault::new(check, expected, total));
    }
    Ok(total)
}

fn time(ms: u64) -> Result<Timestamp, Fault> {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
        .ok_or_else(|| Fault::new(Check::FeedEntry, "a time from 2000 to 2100", format!("{ms} ms")))
}
