//! Record ids by their first digits, as tables show them.

use crate::ident::RecordId;
use crate::journal::JournalError;
use crate::journal::view::View;
use crate::policy::{Sight, Visibility};
use crate::store::{KeyRange, Order, Table};

/// Digits at the least: of a million records, six belong to one id in sixteen cases of seventeen.
pub const PREFIX_DIGITS_MIN: usize = 6;
/// Ids in an answer; whoever gets more than one types more digits.
pub const PREFIX_IDS_MAX: usize = 16;
/// Ids that are looked at: a prefix of six digits has more only among thousands of millions.
const EXAMINED_MAX: usize = 4_096;

/// The first hexadecimal digits of a record id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix {
    bytes: Vec<u8>,
    /// The digit behind those bytes, in the high half.
    odd: Option<u8>,
}

/// A text that cannot be the beginning of a record id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the beginning of a record id: {PREFIX_DIGITS_MIN} to 64 hexadecimal digits in lower case"
)]
pub struct NotAPrefix(String);

impl std::str::FromStr for IdPrefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
        let digits = digits
            .filter(|digits| (PREFIX_DIGITS_MIN..=2 * RecordId::BYTES).contains(&digits.len()))
            .ok_or_else(|| NotAPrefix(text.chars().take(80).collect()))?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        Ok(Self { bytes, odd: rest.first().map(|digit| digit << 4) })
    }
}

impl IdPrefix {
    fn admits(&self, id: &[u8]) -> bool {
        self.odd.is_none_or(|odd| id.get(self.bytes.len()).is_some_and(|byte| byte & 0xf0 == odd))
    }
}

impl View {
    /// Ids that begin with a prefix, in order, and whether there are more. Records that this sight does
    /// not show are left out.
    pub fn ids_with_prefix(
        &self,
        prefix: &IdPrefix,
        sight: &Sight,
    ) -> Result<(Vec<RecordId>, bool), JournalError> {
        let mut found = Vec::new();
        let range = KeyRange::prefix(prefix.bytes.clone());
        let pairs = self.index().scan(Table::Records, &range, Order::Ascending);
        for (examined, pair) in pairs.enumerate() {
            let (key, _) = pair?;
            if examined >= EXAMINED_MAX || found.len() > PREFIX_IDS_MAX {
                break;
            }
            let Ok(id) = RecordId::try_from(&key[..]) else { continue };
            if prefix.admits(&key)
                && let Some(kept) = self.kept(&id)?
                && sight.of_record(&kept.status()) != Visibility::Nothing
            {
                found.push(id);
            }
        }
        let more = found.len() > PREFIX_IDS_MAX;
        found.truncate(PREFIX_IDS_MAX);
        Ok((found, more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_six_to_64_digits_in_lower_case() {
        for text in ["", "abcde", "ABCDEF", "abcdeg", &"a".repeat(65)] {
            assert!(text.parse::<IdPrefix>().is_err(), "{text:?}");
        }
        let prefix: IdPrefix = "abcdef1".parse().unwrap();
        assert_eq!((&prefix.bytes[..], prefix.odd), (&[0xab, 0xcd, 0xef][..], Some(0x10)));
        assert!(
            prefix.admits(&[0xab, 0xcd, 0xef, 0x1f]) && !prefix.admits(&[0xab, 0xcd, 0xef, 0x2f])
        );
        assert!("f".repeat(64).parse::<IdPrefix>().is_ok());
    }
}
