//! The things that an auditor brings along: whom she knows the agency to be, what she holds from before.

use super::card::{Card, Number};
use super::disclosures::LedgerFilter;
use super::failure::{Check, Fault};
use super::replay::BundleFiles;
use crate::ident::BundleHash;
use crate::merkle::{Checkpoint, Note, TreeHead};
use crate::policy::Compiled;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The source of the agency's identity for the auditor.
#[derive(Debug, Clone, Default)]
pub enum Anchor {
    /// The agency that the directory names; a forger's directory would name it too.
    #[default]
    Directory,
    /// The number that was compared over a second channel.
    Number(Number),
    /// A card that the auditor got elsewhere.
    Card(Box<Card>),
}

impl Anchor {
    /// Checks that a card of the agency is of the identity that the auditor knows, and does not contradict the
    /// card that the auditor holds.
    pub(super) fn check(&self, card: &Card) -> Result<(), Fault> {
        if let Self::Card(known) = self
            && known.is_contradicted_by(card)
        {
            let expected = format!("the card {} of {} that you hold", known.serial, known.agency);
            return Err(Fault::new(Check::OwnCard, expected, "another card of the same serial"));
        }
        let wanted = match self {
            Self::Number(number) if *number != card.number() => *number,
            Self::Card(known) if !known.is_same_identity(card) => known.number(),
            Self::Directory | Self::Number(_) | Self::Card(_) => return Ok(()),
        };
        let found = format!("{} of {}", card.number(), card.agency);
        Err(Fault::new(Check::Identity, wanted, found))
    }
}

/// A checkpoint of the journal that the auditor holds from before.
#[derive(Debug, Clone)]
pub struct KnownCheckpoint {
    note: Bytes,
    origin: String,
    head: TreeHead,
}

/// Bytes that are not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the signed note of a checkpoint: {0}")]
pub struct NotACheckpoint(String);

impl KnownCheckpoint {
    pub fn parse(note: Bytes) -> Result<Self, NotACheckpoint> {
        let parsed = Note::parse(&note).map_err(|error| NotACheckpoint(error.to_string()))?;
        let checkpoint =
            Checkpoint::parse(parsed.text()).map_err(|error| NotACheckpoint(error.to_string()))?;
        Ok(Self { note, origin: checkpoint.origin().to_string(), head: checkpoint.head() })
    }

    pub(super) fn note(&self) -> &[u8] {
        &self.note
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) const fn head(&self) -> TreeHead {
        self.head
    }
}

/// The auditor's own inputs, and the files beside the segments.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    pub anchor: Anchor,
    /// The node's own card file.
    pub directory_card: Option<Card>,
    pub checkpoint: Option<KnownCheckpoint>,
    /// Witnesses that must have cosigned the journal.
    pub quorum: Option<usize>,
    /// The files of each bundle at hand, by the hash in its name.
    pub policies: BTreeMap<BundleHash, BundleFiles>,
    /// Bundles that were loaded before, for somebody who verifies many histories.
    pub loaded: BTreeMap<BundleHash, Arc<Compiled>>,
    /// The part of the disclosure ledger that is wanted.
    pub ledger: Option<LedgerFilter>,
}
