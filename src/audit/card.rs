//! The auditor's view of a card: the signature of its identity key, and the keys that it names.
//!
//! It reads cards by itself, apart from the code that enrols them. Whose identity key it is, only
//! the 30-digit number tells that people compared.

use super::failure::{Check, Fault};
use super::lines::Log;
use crate::ident::{AgencyName, Generation, IdentError, KeyId, Timestamp};
use crate::merkle::{Checkpoint, Note, TreeHead};
use crate::pb;
use crate::policy::{Country, Sector};
use crate::record::signed::{KEY_END_MARGIN_MS, KeyRing};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Longest text of a card; the longest that a node makes has 8 KiB.
pub const CARD_TEXT_BYTES_MAX: usize = 16 << 10;

const BEGIN: &str = "-----BEGIN LIAISON CARD-----";
const END: &str = "-----END LIAISON CARD-----";
/// Characters in a full line of a card's text.
const ARMOUR_COLUMNS: usize = 64;
const HASH_TAG: &[u8] = b"liaison/card-hash/v1\0";
const CARD_TAG: &[u8] = b"liaison/card/v1\0";
const KEY_TAG: &[u8] = b"liaison/key/v1\0";
const NUMBER_TAG: &[u8] = b"liaison/number/v1\0";
const SUITE_ED25519: u8 = 1;
const VERSION: u32 = 1;

/// The reason why a card proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardFault {
    #[error("not one armoured card of at most {CARD_TEXT_BYTES_MAX} bytes")]
    Armour,
    #[error("bytes that are not a card")]
    Message,
    #[error("layout version {0}, this program reads {VERSION}")]
    Version(u32),
    #[error("a wrong agency name or time")]
    Ident(#[from] IdentError),
    #[error("a {0} key that is not a canonical Ed25519 point of prime order")]
    Key(&'static str),
    #[error("no {0} that policy knows")]
    Facts(&'static str),
    #[error("a signature that is not by the card's identity key")]
    Signature,
}

/// A key that signs records.
#[derive(Debug, Clone)]
struct RecordKey {
    id: KeyId,
    key: VerifyingKey,
    from: Timestamp,
    until: Timestamp,
    compromised_since: Option<Timestamp>,
}

/// A card whose signature under its own identity key holds.
#[derive(Debug, Clone)]
pub struct Card {
    pub(super) agency: AgencyName,
    pub(super) serial: u64,
    pub(super) generation: Generation,
    pub(super) identity: VerifyingKey,
    pub(super) journal: VerifyingKey,
    pub(super) receipt: VerifyingKey,
    pub(super) witness: VerifyingKey,
    pub(super) payload: Bytes,
    signature: Bytes,
    previous: Bytes,
    records: Vec<RecordKey>,
}

impl Card {
    /// Reads the text form of a card.
    pub fn from_text(text: &str) -> Result<Self, CardFault> {
        Self::check(&signed_of_armour(text)?)
    }

    /// Its text form, in lines of 64 characters.
    pub(super) fn to_text(&self) -> String {
        let (card, signature) = (self.payload.clone(), self.signature.clone());
        armoured(&pb::SignedCard { card, signature })
    }

    pub(super) fn check(signed: &pb::SignedCard) -> Result<Self, CardFault> {
        let card = pb::Card::decode(signed.card.clone()).map_err(|_| CardFault::Message)?;
        if card.version != VERSION {
            return Err(CardFault::Version(card.version));
        }
        Sector::from_wire(card.sector()).ok_or(CardFault::Facts("sector"))?;
        card.country.parse::<Country>().map_err(|_| CardFault::Facts("country"))?;
        let identity = key("identity", &card.identity_key)?;
        let signature =
            Signature::from_slice(&signed.signature).map_err(|_| CardFault::Signature)?;
        identity
            .verify_strict(&[CARD_TAG, &signed.card].concat(), &signature)
            .map_err(|_| CardFault::Signature)?;
        Sector::from_wire(card.sector()).ok_or(CardFault::Facts("sector"))?;
        card.country.parse::<Country>().map_err(|_| CardFault::Facts("country"))?;
        Ok(Self {
            agency: card.agency.parse()?,
            serial: card.serial,
            generation: Generation::from_wire(card.generation)?,
            identity,
            journal: key("journal", &card.journal_key)?,
            receipt: key("receipt", &card.receipt_key)?,
            witness: key("witness", &card.witness_key)?,
            payload: signed.card.clone(),
            signature: signed.signature.clone(),
            previous: card.previous_card_hash,
            records: card.record_keys.iter().map(record_key).collect::<Result<_, _>>()?,
        })
    }

    /// The head in a checkpoint of the agency's journal that this card's journal key signed.
    pub fn checkpoint(&self, note: &[u8]) -> Result<TreeHead, Fault> {
        let log = Log::journal(std::slice::from_ref(self))
            .ok_or_else(|| Fault::new(Check::OwnCard, "a name that a note can carry", "another"))?;
        log.head(note, Check::CheckpointSignature)
    }

    /// The generation of the agency's journal that a checkpoint is of, by its own word, if that is a
    /// later one than the card's.
    pub fn succeeded_in(&self, note: &[u8]) -> Option<Generation> {
        let note = Note::parse(note).ok()?;
        let (agency, generation) =
            Generation::of_journal(Checkpoint::parse(note.text()).ok()?.origin().as_str())?;
        (agency == self.agency && generation > self.generation).then_some(generation)
    }

    /// The number that the agency reads out.
    pub fn number(&self) -> Number {
        Number::of(&self.identity, &self.agency)
    }

    /// Returns true if both cards are of one agency under one identity key.
    pub(super) fn is_same_identity(&self, other: &Self) -> bool {
        self.agency == other.agency && self.identity == other.identity
    }

    /// Returns true if both cards are signed by one identity under one serial and differ. After a
    /// loss a generation may use a serial of the lost one again.
    pub(super) fn is_contradicted_by(&self, other: &Self) -> bool {
        self.is_same_identity(other)
            && (self.serial, self.generation) == (other.serial, other.generation)
            && self.payload != other.payload
    }

    /// Returns true if this card names `before` as its predecessor.
    pub(super) fn follows(&self, before: &Self) -> bool {
        let hash = Sha256::new().chain_update(HASH_TAG).chain_update(&before.payload).finalize();
        self.previous[..] == hash[..]
    }

    /// Every key of the agency that stands in this card.
    pub(super) fn keys(&self) -> impl Iterator<Item = VerifyingKey> {
        let of_logs = [self.identity, self.journal, self.receipt, self.witness];
        of_logs.into_iter().chain(self.records.iter().map(|record| record.key))
    }

    /// Returns true if the card lists a record key, valid or not.
    pub(super) fn lists(&self, id: KeyId) -> bool {
        self.records.iter().any(|key| key.id == id)
    }

    /// The record keys that are in other hands, and from when on.
    pub(super) fn compromised(&self) -> impl Iterator<Item = (KeyId, Timestamp)> {
        self.records.iter().filter_map(|key| Some((key.id, key.compromised_since?)))
    }

    /// Returns the time from which a record key is in other hands, if it is.
    pub(super) fn compromised_since(&self, id: KeyId) -> Option<Timestamp> {
        self.records.iter().find(|key| key.id == id)?.compromised_since
    }

    /// Returns true if a record key of the card signs at this time.
    pub(super) fn signs_records(&self, at: Timestamp) -> bool {
        self.records.iter().any(|key| key.from <= at && at < key.until.plus_ms(-KEY_END_MARGIN_MS))
    }
}

impl KeyRing for Card {
    fn record_key(
        &self,
        originator: &AgencyName,
        id: KeyId,
        at: Timestamp,
    ) -> Option<VerifyingKey> {
        self.records
            .iter()
            .find(|key| key.id == id && (key.from..key.until).contains(&at))
            .filter(|_| *originator == self.agency)
            .map(|key| key.key)
    }
}

/// Decodes the text form of a card.
pub(super) fn signed_of_armour(text: &str) -> Result<pb::SignedCard, CardFault> {
    let lines = Some(text)
        .filter(|text| text.len() <= CARD_TEXT_BYTES_MAX)
        .and_then(|text| text.trim_ascii().strip_prefix(BEGIN)?.strip_suffix(END))
        .ok_or(CardFault::Armour)?;
    let encoded: String = lines.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(encoded).map_err(|_| CardFault::Armour)?;
    pb::SignedCard::decode(&bytes[..]).map_err(|_| CardFault::Message)
}

/// The text form of a card, as a node writes it.
pub(super) fn armoured(card: &pb::SignedCard) -> String {
    let encoded = STANDARD.encode(card.encode_to_vec());
    let lines = encoded.as_bytes().chunks(ARMOUR_COLUMNS).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("{BEGIN}\n{lines}{END}\n")
}

fn key(role: &'static str, bytes: &[u8]) -> Result<VerifyingKey, CardFault> {
    let sound = |bytes: &[u8; 32]| {
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        let point = key.to_edwards();
        let is_canonical = point.compress().as_bytes() == bytes;
        (is_canonical && !key.is_weak() && point.is_torsion_free()).then_some(key)
    };
    bytes.try_into().ok().and_then(sound).ok_or(CardFault::Key(role))
}

fn record_key(wire: &pb::RecordKey) -> Result<RecordKey, CardFault> {
    let key = key("record", &wire.key)?;
    let since = (wire.status() == pb::RecordKeyStatus::Compromised)
        .then(|| Timestamp::from_unix_ms(wire.compromised_since_ms))
        .transpose()?;
    Ok(RecordKey {
        id: key_id(&key),
        key,
        from: Timestamp::from_unix_ms(wire.valid_from_ms)?,
        until: Timestamp::from_unix_ms(wire.valid_until_ms)?,
        compromised_since: since,
    })
}

/// First 16 bytes of SHA-256(`liaison/key/v1\0` ‖ suite ‖ key).
fn key_id(key: &VerifyingKey) -> KeyId {
    let digest = Sha256::new()
        .chain_update(KEY_TAG)
        .chain_update([SUITE_ED25519])
        .chain_update(key.as_bytes())
        .finalize();
    let mut id = [0; KeyId::BYTES];
    id.copy_from_slice(&digest[..KeyId::BYTES]);
    KeyId::from_bytes(id)
}

const DIGITS: usize = 30;
const PAIR_DIGITS: usize = 10;

/// The 30 digits that people compare: 27 from a hash of identity key and agency, and after each nine
/// of them a check digit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Number([u8; DIGITS]);

/// A text that is not such a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a number has {DIGITS} digits and sound check digits, found {0:?}")]
pub struct NumberForm(pub String);

impl Number {
    fn of(identity: &VerifyingKey, agency: &AgencyName) -> Self {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(NUMBER_TAG)
            .chain_update(identity.as_bytes())
            .chain_update(agency.as_str())
            .finalize()
            .into();
        let mut rest =
            digest[..16].iter().fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
        let mut digits = [0; DIGITS];
        for pair in digits.chunks_exact_mut(PAIR_DIGITS).rev() {
            let (check, payload) = (PAIR_DIGITS - 1, PAIR_DIGITS - 1);
            for digit in pair[..payload].iter_mut().rev() {
                *digit = (rest % 10) as u8;
                rest /= 10;
            }
            pair[check] = damm(&pair[..payload]);
        }
        Self(digits)
    }
}

impl FromStr for Number {
    type Err = NumberForm;

    fn from_str(text: &str) -> Result<Self, NumberForm> {
        let form = || NumberForm(text.to_owned());
        let digits: Option<Vec<u8>> = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_digit(10).map(|digit| digit as u8))
            .collect();
        let digits: [u8; DIGITS] =
            digits.and_then(|digits| digits.try_into().ok()).ok_or_else(form)?;
        let is_sound = digits.chunks_exact(PAIR_DIGITS).all(|pair| damm(pair) == 0);
        if is_sound { Ok(Self(digits)) } else { Err(form()) }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, digit) in self.0.iter().enumerate() {
            let gap = if at > 0 && at % 5 == 0 { " " } else { "" };
            write!(f, "{gap}{digit}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({self})")
    }
}

/// The totally anti-symmetric quasigroup of H. M. Damm's check digit (2004), row by row.
const DAMM: [&[u8; 10]; 10] = [
    b"0317598642",
    b"7092154863",
    b"4206871359",
    b"1750983426",
    b"6123045978",
    b"3674209581",
    b"5869720134",
    b"8945362017",
    b"9438617205",
    b"2581436790",
];

fn damm(digits: &[u8]) -> u8 {
    digits.iter().fold(0, |row, digit| DAMM[usize::from(row)][usize::from(*digit)] - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_needs_thirty_digits_and_sound_checks() {
        let number = "77133 64437 61409 53118 97354 48777";
        assert_eq!(number.parse::<Number>().unwrap().to_string(), number);
        for bad in ["", "77133", &number.replace("77133", "77134"), &number.replace('7', "x")] {
            assert!(bad.parse::<Number>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}", bytes: Vec<u8>) {
            let armoured = |inner: &str| format!("{BEGIN}\n{inner}\n{END}\n");
            prop_assert!(Card::from_text(&text).is_err());
            prop_assert!(Card::from_text(&armoured(&text)).is_err());
            prop_assert!(Card::from_text(&armoured(&STANDARD.encode(bytes))).is_err());
        }
    }
}
