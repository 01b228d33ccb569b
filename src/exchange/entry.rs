//! One entry of a feed: what was disclosed to one partner.
//!
//! The bytes are the leaf of the feed's tree. They are taken only in their one encoding and never
//! written again from what was read.

use bytes::Bytes;
use prost::Message as _;

use super::ENTRY_BYTES_MAX;
use crate::ident::{PolicyVersion, RecordId, Timestamp};
use crate::pb;
use crate::record::consent::{
    Consent, ConsentError, ConsentRequest, ConsentVerdict, Scope, Subject,
};
use crate::record::erasure::{ErasureOrder, OrderError};
use crate::record::slots::SlotMask;

/// The reason why bytes are not a feed entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("a feed entry has at most {ENTRY_BYTES_MAX} bytes, found {0}")]
    Length(usize),
    #[error("not a protobuf message of type FeedEntry in its one encoding")]
    Encoding,
    #[error("action {0} is unknown")]
    Action(i32),
    #[error("a record id has 32 bytes, found {0}")]
    RecordId(usize),
    #[error("slot mask {0:#x} has a bit 0, slots count from 1")]
    Mask(u32),
    #[error("time {0} ms lies outside the years 2000 to 2100")]
    Time(u64),
    #[error("an order comes with an erasure and with nothing else")]
    OrderPlace,
    #[error("slots {0:#x} are to be erased and not ordered to be")]
    Unordered(u32),
    #[error("order")]
    Order(#[source] OrderError),
    #[error("a consent or a request for one comes with its action, its record and no slots alone")]
    ConsentPlace,
    #[error("consent")]
    Consent(#[source] ConsentError),
}

/// The slots of a retraction that takes back the whole record, header and all. No kind has so many.
pub const WHOLE_RECORD: SlotMask = SlotMask::from_bits(u32::MAX);

/// The action of a feed entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedAction {
    /// The record is disclosed with these slots.
    Disclose,
    /// More slots of a record disclosed before.
    Revise,
    /// The originator withdraws a record; this is the withdrawal.
    Withdraw,
    /// The partner must no longer use these slots; with [`WHOLE_RECORD`] all of it.
    Retract,
    /// The partner must erase these slots.
    Erase,
    /// These slots are erased here as the partner demanded, now that a hold has ended.
    Erased,
    /// We hold records of the partner and ask for its consent.
    ConsentRequest,
    /// A consent: the partner's permitted use of our records.
    Consent,
}

impl FeedAction {
    /// Returns true if an envelope comes with it. The other actions are duties of the partner or
    /// notices of this agency, without content.
    pub const fn carries_record(self) -> bool {
        matches!(self, Self::Disclose | Self::Revise | Self::Withdraw)
    }

    /// Returns true if it is about consent, and so about no disclosure.
    pub const fn is_about_consent(self) -> bool {
        matches!(self, Self::ConsentRequest | Self::Consent)
    }

    /// Returns whether an entry shows a record, which goes with it.
    pub const fn shows_record(action: pb::FeedAction) -> bool {
        use pb::FeedAction as Wire;
        matches!(action, Wire::Disclose | Wire::Revise | Wire::Withdraw)
    }

    /// Returns true if an entry changes the disclosed state of its record.
    pub const fn is_about_disclosure(action: pb::FeedAction) -> bool {
        use pb::FeedAction as Wire;
        !matches!(action, Wire::Erased | Wire::ConsentRequest | Wire::Consent)
    }
}

impl From<FeedAction> for pb::FeedAction {
    fn from(action: FeedAction) -> Self {
        match action {
            FeedAction::Disclose => Self::Disclose,
            FeedAction::Revise => Self::Revise,
            FeedAction::Withdraw => Self::Withdraw,
            FeedAction::Retract => Self::Retract,
            FeedAction::Erase => Self::Erase,
            FeedAction::Erased => Self::Erased,
            FeedAction::ConsentRequest => Self::ConsentRequest,
            FeedAction::Consent => Self::Consent,
        }
    }
}

/// One disclosure, or a duty that follows from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    pub action: FeedAction,
    pub record: RecordId,
    pub open_slots: SlotMask,
    /// Version of the policy that decided.
    pub policy_version: PolicyVersion,
    pub at: Timestamp,
    /// The originator's order; there if and only if the action is an erasure.
    pub order: Option<ErasureOrder>,
    /// There if and only if the action is about consent.
    pub message: Option<Box<ConsentMessage>>,
}

/// The content of an entry about consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentMessage {
    Request(ConsentRequest),
    Consent(Consent),
}

impl ConsentMessage {
    pub const fn subject(&self) -> &Subject {
        match self {
            Self::Request(request) => &request.subject,
            Self::Consent(consent) => &consent.subject,
        }
    }

    /// Returns true if it revokes a consent.
    pub fn is_revocation(&self) -> bool {
        matches!(self, Self::Consent(consent) if consent.verdict == ConsentVerdict::Revoked)
    }

    /// The record that an entry names: the one that this is about, or zeros.
    pub fn record(&self) -> RecordId {
        match self.subject().scope {
            Scope::Record(id) => id,
            Scope::Operation(_) | Scope::All => RecordId::from_bytes([0; 32]),
        }
    }
}

impl FeedEntry {
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::Length(bytes.len()));
        }
        let wire = pb::FeedEntry::decode(bytes).map_err(|_| EntryError::Encoding)?;
        if wire.encode_to_vec() != bytes {
            return Err(EntryError::Encoding);
        }
        Self::try_from(wire)
    }

    /// The leaf of the feed; at most [`ENTRY_BYTES_MAX`] bytes.
    pub fn encode(&self) -> Bytes {
        pb::FeedEntry {
            action: pb::FeedAction::from(self.action).into(),
            record_id: Bytes::copy_from_slice(self.record.as_bytes()),
            open_slots: self.open_slots.bits(),
            policy_version: self.policy_version.get(),
            at_ms: self.at.unix_ms().unsigned_abs(),
            order: self.order.as_ref().map(Into::into),
            consent_request: match self.message.as_deref() {
                Some(ConsentMessage::Request(request)) => Some(Box::new(request.into())),
                _ => None,
            },
            consent: match self.message.as_deref() {
                Some(ConsentMessage::Consent(consent)) => Some(Box::new(consent.into())),
                _ => None,
            },
        }
        .encode_to_vec()
        .into()
    }
}

impl TryFrom<pb::FeedEntry> for FeedEntry {
    type Error = EntryError;

    fn try_from(wire: pb::FeedEntry) -> Result<Self, EntryError> {
        let pb::FeedEntry {
            action,
            record_id,
            open_slots,
            policy_version,
            at_ms,
            order,
            consent_request,
            consent,
        } = wire;
        let action = match pb::FeedAction::try_from(action) {
            Ok(pb::FeedAction::Disclose) => FeedAction::Disclose,
            Ok(pb::FeedAction::Revise) => FeedAction::Revise,
            Ok(pb::FeedAction::Withdraw) => FeedAction::Withdraw,
            Ok(pb::FeedAction::Retract) => FeedAction::Retract,
            Ok(pb::FeedAction::Erase) => FeedAction::Erase,
            Ok(pb::FeedAction::Erased) => FeedAction::Erased,
            Ok(pb::FeedAction::ConsentRequest) => FeedAction::ConsentRequest,
            Ok(pb::FeedAction::Consent) => FeedAction::Consent,
            Ok(pb::FeedAction::Unspecified) | Err(_) => return Err(EntryError::Action(action)),
        };
        let mask = SlotMask::from_bits(open_slots);
        if mask.bits() != open_slots {
            return Err(EntryError::Mask(open_slots));
        }
        let order = order.map(ErasureOrder::try_from).transpose().map_err(EntryError::Order)?;
        if order.is_some() != (action == FeedAction::Erase) {
            return Err(EntryError::OrderPlace);
        }
        if let Some(order) = &order
            && !mask.without(order.slots).is_empty()
        {
            return Err(EntryError::Unordered(mask.without(order.slots).bits()));
        }
        let record = RecordId::try_from(&record_id[..])
            .map_err(|_| EntryError::RecordId(record_id.len()))?;
        let message =
            consent_message(action, consent_request.map(|of| *of), consent.map(|of| *of))?;
        if let Some(message) = &message
            && (message.record() != record || !mask.is_empty())
        {
            return Err(EntryError::ConsentPlace);
        }
        Ok(Self {
            action,
            order,
            message: message.map(Box::new),
            record,
            open_slots: mask,
            policy_version: PolicyVersion::new(policy_version),
            at: i64::try_from(at_ms)
                .ok()
                .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
                .ok_or(EntryError::Time(at_ms))?,
        })
    }
}

fn consent_message(
    action: FeedAction,
    request: Option<pb::ConsentRequest>,
    consent: Option<pb::Consent>,
) -> Result<Option<ConsentMessage>, EntryError> {
    let message = match (action, request, consent) {
        (FeedAction::ConsentRequest, Some(request), None) => {
            ConsentRequest::try_from(request).map(ConsentMessage::Request)
        }
        (FeedAction::Consent, None, Some(consent)) => {
            Consent::try_from(consent).map(ConsentMessage::Consent)
        }
        (action, None, None) if !action.is_about_consent() => return Ok(None),
        _ => return Err(EntryError::ConsentPlace),
    };
    message.map(Some).map_err(EntryError::Consent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::KeyId;
    use crate::record::consent::{ConsentTerms, Parties, Purpose};
    use crate::record::erasure::ErasureBasis;
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    prop_compose! {
        fn any_entry()(
            action in prop::sample::select(vec![
                FeedAction::Disclose, FeedAction::Revise, FeedAction::Withdraw,
                FeedAction::Retract, FeedAction::Erase, FeedAction::Erased,
                FeedAction::ConsentRequest, FeedAction::Consent,
            ]),
            record: [u8; 32],
            mask: u32,
            version: u64,
            at in Timestamp::MIN.unix_ms()..=Timestamp::MAX.unix_ms(),
            key: [u8; 32],
        ) -> FeedEntry {
            let (record, open_slots) = (RecordId::from_bytes(record), SlotMask::from_bits(mask | 2));
            let at = Timestamp::from_unix_ms(at).unwrap();
            let signer = (&SigningKey::from_bytes(&key), KeyId::from_bytes([9; 16]));
            let order = ErasureOrder::sign(&record, open_slots, ErasureBasis::Led16, at, signer);
            let message = consent_message_of(action, record, at, signer);
            FeedEntry {
                action,
                record: message.as_ref().map_or(record, ConsentMessage::record),
                open_slots: if message.is_some() { SlotMask::NONE } else { open_slots },
                policy_version: PolicyVersion::new(version),
                at,
                order: (action == FeedAction::Erase).then_some(order),
                message: message.map(Box::new),
            }
        }
    }

    /// Half of them are about one record.
    fn consent_message_of(
        action: FeedAction,
        record: RecordId,
        at: Timestamp,
        signer: (&SigningKey, KeyId),
    ) -> Option<ConsentMessage> {
        let (originator, holder) = ("npa.go.jp".parse().unwrap(), "jc3.or.jp".parse().unwrap());
        let is_of_one = record.as_bytes()[0] & 1 == 0;
        let scope = if is_of_one { Scope::Record(record) } else { Scope::All };
        let subject = Subject { purpose: Purpose::Evidence, scope };
        let reason = "x".repeat(256);
        match action {
            FeedAction::ConsentRequest => {
                ConsentRequest::new(u64::MAX, subject, reason).ok().map(ConsentMessage::Request)
            }
            FeedAction::Consent => {
                let verdict = ConsentVerdict::Refused;
                let (number, request) = (u64::MAX, u64::MAX);
                let saying = ConsentTerms { number, request, verdict, subject, at, reason };
                let parties = Parties { originator: &originator, holder: &holder };
                Consent::sign(saying, parties, signer).ok().map(ConsentMessage::Consent)
            }
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn an_entry_is_written_and_read_back(entry in any_entry()) {
            let bytes = entry.encode();
            prop_assert!(bytes.len() <= ENTRY_BYTES_MAX);
            prop_assert_eq!(FeedEntry::decode(&bytes), Ok(entry));
        }

        #[test]
        fn what_is_read_was_written_so(
            entry in any_entry(), at: prop::sample::Index, with: u8, more in any::<Option<u8>>(),
        ) {
            let mut bytes = entry.encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = with;
            bytes.extend(more);
            if let Ok(back) = FeedEntry::decode(&bytes) {
                prop_assert_eq!(&back.encode()[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn an_entry_without_action_record_or_time_is_refused() {
        let sound = pb::FeedEntry {
            action: pb::FeedAction::Retract.into(),
            record_id: Bytes::from(vec![1; 32]),
            open_slots: 2,
            policy_version: 1,
            at_ms: Timestamp::MIN.unix_ms().unsigned_abs(),
            ..pb::FeedEntry::default()
        };
        let broken = |change: fn(&mut pb::FeedEntry)| {
            let mut wire = sound.clone();
            change(&mut wire);
            FeedEntry::decode(&wire.encode_to_vec()).unwrap_err()
        };
        assert!(FeedEntry::decode(&sound.encode_to_vec()).is_ok());
        assert_eq!(broken(|e| e.action = 0), EntryError::Action(0));
        assert_eq!(broken(|e| e.action = 9), EntryError::Action(9));
        assert_eq!(broken(|e| e.action = 7), EntryError::ConsentPlace);
        assert_eq!(broken(|e| e.consent = Some(Default::default())), EntryError::ConsentPlace);
        assert_eq!(broken(|e| e.record_id = Bytes::new()), EntryError::RecordId(0));
        assert_eq!(broken(|e| e.open_slots = 3), EntryError::Mask(3));
        assert_eq!(broken(|e| e.at_ms = 0), EntryError::Time(0));
        assert_eq!(broken(|e| e.at_ms = u64::MAX), EntryError::Time(u64::MAX));
    }
}
