//! Which sharing policy was in force when, and whether its files are still what was applied.

use super::failure::{Check, Fault};
use crate::ident::BundleHash;
use crate::pb;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const BUNDLE_TAG: &[u8] = b"liaison/bundle/v1\0";

/// SHA-256 over the tag and each file in the order of the names: name and text, each after its
/// length in bytes as u32, big-endian.
pub fn bundle_hash(files: &BTreeMap<String, Vec<u8>>) -> BundleHash {
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
}

impl InForce {
    /// Puts the next bundle in force. `files` tells for each bundle kept in the directory, by the
    /// hash in its name, the hash of what is there.
    pub(super) fn apply(
        &mut self,
        applied: &pb::PolicyApplied,
        files: &BTreeMap<BundleHash, BundleHash>,
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
        match files.get(&hash) {
            Some(found) if *found != hash => {
                return Err(Fault::new(Check::PolicyFiles, hash, found));
            }
            Some(_) => {}
            None => self.absent += 1,
        }
        self.version = applied.version;
        self.hash = applied.bundle_hash.to_vec();
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
