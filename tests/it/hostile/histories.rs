//! Random histories of a partner that lies: forged, repeated, reordered, oversized, endless and
//! contradicting frames between honest ones. After each, the node holds what an honest partner would
//! have given it and nothing else; at the end its audit verifies.
//!
//! `LIAISON_HOSTILE_HISTORIES` says how many, and `LIAISON_HOSTILE_SEED` repeats a run.

#![allow(clippy::print_stderr, reason = "says how a run can be repeated")]

use std::time::Duration;

use bytes::Bytes;
use liaison::merkle::{Checkpoint, Note};
use liaison::pb::{self, exchange_frame::Body};
use prost::Message as _;

use super::memory::memory_peak;
use crate::fixture::{CORE_ONLY, DEADLINE, RunningNode, eventually, indicator, introduce};
use crate::impostor::{Impostor, Stream};
use crate::random::Random;

/// Histories of a usual run; some ten seconds.
const HISTORIES: u64 = 150;
/// Steps of one history.
const STEPS_MAX: u64 = 6;
/// The longest time for reading the rest of a stream.
const PATIENCE: Duration = Duration::from_millis(50);
/// Histories between two lines of a long run.
const REPORTED_EACH: u64 = 250;
/// Memory beyond that of an idle node: several of the largest messages.
const MEMORY_MAX: u64 = 192 << 20;
/// Memory of a further partner: the policy that is compiled for it.
const PARTNER_MEMORY_MAX: u64 = 1 << 20;

/// The expected effect of the history, had an honest partner sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Wanted {
    records: u64,
    received: u64,
}

struct Liar {
    random: Random,
    impostor: Impostor,
    /// The number of impostors that were frozen before this one.
    frozen: u64,
    hosts: u64,
    last: Option<pb::FeedBatch>,
    wanted: Wanted,
    /// The steps of this history, for a failure.
    steps: Vec<&'static str>,
}

/// The state of the stream after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    Leave,
    Frozen,
}

async fn impostor(number: u64, node: &RunningNode) -> Impostor {
    Impostor::enrolled_at(&format!("liar{number}.example"), node).await
}

/// The receipt for all entries up to `end`, unless the stream ends first.
async fn receipt(stream: &mut Stream, end: usize) -> Option<pb::Receipt> {
    let waiting = async {
        loop {
            match stream.next().await {
                Some(Ok(Body::Receipt(receipt))) => {
                    let note = Note::parse(&receipt.note).unwrap();
                    let size = Checkpoint::parse(note.text()).unwrap().size().get();
                    if size == end as u64 {
                        return Some(receipt);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("a batch is answered or the stream ends")
}

impl Liar {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.random.next() as u8).collect()
    }

    fn records(&mut self) -> Vec<pb::Envelope> {
        let count = 1 + self.random.below(3);
        let hosts = self.hosts..self.hosts + count;
        self.hosts += count;
        hosts
            .map(|n| self.impostor.record(indicator(&format!("h{n}.hostile.example"), "")))
            .collect()
    }

    async fn history(&mut self) -> Then {
        self.steps.clear();
        let Ok(mut stream) = self.impostor.open(None).await else {
            panic!("a partner that is not frozen is let in");
        };
        for _ in 0..=self.random.below(STEPS_MAX) {
            match self.step(&mut stream).await {
                Then::GoOn => {}
                Then::Frozen => {
                    stream.ended().await;
                    return Then::Frozen;
                }
                then => {
                    if self.random.below(2) == 0 {
                        let rest = async { while let Some(Ok(_)) = stream.next().await {} };
                        // Not every step ends the stream.
                        let _ = tokio::time::timeout(PATIENCE, rest).await;
                    }
                    return then;
                }
            }
        }
        Then::Leave
    }

    async fn step(&mut self, stream: &mut Stream) -> Then {
        match self.random.below(16) {
            0..=2 => self.honest(stream).await,
            3 => self.forged(stream).await,
            4 => self.junk(stream).await,
            5 => self.duties(stream).await,
            6 => self.repeats(stream),
            7 => self.out_of_order(stream),
            8 => self.other_head(stream),
            9 => self.oversized(stream),
            10 => self.endless(stream),
            11 => self.out_of_protocol(stream),
            12 => self.checkpoint(stream).await,
            13 => self.receipts(stream),
            14 => self.garbage_note(stream),
            _ => self.contradiction(stream),
        }
    }

    async fn honest(&mut self, stream: &mut Stream) -> Then {
        self.steps.push("honest");
        let records = self.records();
        let count = records.len() as u64;
        let batch = self.impostor.batch(records);
        self.last = Some(batch.clone());
        stream.send(Body::FeedBatch(batch));
        let receipt =
            receipt(stream, self.impostor.size()).await.expect("an honest batch is taken");
        assert_eq!(receipt.exceptions, []);
        self.wanted.records += count;
        self.wanted.received += count;
        Then::GoOn
    }

    /// Delivers entries under a head that holds; none of them may bring a record.
    async fn deliver(&mut self, stream: &mut Stream, batch: pb::FeedBatch) -> Then {
        let count = batch.entries.len();
        stream.send(Body::FeedBatch(batch.clone()));
        match receipt(stream, self.impostor.size()).await {
            Some(receipt) => {
                assert_eq!(receipt.exceptions.len(), count, "{:?}", self.steps);
                self.last = Some(batch);
                self.wanted.received += count as u64;
                Then::GoOn
            }
            None => {
                self.impostor.truncate(self.impostor.size() - count);
                Then::Leave
            }
        }
    }

    async fn forged(&mut self, stream: &mut Stream) -> Then {
        self.steps.push("forged");
        let mut records = self.records();
        for record in &mut records {
            let signature = record.signature.as_mut().unwrap();
            let field = match self.random.below(3) {
                0 => &mut signature.signature,
                1 => &mut signature.path,
                _ => &mut signature.key_id,
            };
            let mut bytes = field.to_vec();
            let place = self.random.index(bytes.len());
            bytes[place] ^= 1 << self.random.below(8);
            *field = bytes.into();
        }
        let batch = self.impostor.batch(records);
        self.deliver(stream, batch).await
    }

    async fn junk(&mut self, stream: &mut Stream) -> Then {
        self.steps.push("junk");
        let count = 1 + self.random.index(4);
        let entries: Vec<Bytes> = (0..count)
            .map(|_| {
                let length = self.random.index(300);
                self.bytes(length).into()
            })
            .collect();
        let envelopes = entries
            .iter()
            .map(|_| pb::Envelope { header: self.bytes(100).into(), ..Default::default() })
            .collect();
        let batch = self.impostor.batch_of_bytes(entries, envelopes);
        self.deliver(stream, batch).await
    }

    /// Duties on records that are not here, without the orders that they need.
    async fn duties(&mut self, stream: &mut Stream) -> Then {
        self.steps.push("duties");
        let count = 1 + self.random.index(4);
        let entries: Vec<Bytes> = (0..count)
            .map(|_| {
                let entry = pb::FeedEntry {
                    action: [3, 4, 5, 9][self.random.index(4)],
                    record_id: self.bytes(32).into(),
                    open_slots: self.random.next() as u32,
                    policy_version: 1,
                    at_ms: 1_760_000_000_000,
                    ..pb::FeedEntry::default()
                };
                entry.encode_to_vec().into()
            })
            .collect();
        let envelopes = vec![pb::Envelope::default(); count];
        let batch = self.impostor.batch_of_bytes(entries, envelopes);
        stream.send(Body::FeedBatch(batch));
        match receipt(stream, self.impostor.size()).await {
            // A duty on what is not here changes nothing, and the answer does not say which it is.
            Some(_) => {
                self.wanted.received += count as u64;
                self.last = None;
                Then::GoOn
            }
            None => {
                self.impostor.truncate(self.impostor.size() - count);
                Then::Leave
            }
        }
    }

    fn repeats(&mut self, stream: &Stream) -> Then {
        self.steps.push("repeats");
        let Some(batch) = &self.last else { return Then::GoOn };
        for _ in 0..1 + self.random.below(200) {
            stream.send(Body::FeedBatch(batch.clone()));
        }
        Then::Leave
    }

    fn out_of_order(&mut self, stream: &Stream) -> Then {
        self.steps.push("out of order");
        let before = self.impostor.size();
        let records = self.records();
        let mut batch = self.impostor.batch(records);
        self.impostor.truncate(before);
        batch.start = match self.random.below(3) {
            0 => batch.start + 1 + self.random.below(5),
            1 => u64::MAX - self.random.below(3),
            _ => batch.start.saturating_sub(1),
        };
        if batch.start == before as u64 {
            batch.start += 1;
        }
        stream.send(Body::FeedBatch(batch));
        Then::Leave
    }

    /// The head is over other entries than those that are sent.
    fn other_head(&mut self, stream: &Stream) -> Then {
        self.steps.push("other head");
        let before = self.impostor.size();
        let (first, second) = (self.records(), self.records());
        let longer = self.impostor.batch([first.clone(), second].concat());
        self.impostor.truncate(before);
        let mut batch = self.impostor.batch(first);
        self.impostor.truncate(before);
        batch.note = longer.note;
        stream.send(Body::FeedBatch(batch));
        Then::Leave
    }

    fn oversized(&mut self, stream: &Stream) -> Then {
        self.steps.push("oversized");
        let start = self.impostor.size() as u64;
        let (count, bytes) = match self.random.below(4) {
            0 => (1_025, 10),
            1 => (3, 1 << 20),
            2 => (1, 6 << 20),
            _ => (0, 0),
        };
        stream.send(Body::FeedBatch(pb::FeedBatch {
            start,
            entries: vec![vec![7; bytes].into(); count],
            envelopes: vec![pb::Envelope::default(); count],
            note: self.bytes(50).into(),
        }));
        Then::Leave
    }

    /// Frames without end, and nobody reads what comes.
    fn endless(&mut self, stream: &Stream) -> Then {
        self.steps.push("endless");
        for _ in 0..500 {
            stream.send(Body::AddCheckpoint(pb::AddCheckpoint {
                old_size: self.random.below(9),
                proof: Vec::new(),
                note: vec![b'a'; 2_000].into(),
            }));
        }
        Then::Leave
    }

    fn out_of_protocol(&mut self, stream: &Stream) -> Then {
        self.steps.push("out of protocol");
        match self.random.below(4) {
            0 => stream.send(Body::Hello(pb::Hello::default())),
            1 => {
                stream.send(Body::Drain(pb::Drain {}));
                stream.send(Body::FeedBatch(pb::FeedBatch::default()));
            }
            2 => drop(stream.out.send(pb::ExchangeRequest { frame: None })),
            _ => stream.send(Body::CheckpointAnswer(pb::CheckpointAnswer {
                note: self.bytes(60).into(),
                known_size: self.random.next(),
            })),
        }
        Then::Leave
    }

    /// Shows what is not a checkpoint of its journal; it is answered and not cosigned.
    async fn checkpoint(&mut self, stream: &mut Stream) -> Then {
        self.steps.push("checkpoint");
        let hashes = self.random.index(50);
        stream.send(Body::AddCheckpoint(pb::AddCheckpoint {
            old_size: self.random.next(),
            proof: (0..hashes).map(|_| self.bytes(32).into()).collect(),
            note: self.last.as_ref().map_or_else(Bytes::new, |batch| batch.note.clone()),
        }));
        let waiting = async {
            loop {
                match stream.next().await {
                    Some(Ok(Body::CheckpointAnswer(answer))) => return answer,
                    Some(Ok(_)) => {}
                    other => panic!("wanted an answer, found {other:?}"),
                }
            }
        };
        let answer = tokio::time::timeout(DEADLINE, waiting).await.unwrap();
        assert_eq!(answer.note, Bytes::new());
        Then::GoOn
    }

    fn receipts(&mut self, stream: &Stream) -> Then {
        self.steps.push("receipts");
        let note = match &self.last {
            Some(batch) if self.random.below(2) == 0 => batch.note.clone(),
            _ => self.bytes(80).into(),
        };
        let exception = pb::FeedException { index: self.random.below(9), ..Default::default() };
        let exceptions = vec![exception; self.random.index(20_000)];
        stream.send(Body::Receipt(pb::Receipt { note, exceptions, ..Default::default() }));
        Then::Leave
    }

    fn garbage_note(&mut self, stream: &Stream) -> Then {
        self.steps.push("garbage note");
        let before = self.impostor.size();
        let records = self.records();
        let mut batch = self.impostor.batch(records);
        self.impostor.truncate(before);
        let mut note = batch.note.to_vec();
        let place = self.random.index(note.len());
        note[place] ^= 1 << self.random.below(7);
        batch.note = note.into();
        stream.send(Body::FeedBatch(batch));
        Then::Leave
    }

    /// Signs another history of what was receipted.
    fn contradiction(&mut self, stream: &Stream) -> Then {
        if self.impostor.size() == 0 || self.random.below(4) > 0 {
            return Then::GoOn;
        }
        self.steps.push("contradiction");
        let before = self.impostor.size();
        self.impostor.truncate(before - 1);
        let record = self.records().remove(0);
        let batch = self.impostor.batch(vec![record]);
        assert_eq!(self.impostor.size(), before);
        stream.send(Body::FeedBatch(batch));
        Then::Frozen
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_of_a_lying_partner_leave_what_an_honest_one_would() {
    let seed = variable("LIAISON_HOSTILE_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
    let histories = variable("LIAISON_HOSTILE_HISTORIES").unwrap_or(HISTORIES);
    eprintln!("LIAISON_HOSTILE_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    introduce(&[&node]).await;
    let mut liar = Liar {
        random: Random(seed),
        impostor: impostor(0, &node).await,
        frozen: 0,
        hosts: 0,
        last: None,
        wanted: Wanted::default(),
        steps: Vec::new(),
    };
    let idle = memory_peak(node.pid());
    for number in 0..histories {
        let then = liar.history().await;
        let partner = node.partner(&format!("liar{}.example", liar.frozen)).await;
        let records = node.status().await.records;
        let found = Wanted { records, received: partner.received };
        assert_eq!(found, liar.wanted, "history {number}: {:?}", liar.steps);
        let grown = memory_peak(node.pid()).saturating_sub(idle);
        let most = MEMORY_MAX + liar.frozen * PARTNER_MEMORY_MAX;
        assert!(
            grown < most,
            "history {number}: {grown} bytes with {} partners, {:?}",
            liar.frozen,
            liar.steps
        );
        if number % REPORTED_EACH == REPORTED_EACH - 1 {
            let (done, grown, frozen) = (number + 1, grown >> 20, liar.frozen);
            eprintln!("{done} histories, {records} records, {frozen} frozen, {grown} MiB more");
        }
        if then == Then::Frozen {
            eventually("the partner is frozen", async || liar.impostor.open(None).await.is_err())
                .await;
            liar.frozen += 1;
            liar.impostor = impostor(liar.frozen, &node).await;
            liar.last = None;
            liar.wanted.received = 0;
        }
    }
    node.end_audited().await;
}
