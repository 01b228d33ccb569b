//! The keys that may sign each note: those of cards, under the names in their lines.

use super::card::Card;
use super::failure::{Check, Fault};
use crate::exchange::{Exception, ExceptionStatement};
use crate::ident::Generation;
use crate::merkle::{
    CosignatureTime, NoteVerifier, Origin, SignatureType, SignedCheckpoint, TreeHead,
};
use crate::pb;
use ed25519_dalek::VerifyingKey;
use std::ops::Range;

/// The notes of one log and the keys that may have signed them.
#[derive(Debug)]
pub(super) struct Log {
    origin: Origin,
    /// The newest first. An agency's journal key can change; what it signed stays.
    signers: Vec<NoteVerifier>,
    cosigner: Option<NoteVerifier>,
}

impl Log {
    /// An agency's own journal of the generation of its newest card.
    pub(super) fn journal(own: &[Card]) -> Option<Self> {
        let Card { agency, generation, .. } = own.last()?;
        Self::of(&generation.journal_origin(agency), journal_keys(own, *generation), None)
    }

    /// The feed from the agency of `own` to `partner`, with the receipts of its card; of the
    /// generation of its newest card.
    pub(super) fn published(own: &[Card], partner: &Card) -> Option<Self> {
        Self::published_in(own.last()?.generation, own, partner)
    }

    /// The same of any generation.
    pub(super) fn published_in(
        generation: Generation,
        own: &[Card],
        partner: &Card,
    ) -> Option<Self> {
        let name = generation.feed_origin(&own.last()?.agency, &partner.agency);
        Self::of(&name, journal_keys(own, generation), Some(partner))
    }

    /// The feed from `partner`, with the receipts that `own` gives.
    pub(super) fn received(partner: &Card, own: &Card) -> Option<Self> {
        let name = partner.generation.feed_origin(&partner.agency, &own.agency);
        Self::of(&name, std::iter::once(&partner.journal), Some(own))
    }

    /// `None` only if a name is too long for a note, which agency names are not.
    fn of<'a>(
        name: &str,
        keys: impl Iterator<Item = &'a VerifyingKey>,
        receipts_of: Option<&Card>,
    ) -> Option<Self> {
        let verifier = |name: &str, role, key: &VerifyingKey| {
            NoteVerifier::new(name.parse().ok()?, role, key.as_bytes()).ok()
        };
        let mut signers: Vec<NoteVerifier> = Vec::new();
        for key in keys {
            let signer = verifier(name, SignatureType::Ed25519, key)?;
            if !signers.contains(&signer) {
                signers.push(signer);
            }
        }
        let cosigner = match receipts_of {
            Some(card) => Some(verifier(
                &format!("{}/receipt", card.agency),
                SignatureType::Cosignature,
                &card.receipt,
            )?),
            None => None,
        };
        Some(Self { origin: name.parse().ok()?, signers, cosigner })
    }

    /// The head in a note that one of the keys signed.
    pub(super) fn head(&self, note: &[u8], check: Check) -> Result<TreeHead, Fault> {
        self.open(note, &[], check).map(|signed| signed.checkpoint().head())
    }

    /// The head in a note that is signed and carries the receipt too, and when the receipt was signed.
    pub(super) fn receipted_head(
        &self,
        note: &[u8],
        check: Check,
    ) -> Result<(TreeHead, CosignatureTime), Fault> {
        let cosigners = self.cosigner.as_slice();
        let signed = self.open(note, cosigners, check)?;
        let Some(line) = signed.cosignatures().first() else {
            let expected = match cosigners {
                [cosigner] => format!("the receipt of {}", cosigner.name()),
                _ => "a receipt".to_owned(),
            };
            return Err(Fault::new(check, expected, "none"));
        };
        Ok((signed.checkpoint().head(), line.at))
    }

    /// Checks the statement of exceptions that comes with a receipt, and gives its range.
    pub(super) fn check_statement(
        &self,
        receipt: &pb::ReceiptReceived,
    ) -> Result<Range<u64>, Fault> {
        let expected = "the exceptions as the partner's receipt key signed them";
        let fault = |found: &dyn ToString| Fault::new(Check::Receipt, expected, found.to_string());
        let wire = receipt.statement.clone().ok_or_else(|| fault(&"no statement"))?;
        let statement = ExceptionStatement::try_from(wire).map_err(|error| fault(&error))?;
        let exceptions = receipt.exceptions.iter().cloned().map(Exception::try_from);
        let exceptions: Vec<_> =
            exceptions.collect::<Result<_, _>>().map_err(|error| fault(&error))?;
        let cosigner = self.cosigner.as_ref().ok_or_else(|| fault(&"no receipt key"))?;
        statement
            .verify(&self.origin, &exceptions, cosigner.verifying_key())
            .map_err(|error| fault(&error))?;
        Ok(statement.start.get()..statement.end.get())
    }

    /// The head in a note on which every line is by a key that this log has.
    pub(super) fn whole_head(&self, note: &[u8], check: Check) -> Result<TreeHead, Fault> {
        let signed = self.open(note, self.cosigner.as_slice(), check)?;
        // Opening leaves out the lines of unknown keys.
        if signed.to_bytes() != note {
            return Err(Fault::new(check, "lines by known keys alone", "a line by another"));
        }
        Ok(signed.checkpoint().head())
    }

    fn open(
        &self,
        note: &[u8],
        cosigners: &[NoteVerifier],
        check: Check,
    ) -> Result<SignedCheckpoint, Fault> {
        let mut first = None;
        for signer in &self.signers {
            match SignedCheckpoint::open(note, signer, cosigners, &self.origin) {
                Ok(signed) => return Ok(signed),
                Err(error) => {
                    let cause = std::error::Error::source(&error)
                        .map_or_else(String::new, |source| format!(": {source}"));
                    first = first.or(Some(format!("{error}{cause}")));
                }
            }
        }
        let expected = format!("a checkpoint signed by {}", self.origin);
        Err(Fault::new(check, expected, first.unwrap_or_else(|| "no key to check it".to_owned())))
    }
}

/// The head in a note of a log that the agency of a card signed.
pub(super) fn head_by(
    card: &Card,
    origin: &str,
    note: &[u8],
    check: Check,
) -> Result<TreeHead, Fault> {
    let log = Log::of(origin, std::iter::once(&card.journal), None)
        .ok_or_else(|| Fault::new(check, "a log's name", origin))?;
    log.head(note, check)
}

/// The keys that an agency signs its logs of a generation with, the newest first.
fn journal_keys(own: &[Card], generation: Generation) -> impl Iterator<Item = &VerifyingKey> {
    let of_generation = own.iter().rev().filter(move |card| card.generation == generation);
    of_generation.map(|card| &card.journal)
}
