//! The streams between nodes: sessions, frames on their way, and the jobs that a driver carries out for a
//! session, by the functions of a real one. Beside each batch travels what policy allowed in plain words when it
//! was loaded, for the checks alone.

use super::injected::{Injected, before_receipt, before_store, change_hold_at};
use super::lies;
use super::machine::{Machine, number};
use super::notes::add;
use super::reached::Situation;
use super::world::World;
use crate::exchange::{
    Batch, BatchFault, CheckedBatch, Closing, ConsentMessage, Exception, FeedEntry, Input, Output,
    Pair, Reason, ReceivedBatch, Session, SignedExceptions, Taken, WINDOW, Witnessed,
};
use crate::ident::{LeafIndex, RecordId, SeriesId, TreeSize};
use crate::journal::ids::FeedNumber;
use crate::journal::transaction::Transaction;
use crate::merkle::{Frontier, ShownCheckpoint};
use crate::node::disclosure::Discloser;
use crate::node::disclosure::loading::load_batch;
use crate::node::erasure::erase::HoldChange;
use crate::node::peers::answers::{self, Checker, StreamPartner};
use crate::node::peers::ingest::{Incoming, TakenIn, incoming};
use crate::node::witnessing::witness::{Judge, ShownBy};
use crate::pb::{self, exchange_frame::Body, journal_entry::Event};
use crate::policy::PolicyHour;
use crate::record::kind::Kind;
use crate::record::slots::SlotMask;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// An instruction of a session that takes time.
pub(super) enum Job {
    Root(TreeSize),
    Load(LeafIndex),
    LoadExceptions(LeafIndex),
    Check(Frontier, Batch),
    JournalRoot(TreeSize),
    LoadCheckpoint(TreeSize),
    Durable(StreamPartner, Durable),
}

impl Job {
    pub(super) const fn is_durable(&self) -> bool {
        matches!(self, Self::Durable(..))
    }
}

/// A job of the writer. Those of a stream keep their order, and are done even if the stream is gone.
pub(super) enum Durable {
    Store(Box<ReceivedBatch>, Vec<Incoming>, Vec<Judged>),
    Record(Vec<pb::ReceiptReceived>, Vec<Exception>),
    ReceiptLost(TreeSize, Vec<u8>),
    Witness(ShownCheckpoint),
    RecordCosignature(Vec<u8>),
    Adopt(Vec<u8>),
}

/// The answer for the stream of a job once that is durable.
pub(super) enum Told {
    Nothing,
    Input(Input),
    /// The same, and nothing else: something was erased at the partner's word.
    LastInput(Input),
    /// The journal is another by now than the job rests on.
    Overtaken,
}

/// One entry, and the slots that the plain form of policy let go when its batch was loaded.
#[derive(Clone, Copy)]
pub(super) struct Sending {
    pub(super) record: RecordId,
    series: SeriesId,
    withdraws: bool,
    pub(super) shown: Option<SlotMask>,
    confidence: u8,
}

/// The expected result for one entry on the other side.
pub(super) struct Judged {
    sending: Sending,
    /// Policy there takes such a record.
    takes: bool,
}

/// One end of a stream.
pub(super) struct End {
    pub(super) node: usize,
    partner: StreamPartner,
    pair: Pair,
    feed: FeedNumber,
    source: FeedNumber,
    session: Session,
    pub(super) jobs: Vec<Job>,
    /// Frames on their way to the other end.
    pub(super) wire: VecDeque<pb::ExchangeFrame>,
    is_closed: bool,
    /// Something was erased at the partner's word, and the stream ends once that is receipted.
    is_spent: bool,
    checker: Option<Checker>,
    discloser: Option<Discloser>,
    /// The partner's hello.
    pub(super) heard: Option<pb::Hello>,
    /// The first index of each batch that came in.
    batches: BTreeSet<u64>,
    /// The entries that were loaded here, by the first index of their batch.
    sendings: BTreeMap<u64, Vec<Sending>>,
    /// The entries that were checked here, by the first index of their batch.
    checked: BTreeMap<u64, (Vec<Incoming>, Vec<Judged>)>,
    /// Exceptions that the partner reported so far.
    exceptions: u64,
    /// The partner's rules of acceptance when each head was sent.
    sent_under: BTreeMap<u64, u64>,
}

pub(super) struct Link {
    pub(super) ends: [End; 2],
    /// Frames were doubled or swapped.
    pub(super) is_tampered: bool,
    pub(super) is_draining: bool,
}

/// A stream, and one of its ends.
pub(super) type Way = ((usize, usize), usize);

/// Returns the node at an end, and its partner.
pub(super) const fn nodes_of((pair, side): Way) -> (usize, usize) {
    if side == 0 { pair } else { (pair.1, pair.0) }
}

/// Returns the end of a node on its stream with a partner.
pub(super) const fn way_of(own: usize, partner: usize) -> Way {
    if own < partner { ((own, partner), 0) } else { ((partner, own), 1) }
}

impl World<'_> {
    pub(super) fn connect(&mut self, pair: (usize, usize)) {
        let is_behind = self.nodes[pair.0].is_behind || self.nodes[pair.1].is_behind;
        if is_behind || self.links.contains_key(&pair) {
            return;
        }
        let mut begun = Vec::new();
        let ends = [(pair.0, pair.1), (pair.1, pair.0)].map(|(own, partner)| {
            let node = &self.nodes[own];
            let keys = node.pair(partner);
            let standing = node.standing(partner, &keys);
            let receipts = node.agency.receipts.clone();
            let (session, outputs) = Session::start(keys.clone(), receipts, standing).unwrap();
            begun.push(outputs);
            let (snapshot, agency) = (node.snapshot(), self.book.agency(partner));
            let known = &snapshot.state.partners[agency];
            let generation = keys.partner.generation();
            End {
                node: own,
                partner: StreamPartner { agency: agency.clone(), number: known.number, generation },
                pair: keys,
                feed: known.feed,
                source: known.source,
                session,
                jobs: Vec::new(),
                wire: VecDeque::new(),
                is_closed: false,
                is_spent: false,
                checker: None,
                discloser: None,
                heard: None,
                batches: BTreeSet::new(),
                sendings: BTreeMap::new(),
                checked: BTreeMap::new(),
                exceptions: known.exceptions,
                sent_under: BTreeMap::new(),
            }
        });
        self.links.insert(pair, Link { ends, is_tampered: false, is_draining: false });
        for (side, outputs) in begun.into_iter().enumerate() {
            self.carry_out((pair, side), outputs);
        }
        (0..2).for_each(|side| self.tell_acceptance((pair, side)));
    }

    /// Tells a session how often the rules of acceptance for its partner changed here.
    pub(super) fn tell_acceptance(&mut self, way: Way) {
        let (own, partner) = nodes_of(way);
        let changes = self.nodes[own].view().acceptance_changes(number(partner)).unwrap();
        self.input(way, Input::Acceptance(changes));
    }

    pub(super) fn input(&mut self, way @ (pair, side): Way, input: Input) {
        let Some(link) = self.links.get_mut(&pair) else { return };
        self.clock.go_on(1 + self.random.below(50) as i64);
        let outputs = link.ends[side].session.handle(input, self.clock.now());
        self.carry_out(way, outputs);
    }

    /// Carries out the session's instructions: sends, notes jobs, ends the stream.
    fn carry_out(&mut self, way @ (pair, side): Way, outputs: Vec<Output>) {
        let (own, partner) = nodes_of(way);
        let link = self.links.get_mut(&pair).unwrap();
        let is_tampered = link.is_tampered;
        let end = &mut link.ends[side];
        for output in outputs {
            let durable = |job| Job::Durable(end.partner.clone(), job);
            let job = match output {
                Output::Send(frame) => {
                    end.wire.push_back(frame);
                    continue;
                }
                Output::AskRoot(size) => Job::Root(size),
                Output::Load { from } => Job::Load(from),
                Output::LoadExceptions { from } => {
                    self.reached.once(Situation::ReceiptsCaughtUp);
                    Job::LoadExceptions(from)
                }
                Output::Check { frontier, batch } => Job::Check(frontier, batch),
                Output::Store(received) => {
                    let start = received.checked.start.get();
                    let (incoming, judged) = end.checked.remove(&start).unwrap();
                    durable(Durable::Store(received, incoming, judged))
                }
                Output::RecordReceipt { size, note, signed } => {
                    let waiting = end.sent_under.split_off(&(size.get() + 1));
                    let sent = std::mem::replace(&mut end.sent_under, waiting);
                    let acceptance = sent.into_values().last().unwrap_or_default();
                    let reported = |of: SignedExceptions| of.exceptions;
                    let exceptions: Vec<_> = signed.iter().cloned().flat_map(reported).collect();
                    end.exceptions += exceptions.len() as u64;
                    let total = (end.exceptions, acceptance);
                    let agency = self.book.agency(partner);
                    let receipts = answers::receipts(agency, &note, &signed, total);
                    Job::Durable(end.partner.clone(), Durable::Record(receipts, exceptions))
                }
                Output::ReceiptLost { held, note } => durable(Durable::ReceiptLost(held, note)),
                Output::Assured => {
                    if let Some(guard) = &self.nodes[own].guard {
                        guard.assured(self.book.agency(partner));
                    }
                    continue;
                }
                Output::AcceptanceNoticed(changes) => {
                    let known = self.nodes[own].acceptance.entry(partner).or_default();
                    *known = changes.max(*known);
                    continue;
                }
                Output::AskJournalRoot(size) => Job::JournalRoot(size),
                Output::LoadCheckpoint { old } => Job::LoadCheckpoint(old),
                Output::Witness(shown) => durable(Durable::Witness(shown)),
                Output::RecordCosignature { note } => durable(Durable::RecordCosignature(note)),
                Output::AdoptCosignature { note } => durable(Durable::Adopt(note)),
                Output::Alert(alert) => {
                    let is_lost = self.restored.is_some() || self.tails.is_damaged();
                    assert!(is_tampered || is_lost, "nothing was lost: {alert}");
                    continue;
                }
                Output::Close(Closing::Drained) => {
                    end.is_closed = true;
                    self.reached.once(Situation::StreamDrained);
                    continue;
                }
                Output::Close(Closing::Fault(fault)) => return self.ended_by(way, &fault),
            };
            end.jobs.push(job);
            assert!(end.jobs.len() <= 4 * WINDOW, "jobs are bounded by the windows");
        }
        let is_spent = |end: &End| {
            end.is_spent && end.wire.is_empty() && !end.jobs.iter().any(Job::is_durable)
        };
        if link.ends.iter().all(|end| end.is_closed && end.jobs.is_empty()) {
            self.links.remove(&pair);
        } else if link.ends.iter().any(is_spent) {
            self.reached.once(Situation::StreamRenewedAfterErasure);
            self.cut(pair);
        }
    }

    pub(super) fn deliver(&mut self, way @ (pair, to): Way) -> bool {
        let Some(link) = self.links.get_mut(&pair) else { return false };
        let Some(frame) = link.ends[1 - to].wire.pop_front() else { return false };
        match &frame.body {
            Some(Body::FeedBatch(batch)) if !link.ends[to].batches.insert(batch.start) => {
                self.reached.once(Situation::BatchRepeated);
            }
            Some(Body::Hello(hello)) => {
                link.ends[to].heard.get_or_insert_with(|| hello.clone());
            }
            _ => {}
        }
        self.input(way, Input::Frame(frame));
        true
    }

    /// Does one of the jobs of an end.
    pub(super) fn work(&mut self, way @ (pair, side): Way) -> bool {
        let Some(link) = self.links.get_mut(&pair) else { return false };
        let end = &mut link.ends[side];
        if end.jobs.is_empty() {
            return false;
        }
        // A driver waits at the gate with what is to be durable, and does the rest.
        if !self.nodes[end.node].may_sign() && end.jobs.iter().all(Job::is_durable) {
            return false;
        }
        let mut at = self.random.index(end.jobs.len());
        if !self.nodes[end.node].may_sign() {
            at = end.jobs.iter().position(|job| !job.is_durable()).unwrap();
        } else if end.jobs[at].is_durable() {
            at = end.jobs.iter().position(Job::is_durable).unwrap();
        }
        let job = end.jobs.remove(at);
        let (feed, source) = (end.feed, end.source);
        let (own, _) = nodes_of(way);
        let view = Arc::clone(self.nodes[own].view());
        let input = match job {
            Job::Root(size) => answers::root(&view, feed, size).unwrap(),
            Job::Load(from) => self.load(way, from),
            Job::LoadExceptions(from) => answers::exceptions(&view, source, from).unwrap(),
            Job::Check(frontier, batch) => Input::Checked(self.check(way, frontier, batch)),
            Job::JournalRoot(size) => answers::journal_root(&view, size).unwrap(),
            Job::LoadCheckpoint(old) => {
                let input = answers::checkpoint(&view, old).unwrap();
                self.note_signed(own);
                input
            }
            Job::Durable(of_stream, job) => match self.make_durable(own, &of_stream, job) {
                Told::Input(input) => input,
                Told::LastInput(input) => {
                    self.links.get_mut(&pair).unwrap().ends[side].is_spent = true;
                    input
                }
                Told::Nothing => {
                    self.carry_out(way, Vec::new());
                    return true;
                }
                Told::Overtaken => {
                    self.cut(pair);
                    return true;
                }
            },
        };
        self.input(way, input);
        true
    }

    /// A batch to one of the next heads: the moment of sending.
    fn load(&mut self, way @ (pair, side): Way, from: LeafIndex) -> Input {
        let (own, partner) = nodes_of(way);
        let node = &self.nodes[own];
        let (view, now) = (Arc::clone(node.view()), node.now());
        let end = &mut self.links.get_mut(&pair).unwrap().ends[side];
        let rules = node.rules.for_partner(&end.partner.agency).unwrap();
        let policy_hour = PolicyHour::at(now);
        let held = end.discloser.take().filter(|held| held.is_current(&rules, &policy_hour));
        let mut discloser = held.unwrap_or_else(|| {
            let limits = node.limits.clone();
            Discloser::new(&view, rules, &end.partner.agency, policy_hour, limits).unwrap()
        });
        let from = from.get();
        let has_head = |end_at: &u64| view.feed_head(end.feed, from, *end_at).unwrap().is_some();
        let nearest = (from + 1..).find(has_head).unwrap();
        let within = from..nearest + self.random.below(3);
        let (mut batch, root, published_at) =
            load_batch(&view, end.feed, &mut discloser, within).unwrap();
        end.discloser = Some(discloser);
        let acceptance = self.nodes[own].acceptance.get(&partner).copied().unwrap_or_default();
        let sent_to = batch.start + batch.entries.len() as u64;
        end.sent_under.insert(sent_to, acceptance);
        let sendings = self.sendings((own, partner), &batch);
        let is_withheld = |sending: &&Sending| sending.shown.is_none();
        self.reached.add(Situation::WithheldAtSending, sendings.iter().filter(is_withheld).count());
        if self.injected == Some(Injected::SentWhateverIsAllowed) {
            self.send_all(own, &mut batch);
        }
        if self.hostile == Some(own) {
            self.reached.add(Situation::MarkedErased, lies::mark_erased(&mut batch));
        }
        self.links.get_mut(&pair).unwrap().ends[side].sendings.insert(from, sendings);
        Input::Loaded { batch, root, published_at }
    }

    /// Sends every record whole.
    fn send_all(&self, own: usize, batch: &mut pb::FeedBatch) {
        let records = &self.readings[own].as_ref().unwrap().records;
        for (bytes, envelope) in batch.entries.iter().zip(&mut batch.envelopes) {
            let entry = FeedEntry::decode(bytes).unwrap();
            if entry.action.carries_record() {
                let slots = SlotMask::from_bits(u32::MAX);
                *envelope = records[&entry.record].record.redacted(slots);
            }
        }
    }

    /// Returns the part of each record of a batch that the plain form of policy lets go.
    fn sendings(&mut self, (own, partner): (usize, usize), batch: &pb::FeedBatch) -> Vec<Sending> {
        self.read(own);
        let plain = self.plain(own, partner);
        let entries = batch.entries.iter().filter_map(|bytes| FeedEntry::decode(bytes).ok());
        let records = entries.filter(|entry| entry.action.carries_record());
        records
            .map(|entry| {
                let header = plain.reading.records[&entry.record].header();
                Sending {
                    record: entry.record,
                    series: header.series,
                    withdraws: header.kind == Kind::Withdrawal,
                    shown: plain.to_send(&entry.record, entry.open_slots),
                    confidence: header.confidence,
                }
            })
            .collect()
    }

    fn check(
        &mut self,
        way @ (pair, side): Way,
        frontier: Frontier,
        batch: Batch,
    ) -> Result<CheckedBatch, BatchFault> {
        let (own, partner) = nodes_of(way);
        let node = &self.nodes[own];
        let asked = self.book.asked(own, partner, &node.snapshot().state);
        let ends = &mut self.links.get_mut(&pair).unwrap().ends;
        let start = batch.start().get();
        let judge = |sending: &Sending| {
            let takes = self.book.plainly_accepts(asked, sending.confidence);
            Judged { sending: *sending, takes }
        };
        let judged = ends[1 - side].sendings[&start].iter().map(judge).collect();
        let end = &mut ends[side];
        let rules = node.rules.for_partner(&end.partner.agency).unwrap();
        let held = end.checker.take();
        let mut checker = Checker::of(held, node.view(), rules, &end.pair, node.now());
        let checked = checker.check(frontier, batch);
        end.checker = Some(checker);
        if let Ok(checked) = &checked {
            let incoming = incoming(node.view(), &checked.taken).unwrap();
            end.checked.insert(start, (incoming, judged));
        }
        checked
    }

    /// Makes durable what is to be; tells what its stream is to hear of it, if that is still there.
    pub(super) fn make_durable(
        &mut self,
        own: usize,
        of_stream: &StreamPartner,
        job: Durable,
    ) -> Told {
        if !self.nodes[own].may_sign() {
            return Told::Nothing;
        }
        let partner = self.book.node(&of_stream.agency);
        let node = &mut self.nodes[own];
        match job {
            Durable::Store(received, incoming, judged) => {
                return self.store((own, partner), of_stream, *received, incoming, judged);
            }
            Durable::Record(receipts, exceptions) => {
                self.record((own, partner), of_stream, receipts, exceptions);
            }
            Durable::ReceiptLost(held, note) => {
                self.reached.once(Situation::ReceiptLost);
                let job = |tx: &mut Transaction<'_>| {
                    Ok(of_stream.if_still(tx, |partner, tx| {
                        tx.lose_receipt(&partner.agency, held.get(), note)
                    })?)
                };
                node.commit(job).unwrap();
            }
            Durable::Witness(shown) => {
                let (cosigner, logs) = (node.agency.witness.clone(), Arc::from([]));
                let judge = Judge { cosigner, logs, by: ShownBy::Log };
                let witnessed = node.commit(|tx| Ok(judge.judge(tx, &shown)?)).unwrap();
                if let Witnessed::Cosigned(note) = &witnessed {
                    self.reached.once(Situation::Cosigned);
                    self.note_cosigned(own, (partner, of_stream.generation), note);
                }
                return Told::Input(Input::Witnessed(witnessed));
            }
            Durable::RecordCosignature(note) => {
                let job = |tx: &mut Transaction<'_>| {
                    Ok(of_stream
                        .if_still(tx, |partner, tx| partner.record_cosignature(tx, note))?)
                };
                node.commit(job).unwrap();
            }
            Durable::Adopt(note) => {
                self.reached.once(Situation::CosignatureAdopted);
                let job = |tx: &mut Transaction<'_>| {
                    Ok(of_stream.if_still(tx, |partner, tx| partner.adopt_cosignature(tx, note))?)
                };
                node.commit(job).unwrap();
            }
        }
        Told::Nothing
    }

    /// Takes a batch in, and compares what came of it with what the plain form expects.
    fn store(
        &mut self,
        (own, partner): (usize, usize),
        of_stream: &StreamPartner,
        mut received: ReceivedBatch,
        incoming: Vec<Incoming>,
        judged: Vec<Judged>,
    ) -> Told {
        let mut denied = 0;
        if self.hostile == Some(own) && !self.is_calm {
            denied = lies::deny_orders(&mut received.checked);
        }
        let injected = self.injected;
        let before: BTreeMap<_, _> = self
            .read(own)
            .records
            .iter()
            .map(|(id, held)| (*id, (held.record.erased_slots(), held.claimed())))
            .collect();
        let node = &mut self.nodes[own];
        let taken = received.checked.taken.clone();
        let ignored = before_store(injected, node, partner, &mut received.checked);
        let stored = node.commit(|tx| Ok(of_stream.store(tx, received, incoming)?)).unwrap();
        ignored.iter().for_each(|id| change_hold_at(node, id, HoldChange::Begin));
        let TakenIn::Stored { erased, exceptions } = stored else { return Told::Overtaken };
        let is_calm_generation = of_stream.generation == node.pair(partner).partner.generation();
        assert!(is_calm_generation, "a batch of a log that was succeeded is not stored");
        let notes = node.notes.of(partner);
        let mut missed = 0;
        for Judged { sending, takes } in judged {
            let Sending { record, shown, series, withdraws, .. } = sending;
            // Whoever took a record takes what withdraws it.
            let takes = takes || withdraws && notes.taken_series.contains(&series);
            if let Some(slots) = shown {
                add(if takes { &mut notes.allowed } else { &mut notes.refused }, record, slots);
            }
            match shown {
                Some(_) if takes => drop(notes.taken_series.insert(series)),
                _ => missed += 1,
            }
        }
        let is_shown = |e: &&Exception| matches!(e.reason, Reason::Policy | Reason::NotSupplied);
        let found = exceptions.iter().filter(is_shown).count();
        if found != missed + denied {
            let what = format!("{partner} sent {own} what policy allowed: {exceptions:?}");
            self.read(partner);
            panic!("{what}, not {missed} refused\n{}", self.describe(partner, own));
        }
        let waits = exceptions.iter().filter(|e| e.reason == Reason::HeldAsEvidence).count();
        notes.exceptions.extend(exceptions.iter().cloned());
        node.note_taken(partner, &before, &taken, &exceptions);
        self.reached.add(Situation::OrderWaits, waits);
        self.read(own);
        let reading = self.readings[own].as_ref().unwrap();
        for (id, (marked, claimed)) in before {
            let Some(held) = reading.records.get(&id) else { continue };
            let opened = held.record.open_slots();
            let is_any = |slots: SlotMask| usize::from(!slots.and(opened).is_empty());
            self.reached.add(Situation::MarkOpened, is_any(marked));
            self.reached.add(Situation::ClaimOpened, is_any(claimed));
        }
        let input = Input::Stored(exceptions);
        if erased { Told::LastInput(input) } else { Told::Input(input) }
    }

    fn record(
        &mut self,
        (own, partner): (usize, usize),
        of_stream: &StreamPartner,
        mut receipts: Vec<pb::ReceiptReceived>,
        exceptions: Vec<Exception>,
    ) {
        before_receipt(self.injected, &mut receipts);
        let node = &mut self.nodes[own];
        let size = node.snapshot().size;
        let job = |_: &StreamPartner, tx: &mut Transaction<'_>| {
            receipts.into_iter().try_for_each(|receipt| tx.receipt(receipt))
        };
        node.commit(|tx| Ok(of_stream.if_still(tx, job)?)).unwrap();
        if node.snapshot().size == size {
            return;
        }
        node.notes.of(partner).reported.extend(exceptions);
        let contradicted = (size..node.snapshot().size).map(|index| node.view().event(index));
        let contradicted = contradicted.map(|event| match event.unwrap().1 {
            Event::ReceiptReceived(receipt) => receipt.contradicted.len(),
            _ => 0,
        });
        self.reached.add(Situation::DenialContradicted, contradicted.sum());
    }
}

impl Machine {
    /// Notes what the entries of a batch say that were taken: consents, and slots marked as erased.
    fn note_taken(
        &mut self,
        partner: usize,
        before: &BTreeMap<RecordId, (SlotMask, SlotMask)>,
        taken: &[Taken],
        exceptions: &[Exception],
    ) {
        let sender = self.agency_of(partner).clone();
        let refused: BTreeSet<_> = exceptions.iter().map(|exception| exception.index).collect();
        let taken = taken.iter().filter(|of| !refused.contains(&of.index));
        for Taken { entry, record, .. } in taken {
            if let Some(record) = record
                && record.header().originator == sender
                && !before.contains_key(&record.id())
            {
                self.notes.marked.entry(record.id()).or_insert_with(|| record.erased_slots());
            }
            if let Some(ConsentMessage::Consent(consent)) = entry.message.as_deref() {
                self.notes.hear(&sender, consent);
            }
        }
    }
}
