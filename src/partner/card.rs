//! Cards: an agency's signed self-description.
//!
//! The payload is signed as the bytes that it is and never encoded again from its parts. A verified
//! card was made by the holder of its identity key; that this is the agency is only known once its
//! [`Number`](super::Number) was heard over a second channel. A card must never hold a secret.

use std::fmt;

use bytes::Bytes;
use ed25519_dalek::Signer;
use prost::Message;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::armour::{self, ArmourError};
use super::host::{Address, Host, HostError};
use super::keys::{Role, SecretKey};
use super::number::Number;
use super::public_key::{PublicKey, PublicKeyError};
use crate::ident::{AgencyName, Generation, IdentError, KeyId, Timestamp};
use crate::pb;
use crate::policy::{Country, CountryError, Sector};

/// Most addresses, and most server names: a node has a few front ends, not a fleet.
pub const ADDRESSES_MAX: usize = 8;
/// Most certification authorities: the current one, the next and a spare.
pub const AUTHORITIES_MAX: usize = 3;
/// Longest certification authority in DER. One on P-256 with name constraints has about 700 bytes.
pub const AUTHORITY_BYTES_MAX: usize = 2_048;
/// Most record keys: those in use and those whose records are still around.
pub const RECORD_KEYS_MAX: usize = 8;
/// Most contacts.
pub const CONTACTS_MAX: usize = 8;
/// Longest validity: 13 months, so that a yearly renewal never falls into a gap.
pub const VALIDITY_MS_MAX: i64 = 400 * 24 * 3_600_000;

const SIGNATURE_TAG: &[u8] = b"liaison/card/v1\0";
const HASH_TAG: &[u8] = b"liaison/card-hash/v1\0";

/// The reason why a card was not accepted, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    #[error("this is not a card")]
    Armour(#[from] ArmourError),
    #[error("the card's bytes are not a well-formed {0}")]
    Malformed(&'static str),
    #[error("the signed card is not in its one canonical form")]
    NotCanonical,
    #[error("the card has layout version {0}, this node reads 1")]
    Version(u32),
    #[error("{field} of the card is wrong")]
    Identifier { field: &'static str, source: IdentError },
    #[error("{field} of the card is wrong")]
    Host { field: &'static str, source: HostError },
    #[error("the country of the card is wrong")]
    Country(#[source] CountryError),
    #[error("{field} of the card is wrong")]
    Key { field: &'static str, source: PublicKeyError },
    #[error("{field} has {min} to {max} bytes, found {found}")]
    TextLength { field: &'static str, min: usize, max: usize, found: usize },
    #[error("{field} has the unprintable character {found:?}")]
    TextCharacter { field: &'static str, found: char },
    #[error("a card has {min} to {max} {field}, found {found}")]
    Count { field: &'static str, min: usize, max: usize, found: usize },
    #[error("the {0} of the card is missing or unknown to this node")]
    Unspecified(&'static str),
    #[error("a card's serial counts from 1, found 0")]
    Serial,
    #[error("{first} at {first_at} is not before {second} at {second_at}")]
    Order { first: &'static str, first_at: Timestamp, second: &'static str, second_at: Timestamp },
    #[error("a card is valid for at most 400 days, found {0} days")]
    Validity(i64),
    #[error("certification authority {position} of the card is {problem}")]
    Authority { position: usize, problem: &'static str },
    #[error("the card uses one key twice, as {0} and as {1}")]
    SharedKey(&'static str, &'static str),
    #[error("a time of compromise belongs to a compromised key, and only to one")]
    Compromise,
    #[error("cards are signed with the identity key, not with the {0} key")]
    WrongRole(Role),
    #[error("the card names identity key {card}, signing with {signer}")]
    WrongSigner { card: KeyId, signer: KeyId },
    #[error("the card was issued at {issued}, which is after now, {now}")]
    FromTheFuture { issued: Timestamp, now: Timestamp },
    #[error("the card expired at {0}")]
    Expired(Timestamp),
}

/// The status of a record key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKeyStatus {
    Active,
    Retired,
    /// In other hands since that moment: what was logged before stays good, later records are flagged.
    Compromised(Timestamp),
}

/// A key that signs records, good for records created in `from..until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordKey {
    pub key: PublicKey,
    pub from: Timestamp,
    pub until: Timestamp,
    pub status: RecordKeyStatus,
}

/// Someone to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    pub role: String,
    pub name: String,
    pub phone: String,
    pub mail: String,
}

/// SHA-256(`liaison/card-hash/v1\0` ‖ payload): what the next card names as its predecessor.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CardHash([u8; 32]);

impl CardHash {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for CardHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CardHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardHash({self})")
    }
}

/// The content of a card. Bounds and meanings are those of `liaison.v1.Card`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    pub agency: AgencyName,
    pub display_name: String,
    pub country: Country,
    pub sector: Sector,
    pub serial: u64,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub addresses: Vec<Address>,
    pub tls_authorities: Vec<CertificateDer<'static>>,
    pub tls_server_names: Vec<Host>,
    pub identity_key: PublicKey,
    pub record_keys: Vec<RecordKey>,
    pub journal_key: PublicKey,
    pub witness_key: PublicKey,
    pub receipt_key: PublicKey,
    pub contacts: Vec<Contact>,
    pub previous: Option<CardHash>,
    pub generation: Generation,
}

impl Card {
    /// Signs the card. What comes back went through the same checks as a card from outside.
    pub fn seal(self, identity: &SecretKey) -> Result<VerifiedCard, CardError> {
        if identity.role() != Role::Identity {
            return Err(CardError::WrongRole(identity.role()));
        }
        if *identity.public() != self.identity_key {
            return Err(CardError::WrongSigner {
                card: self.identity_key.id(),
                signer: identity.public().id(),
            });
        }
        let payload = Bytes::from(pb::Card::from(self).encode_to_vec());
        let signature = identity.signing_key().sign(&signed_message(&payload)).to_bytes();
        let signed = pb::SignedCard { card: payload, signature: signature.to_vec().into() };
        let card = VerifiedCard::try_from(signed)?;
        armour::wrap(&card.signed.encode_to_vec())?;
        Ok(card)
    }

    /// Reads a card from its text armour and verifies its signature. Says nothing about its age: see
    /// [`VerifiedCard::check_age`].
    pub fn verify(armour: &str) -> Result<VerifiedCard, CardError> {
        VerifiedCard::from_bytes(&armour::unwrap(armour)?)
    }
}

/// A card whose signature under its own identity key was verified. Only such a card is enrolled.
#[derive(Clone, PartialEq)]
pub struct VerifiedCard {
    card: Card,
    signed: pb::SignedCard,
    hash: CardHash,
}

impl VerifiedCard {
    /// Reads the wire bytes of a `liaison.v1.SignedCard`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CardError> {
        let signed =
            pb::SignedCard::decode(bytes).map_err(|_| CardError::Malformed("SignedCard"))?;
        // The wrapping is under no signature, so only one form of it is taken.
        if signed.encode_to_vec() != bytes {
            return Err(CardError::NotCanonical);
        }
        Self::try_from(signed)
    }

    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The card as it travels, with the payload's bytes as they were signed.
    pub fn signed(&self) -> &pb::SignedCard {
        &self.signed
    }

    pub fn hash(&self) -> CardHash {
        self.hash
    }

    /// The number that the agency reads out.
    pub fn number(&self) -> Number {
        Number::of(&self.card.identity_key, &self.card.agency)
    }

    /// The text form, at most [`armour::ARMOUR_BYTES_MAX`] bytes.
    pub fn to_armour(&self) -> Result<String, CardError> {
        Ok(armour::wrap(&self.signed.encode_to_vec())?)
    }

    /// Refuses a card that is out of date, or that claims to come from the future by more than a day.
    pub fn check_age(&self, now: Timestamp) -> Result<(), CardError> {
        const CLOCKS_DIFFER_MS_MAX: i64 = 24 * 3_600_000;
        if self.card.issued_at > now.plus_ms(CLOCKS_DIFFER_MS_MAX) {
            return Err(CardError::FromTheFuture { issued: self.card.issued_at, now });
        }
        if self.card.expires_at <= now {
            return Err(CardError::Expired(self.card.expires_at));
        }
        Ok(())
    }
}

impl TryFrom<pb::SignedCard> for VerifiedCard {
    type Error = CardError;

    fn try_from(signed: pb::SignedCard) -> Result<Self, CardError> {
        let message =
            pb::Card::decode(signed.card.clone()).map_err(|_| CardError::Malformed("Card"))?;
        let card = Card::try_from(message)?;
        card.identity_key
            .verify_strict(&signed_message(&signed.card), &signed.signature)
            .map_err(|source| CardError::Key { field: "the signature", source })?;
        let hash = Sha256::new().chain_update(HASH_TAG).chain_update(&signed.card).finalize();
        Ok(Self { card, signed, hash: CardHash(hash.into()) })
    }
}

impl fmt::Debug for VerifiedCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedCard({} serial {})", self.card.agency, self.card.serial)
    }
}

fn signed_message(payload: &[u8]) -> Vec<u8> {
    [SIGNATURE_TAG, payload].concat()
}

#[cfg(test)]
pub(crate) mod tests;
