//! Ed25519 public keys as they are enrolled: one encoding each, no weak ones, strict verification.
//!
//! The only verification offered is dalek's `verify_strict`: the laxer and the batched equations
//! accept signatures that other implementations refuse (RFC 8032, section 5.1.7 leaves it open).

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::ident::KeyId;

/// Bytes of an Ed25519 public key (RFC 8032).
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of an Ed25519 signature (RFC 8032).
pub const SIGNATURE_BYTES: usize = 64;

const KEY_ID_TAG: &[u8] = b"liaison/key/v1\0";
const SUITE_ED25519: u8 = 1;

/// The reason for refusing a public key or a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    #[error("an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, found {0}")]
    Length(usize),
    #[error("the bytes are not a point of the curve")]
    NotAPoint,
    #[error("the point is not in its canonical encoding")]
    NotCanonical,
    #[error("the point lies outside the prime-order subgroup, so the key is weak")]
    Weak,
    #[error("an Ed25519 signature has {SIGNATURE_BYTES} bytes, found {0}")]
    SignatureLength(usize),
    #[error("the signature does not verify under key {0}")]
    BadSignature(KeyId),
}

/// An Ed25519 public key in its canonical encoding and of prime order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        self.0.as_bytes()
    }

    /// First 16 bytes of SHA-256(`liaison/key/v1\0` ‖ suite ‖ key), suite 1 being Ed25519.
    pub fn id(&self) -> KeyId {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(KEY_ID_TAG)
            .chain_update([SUITE_ED25519])
            .chain_update(self.as_bytes())
            .finalize()
            .into();
        let mut id = [0; KeyId::BYTES];
        id.copy_from_slice(&digest[..KeyId::BYTES]);
        KeyId::from_bytes(id)
    }

    /// Verifies a signature of 64 bytes over exactly `message`.
    pub fn verify_strict(&self, message: &[u8], signature: &[u8]) -> Result<(), PublicKeyError> {
        let signature = Signature::from_slice(signature)
            .map_err(|_| PublicKeyError::SignatureLength(signature.len()))?;
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| PublicKeyError::BadSignature(self.id()))
    }

    /// For modules that take dalek's type; whoever uses it verifies with `verify_strict` only.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = PublicKeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let bytes: &[u8; PUBLIC_KEY_BYTES] =
            bytes.try_into().map_err(|_| PublicKeyError::Length(bytes.len()))?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| PublicKeyError::NotAPoint)?;
        let point = key.to_edwards();
        // dalek keeps the bytes it was given; only encoding the point again shows another form.
        if point.compress().as_bytes() != bytes {
            return Err(PublicKeyError::NotCanonical);
        }
        if key.is_weak() || !point.is_torsion_free() {
            return Err(PublicKeyError::Weak);
        }
        Ok(Self(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn parse(bytes: &[u8]) -> Result<PublicKey, PublicKeyError> {
        PublicKey::try_from(bytes)
    }

    #[test]
    fn an_honest_key_is_enrolled_and_verifies() {
        let signing = key(7);
        let public = parse(signing.verifying_key().as_bytes()).unwrap();
        let signature = signing.sign(b"message").to_bytes();
        assert_eq!(public.verify_strict(b"message", &signature), Ok(()));
        assert_eq!(
            public.verify_strict(b"massage", &signature),
            Err(PublicKeyError::BadSignature(public.id()))
        );
        assert_eq!(
            public.verify_strict(b"message", &signature[..63]),
            Err(PublicKeyError::SignatureLength(63))
        );
    }

    #[test]
    fn the_key_id_is_the_tagged_hash_of_suite_and_key() {
        let public = parse(key(7).verifying_key().as_bytes()).unwrap();
        let mut input = b"liaison/key/v1\0\x01".to_vec();
        input.extend_from_slice(public.as_bytes());
        assert_eq!(public.id().as_bytes()[..], Sha256::digest(&input)[..16]);
    }

    #[test]
    fn every_point_of_small_order_is_refused() {
        // Canonical encodings of the eight small-order points (Chalkias et al., 2020, table 1).
        let order_eight_a = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
        let order_eight_b = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
        let mut points = vec![[0; 32], [0; 32], [0; 32], [0xff; 32]];
        points[1][0] = 1;
        points[2][31] = 0x80;
        points[3][0] = 0xec;
        points[3][31] = 0x7f;
        for text in [order_eight_a, order_eight_b] {
            let mut point: [u8; 32] = *text.parse::<crate::ident::RecordId>().unwrap().as_bytes();
            points.push(point);
            point[31] |= 0x80;
            points.push(point);
        }
        for point in points {
            assert_eq!(parse(&point), Err(PublicKeyError::Weak), "{point:02x?}");
        }
    }

    #[test]
    fn a_second_encoding_of_a_point_is_refused() {
        // y = 1 + p, which dalek itself would take for y = 1.
        let mut bytes = [0xff; 32];
        bytes[0] = 0xee;
        bytes[31] = 0x7f;
        assert_eq!(parse(&bytes), Err(PublicKeyError::NotCanonical));
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert_eq!(parse(&[1; 31]), Err(PublicKeyError::Length(31)));
        assert_eq!(parse(&[]), Err(PublicKeyError::Length(0)));
    }
}
