//! The errors of erasing slots and of holds on records.

use crate::ident::RecordId;
use crate::policy::Hold;
use crate::record::kind::Kind;
use crate::record::slots::SlotMask;
use tonic::Code;

/// The reason why nothing is erased, or a hold stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    #[error("the act names no record, or no legal ground that is known; name both")]
    Incomplete,
    #[error("a record of kind {} has no slots {slots:#x}", .kind.name())]
    Slots { kind: Kind, slots: u32 },
    #[error("record {id} was revised after this was proposed; propose it again")]
    Revised { id: RecordId },
    #[error("record {id} stays: {hold}")]
    Held { id: RecordId, hold: Hold },
    #[error("no slot to erase is left: the content of these slots of record {id} is not here")]
    NothingLeft { id: RecordId },
    #[error("act {proposal} erases slots of record {id}; wait until that is done")]
    Erasing { id: RecordId, proposal: u64 },
    #[error("record {id} is under a hold already")]
    HoldBegun { id: RecordId },
    #[error("record {id} is not under a hold")]
    NoHold { id: RecordId },
    #[error(
        "the originator ordered slots {} of record {id} erased, and the end of the hold erases them for good; \
         confirm that with --erase-ordered",
        numbers(*.slots)
    )]
    ErasureOrdered { id: RecordId, slots: SlotMask },
}

impl ErasureError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::Incomplete | Self::Slots { .. } => Code::InvalidArgument,
            Self::Revised { .. }
            | Self::Held { .. }
            | Self::NothingLeft { .. }
            | Self::Erasing { .. }
            | Self::HoldBegun { .. }
            | Self::NoHold { .. }
            | Self::ErasureOrdered { .. } => Code::FailedPrecondition,
        }
    }
}

fn numbers(slots: SlotMask) -> String {
    let numbers = (1..32).filter(|number| slots.bits() & 1 << number != 0);
    numbers.map(|number: u32| number.to_string()).collect::<Vec<_>>().join(", ")
}
