//! Which sharing policy was in force when, and whether its files are still what was applied.

use super::failure::{Check, Fault};
use super::feed::slots;
use super::holdings::Row;
use super::ledger::Expectations;
use super::replay::{BundleFiles, KnownFacts, Replay, Shown, load};
use crate::ident::{AgencyName, BundleHash, Timestamp};
use crate::pb;
use crate::policy::{Bundle, PartnerFacts};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

const BUNDLE_TAG: &[u8] = b"liaison/bundle/v1\0";

/// SHA-256 over the tag and each file in the order of the names: name and text, each after its
/// length in bytes as u32, big-endian.
pub fn bundle_hash(files: &BundleFiles) -> BundleHash {
    let mut hash = Sha256::new_with_prefix(BUNDLE_TAG);
    for part in files.iter().flat_map(|(name, text)| [name.as_bytes(), text]) {
        hash.update((part.len() as u32).to_be_bytes());
        hash.update(part);
    }
    BundleHash::from_bytes(hash.finalize().into())
}

/// The policy in force at a point of the journal.
#[derive(Debug, Default)]
pub(super) struct InForce {
    /// 0 before the first.
    pub(super) version: u64,
    hash: Vec<u8>,
    /// Applied bundles whose files are not at hand.
    pub(super) absent: u64,
    /// Disclosures that were decided anew.
    pub(super) decided: u64,
    /// `None` when the files are not at hand.
    replay: Option<Replay>,
    pub(super) facts: KnownFacts,
}

impl InForce {
    /// Puts the next bundle in force.
    pub(super) fn apply(
        &mut self,
        applied: &pb::PolicyApplied,
        expectations: &Expectations,
        own: Option<&AgencyName>,
    ) -> Result<(), Fault> {
        let version = Fault::new(Check::PolicyVersion, self.version + 1, applied.version);
        if applied.version != self.version + 1 {
            return Err(version);
        }
        if applied.previous_hash[..] != self.hash[..] {
            let (expected, found) = (hex(&self.hash), hex(&applied.previous_hash));
            return Err(Fault::new(Check::PolicyVersion, expected, found));
        }
        let hash = BundleHash::try_from(&applied.bundle_hash[..])
            .map_err(|error| Fault::new(Check::EntryForm, "a bundle's hash", error))?;
        self.replay = match (expectations.policies.get(&hash), own) {
            (Some(files), Some(own)) => {
                let found = bundle_hash(files);
                if found != hash {
                    return Err(Fault::new(Check::PolicyFiles, hash, found));
                }
                let loaded = expectations.loaded.get(&hash).map(Arc::clone);
                let compiled = loaded.filter(|compiled| compiled.own() == own);
                Some(Replay::new(compiled.map_or_else(|| load(files, own), Ok)?))
            }
            _ => {
                self.absent += 1;
                None
            }
        };
        self.version = applied.version;
        self.hash = applied.bundle_hash.to_vec();
        Ok(())
    }

    /// The bundle in force, when its files are at hand.
    pub(super) fn bundle(&self) -> Option<&Bundle> {
        self.replay.as_ref().map(Replay::bundle)
    }

    /// A partner is another one now.
    pub(super) fn forget(&mut self, number: u16) {
        if let Some(replay) = &mut self.replay {
            replay.forget(number);
        }
    }

    /// Decides anew what an entry of the feed to a partner shows of the record in `row`.
    pub(super) fn decide(
        &mut self,
        number: u16,
        partner: &PartnerFacts,
        row: &Row,
        entry: &pb::FeedEntry,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let Some(replay) = &mut self.replay else { return Ok(()) };
        self.decided += 1;
        let Shown { is_released, slots: allowed } =
            replay.shown(number, partner, &self.facts, row.facts, at);
        if is_released && entry.open_slots & !allowed.bits() == 0 {
            return Ok(());
        }
        let (record, agency, version) = (row.id, &partner.agency, self.version);
        let of = format!("record {record} for {agency} under policy version {version}");
        let expected = match is_released {
            true => format!("{} of {of}", slots(allowed.bits())),
            false => format!("nothing of {of}"),
        };
        Err(Fault::new(Check::PolicyDecision, expected, slots(entry.open_slots)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
