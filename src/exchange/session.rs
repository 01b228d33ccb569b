//! The session of one stream: its states, what goes in and what comes out.
//!
//! Outputs are carried out in their order. After [`Output::Close`] nothing more comes out and
//! whatever goes in is ignored; what other parts still answer to a closed session is lost on
//! purpose. An answer may come at any time, even between others; only [`Input::Stored`] answers the
//! oldest [`Output::Store`] first.

use super::PROTOCOL;
use super::check::{BatchFault, CheckedBatch};
use super::exception::Exception;
use super::fault::{Fault, Misbehaviour, OwnFault, Refusal};
use super::lag::Lag;
use super::output::{Closing, Output};
use super::pair::{OwnLine, Pair};
use super::receiving::Receiving;
use super::sending::Sending;
use super::signed_time::check_not_ahead;
use super::witnessing::{JournalSize, WitnessStanding, Witnessed, Witnessing};
use crate::ident::{Timestamp, TreeHash, TreeSize};
use crate::merkle::{CosignatureTime, Cosigner, Frontier, Note};
use crate::pb;
use crate::pb::exchange_frame::Body;

/// The longest name of an agency; of what a peer calls itself beyond that nothing is kept.
const AGENCY_CHARS_SHOWN: usize = 100;

/// The durable state of the two feeds at this node when a stream begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Entries of our feed for the partner that have a published head.
    pub published: TreeSize,
    /// The largest head of our feed that we hold the partner's receipt for.
    pub receipted: TreeSize,
    /// The right edge of the partner's feed for us.
    pub partner_feed: Frontier,
    /// The last receipt that we gave for it; empty when there is none.
    pub receipt_note: Vec<u8>,
    pub witness: WitnessStanding,
}

/// An event for the session.
#[derive(Debug)]
pub enum Input {
    /// The peer sent this.
    Frame(pb::ExchangeFrame),
    /// Answers [`Output::AskRoot`]; no root when we hold none at that size. `published_at`: the time at which
    /// a head of that size was first published.
    Root { size: TreeSize, root: Option<TreeHash>, published_at: Option<Timestamp> },
    /// A head of our feed was published.
    Published(TreeSize),
    /// Answers [`Output::Load`]: a batch that ends at a published head, the root of that head, and the time
    /// at which it was first published.
    Loaded { batch: pb::FeedBatch, root: TreeHash, published_at: Option<Timestamp> },
    /// Answers [`Output::LoadExceptions`].
    Exceptions(Vec<Exception>),
    /// Answers [`Output::Check`].
    Checked(Result<CheckedBatch, BatchFault>),
    /// Answers the oldest [`Output::Store`]: batch and receipt are durable, but for these entries, in
    /// their order: those of the check and those that the writer refused.
    Stored(Vec<Exception>),
    /// Answers [`Output::AskJournalRoot`]; no root when our journal is smaller.
    JournalRoot { size: TreeSize, root: Option<TreeHash> },
    /// Our journal grew, or time went by since the last such input.
    Journal(JournalSize),
    /// Answers [`Output::LoadCheckpoint`]; `made_at`: the time of the last entry under the checkpoint.
    Checkpoint { proof: Vec<TreeHash>, note: Vec<u8>, made_at: Option<Timestamp> },
    /// Answers [`Output::Witness`].
    Witnessed(Witnessed),
    /// The number of changes to our rules of acceptance for the partner by now.
    Acceptance(u64),
    /// This node wants to end the stream in good order.
    Drain,
}

/// One stream with one partner.
pub struct Session {
    pair: Pair,
    receipt_key: Cosigner,
    state: State,
}

impl Session {
    /// Begins a stream. `receipt_key` is the private half of our side's receipt key. The outputs
    /// begin with our hello.
    pub fn start(
        pair: Pair,
        receipt_key: Cosigner,
        standing: Standing,
    ) -> Result<(Self, Vec<Output>), OwnFault> {
        if receipt_key.verifying_key() != *pair.own.receipts().verifying_key() {
            return Err(OwnFault::ReceiptKey);
        }
        let Standing { published, receipted, partner_feed, receipt_note, witness } = standing;
        if receipted > published {
            return Err(OwnFault::FeedShrank { from: receipted, to: published });
        }
        let receipt = &witness.receipted_note;
        let may_hold_less = !receipt.is_empty() && pair.open_receipt(receipt).is_err();
        let last_receipt_at = pair.receipt_time(receipt);
        let signed_at = pair.own_receipt_time(&receipt_note);
        let flow = Flow {
            sending: Sending::new((published, receipted), last_receipt_at, may_hold_less),
            receiving: Receiving::new(partner_feed, receipt_note, signed_at)?,
            witnessing: Witnessing::new(witness),
            acceptance: OwnAcceptance::default(),
        };
        let hello = flow.own_hello(&pair);
        let state = State::AwaitHello(AwaitHello { flow });
        Ok((Self { pair, receipt_key, state }, vec![hello]))
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Output> {
        let mut out = Vec::new();
        let context = Context { pair: &self.pair, receipt_key: &self.receipt_key, now };
        let next = match std::mem::replace(&mut self.state, State::Closed) {
            State::AwaitHello(state) => state.handle(input, &context, &mut out),
            State::Running(state) => state.handle(input, &context, &mut out),
            State::Draining(state) => state.handle(input, &context, &mut out),
            State::Closed => Ok(State::Closed),
        };
        self.state = next.unwrap_or_else(|fault| {
            out.push(Output::Close(Closing::Fault(fault)));
            State::Closed
        });
        out
    }

    /// Returns the lag of the partner's receipts; `None` once closed.
    pub fn lag(&self) -> Option<Lag> {
        let flow = match &self.state {
            State::AwaitHello(AwaitHello { flow })
            | State::Running(Running { flow })
            | State::Draining(Draining { flow, .. }) => flow,
            State::Closed => return None,
        };
        Some(flow.sending.lag())
    }
}

enum State {
    /// Our hello is sent, the peer's has not come.
    AwaitHello(AwaitHello),
    /// Both directions are open.
    Running(Running),
    /// We send no more batches.
    Draining(Draining),
    Closed,
}

struct AwaitHello {
    flow: Flow,
}

struct Running {
    flow: Flow,
}

struct Draining {
    flow: Flow,
    /// The peer sends no more batches either.
    peer_drained: bool,
}

struct Context<'a> {
    pair: &'a Pair,
    receipt_key: &'a Cosigner,
    now: Timestamp,
}

type Next = Result<State, Fault>;

impl AwaitHello {
    fn handle(mut self, input: Input, context: &Context<'_>, out: &mut Vec<Output>) -> Next {
        match input {
            Input::Frame(frame) => match body_of(frame)? {
                Body::Hello(hello) => {
                    self.flow.hello(hello, context, out)?;
                    self.flow.acceptance.notify(out);
                    Ok(State::Running(Running { flow: self.flow }))
                }
                other => Err(Misbehaviour::BeforeHello(name_of(&other)).into()),
            },
            Input::Published(size) => {
                self.flow.sending.publish(size)?;
                Ok(State::AwaitHello(self))
            }
            Input::Journal(journal) => {
                self.flow.witnessing.grown(journal);
                Ok(State::AwaitHello(self))
            }
            Input::Acceptance(changes) => {
                self.flow.acceptance.changes = changes;
                Ok(State::AwaitHello(self))
            }
            Input::Drain => {
                out.push(Output::Close(Closing::Drained));
                Ok(State::Closed)
            }
            Input::JournalRoot { .. } => Err(OwnFault::Unasked("journal root").into()),
            Input::Checkpoint { .. } => Err(OwnFault::Unasked("checkpoint").into()),
            Input::Witnessed(_) => Err(OwnFault::Unasked("verdict on a checkpoint").into()),
            Input::Root { .. } => Err(OwnFault::Unasked("root").into()),
            Input::Loaded { .. } => Err(OwnFault::Unasked("batch").into()),
            Input::Exceptions(_) => Err(OwnFault::Unasked("exceptions").into()),
            Input::Checked(_) => Err(OwnFault::Unasked("verdict").into()),
            Input::Stored(_) => Err(OwnFault::Unasked("stored").into()),
        }
    }
}

impl Running {
    fn handle(mut self, input: Input, context: &Context<'_>, out: &mut Vec<Output>) -> Next {
        match input {
            Input::Drain => Draining::begin(self.flow, false, out),
            Input::Frame(frame) => match body_of(frame)? {
                Body::Drain(pb::Drain {}) => Draining::begin(self.flow, true, out),
                body => {
                    self.flow.frame(body, context, out)?;
                    Ok(State::Running(self))
                }
            },
            Input::Loaded { batch, root, published_at } => {
                self.flow.sending.loaded(batch, (root, published_at), false, out)?;
                self.flow.sending.load_more(out);
                Ok(State::Running(self))
            }
            other => {
                self.flow.event(other, context, out)?;
                self.flow.sending.load_more(out);
                self.flow.witnessing.ask(context.now, out);
                Ok(State::Running(self))
            }
        }
    }
}

impl Draining {
    fn begin(flow: Flow, peer_drained: bool, out: &mut Vec<Output>) -> Next {
        out.push(Output::send(Body::Drain(pb::Drain {})));
        Ok(Self { flow, peer_drained }.or_closed(out))
    }

    fn handle(mut self, input: Input, context: &Context<'_>, out: &mut Vec<Output>) -> Next {
        match input {
            Input::Drain => {}
            Input::Frame(frame) => match body_of(frame)? {
                body @ (Body::Drain(_) | Body::FeedBatch(_)) if self.peer_drained => {
                    return Err(Misbehaviour::AfterDrain(name_of(&body)).into());
                }
                Body::Drain(pb::Drain {}) => self.peer_drained = true,
                body => self.flow.frame_while_draining(body, context, out)?,
            },
            Input::Loaded { batch, root, published_at } => {
                self.flow.sending.loaded(batch, (root, published_at), true, out)?;
            }
            other => self.flow.event(other, context, out)?,
        }
        Ok(self.or_closed(out))
    }

    fn or_closed(self, out: &mut Vec<Output>) -> State {
        if self.peer_drained && self.flow.sending.is_idle() && self.flow.receiving.is_idle() {
            out.push(Output::Close(Closing::Drained));
            return State::Closed;
        }
        State::Draining(self)
    }
}

/// The two directions.
struct Flow {
    sending: Sending,
    receiving: Receiving,
    witnessing: Witnessing,
    acceptance: OwnAcceptance,
}

/// The number of times that our rules of acceptance changed, and what the partner was notified of.
#[derive(Default)]
struct OwnAcceptance {
    changes: u64,
    notified: u64,
}

impl OwnAcceptance {
    fn notify(&mut self, out: &mut Vec<Output>) {
        if self.changes > self.notified {
            self.notified = self.changes;
            let notice = pb::AcceptanceNotice { changes: self.changes };
            out.push(Output::send(Body::AcceptanceNotice(notice)));
        }
    }
}

impl Flow {
    fn own_hello(&self, pair: &Pair) -> Output {
        let witness = self.witnessing.standing();
        // The partner knows the key in force alone.
        let in_force =
            |note: &Vec<u8>| matches!(pair.open_own_cosigned(note), Ok(OwnLine::InForce(_)));
        let witnessed = Some(&witness.witnessed_note).filter(|note| in_force(note));
        Output::send(Body::Hello(pb::Hello {
            protocol: PROTOCOL,
            agency: pair.own.agency().to_string(),
            receipt_note: self.receiving.held_note().to_vec().into(),
            receipted: self.sending.recorded().get(),
            witnessed_note: witnessed.cloned().unwrap_or_default().into(),
            cosigned_note: witness.cosigned_note.clone().into(),
            receipted_note: witness.receipted_note.clone().into(),
            generation: pair.own.generation().to_wire(),
            partner_generation: pair.partner.generation().to_wire(),
            time_ms: 0,
        }))
    }

    fn hello(
        &mut self,
        hello: pb::Hello,
        context: &Context<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let pb::Hello {
            protocol,
            agency,
            receipt_note,
            receipted,
            witnessed_note,
            cosigned_note,
            receipted_note,
            generation,
            partner_generation,
            // The driver puts it in and takes it out: no decision here is about the time.
            time_ms: _,
        } = hello;
        if protocol != PROTOCOL {
            return Err(Refusal::Protocol(protocol).into());
        }
        let wanted = context.pair.partner.agency();
        if agency != wanted.as_str() {
            let found = agency.chars().take(AGENCY_CHARS_SHOWN).collect();
            return Err(Refusal::Agency { found, wanted: wanted.clone() }.into());
        }
        let (own, accepted) = (context.pair.own.generation(), context.pair.partner.generation());
        if generation != accepted.to_wire() {
            return Err(Refusal::Generation { found: generation.max(1), accepted }.into());
        }
        if partner_generation != own.to_wire() {
            return Err(Refusal::OwnGeneration { found: partner_generation.max(1), own }.into());
        }
        for note in [&receipt_note, &witnessed_note] {
            refuse_ahead(note, context)?;
        }
        self.sending.hello(&receipt_note, context.pair, out)?;
        self.receiving.hello(TreeSize::new(receipted), &receipted_note, context.pair, out)?;
        self.witnessing.hello(&witnessed_note, &cosigned_note, context.pair, out)?;
        self.assure(context.now, out);
        self.sending.load_more(out);
        Ok(())
    }

    /// Lets in what the partner sends once its hello was held against our own history.
    fn assure(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.sending.is_settled() && self.witnessing.is_settled() && self.receiving.let_in(out) {
            self.witnessing.ask(now, out);
        }
    }

    fn frame(
        &mut self,
        body: Body,
        context: &Context<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        self.frame_while_draining(body, context, out)?;
        self.sending.load_more(out);
        Ok(())
    }

    /// Takes a frame without sending a batch in turn.
    fn frame_while_draining(
        &mut self,
        body: Body,
        context: &Context<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        match body {
            Body::FeedBatch(batch) => self.receiving.batch(batch, context.pair, out),
            Body::Receipt(receipt) => {
                refuse_ahead(&receipt.note, context)?;
                self.sending.receipt(receipt, context.pair, out)
            }
            Body::AddCheckpoint(request) => Ok(self.witnessing.shown(request, out)?),
            Body::CheckpointAnswer(answer) => {
                refuse_ahead(&answer.note, context)?;
                self.witnessing.answer(&answer, context.pair, out)
            }
            Body::AcceptanceNotice(notice) => {
                out.push(Output::AcceptanceNoticed(notice.changes));
                Ok(())
            }
            Body::Hello(_) => Err(Misbehaviour::HelloTwice.into()),
            Body::Drain(_) => Err(Misbehaviour::AfterDrain("drain").into()),
        }
    }

    fn event(
        &mut self,
        input: Input,
        context: &Context<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let Context { pair, receipt_key, now } = *context;
        match input {
            Input::Root { size, root, published_at } => {
                self.sending.root(size, (root, published_at), pair, out)?;
                self.assure(now, out);
                Ok(())
            }
            Input::JournalRoot { size, root } => {
                self.witnessing.root(size, root)?;
                self.assure(now, out);
                Ok(())
            }
            Input::Journal(journal) => {
                self.witnessing.grown(journal);
                Ok(())
            }
            Input::Checkpoint { proof, note, made_at } => {
                Ok(self.witnessing.loaded(proof, note, made_at, out)?)
            }
            Input::Witnessed(verdict) => self.witnessing.witnessed(verdict, out),
            Input::Published(size) => Ok(self.sending.publish(size)?),
            Input::Exceptions(exceptions) => {
                Ok(self.receiving.recalled(&exceptions, pair, receipt_key, now, out)?)
            }
            Input::Checked(verdict) => self.receiving.checked(verdict, pair, receipt_key, now, out),
            Input::Stored(exceptions) => {
                Ok(self.receiving.stored(&exceptions, pair, receipt_key, out)?)
            }
            Input::Acceptance(changes) => {
                self.acceptance.changes = changes;
                self.acceptance.notify(out);
                Ok(())
            }
            // The states take these themselves.
            Input::Frame(_) | Input::Loaded { .. } | Input::Drain => Ok(()),
        }
    }
}

/// Refuses the partner's signature from more than a day ahead. A note that has another form is refused
/// where it is opened.
fn refuse_ahead(note: &[u8], context: &Context<'_>) -> Result<(), Misbehaviour> {
    let Ok(note) = Note::parse(note) else { return Ok(()) };
    let partner = &context.pair.partner;
    let cosigners = [partner.receipts().name(), partner.witness().name()];
    let lines = note.signatures().iter().filter(|line| cosigners.contains(&line.name()));
    let mut times = lines.filter_map(CosignatureTime::of_line);
    Ok(times.try_for_each(|signed| check_not_ahead(signed, context.now))?)
}

fn body_of(frame: pb::ExchangeFrame) -> Result<Body, Misbehaviour> {
    frame.body.ok_or(Misbehaviour::EmptyFrame)
}

const fn name_of(body: &Body) -> &'static str {
    match body {
        Body::Hello(_) => "hello",
        Body::FeedBatch(_) => "batch",
        Body::Receipt(_) => "receipt",
        Body::Drain(_) => "drain",
        Body::AddCheckpoint(_) => "checkpoint",
        Body::CheckpointAnswer(_) => "answer to a checkpoint",
        Body::AcceptanceNotice(_) => "notice of acceptance",
    }
}
