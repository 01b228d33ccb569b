//! Judging duties and statements of a partner's feed, inside the writer's transaction.
//!
//! Each entry is judged against what the entries before it left, staged or durable; a verdict that
//! was reached earlier would be about another record. Pure functions of the entry and of what the
//! writer sees, so that a node and the simulation decide alike.
//!
//! A partner lays duties only on records that it gave. About every other id, here or not, its own or
//! another agency's, it gets one and the same answer: otherwise it could ask for what is held here.

use super::consents::ConsentRegister;
use super::entry::{ConsentMessage, FeedEntry};
use super::exception::Reason;
use crate::ident::AgencyName;
use crate::policy::hold;
use crate::record::consent::{Parties, Purpose, Subject};
use crate::record::header::Header;
use crate::record::signed::KeyRing;
use crate::record::slots::SlotMask;

/// The one answer about a record that the sender never gave, whatever is here.
const NOT_GIVEN: &str = "the sender gave no such record, so it lays no duty to erase on it";
const NOTHING_ORDERED: &str = "the erasure of these slots was not ordered here";

/// A node's decision on a duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// It is carried out before the receipt is given.
    CarryOut,
    /// A hold keeps it waiting, and the receipt contains the reason.
    Waits(String),
    /// It is not carried out, and the receipt contains the reason.
    Refused(Reason, String),
}

/// A record that the sender of a feed gave, as the writer sees it.
#[derive(Debug, Clone, Copy)]
pub struct GivenRecord<'a> {
    pub header: &'a Header,
    /// The slots that are erased here.
    pub erased: SlotMask,
    /// It is under a hold.
    pub is_restricted: bool,
}

/// Judges an order to erase; `None` where the sender gave no such record, held here or not.
pub fn judge_order(entry: &FeedEntry, given: Option<GivenRecord<'_>>, keys: &impl KeyRing) -> Duty {
    let (Some(order), Some(GivenRecord { header, erased, is_restricted })) = (&entry.order, given)
    else {
        return Duty::Refused(Reason::NotOrdered, NOT_GIVEN.to_owned());
    };
    if let Err(error) = order.verify(&entry.record, &header.originator, keys) {
        return Duty::Refused(Reason::Signature, error.to_string());
    }
    let beyond = order.slots.without(SlotMask::all(header.kind));
    if entry.open_slots.is_empty() || !beyond.is_empty() {
        let text = format!(
            "slots {:#x} to be erased by an order for {:#x}, of a {}",
            entry.open_slots.bits(),
            order.slots.bits(),
            header.kind.name()
        );
        return Duty::Refused(Reason::Malformed, text);
    }
    match hold(header.kind, is_restricted, order.basis) {
        Some(hold) if !order.slots.without(erased).is_empty() => Duty::Waits(hold.to_string()),
        _ => Duty::CarryOut,
    }
}

/// Judges a report of an erasure: `ordered` are the slots that our feed orders the partner to erase.
pub fn judge_report(entry: &FeedEntry, ordered: SlotMask) -> Duty {
    let slots = entry.open_slots;
    if !slots.is_empty() && slots.without(ordered).is_empty() {
        return Duty::CarryOut;
    }
    Duty::Refused(Reason::NotOrdered, NOTHING_ORDERED.to_owned())
}

/// Judges a withdrawal whose policy verdict is known. Whoever took a record takes what withdraws it,
/// whatever its marking says: `gave_series` if the sender gave a revision of what it withdraws.
pub fn judge_withdrawal(is_accepted: bool, gave_series: bool) -> Duty {
    if is_accepted || gave_series {
        return Duty::CarryOut;
    }
    Duty::Refused(Reason::Policy, String::new())
}

/// Judges what the partner asks or states about consent: as originator it signs, as holder it asks
/// for itself.
pub fn judge_consent(
    said: &ConsentMessage,
    partner: &AgencyName,
    own: &AgencyName,
    keys: &impl KeyRing,
    dealings: &ConsentRegister,
) -> Duty {
    if let ConsentMessage::Consent(consent) = said {
        let parties = Parties { originator: partner, holder: own };
        if let Err(error) = consent.verify(parties, keys) {
            return Duty::Refused(Reason::Signature, error.to_string());
        }
    }
    let is_pointless = matches!(
        said.subject(),
        Subject { purpose: Purpose::Forward(to), .. } if to == partner || to == own
    );
    if is_pointless {
        let text = "the records are here and with their originator already".to_owned();
        return Duty::Refused(Reason::NotOrdered, text);
    }
    let checked = match said {
        ConsentMessage::Request(request) => dealings.check_asked(partner, request),
        ConsentMessage::Consent(consent) => dealings.check_heard(partner, consent),
    };
    checked.map_or_else(
        |fault| Duty::Refused(Reason::NotOrdered, fault.to_string()),
        |()| Duty::CarryOut,
    )
}

#[cfg(test)]
mod tests {
    use super::super::entry::FeedAction;
    use super::super::fixture::{Agency, Ring, start_of_day};
    use super::*;
    use crate::ident::PolicyVersion;
    use crate::record::erasure::{ErasureBasis, ErasureOrder, slots_to_erase};
    use crate::record::signed::Verified;

    fn entry(record: &Verified, order: ErasureOrder) -> FeedEntry {
        FeedEntry {
            action: FeedAction::Erase,
            record: record.id(),
            open_slots: order.slots,
            policy_version: PolicyVersion::new(1),
            at: start_of_day(),
            order: Some(order),
            message: None,
        }
    }

    fn held(record: &Verified) -> GivenRecord<'_> {
        GivenRecord { header: record.header(), erased: SlotMask::NONE, is_restricted: false }
    }

    #[test]
    fn an_order_is_carried_out_by_its_originator_s_signature_and_by_no_other() {
        let (a, b) = (Agency::new(1), Agency::new(2));
        let ring = Ring::of([&a, &b]);
        let record = a.indicator("host.example", 50);
        let (slots, basis) = (record.open_slots(), ErasureBasis::Gdpr17);
        let good = entry(&record, a.order(&record.id(), slots, basis));
        assert_eq!(judge_order(&good, Some(held(&record)), &ring), Duty::CarryOut);
        let forged = entry(&record, b.order(&record.id(), slots, basis));
        let refused = |duty| matches!(duty, Duty::Refused(Reason::Signature, _));
        assert!(refused(judge_order(&forged, Some(held(&record)), &ring)));
        let other = a.indicator("other.example", 50);
        let of_other = entry(&record, a.order(&other.id(), slots, basis));
        assert!(refused(judge_order(&of_other, Some(held(&record)), &ring)));
        let no_slots = FeedEntry { open_slots: SlotMask::NONE, ..good.clone() };
        let malformed = judge_order(&no_slots, Some(held(&record)), &ring);
        assert!(matches!(malformed, Duty::Refused(Reason::Malformed, _)));
        let beyond = entry(&record, a.order(&record.id(), SlotMask::from_bits(1 << 31), basis));
        let malformed = judge_order(&beyond, Some(held(&record)), &ring);
        assert!(matches!(malformed, Duty::Refused(Reason::Malformed, _)));
    }

    #[test]
    fn an_order_for_a_whole_series_names_no_slot_that_its_withdrawal_does_not_have() {
        let a = Agency::new(1);
        let ring = Ring::of([&a]);
        let record = a.indicator("host.example", 50);
        let withdrawal = a.withdrawal(&record);
        let all = SlotMask::all(record.kind());
        let judge = |slots| {
            let order = a.order(&withdrawal.id(), slots, ErasureBasis::Gdpr17);
            let entry =
                FeedEntry { open_slots: withdrawal.open_slots(), ..entry(&withdrawal, order) };
            judge_order(&entry, Some(held(&withdrawal)), &ring)
        };
        assert!(matches!(judge(all), Duty::Refused(Reason::Malformed, _)));
        let slots = slots_to_erase(all, &withdrawal, true);
        assert_eq!(slots, SlotMask::all(withdrawal.kind()));
        assert_eq!(judge(slots), Duty::CarryOut);
    }

    #[test]
    fn a_record_that_the_sender_never_gave_is_answered_like_one_that_is_not_here() {
        let (a, b) = (Agency::new(1), Agency::new(2));
        let ring = Ring::of([&a, &b]);
        let record = a.indicator("host.example", 50);
        let slots = record.open_slots();
        let answers = [&a, &b].map(|by| {
            let order = by.order(&record.id(), slots, ErasureBasis::Gdpr17);
            judge_order(&entry(&record, order), None, &ring)
        });
        assert_eq!(answers[0], answers[1], "not even a good order shows what is here");
        assert_eq!(answers[0], Duty::Refused(Reason::NotOrdered, NOT_GIVEN.to_owned()));
    }

    #[test]
    fn a_hold_keeps_an_order_waiting_unless_it_is_carried_out_already() {
        let a = Agency::new(1);
        let ring = Ring::of([&a]);
        let record = a.indicator("host.example", 50);
        let order = a.order(&record.id(), record.open_slots(), ErasureBasis::Gdpr17);
        let entry = entry(&record, order);
        let under_hold = GivenRecord { is_restricted: true, ..held(&record) };
        assert!(matches!(judge_order(&entry, Some(under_hold), &ring), Duty::Waits(_)));
        let done = GivenRecord { erased: record.open_slots(), ..under_hold };
        assert_eq!(judge_order(&entry, Some(done), &ring), Duty::CarryOut);
    }
}
