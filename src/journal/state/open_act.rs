//! An act of two persons as the state keeps it: until it is decided, and an erasure until it is complete.

use crate::ident::Timestamp;
use crate::pb;
use crate::record::erasure::ErasureScope;

/// An act that waits for a decision, or an erasure that was approved and goes on.
#[derive(Debug, Clone)]
pub struct OpenAct {
    pub proposed: pb::ActProposed,
    pub at: Timestamp,
    /// Decisions so far, with their entries.
    pub decisions: Vec<(u64, pb::ActDecided)>,
}

impl OpenAct {
    /// Returns what is to be erased, if the act is an erasure.
    pub fn erasure(&self) -> Option<&pb::EraseAct> {
        match self.proposed.act.as_ref()?.act.as_ref()? {
            pb::act::Act::Erase(act) => Some(act),
            _ => None,
        }
    }

    /// Returns what the approval of the erasure covers, if the act was approved.
    pub fn scope(&self) -> Option<ErasureScope> {
        let approved =
            self.decisions.iter().find(|(_, decided)| decided.closes && decided.approved);
        approved.map(|(index, _)| ErasureScope::approved_at(*index))
    }

    pub(in crate::journal) fn is_erasure(&self) -> bool {
        self.erasure().is_some()
    }
}
