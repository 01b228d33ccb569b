//! The states of the relation with a partner, and the steps between them.
//!
//! ```text
//! added with its number and a second person ──▶ Active ◀──▶ Suspended
//!                                                 │            │
//!                                                 └── revoke ──┴──▶ Revoked
//! ```
//!
//! A pure function: who may cause an event, and what is journaled, is decided where it is called.

use std::fmt;

use crate::pb;

/// The state of the relation with a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PartnerState {
    /// Records cross as far as policy allows.
    Active,
    /// Stopped by an operator until resumed.
    Suspended,
    /// Ended. Only a new ceremony starts it again.
    Revoked,
}

impl PartnerState {
    pub const ALL: [Self; 3] = [Self::Active, Self::Suspended, Self::Revoked];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    /// Returns whether the partner may complete a handshake; while suspended too, so that it learns of that.
    /// Each request asks for the state again.
    pub const fn may_connect(self) -> bool {
        matches!(self, Self::Active | Self::Suspended)
    }

    /// Returns true if records may be exchanged.
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
            pb::PartnerState::Active => Self::Active,
            pb::PartnerState::Suspended => Self::Suspended,
            pb::PartnerState::Revoked => Self::Revoked,
        })
    }
}

impl From<PartnerState> for pb::PartnerState {
    fn from(state: PartnerState) -> Self {
        match state {
            PartnerState::Active => Self::Active,
            PartnerState::Suspended => Self::Suspended,
            PartnerState::Revoked => Self::Revoked,
        }
    }
}

/// An event in the relation with a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartnerEvent {
    Suspended,
    Resumed,
    Revoked,
}

impl PartnerEvent {
    pub const ALL: [Self; 3] = [Self::Suspended, Self::Resumed, Self::Revoked];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspended => "suspend",
            Self::Resumed => "resume",
            Self::Revoked => "revoke",
        }
    }
}

/// The reason why an event does not lead to a new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    #[error("the partner is {}, so `liaison partner {}` is not possible", state.name(), event.name())]
    NotAllowed { state: PartnerState, event: PartnerEvent },
    #[error("the state of the partner is missing")]
    Unspecified,
}

/// The state that follows `state` when `event` happens.
pub fn transition(
    state: PartnerState,
    event: PartnerEvent,
) -> Result<PartnerState, TransitionError> {
    use {PartnerEvent as Event, PartnerState as State};
    Ok(match (state, event) {
        (State::Active, Event::Suspended) => State::Suspended,
        (State::Suspended, Event::Resumed) => State::Active,
        (State::Active | State::Suspended, Event::Revoked) => State::Revoked,
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
            "active + suspend -> suspended\n\
             active + revoke -> revoked\n\
             suspended + resume -> active\n\
             suspended + revoke -> revoked\n"
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
