//! A partner that is not a node: real keys and an enrolled card, and whatever it wants to send.

use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use liaison::exchange::{Exception, ExceptionStatement, FeedAction, FeedEntry, feed_origin};
use liaison::ident::{AgencyName, Generation, KeyId, PolicyVersion, RecordId, Timestamp};
use liaison::merkle::{
    Checkpoint, Cosigner, Frontier, Note, NoteSigner, SignedCheckpoint, leaf_hash,
};
use liaison::node::config::Config;
use liaison::node::init;
use liaison::partner::{NodeKeys, SecretKey, VerifiedCard};
use liaison::pb::exchange_service_client::ExchangeServiceClient;
use liaison::pb::{self, exchange_frame::Body};
use liaison::record::draft::{self, Draft, Place, SeriesSecret};
use liaison::record::erasure::{ErasureBasis, ErasureOrder};
use liaison::record::header::Header;
use liaison::record::signed::{KeyRing, Signed, VerifiedRoots};
use liaison::record::slots::SlotMask;
use liaison::tls::{Authority, Dialer, NodeCertificate};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::fixture::{self, RunningNode, config, eventually, now};

const DAY_MS: i64 = 24 * 3_600_000;

pub(crate) struct Impostor {
    _dir: tempfile::TempDir,
    config: Config,
    keys: NodeKeys,
    certificate: Arc<NodeCertificate>,
    card: VerifiedCard,
    node: AgencyName,
    node_card: VerifiedCard,
    entries: Vec<Bytes>,
}

/// One open stream.
pub(crate) struct Stream {
    pub(crate) out: mpsc::UnboundedSender<pb::ExchangeRequest>,
    inbound: Streaming<pb::ExchangeResponse>,
}

impl Impostor {
    /// With a certificate that was issued this many days ago; it is good for 30.
    pub(crate) async fn with_certificate_of(agency: &str, node: &RunningNode, days: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config(agency, "other", false);
        let (names, issued) = (config.names().unwrap(), now().plus_ms(-days * DAY_MS));
        let keys = NodeKeys::create(dir.path()).unwrap();
        let authority = Authority::create(dir.path(), &names, issued).unwrap();
        let certificate =
            NodeCertificate::load_or_create(dir.path(), names, &authority, issued).unwrap();
        let card = init::issue_card(&config, &keys, &authority, now(), None).unwrap();
        let request = pb::GetOwnCardRequest {};
        let own = node.admin().await.get_own_card(request).await.unwrap().into_inner();
        let node_card = liaison::partner::Card::verify(&own.card).unwrap();
        let node = node.agency.parse().unwrap();
        let entries = Vec::new();
        Self { _dir: dir, config, keys, certificate, card, node, node_card, entries }
    }

    pub(crate) async fn unknown_to(agency: &str, node: &RunningNode) -> Self {
        Self::with_certificate_of(agency, node, 0).await
    }

    /// Enrolled at the node as people would do it.
    pub(crate) async fn enrolled_at(agency: &str, node: &RunningNode) -> Self {
        let impostor = Self::unknown_to(agency, node).await;
        impostor.enrol(node).await;
        impostor
    }

    pub(crate) async fn enrol(&self, node: &RunningNode) {
        let number = self.card.number().to_string();
        node.add_partner(&self.card.to_armour().unwrap(), &number).await;
        let agency = self.name();
        eventually("the feed to it follows what was agreed", async || {
            let partner = node.partner(agency.as_str()).await;
            partner.lag_entries == 0 && partner.to_rescan == 0
        })
        .await;
    }

    fn name(&self) -> AgencyName {
        self.config.agency().unwrap()
    }

    /// A connection to the node, or to somebody between who passes bytes on.
    pub(crate) async fn connect(&self, through: Option<String>) -> Result<Channel, String> {
        let dialer = Dialer::partner(&self.certificate, &self.node_card).unwrap();
        let address = match through {
            Some(address) => address.parse().unwrap(),
            None => self.node_card.card().addresses[0].clone(),
        };
        dialer.connect(&address).await.map_err(|error| error.to_string())
    }

    /// Opens a stream with the hello of one who has nothing.
    pub(crate) async fn open(&self, through: Option<String>) -> Result<Stream, Status> {
        self.open_as(Generation::FIRST, through).await
    }

    /// The same with logs of another generation, by its own word.
    pub(crate) async fn open_as(
        &self,
        generation: Generation,
        through: Option<String>,
    ) -> Result<Stream, Status> {
        let channel = self.connect(through).await.map_err(Status::unavailable)?;
        let (out, frames) = mpsc::unbounded_channel();
        let mut client =
            ExchangeServiceClient::new(channel).max_encoding_message_size(64 * 1024 * 1024);
        let hello = pb::Hello {
            protocol: liaison::exchange::PROTOCOL,
            agency: self.config.agency.clone(),
            generation: generation.to_wire(),
            ..pb::Hello::default()
        };
        send(&out, Body::Hello(hello));
        let inbound = client.exchange(UnboundedReceiverStream::new(frames)).await?.into_inner();
        let mut stream = Stream { out, inbound };
        match stream.next().await {
            Some(Ok(Body::Hello(_))) => Ok(stream),
            Some(Err(status)) => Err(status),
            None => Err(Status::unavailable("the stream ended before a hello")),
            other => panic!("wanted a hello, found {other:?}"),
        }
    }

    /// A record of this agency, signed with its real key.
    pub(crate) fn record(&self, draft: pb::Draft) -> pb::Envelope {
        let secret = SeriesSecret::from_bytes(*self.keys.series.as_bytes());
        let draft = Draft::try_from(draft).unwrap();
        let place = Place::first(draft.series(&secret));
        self.sealed(draft, place)
    }

    /// The withdrawal of one of its records.
    pub(crate) fn withdrawal(&self, of: &pb::Envelope) -> pb::Envelope {
        let header = Header::decode(&of.header).unwrap();
        let content = pb::Withdrawal { reason: 1, explanation: "mistaken".into() };
        self.sealed(Draft::withdrawal(content).unwrap(), Place::end(header.series))
    }

    /// An order to erase slots of a record, signed with the key of this agency.
    pub(crate) fn order(&self, id: &RecordId, slots: SlotMask) -> ErasureOrder {
        let key = (self.keys.record.signing_key(), self.keys.record.public().id());
        ErasureOrder::sign(id, slots, ErasureBasis::CourtOrder, now(), key)
    }

    /// One of its records with these slots marked as erased.
    pub(crate) fn with_erased(&self, envelope: &pb::Envelope, slots: SlotMask) -> pb::Envelope {
        let ring = OneKey(self.keys.record.signing_key().verifying_key());
        let signed = Signed::decode(envelope.clone()).unwrap();
        let record = signed.verify(&ring, &mut VerifiedRoots::default()).unwrap();
        record.erased(slots).envelope()
    }

    /// Returns a receipt for a batch of the node's feed, signed at this time, with the entries that it
    /// claims not to have taken.
    pub(crate) fn receipt(
        &self,
        batch: &pb::FeedBatch,
        at: Timestamp,
        exceptions: &[Exception],
    ) -> pb::Receipt {
        let cosigner = self.cosigner("receipt", &self.keys.receipt);
        let feed = feed_origin(&self.node, &self.name(), Generation::FIRST);
        let range = batch.start..batch.start + batch.entries.len() as u64;
        let statement = ExceptionStatement::sign(&feed, range, exceptions, &cosigner);
        pb::Receipt {
            note: cosigned(&batch.note, &cosigner, at),
            exceptions: exceptions.iter().map(Into::into).collect(),
            statements: vec![(&statement).into()],
        }
    }

    /// The answer of a witness to a checkpoint of the node's journal, signed at this time.
    pub(crate) fn cosignature(
        &self,
        shown: &pb::AddCheckpoint,
        at: Timestamp,
    ) -> pb::CheckpointAnswer {
        let cosigner = self.cosigner("witness", &self.keys.witness);
        pb::CheckpointAnswer { note: cosigned(&shown.note, &cosigner, at), known_size: 0 }
    }

    fn cosigner(&self, role: &str, key: &SecretKey) -> Cosigner {
        let name = format!("{}/{role}", self.name()).parse().unwrap();
        Cosigner::new(name, key.signing_key().clone())
    }

    fn sealed(&self, draft: Draft, place: Place) -> pb::Envelope {
        let sealed = draft.seal(self.name(), place, now(), || {
            let mut salt = [0; 16];
            getrandom::fill(&mut salt).unwrap();
            salt
        });
        let key = self.keys.record.signing_key();
        let signed =
            draft::sign(vec![sealed], key, self.keys.record.public().id(), || [5; 32]).unwrap();
        signed[0].envelope()
    }

    /// Puts records into the feed for the node; gives the batch with a head that holds.
    pub(crate) fn batch(&mut self, envelopes: Vec<pb::Envelope>) -> pb::FeedBatch {
        let disclose = |envelope| (shown(FeedAction::Disclose, &envelope), envelope);
        self.batch_of(envelopes.into_iter().map(disclose).collect())
    }

    /// The same for entries of any sort, each with its envelope.
    pub(crate) fn batch_of(&mut self, with: Vec<(FeedEntry, pb::Envelope)>) -> pb::FeedBatch {
        let entries: Vec<Bytes> = with.iter().map(|(entry, _)| entry.encode()).collect();
        self.batch_of_bytes(entries, with.into_iter().map(|(_, envelope)| envelope).collect())
    }

    /// Puts entries into the feed for the node, whatever they contain; gives the batch with a head
    /// that holds.
    pub(crate) fn batch_of_bytes(
        &mut self,
        entries: Vec<Bytes>,
        envelopes: Vec<pb::Envelope>,
    ) -> pb::FeedBatch {
        let start = self.entries.len() as u64;
        self.entries.extend(entries.iter().cloned());
        let leaves = self.entries.iter().map(|entry| leaf_hash(entry));
        let head = leaves.collect::<Frontier>().head();
        let origin = feed_origin(&self.name(), &self.node, Generation::FIRST);
        let signer = NoteSigner::new(
            origin.as_str().parse().unwrap(),
            self.keys.journal.signing_key().clone(),
        );
        let checkpoint = Checkpoint::new(origin, head).unwrap();
        let note = SignedCheckpoint::sign(checkpoint, &signer).to_bytes().into();
        pb::FeedBatch { start, entries, envelopes, note }
    }

    /// Entries of its feed for the node.
    pub(crate) fn size(&self) -> usize {
        self.entries.len()
    }

    /// Takes entries back that the node never receipted.
    pub(crate) fn truncate(&mut self, size: usize) {
        self.entries.truncate(size);
    }

    /// Begins its feed anew, as if nothing had ever been signed.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
    }

    /// Sends a batch on a stream of its own and gives the receipt.
    pub(crate) async fn deliver(&self, batch: pb::FeedBatch) -> pb::Receipt {
        self.open(None).await.unwrap().deliver(batch).await
    }
}

/// The one record key that there is.
struct OneKey(VerifyingKey);

impl KeyRing for OneKey {
    fn record_key(&self, _: &AgencyName, _: KeyId, _: Timestamp) -> Option<VerifyingKey> {
        Some(self.0)
    }
}

/// A note with one more line, which was signed at this time.
fn cosigned(note: &[u8], by: &Cosigner, at: Timestamp) -> Bytes {
    let note = Note::parse(note).unwrap();
    let line = by.cosign(&Checkpoint::parse(note.text()).unwrap(), at.into());
    [note.to_bytes(), format!("{line}\n").into_bytes()].concat().into()
}

/// The entry that shows all open slots of a record.
pub(crate) fn shown(action: FeedAction, envelope: &pb::Envelope) -> FeedEntry {
    let open = |(n, slot): (u32, &pb::Slot)| {
        if slot.state() == pb::SlotState::Open { 1 << n } else { 0 }
    };
    let slots = (1..).zip(&envelope.slots).map(open).sum();
    let id = liaison::record::commit::record_id(&envelope.header);
    duty(action, id, SlotMask::from_bits(slots))
}

/// An entry without an order.
pub(crate) fn duty(action: FeedAction, record: RecordId, open_slots: SlotMask) -> FeedEntry {
    FeedEntry {
        action,
        record,
        open_slots,
        policy_version: PolicyVersion::new(1),
        at: now(),
        order: None,
        message: None,
    }
}

pub(crate) fn send(out: &mpsc::UnboundedSender<pb::ExchangeRequest>, body: Body) {
    let frame = Some(pb::ExchangeFrame { body: Some(body) });
    // A stream that was cut meanwhile shows when it is read.
    let _ = out.send(pb::ExchangeRequest { frame });
}

impl Stream {
    pub(crate) fn send(&self, body: Body) {
        send(&self.out, body);
    }

    /// Returns the next frame; nothing when the stream ended.
    pub(crate) async fn next(&mut self) -> Option<Result<Body, Status>> {
        let next = self.inbound.next().await?;
        Some(next.map(|response| response.frame.unwrap().body.unwrap()))
    }

    /// The receipt for a batch of this size.
    pub(crate) async fn deliver(&mut self, batch: pb::FeedBatch) -> pb::Receipt {
        let end = batch.start + batch.entries.len() as u64;
        self.send(Body::FeedBatch(batch));
        loop {
            match self.next().await {
                Some(Ok(Body::Receipt(receipt))) if size_of(&receipt) == end => return receipt,
                Some(Ok(_)) => {}
                other => panic!("wanted a receipt, found {other:?}"),
            }
        }
    }

    /// The next batch of the node's feed.
    pub(crate) async fn batch(&mut self) -> pb::FeedBatch {
        self.next_of(|body| match body {
            Body::FeedBatch(batch) => Some(batch),
            _ => None,
        })
        .await
    }

    /// The next checkpoint of the node's journal that is shown to its witness.
    pub(crate) async fn checkpoint(&mut self) -> pb::AddCheckpoint {
        self.next_of(|body| match body {
            Body::AddCheckpoint(shown) => Some(shown),
            _ => None,
        })
        .await
    }

    async fn next_of<T>(&mut self, wanted: impl Fn(Body) -> Option<T>) -> T {
        let waiting = async {
            loop {
                match self.next().await {
                    Some(Ok(body)) => {
                        if let Some(found) = wanted(body) {
                            return found;
                        }
                    }
                    other => panic!("the stream ended before what was wanted came: {other:?}"),
                }
            }
        };
        tokio::time::timeout(fixture::DEADLINE, waiting).await.unwrap()
    }

    /// Reads to the end, whatever comes.
    pub(crate) async fn ended(mut self) {
        let end = async { while let Some(Ok(_)) = self.next().await {} };
        tokio::time::timeout(fixture::DEADLINE, end).await.unwrap();
    }
}

fn size_of(receipt: &pb::Receipt) -> u64 {
    let note = Note::parse(&receipt.note).unwrap();
    Checkpoint::parse(note.text()).unwrap().size().get()
}
