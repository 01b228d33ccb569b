//! The one kit of the unit tests: agencies with keys and cards, records, journal entries, feeds, journals on a
//! temporary directory, and the facts that policies read.
//!
//! Everything is made by the constructors of the product, from fixed keys, salts and times, so that a test
//! gives the same bytes on each run. Nothing here is compiled into the program.

mod agency;
mod card;
mod drafts;
mod events;
mod feed;
mod journal;
mod permit;
pub(crate) mod policy;
mod random;

pub(crate) use agency::{Agency, Ring, redacted, secret};
pub(crate) use card::{AUTHORITY, sample_card};
pub(crate) use drafts::{draft, green, indicator, marking, note, withdrawal_draft};
pub(crate) use events::{
    approved, decided, exception, feed_entry, id_bytes, partner_changed, proposed, receipt_of,
};
pub(crate) use feed::Feed;
pub(crate) use journal::{Pairs, TestJournal, assert_same_index, copy, pairs};
pub(crate) use permit::permit;
pub(crate) use random::Random;

use crate::ident::{AgencyName, Timestamp};

/// The time of everything that needs one: 2026-03-01T00:00:00Z, in milliseconds since 1970.
pub(crate) const NOW_MS: i64 = 1_772_323_200_000;

/// The name of [`Agency::own`].
pub(crate) fn own() -> AgencyName {
    "npa.go.jp".parse().unwrap()
}

/// The name of [`Agency::partner`].
pub(crate) fn partner() -> AgencyName {
    "cert.example".parse().unwrap()
}

pub(crate) fn now() -> Timestamp {
    time(NOW_MS)
}

pub(crate) fn time(unix_ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(unix_ms).unwrap()
}
