//! The task that brings a partner's feed up to date. Decisions are the policy module's and those of
//! `exchange::owed`.

use super::consents::facts_of;
use super::node::Noted;
use super::series::{allowed, series_of};
use super::world::World;
use crate::exchange::entry::FeedAction;
use crate::exchange::{Disclosed, owed};
use crate::ident::RecordId;
use crate::journal::progress::{Progress, Rescan};
use crate::record::kind::Kind;
use crate::record::signed::Verified;
impl World<'_> {
    /// One step of the task that discloses: what is new first, then what was considered under other
    /// rules. Tells whether there was anything to look at.
    pub(super) fn publish(&mut self, own: usize, partner: usize) -> bool {
        self.offer_refused(own, partner);
        let node = &mut self.nodes[own];
        let written = node.state.relations[&partner].progress;
        let before = node.progress.get(&partner).copied().unwrap_or(written);
        let before = before.under(node.rules_since(partner));
        let most = 1 + self.random.below(3) as u64;
        let Progress { considered, rescan } = before;
        let size = node.state.journal.len() as u64;
        let (mut after, range) = if considered < size {
            let end = size.min(considered + most);
            (Progress { considered: end, ..before }, considered..end)
        } else if rescan.is_done() {
            self.announce(own, partner);
            return false;
        } else {
            let end = rescan.end.min(rescan.next + most);
            self.reached.rescan_steps += 1;
            (Progress { rescan: Rescan { next: end, ..rescan }, ..before }, rescan.next..end)
        };
        let is_live = considered < size;
        let mut appended = false;
        for index in range {
            let said = self.nodes[own].state.journal[index as usize].clone();
            match said {
                Noted::Record(id, _) if !is_live => appended |= self.bring(own, partner, id),
                Noted::Record(id, _) => appended |= self.bring_series(own, partner, id),
                Noted::Use(id) if is_live => appended |= self.bring_series(own, partner, id),
                Noted::Told(of, told) if is_live && of == partner => {
                    let node = &mut self.nodes[own];
                    node.state.relations.get_mut(&partner).unwrap().feed.tell(&told);
                    appended = true;
                }
                Noted::Offered(of, range) if is_live && of == partner => {
                    appended |= self.nodes[own].repeat_orders(partner, range);
                    after = after.again();
                }
                Noted::Erased(id, order, from) if is_live && from != Some(partner) => {
                    appended |= self.nodes[own].pass_order_on(partner, id, order);
                }
                Noted::HoldEnded(id) if is_live => {
                    appended |= self.nodes[own].report_erased(partner, id);
                    appended |= self.bring_series(own, partner, id);
                }
                Noted::LetOn(third) if is_live => {
                    let is_about = third.is_none_or(|third| third == *self.book.agency(partner));
                    after = if is_about { after.again() } else { after };
                }
                Noted::Lapsed(of, ids) if is_live && of == partner => {
                    for id in ids {
                        appended |= self.bring_series(own, partner, id);
                    }
                }
                _ => {}
            }
        }
        if appended && self.hostile == Some(own) {
            self.forge(own, partner);
        }
        let (node, random) = (&mut self.nodes[own], &mut self.random);
        node.progress.insert(partner, after);
        let relation = node.state.relations.get_mut(&partner).unwrap();
        if relation.feed.entries.len() as u64 > relation.feed.published().get() {
            relation.feed.publish();
        }
        if appended || after.rescan.is_done() != before.rescan.is_done() || random.chance(3) {
            relation.progress = after;
            node.write(b"published");
        }
        self.announce(own, partner);
        true
    }

    /// Brings the feed to what the partner may have of a record and of its series now.
    fn bring_series(&mut self, own: usize, partner: usize, id: RecordId) -> bool {
        let state = &self.nodes[own].state;
        let others = series_of(state, &state.records[&id]).map(Verified::id);
        let ids: Vec<_> = others.filter(|other| *other != id).chain([id]).collect();
        ids.into_iter().fold(false, |appended, id| self.bring(own, partner, id) | appended)
    }

    /// Brings the feed to what the partner may have of a record now.
    fn bring(&mut self, own: usize, partner: usize, id: RecordId) -> bool {
        let asked = self.asked(own, partner);
        let Self { random, book, nodes, reached, .. } = self;
        let node = &mut nodes[own];
        let record = node.state.records[&id].clone();
        let is_theirs = record.header().originator == *book.agency(partner);
        if is_theirs || node.source(&id) == Some(partner) {
            return false;
        }
        let alone = book.decide(asked, &facts_of(&node.state, &record)).release.allowed;
        let is_controlled =
            record.header().marking.orcon && record.header().originator != *book.agency(own);
        let allowed = allowed(&node.state, partner, &record, node.state.injected, |of| {
            book.decide(asked, &facts_of(&node.state, of)).revealed
        });
        let is_older = series_of(&node.state, &record)
            .any(|other| other.header().revision > record.header().revision);
        let unseen = series_of(&node.state, &record).any(|other| {
            other.kind() != Kind::Withdrawal
                && node.state.relations[&partner].told(&other.id()).is_none()
        });
        let relation = node.state.relations.get_mut(&partner).unwrap();
        let told = relation.told(&id);
        reached.told_earlier += usize::from(told.is_some_and(|told| told.is_earlier));
        let mut appended = false;
        for (action, slots) in owed(told, record.kind(), allowed).entries() {
            let at = relation.feed.entries.len() as u64;
            relation.feed.append(action, &record, slots);
            let before = relation.disclosed.get(&id).map(|(_, disclosed)| *disclosed);
            let after = Disclosed::after(before, action, slots);
            match action {
                FeedAction::Retract => {
                    relation.taken_back.push((id, slots));
                    reached.taken_back_in_part += usize::from(!after.is_retracted);
                    reached.taken_back += usize::from(after.is_retracted);
                    let by_series = after.is_retracted && alone && is_older;
                    reached.older_taken_back += usize::from(by_series);
                }
                _ => {
                    assert!(!is_older, "an older revision is never disclosed anew");
                    let is_withdrawal = record.kind() == Kind::Withdrawal;
                    reached.withdrawn_unseen += usize::from(is_withdrawal && unseen);
                    reached.let_on += usize::from(is_controlled);
                    let was = before.unwrap_or_default();
                    reached.shown_again += usize::from(was.is_retracted);
                    reached.sent_again += usize::from(was.is_lapsed);
                }
            }
            let shown_at = relation.disclosed.get(&id).filter(|_| !action.carries_record());
            let shown_at = shown_at.map_or(at, |(shown_at, _)| *shown_at);
            relation.disclosed.insert(id, (shown_at, after));
            if random.chance(3) {
                relation.feed.publish();
            }
            appended = true;
        }
        appended
    }
}
