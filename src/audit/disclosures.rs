//! The disclosure ledger: who received what, which fields, under which policy version, when, and
//! whether the partner's receipt is here. Collected while a history is verified, from it alone.

use super::content::Content;
use super::examine::ExaminedRecord;
use super::holdings::Row;
use crate::ident::{AgencyName, Generation, IdPrefix, RecordId, SeriesId, Timestamp};
use crate::pb::{self, FeedAction};
use crate::record::kind::Kind;
use crate::record::signed::Slot;
use crate::record::slots::{SlotMask, SlotNumber};
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The filter for entries of the ledger; an absent value is not a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerFilter {
    pub partner: Option<AgencyName>,
    pub record: Option<IdPrefix>,
    /// The reference of a case: its own records, and those with an open field that refers to it.
    pub case: Option<String>,
    pub from: Option<Timestamp>,
    /// Before this.
    pub to: Option<Timestamp>,
}

/// The action on a record for a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerAction {
    /// The action of an entry of the feed.
    Feed(FeedAction),
    /// It waits for a person; nothing went.
    Held,
    /// Two persons let it go; policy decides anew.
    Released,
    /// Two persons decided that it never goes.
    Refused,
}

/// The state of the partner's receipt for an entry of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptState {
    Missing,
    /// The receipt covers the entry, and the partner holds the record.
    Taken,
    /// The receipt covers the entry, and the partner does not hold the record.
    NotTaken,
}

impl ReceiptState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "no",
            Self::Taken => "yes",
            Self::NotTaken => "not taken",
        }
    }
}

/// A name in a filter that nothing in the history has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownName {
    /// With the partners that the history has.
    Partner(Vec<AgencyName>),
    Record,
    Case,
}

/// One entry of a feed, or of the journal about what is held back from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    pub partner: AgencyName,
    /// The generation of the feed.
    pub generation: Generation,
    /// There with an entry of a feed.
    pub feed_index: Option<u64>,
    pub action: LedgerAction,
    pub record: RecordId,
    pub kind: Kind,
    pub slots: SlotMask,
    pub policy_version: u64,
    pub at: Timestamp,
    pub receipt: ReceiptState,
}

impl Disclosure {
    /// The names of the fields that were disclosed.
    pub fn fields(&self) -> Vec<&'static str> {
        SlotNumber::of(self.kind)
            .filter(|number| self.slots.contains(*number))
            .map(|number| number.spec(self.kind).name)
            .collect()
    }

    pub const fn action_name(&self) -> &'static str {
        match self.action {
            LedgerAction::Feed(FeedAction::Disclose) => "disclose",
            LedgerAction::Feed(FeedAction::Revise) => "revise",
            LedgerAction::Feed(FeedAction::Withdraw) => "withdraw",
            LedgerAction::Feed(FeedAction::Retract) => "retract",
            LedgerAction::Feed(FeedAction::Erase) => "erase",
            LedgerAction::Feed(FeedAction::Erased) => "erased",
            LedgerAction::Feed(FeedAction::ConsentRequest) => "consent-request",
            LedgerAction::Feed(FeedAction::Consent) => "consent",
            LedgerAction::Feed(FeedAction::Unspecified) => "unknown",
            LedgerAction::Held => "held",
            LedgerAction::Released => "released",
            LedgerAction::Refused => "refused",
        }
    }

    /// For programs; 64-bit numbers are strings, as in proto3 JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "at": self.at.to_string(),
            "partner": self.partner.to_string(),
            "generation": self.generation.get(),
            "feed_index": self.feed_index.map(|index| index.to_string()),
            "action": self.action_name(),
            "record_id": self.record.to_string(),
            "kind": self.kind.name(),
            "fields": self.fields(),
            "policy_version": self.policy_version.to_string(),
            "receipt": self.receipt.name(),
        })
    }
}

/// The ledger as far as the history was read.
#[derive(Debug)]
pub(super) struct Disclosures {
    filter: LedgerFilter,
    rows: Vec<Disclosure>,
    /// Rows of feeds that were succeeded; nobody gives a receipt for them any more.
    ended: usize,
    /// Entries of the present feeds that the partner did not take, whatever its receipts cover.
    not_taken: BTreeSet<(AgencyName, u64)>,
    case: Case,
    /// A record was accepted that the filter names.
    is_record_known: bool,
}

/// Records of the case that is asked about; a reference may come before what it refers to.
#[derive(Debug, Default)]
struct Case {
    series: HashSet<SeriesId>,
    records: HashMap<SeriesId, Vec<RecordId>>,
}

impl Disclosures {
    pub(super) fn new(filter: LedgerFilter) -> Self {
        let not_taken = BTreeSet::new();
        Self {
            filter,
            rows: Vec::new(),
            ended: 0,
            not_taken,
            case: Case::default(),
            is_record_known: false,
        }
    }

    /// A record was accepted.
    pub(super) fn accept(&mut self, signed: &ExaminedRecord, content: &Content) {
        let (id, series) = (signed.id(), signed.header().series);
        self.is_record_known |=
            self.filter.record.as_ref().is_some_and(|prefix| prefix.begins(id.as_bytes()));
        let Some(wanted) = &self.filter.case else { return };
        if signed.header().kind == Kind::Case {
            let reference = content
                .slots
                .first()
                .and_then(|slot| match slot {
                    Slot::Open { bytes, .. } => pb::Case::decode(bytes.clone()).ok(),
                    Slot::Withheld(_) | Slot::Erased(_) | Slot::ClaimedErased(_) => None,
                })
                .map(|case| case.reference);
            if reference.as_ref() == Some(wanted) {
                self.case.series.insert(series);
            }
            self.case.records.entry(series).or_default().push(id);
        }
        for referred in signed.references() {
            self.case.records.entry(referred).or_default().push(id);
        }
    }

    /// A record is held back, or that was decided on.
    pub(super) fn hold(
        &mut self,
        (agency, generation): (&AgencyName, Generation),
        row: &Row,
        policy_version: u64,
        action: LedgerAction,
        at: Timestamp,
    ) {
        self.disclose(Disclosure {
            partner: agency.clone(),
            generation,
            feed_index: None,
            action,
            record: row.id,
            kind: row.kind,
            slots: SlotMask::NONE,
            policy_version,
            at,
            receipt: ReceiptState::Missing,
        });
    }

    pub(super) fn disclose(&mut self, row: Disclosure) {
        let LedgerFilter { partner, record, case: _, from, to } = &self.filter;
        let is_wanted = partner.as_ref().is_none_or(|partner| *partner == row.partner)
            && record.as_ref().is_none_or(|prefix| prefix.begins(row.record.as_bytes()))
            && from.is_none_or(|from| from <= row.at)
            && to.is_none_or(|to| row.at < to);
        if is_wanted {
            self.rows.push(row);
        }
    }

    /// A receipt lists entries that the partner does not hold.
    pub(super) fn not_taken(&mut self, receipt: &pb::ReceiptReceived) {
        let Ok(agency) = receipt.partner.parse::<AgencyName>() else { return };
        let indexes = receipt.exceptions.iter().map(|exception| (agency.clone(), exception.index));
        self.not_taken.extend(indexes);
    }

    /// The feeds so far end. `receipted` as for [`Self::finish`].
    pub(super) fn succeed(&mut self, receipted: impl Fn(&AgencyName) -> u64) {
        for row in &mut self.rows[self.ended..] {
            let receipted = receipted(&row.partner);
            row.receipt = match row.feed_index {
                Some(index) if self.not_taken.contains(&(row.partner.clone(), index)) => {
                    ReceiptState::NotTaken
                }
                Some(index) if index < receipted => ReceiptState::Taken,
                _ => ReceiptState::Missing,
            };
        }
        self.not_taken.clear();
        self.ended = self.rows.len();
    }

    /// Returns the rows, and the first name in the filter that the history does not have. `receipted` gives the number
    /// of entries that a partner has receipted.
    pub(super) fn finish(
        mut self,
        receipted: impl Fn(&AgencyName) -> u64,
        partners: Vec<AgencyName>,
    ) -> (Vec<Disclosure>, Option<UnknownName>) {
        self.succeed(receipted);
        let unknown = self.unknown(partners);
        let Self { filter, mut rows, case, .. } = self;
        if filter.case.is_some() {
            let Case { series, records } = case;
            let members: BTreeSet<RecordId> =
                series.iter().filter_map(|series| records.get(series)).flatten().copied().collect();
            rows.retain(|row| members.contains(&row.record));
        }
        (rows, unknown)
    }

    fn unknown(&self, partners: Vec<AgencyName>) -> Option<UnknownName> {
        let LedgerFilter { partner, record, case, from: _, to: _ } = &self.filter;
        if partner.as_ref().is_some_and(|partner| !partners.contains(partner)) {
            return Some(UnknownName::Partner(partners));
        }
        if record.is_some() && !self.is_record_known {
            return Some(UnknownName::Record);
        }
        (case.is_some() && self.case.series.is_empty()).then_some(UnknownName::Case)
    }
}
