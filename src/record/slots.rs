//! The frozen slot tables: which fields a kind has, their classes and what may stand in them.
//!
//! Slot k of a kind is field k of its message in proto/liaison/v1/content.proto; a test holds the
//! two together. Entries are never removed, renumbered or reclassified.

use super::kind::{ClassSet, Kind, SlotClass};

/// Bytes of one slot at the most: 31 of them with salts stay below the 2 MiB that one content
/// frame may have.
pub const SLOT_BYTES_MAX: usize = 48 * 1024;

/// Values in a repeated slot at the most.
pub const REPEATED_MAX: usize = 64;

/// The rule for the value of a slot. The rule also fixes the protobuf wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A number of [`crate::value::ValueType`].
    ValueType,
    /// Normalised text of a value whose type is in slot 1.
    Value,
    /// One line without control characters, at most so many bytes.
    Line(usize),
    /// Text that may have line breaks, at most so many bytes.
    Text(usize),
    /// ISO 3166-1 alpha-2.
    Country,
    /// ISO 4217.
    Currency,
    /// Milliseconds since 1970, years 2000 to 2100.
    Time,
    /// Any number up to 2^32 - 1.
    Count,
    /// Any number.
    Amount,
    /// A series id of 16 bytes.
    Series,
    /// The name of an agency.
    Agency,
    /// A number of a closed list, 1 up to this.
    Choice(u64),
    /// A step of a custody chain.
    CustodyStep,
}

impl Rule {
    pub const fn is_varint(self) -> bool {
        matches!(self, Self::ValueType | Self::Time | Self::Count | Self::Amount | Self::Choice(_))
    }
}

/// One row of a slot table.
#[derive(Debug, Clone, Copy)]
pub struct SlotSpec {
    pub name: &'static str,
    pub class: SlotClass,
    pub rule: Rule,
    pub repeated: bool,
}

const fn one(name: &'static str, class: SlotClass, rule: Rule) -> SlotSpec {
    SlotSpec { name, class, rule, repeated: false }
}

const fn many(name: &'static str, class: SlotClass, rule: Rule) -> SlotSpec {
    SlotSpec { name, class, rule, repeated: true }
}

use Rule::{
    Agency, Amount, Choice, Count, Country, Currency, CustodyStep, Line, Series, Text, Time, Value,
    ValueType,
};
use SlotClass::{Core, Evidence, Links, Notes, Reporter, Source, Victim};

const TITLE: Rule = Line(512);
const SHORT: Rule = Line(256);
const LONG: Rule = Text(16 * 1024);

const INDICATOR: &[SlotSpec] = &[
    one("type", Core, ValueType),
    one("value", Core, Value),
    one("role", Core, Line(64)),
    one("first_seen_ms", Core, Time),
    one("last_seen_ms", Core, Time),
    one("valid_until_ms", Core, Time),
    one("title", Core, TITLE),
    one("source", Source, Line(2048)),
    many("references", Source, Line(2048)),
    one("reporter", Reporter, SHORT),
    one("notes", Notes, LONG),
    many("cases", Links, Series),
];

const CASE: &[SlotSpec] = &[
    one("reference", Core, SHORT),
    one("title", Core, TITLE),
    one("status", Core, Choice(4)),
    many("crime_types", Core, Line(64)),
    many("jurisdictions", Core, Country),
    one("lead", Core, Agency),
    many("participants", Core, Agency),
    one("opened_at_ms", Core, Time),
    one("summary", Notes, LONG),
    one("origin", Source, LONG),
];

const CASE_ACTION: &[SlotSpec] = &[
    one("type", Core, Choice(5)),
    one("at_ms", Core, Time),
    one("country", Core, Country),
    one("place", Core, SHORT),
    one("count", Core, Count),
    one("agency", Core, Agency),
    one("authority", Evidence, SHORT),
    one("notes", Notes, LONG),
    many("cases", Links, Series),
];

const SUBJECT: &[SlotSpec] = &[
    one("type", Core, Choice(5)),
    one("role", Core, Choice(3)),
    one("country", Core, Country),
    one("name", Victim, SHORT),
    one("date_of_birth", Victim, Line(10)),
    many("contacts", Victim, SHORT),
    one("loss_minor_units", Victim, Amount),
    one("loss_currency", Victim, Currency),
    many("document_ids", Evidence, SHORT),
    one("notes", Notes, LONG),
    many("cases", Links, Series),
];

const EVIDENCE: &[SlotSpec] = &[
    one("item", Core, SHORT),
    one("count", Core, Count),
    one("seized_at_ms", Core, Time),
    one("country", Core, Country),
    one("exhibit", Evidence, SHORT),
    one("hash", Evidence, SHORT),
    many("custody", Evidence, CustodyStep),
    one("owner", Victim, SHORT),
    one("notes", Notes, LONG),
    many("cases", Links, Series),
];

const TAKEDOWN_REQUEST: &[SlotSpec] = &[
    one("type", Core, ValueType),
    one("value", Core, Value),
    one("action", Core, Choice(5)),
    one("provider", Core, SHORT),
    one("due_at_ms", Core, Time),
    one("basis", Core, SHORT),
    many("evidence", Evidence, Line(2048)),
    one("reporter", Reporter, SHORT),
    one("notes", Notes, LONG),
    many("cases", Links, Series),
];

const TAKEDOWN_RESULT: &[SlotSpec] = &[
    one("type", Core, ValueType),
    one("value", Core, Value),
    one("action", Core, Choice(5)),
    one("status", Core, Choice(6)),
    one("provider", Core, SHORT),
    one("country", Core, Country),
    one("acted_at_ms", Core, Time),
    one("reason", Core, TITLE),
    one("case_reference", Core, SHORT),
    one("source", Source, Line(2048)),
    one("evidence", Evidence, Line(2048)),
    one("reporter", Reporter, SHORT),
    one("notes", Notes, LONG),
    many("cases", Links, Series),
];

const SIGHTING: &[SlotSpec] = &[
    one("type", Core, ValueType),
    one("value", Core, Value),
    one("first_seen_ms", Core, Time),
    one("last_seen_ms", Core, Time),
    one("count", Core, Count),
    one("source", Source, Line(2048)),
    one("seen_at", Victim, SHORT),
    one("notes", Notes, LONG),
    many("records", Links, Series),
];

const OPINION: &[SlotSpec] = &[
    one("record", Links, Series),
    one("verdict", Core, Choice(6)),
    one("explanation", Core, TITLE),
    one("author", Reporter, SHORT),
    one("notes", Notes, LONG),
];

const RELATIONSHIP: &[SlotSpec] = &[
    one("from", Links, Series),
    one("to", Links, Series),
    one("verb", Core, Line(64)),
    one("since_ms", Core, Time),
    one("until_ms", Core, Time),
    one("notes", Notes, LONG),
];

const NOTE: &[SlotSpec] = &[
    one("title", Core, TITLE),
    one("text", Notes, Text(SLOT_BYTES_MAX - 8)),
    one("author", Reporter, SHORT),
    many("records", Links, Series),
];

const INFORMATION_REQUEST: &[SlotSpec] = &[
    one("title", Core, TITLE),
    one("question", Core, LONG),
    one("due_at_ms", Core, Time),
    many("asked", Core, Agency),
    one("background", Source, LONG),
    one("notes", Notes, LONG),
    many("records", Links, Series),
];

const INFORMATION_RESPONSE: &[SlotSpec] = &[
    one("request", Links, Series),
    one("status", Core, Choice(4)),
    one("answer", Core, LONG),
    one("source", Source, LONG),
    one("notes", Notes, LONG),
    many("records", Links, Series),
];

const WITHDRAWAL: &[SlotSpec] =
    &[one("reason", Core, Choice(4)), one("explanation", Notes, Text(1024))];

impl Kind {
    /// The kind's slot table; row i is slot i + 1.
    pub const fn slots(self) -> &'static [SlotSpec] {
        match self {
            Self::Indicator => INDICATOR,
            Self::Case => CASE,
            Self::CaseAction => CASE_ACTION,
            Self::Subject => SUBJECT,
            Self::Evidence => EVIDENCE,
            Self::TakedownRequest => TAKEDOWN_REQUEST,
            Self::TakedownResult => TAKEDOWN_RESULT,
            Self::Sighting => SIGHTING,
            Self::Opinion => OPINION,
            Self::Relationship => RELATIONSHIP,
            Self::Note => NOTE,
            Self::InformationRequest => INFORMATION_REQUEST,
            Self::InformationResponse => INFORMATION_RESPONSE,
            Self::Withdrawal => WITHDRAWAL,
        }
    }

    /// The slots that say what a record of this kind is about: a single reference each. Without it
    /// the record means nothing, and with it hidden it would tell that there is something.
    pub fn subject_slots(self) -> impl Iterator<Item = SlotNumber> {
        self.reference_slots().filter(move |slot| !slot.spec(self).repeated)
    }

    /// The slots that refer to other records.
    pub fn reference_slots(self) -> impl Iterator<Item = SlotNumber> {
        SlotNumber::of(self).filter(move |slot| slot.spec(self).rule == Series)
    }

    /// The slots of this kind whose class is in the set.
    pub fn slots_of(self, classes: ClassSet) -> SlotMask {
        SlotNumber::of(self)
            .filter(|slot| classes.contains(slot.spec(self).class))
            .fold(SlotMask::NONE, SlotMask::with)
    }
}

/// The number of a slot, 1 to 31.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotNumber(u8);

impl SlotNumber {
    /// All slots of a kind in ascending order.
    pub fn of(kind: Kind) -> impl Iterator<Item = Self> {
        (1..=kind.slots().len() as u8).map(Self)
    }

    pub fn in_kind(number: u32, kind: Kind) -> Option<Self> {
        Self::of(kind).find(|slot| u32::from(slot.0) == number)
    }

    pub const fn get(self) -> u8 {
        self.0
    }

    /// Position in a kind's table.
    pub const fn row(self) -> usize {
        self.0 as usize - 1
    }

    pub fn spec(self, kind: Kind) -> &'static SlotSpec {
        &kind.slots()[self.row()]
    }
}

/// A set of slots; bit k is slot k.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SlotMask(u32);

impl SlotMask {
    pub const NONE: Self = Self(0);

    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & !1)
    }

    pub const fn bits(self) -> u32 {
        self.0
    }

    #[must_use]
    pub const fn with(self, slot: SlotNumber) -> Self {
        Self(self.0 | 1 << slot.0)
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn contains(self, slot: SlotNumber) -> bool {
        self.0 & 1 << slot.0 != 0
    }

    /// All slots of a kind.
    pub fn all(kind: Kind) -> Self {
        SlotNumber::of(kind).fold(Self::NONE, Self::with)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }
}
