//! The sum of the entries about consent so far.
//!
//! Every entry is kept in the index, because a number that was used must never be used again.

use crate::disclosure::ConsentsInForce;
use crate::exchange::ConsentRegister;
use crate::ident::AgencyName;
use crate::journal::JournalError;
use crate::pb::{self, journal_entry::Event};
use crate::policy::Consents;
use crate::record::consent::{Consent, ConsentRequest, Parties};
use std::sync::Arc;

pub(in crate::journal) const PREFIX: &[u8] = b"r/";

/// The state of consents after the entries so far.
#[derive(Debug, Clone, Default)]
pub struct ConsentState {
    pub dealings: Arc<ConsentRegister>,
    /// Counts entries after which policy may see another release list.
    pub changes: u64,
    /// Entries below this index were taken in; they may be applied again after a restart.
    pub(in crate::journal) next: u64,
}

pub(in crate::journal) fn key(index: u64) -> Vec<u8> {
    [PREFIX, &index.to_be_bytes()].concat()
}

pub(in crate::journal) const fn is_about_consent(event: &Event) -> bool {
    matches!(
        event,
        Event::ConsentRequested(_)
            | Event::ConsentGiven(_)
            | Event::ConsentReceived(_)
            | Event::ConsentEnded(_)
    )
}

fn agency(index: u64, name: &str) -> Result<AgencyName, JournalError> {
    name.parse().map_err(|error: crate::ident::IdentError| JournalError::Entry {
        index,
        reason: error.to_string(),
    })
}

fn consent_in(index: u64, wire: &Option<pb::Consent>) -> Result<Consent, JournalError> {
    Consent::try_from(wire.clone().unwrap_or_default())
        .map_err(|error| JournalError::Entry { index, reason: error.to_string() })
}

impl ConsentState {
    /// Takes in an entry of this agency's journal, if it is about consent.
    pub(in crate::journal) fn apply(
        &mut self,
        index: u64,
        event: &Event,
        own: Option<&AgencyName>,
    ) -> Result<(), JournalError> {
        if index < self.next || !is_about_consent(event) {
            return Ok(());
        }
        self.next = index + 1;
        let dealings = Arc::make_mut(&mut self.dealings);
        match event {
            Event::ConsentRequested(asked) => {
                let partner = agency(index, &asked.partner)?;
                let request = asked.request.clone().unwrap_or_default();
                let request = ConsentRequest::try_from(request)
                    .map_err(|error| JournalError::Entry { index, reason: error.to_string() })?;
                match asked.client.is_empty() {
                    true => dealings.asked(index, &partner, request),
                    false => dealings.ask(index, &partner, request),
                }
            }
            Event::ConsentGiven(given) => {
                let (holder, consent) =
                    (agency(index, &given.holder)?, consent_in(index, &given.consent)?);
                let originator = own.cloned().ok_or_else(|| JournalError::Entry {
                    index,
                    reason: "it comes before the agency's card".to_owned(),
                })?;
                let parties = Parties { originator: &originator, holder: &holder };
                dealings.say(index, parties, consent);
            }
            Event::ConsentReceived(received) => {
                let originator = agency(index, &received.partner)?;
                dealings.heard(&originator, &consent_in(index, &received.consent)?);
                self.changes += 1;
            }
            Event::ConsentEnded(ended) => {
                dealings.ended(&agency(index, &ended.originator)?, ended.number);
                self.changes += 1;
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the part of it that decisions see.
    pub fn in_effect(&self) -> ConsentsInForce {
        ConsentsInForce { register: Arc::clone(&self.dealings), changes: self.changes }
    }

    pub fn in_force(&self) -> &Consents {
        self.dealings.in_force()
    }
}
