//! The two agencies of a session, their keys, and the notes that pass between them.
//!
//! Each feed has an origin of its own, so a checkpoint of one can never be taken for one of
//! another. The private keys are elsewhere.

use super::signed_time::line_time;
use crate::ident::{AgencyName, Generation, Timestamp};
use crate::merkle::{
    CosignatureTime, Cosigner, NoteVerifier, OpenError, Origin, SignatureType, SignedCheckpoint,
};

/// A key that stands where one of the other type belongs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key} of {agency} signs {found:?}, wanted {wanted:?}")]
pub struct WrongKeyRole {
    pub agency: AgencyName,
    pub key: Box<NoteVerifier>,
    pub found: SignatureType,
    pub wanted: SignatureType,
}

/// The reason why a note is not one that a witness cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignedError {
    #[error("not a signed checkpoint of the journal")]
    Open(#[from] OpenError),
    #[error("not cosigned by {0}")]
    NotCosigned(Box<NoteVerifier>),
}

/// The reason why a note is not a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    #[error("not a signed checkpoint of the feed")]
    Open(#[from] OpenError),
    #[error("not cosigned by {0}")]
    NotCosigned(Box<NoteVerifier>),
}

/// One of the two agencies: its name, its logs and its public keys.
#[derive(Debug, Clone)]
pub struct Side {
    agency: AgencyName,
    generation: Generation,
    keys: SideKeys,
    retired: Vec<NoteVerifier>,
}

/// A note that carries a line of this node's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnLine {
    /// It is signed by a key in force: its content must be known here.
    InForce(SignedCheckpoint),
    /// By a key from before the own logs were succeeded: it may be of what was lost.
    Retired(SignedCheckpoint),
}

impl OwnLine {
    pub fn signed(&self) -> &SignedCheckpoint {
        match self {
            Self::InForce(signed) | Self::Retired(signed) => signed,
        }
    }
}

/// The public keys of one of the two agencies.
#[derive(Debug, Clone)]
pub struct SideKeys {
    /// Signs the heads of the agency's feed for the other.
    pub log: NoteVerifier,
    /// Cosigns the other's feed as durably held.
    pub receipts: NoteVerifier,
    /// Signs the agency's journal; named as its origin.
    pub journal: NoteVerifier,
    /// Cosigns journals of others as consistent.
    pub witness: NoteVerifier,
}

impl Side {
    /// The generation is that of the agency's logs, whose keys these are.
    pub fn new(
        agency: AgencyName,
        generation: Generation,
        keys: SideKeys,
    ) -> Result<Self, WrongKeyRole> {
        let roles = [
            (&keys.log, SignatureType::Ed25519),
            (&keys.receipts, SignatureType::Cosignature),
            (&keys.journal, SignatureType::Ed25519),
            (&keys.witness, SignatureType::Cosignature),
        ];
        let wrong = roles.into_iter().find(|(key, wanted)| key.signature_type() != *wanted);
        match wrong {
            Some((key, wanted)) => Err(WrongKeyRole {
                agency,
                found: key.signature_type(),
                key: Box::new(key.clone()),
                wanted,
            }),
            None => Ok(Self { agency, generation, keys, retired: Vec::new() }),
        }
    }

    /// With the receipt and witness keys of generations before.
    #[must_use]
    pub fn with_retired(self, retired: Vec<NoteVerifier>) -> Self {
        Self { retired, ..self }
    }

    pub const fn generation(&self) -> Generation {
        self.generation
    }

    pub fn agency(&self) -> &AgencyName {
        &self.agency
    }

    pub fn log(&self) -> &NoteVerifier {
        &self.keys.log
    }

    pub fn receipts(&self) -> &NoteVerifier {
        &self.keys.receipts
    }

    pub fn journal(&self) -> &NoteVerifier {
        &self.keys.journal
    }

    pub fn witness(&self) -> &NoteVerifier {
        &self.keys.witness
    }

    /// Origin of the agency's journal: the name of the key that signs it.
    pub fn journal_origin(&self) -> Origin {
        Origin::from(self.keys.journal.name())
    }
}

/// This node's agency and the partner.
#[derive(Debug, Clone)]
pub struct Pair {
    pub own: Side,
    pub partner: Side,
}

impl Pair {
    /// Origin of our feed for the partner.
    pub fn own_feed(&self) -> Origin {
        feed_origin(&self.own.agency, &self.partner.agency, self.own.generation)
    }

    /// Origin of the partner's feed for us.
    pub fn partner_feed(&self) -> Origin {
        feed_origin(&self.partner.agency, &self.own.agency, self.partner.generation)
    }

    /// Reads a checkpoint of the partner's feed.
    pub fn open_partner_head(&self, note: &[u8]) -> Result<SignedCheckpoint, OpenError> {
        SignedCheckpoint::open(note, self.partner.log(), &[], &self.partner_feed())
    }

    /// Reads the partner's receipt for our feed: signed by our log and cosigned by the partner.
    pub fn open_receipt(&self, note: &[u8]) -> Result<SignedCheckpoint, ReceiptError> {
        open_receipt(note, &self.own, self.partner.receipts(), &self.own_feed())
    }

    /// Reads our receipt for the partner's feed, as the partner holds it.
    pub fn open_own_receipt(&self, note: &[u8]) -> Result<OwnLine, ReceiptError> {
        let by = |key: &NoteVerifier| open_receipt(note, &self.partner, key, &self.partner_feed());
        self.own_line(self.own.receipts(), by)
    }

    /// The time of a stored receipt of the partner's; `None` if a key of before signed it.
    pub(super) fn receipt_time(&self, note: &[u8]) -> Option<CosignatureTime> {
        line_time(note, self.partner.receipts())
    }

    /// The time of a stored receipt of ours; `None` if a key of before signed it.
    pub(super) fn own_receipt_time(&self, note: &[u8]) -> Option<CosignatureTime> {
        line_time(note, self.own.receipts())
    }

    /// Our receipt by the key in force for the same head of the partner's feed: after our logs were
    /// succeeded, the partner knows the key of before no more.
    pub fn receipt_in_force(
        &self,
        note: &[u8],
        key: &Cosigner,
        now: Timestamp,
    ) -> Result<Vec<u8>, ReceiptError> {
        let signed = match self.open_own_receipt(note)? {
            OwnLine::InForce(_) => return Ok(note.to_vec()),
            // Opened again without any cosigner, so that the line of the key of before stays behind.
            OwnLine::Retired(_) => self.open_partner_head(note)?,
        };
        let line = key.cosign(signed.checkpoint(), now.into());
        Ok(signed.with_cosignature(line, self.own.receipts())?.to_bytes())
    }

    /// Reads a checkpoint of our journal that the partner cosigned.
    pub fn open_witnessed(&self, note: &[u8]) -> Result<SignedCheckpoint, CosignedError> {
        open_cosigned(note, &self.own, self.partner.witness())
    }

    /// Reads a checkpoint of the partner's journal that we cosigned.
    pub fn open_own_cosigned(&self, note: &[u8]) -> Result<OwnLine, CosignedError> {
        self.own_line(self.own.witness(), |key| open_cosigned(note, &self.partner, key))
    }

    fn own_line<E>(
        &self,
        in_force: &NoteVerifier,
        open: impl Fn(&NoteVerifier) -> Result<SignedCheckpoint, E>,
    ) -> Result<OwnLine, E> {
        open(in_force).map(OwnLine::InForce).or_else(|error| {
            let retired = self.own.retired.iter().filter(|key| key.name() == in_force.name());
            retired.filter_map(|key| open(key).ok()).next().map(OwnLine::Retired).ok_or(error)
        })
    }
}

fn open_receipt(
    note: &[u8],
    discloser: &Side,
    receipts: &NoteVerifier,
    feed: &Origin,
) -> Result<SignedCheckpoint, ReceiptError> {
    let opened =
        SignedCheckpoint::open(note, discloser.log(), std::slice::from_ref(receipts), feed)?;
    if opened.cosignatures().is_empty() {
        return Err(ReceiptError::NotCosigned(Box::new(receipts.clone())));
    }
    Ok(opened)
}

fn open_cosigned(
    note: &[u8],
    of: &Side,
    witness: &NoteVerifier,
) -> Result<SignedCheckpoint, CosignedError> {
    let witnesses = std::slice::from_ref(witness);
    let opened = SignedCheckpoint::open(note, of.journal(), witnesses, &of.journal_origin())?;
    if opened.cosignatures().is_empty() {
        return Err(CosignedError::NotCosigned(Box::new(witness.clone())));
    }
    Ok(opened)
}

/// The name of the log of what one agency discloses to another; the generation is the discloser's.
pub fn feed_origin(
    discloser: &AgencyName,
    recipient: &AgencyName,
    generation: Generation,
) -> Origin {
    generation
        .feed_origin(discloser, recipient)
        .parse()
        .expect("two agency names of at most 100 printable bytes make an origin")
}
