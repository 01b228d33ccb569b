//! The ids of the records that a piece of a history accepts. It judges nothing: what does not decode is
//! left to whoever verifies.

use super::segment::{Chunk, FrameKind};
use crate::ident::RecordId;
use crate::pb::{self, journal_entry::Event};
use crate::record::commit;
use prost::Message as _;

impl Chunk {
    /// Returns the ids in the order of their acceptance.
    pub fn accepted_ids(&self) -> impl Iterator<Item = RecordId> {
        let entries = self.spans.iter().filter(|span| span.kind == FrameKind::Entry);
        entries.filter_map(|span| {
            let entry = pb::JournalEntry::decode(self.payload(*span)).ok()?;
            match entry.event? {
                Event::RecordAccepted(accepted) => Some(commit::record_id(&accepted.header)),
                _ => None,
            }
        })
    }
}
