//! The session: what two partners say to each other over one stream, and what each makes of it.
//!
//! A [`Session`] takes in what happened ([`Input`]: a frame came, something was stored, the feed
//! grew) with the time, and gives back what is to be done ([`Output`]: send, check, store, record,
//! close). The driver carries the outputs out in their order and answers those that ask; it decides
//! nothing. The one expensive step, [`check_batch`], is a function of its own that may run elsewhere.
//!
//! What the two sides owe each other:
//! * A receipt leaves only after what it receipts is durable.
//! * A feed has one history. Two signed accounts of it end the session with [`Evidence`], for people
//!   to judge; nothing here heals it.
//! * A record that does not stand is refused alone, with a reason that travels in the receipt.
//! * Before anything that came is stored, the hello of each side is held against the other's own
//!   history: a node that runs on an old copy of its store finds out before it signs.
//! * A repeat changes nothing. After a cut, all but the frames in flight is still known.
//!
//! Never here: a clock, a socket, a disk, a runtime, randomness, the journal's key. What policy
//! discloses is decided before, and what is stored happens after.

mod batch;
mod check;
mod consents;
mod denial;
mod disclosed;
mod duty;
mod entry;
mod exception;
mod exception_statement;
mod fault;
mod provenance;
mod lag;
mod output;
mod pair;
mod receiving;
mod reoffer;
mod sending;
mod series;
mod session;
mod signed_time;
mod witnessing;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod witnessing_tests;

pub use batch::{Batch, BatchForm, HeadSpacing};
pub use check::{Acceptance, BatchFault, CheckContext, CheckedBatch, Taken, check_batch};
pub use consents::{ConsentFault, ConsentRegister, GivenConsent, OpenRequest, REQUESTS_OPEN_MAX};
pub use denial::{Denial, Receipted, denies, is_repeated, judge_denial};
pub use disclosed::{Allowed, Disclosed, Owed, owed};
pub use duty::{Duty, GivenRecord, judge_consent, judge_order, judge_report, judge_withdrawal};
pub use entry::{ConsentMessage, EntryError, FeedAction, FeedEntry, WHOLE_RECORD};
pub use exception::{Exception, ExceptionError, Reason};
pub use exception_statement::{ExceptionStatement, SignedExceptions, StatementError};
pub use fault::{Evidence, Fault, Misbehaviour, OwnFault, Refusal};
pub use lag::{LAG_ENTRIES_MAX, Lag, Lagging};
pub use output::{Alert, Closing, Output};
pub use pair::{
    CosignedError, OwnLine, Pair, ReceiptError, Side, SideKeys, WrongKeyRole, feed_origin,
};
pub use provenance::{Provenance, TakenBack, reopened};
pub use receiving::ReceivedBatch;
pub use reoffer::Offering;
pub use series::{Place, SeriesVerdict};
pub use session::{Input, Session, Standing};
pub use signed_time::{
    CLOCK_DIFFERENCE_MS_MAX, ImpossibleTime, SignedTime, before_ms, check_not_ahead,
};
pub use witnessing::{JournalSize, WitnessStanding, Witnessed};

use crate::record::consent::CONSENT_BYTES_MAX;

/// The version of the protocol of this program.
pub const PROTOCOL: u32 = 1;

/// Entries of a batch at the most. A head of the feed must be published at least this often.
pub const BATCH_ENTRIES_MAX: usize = 1024;

/// Bytes of an encoded `FeedBatch` at the most. The largest record (31 slots of 48 KiB) with its
/// header and a note of the largest size fits, and a message stays below gRPC's usual 4 MiB.
pub const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Batches under way without a receipt, in each direction. With [`BATCH_BYTES_MAX`] it bounds what a
/// partner can make this node hold to 16 MiB, and covers a round trip of 200 ms at 80 MiB/s.
pub const WINDOW: usize = 8;

/// Bytes of an encoded feed entry at the most: five fields of at most 2, 34, 6, 11 and 11 bytes, and
/// a consent or a request for one.
pub const ENTRY_BYTES_MAX: usize = 68 + CONSENT_BYTES_MAX;

/// Bytes of an entry of a partner's feed that is taken down, known or not: the journal keeps it whole. Several
/// times the longest that this program knows, so that it can refuse those of later versions one by one.
pub const FOREIGN_ENTRY_BYTES_MAX: usize = 4_096;

/// The same for an entry without consent, with an order of at most 105 bytes.
pub const RECORD_ENTRY_BYTES_MAX: usize = 176;

/// Bytes of an exception's text for people at the most.
pub const EXCEPTION_DETAIL_BYTES_MAX: usize = 256;

/// Bytes of the texts of all exceptions of one batch. With 16 bytes of frame for each of 1,024
/// exceptions, a frontier and a note of usual size this stays below a journal entry's 65,535 bytes.
pub const EXCEPTION_DETAILS_BYTES_MAX: usize = 32 * 1024;

/// Exceptions of one receipt at the most: after a cut one receipt may answer a whole window.
pub const RECEIPT_EXCEPTIONS_MAX: usize = WINDOW * BATCH_ENTRIES_MAX;
