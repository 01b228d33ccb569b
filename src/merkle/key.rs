//! The reference from a note to the key that signed it: name, id and signature type (C2SP
//! signed-note).
//!
//! An id has four bytes and collides at will. It picks a key among the known ones and never stands
//! for one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

/// Longest key name in bytes: the messages under ML-DSA-44 cosignatures give its length in one
/// byte (C2SP tlog-cosignature).
pub const KEY_NAME_BYTES_MAX: usize = 255;

/// The fault of a key's name, id or public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key name has 1 to {KEY_NAME_BYTES_MAX} bytes, found {0}")]
    NameLength(usize),
    #[error("key name {0:?} has a space, a plus sign or a control character")]
    NameForm(String),
    #[error("a key id is 8 lower-case hexadecimal digits, found {0:?}")]
    IdForm(String),
    #[error("a verifier key is <name>+<id>+<base64>, found {0:?}")]
    VkeyForm(String),
    #[error("key id {found} stands beside a key with id {computed}")]
    IdMismatch { found: NoteKeyId, computed: NoteKeyId },
    #[error("signature type {0:#04x} is not supported")]
    Type(u8),
    #[error("an Ed25519 public key has 32 bytes, found {0}")]
    PublicKeyLength(usize),
    #[error("public key is not a canonical Ed25519 point of prime order")]
    PublicKeyPoint,
}

/// The name in a signature line, best a URL without a scheme: `npa.go.jp/journal`. 1 to 255 bytes,
/// no Unicode space, no `+`, no control character below U+0020.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NoteKeyName(Arc<str>);

impl NoteKeyName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NoteKeyName {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() || text.len() > KEY_NAME_BYTES_MAX {
            return Err(KeyError::NameLength(text.len()));
        }
        if text.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ') {
            return Err(KeyError::NameForm(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for NoteKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NoteKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first four bytes of SHA-256(name ‖ LF ‖ signature type ‖ public key).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NoteKeyId([u8; 4]);

impl NoteKeyId {
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// The id of an Ed25519 key under this name, used for this type of signature.
    pub fn of(name: &NoteKeyName, signature_type: SignatureType, key: &VerifyingKey) -> Self {
        let digest = Sha256::new()
            .chain_update(name.as_str())
            .chain_update([b'\n', signature_type.byte()])
            .chain_update(key.as_bytes())
            .finalize();
        Self([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl FromStr for NoteKeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 8 && text.bytes().all(is_digit))
            .then(|| u32::from_str_radix(text, 16).ok())
            .flatten()
            .map(|id| Self(id.to_be_bytes()))
            .ok_or_else(|| KeyError::IdForm(text.to_owned()))
    }
}

impl fmt::Display for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKeyId({self})")
    }
}

/// The type of a signature. The byte goes into the key's id and text form, so that one key in two
/// roles has two ids. 0x06 is kept for ML-DSA-44 cosignatures; until they are supported, lines of
/// such keys are carried along like those of any unknown key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureType {
    /// 0x01: Ed25519 over the note text.
    Ed25519,
    /// 0x04: timestamped Ed25519 cosignature of a checkpoint.
    Cosignature,
}

impl SignatureType {
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

impl TryFrom<u8> for SignatureType {
    type Error = KeyError;

    fn try_from(byte: u8) -> Result<Self, KeyError> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::Cosignature),
            other => Err(KeyError::Type(other)),
        }
    }
}

/// Takes a public key only in its canonical encoding and of prime order. Anything else lets two
/// verifiers disagree about one signature.
pub(super) fn check_public_key(bytes: &[u8]) -> Result<VerifyingKey, KeyError> {
    let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::PublicKeyLength(bytes.len()))?;
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::PublicKeyPoint)?;
    let point = key.to_edwards();
    let is_sound =
        !key.is_weak() && point.compress().as_bytes() == bytes && point.is_torsion_free();
    if is_sound { Ok(key) } else { Err(KeyError::PublicKeyPoint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn key_names_have_no_spaces_pluses_or_control_characters() {
        let longest = "n".repeat(KEY_NAME_BYTES_MAX);
        for good in ["a", "npa.go.jp/journal", "oid/1.2.3", "名前", longest.as_str()] {
            assert_eq!(good.parse::<NoteKeyName>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
        let too_long = "n".repeat(KEY_NAME_BYTES_MAX + 1);
        for bad in ["", "a b", "a+b", "a\nb", "a\u{a0}b", "a\u{3000}b", "\0", &too_long] {
            assert!(bad.parse::<NoteKeyName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn key_ids_are_eight_lower_case_digits() {
        for bad in ["", "530d903", "530D903A", "+30d903a", "530d903a0", "530d90é"] {
            assert!(bad.parse::<NoteKeyId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn weak_mixed_order_and_non_canonical_points_are_no_keys() {
        let identity = {
            let mut bytes = [0; 32];
            bytes[0] = 1;
            bytes
        };
        // y = p + 1, the identity once more, not reduced.
        let unreduced = {
            let mut bytes = [0xff; 32];
            bytes[0] = 0xee;
            bytes[31] = 0x7f;
            bytes
        };
        // A good key shifted by a point of order 4.
        let mixed = {
            let good = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
            let low = VerifyingKey::from_bytes(&[0; 32]).unwrap();
            (good.to_edwards() + low.to_edwards()).compress().to_bytes()
        };
        for bad in [[0; 32], identity, unreduced, mixed] {
            assert_eq!(check_public_key(&bad), Err(KeyError::PublicKeyPoint));
        }
        assert_eq!(check_public_key(&[1; 31]), Err(KeyError::PublicKeyLength(31)));
    }

    proptest! {
        #[test]
        fn a_key_id_prints_and_parses_back(bytes: [u8; 4]) {
            let id = NoteKeyId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<NoteKeyId>(), Ok(id));
        }
    }
}
