//! The driver of one exchange stream: it carries out the session's instructions and returns the
//! results.
//!
//! It decides nothing about the protocol. One stream a partner is driven at a time; a newer one
//! ends the older, which has finished its writes before the newer one asks where things stand.

use super::Peers;
use super::answers::{self, Checker, StreamPartner, standing};
use super::error::PeerError;
use super::flow::{OUTBOUND_MAX, until};
use super::ingest::{Incoming, TakenIn, incoming};
use super::pair::pair_with;
use crate::exchange::{
    BATCH_ENTRIES_MAX, Batch, BatchFault, CheckedBatch, Closing, Exception, Fault, Input, Output,
    Pair, Reason, ReceivedBatch, Session, SignedExceptions,
};
use crate::ident::{AgencyName, LeafIndex, Timestamp, TreeHash, TreeSize};
use crate::journal::JournalError;
use crate::journal::entry;
use crate::journal::ids::FeedNumber;
use crate::journal::transaction::Transaction;
use crate::journal::writer::Answered;
use crate::merkle::Frontier;
use crate::node::disclosure::Discloser;
use crate::node::disclosure::loading::load_batch;
use crate::node::error::NodeError;
use crate::node::partners::partner_facts::unknown;
use crate::node::turns::Caller;
use crate::pb::{self, exchange_frame::Body};
use crate::policy::PolicyHour;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::{Stream, StreamExt as _};
use tonic::Code;

/// The interval at which the driver checks whether to ask the partner for a cosignature.
const WITNESS_TICK: std::time::Duration = std::time::Duration::from_secs(1);
/// The stream of answers on a served connection.
pub type ExchangeStream =
    Pin<Box<dyn Stream<Item = Result<pb::ExchangeResponse, tonic::Status>> + Send>>;

/// Answers to the session that take time.
pub(in crate::node) enum Answer {
    Input(Input),
    Checked(Box<Checker>, Result<CheckedBatch, BatchFault>, Vec<Incoming>),
    Loaded(Box<Discloser>, pb::FeedBatch, TreeHash, Option<Timestamp>),
    /// Nothing more of our feed can be sent. The session waits for the batch, and all else goes on.
    FeedStopped(JournalError),
    Failed(NodeError),
}

impl Peers {
    /// Serves a stream that a partner dialled.
    pub async fn exchange(
        self: &Arc<Self>,
        agency: AgencyName,
        inbound: tonic::Streaming<pb::ExchangeRequest>,
    ) -> Result<ExchangeStream, NodeError> {
        self.refuse_unless_active(&agency)?;
        let (outbound, frames) = mpsc::channel(OUTBOUND_MAX);
        let inbound = inbound.map(|item| item.map(|request| request.frame.unwrap_or_default()));
        let peers = Arc::clone(self);
        tokio::spawn(async move { peers.drive(agency, inbound, outbound).await });
        let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
        Ok(Box::pin(frames.map(|frame| Ok(pb::ExchangeResponse { frame: Some(frame) }))))
    }

    pub(in crate::node) fn pair(&self, agency: &AgencyName) -> Result<Pair, NodeError> {
        pair_with(self.core.view(), self.core.agency(), agency)
    }

    pub(in crate::node) fn refuse_unless_active(
        &self,
        agency: &AgencyName,
    ) -> Result<(), NodeError> {
        let snapshot = self.core.view().snapshot();
        let state = snapshot.state.partners.get(agency).map(|partner| partner.state);
        if snapshot.state.witnessing.is_frozen(agency) {
            self.core.refused("partner frozen");
            return Err(PeerError::Frozen { agency: agency.clone() }.into());
        }
        if state == Some(pb::PartnerState::Active) {
            return Ok(());
        }
        self.core.refused("partner not active");
        Err(PeerError::Inactive { agency: agency.clone() }.into())
    }

    fn count_refused(&self, exceptions: &[Exception]) {
        for exception in exceptions {
            self.core.refused(match exception.reason {
                Reason::Malformed => "record malformed",
                Reason::Signature => "record signature",
                Reason::Policy => "record not accepted by policy",
                Reason::NotSupplied => "record not supplied",
                Reason::HeldAsEvidence => "duty on a record under a hold",
                Reason::NotOrdered => "duty without an order",
                Reason::OverLimit => "entry beyond what one batch may make this node write",
            });
        }
    }

    /// Drives one stream to its end, after the one before has ended.
    pub(in crate::node) async fn drive(
        self: Arc<Self>,
        agency: AgencyName,
        inbound: impl Stream<Item = Result<pb::ExchangeFrame, tonic::Status>> + Unpin,
        outbound: mpsc::Sender<pb::ExchangeFrame>,
    ) {
        let (driving, replaced) = self.drivers.replace(&agency);
        let _alone = driving.lock().await;
        let since = Some(self.core.time.wall());
        self.health.with(&agency, |peer| {
            peer.health.connected = true;
            peer.health.since = since;
            peer.health.last_error.clear();
        });
        let mut heard = None;
        let inbound = inbound.map(|frame| {
            if let Ok(pb::ExchangeFrame { body: Some(Body::Hello(hello)) }) = &frame {
                heard.get_or_insert_with(|| {
                    self.core.time.heard(&agency, hello.time_ms);
                    hello.clone()
                });
            }
            frame
        });
        let ended = Driver::run(&self, &agency, inbound, outbound, replaced).await;
        let since = Some(self.core.time.wall());
        self.health.with(&agency, |peer| {
            peer.health.connected = false;
            peer.health.since = since;
        });
        match ended {
            Ok(Closing::Drained) => {}
            Ok(Closing::Fault(fault)) => self.closed_by(&agency, &fault, heard.as_ref()).await,
            Err(End::Cut(reason)) => self.health.failed(&agency, reason),
            Err(End::Replaced | End::Renewed) => {}
            Err(End::Own(error)) => {
                tracing::error!(partner = %agency, %error, "the exchange ended");
                self.health.failed(&agency, with_remedy(&error));
            }
        }
    }

    async fn closed_by(&self, agency: &AgencyName, fault: &Fault, heard: Option<&pb::Hello>) {
        self.core.refused("exchange stream");
        let words = crate::store::describe(fault);
        tracing::error!(partner = %agency, fault = %words, "the exchange was closed");
        self.health.failed(agency, words);
        let Fault::Contradiction(evidence) = fault else { return };
        if evidence.is_against_us() {
            self.guard.is_behind(agency, &evidence.to_string(), heard);
        } else if let Err(error) = self.witnessing.keep_evidence(agency, evidence).await {
            tracing::error!(partner = %agency, %error, "the evidence could not be kept");
        }
    }
}

/// An error of this node, with what to do where stored bytes are damaged.
fn with_remedy(error: &NodeError) -> String {
    match error {
        NodeError::Journal(damage) if damage.is_damage() => format!(
            "{damage}; without it the exchange cannot go on: bring back the newest copy of the node's directory"
        ),
        other => other.to_string(),
    }
}

/// The reason why a stream ended without an end of the session.
pub(in crate::node) enum End {
    Cut(String),
    Replaced,
    /// Something was erased at the partner's word: buffers of this connection may hold it still.
    Renewed,
    Own(NodeError),
}

impl From<NodeError> for End {
    fn from(error: NodeError) -> Self {
        Self::Own(error)
    }
}

impl From<JournalError> for End {
    fn from(error: JournalError) -> Self {
        Self::Own(error.into())
    }
}

pub(in crate::node) struct Driver<'a> {
    pub(in crate::node) peers: &'a Arc<Peers>,
    pub(in crate::node) agency: &'a AgencyName,
    /// The partner as the keys of this stream are from.
    pub(in crate::node) partner: StreamPartner,
    feed: FeedNumber,
    source: FeedNumber,
    session: Session,
    /// Frames that wait for room in the transport, at most [`super::flow::UNSENT_MAX`] and what the session sends
    /// unasked.
    pub(in crate::node) unsent: VecDeque<pb::ExchangeFrame>,
    /// Nothing is read before this time.
    pub(in crate::node) paused: Option<tokio::time::Instant>,
    /// The session asks for one thing of each kind at a time.
    pub(in crate::node) answers: mpsc::UnboundedSender<Answer>,
    pair: Pair,
    checker: Option<Box<Checker>>,
    discloser: Option<Box<Discloser>>,
    /// The records of checked batches by first index, until the session's instruction to store
    /// them.
    incoming: BTreeMap<LeafIndex, Vec<Incoming>>,
    stores: VecDeque<oneshot::Receiver<Answered<TakenIn>>>,
    published: u64,
    /// The time at which each head was sent, by size, with the number of changes to the partner's rules
    /// of acceptance by then.
    sent_at: BTreeMap<u64, (std::time::Instant, u64)>,
    exceptions: u64,
    /// Something was erased at the partner's word, and the stream ends once that is receipted.
    erased: bool,
}

impl<'a> Driver<'a> {
    async fn run(
        peers: &'a Arc<Peers>,
        agency: &'a AgencyName,
        mut inbound: impl Stream<Item = Result<pb::ExchangeFrame, tonic::Status>> + Unpin,
        outbound: mpsc::Sender<pb::ExchangeFrame>,
        mut replaced: watch::Receiver<bool>,
    ) -> Result<Closing, End> {
        // Receipts that the stream before recorded may still wait for their turn; without them this one
        // would ask for them again.
        peers.core.journal.settled().await?;
        let pair = peers.pair(agency)?;
        let generation = pair.partner.generation();
        let snapshot = peers.core.view().snapshot();
        let partner = snapshot.state.partners.get(agency).ok_or_else(|| unknown(agency))?;
        let (keys, every_ms) = ((&pair, &peers.receipts), peers.witnessing.every_ms());
        let standing = standing(&snapshot, (agency, partner), keys, (peers.core.now(), every_ms));
        let (session, outputs) = Session::start(pair.clone(), peers.receipts.clone(), standing)
            .map_err(|fault| NodeError::start("the session with a partner", fault))?;
        let (answers, mut answered) = mpsc::unbounded_channel();
        let mut driver = Self {
            peers,
            agency,
            partner: StreamPartner { agency: agency.clone(), number: partner.number, generation },
            feed: partner.feed,
            source: partner.source,
            session,
            unsent: VecDeque::new(),
            paused: None,
            answers,
            pair,
            checker: None,
            discloser: None,
            incoming: BTreeMap::new(),
            stores: VecDeque::new(),
            published: partner.published.size,
            sent_at: BTreeMap::new(),
            exceptions: partner.exceptions,
            erased: false,
        };
        let mut grown = peers.core.journal.grown();
        let mut rules_changed = peers.rules.changes();
        let mut stopping = peers.core.stopping();
        let mut time_asked = peers.core.time.asked();
        let mut ticks = tokio::time::interval(WITNESS_TICK);
        let mut pending = outputs;
        let acceptance = peers.core.view().acceptance_changes(driver.partner.number)?;
        pending.extend(driver.session.handle(Input::Acceptance(acceptance), peers.core.now()));
        loop {
            if let Some(closing) = driver.carry_out(std::mem::take(&mut pending)).await? {
                if closing == Closing::Drained {
                    driver.flush(&outbound).await;
                }
                return Ok(closing);
            }
            if driver.erased && driver.stores.is_empty() && driver.unsent.is_empty() {
                return Err(End::Renewed);
            }
            let input = tokio::select! {
                room = outbound.reserve(), if !driver.unsent.is_empty() => match room {
                    Ok(room) => {
                        if let Some(frame) = driver.unsent.pop_front() {
                            room.send(frame);
                        }
                        continue;
                    }
                    Err(_) => return Err(End::Cut("the stream is gone".to_owned())),
                },
                () = until(driver.paused) => {
                    driver.paused = None;
                    continue;
                }
                frame = inbound.next(), if driver.may_read() => match frame {
                    Some(Ok(frame)) => {
                        driver.charge(&frame);
                        Input::Frame(frame)
                    }
                    Some(Err(status)) => {
                        // Some errors are of what was sent, the others of the connection.
                        peers.core.refused(match status.code() {
                            Code::OutOfRange | Code::Internal => "exchange message",
                            _ => "exchange stream cut",
                        });
                        return Err(End::Cut(status.message().to_owned()));
                    }
                    None => return Err(End::Cut("the partner closed the stream".to_owned())),
                },
                Some(answer) = answered.recv() => match driver.answered(answer)? {
                    Some(input) => input,
                    None => continue,
                },
                taken = stored(&mut driver.stores) => match taken? {
                    TakenIn::Stored { erased, exceptions } => {
                        if erased {
                            peers.erasures.scrub_soon();
                        }
                        driver.erased |= erased;
                        peers.count_refused(&exceptions);
                        Input::Stored(exceptions)
                    }
                    TakenIn::Overtaken => {
                        let text = "the feed changed while the batch was checked; it will be sent again";
                        return Err(End::Cut(text.to_owned()));
                    }
                },
                _ = grown.changed() => match driver.newly_published() {
                    Some(size) => Input::Published(size),
                    None => Input::Journal(peers.witnessing.journal_size()),
                },
                _ = ticks.tick() => Input::Journal(peers.witnessing.journal_size()),
                _ = rules_changed.changed() => {
                    peers.refuse_unless_active(agency)?;
                    if peers.pair(agency)?.partner.generation() != generation {
                        return Err(End::Cut("the partner's logs were succeeded".to_owned()));
                    }
                    Input::Acceptance(peers.core.view().acceptance_changes(driver.partner.number)?)
                }
                _ = time_asked.changed() => {
                    let text = "this node's clock is in doubt; the next hello brings a time";
                    return Err(End::Cut(text.to_owned()));
                }
                _ = replaced.wait_for(|ended| *ended) => return Err(End::Replaced),
                _ = stopping.wait_for(|stop| *stop) => {
                    return Err(End::Cut("this node stops".to_owned()));
                }
            };
            pending = driver.session.handle(input, peers.core.now());
        }
    }

    fn newly_published(&mut self) -> Option<TreeSize> {
        let snapshot = self.peers.core.view().snapshot();
        let size =
            snapshot.state.partners.get(self.agency).map_or(0, |partner| partner.published.size);
        (std::mem::replace(&mut self.published, size) != size).then(|| TreeSize::new(size))
    }

    fn answered(&mut self, answer: Answer) -> Result<Option<Input>, End> {
        Ok(Some(match answer {
            Answer::Input(input) => input,
            Answer::Checked(checker, checked, incoming) => {
                self.checker = Some(checker);
                if let Ok(CheckedBatch { start, .. }) = &checked {
                    self.incoming.insert(*start, incoming);
                }
                Input::Checked(checked)
            }
            Answer::Loaded(discloser, batch, root, published_at) => {
                self.discloser = Some(discloser);
                let acceptance = self.peers.health.with(self.agency, |peer| peer.acceptance);
                let end = batch.start + batch.entries.len() as u64;
                self.sent_at.insert(end, (std::time::Instant::now(), acceptance));
                self.peers.health.feed_goes_on(self.agency);
                Input::Loaded { batch, root, published_at }
            }
            Answer::FeedStopped(error) => {
                tracing::error!(partner = %self.agency, %error, "the feed does not go on");
                self.peers.health.feed_stopped(self.agency, error.to_string());
                return Ok(None);
            }
            Answer::Failed(error) => return Err(error.into()),
        }))
    }

    async fn carry_out(&mut self, outputs: Vec<Output>) -> Result<Option<Closing>, End> {
        for output in outputs {
            match output {
                Output::Send(mut frame) => {
                    if let Some(Body::Hello(hello)) = &mut frame.body {
                        hello.time_ms = self.peers.core.time.wall().unix_ms().unsigned_abs();
                    }
                    self.send(frame);
                }
                Output::AskRoot(size) => self.answer_root(size)?,
                Output::Load { from } => self.load(from)?,
                Output::LoadExceptions { from } => self.load_exceptions(from)?,
                Output::Check { frontier, batch } => self.check(frontier, batch)?,
                Output::Store(batch) => self.store(*batch).await?,
                Output::RecordReceipt { size, note, signed } => {
                    self.record_receipt(size, note, &signed).await?;
                }
                Output::ReceiptLost { held, note } => self.receipt_lost(held, note).await?,
                Output::AskJournalRoot(size) => self.answer_journal_root(size)?,
                Output::Assured => self.peers.guard.assured(self.agency),
                Output::LoadCheckpoint { old } => self.load_checkpoint(old)?,
                Output::Witness(shown) => self.witness(shown),
                Output::RecordCosignature { note } => self.record_cosignature(note).await?,
                Output::AdoptCosignature { note } => self.adopt_cosignature(note).await?,
                Output::AcceptanceNoticed(changes) => self.peers.health.with(self.agency, |peer| {
                    peer.acceptance = peer.acceptance.max(changes);
                }),
                Output::Alert(alert) => {
                    tracing::warn!(partner = %self.agency, %alert, "something to look at");
                    self.peers.health.failed(self.agency, alert.to_string());
                }
                Output::Close(closing) => return Ok(Some(closing)),
            }
        }
        Ok(None)
    }

    pub(in crate::node) fn answer(&self, input: Input) {
        // The receiver lives as long as the driver.
        drop(self.answers.send(Answer::Input(input)));
    }

    fn answer_root(&self, size: TreeSize) -> Result<(), End> {
        self.answer(answers::root(self.peers.core.view(), self.feed, size)?);
        Ok(())
    }

    fn load(&mut self, from: LeafIndex) -> Result<(), End> {
        let gone = || unknown(self.agency);
        let rules = self.peers.rules.current().for_partner(self.agency).ok_or_else(gone)?;
        let policy_hour = PolicyHour::at(self.peers.core.now());
        let discloser = match self.discloser.take() {
            Some(held) if held.is_current(&rules, &policy_hour) => held,
            _ => {
                let view = self.peers.core.view();
                let limits = self.peers.limits.clone();
                Discloser::new(view, rules, self.agency, policy_hour, limits)
                    .map(Box::new)
                    .ok_or_else(gone)?
            }
        };
        let (view, feed) = (Arc::clone(self.peers.core.view()), self.feed);
        let answers = self.answers.clone();
        tokio::task::spawn_blocking(move || {
            let mut discloser = discloser;
            let within = from.get()..from.get() + BATCH_ENTRIES_MAX as u64;
            let answer = match load_batch(&view, feed, &mut discloser, within) {
                Ok((batch, root, published_at)) => {
                    Answer::Loaded(discloser, batch, root, published_at)
                }
                Err(error @ JournalError::FeedDamaged { .. }) => Answer::FeedStopped(error),
                Err(error) => Answer::Failed(error.into()),
            };
            drop(answers.send(answer));
        });
        Ok(())
    }

    fn load_exceptions(&self, from: LeafIndex) -> Result<(), End> {
        self.answer(answers::exceptions(self.peers.core.view(), self.source, from)?);
        Ok(())
    }

    fn check(&mut self, frontier: Frontier, batch: Batch) -> Result<(), End> {
        self.peers.refuse_unless_active(self.agency)?;
        let rules = self.peers.rules.current().for_partner(self.agency);
        let rules = rules.ok_or_else(|| unknown(self.agency))?;
        let (view, now) = (self.peers.core.view(), self.peers.core.now());
        let held = self.checker.take().map(|checker| *checker);
        let mut checker = Box::new(Checker::of(held, view, rules, &self.pair, now));
        let answers = self.answers.clone();
        let (peers, agency) = (Arc::clone(self.peers), self.agency.clone());
        tokio::spawn(async move {
            let _turn = peers
                .admission
                .turn(Caller::Partner(agency.as_str()), batch.entries().len() as u64)
                .await;
            let view = Arc::clone(peers.core.view());
            let checking = tokio::task::spawn_blocking(move || {
                let checked = checker.check(frontier, batch);
                let taken = checked.as_ref().map(|checked| &checked.taken[..]).unwrap_or_default();
                match incoming(&view, taken) {
                    Ok(incoming) => Answer::Checked(checker, checked, incoming),
                    Err(error) => Answer::Failed(error.into()),
                }
            });
            let answer = checking.await.unwrap_or(Answer::Failed(JournalError::Stopped.into()));
            drop(answers.send(answer));
        });
        Ok(())
    }

    async fn store(&mut self, batch: ReceivedBatch) -> Result<(), End> {
        let start = batch.checked.start;
        let incoming = self.incoming.remove(&start);
        let incoming = incoming.ok_or(NodeError::Peer(PeerError::Unchecked { start }))?;
        let partner = self.partner.clone();
        let job = move |tx: &mut Transaction<'_>| partner.store(tx, batch, incoming);
        self.stores.push_back(self.peers.core.journal.enqueue(job).await?);
        Ok(())
    }

    async fn receipt_lost(&self, held: TreeSize, note: Vec<u8>) -> Result<(), End> {
        self.in_turn(move |partner, tx| tx.lose_receipt(&partner.agency, held.get(), note)).await
    }

    /// Has something written down in its turn, for which nothing on this stream waits, if the keys of this stream
    /// still count then.
    pub(in crate::node) async fn in_turn(
        &self,
        job: impl FnOnce(&StreamPartner, &mut Transaction<'_>) -> Result<(), JournalError>
        + Send
        + 'static,
    ) -> Result<(), End> {
        let partner = self.partner.clone();
        let _in_turn = self.peers.core.journal.enqueue(move |tx| partner.if_still(tx, job)).await?;
        Ok(())
    }

    async fn record_receipt(
        &mut self,
        size: TreeSize,
        note: Vec<u8>,
        signed: &[SignedExceptions],
    ) -> Result<(), End> {
        let waiting = self.sent_at.split_off(&(size.get() + 1));
        // Of an earlier stream nothing is known: then what was refused is offered again at once.
        let mut acceptance = 0;
        for (_, (sent, under)) in std::mem::replace(&mut self.sent_at, waiting) {
            acceptance = under;
            let delay = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.peers.health.receipted(self.agency, delay);
        }
        self.peers.core.time.signed(self.agency, &entry::receipt_name(self.agency), &note);
        self.exceptions += signed.iter().map(|one| one.exceptions.len() as u64).sum::<u64>();
        let receipts = answers::receipts(self.agency, &note, signed, (self.exceptions, acceptance));
        // The partner has the receipt too, so nothing waits for it.
        self.in_turn(move |_, tx| receipts.into_iter().try_for_each(|one| tx.receipt(one))).await
    }
}

/// Waits for the oldest store to be durable; for ever while there is none. An error means that the
/// journal could not hold the batch.
async fn stored(
    stores: &mut VecDeque<oneshot::Receiver<Answered<TakenIn>>>,
) -> Result<TakenIn, JournalError> {
    let Some(oldest) = stores.front_mut() else { return std::future::pending().await };
    let Ok(answered) = oldest.await else {
        // The writer has stopped, and with it the node.
        return std::future::pending().await;
    };
    stores.pop_front();
    answered.map(|(taken, _)| taken)
}
