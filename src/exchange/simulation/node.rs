//! A node of the simulation: what it durably holds, and how records that come to it and go from it change
//! that. It knows no stream and no policy.

use std::collections::BTreeMap;

use super::Random;
use super::erasures::{Decided, Waiting};
use super::injected::Injected;
use super::policies::any_marking;
use super::relation::Relation;
use crate::exchange::fixture::{Agency, indicator_draft, start_of_day};
use crate::exchange::session::{Input, Standing};
use crate::exchange::witnessing::{JournalSize, WitnessStanding, Witnessed, head_of};
use crate::exchange::{ConsentMessage as Told, ConsentRegister, Pair, Provenance, reopened};
use crate::ident::{AgencyName, RecordId, Timestamp, TreeHash, TreeSize};
use crate::journal::progress::Progress;
use crate::merkle::{
    Checkpoint, Frontier, NoteVerifier, Origin, ShownCheckpoint, SignedCheckpoint, TileTree, judge,
    leaf_hash, root_of,
};
use crate::pb;
use crate::record::consent::Purpose;
use crate::record::erasure::ErasureOrder;
use crate::record::kind::Kind;
use crate::record::signed::{Slot, Verified, VerifiedRoots};
use crate::record::slots::SlotMask;
/// A partner is asked for a cosignature at most once in so many milliseconds of simulated time.
const WITNESS_EVERY_MS: i64 = 2_000;

pub(super) type Records = BTreeMap<RecordId, Verified>;
pub(super) type Masks = BTreeMap<RecordId, SlotMask>;

/// An entry of a journal, as far as feeds follow from it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Noted {
    /// A record was accepted or more of it came, from a partner or from a client.
    Record(RecordId, Option<usize>),
    /// A record came into use or went out of it.
    Use(RecordId),
    /// Another policy or another agreement is in force.
    Rules,
    /// Records that a partner refused are offered to it again, as far as its feed showed them in this range.
    Offered(usize, std::ops::Range<u64>),
    /// Slots of a record were erased by an order, which came from a partner or was given here.
    Erased(RecordId, ErasureOrder, Option<usize>),
    /// A record is under a hold no longer.
    HoldEnded(RecordId),
    /// A partner got these without their envelopes.
    Lapsed(usize, Vec<RecordId>),
    /// A statement for a partner about its use of our records.
    Told(usize, Box<Told>),
    /// An originator lets us pass records on to this agency, or to members of its circle, or no longer.
    LetOn(Option<AgencyName>),
}

/// The durable part of a node.
#[derive(Clone)]
pub(super) struct State {
    pub(super) own: AgencyName,
    /// The policy in force, and since when.
    pub(super) edition: usize,
    pub(super) policy_at: usize,
    /// Everything that came of each record.
    pub(super) records: Records,
    /// The permissions for the use of received records.
    pub(super) given: BTreeMap<RecordId, Provenance<usize>>,
    /// The slots that each partner ever disclosed of a record.
    pub(super) provenance: BTreeMap<(RecordId, usize), SlotMask>,
    /// The slots that orders erased here.
    pub(super) erased: Masks,
    /// For the checks: the slots that its originator marked as erased when it gave a record first.
    pub(super) marked: Masks,
    pub(super) journal: Vec<Noted>,
    pub(super) accepted: Vec<RecordId>,
    pub(super) relations: BTreeMap<usize, Relation>,
    pub(super) submitted: Vec<(String, pb::Marking, RecordId)>,
    /// Records under a hold with the slots that were erased when it began, orders that wait or waited
    /// for its end, and own erasures that do.
    pub(super) restricted: BTreeMap<RecordId, SlotMask>,
    pub(super) waiting: BTreeMap<RecordId, Vec<Waiting>>,
    pub(super) deferred: Vec<Decided>,
    /// The requests and statements on consent.
    pub(super) dealings: ConsentRegister,
    /// For the checks, the consents in a plain form, by the originator and the number of the
    /// statement: the purpose that it allows this node.
    pub(super) let_on: BTreeMap<(AgencyName, u64), Purpose>,
    /// The leaves of the journal that partners cosign.
    pub(super) leaves: Vec<TreeHash>,
    /// The root after each leaf, and the right edge after the last.
    pub(super) roots: Vec<TreeHash>,
    pub(super) edge: Frontier,
    /// Leaves up to the last that is not about cosignatures.
    pub(super) substance: usize,
    /// The fault that this node makes, in a run that shows that the checks find it.
    pub(super) injected: Option<Injected>,
}

pub(super) struct Node {
    pub(super) agency: Agency,
    pub(super) state: State,
    /// The number of times that it was restored. Two histories never write the same leaf.
    pub(super) life: u64,
    pub(super) roots: VerifiedRoots,
    /// The progress of the feed to each partner; lost in a crash.
    pub(super) progress: BTreeMap<usize, Progress>,
    /// The number of times that slots came which had been marked as erased: by an originator, or by a forwarder.
    pub(super) marks_opened: usize,
    pub(super) claims_opened: usize,
    /// A copy of its state that somebody kept.
    pub(super) copy: Option<State>,
    /// It found out that it runs on an old copy, and does nothing more.
    pub(super) is_behind: bool,
}

impl State {
    /// The slots of a record that orders erased here.
    pub(super) fn erased(&self, id: &RecordId) -> SlotMask {
        self.erased.get(id).copied().unwrap_or_default()
    }
}

/// The slots that a copy of a record has as erased by somebody's word.
fn claimed(record: &Verified) -> SlotMask {
    let claimed = record.numbered().filter(|(_, slot)| matches!(slot, Slot::ClaimedErased(_)));
    claimed.fold(SlotMask::NONE, |mask, (number, _)| mask.with(number))
}

impl Node {
    pub(super) fn write_leaf(&mut self, what: &[u8]) {
        let place = (self.state.leaves.len() as u64).to_be_bytes();
        let leaf = leaf_hash(&[what, &place, &self.life.to_be_bytes()].concat());
        self.state.leaves.push(leaf);
        self.state.edge.extend([leaf]);
        self.state.roots.push(self.state.edge.root());
    }

    /// Writes an entry of the journal that is not about cosignatures.
    pub(super) fn write(&mut self, what: &[u8]) {
        self.write_leaf(what);
        self.state.substance = self.state.leaves.len();
    }

    pub(super) fn journal_size(&self) -> JournalSize {
        let size = |leaves: usize| TreeSize::new(leaves as u64);
        JournalSize { size: size(self.state.leaves.len()), substance: size(self.state.substance) }
    }

    pub(super) fn journal_root(&self, size: TreeSize) -> Option<TreeHash> {
        match size.get() {
            0 => Some(root_of(&[])),
            size => self.state.roots.get(size as usize - 1).copied(),
        }
    }

    /// The newest checkpoint of the journal, with the proof from this size.
    pub(super) fn checkpoint(&self, old: TreeSize) -> Input {
        let mut tree = TileTree::new();
        self.state.leaves.iter().for_each(|leaf| tree.push(*leaf));
        let needs_proof = old.get() > 0 && old < tree.size();
        let proof = if needs_proof {
            tree.consistency(&self.state.leaves, old, tree.size()).unwrap()
        } else {
            Vec::new()
        };
        let log = &self.agency.log;
        let checkpoint = Checkpoint::new(Origin::from(log.name()), tree.head()).unwrap();
        let note = SignedCheckpoint::sign(checkpoint, log).to_bytes();
        Input::Checkpoint { proof, note, made_at: Some(start_of_day()) }
    }

    /// The partner that a record came from first.
    pub(super) fn source(&self, id: &RecordId) -> Option<usize> {
        self.state.journal.iter().find_map(|said| match said {
            Noted::Record(of, source) if of == id => Some(*source),
            _ => None,
        })?
    }

    pub(super) fn keep(&mut self, record: Verified, source: Option<usize>, is_originator: bool) {
        let id = record.id();
        if let Some(source) = source {
            let gave = self.state.provenance.entry((id, source)).or_default();
            *gave = gave.or(record.open_slots());
        }
        let by_orders = self.state.erased(&id);
        let Some(held) = self.state.records.get_mut(&id) else {
            let record = match self.state.injected {
                Some(Injected::MarkKeepsOut) => record.erased(claimed(&record)),
                _ => record,
            };
            if is_originator {
                self.state.marked.insert(id, record.erased_slots());
            }
            self.state.accepted.push(id);
            if let Some(source) = source {
                self.state.given.insert(id, Provenance::new(source, record.open_slots()));
            }
            self.state.records.insert(id, record);
            return self.say(Noted::Record(id, source));
        };
        let (Some(from), Some(given)) = (source, self.state.given.get(&id).copied()) else {
            return;
        };
        let in_use = held.open_slots().without(given.retracted);
        let (claimed, marked) = (claimed(held), held.erased_slots());
        let reopened = match self.state.injected {
            Some(Injected::MarkKeepsOut) => SlotMask::NONE,
            _ => reopened(marked, by_orders, is_originator),
        };
        held.absorb(&record, reopened).unwrap();
        let open = held.open_slots();
        self.marks_opened += usize::from(!marked.and(open).is_empty());
        self.claims_opened += usize::from(!claimed.and(open).is_empty());
        let barred = match given.heeds(from, is_originator) {
            true => SlotMask::NONE,
            false => given.retracted,
        };
        // What is erased here does not come back.
        let gained = record.open_slots().without(barred).without(in_use).and(held.open_slots());
        let mut after = given;
        if !gained.is_empty() {
            after = after.gained(from, gained);
            self.say(Noted::Record(id, source));
        }
        if let Some(again) = after.again(from, record.open_slots(), is_originator) {
            after = again;
            self.say(Noted::Use(id));
        }
        self.state.given.insert(id, after);
    }

    pub(super) fn take_back(&mut self, id: RecordId, slots: SlotMask, from: usize) {
        let (Some(record), Some(given), Some(gave)) = (
            self.state.records.get(&id),
            self.state.given.get(&id).copied(),
            self.state.provenance.get(&(id, from)),
        ) else {
            return;
        };
        let open = record.open_slots().without(given.retracted);
        if let Some(taken) = given.taken_back(from, slots, open, *gave) {
            self.state.given.insert(id, given.after(taken));
            self.say(Noted::Use(id));
        }
    }

    pub(super) fn say(&mut self, said: Noted) {
        let leaf = format!("{}", self.state.journal.len());
        self.state.journal.push(said);
        self.write(leaf.as_bytes());
    }

    /// The entry from which holds what is decided for a partner.
    pub(super) fn rules_since(&self, partner: usize) -> u64 {
        self.state.policy_at.max(self.state.relations[&partner].changed_at) as u64
    }

    /// Forgets what is not durable.
    pub(super) fn restart(&mut self) {
        self.progress.clear();
    }

    pub(super) fn submit(&mut self, random: &mut Random) {
        let submitted = &self.state.submitted;
        let revised = (!submitted.is_empty() && !random.chance(3))
            .then(|| submitted[random.below(submitted.len())].clone());
        let (value, marking, record) = match revised {
            Some((value, before, last)) => {
                let marking = if random.chance(3) { before } else { any_marking(random) };
                let last = self.state.records[&last].clone();
                if last.kind() == Kind::Withdrawal {
                    return;
                }
                // The value of an erased series may not come back.
                let record = if random.chance(3) || !last.erased_slots().is_empty() {
                    match self.state.injected {
                        Some(Injected::WithdrawalNamesRevision) => {
                            self.agency.withdrawal_after(&last)
                        }
                        _ => self.agency.withdrawal(&last),
                    }
                } else {
                    let title = format!("title {}", random.next());
                    let confidence = last.header().confidence.into();
                    let draft = indicator_draft(&value, confidence, &title, marking.clone());
                    self.agency.marked(draft, Some(&last))
                };
                (value, marking, record)
            }
            None => {
                let value = format!("host{}.example", random.next());
                let confidence = [20, 55, 80][random.below(3)];
                let marking = any_marking(random);
                let draft = indicator_draft(&value, confidence, "first", marking.clone());
                (value, marking, self.agency.marked(draft, None))
            }
        };
        self.state.submitted.retain(|(other, ..)| *other != value);
        self.state.submitted.push((value, marking, record.id()));
        self.keep(record, None, false);
    }

    /// This node and a partner as it knows it.
    pub(super) fn pair(&self, partner: usize) -> Pair {
        let partner = self.state.relations[&partner].partner.clone();
        Pair { own: self.agency.side(), partner }
    }

    pub(super) fn standing(&self, partner: usize, now: Timestamp) -> Standing {
        let relation = &self.state.relations[&partner];
        let receipt_note = match &relation.receipt_note[..] {
            [] => Vec::new(),
            note => self.pair(partner).receipt_in_force(note, &self.agency.receipts, now).unwrap(),
        };
        Standing {
            published: relation.feed.published(),
            receipted: relation.receipted,
            partner_feed: relation.partner_feed.clone(),
            receipt_note,
            witness: WitnessStanding {
                journal: self.journal_size(),
                witnessed_note: relation.witnessed_note.clone(),
                cosigned_note: relation.cosigned_note.clone(),
                receipted_note: relation.receipted_note.clone(),
                every_ms: WITNESS_EVERY_MS,
            },
        }
    }

    /// Judges a checkpoint of the partner's journal.
    pub(super) fn witness(&mut self, partner: usize, shown: &ShownCheckpoint) -> Witnessed {
        let key = &self.pair(partner).partner.journal().clone();
        let relation = self.state.relations.get_mut(&partner).unwrap();
        match judge(key, head_of(&relation.witnessed_note), shown) {
            Ok(signed) => {
                let witness = &self.agency.witness;
                let line = witness.cosign(signed.checkpoint(), start_of_day().into());
                let cosigned = signed.with_cosignature(line, &NoteVerifier::from(witness)).unwrap();
                relation.witnessed_note = cosigned.to_bytes();
                let note = relation.witnessed_note.clone();
                self.write_leaf(b"cosigned");
                Witnessed::Cosigned(note)
            }
            Err(refusal) => Witnessed::Refused(refusal),
        }
    }

    /// Knows again what it cosigned before its logs were succeeded.
    pub(super) fn adopt(&mut self, partner: usize, note: Vec<u8>) {
        let relation = self.state.relations.get_mut(&partner).unwrap();
        if head_of(&note).size > head_of(&relation.witnessed_note).size {
            relation.witnessed_note = note;
            self.write_leaf(b"cosigned");
        }
    }
}
