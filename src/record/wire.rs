//! Strict reading of the protobuf wire format, as far as slots need it.
//!
//! Takes exactly one encoding of each content: minimal varints, one field number, no groups, no
//! explicit defaults, nothing after the end. That is what makes joining slots safe: no slot can
//! carry another slot's field.

use super::kind::Kind;
use super::slots::{REPEATED_MAX, Rule, SLOT_BYTES_MAX, SlotNumber, SlotSpec};
use crate::ident::{AgencyName, SeriesId, Timestamp};
use crate::value::{ValueType, is_country};

/// The reason for refusing the bytes of a slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    #[error("a field has at most {SLOT_BYTES_MAX} bytes, found {found}")]
    TooLong { found: usize },
    #[error("the bytes end inside a value")]
    Truncated,
    #[error("a number is not in its shortest form")]
    LongVarint,
    #[error("it has field {found}, and only field {wanted} is possible")]
    ForeignField { found: u64, wanted: u8 },
    #[error("found wire type {found}, wanted {wanted}")]
    WireType { found: u8, wanted: u8 },
    #[error("it has {found} occurrences, at most {most} are possible")]
    Repeats { found: usize, most: usize },
    #[error("an empty value is encoded; leave the field out")]
    WrittenDefault,
    #[error("{0}")]
    Rule(String),
}

const VARINT: u8 = 0;
const LENGTH_DELIMITED: u8 = 2;

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<u64, SlotError> {
        let mut value = 0u64;
        for (position, byte) in self.bytes.iter().copied().enumerate().take(10) {
            let low = u64::from(byte & 0x7f);
            if position == 9 && low > 1 {
                return Err(SlotError::LongVarint);
            }
            value |= low << (7 * position);
            if byte & 0x80 == 0 {
                if byte == 0 && position > 0 {
                    return Err(SlotError::LongVarint);
                }
                self.bytes = &self.bytes[position + 1..];
                return Ok(value);
            }
        }
        Err(if self.bytes.len() < 10 { SlotError::Truncated } else { SlotError::LongVarint })
    }

    fn delimited(&mut self) -> Result<&'a [u8], SlotError> {
        let length = usize::try_from(self.varint()?).map_err(|_| SlotError::Truncated)?;
        let (value, rest) = self.bytes.split_at_checked(length).ok_or(SlotError::Truncated)?;
        self.bytes = rest;
        Ok(value)
    }
}

/// Checks that `bytes` are sound as the given slot of a kind. No bytes are always sound.
pub(super) fn check_slot(kind: Kind, slot: SlotNumber, bytes: &[u8]) -> Result<(), SlotError> {
    if bytes.len() > SLOT_BYTES_MAX {
        return Err(SlotError::TooLong { found: bytes.len() });
    }
    let spec = slot.spec(kind);
    let wanted = if spec.rule.is_varint() { VARINT } else { LENGTH_DELIMITED };
    let most = if spec.repeated { REPEATED_MAX } else { 1 };
    let mut reader = Reader { bytes };
    let mut found = 0;
    while !reader.bytes.is_empty() {
        let tag = reader.varint()?;
        if tag >> 3 != u64::from(slot.get()) {
            return Err(SlotError::ForeignField { found: tag >> 3, wanted: slot.get() });
        }
        let wire = (tag & 7) as u8;
        if wire != wanted {
            return Err(SlotError::WireType { found: wire, wanted });
        }
        if wire == VARINT {
            check_number(spec.rule, reader.varint()?)?;
        } else {
            check_bytes(spec, reader.delimited()?)?;
        }
        found += 1;
    }
    if found > most { Err(SlotError::Repeats { found, most }) } else { Ok(()) }
}

fn check_number(rule: Rule, number: u64) -> Result<(), SlotError> {
    if number == 0 {
        return Err(SlotError::WrittenDefault);
    }
    let refuse = |wanted: &str| Err(SlotError::Rule(format!("{number} is not {wanted}")));
    match rule {
        Rule::ValueType => match u32::try_from(number).map(ValueType::from_number) {
            Ok(Ok(_)) => Ok(()),
            _ => refuse("the number of a value type"),
        },
        Rule::Time => match i64::try_from(number).map(Timestamp::from_unix_ms) {
            Ok(Ok(_)) => Ok(()),
            _ => refuse("a time between the years 2000 and 2100 in milliseconds since 1970"),
        },
        Rule::Count if number > u64::from(u32::MAX) => refuse("a count below 2^32"),
        Rule::Choice(last) if number > last => refuse("in the field's list of choices"),
        _ => Ok(()),
    }
}

fn check_bytes(spec: &SlotSpec, bytes: &[u8]) -> Result<(), SlotError> {
    if bytes.is_empty() && !spec.repeated {
        return Err(SlotError::WrittenDefault);
    }
    match spec.rule {
        Rule::Series => SeriesId::try_from(bytes).map(drop).map_err(reason),
        Rule::CustodyStep => {
            use prost::Message as _;
            let step = crate::pb::CustodyStep::decode(bytes).map_err(reason)?;
            // In its one encoding only: nothing unknown may hide in it.
            if step.encode_to_vec() == bytes {
                Ok(())
            } else {
                Err(reason("it is not in its one encoding"))
            }
        }
        rule => check_text(rule, std::str::from_utf8(bytes).map_err(reason)?),
    }
}

fn reason(error: impl std::fmt::Display) -> SlotError {
    SlotError::Rule(error.to_string())
}

fn check_text(rule: Rule, text: &str) -> Result<(), SlotError> {
    let is_code = |length| text.len() == length && text.bytes().all(|b| b.is_ascii_uppercase());
    let refuse = |wanted: String| Err(SlotError::Rule(wanted));
    match rule {
        Rule::Line(most) | Rule::Text(most) if text.len() > most => {
            refuse(format!("{} bytes of text are more than {most}", text.len()))
        }
        Rule::Line(_) if text.chars().any(char::is_control) => {
            refuse("a control character or line break stands in a single line".to_owned())
        }
        Rule::Text(_) if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) => {
            refuse("a control character stands in the text".to_owned())
        }
        Rule::Country if !is_country(text) => {
            refuse(format!("{text:?} is not the code of a country in ISO 3166-1, for example JP"))
        }
        Rule::Currency if !is_code(3) => {
            refuse("a currency is three capital letters (ISO 4217), for example JPY".to_owned())
        }
        Rule::Agency => text.parse::<AgencyName>().map(drop).map_err(reason),
        _ => Ok(()),
    }
}

/// Splits an encoded content message into its slots. The encoder writes fields in ascending
/// order, so each slot is one run of bytes.
pub(super) fn split(kind: Kind, content: &bytes::Bytes) -> Result<Vec<bytes::Bytes>, SlotError> {
    let mut slots = vec![bytes::Bytes::new(); kind.slots().len()];
    let mut reader = Reader { bytes: content };
    let at = |reader: &Reader<'_>| content.len() - reader.bytes.len();
    while !reader.bytes.is_empty() {
        let start = at(&reader);
        let tag = reader.varint()?;
        match (tag & 7) as u8 {
            VARINT => drop(reader.varint()?),
            LENGTH_DELIMITED => drop(reader.delimited()?),
            found => return Err(SlotError::WireType { found, wanted: LENGTH_DELIMITED }),
        }
        let slot = u32::try_from(tag >> 3).ok().and_then(|n| SlotNumber::in_kind(n, kind));
        let Some(slot) = slot else {
            return Err(SlotError::ForeignField { found: tag >> 3, wanted: 0 });
        };
        let run = &mut slots[slot.row()];
        *run = if run.is_empty() {
            content.slice(start..at(&reader))
        } else {
            let first = run.as_ptr() as usize - content.as_ptr() as usize;
            content.slice(first..at(&reader))
        };
    }
    Ok(slots)
}

/// The number in a slot that holds one, if it is not empty.
pub(super) fn number_in(slot: &[u8]) -> Option<u64> {
    let mut reader = Reader { bytes: slot };
    reader.varint().ok()?;
    reader.varint().ok()
}

/// The values of a slot that holds text or bytes.
pub(super) fn values_in(slot: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader { bytes: slot };
    std::iter::from_fn(move || {
        if reader.bytes.is_empty() {
            return None;
        }
        reader.varint().ok()?;
        reader.delimited().ok()
    })
}
