//! A feed between two agencies, with its published heads.

use bytes::Bytes;

use super::{Agency, now};
use crate::exchange::{FeedAction, FeedEntry, feed_origin};
use crate::ident::{PolicyVersion, RecordId, Timestamp, TreeHash, TreeSize};
use crate::merkle::{
    Checkpoint, Cosigner, Frontier, NoteSigner, NoteVerifier, Origin, SignedCheckpoint, TreeHead,
    leaf_hash, root_of,
};
use crate::pb;
use crate::record::erasure::ErasureOrder;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;

/// A feed with its published heads.
#[derive(Clone)]
pub(crate) struct Feed {
    origin: Origin,
    log: NoteSigner,
    pub(crate) entries: Vec<Bytes>,
    leaves: Vec<TreeHash>,
    /// Published sizes, ascending, with their notes.
    pub(crate) heads: Vec<(TreeHead, Vec<u8>)>,
}

impl Feed {
    pub(crate) fn new(from: &Agency, to: &Agency) -> Self {
        Self {
            origin: feed_origin(&from.name, &to.name, from.generation),
            log: from.log.clone(),
            entries: Vec::new(),
            leaves: Vec::new(),
            heads: Vec::new(),
        }
    }

    pub(crate) fn append(&mut self, action: FeedAction, record: &Verified, open_slots: SlotMask) {
        self.append_duty(action, (record.id(), open_slots), None);
    }

    /// Appends an entry about a record that need not be here.
    pub(crate) fn append_duty(
        &mut self,
        action: FeedAction,
        (record, open_slots): (RecordId, SlotMask),
        order: Option<ErasureOrder>,
    ) {
        let entry = FeedEntry {
            action,
            record,
            open_slots,
            policy_version: PolicyVersion::new(1),
            at: now(),
            order,
            message: None,
        };
        self.append_bytes(entry.encode());
    }

    pub(crate) fn append_bytes(&mut self, entry: Bytes) {
        self.leaves.push(leaf_hash(&entry));
        self.entries.push(entry);
    }

    /// Signs a head over all entries, whatever they are.
    pub(crate) fn publish(&mut self) {
        let size = TreeSize::new(self.leaves.len() as u64);
        let head = TreeHead { size, root: root_of(&self.leaves) };
        let note = self.sign(head);
        self.heads.push((head, note));
    }

    pub(crate) fn sign(&self, head: TreeHead) -> Vec<u8> {
        let checkpoint = Checkpoint::new(self.origin.clone(), head).unwrap();
        SignedCheckpoint::sign(checkpoint, &self.log).to_bytes()
    }

    /// The note of a published head with the recipient's cosignature.
    pub(crate) fn receipt(&self, note: &[u8], by: &Cosigner) -> Vec<u8> {
        self.receipt_at(note, by, now())
    }

    pub(crate) fn receipt_at(&self, note: &[u8], by: &Cosigner, at: Timestamp) -> Vec<u8> {
        let log = NoteVerifier::from(&self.log);
        let opened = SignedCheckpoint::open(note, &log, &[], &self.origin).unwrap();
        let line = by.cosign(opened.checkpoint(), at.into());
        opened.with_cosignature(line, &NoteVerifier::from(by)).unwrap().to_bytes()
    }

    pub(crate) fn published(&self) -> TreeSize {
        self.heads.last().map_or(TreeSize::new(0), |(head, _)| head.size)
    }

    pub(crate) fn root_at(&self, size: TreeSize) -> Option<TreeHash> {
        self.leaves.get(..size.get() as usize).map(root_of)
    }

    pub(crate) fn frontier_at(&self, size: u64) -> Frontier {
        self.leaves[..size as usize].iter().copied().collect()
    }

    /// The batch from an entry to a published head.
    pub(crate) fn batch(
        &self,
        from: u64,
        (head, note): &(TreeHead, Vec<u8>),
        mut envelope: impl FnMut(&FeedEntry) -> pb::Envelope,
    ) -> pb::FeedBatch {
        let entries = &self.entries[from as usize..head.size.get() as usize];
        let envelope = |bytes: &Bytes| {
            FeedEntry::decode(bytes).map_or_else(|_| pb::Envelope::default(), |e| envelope(&e))
        };
        pb::FeedBatch {
            start: from,
            entries: entries.to_vec(),
            envelopes: entries.iter().map(envelope).collect(),
            note: note.clone().into(),
        }
    }
}
