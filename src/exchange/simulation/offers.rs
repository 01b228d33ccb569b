//! New offers of refused records: at once when the partner's rules of acceptance changed, and from
//! time to time.

use super::node::Noted;
use super::world::World;
use crate::exchange::session::Input;
use crate::record::kind::Kind;
use crate::record::signed::Verified;

impl World<'_> {
    /// Both ends of a stream learn how often the other's rules changed.
    pub(super) fn tell_acceptance(&mut self, pair: (usize, usize)) {
        for (side, (own, partner)) in [pair, (pair.1, pair.0)].into_iter().enumerate() {
            let changes = self.nodes[own].state.relations[&partner].rules_changed;
            self.input(pair, side, Input::Acceptance(changes));
        }
    }

    /// Offers again what a partner refused, if that is due.
    pub(super) fn offer_refused(&mut self, own: usize, partner: usize) {
        let now = self.now;
        let node = &mut self.nodes[own];
        let relation = node.state.relations.get_mut(&partner).unwrap();
        let (acceptance, before) = (relation.acceptance, relation.offering);
        if before.due_at(acceptance).is_none_or(|due| due > now) {
            return;
        }
        let size = relation.feed.entries.len() as u64;
        relation.offering = before.offered(acceptance, size, now);
        let range = before.below..relation.offering.below;
        node.say(Noted::Offered(partner, range));
        self.reached.offered_again += 1;
    }

    /// Returns true if the partner would take the record by now.
    pub(super) fn takes_now(&self, from: usize, to: usize, record: &Verified) -> bool {
        let header = record.header();
        let relation = &self.nodes[to].state.relations[&from];
        let withdraws = record.kind() == Kind::Withdrawal;
        self.book.plainly_accepts(self.asked(to, from), header.confidence)
            || withdraws && relation.taken_series.contains(&header.series)
    }
}
