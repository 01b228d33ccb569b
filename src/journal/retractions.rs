//! Questions about retractions: what was taken back from partners, and who has not answered yet.

use super::JournalError;
use super::erasure_index;
use super::ids::FeedNumber;
use super::index;
use super::state::PartnerRecord;
use super::view::View;
use crate::exchange::WHOLE_RECORD;
use crate::ident::AgencyName;
use crate::pb;
use crate::store::{KeyRange, Order, Table};
use bytes::Bytes;

/// A page of the report: by partner, the newest of each first.
#[derive(Debug, Default)]
pub struct RetractionPage {
    pub retractions: Vec<pb::RetractionView>,
    /// Go on with this partner below this index; `None` at the end.
    pub next: Option<(AgencyName, u64)>,
}

impl View {
    /// Retractions of one partner or of all, at most `most`: from the partner `from` on, and of
    /// that one below `before`.
    pub fn retractions(
        &self,
        only: Option<&AgencyName>,
        from: Option<&AgencyName>,
        before: u64,
        only_outstanding: bool,
        most: usize,
    ) -> Result<RetractionPage, JournalError> {
        let snapshot = self.snapshot();
        let wanted = snapshot.state.partners.iter().filter(|(agency, _)| {
            only.is_none_or(|only| only == *agency) && from.is_none_or(|from| from <= *agency)
        });
        let mut page = RetractionPage::default();
        for (agency, partner) in wanted {
            let before = if from == Some(agency) { before } else { u64::MAX };
            let least = if only_outstanding { partner.receipted } else { 0 };
            let range = KeyRange::between(
                index::retraction_key(partner.feed, least),
                index::retraction_key(partner.feed, before),
            );
            for pair in self.index().scan(Table::Tagged, &range, Order::Descending) {
                let (key, value) = pair?;
                let Some(feed_index) = key.last_chunk::<8>().map(|b| u64::from_be_bytes(*b)) else {
                    continue;
                };
                if page.retractions.len() >= most {
                    page.next = Some((agency.clone(), feed_index + 1));
                    return Ok(page);
                }
                page.retractions.push(self.retraction_view(agency, partner, feed_index, &value)?);
            }
        }
        Ok(page)
    }

    fn retraction_view(
        &self,
        agency: &AgencyName,
        partner: &PartnerRecord,
        feed_index: u64,
        value: &[u8],
    ) -> Result<pb::RetractionView, JournalError> {
        let (id, slots) = index::retraction(value)?;
        let disclosed = self.disclosure(partner.feed, &id)?.map(|known| known.disclosed);
        let lifted = disclosed.is_some_and(|disclosed| match slots {
            WHOLE_RECORD => disclosed.is_live(),
            slots => disclosed.is_live() && slots.without(disclosed.slots).is_empty(),
        });
        let progress = self.retraction_progress(partner.feed, partner.receipted, feed_index)?;
        Ok(pb::RetractionView {
            agency: agency.to_string(),
            feed_index,
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            slots: if slots == WHOLE_RECORD { 0 } else { slots.bits() },
            progress: progress.into(),
            lifted,
        })
    }

    fn retraction_progress(
        &self,
        feed: FeedNumber,
        receipted: u64,
        feed_index: u64,
    ) -> Result<pb::ErasureProgress, JournalError> {
        if feed_index >= receipted {
            return Ok(pb::ErasureProgress::Outstanding);
        }
        let key = erasure_index::excepted_key(feed, feed_index);
        Ok(match self.index().read(Table::Tagged, &key)? {
            None => pb::ErasureProgress::Done,
            Some(_) => pb::ErasureProgress::Refused,
        })
    }
}
