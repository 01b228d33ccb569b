//! The standing of a record at this node, and that of its disclosure to a partner.

use crate::exchange::{Disclosed, FeedAction, Reason};
use crate::ident::PartnerNumber;
use crate::pb;
use crate::record::slots::SlotMask;

/// The standing of a record here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The entry that accepted it.
    pub journal_index: u64,
    /// The partner it came from; `None` if it was submitted here.
    pub partner: Option<PartnerNumber>,
    pub marks: Marks,
}

/// The marks of a record in the index, which are needed before its content is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks(u8);

impl Marks {
    const ERASED: u8 = 1;
    const RESTRICTED: u8 = 2;
    const RETRACTED: u8 = 4;
    const SUPERSEDED: u8 = 8;

    /// Some of its slots were erased here.
    pub const fn is_erased(self) -> bool {
        self.0 & Self::ERASED != 0
    }

    /// It is under a hold: kept, and not used.
    pub const fn is_restricted(self) -> bool {
        self.0 & Self::RESTRICTED != 0
    }

    /// The partner that it came from wants it no longer used.
    pub const fn is_retracted(self) -> bool {
        self.0 & Self::RETRACTED != 0
    }

    /// Another record of its series is newer, or as new.
    pub const fn is_superseded(self) -> bool {
        self.0 & Self::SUPERSEDED != 0
    }

    /// It is in use, and it alone is the newest of its series.
    pub const fn is_current(self) -> bool {
        self.is_usable() && !self.is_superseded()
    }

    /// It may be matched, served and passed on like any other.
    pub const fn is_usable(self) -> bool {
        self.0 & (Self::RESTRICTED | Self::RETRACTED) == 0
    }

    #[must_use]
    pub const fn with_erased(self) -> Self {
        Self(self.0 | Self::ERASED)
    }

    #[must_use]
    pub const fn with_superseded(self) -> Self {
        Self(self.0 | Self::SUPERSEDED)
    }

    /// Returns the marks without that of its place in its series.
    #[must_use]
    pub const fn beside_series(self) -> Self {
        Self(self.0 & !Self::SUPERSEDED)
    }

    #[must_use]
    pub const fn with_restricted(self, on: bool) -> Self {
        self.set(Self::RESTRICTED, on)
    }

    #[must_use]
    pub const fn with_retracted(self, on: bool) -> Self {
        self.set(Self::RETRACTED, on)
    }

    /// Returns the marks with these bits, as the index keeps them.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u8 {
        self.0
    }

    const fn set(self, bit: u8, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

/// The disclosure of a record to a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disclosure {
    /// Index of the last entry in the feed that shows it.
    pub feed_index: u64,
    pub disclosed: Disclosed,
}

impl Disclosure {
    /// Returns the disclosure after a receipt in which the partner did not take the entry at
    /// `feed_index`; `None` if a later one shows the record.
    pub fn not_taken_at(self, feed_index: u64, reason: Reason) -> Option<Self> {
        let disclosed = match reason {
            Reason::NotSupplied => self.disclosed.lapsed(),
            reason if reason.is_refusal() => self.disclosed.refused(),
            _ => return None,
        };
        (self.feed_index == feed_index).then_some(Self { disclosed, ..self })
    }

    /// Returns the disclosure after another entry of the feed.
    pub fn after(before: Option<Self>, feed_index: u64, entry: &pb::FeedEntry) -> Self {
        let slots = SlotMask::from_bits(entry.open_slots);
        let action = match entry.action() {
            pb::FeedAction::Retract => FeedAction::Retract,
            pb::FeedAction::Erase => FeedAction::Erase,
            pb::FeedAction::Erased => FeedAction::Erased,
            pb::FeedAction::ConsentRequest => FeedAction::ConsentRequest,
            pb::FeedAction::Consent => FeedAction::Consent,
            pb::FeedAction::Withdraw => FeedAction::Withdraw,
            pb::FeedAction::Revise => FeedAction::Revise,
            pb::FeedAction::Disclose | pb::FeedAction::Unspecified => FeedAction::Disclose,
        };
        let shown_at = before.filter(|_| !action.carries_record()).map(|before| before.feed_index);
        let disclosed = Disclosed::after(before.map(|before| before.disclosed), action, slots);
        Self { feed_index: shown_at.unwrap_or(feed_index), disclosed }
    }
}

/// The state of a record that was held once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldState {
    Waiting,
    Released,
    Refused,
}
