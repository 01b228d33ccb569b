//! The versions of the sharing policy, as their entries tell.

use super::state::keys::version_key;
use super::view::View;
use super::{JournalError, unless_damaged};
use crate::ident::Timestamp;
use crate::pb::{self, journal_entry::Event};
use crate::store::{KeyRange, Order, Table};

/// A bundle that was put in force, with its entry.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedVersion {
    pub journal_index: u64,
    pub at: Timestamp,
    pub applied: pb::PolicyApplied,
}

impl View {
    /// The versions below `below`, newest first; `None` for one whose entry is damaged.
    pub fn policy_versions(
        &self,
        below: u64,
        most: usize,
    ) -> Result<Vec<Option<AppliedVersion>>, JournalError> {
        let range = KeyRange::between(version_key(0), version_key(below));
        let newest = self.index().scan(Table::Meta, &range, Order::Descending).take(most);
        newest.map(|pair| unless_damaged(self.applied_version(&pair?.1))).collect()
    }

    pub fn policy_version(&self, version: u64) -> Result<Option<AppliedVersion>, JournalError> {
        let found = self.index().read(Table::Meta, &version_key(version))?;
        found.map(|value| self.applied_version(&value)).transpose()
    }

    /// `value` is the index of the entry.
    fn applied_version(&self, value: &[u8]) -> Result<AppliedVersion, JournalError> {
        let damaged = || JournalError::Index("a policy version has another form".to_owned());
        let index = value.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or_else(damaged)?;
        match self.event(index)? {
            (at, Event::PolicyApplied(applied)) => {
                Ok(AppliedVersion { journal_index: index, at, applied })
            }
            _ => Err(damaged()),
        }
    }
}
