//! The first digits of an id, as tables show them and people type them.

use super::RecordId;

/// Digits at the least: of a million records, six belong to one id in sixteen cases of seventeen.
pub const PREFIX_DIGITS_MIN: usize = 6;
/// Ids that an ambiguous prefix lists; whoever gets more than one types more digits.
pub const PREFIX_IDS_MAX: usize = 16;

/// The first hexadecimal digits of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix {
    bytes: Vec<u8>,
    /// The digit behind those bytes, in the high half.
    odd: Option<u8>,
}

/// A text that cannot be the beginning of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the beginning of an id: {PREFIX_DIGITS_MIN} to 64 hexadecimal digits in lower case"
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

impl From<RecordId> for IdPrefix {
    fn from(id: RecordId) -> Self {
        Self { bytes: id.as_bytes().to_vec(), odd: None }
    }
}

impl IdPrefix {
    /// The whole bytes of it; an odd digit behind them is not among them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether an id of any length begins with these digits.
    pub fn begins(&self, id: &[u8]) -> bool {
        let Some(rest) = id.strip_prefix(&self.bytes[..]) else { return false };
        self.odd.is_none_or(|odd| rest.first().is_some_and(|byte| byte & 0xf0 == odd))
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
        assert!(prefix.begins(&[0xab, 0xcd, 0xef, 0x1f]));
        for other in [&[0xab, 0xcd, 0xef, 0x2f][..], &[0xab, 0xcd, 0xef], &[0xab, 0xcd, 0xee, 0x1f]]
        {
            assert!(!prefix.begins(other), "{other:?}");
        }
        assert!("f".repeat(64).parse::<IdPrefix>().is_ok());
    }
}
