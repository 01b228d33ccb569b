//! Consents in the journal: what each entry about them adds, and what they come to at some point.
//!
//! Every entry is kept in the index, because a number that was used must never be used again. People
//! ask and answer, so they are few.

use super::JournalError;
use super::entry;
use super::state::State;
use super::view::View;
use crate::exchange::{Dealings, Said};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb::{self, journal_entry::Event};
use crate::policy::Consents;
use crate::record::consent::{
    Consent, ConsentError, ConsentRequest, Parties, Purpose, Scope, Subject,
};
use crate::store::{KeyRange, Order, Table};
use std::sync::Arc;

pub(super) const PREFIX: &[u8] = b"r/";

/// The state of consents after the entries so far.
#[derive(Debug, Clone, Default)]
pub struct ConsentState {
    pub dealings: Arc<Dealings>,
    /// Counts entries after which policy may see another release list.
    pub changes: u64,
    /// Entries below this index were taken in; they may be applied again after a restart.
    next: u64,
}

pub(super) fn key(index: u64) -> Vec<u8> {
    [PREFIX, &index.to_be_bytes()].concat()
}

pub(super) const fn is_about_consent(event: &Event) -> bool {
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
    pub(super) fn apply(
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

    pub fn in_force(&self) -> &Consents {
        self.dealings.in_force()
    }
}

/// The consequence of an entry about consent for a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentNews {
    /// A statement that is due to the partner.
    Said(Box<Said>),
    /// Policy may see another release list of this one record.
    Record(RecordId),
    /// The same of more records.
    All,
}

/// An entry about consent that was kept.
#[derive(Debug, Clone)]
pub struct ConsentEntry {
    pub index: u64,
    pub at: Timestamp,
    pub event: Event,
}

impl View {
    /// Every entry about consent below an index, in order.
    pub fn consent_entries(&self, below: u64) -> Result<Vec<ConsentEntry>, JournalError> {
        let range = KeyRange::between(key(0), key(below));
        self.index
            .scan(Table::Meta, &range, Order::Ascending)
            .map(|pair| {
                let (_, value) = pair?;
                let (index, bytes) = value.split_first_chunk::<8>().ok_or_else(|| {
                    JournalError::Index("what is kept of a consent has another form".to_owned())
                })?;
                let index = u64::from_be_bytes(*index);
                let (at, event) = entry::decode(index, &bytes.to_vec().into())?;
                Ok(ConsentEntry { index, at, event })
            })
            .collect()
    }

    /// The consents in force when the journal had this size.
    pub fn consents_at(&self, size: u64) -> Result<ConsentState, JournalError> {
        let snapshot = self.snapshot();
        let state = &snapshot.state;
        if size >= state.consents.next {
            return Ok(state.consents.clone());
        }
        let own = state.own();
        let mut past = ConsentState::default();
        for ConsentEntry { index, event, .. } in self.consent_entries(size)? {
            past.apply(index, &event, own)?;
        }
        Ok(past)
    }
}

/// Returns the consequence of an entry about consent for a partner. A consent to one record requires
/// one lookup, any other a look at every record again.
pub fn consent_news(
    event: &Event,
    partner: &AgencyName,
) -> Result<Option<ConsentNews>, JournalError> {
    let broken = |error: ConsentError| JournalError::Index(error.to_string());
    let subject = match event {
        Event::ConsentRequested(asked) => {
            if asked.partner != partner.as_str() || asked.client.is_empty() {
                return Ok(None);
            }
            let request = asked.request.clone().unwrap_or_default();
            let said = Said::Request(request.try_into().map_err(broken)?);
            return Ok(Some(ConsentNews::Said(Box::new(said))));
        }
        Event::ConsentGiven(given) => {
            if given.holder != partner.as_str() {
                return Ok(None);
            }
            let consent = given.consent.clone().unwrap_or_default();
            let said = Said::Consent(consent.try_into().map_err(broken)?);
            return Ok(Some(ConsentNews::Said(Box::new(said))));
        }
        Event::ConsentReceived(received) => received.consent.clone().unwrap_or_default().subject,
        Event::ConsentEnded(ended) => ended.subject.clone(),
        _ => return Ok(None),
    };
    let subject = Subject::try_from(subject.unwrap_or_default()).map_err(broken)?;
    Ok(match (subject.purpose, subject.scope) {
        (Purpose::Forward(to), Scope::Record(id)) if to == *partner => {
            Some(ConsentNews::Record(id))
        }
        (Purpose::Forward(to), _) if to == *partner => Some(ConsentNews::All),
        // Who was in the roster before may be in it no longer.
        (Purpose::Circle(_), _) => Some(ConsentNews::All),
        _ => None,
    })
}

impl State {
    /// This agency, once its card is there.
    pub fn own(&self) -> Option<&AgencyName> {
        self.card.as_ref().map(|card| &card.card().agency)
    }
}
