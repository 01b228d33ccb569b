//! The consequences that entries about consent have for a partner's feed.

use super::read_error::BrokenEntry;
use crate::exchange::ConsentMessage;
use crate::ident::{AgencyName, RecordId};
use crate::pb::journal_entry::Event;
use crate::record::consent::{ConsentError, Purpose, Scope, Subject};

/// The consequence of an entry about consent for a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConsentNews {
    /// A statement that is due to the partner.
    Message(Box<ConsentMessage>),
    /// Policy may see another release list of this one record.
    Record(RecordId),
    /// The same of more records.
    All,
}

/// Returns the consequence of an entry about consent for a partner. A consent to one record requires
/// one lookup, any other a look at every record again.
pub(super) fn consent_news(
    index: u64,
    event: &Event,
    partner: &AgencyName,
) -> Result<Option<ConsentNews>, BrokenEntry> {
    let broken = |error: ConsentError| BrokenEntry { index, reason: error.to_string() };
    let subject = match event {
        Event::ConsentRequested(asked) => {
            if asked.partner != partner.as_str() || asked.client.is_empty() {
                return Ok(None);
            }
            let request = asked.request.clone().unwrap_or_default();
            let message = ConsentMessage::Request(request.try_into().map_err(broken)?);
            return Ok(Some(ConsentNews::Message(Box::new(message))));
        }
        Event::ConsentGiven(given) => {
            if given.holder != partner.as_str() {
                return Ok(None);
            }
            let consent = given.consent.clone().unwrap_or_default();
            let message = ConsentMessage::Consent(consent.try_into().map_err(broken)?);
            return Ok(Some(ConsentNews::Message(Box::new(message))));
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
