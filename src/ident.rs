//! Newtypes for everything that has an identity, so that no two of them can be mixed up.
//!
//! Text forms are parsed here and nowhere else. Nothing in this module reads a clock or a file.

mod prefix;
mod store_numbers;

use std::fmt;
use std::str::FromStr;

pub use prefix::{IdPrefix, NotAPrefix, PREFIX_DIGITS_MIN, PREFIX_IDS_MAX};
pub use store_numbers::{FeedNumber, PartnerNumber};

/// Longest agency name in bytes. A checkpoint's origin is `<agency>/feed/<agency>` and must stay
/// below the 255 bytes that a C2SP key name may have.
pub const AGENCY_NAME_BYTES_MAX: usize = 100;

/// The fault in the text form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentError {
    #[error("an agency name has 1 to {AGENCY_NAME_BYTES_MAX} bytes, found {0}")]
    AgencyLength(usize),
    #[error(
        "agency name {0:?} is not a lower-case DNS-like name such as npa.go.jp (two labels or more of a-z, 0-9 and -)"
    )]
    AgencyForm(String),
    #[error("expected {expected} hexadecimal digits, found {found:?}")]
    Hex { expected: usize, found: String },
    #[error("expected {expected} bytes, found {found}")]
    Length { expected: usize, found: usize },
    #[error("time {0} ms lies outside the years 2000 to 2100")]
    TimeRange(i64),
    #[error("{0:?} is not an RFC 3339 time such as 2026-11-22T09:14:03Z")]
    TimeForm(String),
    #[error("an agency's logs have generations 1 to {max}, found {found}", max = Generation::MAX.0)]
    Generation { found: u32 },
}

/// The DNS-like name of an organisation that signs records, for example `npa.go.jp`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgencyName(std::sync::Arc<str>);

impl AgencyName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgencyName {
    type Err = IdentError;

    fn from_str(text: &str) -> Result<Self, IdentError> {
        if text.is_empty() || text.len() > AGENCY_NAME_BYTES_MAX {
            return Err(IdentError::AgencyLength(text.len()));
        }
        let label_is_sound = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.split('.').count() < 2 || !text.split('.').all(label_is_sound) {
            return Err(IdentError::AgencyForm(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AgencyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AgencyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Feeds of one generation at the most: one for each partner.
pub const FEEDS_MAX: u16 = 1_000;

/// The number of a generation of an agency's logs. Journal and feeds of another generation have
/// other origins, so that a checkpoint of one can never be taken for one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(u8);

impl Generation {
    pub const FIRST: Self = Self(1);
    /// A log is succeeded after a disaster. So many times a thousand partners fit the 16 bits that a
    /// feed's number has on the disk.
    pub const MAX: Self = Self(64);

    pub fn new(number: u32) -> Result<Self, IdentError> {
        u8::try_from(number)
            .ok()
            .map(Self)
            .filter(|generation| (Self::FIRST..=Self::MAX).contains(generation))
            .ok_or(IdentError::Generation { found: number })
    }

    pub const fn get(self) -> u8 {
        self.0
    }

    /// The generation after this one; `None` after the last that there can be.
    pub fn next(self) -> Option<Self> {
        Self::new(u32::from(self.0) + 1).ok()
    }

    /// In messages the first is 0, which is not written out: most agencies never have another.
    pub fn from_wire(number: u32) -> Result<Self, IdentError> {
        match number {
            0 => Ok(Self::FIRST),
            1 => Err(IdentError::Generation { found: 1 }),
            number => Self::new(number),
        }
    }

    pub fn to_wire(self) -> u32 {
        if self == Self::FIRST { 0 } else { u32::from(self.0) }
    }

    /// The number under which a node keeps the feed to or from the partner with this number.
    pub const fn feed_number(self, partner: u16) -> u16 {
        (self.0 - Self::FIRST.0) as u16 * FEEDS_MAX + partner
    }

    /// The partner whose feed has this number in any generation.
    pub const fn partner_of(feed_number: u16) -> u16 {
        feed_number.saturating_sub(1) % FEEDS_MAX + 1
    }

    /// The origin of an agency's journal.
    pub fn journal_origin(self, agency: &AgencyName) -> String {
        self.numbered(format!("{agency}/journal"))
    }

    /// The origin of the feed from one agency to another; the generation is that of `from`.
    pub fn feed_origin(self, from: &AgencyName, to: &AgencyName) -> String {
        self.numbered(format!("{from}/feed/{to}"))
    }

    fn numbered(self, name: String) -> String {
        if self == Self::FIRST { name } else { format!("{name}/{}", self.0) }
    }

    /// The generation in the origin of a log of this project.
    pub fn named_in(origin: &str) -> Self {
        // Nothing else that ends an origin is a number: agency names have two labels.
        let last = origin.rsplit('/').next().and_then(|last| last.parse().ok());
        last.and_then(|number| Self::new(number).ok()).unwrap_or(Self::FIRST)
    }

    /// The agency whose journal has this origin, and its generation.
    pub fn of_journal(origin: &str) -> Option<(AgencyName, Self)> {
        let (agency, rest) = origin.split_once("/journal")?;
        let generation = match rest.strip_prefix('/') {
            Some(number) => Self::new(number.parse().ok()?).ok()?,
            None => Self::FIRST,
        };
        let agency: AgencyName = agency.parse().ok()?;
        // One origin has one text.
        (generation.journal_origin(&agency) == origin).then_some((agency, generation))
    }
}

impl Default for Generation {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! byte_identifier {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $bytes]);

        impl $name {
            pub const BYTES: usize = $bytes;

            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdentError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdentError> {
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| IdentError::Length { expected: $bytes, found: bytes.len() })
            }
        }

        impl FromStr for $name {
            type Err = IdentError;

            fn from_str(text: &str) -> Result<Self, IdentError> {
                hex_decode(text)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(|| IdentError::Hex { expected: $bytes * 2, found: text.to_owned() })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

byte_identifier!(
    /// SHA-256 of the tagged header bytes of a record; the signature is not part of it.
    RecordId,
    32
);
byte_identifier!(
    /// The stable identity of the thing that a record is about: the first 16 bytes of an
    /// HMAC-SHA-256 under the originator's own secret.
    SeriesId,
    16
);
byte_identifier!(
    /// The first 16 bytes of the tagged SHA-256 of a suite and a public key.
    KeyId,
    16
);
byte_identifier!(
    /// A node of a Merkle tree, leaf or inner (RFC 9162, section 2.1).
    TreeHash,
    32
);
byte_identifier!(
    /// SHA-256 over the files of a policy bundle.
    BundleHash,
    32
);

fn hex_decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |b: u8| char::from(b).to_digit(16).filter(|_| !b.is_ascii_uppercase());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some((nibble(pair[0])? << 4 | nibble(pair[1])?) as u8))
        .collect()
}

macro_rules! count_identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(u64);

        impl $name {
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

count_identifier!(
    /// The zero-based position of a leaf in a log.
    LeafIndex
);
count_identifier!(
    /// The number of leaves of a log.
    TreeSize
);
count_identifier!(
    /// Counts the policy bundles that were put in force at a node, from 1; 0 is "none yet".
    PolicyVersion
);

/// Milliseconds since 1970-01-01T00:00:00Z, within the years 2000 to 2100 so that no arithmetic
/// on durations can overflow anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 2000-01-01T00:00:00Z
    pub const MIN: Self = Self(946_684_800_000);
    /// 2100-01-01T00:00:00Z
    pub const MAX: Self = Self(4_102_444_800_000);

    pub fn from_unix_ms(ms: i64) -> Result<Self, IdentError> {
        if (Self::MIN.0..=Self::MAX.0).contains(&ms) {
            Ok(Self(ms))
        } else {
            Err(IdentError::TimeRange(ms))
        }
    }

    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    pub const fn unix_seconds(self) -> u64 {
        (self.0 / 1000) as u64
    }

    /// The start of the hour that this time lies in.
    pub const fn hour(self) -> Self {
        Self(self.0 - self.0 % 3_600_000)
    }

    /// This time moved by `ms`, held within the range.
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms).clamp(Self::MIN.0, Self::MAX.0))
    }
}

impl FromStr for Timestamp {
    type Err = IdentError;

    /// Takes RFC 3339, or a bare date which means its midnight in UTC.
    fn from_str(text: &str) -> Result<Self, IdentError> {
        use time::format_description::well_known::Rfc3339;
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let moment = time::OffsetDateTime::parse(&full, &Rfc3339)
            .map_err(|_| IdentError::TimeForm(text.to_owned()))?;
        let ms = moment.unix_timestamp_nanos() / 1_000_000;
        i64::try_from(ms)
            .map_err(|_| IdentError::TimeForm(text.to_owned()))
            .and_then(Self::from_unix_ms)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment =
            time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
                .map_err(|_| fmt::Error)?;
        let (date, clock) = (moment.date(), moment.time());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second(),
            clock.millisecond()
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agency_names_are_dns_like_and_lower_case() {
        for good in ["npa.go.jp", "jc3.or.jp", "dcu.example", "a-1.b"] {
            assert_eq!(good.parse::<AgencyName>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in
            ["", "npa", "NPA.go.jp", "a..b", ".a.b", "-a.b", "a.b-", "a_b.c", "a.b/feed", "a.b\n"]
        {
            assert!(bad.parse::<AgencyName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_outside_2000_to_2100_are_refused() {
        assert!(Timestamp::from_unix_ms(0).is_err());
        assert!(Timestamp::from_unix_ms(i64::MAX).is_err());
        assert!("1999-12-31".parse::<Timestamp>().is_err());
        assert_eq!(
            "2026-11-22".parse::<Timestamp>().map(|t| t.to_string()).as_deref(),
            Ok("2026-11-22T00:00:00.000Z")
        );
    }

    proptest! {
        #[test]
        fn a_time_prints_and_parses_back(ms in Timestamp::MIN.0..=Timestamp::MAX.0) {
            let time = Timestamp(ms);
            prop_assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
        }

        #[test]
        fn a_record_id_prints_and_parses_back(bytes: [u8; 32]) {
            let id = RecordId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<RecordId>(), Ok(id));
        }
    }
}
