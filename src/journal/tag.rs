//! The tags of the keys in the table of disclosures.
//!
//! All of them stand here, so that two parts of the journal never take the same one.

/// The first byte of a key in [`Table::Tagged`](crate::store::Table::Tagged).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Disclosed = 1,
    Head = 2,
    Received = 3,
    Superseded = 16,
    ErasureOf = 17,
    ErasureAt = 18,
    Duty = 19,
    Excepted = 20,
    Retain = 21,
    Barred = 22,
    Retraction = 24,
    PolicyAt = 32,
    PartnerAt = 33,
    RecordAt = 34,
    NotTaken = 35,
    HeldWaiting = 36,
    Held = 37,
    HeldDecided = 38,
    ErasureWaiting = 39,
    ErasureAnswered = 40,
    ErasureReported = 41,
    SeriesMember = 50,
    RecordSuperseded = 51,
    Provenance = 42,
    RefusedRecord = 43,
    RefusedDuty = 44,
    ShownBefore = 45,
    ReceiptLost = 46,
}
