//! The kinds of records, and the classes of their fields.

/// The kind of a record. The number is the kind's number on the wire and under the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    Indicator = 1,
    Case = 2,
    CaseAction = 3,
    Subject = 4,
    Evidence = 5,
    TakedownRequest = 6,
    TakedownResult = 7,
    Sighting = 8,
    Opinion = 9,
    Relationship = 10,
    Note = 11,
    InformationRequest = 12,
    InformationResponse = 13,
    Withdrawal = 14,
}

impl Kind {
    pub const ALL: [Self; 14] = [
        Self::Indicator,
        Self::Case,
        Self::CaseAction,
        Self::Subject,
        Self::Evidence,
        Self::TakedownRequest,
        Self::TakedownResult,
        Self::Sighting,
        Self::Opinion,
        Self::Relationship,
        Self::Note,
        Self::InformationRequest,
        Self::InformationResponse,
        Self::Withdrawal,
    ];

    pub const fn number(self) -> u8 {
        self as u8
    }

    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| u32::from(kind.number()) == number)
    }

    /// The name in policies, on the command line and in JSON, for example `takedown-result`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Indicator => "indicator",
            Self::Case => "case",
            Self::CaseAction => "case-action",
            Self::Subject => "subject",
            Self::Evidence => "evidence",
            Self::TakedownRequest => "takedown-request",
            Self::TakedownResult => "takedown-result",
            Self::Sighting => "sighting",
            Self::Opinion => "opinion",
            Self::Relationship => "relationship",
            Self::Note => "note",
            Self::InformationRequest => "information-request",
            Self::InformationResponse => "information-response",
            Self::Withdrawal => "withdrawal",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The class of a slot. `Core` goes with the record; every other class needs its own permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SlotClass {
    Core = 0,
    Victim = 1,
    Reporter = 2,
    Source = 3,
    Evidence = 4,
    Notes = 5,
    Links = 6,
}

impl SlotClass {
    pub const ALL: [Self; 7] = [
        Self::Core,
        Self::Victim,
        Self::Reporter,
        Self::Source,
        Self::Evidence,
        Self::Notes,
        Self::Links,
    ];

    /// The classes that are withheld unless a policy reveals them.
    pub const SENSITIVE: [Self; 6] =
        [Self::Victim, Self::Reporter, Self::Source, Self::Evidence, Self::Notes, Self::Links];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Victim => "victim",
            Self::Reporter => "reporter",
            Self::Source => "source",
            Self::Evidence => "evidence",
            Self::Notes => "notes",
            Self::Links => "links",
        }
    }
}

/// A set of slot classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClassSet(u8);

impl ClassSet {
    pub const EMPTY: Self = Self(0);
    pub const CORE: Self = Self(1);

    #[must_use]
    pub const fn with(self, class: SlotClass) -> Self {
        Self(self.0 | 1 << class as u8)
    }

    pub const fn contains(self, class: SlotClass) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = SlotClass> {
        SlotClass::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

impl FromIterator<SlotClass> for ClassSet {
    fn from_iter<I: IntoIterator<Item = SlotClass>>(classes: I) -> Self {
        classes.into_iter().fold(Self::EMPTY, Self::with)
    }
}
