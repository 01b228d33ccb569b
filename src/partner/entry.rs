//! What a node holds of one partner: the card, the state, and the facts that policy asks for.
//!
//! Its wire form is the payload of the journal's partner entries, so the partners can be rebuilt from
//! the journal alone.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use prost::Message;

use super::card::{CardError, VerifiedCard};
use super::state::{PartnerEvent, PartnerState, TransitionError, transition};
use crate::ident::{AgencyName, IdentError, Timestamp};
use crate::pb;

/// Most circles, and most operations, of one partner.
pub const TAGS_MAX: usize = 32;
/// Longest name of a circle or an operation in bytes.
pub const TAG_BYTES_MAX: usize = 64;

/// Why a partner entry was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("the bytes are not a well-formed partner entry")]
    Malformed,
    #[error("the partner entry has no card")]
    NoCard,
    #[error("the card of the partner entry is not accepted")]
    Card(#[from] CardError),
    #[error("the state of the partner entry is not accepted")]
    State(#[from] TransitionError),
    #[error("{field} of the partner entry is wrong")]
    Time { field: &'static str, source: IdentError },
    #[error("{0:?} is not 1 to {TAG_BYTES_MAX} bytes of a-z, 0-9, - and _")]
    Tag(String),
    #[error("a partner has at most {TAGS_MAX} {field} in ascending order, found {found}")]
    Tags { field: &'static str, found: usize },
}

/// The name of a circle or an operation: 1 to 64 bytes of `a-z`, `0-9`, `-` and `_`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if (1..=TAG_BYTES_MAX).contains(&text.len()) && text.bytes().all(sound) {
            Ok(Self(text.into()))
        } else {
            Err(EntryError::Tag(text.to_owned()))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a node holds of one partner.
#[derive(Debug, Clone, PartialEq)]
pub struct PartnerEntry {
    pub card: VerifiedCard,
    pub state: PartnerState,
    /// When the state last changed.
    pub changed_at: Timestamp,
    pub circles: BTreeSet<Tag>,
    pub operations: BTreeSet<Tag>,
    /// When the sharing agreement runs out; `None` when it has no end.
    pub agreement_until: Option<Timestamp>,
}

impl PartnerEntry {
    /// A partner whose card has just come.
    pub fn received(card: VerifiedCard, now: Timestamp) -> Self {
        Self {
            card,
            state: PartnerState::Received,
            changed_at: now,
            circles: BTreeSet::new(),
            operations: BTreeSet::new(),
            agreement_until: None,
        }
    }

    pub fn agency(&self) -> &AgencyName {
        &self.card.card().agency
    }

    /// This entry after an event.
    pub fn after(self, event: PartnerEvent, now: Timestamp) -> Result<Self, TransitionError> {
        Ok(Self { state: transition(self.state, event)?, changed_at: now, ..self })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        pb::PartnerEntry::from(self).encode_to_vec()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        pb::PartnerEntry::decode(bytes).map_err(|_| EntryError::Malformed)?.try_into()
    }
}

impl From<&PartnerEntry> for pb::PartnerEntry {
    fn from(entry: &PartnerEntry) -> Self {
        let PartnerEntry { card, state, changed_at, circles, operations, agreement_until } = entry;
        let texts = |tags: &BTreeSet<Tag>| tags.iter().map(ToString::to_string).collect();
        Self {
            card: Some(card.signed().clone()),
            state: pb::PartnerState::from(*state).into(),
            changed_at_ms: changed_at.unix_ms(),
            circles: texts(circles),
            operations: texts(operations),
            agreement_until_ms: agreement_until.map_or(0, Timestamp::unix_ms),
        }
    }
}

impl TryFrom<pb::PartnerEntry> for PartnerEntry {
    type Error = EntryError;

    fn try_from(message: pb::PartnerEntry) -> Result<Self, EntryError> {
        let state = message.state();
        let pb::PartnerEntry {
            card,
            state: _,
            changed_at_ms,
            circles,
            operations,
            agreement_until_ms,
        } = message;
        let moment = |field, ms| {
            Timestamp::from_unix_ms(ms).map_err(|source| EntryError::Time { field, source })
        };
        Ok(Self {
            card: card.ok_or(EntryError::NoCard)?.try_into()?,
            state: state.try_into()?,
            changed_at: moment("the moment of change", changed_at_ms)?,
            circles: tags("circles", &circles)?,
            operations: tags("operations", &operations)?,
            agreement_until: match agreement_until_ms {
                0 => None,
                ms => Some(moment("the end of the agreement", ms)?),
            },
        })
    }
}

fn tags(field: &'static str, texts: &[String]) -> Result<BTreeSet<Tag>, EntryError> {
    if texts.len() > TAGS_MAX || !texts.is_sorted_by(|a, b| a < b) {
        return Err(EntryError::Tags { field, found: texts.len() });
    }
    texts.iter().map(|text| text.parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partner::card::tests::{at, key, sample};
    use crate::partner::keys::Role;

    fn entry() -> PartnerEntry {
        let card = sample().seal(&key(Role::Identity, 1)).unwrap();
        let mut entry = PartnerEntry::received(card, at("2026-02-01"));
        entry.circles = ["japan", "chakra"].iter().map(|tag| tag.parse().unwrap()).collect();
        entry.agreement_until = Some(at("2028-01-01"));
        entry
    }

    #[test]
    fn an_entry_survives_its_wire_form() {
        let entry = entry();
        assert_eq!(PartnerEntry::from_bytes(&entry.to_bytes()), Ok(entry));
    }

    #[test]
    fn the_ceremony_leads_to_an_active_partner() {
        let events =
            [PartnerEvent::NumberMatched, PartnerEvent::Approved, PartnerEvent::AcceptedByBoth];
        let active = events
            .into_iter()
            .try_fold(entry(), |entry, event| entry.after(event, at("2026-02-02")))
            .unwrap();
        assert_eq!((active.state, active.changed_at), (PartnerState::Active, at("2026-02-02")));
        assert!(active.after(PartnerEvent::Approved, at("2026-02-03")).is_err());
    }

    #[test]
    fn tags_out_of_order_or_form_are_refused() {
        let mut message = pb::PartnerEntry::from(&entry());
        message.circles.reverse();
        assert!(matches!(
            PartnerEntry::try_from(message),
            Err(EntryError::Tags { field: "circles", found: 2 })
        ));
        for text in ["", "A", "a b", "a\n", &"x".repeat(TAG_BYTES_MAX + 1)] {
            assert!(text.parse::<Tag>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_entry_without_a_card_or_state_is_refused() {
        let mut message = pb::PartnerEntry::from(&entry());
        message.state = 0;
        assert!(matches!(PartnerEntry::try_from(message), Err(EntryError::State(_))));
        let mut message = pb::PartnerEntry::from(&entry());
        message.card = None;
        assert_eq!(PartnerEntry::try_from(message), Err(EntryError::NoCard));
        assert!(PartnerEntry::from_bytes(&[]).is_err());
    }
}
