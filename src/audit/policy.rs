//! The check of policies: the bundle in force at each time, its files, and the required approvals.
//!
//! What a bundle changes by its policies alone is found out anew here; what it changed over the
//! records of its time is taken from the entry that says so.

use super::acts::Acts;
use super::expectations::Expectations;
use super::failure::{Check, Fault};
use super::holdings::{Holdings, Row, RowNumber};
use super::line_ends::changed_policy;
use super::replay::{BundleFiles, KnownFacts, Replay, Shown, load};
use super::words::slots;
use crate::exchange::{Allowed, ConsentRegister, Place, SeriesVerdict};
use crate::ident::{AgencyName, BundleHash, Timestamp};
use crate::pb;
use crate::policy::{
    ActKind, Bundle, ClientRole, PartnerFacts, PolicyChange, Vocabulary, change_of,
};
use crate::record::kind::{Kind, SlotClass};
use crate::record::slots::SlotMask;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Comparisons with one bundle in force that are remembered.
const COMPARED_MAX: usize = 4_096;

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
    /// The entry that put it in force.
    pub(super) since: u64,
    hash: Vec<u8>,
    /// The comparisons with this bundle, by entry.
    compared: BTreeMap<u64, pb::PolicyCompared>,
    /// Applied bundles whose files are not at hand.
    pub(super) absent: u64,
    /// Disclosures that were decided anew.
    pub(super) decided: u64,
    /// `None` when the files are not at hand.
    replay: Option<Replay>,
    pub(super) facts: KnownFacts,
    /// The requests and statements on consent, and the consents in force.
    pub(super) dealings: ConsentRegister,
}

impl InForce {
    /// Takes the recorded result of a comparison.
    pub(super) fn compare(
        &mut self,
        index: u64,
        compared: pb::PolicyCompared,
    ) -> Result<(), Fault> {
        let fault = |expected: &str, found: &dyn ToString| {
            Err(Fault::new(Check::EntryForm, expected, found.to_string()))
        };
        for hash in [&compared.bundle_hash, &compared.facts_hash, &compared.difference_hash] {
            if hash.len() != 32 {
                return fault("hashes of 32 bytes", &hash.len());
            }
        }
        if compared.base_hash[..] != self.hash[..] {
            return fault("a comparison with the bundle in force", &hex(&compared.base_hash));
        }
        if compared.client.is_empty() || PolicyChange::from_wire(compared.change()).is_none() {
            return fault("who compared and what it does", &"neither or one of them");
        }
        if compared.journal_size > index {
            let found = format!("{} entries before entry {index}", compared.journal_size);
            return fault("entries that there were", &found);
        }
        // The counts are for people; nothing follows from them here.
        self.compared.insert(index, pb::PolicyCompared { partners: Vec::new(), ..compared });
        while self.compared.len() > COMPARED_MAX {
            self.compared.pop_first();
        }
        Ok(())
    }

    /// Everybody who must have approved a bundle did, over a comparison of exactly that bundle.
    fn check_approved(
        &self,
        applied: &pb::PolicyApplied,
        next: Option<&Replay>,
        (facts, acts): (&[u8; 32], &mut Acts),
    ) -> Result<(), Fault> {
        let fault = |expected: &str, found: &dyn ToString| {
            Fault::new(Check::PolicyApproval, expected, found.to_string())
        };
        let compared = self.compared.get(&applied.comparison);
        let compared = compared.filter(|compared| compared.bundle_hash == applied.bundle_hash);
        let Some(compared) = compared else {
            let found = format!("entry {}", applied.comparison);
            return Err(fault("a comparison of this bundle with the one in force", &found));
        };
        if compared.facts_hash[..] != facts[..] {
            let found = format!("others than those of entry {}", applied.comparison);
            return Err(fault("partners as they were compared for", &found));
        }
        let Some(change) =
            PolicyChange::from_wire(applied.change()).filter(|_| compared.change == applied.change)
        else {
            let found = format!("{:?} in entry {}", compared.change(), applied.comparison);
            return Err(fault(&format!("the change {:?}", applied.change()), &found));
        };
        if let Some(least) = self.least_change(next).filter(|least| change < *least) {
            return Err(fault(&format!("a bundle that is {change}"), &least));
        }
        match ActKind::of_policy(change) {
            Some(_) => acts.cover_policy(applied),
            None if applied.proposal != 0 || !applied.decisions.is_empty() => {
                Err(fault("no act for a bundle that narrows", &applied.proposal))
            }
            None if applied.client.is_empty()
                || applied.role != ClientRole::PolicyOfficer.name() =>
            {
                Err(fault("a policy officer", &format!("{:?}", applied.role)))
            }
            None => Ok(()),
        }
    }

    /// Returns the class of the next bundle by the policies alone, if both bundles are at hand.
    fn least_change(&self, next: Option<&Replay>) -> Option<PolicyChange> {
        let next = next?.bundle();
        match &self.replay {
            Some(replay) => Some(change_of(replay.bundle(), next)),
            None if self.version > 0 => None,
            None => {
                let nothing = Bundle::load([], &Vocabulary::default()).ok()?;
                Some(change_of(&nothing, next))
            }
        }
    }

    /// Puts the next bundle in force.
    pub(super) fn apply(
        &mut self,
        index: u64,
        applied: &pb::PolicyApplied,
        expectations: &Expectations,
        own: Option<&AgencyName>,
        approvals: (&[u8; 32], &mut Acts),
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
        let next = match (expectations.policies.get(&hash), own) {
            (Some(files), Some(own)) => {
                let found = bundle_hash(files);
                if found != hash {
                    if let Some((name, mut fault)) = changed_policy(files, hash) {
                        fault.found += &format!(", in {name} of policy {hash}");
                        return Err(fault);
                    }
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
        self.check_approved(applied, next.as_ref(), approvals)?;
        self.replay = next;
        self.compared.clear();
        self.version = applied.version;
        self.since = index;
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

    /// Decides anew what an entry of the feed to a partner shows of the record in `row`, and of its
    /// series.
    pub(super) fn decide(
        &mut self,
        (number, partner): (u16, &PartnerFacts),
        row: RowNumber,
        holdings: &Holdings,
        entry: &pb::FeedEntry,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let row = holdings.at(row);
        let Some(Shown { is_released, slots: own, .. }) = self.shown(number, partner, row, at)
        else {
            return Ok(());
        };
        self.decided += 1;
        let mut allowed = is_released.then_some(own);
        if !row.is_alone && row.kind != Kind::Withdrawal {
            let mut verdicts = Vec::new();
            for newest in holdings.newest_of(row) {
                verdicts.push(self.verdict(number, partner, newest, holdings, at));
            }
            let alone = allowed
                .map_or(Allowed::Nothing, |open| Allowed::Slots { open, erased: SlotMask::NONE });
            let series = SeriesVerdict::of(verdicts);
            let limited =
                series.map_or(alone, |series| series.limit(alone, row.kind, Place::Newest));
            allowed = match limited {
                Allowed::Slots { open, .. } => Some(open),
                Allowed::Kept { .. } | Allowed::Nothing | Allowed::AsItIs => None,
            };
        }
        if allowed.is_some_and(|allowed| entry.open_slots & !allowed.bits() == 0) {
            return Ok(());
        }
        let (record, agency, version) = (row.id, &partner.agency, self.version);
        let of = format!("record {record} for {agency} under policy version {version}");
        let expected = match allowed {
            Some(allowed) => format!("{} of {of}", slots(allowed.bits())),
            None => format!("nothing of {of}"),
        };
        Err(Fault::new(Check::PolicyDecision, expected, slots(entry.open_slots)))
    }

    /// The verdict on a newest revision, for all revisions of its series.
    fn verdict(
        &mut self,
        number: u16,
        partner: &PartnerFacts,
        newest: RowNumber,
        holdings: &Holdings,
        at: Timestamp,
    ) -> SeriesVerdict {
        let row = holdings.at(newest);
        match holdings.given(newest) {
            _ if row.kind == Kind::Withdrawal => return SeriesVerdict::Withdrawn,
            Some(given) if given.is_retracted => return SeriesVerdict::Denied,
            Some(given) if given.from == number => {
                return SeriesVerdict::Shown(SlotClass::ALL.into_iter().collect());
            }
            _ => {}
        }
        match self.shown(number, partner, row, at) {
            Some(Shown { is_released: true, classes, .. }) => SeriesVerdict::Shown(classes),
            _ => SeriesVerdict::Denied,
        }
    }

    /// The classes that policy shows of a record; `None` when its files are not at hand.
    fn shown(
        &mut self,
        number: u16,
        partner: &PartnerFacts,
        row: &Row,
        at: Timestamp,
    ) -> Option<Shown> {
        let replay = self.replay.as_mut()?;
        // As the node does: whom the originator consented to by then is on the release list.
        let in_force = self.dealings.in_force();
        let facts = match in_force.concern(self.facts.of(row.facts)) {
            true => {
                let header = self.facts.of(row.facts).clone();
                self.facts.number(in_force.extend(header, &row.id, at.hour()))
            }
            false => row.facts,
        };
        Some(replay.shown(number, partner, &self.facts, facts, at))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
