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
    log: NoteVerifier,
    receipts: NoteVerifier,
}

impl Side {
    /// `log` is the journal key that signs the agency's feeds, `receipts` the key that cosigns
    /// those of others as durably held.
    pub fn new(
        agency: AgencyName,
        log: NoteVerifier,
        receipts: NoteVerifier,
    ) -> Result<Self, WrongKeyRole> {
        let roles = [(&log, SignatureType::Ed25519), (&receipts, SignatureType::Cosignature)];
        let wrong = roles.into_iter().find(|(key, wanted)| key.signature_type() != *wanted);
        match wrong {
            Some((key, wanted)) => Err(WrongKeyRole {
                agency,
                found: key.signature_type(),
                key: Box::new(key.clone()),
                wanted,
            }),
            None => Ok(Self { agency, log, receipts }),
        }
    }

    pub fn agency(&self) -> &AgencyName {
        &self.agency
    }

    pub fn log(&self) -> &NoteVerifier {
        &self.log
    }

    pub fn receipts(&self) -> &NoteVerifier {
        &self.receipts
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
        SignedCheckpoint::open(note, &self.partner.log, &[], &self.partner_feed())
    }

    /// Reads the partner's receipt for our feed: signed by our log and cosigned by the partner.
    pub fn open_receipt(&self, note: &[u8]) -> Result<SignedCheckpoint, ReceiptError> {
        let receipts = std::slice::from_ref(&self.partner.receipts);
        let opened = SignedCheckpoint::open(note, &self.own.log, receipts, &self.own_feed())?;
        if opened.cosignatures().is_empty() {
            return Err(ReceiptError::NotCosigned(Box::new(self.partner.receipts.clone())));
        }
        Ok(opened)
    }
}

/// `<discloser>/feed/<recipient>`: the name of the log of what one agency discloses to another.
pub fn feed_origin(discloser: &AgencyName, recipient: &AgencyName) -> Origin {
    format!("{discloser}/feed/{recipient}")
        .parse()
        .expect("two agency names of at most 100 printable bytes make an origin")
}
