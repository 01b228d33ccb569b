//! Remarks: what an auditor should know and what breaks nothing.

use super::times::TimeDifference;
use super::words::in_words;
use crate::ident::{AgencyName, Generation};
use crate::numerals::grouped;
use std::fmt;

/// Something that an auditor should know and that breaks nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// The auditor has no number to compare, so whoever made the directory chose the key.
    TrustsDirectory,
    NoCardFile,
    /// The card file is not a card, or another agency's.
    CardFileUnusable {
        why: String,
    },
    CardFileDiffers {
        file: u64,
        journal: u64,
    },
    /// Bytes behind the last checkpoint that were never acknowledged.
    TornTail {
        segment: u32,
        offset: u64,
        bytes: u64,
    },
    UnknownOriginators {
        records: u64,
    },
    /// Orders to erase records whose originator is unknown here.
    UnknownOrders {
        orders: u64,
    },
    OldCosignatures {
        count: u64,
    },
    CompromisedKeys {
        records: u64,
    },
    PolicyFilesAbsent {
        versions: u64,
    },
    DisclosedWhileInactive {
        partner: AgencyName,
        entries: u64,
    },
    PartnerIdentityChanged {
        partner: AgencyName,
    },
    /// A partner answers orders to erase with the word that it never got the record, and its own receipt
    /// shows that it took it.
    ContradictedReceipt {
        partner: AgencyName,
        orders: u64,
        /// The entry of the journal with the first such answer.
        entry: u64,
    },
    /// Times that a partner or witness signed differ from those of the journal.
    SignedTimes {
        signer: String,
        direction: TimeDifference,
        ms: i64,
        entry: u64,
    },
    /// A file that is not a segment, or that neither an entry nor a manifest names.
    ForeignFile {
        name: String,
    },
    /// A log showed two histories; the evidence is in this journal.
    Contradiction {
        origin: String,
    },
    /// The node was stopped while it overwrote content; it finishes that when it starts.
    OverwritePending,
    /// The entry of an erasure is there and the bytes are too; the node destroys them when it starts.
    ErasurePending {
        records: u64,
    },
    /// Erasures were approved, and revisions of their series are left.
    ErasureIncomplete {
        acts: u64,
    },
    /// Entries were lost for good, and the journal went on under the next generation.
    Succeeded {
        generation: Generation,
        /// Entries that are left from before.
        left: u64,
        /// Entries that were signed, by the largest checkpoint that partners showed; `None` if they
        /// showed only feeds.
        signed: Option<u64>,
        /// Entries that were acknowledged at least, by files of the node's store; `None` if only
        /// partners showed a loss.
        recorded: Option<u64>,
        reason: String,
    },
    /// The checkpoint that the auditor holds is of entries that a succession lists as lost.
    KnownCheckpointLost {
        size: u64,
        left: u64,
    },
}

impl Remark {
    /// The stable word for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TrustsDirectory => "trusts_directory",
            Self::NoCardFile => "no_card_file",
            Self::CardFileUnusable { .. } => "card_file_unusable",
            Self::CardFileDiffers { .. } => "card_file_differs",
            Self::TornTail { .. } => "torn_tail",
            Self::UnknownOriginators { .. } => "unknown_originators",
            Self::UnknownOrders { .. } => "unknown_orders",
            Self::OldCosignatures { .. } => "old_cosignatures",
            Self::CompromisedKeys { .. } => "compromised_keys",
            Self::PolicyFilesAbsent { .. } => "policy_files_absent",
            Self::DisclosedWhileInactive { .. } => "disclosed_while_inactive",
            Self::PartnerIdentityChanged { .. } => "partner_identity_changed",
            Self::ContradictedReceipt { .. } => "contradicted_receipt",
            Self::SignedTimes { .. } => "signed_times",
            Self::ForeignFile { .. } => "foreign_file",
            Self::Contradiction { .. } => "contradiction",
            Self::OverwritePending => "overwrite_pending",
            Self::ErasurePending { .. } => "erasure_pending",
            Self::ErasureIncomplete { .. } => "erasure_incomplete",
            Self::Succeeded { .. } => "log_succeeded",
            Self::KnownCheckpointLost { .. } => "known_checkpoint_lost",
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrustsDirectory => f.write_str(
                "trusts the card in the directory; give the agency's number or its card to be sure",
            ),
            Self::NoCardFile => f.write_str("the directory has no card file"),
            Self::CardFileUnusable { why } => {
                write!(f, "the card file in the directory is not used: {why}")
            }
            Self::CardFileDiffers { file, journal } => write!(
                f,
                "the card file has serial {file}, the last card in the journal has {journal}"
            ),
            Self::TornTail { segment, offset, bytes } => write!(
                f,
                "{} bytes of an unfinished write at segment {segment} offset {offset}, never acknowledged",
                grouped(*bytes)
            ),
            Self::UnknownOriginators { records } => write!(
                f,
                "{} forwarded records whose originator is unknown here: signature not verified",
                grouped(*records)
            ),
            Self::UnknownOrders { orders } => write!(
                f,
                "{} orders to erase by originators that are unknown here: signature not verified",
                grouped(*orders)
            ),
            Self::OldCosignatures { count } => write!(
                f,
                "{} cosignatures came long after their checkpoints: verified, not compared, and not counted for a quorum",
                grouped(*count)
            ),
            Self::CompromisedKeys { records } => write!(
                f,
                "{} records were accepted after their key was compromised",
                grouped(*records)
            ),
            Self::PolicyFilesAbsent { versions } => {
                write!(f, "the files of {} applied policies are not here", grouped(*versions))
            }
            Self::DisclosedWhileInactive { partner, entries } => write!(
                f,
                "{} entries of the feed to {partner} were made while it was not active",
                grouped(*entries)
            ),
            Self::PartnerIdentityChanged { partner } => {
                write!(f, "{partner} changed its identity key: ask for the record of that ceremony")
            }
            Self::ContradictedReceipt { partner, orders, entry } => write!(
                f,
                "{partner} answers {} orders to erase with the word that it never got the record, which its own receipt shows as taken; first at entry {entry}",
                grouped(*orders)
            ),
            Self::SignedTimes { signer, direction, ms, entry } => {
                write!(f, "{} {signer} by {}, at entry {entry}", direction.name(), in_words(*ms))
            }
            Self::ForeignFile { name } => write!(f, "{name:?} belongs to no part of the history"),
            Self::Contradiction { origin } => {
                write!(f, "{origin} showed two histories; the evidence is in this journal")
            }
            Self::OverwritePending => {
                f.write_str("an erasure was interrupted; the node finishes it when it starts")
            }
            Self::ErasurePending { records } => write!(
                f,
                "the bytes of {} erased records are still here; the node destroys them when it starts",
                grouped(*records)
            ),
            Self::ErasureIncomplete { acts } => write!(
                f,
                "{} approved erasures are not carried out in full; the node goes on with them when it starts",
                grouped(*acts)
            ),
            Self::Succeeded { generation, left, signed, recorded, reason } => {
                write!(
                    f,
                    "generation {generation} of the logs begins behind {} entries: later ones were lost for good",
                    grouped(*left)
                )?;
                match (signed, recorded) {
                    (Some(signed), _) => write!(f, ", at least {}", grouped(signed - left))?,
                    (None, Some(recorded)) => write!(
                        f,
                        ", at least {} by the node's own files; no partner showed it",
                        grouped(recorded - left)
                    )?,
                    (None, None) => f.write_str(", how many no partner showed")?,
                }
                write!(f, "; everything was disclosed anew; reason given: {reason:?}")
            }
            Self::KnownCheckpointLost { size, left } => write!(
                f,
                "your checkpoint is of {} entries, of which {} are left: compared with none",
                grouped(*size),
                grouped(*left)
            ),
        }
    }
}
