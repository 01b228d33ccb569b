//! Consents in the journal: the entries about them, and the state at some point.
//!
//! People ask and answer, so the entries are few.

pub(super) mod state;

pub use state::ConsentState;

use super::JournalError;
use super::entry;
use super::view::View;
use crate::ident::Timestamp;
use crate::pb::journal_entry::Event;
use crate::store::{KeyRange, Order, Table};
use state::key;

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
                    JournalError::Index(
                        "a row of the index about a consent has another form".to_owned(),
                    )
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
