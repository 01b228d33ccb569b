//! Consents in the journal: the entries about them, the state at some point, and the news for a partner.
//!
//! People ask and answer, so the entries are few.

pub(super) mod state;

pub use state::ConsentState;

use super::JournalError;
use super::entry;
use super::view::View;
use crate::exchange::ConsentMessage;
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb::journal_entry::Event;
use crate::record::consent::{ConsentError, Purpose, Scope, Subject};
use crate::store::{KeyRange, Order, Table};
use state::key;

/// The consequence of an entry about consent for a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentNews {
    /// A statement that is due to the partner.
    Message(Box<ConsentMessage>),
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
            let said = ConsentMessage::Request(request.try_into().map_err(broken)?);
            return Ok(Some(ConsentNews::Message(Box::new(said))));
        }
        Event::ConsentGiven(given) => {
            if given.holder != partner.as_str() {
                return Ok(None);
            }
            let consent = given.consent.clone().unwrap_or_default();
            let said = ConsentMessage::Consent(consent.try_into().map_err(broken)?);
            return Ok(Some(ConsentNews::Message(Box::new(said))));
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
