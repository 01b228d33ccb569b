//! The storing of a partner's feed, and of its receipts for our feed.

use super::injected::Injected;
use super::node::{Node, Noted};
use crate::exchange::entry::{FeedAction, FeedEntry};
use crate::exchange::exception::Exception;
use crate::exchange::fixture::Ring;
use crate::exchange::{Denial, Duty, Reason, ReceivedBatch, is_repeated, judge_withdrawal};
use crate::ident::{AgencyName, RecordId, SeriesId, Timestamp, TreeSize};
use crate::record::slots::SlotMask;

/// One entry, and the slots that the plain form of policy let go when its batch was loaded.
#[derive(Clone, Copy)]
pub(super) struct Sending {
    pub(super) record: RecordId,
    pub(super) series: SeriesId,
    pub(super) withdraws: bool,
    pub(super) shown: Option<SlotMask>,
    pub(super) confidence: u8,
}

/// The expected result for one entry on the other side.
pub(super) struct Judged {
    pub(super) sending: Sending,
    /// Policy there takes such a record.
    pub(super) takes: bool,
}

impl Node {
    pub(super) fn store(
        &mut self,
        partner: usize,
        sender: &AgencyName,
        received: ReceivedBatch,
        judged: Vec<Judged>,
        (ring, denies): (&Ring, bool),
    ) -> Vec<Exception> {
        let ReceivedBatch { checked, receipt_note } = received;
        let relation = self.state.relations.get_mut(&partner).unwrap();
        assert_eq!(checked.start.get(), relation.partner_feed.size().get());
        let mut missed = 0;
        for Judged { sending, takes } in judged {
            let Sending { record, shown, series, withdraws, .. } = sending;
            // Whoever took a record takes what withdraws it.
            let takes = takes || withdraws && relation.taken_series.contains(&series);
            let masks = if takes { &mut relation.allowed } else { &mut relation.refused };
            if let Some(mask) = shown {
                let noted = masks.entry(record).or_default();
                *noted = noted.or(mask);
            }
            match shown {
                Some(_) if takes => drop(relation.taken_series.insert(series)),
                _ => missed += 1,
            }
        }
        relation.partner_feed = checked.frontier;
        relation.receipt_note = receipt_note;
        let (mut refused, mut denied) = (Vec::new(), 0);
        for taken in checked.taken {
            match taken.record {
                Some(record) if !taken.is_accepted && !self.gave_series(partner, &record) => {
                    let Duty::Refused(reason, detail) = judge_withdrawal(false, false) else {
                        unreachable!("nothing else takes it")
                    };
                    refused.push(Exception::new(taken.index, reason, &detail));
                }
                Some(record) => {
                    let is_originator = record.header().originator == *sender;
                    let record = std::sync::Arc::unwrap_or_clone(record);
                    self.keep(record, Some(partner), is_originator);
                }
                None if denies && taken.entry.action == FeedAction::Erase => {
                    denied += 1;
                    refused.push(Exception::new(taken.index, Reason::NotSupplied, ""));
                }
                None => match self.take_duty(partner, sender, ring, &taken.entry) {
                    Duty::CarryOut => {}
                    Duty::Waits(detail) => {
                        refused.push(Exception::new(taken.index, Reason::HeldAsEvidence, &detail));
                    }
                    Duty::Refused(reason, detail) => {
                        refused.push(Exception::new(taken.index, reason, &detail));
                    }
                },
            }
        }
        let exceptions = Exception::merged(checked.exceptions, refused);
        let is_shown = |e: &&Exception| matches!(e.reason, Reason::Policy | Reason::NotSupplied);
        let what = format!("{sender} sent what policy allowed: {exceptions:?}");
        assert_eq!(exceptions.iter().filter(is_shown).count(), missed + denied, "{what}");
        let relation = self.state.relations.get_mut(&partner).unwrap();
        relation.exceptions.extend(exceptions.iter().cloned());
        self.write(b"feed received");
        exceptions
    }

    /// Takes a receipt; returns the number of its denials that the partner's own receipts
    /// contradict.
    pub(super) fn record_receipt(
        &mut self,
        partner: usize,
        size: TreeSize,
        note: Vec<u8>,
        exceptions: Vec<Exception>,
        now: Timestamp,
    ) -> usize {
        let relation = self.state.relations.get_mut(&partner).unwrap();
        assert!(size > relation.receipted);
        relation.receipted = size;
        relation.receipted_note = note;
        let (mut lapsed, mut contradicted) = (Vec::new(), 0);
        for exception in &exceptions {
            let index = exception.index.get();
            let entry = FeedEntry::decode(&relation.feed.entries[index as usize]).unwrap();
            let is_order = entry.action == FeedAction::Erase && !relation.forged.contains(&index);
            let denial = match self.state.injected {
                Some(Injected::DenialSettles) => Denial::Settled,
                _ if is_order => relation.denial(index, &entry, &exceptions),
                _ => Denial::Undecided,
            };
            let is_repeated = is_order && is_repeated(exception.reason, denial);
            if is_repeated {
                relation.refused_duties.insert(index);
                let denies = exception.reason == Reason::NotSupplied;
                contradicted += usize::from(denies && denial == Denial::Contradicted);
            }
            if exception.reason.is_refusal() || is_repeated {
                relation.offering.refuse(relation.sent_under, now);
            }
            if !entry.action.carries_record() {
                continue;
            }
            let (last, disclosed) = relation.disclosed.get_mut(&entry.record).unwrap();
            let is_last = *last == index;
            match exception.reason {
                Reason::NotSupplied => {
                    if is_last {
                        *disclosed = disclosed.lapsed();
                    }
                    lapsed.push(entry.record);
                }
                _ if self.state.injected == Some(Injected::RefusalForgotten) => {}
                _ if is_last => *disclosed = disclosed.refused(),
                _ => {}
            }
        }
        relation.reported.extend(exceptions);
        self.write(b"receipt");
        if !lapsed.is_empty() {
            self.say(Noted::Lapsed(partner, lapsed));
        }
        contradicted
    }
}
