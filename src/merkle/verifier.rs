//! The verification of a note's signature lines with a set of known keys (C2SP signed-note).
//!
//! The rules: a line whose name and id together belong to no known key is passed over; a line of a
//! known key that fails condemns the whole note; a note without a good line proves nothing. Ed25519
//! is checked by `verify_strict` alone, everywhere, so that no two nodes disagree about a line.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};

use super::cosignature::{self, CosignatureTime, Cosigner};
use super::key::{KeyError, NoteKeyId, NoteKeyName, SignatureType, check_public_key};
use super::note::{Note, NoteSignature, NoteText};
use super::signer::NoteSigner;

/// The reason why no line of a note may be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("signature by {name}+{key_id} is wrong")]
    BadSignature { name: NoteKeyName, key_id: NoteKeyId },
    #[error("two known keys have the name {name}+{key_id}")]
    AmbiguousKey { name: NoteKeyName, key_id: NoteKeyId },
    #[error("none of the {signatures} signatures is by one of the {known} known keys")]
    NoKnownKey { signatures: usize, known: usize },
}

/// A public key that is trusted for something, with its name and what it signs.
///
/// Its text form is the verifier key of C2SP: `<name>+<id in hex>+<base64 of type and key>`.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: NoteKeyName,
    key_id: NoteKeyId,
    signature_type: SignatureType,
    key: VerifyingKey,
}

impl NoteVerifier {
    /// Takes the 32 bytes of an Ed25519 public key; anything but the canonical encoding of a point
    /// of prime order is refused.
    pub fn new(
        name: NoteKeyName,
        signature_type: SignatureType,
        public_key: &[u8],
    ) -> Result<Self, KeyError> {
        Ok(Self::of(name, signature_type, check_public_key(public_key)?))
    }

    fn of(name: NoteKeyName, signature_type: SignatureType, key: VerifyingKey) -> Self {
        let key_id = NoteKeyId::of(&name, signature_type, &key);
        Self { name, key_id, signature_type, key }
    }

    pub fn name(&self) -> &NoteKeyName {
        &self.name
    }

    pub fn key_id(&self) -> NoteKeyId {
        self.key_id
    }

    pub fn signature_type(&self) -> SignatureType {
        self.signature_type
    }

    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Returns true if a line names this key.
    pub fn is_named_by(&self, signature: &NoteSignature) -> bool {
        self.key_id == signature.key_id() && self.name == *signature.name()
    }

    fn verify<'a>(
        &'a self,
        text: &NoteText,
        signature: &'a NoteSignature,
    ) -> Result<VerifiedLine<'a>, VerifyError> {
        let cosigned_at = match self.signature_type {
            SignatureType::Ed25519 => {
                verify_plain(&self.key, text, signature.bytes()).map(|()| None)
            }
            SignatureType::Cosignature => {
                cosignature::verify(&self.key, text, signature.bytes()).map(Some)
            }
        };
        cosigned_at
            .map(|cosigned_at| VerifiedLine { signature, verifier: self, cosigned_at })
            .ok_or_else(|| VerifyError::BadSignature {
                name: self.name.clone(),
                key_id: self.key_id,
            })
    }
}

impl From<&NoteSigner> for NoteVerifier {
    fn from(signer: &NoteSigner) -> Self {
        Self::of(signer.name().clone(), SignatureType::Ed25519, signer.verifying_key())
    }
}

impl From<&Cosigner> for NoteVerifier {
    fn from(cosigner: &Cosigner) -> Self {
        Self::of(cosigner.name().clone(), SignatureType::Cosignature, cosigner.verifying_key())
    }
}

impl FromStr for NoteVerifier {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let form = || KeyError::VkeyForm(text.to_owned());
        // Base64 may itself hold a plus sign.
        let [name, key_id, encoded] =
            text.splitn(3, '+').collect::<Vec<_>>().try_into().map_err(|_| form())?;
        let key_id: NoteKeyId = key_id.parse()?;
        let material = STANDARD.decode(encoded).map_err(|_| form())?;
        let (signature_type, public_key) = material.split_first().ok_or_else(form)?;
        let verifier = Self::new(name.parse()?, (*signature_type).try_into()?, public_key)?;
        if verifier.key_id != key_id {
            return Err(KeyError::IdMismatch { found: key_id, computed: verifier.key_id });
        }
        Ok(verifier)
    }
}

impl fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [[self.signature_type.byte()].as_slice(), self.key.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, self.key_id, STANDARD.encode(material))
    }
}

impl fmt::Debug for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A signature line that was checked, and the key that it is by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedLine<'a> {
    pub signature: &'a NoteSignature,
    pub verifier: &'a NoteVerifier,
    /// For cosignatures the time that the cosigner claims.
    pub cosigned_at: Option<CosignatureTime>,
}

/// The good lines of a note, at least one and at most one for each known key: the first, should a
/// key have several.
pub fn verify_note<'a>(
    note: &'a Note,
    known: &'a [NoteVerifier],
) -> Result<Vec<VerifiedLine<'a>>, VerifyError> {
    let mut good: Vec<VerifiedLine<'a>> = Vec::new();
    for signature in note.signatures() {
        let Some(verifier) = known_key(known, signature)? else { continue };
        let earlier = good.iter().find(|line| line.verifier == verifier);
        if earlier.is_some_and(|line| line.signature == signature) {
            continue;
        }
        // A further line of a key must be good as well, or the note would condemn itself for a
        // reader that comes upon it first.
        let line = verifier.verify(note.text(), signature)?;
        if earlier.is_none() {
            good.push(line);
        }
    }
    if good.is_empty() {
        return Err(VerifyError::NoKnownKey {
            signatures: note.signatures().len(),
            known: known.len(),
        });
    }
    Ok(good)
}

fn known_key<'a>(
    known: &'a [NoteVerifier],
    signature: &NoteSignature,
) -> Result<Option<&'a NoteVerifier>, VerifyError> {
    let mut named = known.iter().filter(|verifier| verifier.is_named_by(signature));
    let first = named.next();
    if named.any(|other| Some(other) != first) {
        return Err(VerifyError::AmbiguousKey {
            name: signature.name().clone(),
            key_id: signature.key_id(),
        });
    }
    Ok(first)
}

fn verify_plain(key: &VerifyingKey, text: &NoteText, signature: &[u8]) -> Option<()> {
    let signature = Signature::from_slice(signature).ok()?;
    key.verify_strict(text.as_str().as_bytes(), &signature).ok()
}
