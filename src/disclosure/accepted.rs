//! The description of a record in the entry that accepted it.

use super::read_error::BrokenEntry;
use crate::ident::{AgencyName, RecordId};
use crate::pb;
use crate::record::commit;
use crate::record::header::Header;
use crate::record::slots::SlotMask;
use prost::Message as _;

/// A record as its acceptance describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedHeader {
    pub journal_index: u64,
    pub id: RecordId,
    pub header: Header,
    /// The partner whose feed it came in; `None` when a local client submitted it.
    pub partner: Option<AgencyName>,
    /// The slots that were open then.
    pub open_slots: SlotMask,
}

impl AcceptedHeader {
    /// Decodes the header of the record that an entry accepted. The encoding was checked at acceptance, so it is
    /// not checked again.
    pub fn decode(index: u64, accepted: &pb::RecordAccepted) -> Result<Self, BrokenEntry> {
        let broken = |reason: String| BrokenEntry { index, reason };
        let wire = pb::Header::decode(accepted.header.clone())
            .map_err(|error| broken(format!("it holds no header: {error}")))?;
        let header = Header::try_from(wire).map_err(|error| broken(error.to_string()))?;
        let partner = match accepted.partner.as_str() {
            "" => None,
            name => {
                Some(name.parse().map_err(|_| broken(format!("{name:?} is not an agency name")))?)
            }
        };
        Ok(Self {
            journal_index: index,
            id: commit::record_id(&accepted.header),
            header,
            partner,
            open_slots: SlotMask::from_bits(accepted.open_slots),
        })
    }
}
