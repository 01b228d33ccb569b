//! A directory that is copied back: the node finds out before it signs, as the one that is
//! witnessed and as the witness.

use std::path::{Path, PathBuf};

use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::node::config::{Config, GuardStart};
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, exchange_frame::Body};
use liaison::policy::ClientRole;
use tempfile::TempDir;

use crate::fixture::{
    CORE_ONLY, RunningNode, copy, eventually, introduce, make, settled, some_indicator,
};
use crate::impostor::Impostor;

pub(crate) const POLICE: &str = "police.example";
pub(crate) const CERT: &str = "cert.example";

/// A node that asks its witnesses whenever something happened.
pub(crate) async fn eager(parent: &Path, agency: &str, sector: &str) -> RunningNode {
    let dir = parent.join(agency);
    make(&dir, agency, sector, CORE_ONLY);
    configure(&dir, |config| config.witness.every_seconds = 0);
    RunningNode::start(&dir, agency).await
}

fn configure(dir: &Path, change: impl FnOnce(&mut Config)) {
    let mut config = Config::load(dir).unwrap();
    change(&mut config);
    config.store(dir).unwrap();
}

pub(crate) async fn pair() -> (TempDir, RunningNode, RunningNode) {
    let parent = tempfile::tempdir().unwrap();
    let police = eager(parent.path(), POLICE, "police").await;
    let cert = eager(parent.path(), CERT, "cert").await;
    introduce(&[&police, &cert]).await;
    settled(&[&police, &cert]).await;
    (parent, police, cert)
}

pub(crate) fn put_back(copy_of: &Path, dir: &Path) {
    std::fs::remove_dir_all(dir).unwrap();
    copy(copy_of, dir);
}

/// Stops the node, copies its directory and starts it again.
pub(crate) async fn backed_up(node: RunningNode, parent: &Path) -> (RunningNode, PathBuf) {
    let (dir, agency) = (node.dir.clone(), node.agency.clone());
    node.kill().await;
    let backup = parent.join("backup");
    copy(&dir, &backup);
    (RunningNode::start(&dir, &agency).await, backup)
}

/// Returns the size of the node's journal that its partner cosigned.
pub(crate) async fn witnessed(node: &RunningNode) -> u64 {
    let status = node.status().await;
    status.witnesses.iter().map(|witness| witness.cosigned_size).max().unwrap_or_default()
}

pub(crate) async fn guard(node: &RunningNode) -> pb::GuardState {
    node.status().await.guard.unwrap().state()
}

async fn refusal(node: &RunningNode) -> tonic::Status {
    let mut client = RecordServiceClient::new(node.channel(ClientRole::Analyst).await);
    let request = pb::SubmitRecordsRequest { drafts: vec![some_indicator()] };
    client.submit_records(request).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partners_cosign_each_others_journal_and_come_to_rest() {
    let (_parent, police, cert) = pair().await;
    police.submit(vec![some_indicator()]).await;
    settled(&[&police, &cert]).await;
    let (size, _) = police.journal().await;
    eventually("the journal is witnessed to its last entry that is no cosignature", async || {
        witnessed(&police).await > 0 && witnessed(&cert).await > 0
    })
    .await;
    assert!(police.journal().await.0 >= size);
    // Nothing grows any more though nobody waits for anything: cosignatures provoke none.
    settled(&[&police, &cert]).await;
    for node in [police, cert] {
        let dir = node.dir.clone();
        node.kill().await;
        let report = verify_directory(&dir, &AuditOptions::default()).unwrap();
        assert!(report.failure.is_none(), "{:?}", report.failure);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_copied_back_signs_nothing_until_the_newest_copy_is_back() {
    let (parent, police, cert) = pair().await;
    let (police, old) = backed_up(police, parent.path()).await;
    police.submit(vec![some_indicator()]).await;
    settled(&[&police, &cert]).await;
    let before = witnessed(&police).await;
    eventually("the partner cosigned what came since", async || {
        witnessed(&police).await >= before && police.partner(CERT).await.receipted > 0
    })
    .await;
    let (dir, size) = (police.dir.clone(), police.journal().await.0);
    police.kill().await;
    let newest = parent.path().join("newest");
    copy(&dir, &newest);

    put_back(&old, &dir);
    let police = RunningNode::start(&dir, POLICE).await;
    eventually("it knows that it is an old copy", async || {
        guard(&police).await == pb::GuardState::Behind
    })
    .await;
    let refused = refusal(&police).await;
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("old copy"), "{refused}");
    let own = police.journal().await;
    assert!(own.0 < size);
    let log = verify_directory(&dir, &AuditOptions::default()).unwrap();
    assert_eq!(log.checkpoint.size.get(), own.0, "nothing was signed");
    police.kill().await;

    put_back(&newest, &dir);
    let police = RunningNode::start(&dir, POLICE).await;
    police.submit(vec![some_indicator()]).await;
    settled(&[&police, &cert]).await;
    assert_eq!(guard(&police).await, pb::GuardState::Open);
    let kept = dir.join("kept.txt");
    std::fs::write(&kept, cosigned_note_of(&newest)).unwrap();
    let options = AuditOptions { checkpoint: Some(kept), ..AuditOptions::default() };
    police.kill().await;
    let report = verify_directory(&dir, &options).unwrap();
    assert!(report.failure.is_none(), "{:?}", report.failure);
}

/// The last checkpoint in a directory.
fn cosigned_note_of(dir: &Path) -> Vec<u8> {
    let segments = dir.join("store").join("segments");
    let mut files: Vec<_> =
        std::fs::read_dir(segments).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let bytes: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    let start = format!("{POLICE}/journal\n").into_bytes();
    let at = bytes.windows(start.len()).rposition(|window| window == start).unwrap();
    let dash = "\u{2014} ".as_bytes();
    let line = at + bytes[at..].windows(dash.len()).position(|w| w == dash).unwrap();
    let end = line + bytes[line..].iter().position(|byte| *byte == b'\n').unwrap();
    bytes[at..=end].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_was_copied_back_does_not_cosign_a_second_branch() {
    let (parent, police, cert) = pair().await;
    let (cert, old) = backed_up(cert, parent.path()).await;
    settled(&[&police, &cert]).await;
    let before = witnessed(&police).await;
    police.submit(vec![some_indicator()]).await;
    eventually("the witness cosigned it", async || witnessed(&police).await > before).await;
    let dir = cert.dir.clone();
    cert.kill().await;
    put_back(&old, &dir);
    let cert = RunningNode::start(&dir, CERT).await;
    eventually("the log shows the witness its own cosignature", async || {
        guard(&cert).await == pb::GuardState::Behind
    })
    .await;
    let size = cert.journal().await;
    police.submit(vec![some_indicator()]).await;
    let cosigned = witnessed(&police).await;
    assert_eq!(cert.journal().await, size, "it cosigned nothing");
    assert_eq!(witnessed(&police).await, cosigned);
    assert_eq!(refusal(&cert).await.code(), tonic::Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_partners_are_away_waits_or_goes_on_as_it_is_told() {
    let (_parent, police, cert) = pair().await;
    police.submit(vec![some_indicator()]).await;
    settled(&[&police, &cert]).await;
    cert.kill().await;
    let dir = police.dir.clone();
    police.kill().await;
    let police = RunningNode::start(&dir, POLICE).await;
    assert_eq!(guard(&police).await, pb::GuardState::Asking);
    assert_eq!(police.status().await.guard.unwrap().awaited, [CERT]);
    police.kill().await;
    configure(&dir, |config| {
        config.guard.start = GuardStart::Warn;
        config.guard.warn_after_seconds = 0;
    });
    let police = RunningNode::start(&dir, POLICE).await;
    police.submit(vec![some_indicator()]).await;
    assert_eq!(guard(&police).await, pb::GuardState::Unanswered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_shows_two_histories_is_frozen_for_good() {
    let parent = tempfile::tempdir().unwrap();
    let node = eager(parent.path(), POLICE, "police").await;
    introduce(&[&node]).await;
    let mut impostor = Impostor::enrolled_at("impostor.example", &node).await;
    let first = impostor.record(some_indicator());
    let batch = impostor.batch(vec![first]);
    impostor.deliver(batch).await;
    impostor.forget();
    let other = impostor.record(some_indicator());
    let batch = impostor.batch(vec![other]);
    let stream = impostor.open(None).await.unwrap();
    stream.send(Body::FeedBatch(batch));
    stream.ended().await;
    eventually("the evidence is kept", async || !node.status().await.contradictions.is_empty())
        .await;
    let found = node.status().await.contradictions.remove(0);
    assert_eq!(found.partner, "impostor.example");
    assert_eq!(found.kind(), pb::Contradiction::Entries);
    assert!(impostor.open(None).await.is_err(), "a frozen partner is let in");
    let (dir, agency) = (node.dir.clone(), node.agency.clone());
    node.kill().await;
    let node = RunningNode::start(&dir, &agency).await;
    assert_eq!(node.status().await.contradictions.len(), 1, "frozen after a restart");
    assert!(impostor.open(None).await.is_err());
}
