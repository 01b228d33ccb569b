//! The streams between nodes: sessions, frames on their way, and the jobs that a driver carries out for a
//! session. Beside each batch travels what policy allowed in plain words when it was loaded, for the checks
//! alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::consents::{facts_of, lets_on};
use super::lies::mark_erased;
use super::policies::Accepting;
use super::series::allowed;
use super::storing::{Judged, Sending};
use super::world::{PAIRS, World};
use crate::exchange::entry::FeedEntry;
use crate::exchange::exception::Exception;
use crate::exchange::fixture::start_of_day;
use crate::exchange::output::{Closing, Output};
use crate::exchange::session::{Input, Session};
use crate::exchange::witnessing::{Witnessed, head_of};
use crate::exchange::{
    Allowed, Batch, BatchFault, CheckContext, CheckedBatch, ReceivedBatch, WINDOW, check_batch,
};
use crate::ident::{LeafIndex, TreeSize};
use crate::merkle::{Frontier, ShownCheckpoint};
use crate::pb;
use crate::pb::exchange_frame::Body;
use crate::record::kind::Kind;
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
    /// Returns true for a job that makes something durable; such jobs keep their order.
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
    /// The first index of each batch that came in.
    batches: BTreeSet<u64>,
    /// The entries that were loaded here, by the first index of their batch.
    sendings: BTreeMap<u64, Vec<Sending>>,
    /// The entries that were checked here, by the first index of their batch.
    judged: BTreeMap<u64, Vec<Judged>>,
}

pub(super) struct Link {
    pub(super) ends: [End; 2],
    /// Frames were doubled or swapped.
    pub(super) tampered: bool,
    pub(super) draining: bool,
}

impl World<'_> {
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

    /// Carries out the session's instructions: sends, notes jobs, ends the stream.
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
                let denies = self.hostile == Some(own) && !self.is_calm;
                let by = (&self.ring, denies);
                let exceptions = node.store(partner, sender, *received, judged, by);
                Some(Input::Stored(exceptions))
            }
            Job::Record { size, note, exceptions } => {
                self.reached.denials_contradicted +=
                    node.record_receipt(partner, size, note, exceptions, self.now);
                None
            }
            Job::ReceiptLost(held, note) => {
                self.reached.receipts_lost += 1;
                let relation = node.state.relations.get_mut(&partner).unwrap();
                (relation.receipted, relation.receipted_note) = (held, note);
                relation.receipts_given_up = true;
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
            Job::Root(size) => {
                let root = relation.feed.root_at(size);
                Input::Root { size, root, published_at: Some(start_of_day()) }
            }
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
        let mut batch = feed.batch(from.get(), head, |entry: &FeedEntry| {
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
        if self.hostile == Some(own) {
            self.reached.marked_erased += mark_erased(&mut batch);
        }
        let relation = self.nodes[own].state.relations.get_mut(&partner).unwrap();
        relation.sent_under = relation.acceptance;
        self.links.get_mut(&pair).unwrap().ends[side].sendings.insert(from.get(), sendings);
        Input::Loaded { batch, root, published_at: Some(start_of_day()) }
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

    /// Notifies the stream, if there is one, that feed and journal grew.
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
