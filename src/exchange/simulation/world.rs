//! What nodes, drivers and the network do as long as nothing goes wrong: submit, disclose, load,
//! check, store, receipt, cosign. Decisions are the policy module's; beside each batch travels what
//! policy allowed in plain words when it was loaded, for the checks alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::checks::Reached;
use super::consents::{facts_of, lets_on};
use super::erasures::{Decided, RUNS_WITH_ERASURES, Waiting};
use super::injected::Injected;
use super::policies::{Accepting, Asked, Book, EDITIONS, FACTS, any_marking};
use super::relation::Relation;
use super::series::{allowed, series_of};
use super::storing::{Judged, Sending};
use super::tail::Tails;
use super::{NODES, RECORDS, Random};
use crate::exchange::entry::{FeedAction, FeedEntry};
use crate::exchange::exception::Exception;
use crate::exchange::fixture::{Agency, Feed, Ring, indicator_draft, start_of_day};
use crate::exchange::session::{Closing, Input, Output, Session, Standing};
use crate::exchange::witnessing::{JournalSize, WitnessStanding, Witnessed, head_of};
use crate::exchange::{
    Allowed, Batch, BatchFault, CheckContext, CheckedBatch, Dealings, Disclosed, Given, Pair,
    ReceivedBatch, Said as Told, WINDOW, check_batch, owed,
};
use crate::ident::{AgencyName, Generation, LeafIndex, RecordId, Timestamp, TreeHash, TreeSize};
use crate::journal::progress::{Progress, Rescan};
use crate::merkle::{
    Checkpoint, Frontier, NoteVerifier, Origin, ShownCheckpoint, SignedCheckpoint, TileTree, judge,
    leaf_hash, root_of,
};
use crate::pb;
use crate::pb::exchange_frame::Body;
use crate::record::consent::Purpose;
use crate::record::erasure::ErasureOrder;
use crate::record::kind::Kind;
use crate::record::signed::{Verified, VerifiedRoots};
use crate::record::slots::SlotMask;

/// Longer than what was refused waits for the next offer.
const LONG_MS: i64 = 8 * 24 * 3_600_000;

/// Rounds of a fair network after which nobody has anything left to say.
const ROUNDS_MAX: usize = 10_000;

/// A partner is asked for a cosignature at most once in so many milliseconds of simulated time.
const WITNESS_EVERY_MS: i64 = 2_000;

pub(super) const PAIRS: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];

pub(super) type Records = BTreeMap<RecordId, Verified>;
pub(super) type Masks = BTreeMap<RecordId, SlotMask>;

/// What a journal says, as far as feeds follow from it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A record was accepted or more of it came, from a partner or from a client.
    Record(RecordId, Option<usize>),
    /// A record came into use or went out of it.
    Use(RecordId),
    /// Another policy or another agreement is in force.
    Rules,
    /// What a partner refused is offered to it again, as far as its feed showed it in this range.
    Offered(usize, std::ops::Range<u64>),
    /// Slots of a record were erased by an order, which came from a partner or was given here.
    Erased(RecordId, ErasureOrder, Option<usize>),
    /// A record is under a hold no longer.
    HoldEnded(RecordId),
    /// A partner got these without their envelopes.
    Lapsed(usize, Vec<RecordId>),
    /// A partner is to be told what it may do with our records.
    Told(usize, Box<Told>),
    /// An originator lets us pass records on to this agency, or to members of its circle, or no longer.
    LetOn(Option<AgencyName>),
}

/// What is durable of a node.
#[derive(Clone)]
pub(super) struct State {
    pub(super) own: AgencyName,
    /// The policy in force, and since when.
    pub(super) edition: usize,
    policy_at: usize,
    /// Everything that came of each record.
    pub(super) records: Records,
    /// By whose leave records of partners are used.
    pub(super) given: BTreeMap<RecordId, Given<usize>>,
    /// The slots that each partner ever disclosed of a record.
    pub(super) provenance: BTreeMap<(RecordId, usize), SlotMask>,
    pub(super) journal: Vec<Said>,
    pub(super) accepted: Vec<RecordId>,
    pub(super) relations: BTreeMap<usize, Relation>,
    submitted: Vec<(String, pb::Marking, RecordId)>,
    /// Records under a hold with the slots that were erased when it began, orders that wait or waited
    /// for its end, and own erasures that do.
    pub(super) restricted: BTreeMap<RecordId, SlotMask>,
    pub(super) waiting: BTreeMap<RecordId, Vec<Waiting>>,
    pub(super) deferred: Vec<Decided>,
    /// What was said about consent.
    pub(super) dealings: Dealings,
    /// For the checks, the same in plain words: whom an originator lets this node pass records on to,
    /// by the originator and the number under which it said so.
    pub(super) let_on: BTreeMap<(AgencyName, u64), Purpose>,
    /// The leaves of the journal that partners cosign.
    pub(super) leaves: Vec<TreeHash>,
    /// The root after each leaf, and the right edge after the last.
    roots: Vec<TreeHash>,
    edge: Frontier,
    /// Leaves up to the last that is not about cosignatures.
    pub(super) substance: usize,
    /// The fault that this node makes, in a run that shows that the checks find it.
    pub(super) injected: Option<Injected>,
}

pub(super) struct Node {
    pub(super) agency: Agency,
    pub(super) state: State,
    /// How often it was restored. Two histories never write the same leaf.
    pub(super) life: u64,
    pub(super) roots: VerifiedRoots,
    /// How far the feed to each partner is; lost in a crash.
    progress: BTreeMap<usize, Progress>,
    /// A copy of its state that somebody kept.
    pub(super) copy: Option<State>,
    /// It found out that it runs on an old copy, and does nothing more.
    pub(super) is_behind: bool,
}

impl Node {
    fn write_leaf(&mut self, what: &[u8]) {
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

    fn journal_size(&self) -> JournalSize {
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
        Input::Checkpoint { proof, note: SignedCheckpoint::sign(checkpoint, log).to_bytes() }
    }

    /// The partner that a record came from first.
    pub(super) fn source(&self, id: &RecordId) -> Option<usize> {
        self.state.journal.iter().find_map(|said| match said {
            Said::Record(of, source) if of == id => Some(*source),
            _ => None,
        })?
    }

    pub(super) fn keep(&mut self, record: Verified, source: Option<usize>, is_originator: bool) {
        let id = record.id();
        if let Some(source) = source {
            let gave = self.state.provenance.entry((id, source)).or_default();
            *gave = gave.or(record.open_slots());
        }
        let Some(held) = self.state.records.get_mut(&id) else {
            self.state.accepted.push(id);
            if let Some(source) = source {
                self.state.given.insert(id, Given::new(source, record.open_slots()));
            }
            self.state.records.insert(id, record);
            return self.say(Said::Record(id, source));
        };
        let (Some(from), Some(given)) = (source, self.state.given.get(&id).copied()) else {
            return;
        };
        let in_use = held.open_slots().without(given.retracted);
        held.absorb(&record).unwrap();
        let barred = match given.heeds(from, is_originator) {
            true => SlotMask::NONE,
            false => given.retracted,
        };
        // What is erased here does not come back.
        let gained = record.open_slots().without(barred).without(in_use).and(held.open_slots());
        let mut after = given;
        if !gained.is_empty() {
            after = after.gained(from, gained);
            self.say(Said::Record(id, source));
        }
        if let Some(again) = after.again(from, record.open_slots(), is_originator) {
            after = again;
            self.say(Said::Use(id));
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
            self.say(Said::Use(id));
        }
    }

    pub(super) fn say(&mut self, said: Said) {
        let leaf = format!("{}", self.state.journal.len());
        self.state.journal.push(said);
        self.write(leaf.as_bytes());
    }

    /// The entry from which holds what is decided for a partner.
    fn rules_since(&self, partner: usize) -> u64 {
        self.state.policy_at.max(self.state.relations[&partner].changed_at) as u64
    }

    /// Forgets what is not durable.
    pub(super) fn restart(&mut self) {
        self.progress.clear();
    }

    fn submit(&mut self, random: &mut Random) {
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

    fn standing(&self, partner: usize, now: Timestamp) -> Standing {
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
    fn witness(&mut self, partner: usize, shown: &ShownCheckpoint) -> Witnessed {
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
}

impl Node {
    /// Knows again what it cosigned before its logs were succeeded.
    fn adopt(&mut self, partner: usize, note: Vec<u8>) {
        let relation = self.state.relations.get_mut(&partner).unwrap();
        if head_of(&note).size > head_of(&relation.witnessed_note).size {
            relation.witnessed_note = note;
            self.write_leaf(b"cosigned");
        }
    }
}

pub(super) enum Job {
    Root(TreeSize),
    Load(LeafIndex),
    LoadExceptions(LeafIndex),
    Check(Frontier, Batch),
    Store(Box<ReceivedBatch>, Vec<Judged>),
    Record { size: TreeSize, note: Vec<u8>, exceptions: Vec<Exception> },
    ReceiptLost(TreeSize, Vec<u8>),
    JournalRoot(TreeSize),
    LoadCheckpoint(TreeSize),
    Witness(ShownCheckpoint),
    RecordCosignature(Vec<u8>),
    Adopt(Vec<u8>),
}

impl Job {
    /// What is durable becomes so in order.
    pub(super) fn is_durable(&self) -> bool {
        match self {
            Self::Store(..)
            | Self::Record { .. }
            | Self::ReceiptLost(..)
            | Self::Witness(_)
            | Self::RecordCosignature(_)
            | Self::Adopt(_) => true,
            Self::Root(_)
            | Self::Load(_)
            | Self::LoadExceptions(_)
            | Self::Check(..)
            | Self::JournalRoot(_)
            | Self::LoadCheckpoint(_) => false,
        }
    }
}

/// One end of a stream.
pub(super) struct End {
    pub(super) node: usize,
    session: Session,
    pub(super) jobs: Vec<Job>,
    /// Frames on their way to the other end.
    pub(super) wire: VecDeque<pb::ExchangeFrame>,
    closed: bool,
    /// Where the batches began that came in.
    batches: BTreeSet<u64>,
    /// What was loaded here, by the first index of its batch.
    sendings: BTreeMap<u64, Vec<Sending>>,
    /// What was checked here, by the first index of its batch.
    judged: BTreeMap<u64, Vec<Judged>>,
}

pub(super) struct Link {
    pub(super) ends: [End; 2],
    /// Frames were doubled or swapped.
    pub(super) tampered: bool,
    pub(super) draining: bool,
}

pub(super) struct World<'a> {
    pub(super) random: Random,
    pub(super) now: Timestamp,
    pub(super) book: &'a mut Book,
    ring: Ring,
    pub(super) nodes: Vec<Node>,
    pub(super) links: BTreeMap<(usize, usize), Link>,
    submitted: usize,
    /// In this run a node forges duties. One that lost entries would not know what it gave.
    pub(super) hostile: Option<usize>,
    /// In this run a node is put back to an old copy of its state.
    pub(super) restores: bool,
    /// The node that was.
    pub(super) restored: Option<usize>,
    pub(super) tails: Tails,
    /// In this run originators order erasures, and records are put under holds.
    pub(super) erases: bool,
    /// For the checks: the slots that originators ever ordered erased.
    pub(super) ordered: Masks,
    /// In this run its logs are succeeded when it found out.
    pub(super) succeeds: bool,
    /// The roots that each witness cosigned of each log, by its generation.
    pub(super) cosigned: BTreeMap<(usize, usize, Generation), BTreeMap<TreeSize, TreeHash>>,
    pub(super) reached: &'a mut Reached,
}

impl<'a> World<'a> {
    pub(super) fn new(
        seed: u64,
        injected: Option<Injected>,
        book: &'a mut Book,
        reached: &'a mut Reached,
    ) -> Self {
        let mut random = Random(seed);
        let agencies = super::agencies();
        let ring = Ring::of(&agencies);
        let relations: Vec<BTreeMap<usize, Relation>> = (0..NODES)
            .map(|own| {
                let partners = (0..NODES).filter(|partner| *partner != own);
                let feed = |partner: usize| Feed::new(&agencies[own], &agencies[partner]);
                let relation = |to: usize| Relation::new(agencies[to].side(), feed(to));
                partners.map(|partner| (partner, relation(partner))).collect()
            })
            .collect();
        let node = |(agency, relations): (Agency, _)| Node {
            state: State {
                own: agency.name.clone(),
                edition: random.below(EDITIONS),
                policy_at: 0,
                records: Records::new(),
                given: BTreeMap::new(),
                provenance: BTreeMap::new(),
                journal: vec![Said::Rules],
                accepted: Vec::new(),
                relations,
                submitted: Vec::new(),
                restricted: BTreeMap::new(),
                waiting: BTreeMap::new(),
                deferred: Vec::new(),
                dealings: Dealings::default(),
                let_on: BTreeMap::new(),
                leaves: Vec::new(),
                roots: Vec::new(),
                edge: Frontier::new(),
                substance: 0,
                injected,
            },
            agency,
            life: 0,
            roots: VerifiedRoots::default(),
            progress: BTreeMap::new(),
            copy: None,
            is_behind: false,
        };
        let nodes = agencies.into_iter().zip(relations).map(node).collect();
        let restores = random.chance(2);
        Self {
            hostile: (!restores).then(|| random.below(NODES)),
            restores,
            succeeds: !random.chance(8),
            random,
            now: start_of_day(),
            book,
            ring,
            nodes,
            links: BTreeMap::new(),
            submitted: 0,
            restored: None,
            tails: Tails::of_run(seed),
            erases: seed % RUNS_WITH_ERASURES == 0,
            ordered: Masks::new(),
            cosigned: BTreeMap::new(),
            reached,
        }
    }

    pub(super) fn asked(&self, own: usize, partner: usize) -> Asked {
        let state = &self.nodes[own].state;
        let facts = state.relations[&partner].facts;
        Asked { own, edition: state.edition, partner, facts }
    }

    pub(super) fn connect(&mut self, pair: (usize, usize)) {
        let is_behind = self.nodes[pair.0].is_behind || self.nodes[pair.1].is_behind;
        if is_behind || self.links.contains_key(&pair) {
            return;
        }
        let mut outs = Vec::new();
        let ends = [(pair.0, pair.1), (pair.1, pair.0)].map(|(own, partner)| {
            let node = &self.nodes[own];
            let (keys, receipts) = (node.pair(partner), &node.agency.receipts);
            let standing = node.standing(partner, self.now);
            let (session, out) = Session::start(keys, receipts.clone(), standing).unwrap();
            outs.push(out);
            End {
                node: own,
                session,
                jobs: Vec::new(),
                wire: VecDeque::new(),
                closed: false,
                batches: BTreeSet::new(),
                sendings: BTreeMap::new(),
                judged: BTreeMap::new(),
            }
        });
        self.links.insert(pair, Link { ends, tampered: false, draining: false });
        for (side, out) in outs.into_iter().enumerate() {
            self.carry_out(pair, side, out);
        }
        self.tell_acceptance(pair);
    }

    pub(super) fn input(&mut self, pair: (usize, usize), side: usize, input: Input) {
        let Some(link) = self.links.get_mut(&pair) else { return };
        self.now = self.now.plus_ms(1 + self.random.below(50) as i64);
        let out = link.ends[side].session.handle(input, self.now);
        self.carry_out(pair, side, out);
    }

    /// What a driver does: sends, notes jobs, ends the stream.
    fn carry_out(&mut self, pair: (usize, usize), side: usize, out: Vec<Output>) {
        let link = self.links.get_mut(&pair).unwrap();
        let tampered = link.tampered;
        let end = &mut link.ends[side];
        for output in out {
            let job = match output {
                Output::Send(frame) => {
                    end.wire.push_back(frame);
                    continue;
                }
                Output::AskRoot(size) => Job::Root(size),
                Output::Load { from } => Job::Load(from),
                Output::LoadExceptions { from } => {
                    self.reached.receipts_caught_up += 1;
                    Job::LoadExceptions(from)
                }
                Output::Check { frontier, batch } => Job::Check(frontier, batch),
                Output::Store(received) => {
                    let judged = end.judged.remove(&received.checked.start.get()).unwrap();
                    Job::Store(received, judged)
                }
                Output::RecordReceipt { size, note, signed } => {
                    let exceptions = signed.into_iter().flat_map(|one| one.exceptions).collect();
                    Job::Record { size, note, exceptions }
                }
                Output::ReceiptLost { held, note } => Job::ReceiptLost(held, note),
                Output::Assured => continue,
                Output::AcceptanceNoticed(changes) => {
                    let partner = if side == 0 { pair.1 } else { pair.0 };
                    let relations = &mut self.nodes[end.node].state.relations;
                    let known = &mut relations.get_mut(&partner).unwrap().acceptance;
                    *known = changes.max(*known);
                    continue;
                }
                Output::AskJournalRoot(size) => Job::JournalRoot(size),
                Output::LoadCheckpoint { old } => Job::LoadCheckpoint(old),
                Output::Witness(shown) => Job::Witness(shown),
                Output::RecordCosignature { note } => Job::RecordCosignature(note),
                Output::AdoptCosignature { note } => Job::Adopt(note),
                Output::Alert(alert) => {
                    let lost = self.restored.is_some() || self.tails.is_damaged();
                    assert!(tampered || lost, "nothing was lost: {alert}");
                    continue;
                }
                Output::Close(Closing::Drained) => {
                    end.closed = true;
                    self.reached.streams_drained += 1;
                    continue;
                }
                Output::Close(Closing::Fault(fault)) => {
                    let node = end.node;
                    self.ended_by(pair, node, &fault);
                    return;
                }
            };
            end.jobs.push(job);
            assert!(end.jobs.len() <= 4 * WINDOW, "jobs are bounded by the windows");
        }
        if link.ends.iter().all(|end| end.closed && end.jobs.is_empty()) {
            self.links.remove(&pair);
        }
    }

    /// Makes durable what is to be, and gives what the session is to hear of it.
    pub(super) fn finish(&mut self, own: usize, partner: usize, job: Job) -> Option<Input> {
        let node = &mut self.nodes[own];
        if node.is_behind {
            return None;
        }
        match job {
            Job::Store(received, judged) => {
                let sender = self.book.agency(partner);
                let exceptions = node.store(partner, sender, *received, judged, &self.ring);
                Some(Input::Stored(exceptions))
            }
            Job::Record { size, note, exceptions } => {
                node.record_receipt(partner, size, note, exceptions, self.now);
                None
            }
            Job::ReceiptLost(held, note) => {
                self.reached.receipts_lost += 1;
                let relation = node.state.relations.get_mut(&partner).unwrap();
                (relation.receipted, relation.receipted_note) = (held, note);
                node.write(b"receipt lost");
                None
            }
            Job::Witness(shown) => {
                let witnessed = node.witness(partner, &shown);
                let generation = node.state.relations[&partner].partner.generation();
                if let Witnessed::Cosigned(note) = &witnessed {
                    self.reached.cosignatures += 1;
                    self.note_cosigned((own, partner, generation), head_of(note));
                }
                Some(Input::Witnessed(witnessed))
            }
            Job::RecordCosignature(note) => {
                node.state.relations.get_mut(&partner).unwrap().cosigned_note = note;
                node.write_leaf(b"cosignature");
                None
            }
            Job::Adopt(note) => {
                self.reached.cosignatures_adopted += 1;
                node.adopt(partner, note);
                None
            }
            _ => None,
        }
    }

    pub(super) fn deliver(&mut self, pair: (usize, usize), to: usize) -> bool {
        let Some(link) = self.links.get_mut(&pair) else { return false };
        let Some(frame) = link.ends[1 - to].wire.pop_front() else { return false };
        if let Some(Body::FeedBatch(batch)) = &frame.body {
            self.reached.repeats += usize::from(!link.ends[to].batches.insert(batch.start));
        }
        self.input(pair, to, Input::Frame(frame));
        true
    }

    pub(super) fn work(&mut self, pair: (usize, usize), side: usize) -> bool {
        let Some(link) = self.links.get_mut(&pair) else { return false };
        let (end, partner) = (&mut link.ends[side], [pair.1, pair.0][side]);
        if end.jobs.is_empty() {
            return false;
        }
        let own = end.node;
        let mut at = self.random.below(end.jobs.len());
        if end.jobs[at].is_durable() {
            at = end.jobs.iter().position(Job::is_durable).unwrap();
        }
        let job = end.jobs.remove(at);
        let relation = &self.nodes[own].state.relations[&partner];
        let input = match job {
            Job::Root(size) => Input::Root { size, root: relation.feed.root_at(size) },
            Job::Load(from) => self.load(pair, side, from),
            Job::LoadExceptions(from) => {
                let all = relation.exceptions.iter();
                Input::Exceptions(all.filter(|e| e.index >= from).cloned().collect())
            }
            Job::Check(frontier, batch) => Input::Checked(self.check(pair, side, frontier, batch)),
            Job::JournalRoot(size) => {
                Input::JournalRoot { size, root: self.nodes[own].journal_root(size) }
            }
            Job::LoadCheckpoint(old) => self.sign_checkpoint(own, old),
            durable => match self.finish(own, partner, durable) {
                Some(input) => input,
                None => {
                    self.carry_out(pair, side, Vec::new());
                    return true;
                }
            },
        };
        self.input(pair, side, input);
        true
    }

    /// A batch to one of the next two heads: the moment of sending.
    fn load(&mut self, pair: (usize, usize), side: usize, from: LeafIndex) -> Input {
        let (own, partner) = if side == 0 { pair } else { (pair.1, pair.0) };
        let asked = self.asked(own, partner);
        let third = self.book.agency(partner).clone();
        let Self { random, book, nodes, reached, .. } = self;
        let state = &nodes[own].state;
        let feed = &state.relations[&partner].feed;
        let mut heads = feed.heads.iter().filter(|(h, _)| h.size.get() > from.get());
        let nearest = heads.next().unwrap();
        let head = heads.next().filter(|_| random.chance(2)).unwrap_or(nearest);
        let mut sendings = Vec::new();
        let batch = feed.batch(from.get(), head, |entry: &FeedEntry| {
            if !entry.action.carries_record() {
                return pb::Envelope::default();
            }
            let record = &state.records[&entry.record];
            // All of it goes, or nothing.
            let whole = |allowed| match allowed {
                Allowed::Slots { open, erased } | Allowed::Kept { open, erased } => {
                    let slots = entry.open_slots;
                    slots.without(open).without(erased).is_empty().then_some(slots.and(open))
                }
                Allowed::Nothing | Allowed::AsItIs => None,
            };
            let shown = whole(allowed(state, partner, record, None, |of| {
                book.plainly(asked, of.header(), lets_on(state, of.header(), &third))
            }));
            reached.withheld_at_sending += usize::from(shown.is_none());
            let header = record.header();
            let confidence = header.confidence;
            let (series, withdraws) = (header.series, header.kind == Kind::Withdrawal);
            let record_id = entry.record;
            let sending = Sending { record: record_id, series, withdraws, shown, confidence };
            sendings.push(sending);
            let decided = allowed(state, partner, record, state.injected, |of| {
                book.decide(asked, &facts_of(state, of)).revealed
            });
            whole(decided).map_or_else(pb::Envelope::default, |slots| record.redacted(slots))
        });
        let root = head.0.root;
        let relation = self.nodes[own].state.relations.get_mut(&partner).unwrap();
        relation.sent_under = relation.acceptance;
        self.links.get_mut(&pair).unwrap().ends[side].sendings.insert(from.get(), sendings);
        Input::Loaded { batch, root }
    }

    fn check(
        &mut self,
        pair: (usize, usize),
        side: usize,
        frontier: Frontier,
        batch: Batch,
    ) -> Result<CheckedBatch, BatchFault> {
        let (own, partner) = if side == 0 { pair } else { (pair.1, pair.0) };
        let asked = self.asked(own, partner);
        let ends = &mut self.links.get_mut(&pair).unwrap().ends;
        let start = batch.start().get();
        let judge = |sending: &Sending| {
            let takes = self.book.plainly_accepts(asked, sending.confidence);
            Judged { sending: *sending, takes }
        };
        let judged = ends[1 - side].sendings[&start].iter().map(judge).collect();
        ends[side].judged.insert(start, judged);
        let keys = self.nodes[own].pair(partner);
        let mut context = CheckContext {
            pair: &keys,
            keys: &self.ring,
            roots: &mut self.nodes[own].roots,
            acceptance: &mut Accepting { book: self.book, asked },
        };
        check_batch(&mut context, frontier, batch)
    }

    /// One step of the task that discloses: what is new first, then what was considered under other
    /// rules. Tells whether there was anything to look at.
    pub(super) fn publish(&mut self, own: usize, partner: usize) -> bool {
        self.offer_refused(own, partner);
        let node = &mut self.nodes[own];
        let written = node.state.relations[&partner].progress;
        let before = node.progress.get(&partner).copied().unwrap_or(written);
        let before = before.under(node.rules_since(partner));
        let most = 1 + self.random.below(3) as u64;
        let Progress { considered, rescan } = before;
        let size = node.state.journal.len() as u64;
        let (mut after, range) = if considered < size {
            let end = size.min(considered + most);
            (Progress { considered: end, ..before }, considered..end)
        } else if rescan.is_done() {
            self.announce(own, partner);
            return false;
        } else {
            let end = rescan.end.min(rescan.next + most);
            self.reached.rescan_steps += 1;
            (Progress { rescan: Rescan { next: end, ..rescan }, ..before }, rescan.next..end)
        };
        let is_live = considered < size;
        let mut appended = false;
        for index in range {
            let said = self.nodes[own].state.journal[index as usize].clone();
            match said {
                Said::Record(id, _) if !is_live => appended |= self.bring(own, partner, id),
                Said::Record(id, _) => appended |= self.bring_series(own, partner, id),
                Said::Use(id) if is_live => appended |= self.bring_series(own, partner, id),
                Said::Told(of, told) if is_live && of == partner => {
                    let node = &mut self.nodes[own];
                    node.state.relations.get_mut(&partner).unwrap().feed.tell(&told);
                    appended = true;
                }
                Said::Offered(of, range) if is_live && of == partner => {
                    appended |= self.nodes[own].repeat_orders(partner, range);
                    after = after.again();
                }
                Said::Erased(id, order, from) if is_live && from != Some(partner) => {
                    appended |= self.nodes[own].pass_order_on(partner, id, order);
                }
                Said::HoldEnded(id) if is_live => {
                    appended |= self.nodes[own].report_erased(partner, id);
                    appended |= self.bring_series(own, partner, id);
                }
                Said::LetOn(third) if is_live => {
                    let is_about = third.is_none_or(|third| third == *self.book.agency(partner));
                    after = if is_about { after.again() } else { after };
                }
                Said::Lapsed(of, ids) if is_live && of == partner => {
                    for id in ids {
                        appended |= self.bring_series(own, partner, id);
                    }
                }
                _ => {}
            }
        }
        if appended && self.hostile == Some(own) {
            self.forge(own, partner);
        }
        let (node, random) = (&mut self.nodes[own], &mut self.random);
        node.progress.insert(partner, after);
        let relation = node.state.relations.get_mut(&partner).unwrap();
        if relation.feed.entries.len() as u64 > relation.feed.published().get() {
            relation.feed.publish();
        }
        if appended || after.rescan.is_done() != before.rescan.is_done() || random.chance(3) {
            relation.progress = after;
            node.write(b"published");
        }
        self.announce(own, partner);
        true
    }

    /// Brings the feed to what the partner may have of a record and of its series now.
    fn bring_series(&mut self, own: usize, partner: usize, id: RecordId) -> bool {
        let state = &self.nodes[own].state;
        let others = series_of(state, &state.records[&id]).map(Verified::id);
        let ids: Vec<_> = others.filter(|other| *other != id).chain([id]).collect();
        ids.into_iter().fold(false, |appended, id| self.bring(own, partner, id) | appended)
    }

    /// Brings the feed to what the partner may have of a record now.
    fn bring(&mut self, own: usize, partner: usize, id: RecordId) -> bool {
        let asked = self.asked(own, partner);
        let Self { random, book, nodes, reached, .. } = self;
        let node = &mut nodes[own];
        let record = node.state.records[&id].clone();
        let is_theirs = record.header().originator == *book.agency(partner);
        if is_theirs || node.source(&id) == Some(partner) {
            return false;
        }
        let alone = book.decide(asked, &facts_of(&node.state, &record)).release.allowed;
        let is_controlled =
            record.header().marking.orcon && record.header().originator != *book.agency(own);
        let allowed = allowed(&node.state, partner, &record, node.state.injected, |of| {
            book.decide(asked, &facts_of(&node.state, of)).revealed
        });
        let is_older = series_of(&node.state, &record)
            .any(|other| other.header().revision > record.header().revision);
        let unseen = series_of(&node.state, &record).any(|other| {
            other.kind() != Kind::Withdrawal
                && node.state.relations[&partner].told(&other.id()).is_none()
        });
        let relation = node.state.relations.get_mut(&partner).unwrap();
        let told = relation.told(&id);
        reached.told_earlier += usize::from(told.is_some_and(|told| told.is_earlier));
        let mut appended = false;
        for (action, slots) in owed(told, record.kind(), allowed).entries() {
            let at = relation.feed.entries.len() as u64;
            relation.feed.append(action, &record, slots);
            let before = relation.disclosed.get(&id).map(|(_, disclosed)| *disclosed);
            let after = Disclosed::after(before, action, slots);
            match action {
                FeedAction::Retract => {
                    relation.taken_back.push((id, slots));
                    reached.taken_back_in_part += usize::from(!after.is_retracted);
                    reached.taken_back += usize::from(after.is_retracted);
                    let by_series = after.is_retracted && alone && is_older;
                    reached.older_taken_back += usize::from(by_series);
                }
                _ => {
                    assert!(!is_older, "an older revision is never disclosed anew");
                    let is_withdrawal = record.kind() == Kind::Withdrawal;
                    reached.withdrawn_unseen += usize::from(is_withdrawal && unseen);
                    reached.let_on += usize::from(is_controlled);
                    let was = before.unwrap_or_default();
                    reached.shown_again += usize::from(was.is_retracted);
                    reached.sent_again += usize::from(was.is_lapsed);
                }
            }
            let shown_at = relation.disclosed.get(&id).filter(|_| !action.carries_record());
            let shown_at = shown_at.map_or(at, |(shown_at, _)| *shown_at);
            relation.disclosed.insert(id, (shown_at, after));
            if random.chance(3) {
                relation.feed.publish();
            }
            appended = true;
        }
        appended
    }

    /// Agrees something else with a partner.
    pub(super) fn change_partner(&mut self, own: usize, partner: usize) {
        let node = &mut self.nodes[own];
        let at = node.state.journal.len();
        let relation = node.state.relations.get_mut(&partner).unwrap();
        relation.facts = (relation.facts + 1) % FACTS;
        relation.changed_at = at;
        relation.rules_changed += 1;
        node.say(Said::Rules);
        self.tell_acceptance((own.min(partner), own.max(partner)));
        self.follow_rosters(own);
    }

    /// Tells the stream, if there is one, that feed and journal grew.
    pub(super) fn announce(&mut self, own: usize, partner: usize) {
        let published = self.nodes[own].state.relations[&partner].feed.published();
        let journal = self.nodes[own].journal_size();
        let (pair, side) = if own < partner { ((own, partner), 0) } else { ((partner, own), 1) };
        self.input(pair, side, Input::Published(published));
        self.input(pair, side, Input::Journal(journal));
    }

    pub(super) fn begin_drain(&mut self, pair: (usize, usize), side: usize) {
        if let Some(link) = self.links.get_mut(&pair) {
            link.draining = true;
            self.input(pair, side, Input::Drain);
        }
    }

    /// Puts another policy in force, wider or narrower.
    pub(super) fn change_policy(&mut self, own: usize) {
        let node = &mut self.nodes[own];
        node.state.edition = (node.state.edition + 1 + self.random.below(EDITIONS - 1)) % EDITIONS;
        node.state.policy_at = node.state.journal.len();
        node.say(Said::Rules);
        for relation in node.state.relations.values_mut() {
            relation.rules_changed += 1;
        }
        PAIRS
            .into_iter()
            .filter(|pair| pair.0 == own || pair.1 == own)
            .for_each(|pair| self.tell_acceptance(pair));
    }

    /// Some nodes put another policy in force.
    pub(super) fn change_policies(&mut self) {
        for own in 0..NODES {
            if !self.nodes[own].is_behind && self.random.chance(2) {
                self.change_policy(own);
            }
        }
    }

    pub(super) fn submit(&mut self, own: usize) {
        if self.submitted < RECORDS {
            self.submitted += 1;
            self.nodes[own].submit(&mut self.random);
        }
    }

    /// A fair network, until nobody has anything left to say.
    pub(super) fn quiesce(&mut self) {
        let spoilt = |link: &Link| link.tampered || link.draining;
        let spoilt: Vec<_> =
            self.links.iter().filter(|(_, link)| spoilt(link)).map(|(pair, _)| *pair).collect();
        spoilt.into_iter().for_each(|pair| self.cut(pair));
        self.succeed_and_accept_all();
        self.until_quiet();
        // What was refused is offered again now and then.
        self.now = self.now.plus_ms(LONG_MS);
        self.until_quiet();
    }

    fn until_quiet(&mut self) {
        let (mut busy, mut rounds) = (true, 0);
        while busy {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "the nodes never settle");
            busy = false;
            for pair in PAIRS {
                self.connect(pair);
                for (own, partner) in [pair, (pair.1, pair.0)] {
                    busy |= !self.nodes[own].is_behind && self.publish(own, partner);
                }
                for side in [0, 1] {
                    while self.deliver(pair, side) || self.work(pair, side) {
                        busy = true;
                    }
                }
            }
        }
    }

    pub(super) fn drain(&mut self) {
        for pair in PAIRS {
            let first = self.random.below(2);
            self.begin_drain(pair, first);
            let mut moved = true;
            while moved {
                moved = self.deliver(pair, 0) | self.deliver(pair, 1);
                moved |= self.work(pair, 0) | self.work(pair, 1);
            }
        }
        assert!(self.links.is_empty(), "every stream ended in good order");
    }
}
