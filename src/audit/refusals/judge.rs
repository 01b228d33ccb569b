//! Offers of what was refused, judged one after another.

use crate::audit::failure::Fault;
use crate::audit::ledger::Audit;
use crate::ident::Timestamp;
use crate::pb;

impl Audit {
    /// Records that refused entries are offered to the partner again.
    pub(in crate::audit) fn offer_refused(
        &mut self,
        offered: &pb::RefusedOffered,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let feed = self.partners.feed_to(&offered.partner)?;
        let published = feed.size();
        feed.refused.offer(offered, published, at)
    }
}
