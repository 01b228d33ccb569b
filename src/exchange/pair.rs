//! The two agencies of a session, their keys, and the notes that pass between them.
//!
//! Each feed has an origin of its own, so a checkpoint of one can never be taken for one of
//! another. The private keys are elsewhere.

use crate::ident::AgencyName;
use crate::merkle::{NoteVerifier, OpenError, Origin, SignatureType, SignedCheckpoint};

/// A key that stands where one of the other type belongs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key} of {agency} signs {found:?}, wanted {wanted:?}")]
pub struct WrongKeyRole {
    pub agency: AgencyName,
    pub key: Box<NoteVerifier>,
    pub found: SignatureType,
    pub wanted: SignatureType,
}

/// Why a note is not one that a witness cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignedError {
    #[error("not a signed checkpoint of the journal")]
    Open(#[from] OpenError),
    #[error("not cosigned by {0}")]
    NotCosigned(Box<NoteVerifier>),
}

/// Why a note is not a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    #[error("not a signed checkpoint of the feed")]
    Open(#[from] OpenError),
    #[error("not cosigned by {0}")]
    NotCosigned(Box<NoteVerifier>),
}

/// One of the two agencies: its name and public keys.
#[derive(Debug, Clone)]
pub struct Side {
    agency: AgencyName,
    keys: SideKeys,
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
    pub fn new(agency: AgencyName, keys: SideKeys) -> Result<Self, WrongKeyRole> {
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
            None => Ok(Self { agency, keys }),
        }
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
        feed_origin(&self.own.agency, &self.partner.agency)
    }

    /// Origin of the partner's feed for us.
    pub fn partner_feed(&self) -> Origin {
        feed_origin(&self.partner.agency, &self.own.agency)
    }

    /// Reads a checkpoint of the partner's feed.
    pub fn open_partner_head(&self, note: &[u8]) -> Result<SignedCheckpoint, OpenError> {
        SignedCheckpoint::open(note, self.partner.log(), &[], &self.partner_feed())
    }

    /// Reads the partner's receipt for our feed: signed by our log and cosigned by the partner.
    pub fn open_receipt(&self, note: &[u8]) -> Result<SignedCheckpoint, ReceiptError> {
        open_receipt(note, &self.own, &self.partner, &self.own_feed())
    }

    /// Reads our receipt for the partner's feed, as the partner holds it.
    pub fn open_own_receipt(&self, note: &[u8]) -> Result<SignedCheckpoint, ReceiptError> {
        open_receipt(note, &self.partner, &self.own, &self.partner_feed())
    }

    /// Reads a checkpoint of our journal that the partner cosigned.
    pub fn open_witnessed(&self, note: &[u8]) -> Result<SignedCheckpoint, CosignedError> {
        open_cosigned(note, &self.own, &self.partner)
    }

    /// Reads a checkpoint of the partner's journal that we cosigned.
    pub fn open_own_cosigned(&self, note: &[u8]) -> Result<SignedCheckpoint, CosignedError> {
        open_cosigned(note, &self.partner, &self.own)
    }
}

fn open_receipt(
    note: &[u8],
    discloser: &Side,
    recipient: &Side,
    feed: &Origin,
) -> Result<SignedCheckpoint, ReceiptError> {
    let receipts = std::slice::from_ref(recipient.receipts());
    let opened = SignedCheckpoint::open(note, discloser.log(), receipts, feed)?;
    if opened.cosignatures().is_empty() {
        return Err(ReceiptError::NotCosigned(Box::new(recipient.receipts().clone())));
    }
    Ok(opened)
}

fn open_cosigned(note: &[u8], of: &Side, by: &Side) -> Result<SignedCheckpoint, CosignedError> {
    let witness = std::slice::from_ref(by.witness());
    let opened = SignedCheckpoint::open(note, of.journal(), witness, &of.journal_origin())?;
    if opened.cosignatures().is_empty() {
        return Err(CosignedError::NotCosigned(Box::new(by.witness().clone())));
    }
    Ok(opened)
}

/// `<discloser>/feed/<recipient>`: the name of the log of what one agency discloses to another.
pub fn feed_origin(discloser: &AgencyName, recipient: &AgencyName) -> Origin {
    format!("{discloser}/feed/{recipient}")
        .parse()
        .expect("two agency names of at most 100 printable bytes make an origin")
}
