//! How far the relation with a partner has come, and which steps may follow.
//!
//! ```text
//! Received ──verify──▶ Verified ──approve──▶ Approved ──accepted by both──▶ Active ◀──▶ Suspended
//!     ▲                                                                        │           │
//!     └──────────── another identity, name, country or sector ◀── any state ───┴── revoke ─┴▶ Revoked
//! ```
//!
//! A pure function: who may cause an event, and what is journaled, is decided where it is called.

use std::fmt;

use crate::pb;

/// How far the relation with a partner has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PartnerState {
    /// A card is here; nobody has compared its number.
    Received,
    /// An officer heard the number over a second channel and typed it.
    Verified,
    /// A second officer approved; the partner's own acceptance is awaited.
    Approved,
    /// Both accepted; records cross as far as policy allows.
    Active,
    /// Stopped by an operator until resumed.
    Suspended,
    /// Ended. Only a new ceremony starts it again.
    Revoked,
}

impl PartnerState {
    pub const ALL: [Self; 6] = [
        Self::Received,
        Self::Verified,
        Self::Approved,
        Self::Active,
        Self::Suspended,
        Self::Revoked,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Verified => "verified",
            Self::Approved => "approved",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    /// Whether the partner may complete a handshake: from approval on, so that acceptances can cross,
    /// and while suspended, so that it is told so. Each request asks for the state again.
    pub const fn may_connect(self) -> bool {
        matches!(self, Self::Approved | Self::Active | Self::Suspended)
    }

    /// Whether records may cross.
    pub const fn may_exchange(self) -> bool {
        matches!(self, Self::Active)
    }
}

impl fmt::Display for PartnerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<pb::PartnerState> for PartnerState {
    type Error = TransitionError;

    fn try_from(state: pb::PartnerState) -> Result<Self, TransitionError> {
        Ok(match state {
            pb::PartnerState::Unspecified => return Err(TransitionError::Unspecified),
            pb::PartnerState::Received => Self::Received,
            pb::PartnerState::Verified => Self::Verified,
            pb::PartnerState::Approved => Self::Approved,
            pb::PartnerState::Active => Self::Active,
            pb::PartnerState::Suspended => Self::Suspended,
            pb::PartnerState::Revoked => Self::Revoked,
        })
    }
}

impl From<PartnerState> for pb::PartnerState {
    fn from(state: PartnerState) -> Self {
        match state {
            PartnerState::Received => Self::Received,
            PartnerState::Verified => Self::Verified,
            PartnerState::Approved => Self::Approved,
            PartnerState::Active => Self::Active,
            PartnerState::Suspended => Self::Suspended,
            PartnerState::Revoked => Self::Revoked,
        }
    }
}

/// What happens to a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartnerEvent {
    /// The number was heard, typed and matched.
    NumberMatched,
    /// An officer other than the one who typed it approved.
    Approved,
    /// Both sides' acceptances are here.
    AcceptedByBoth,
    Suspended,
    Resumed,
    Revoked,
    /// A card with another identity key, name, country or sector takes the place of the known one.
    CardReplaced,
}

impl PartnerEvent {
    pub const ALL: [Self; 7] = [
        Self::NumberMatched,
        Self::Approved,
        Self::AcceptedByBoth,
        Self::Suspended,
        Self::Resumed,
        Self::Revoked,
        Self::CardReplaced,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::NumberMatched => "number matched",
            Self::Approved => "approved",
            Self::AcceptedByBoth => "accepted by both",
            Self::Suspended => "suspend",
            Self::Resumed => "resume",
            Self::Revoked => "revoke",
            Self::CardReplaced => "card replaced",
        }
    }
}

/// Why a state does not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    #[error("a partner that is {} does not take {:?}", state.name(), event.name())]
    NotAllowed { state: PartnerState, event: PartnerEvent },
    #[error("the partner's state is not said")]
    Unspecified,
}

/// The state that follows `state` when `event` happens.
pub fn transition(
    state: PartnerState,
    event: PartnerEvent,
) -> Result<PartnerState, TransitionError> {
    use {PartnerEvent as Event, PartnerState as State};
    Ok(match (state, event) {
        (_, Event::CardReplaced) => State::Received,
        (State::Received, Event::NumberMatched) => State::Verified,
        (State::Verified, Event::Approved) => State::Approved,
        (State::Approved, Event::AcceptedByBoth) => State::Active,
        (State::Active, Event::Suspended) => State::Suspended,
        (State::Suspended, Event::Resumed) => State::Active,
        (
            State::Received | State::Verified | State::Approved | State::Active | State::Suspended,
            Event::Revoked,
        ) => State::Revoked,
        _ => return Err(TransitionError::NotAllowed { state, event }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state against every event, for a reader to check at a glance.
    #[test]
    fn these_steps_and_no_others_are_allowed() {
        let mut table = String::new();
        for state in PartnerState::ALL {
            for event in PartnerEvent::ALL {
                if let Ok(next) = transition(state, event) {
                    table += &format!("{state} + {} -> {next}\n", event.name());
                }
            }
        }
        assert_eq!(
            table,
            "received + number matched -> verified\n\
             received + revoke -> revoked\n\
             received + card replaced -> received\n\
             verified + approved -> approved\n\
             verified + revoke -> revoked\n\
             verified + card replaced -> received\n\
             approved + accepted by both -> active\n\
             approved + revoke -> revoked\n\
             approved + card replaced -> received\n\
             active + suspend -> suspended\n\
             active + revoke -> revoked\n\
             active + card replaced -> received\n\
             suspended + resume -> active\n\
             suspended + revoke -> revoked\n\
             suspended + card replaced -> received\n\
             revoked + card replaced -> received\n"
        );
    }

    #[test]
    fn only_an_active_partner_exchanges_records() {
        let may: Vec<_> = PartnerState::ALL.into_iter().filter(|s| s.may_exchange()).collect();
        assert_eq!(may, [PartnerState::Active]);
    }

    #[test]
    fn a_state_survives_its_wire_form() {
        for state in PartnerState::ALL {
            assert_eq!(PartnerState::try_from(pb::PartnerState::from(state)), Ok(state));
        }
        assert!(PartnerState::try_from(pb::PartnerState::Unspecified).is_err());
    }
}
