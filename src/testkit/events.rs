//! Entries of the journal and of feeds.

use bytes::Bytes;

use super::{Agency, NOW_MS};
use crate::ident::{AgencyName, RecordId};
use crate::journal::transaction::Transaction;
use crate::pb::{self, act::Act, journal_entry::Event};

pub(crate) fn id_bytes(id: &RecordId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// A partner as it is from now on.
pub(crate) fn partner_changed(
    partner: &Agency,
    number: u32,
    state: pb::PartnerState,
) -> pb::PartnerChanged {
    pb::PartnerChanged {
        agency: partner.name.to_string(),
        number,
        state: state.into(),
        card: Some(partner.card().signed().clone()),
        ..pb::PartnerChanged::default()
    }
}

/// An act that a client of a role asks for.
pub(crate) fn proposed(client: &str, role: &str, act: Act) -> pb::ActProposed {
    pb::ActProposed {
        client: client.to_owned(),
        role: role.to_owned(),
        act: Some(pb::Act { act: Some(act) }),
        expires_at_ms: u64::MAX,
    }
}

/// The last approval of an act that it needs.
pub(crate) fn decided(client: &str, role: &str, proposal: u64) -> pb::ActDecided {
    pb::ActDecided {
        proposal,
        client: client.to_owned(),
        role: role.to_owned(),
        approved: true,
        reason: String::new(),
        closes: true,
    }
}

/// The approval of an act by a policy officer.
pub(crate) fn approved(proposal: u64) -> Event {
    Event::ActDecided(decided("tanaka", "policy-officer", proposal))
}

/// An entry of a feed under the first policy.
pub(crate) fn feed_entry(
    action: pb::FeedAction,
    record: &RecordId,
    open_slots: u32,
) -> pb::FeedEntry {
    pb::FeedEntry {
        action: action.into(),
        record_id: id_bytes(record),
        open_slots,
        policy_version: 1,
        at_ms: NOW_MS.unsigned_abs(),
        ..pb::FeedEntry::default()
    }
}

/// An entry of a feed that its partner refused.
pub(crate) fn exception(index: u64, reason: pb::ExceptionReason) -> pb::FeedException {
    pb::FeedException { index, reason: reason.into(), detail: String::new() }
}

/// The partner's receipt for everything that was published, but for these entries.
pub(crate) fn receipt_of(
    tx: &Transaction<'_>,
    partner: &AgencyName,
    exceptions: Vec<pb::FeedException>,
) -> pb::ReceiptReceived {
    pb::ReceiptReceived {
        partner: partner.to_string(),
        note: tx.state().partners[partner].published.note.clone(),
        exceptions_total: exceptions.len() as u64,
        exceptions,
        ..pb::ReceiptReceived::default()
    }
}
