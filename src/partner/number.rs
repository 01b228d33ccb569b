//! The 30-digit number that two people compare over a second channel, so that a card's identity key
//! is known to be the agency's own.
//!
//! It covers the identity key and the agency's name and nothing else, so it stays the same when
//! addresses, certificates or other keys change. 27 of its digits come from a hash (about 89.7 bits;
//! finding another key with the same number takes some 2^89 tries), three are check digits, one for
//! each two groups, so that a digit misheard is told apart from another key. It is typed, never
//! confirmed with yes or no: what is only confirmed is not read.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::public_key::PublicKey;
use crate::ident::AgencyName;

/// Digits of the number with its check digits.
pub const NUMBER_DIGITS: usize = 30;
const GROUP_DIGITS: usize = 5;
const PAIR_DIGITS: usize = 2 * GROUP_DIGITS;
const PAYLOAD_DIGITS: usize = PAIR_DIGITS - 1;
const PAIRS: usize = NUMBER_DIGITS / PAIR_DIGITS;

/// Longest typed input in characters: 30 digits with separators between all of them, twice over.
const TYPED_CHARS_MAX: usize = 120;

const NUMBER_TAG: &[u8] = b"liaison/number/v1\0";

/// Two neighbouring groups that share one check digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupPair {
    OneTwo,
    ThreeFour,
    FiveSix,
}

impl GroupPair {
    const ALL: [Self; PAIRS] = [Self::OneTwo, Self::ThreeFour, Self::FiveSix];
}

impl fmt::Display for GroupPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneTwo => "group 1 or 2",
            Self::ThreeFour => "group 3 or 4",
            Self::FiveSix => "group 5 or 6",
        })
    }
}

/// The reason why a typed number is not the number of a card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("the number has {NUMBER_DIGITS} digits, found {0}")]
    Digits(usize),
    #[error("the number has digits, spaces and dashes only, found {0:?}")]
    Character(char),
    #[error("a digit was misheard or mistyped in {}", list(.0))]
    Misheard(Vec<GroupPair>),
    #[error("the number is sound but belongs to another agency or another key")]
    Other,
}

fn list(pairs: &[GroupPair]) -> String {
    pairs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The number of an identity key under an agency's name. Shown as six groups of five digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Number([u8; NUMBER_DIGITS]);

impl Number {
    /// Computes the number from the first 16 bytes of
    /// SHA-256(`liaison/number/v1\0` ‖ identity key ‖ agency name) as a big-endian integer modulo 10^27.
    pub fn of(identity: &PublicKey, agency: &AgencyName) -> Self {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(NUMBER_TAG)
            .chain_update(identity.as_bytes())
            .chain_update(agency.as_str())
            .finalize()
            .into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        // Digits come out last first. Taking the remainder favours no value by more than 2^-38.
        let mut rest = u128::from_be_bytes(half);
        let mut digits = [0; NUMBER_DIGITS];
        for pair in digits.chunks_exact_mut(PAIR_DIGITS).rev() {
            for digit in pair[..PAYLOAD_DIGITS].iter_mut().rev() {
                *digit = (rest % 10) as u8;
                rest /= 10;
            }
            pair[PAYLOAD_DIGITS] = damm(&pair[..PAYLOAD_DIGITS]);
        }
        Self(digits)
    }

    /// Compares the number with the one that a person typed.
    pub fn matches(&self, heard: &HeardNumber) -> Result<(), NumberError> {
        if self.0 == heard.0 { Ok(()) } else { Err(NumberError::Other) }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, digit) in self.0.iter().enumerate() {
            if position > 0 && position % GROUP_DIGITS == 0 {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({self})")
    }
}

/// A number that a person typed after hearing it, with sound check digits. Spaces, dashes and
/// full-width digits are taken as they come from any keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardNumber([u8; NUMBER_DIGITS]);

impl FromStr for HeardNumber {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let typed = text
            .chars()
            .take(TYPED_CHARS_MAX)
            .filter(|c| !is_separator(*c))
            .map(|c| digit_value(c).ok_or(NumberError::Character(c)))
            .collect::<Result<Vec<u8>, _>>()?;
        let digits: [u8; NUMBER_DIGITS] =
            typed.as_slice().try_into().map_err(|_| NumberError::Digits(typed.len()))?;
        let misheard: Vec<GroupPair> = digits
            .chunks_exact(PAIR_DIGITS)
            .zip(GroupPair::ALL)
            .filter(|(pair, _)| damm(pair) != 0)
            .map(|(_, name)| name)
            .collect();
        if misheard.is_empty() { Ok(Self(digits)) } else { Err(NumberError::Misheard(misheard)) }
    }
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '.' | '\u{2010}'..='\u{2015}' | '\u{30fc}' | '\u{ff0d}')
}

fn digit_value(c: char) -> Option<u8> {
    let ascii = match c {
        // Full-width digits, as Japanese input methods write them.
        '\u{ff10}'..='\u{ff19}' => char::from_u32(u32::from(c) - 0xff10 + 0x30)?,
        other => other,
    };
    ascii.to_digit(10).map(|digit| digit as u8)
}

/// A totally anti-symmetric quasigroup of order 10 (H. M. Damm, 2004): as a check digit it finds every
/// single wrong digit and every swap of neighbours.
const DAMM: [[u8; 10]; 10] = [
    [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
    [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
    [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
    [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
    [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
    [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
    [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
    [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
    [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
    [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
];

fn damm(digits: &[u8]) -> u8 {
    digits.iter().fold(0, |interim, digit| step(interim, *digit))
}

fn step(interim: u8, digit: u8) -> u8 {
    DAMM[usize::from(interim)][usize::from(digit)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partner::keys::{Role, SecretKey};
    use proptest::prelude::*;

    fn number(seed: u8, agency: &str) -> Number {
        Number::of(
            SecretKey::from_seed(Role::Identity, [seed; 32]).public(),
            &agency.parse().unwrap(),
        )
    }

    fn heard(text: &str) -> Result<HeardNumber, NumberError> {
        text.parse()
    }

    #[test]
    fn the_check_digit_of_572_is_4() {
        assert_eq!(damm(&[5, 7, 2]), 4);
        assert_eq!(damm(&[5, 7, 2, 4]), 0);
    }

    #[test]
    fn the_table_is_a_totally_anti_symmetric_quasigroup() {
        let digits = 0..10_u8;
        for a in digits.clone() {
            let mut row: Vec<u8> = digits.clone().map(|b| step(a, b)).collect();
            row.sort_unstable();
            assert!(row.into_iter().eq(digits.clone()), "row {a}");
            assert_eq!(step(a, a), 0);
            for (b, c) in (0..a).flat_map(|b| digits.clone().map(move |c| (b, c))) {
                assert_ne!(step(step(c, a), b), step(step(c, b), a), "{c} {a} {b}");
                assert_ne!(step(a, c), step(b, c), "column {c}");
            }
        }
    }

    #[test]
    fn the_number_is_six_groups_of_five_and_depends_on_key_and_name() {
        let one = number(1, "npa.go.jp");
        let groups: Vec<String> = one.to_string().split(' ').map(str::to_owned).collect();
        assert_eq!(groups.iter().map(String::len).collect::<Vec<_>>(), [5; 6]);
        assert_ne!(one, number(2, "npa.go.jp"));
        assert_ne!(one, number(1, "npa.go.jq"));
    }

    #[test]
    fn the_number_of_a_known_key_stays_what_it_was() {
        assert_eq!(number(1, "npa.go.jp").to_string(), "61819 81266 73719 63494 64465 70609");
    }

    #[test]
    fn what_is_typed_may_have_spaces_dashes_and_full_width_digits() {
        let one = number(1, "npa.go.jp");
        let plain = one.to_string();
        let wide: String = plain
            .chars()
            .map(|c| c.to_digit(10).map_or('\u{3000}', |d| char::from_u32(0xff10 + d).unwrap()))
            .collect();
        for typed in [plain.clone(), plain.replace(' ', ""), plain.replace(' ', "-"), wide] {
            assert_eq!(one.matches(&heard(&typed).unwrap()), Ok(()), "{typed}");
        }
    }

    #[test]
    fn another_sound_number_simply_does_not_match() {
        let other = number(2, "npa.go.jp").to_string();
        assert_eq!(
            number(1, "npa.go.jp").matches(&heard(&other).unwrap()),
            Err(NumberError::Other)
        );
    }

    #[test]
    fn too_few_digits_and_letters_are_refused() {
        assert_eq!(heard(""), Err(NumberError::Digits(0)));
        assert_eq!(heard("12345 67890"), Err(NumberError::Digits(10)));
        assert_eq!(heard("1234x"), Err(NumberError::Character('x')));
        assert!(heard(&"1".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn one_wrong_digit_names_its_groups(seed: u8, at in 0..NUMBER_DIGITS, by in 1u8..10) {
            let mut digits = number(seed, "npa.go.jp").0;
            digits[at] = (digits[at] + by) % 10;
            let expected = GroupPair::ALL[at / PAIR_DIGITS];
            prop_assert_eq!(
                heard(&Number(digits).to_string()),
                Err(NumberError::Misheard(vec![expected]))
            );
        }

        #[test]
        fn two_neighbours_swapped_within_a_pair_are_noticed(seed: u8, at in 0..NUMBER_DIGITS - 1) {
            let mut digits = number(seed, "npa.go.jp").0;
            prop_assume!(at % PAIR_DIGITS != PAIR_DIGITS - 1 && digits[at] != digits[at + 1]);
            digits.swap(at, at + 1);
            prop_assert_eq!(
                heard(&Number(digits).to_string()),
                Err(NumberError::Misheard(vec![GroupPair::ALL[at / PAIR_DIGITS]]))
            );
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,200}") {
            let _ = heard(&text);
        }
    }
}
