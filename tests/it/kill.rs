//! SIGKILL at 50 random moments of a submission: what was acknowledged is there, what was not is
//! wholly there or wholly absent, and no signed history contradicts another.

#![allow(clippy::print_stderr, reason = "a failure is repeated with the seed that was told")]

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::ident::{TreeHash, TreeSize};
use liaison::merkle::{Checkpoint, Note};
use liaison::partner::NodeKeys;
use liaison::pb::log_service_client::LogServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, draft::Content, get_record_request::Selector};
use liaison::policy::ClientRole;
use liaison::record::draft::{Draft, SeriesSecret};
use liaison::record::signed::Signed;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::fixture::{CORE_ONLY, RunningNode, draft, make};
use crate::random::Random;

const AGENCY: &str = "kill.example";
const ROUNDS: u64 = 50;
/// Clients that submit side by side.
const SUBMITTERS: u64 = 3;
/// Drafts of one request: together acknowledged, together there.
const DRAFTS: u64 = 3;
/// Answers of a round before the kill, at the most.
const ANSWERS_MAX: u64 = 10;
/// Rounds between two audits of the whole directory.
const AUDIT_EVERY: u64 = 25;

/// From LIAISON_KILL_SEED, else from the system.
fn seed() -> u64 {
    std::env::var("LIAISON_KILL_SEED")
        .ok()
        .map_or_else(|| getrandom::u64().unwrap(), |text| text.parse().unwrap())
}

/// The records of one request: which request it is, and its drafts.
pub(crate) fn drafts(round: u64, submitter: u64, request: u64) -> Vec<pb::Draft> {
    (0..DRAFTS)
        .map(|n| {
            let name = format!("{round}-{submitter}-{request}-{n}");
            let text = format!("what {name} says");
            let note = pb::Note { title: name.clone(), text, ..pb::Note::default() };
            draft(&name, Content::Note(note))
        })
        .collect()
}

/// An event that a submitter saw.
enum Seen {
    Sent(Vec<pb::Draft>),
    Acknowledged { ids: Vec<Bytes>, note: Bytes },
}

/// Submits until the node is gone.
async fn submitter(channel: Channel, round: u64, number: u64, seen: mpsc::UnboundedSender<Seen>) {
    let mut client = RecordServiceClient::new(channel);
    for request in 0.. {
        let drafts = drafts(round, number, request);
        seen.send(Seen::Sent(drafts.clone())).unwrap();
        let Ok(answer) = client.submit_records(pb::SubmitRecordsRequest { drafts }).await else {
            return;
        };
        let answer = answer.into_inner();
        let created = |r: &pb::DraftResult| r.outcome() == pb::DraftOutcome::Created;
        assert!(answer.results.iter().all(created), "{:?}", answer.results);
        let ids = answer.results.into_iter().map(|result| result.record_id).collect();
        seen.send(Seen::Acknowledged { ids, note: answer.checkpoint_note }).unwrap();
    }
}

/// The known history of the node over all its lives.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) acknowledged: Vec<Bytes>,
    /// The one root that was ever signed for a size.
    roots: HashMap<TreeSize, TreeHash>,
    newest: Option<(TreeSize, Bytes)>,
}

impl History {
    pub(crate) fn checkpoint(&mut self, note: &Bytes) {
        let parsed = Checkpoint::parse(Note::parse(note).unwrap().text()).unwrap();
        let (size, root) = (parsed.size(), parsed.root());
        let before = *self.roots.entry(size).or_insert(root);
        assert_eq!(before, root, "two roots were signed for {size} entries");
        if self.newest.as_ref().is_none_or(|(newest, _)| *newest < size) {
            self.newest = Some((size, note.clone()));
        }
    }
}

/// Submits, kills after so many answers; gives what was sent and what was acknowledged.
async fn one_life(
    node: RunningNode,
    round: u64,
    answers: u64,
    history: &mut History,
) -> (Vec<Vec<pb::Draft>>, Vec<Bytes>) {
    let (seen, mut saw) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for number in 0..SUBMITTERS {
        let channel = node.channel(ClientRole::Analyst).await;
        tasks.spawn(submitter(channel, round, number, seen.clone()));
    }
    drop(seen);
    let (mut node, mut sent, mut acknowledged, mut count) = (Some(node), Vec::new(), Vec::new(), 0);
    if answers == 0 {
        node.take().unwrap().kill().await;
    }
    while let Some(seen) = saw.recv().await {
        match seen {
            Seen::Sent(drafts) => sent.push(drafts),
            Seen::Acknowledged { ids, note } => {
                acknowledged.extend(ids);
                history.checkpoint(&note);
                count += 1;
            }
        }
        if let Some(node) = node.take_if(|_| count >= answers) {
            node.kill().await;
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    (sent, acknowledged)
}

pub(crate) async fn find(
    client: &mut RecordServiceClient<Channel>,
    selector: Selector,
) -> Option<Signed> {
    let request = pb::GetRecordRequest { selector: Some(selector) };
    match client.get_record(request).await {
        Ok(found) => {
            let envelope = found.into_inner().record.unwrap().envelope.unwrap();
            // Checks all slots against what was signed.
            Some(Signed::decode(envelope).unwrap())
        }
        Err(status) => {
            assert_eq!(status.code(), tonic::Code::NotFound, "{status}");
            None
        }
    }
}

async fn check_life(
    node: &RunningNode,
    secret: &SeriesSecret,
    sent: Vec<Vec<pb::Draft>>,
    acknowledged: &[Bytes],
) {
    let mut client = node.analyst().await;
    for id in acknowledged {
        let found = find(&mut client, Selector::RecordId(id.clone())).await;
        assert!(found.is_some(), "an acknowledged record is lost");
    }
    for request in sent {
        let mut there = 0;
        for draft in request {
            let series = Draft::try_from(draft).unwrap().series(secret);
            let series = Bytes::copy_from_slice(series.as_bytes());
            there += u64::from(find(&mut client, Selector::Series(series)).await.is_some());
        }
        assert!(
            there == 0 || there == DRAFTS,
            "{there} of {DRAFTS} records of a request are there"
        );
    }
}

/// An auditor who kept the newest checkpoint looks at the files.
pub(crate) fn audit(dir: &Path, history: &History) {
    let Some((_, note)) = &history.newest else { return };
    let kept = dir.join("kept-checkpoint.txt");
    std::fs::write(&kept, note).unwrap();
    let options = AuditOptions { checkpoint: Some(kept), ..AuditOptions::default() };
    let report = verify_directory(dir, &options).unwrap();
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert!(report.records >= history.acknowledged.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_no_history_contradicts_another_when_killed() {
    let seed = seed();
    eprintln!("LIAISON_KILL_SEED={seed}");
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(AGENCY);
    make(&dir, AGENCY, "police", CORE_ONLY);
    let secret = SeriesSecret::from_bytes(*NodeKeys::load(&dir).unwrap().series.as_bytes());
    let (mut moments, mut history) = (Random(seed), History::default());
    let mut node = RunningNode::start(&dir, AGENCY).await;
    for round in 1..=ROUNDS {
        let answers = moments.below(ANSWERS_MAX + 1);
        let (sent, acknowledged) = one_life(node, round, answers, &mut history).await;
        history.acknowledged.extend(acknowledged.iter().cloned());
        if round % AUDIT_EVERY == 0 {
            audit(&dir, &history);
        }
        node = RunningNode::start(&dir, AGENCY).await;
        check_life(&node, &secret, sent, &acknowledged).await;
        let mut log = LogServiceClient::new(node.channel(ClientRole::Analyst).await);
        let request = pb::GetCheckpointRequest { feed: String::new() };
        history.checkpoint(&log.get_checkpoint(request).await.unwrap().into_inner().note);
    }
    let mut client = node.analyst().await;
    for id in &history.acknowledged {
        assert!(find(&mut client, Selector::RecordId(id.clone())).await.is_some());
    }
    node.kill().await;
    audit(&dir, &history);
}
