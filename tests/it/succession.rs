//! A node whose newest copy is an old one goes on under its name: its logs are succeeded, partners
//! accept its new card, and everything flows again.

use std::path::Path;
use std::process::Output;

use liaison::audit::Remark;
use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::ident::Generation;
use liaison::pb;
use tokio::process::Command;

use crate::fixture::{PROGRAM, RunningNode, copy, eventually, introduce, settled, some_indicator};
use crate::impostor::Impostor;
use crate::rollback::{CERT, POLICE, backed_up, eager, guard, pair, put_back, witnessed};
use crate::verify_export::holds_for_the_script;

const VENDOR: &str = "vendor.example";

async fn succeed(dir: &Path) -> Output {
    Command::new(PROGRAM)
        .args(["store", "succeed", "--accept-loss", "--by", "K. Tanaka", "--reason", "disk lost"])
        .arg("--dir")
        .arg(dir)
        .output()
        .await
        .unwrap()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Accepts, as an officer of each partner, the card that lies in the node's directory.
async fn accept(card_of: &RunningNode, at: &[&RunningNode]) {
    let own = card_of.admin().await.get_own_card(pb::GetOwnCardRequest {}).await.unwrap();
    let own = own.into_inner();
    for node in at {
        node.add_partner(&own.card, &own.number).await;
    }
}

async fn records(node: &RunningNode) -> u64 {
    node.status().await.records
}

async fn is_behind(node: &RunningNode) -> bool {
    guard(node).await == pb::GuardState::Behind
}

/// Stops the nodes and verifies their histories; gives the remarks on the first.
async fn audited(nodes: Vec<RunningNode>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for node in nodes {
        let dir = node.dir.clone();
        let report = node.end_audited().await;
        holds_for_the_script(&dir);
        remarks.push(report.remarks);
    }
    remarks.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_entries_goes_on_under_its_name() {
    let parent = tempfile::tempdir().unwrap();
    let police = eager(parent.path(), POLICE, "police").await;
    let cert = eager(parent.path(), CERT, "cert").await;
    let vendor = eager(parent.path(), VENDOR, "vendor").await;
    introduce(&[&police, &cert, &vendor]).await;
    for node in [&police, &cert, &vendor] {
        node.submit(vec![some_indicator()]).await;
    }
    settled(&[&police, &cert, &vendor]).await;
    let (police, old) = backed_up(police, parent.path()).await;
    let copied = police.journal().await.0;
    // One record of each since: that of the police is what it loses for good.
    for node in [&police, &cert, &vendor] {
        node.submit(vec![some_indicator()]).await;
    }
    settled(&[&police, &cert, &vendor]).await;
    let (dir, before) = (police.dir.clone(), police.partner(CERT).await);
    let size = police.journal().await.0;
    eventually("the partner cosigned what came since", async || witnessed(&police).await > copied)
        .await;
    police.kill().await;
    let newest = parent.path().join("newest");
    copy(&dir, &newest);
    put_back(&old, &dir);
    let police = RunningNode::start(&dir, POLICE).await;
    eventually("it knows that it is an old copy", async || is_behind(&police).await).await;
    let running = succeed(&dir).await;
    assert!(!running.status.success(), "a running node's logs are succeeded by nobody");
    let left = police.journal().await.0;
    police.kill().await;

    let made = succeed(&dir).await;
    assert!(made.status.success(), "{}", words(&made.stderr));
    let told = words(&made.stdout);
    assert!(told.contains(&format!("behind {left} entries")), "{told}");
    let again = succeed(&dir).await;
    assert!(words(&again.stderr).contains("lacks nothing"), "{}", words(&again.stderr));

    let police = RunningNode::start(&dir, POLICE).await;
    assert_eq!(guard(&police).await, pb::GuardState::Open, "its new keys signed nothing yet");
    police.submit(vec![some_indicator()]).await;
    eventually("partners wait for its card", async || {
        let error = police.partner(CERT).await.last_error;
        error.contains("generation")
    })
    .await;
    assert_eq!(cert.partner(POLICE).await.received, before.feed_size, "nothing came unaccepted");
    accept(&police, &[&cert, &vendor]).await;
    cert.submit(vec![some_indicator()]).await;
    settled(&[&police, &cert, &vendor]).await;
    // Three of the beginning, three of before the loss, one of each of two since.
    assert_eq!([records(&cert).await, records(&vendor).await], [8, 8]);
    assert_eq!(records(&police).await, 7, "what partners sent came again");
    eventually("the journal of the next generation is cosigned", async || {
        witnessed(&police).await > left
    })
    .await;
    assert_eq!(cert.partner(POLICE).await.received, police.partner(CERT).await.feed_size);

    let report = verify_directory(&dir, &AuditOptions::default()).unwrap();
    assert!(report.feeds.iter().any(|feed| feed.name.generation.get() == 2 && feed.receipted > 0));
    assert!(report.feeds.iter().any(|feed| feed.name.generation.get() == 1 && feed.receipted > 0));

    // It goes on like any other: a restart asks, and is told that nothing is missing. What is derived
    // can be made again from the segments of both generations.
    police.kill().await;
    let reindexed =
        Command::new(PROGRAM).args(["store", "reindex", "--dir"]).arg(&dir).output().await.unwrap();
    assert!(reindexed.status.success(), "{}", words(&reindexed.stderr));
    let police = RunningNode::start(&dir, POLICE).await;
    police.submit(vec![some_indicator()]).await;
    settled(&[&police, &cert, &vendor]).await;
    assert_eq!(guard(&police).await, pb::GuardState::Open);
    let remarks = audited(vec![police, cert, vendor]).await;
    let succeeded = remarks.iter().find_map(|remark| match remark {
        Remark::Succeeded { generation, left, signed, .. } => Some((*generation, *left, *signed)),
        _ => None,
    });
    let (generation, behind, signed) = succeeded.unwrap();
    assert_eq!((generation.get(), behind), (2, left));
    assert!(signed.is_some_and(|signed| signed > left && signed <= size), "{signed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copy_that_was_given_up_is_refused_when_it_turns_up_again() {
    let (parent, police, cert) = pair().await;
    let (police, old) = backed_up(police, parent.path()).await;
    police.submit(vec![some_indicator()]).await;
    settled(&[&police, &cert]).await;
    let dir = police.dir.clone();
    police.kill().await;
    let newest = parent.path().join("newest");
    copy(&dir, &newest);
    put_back(&old, &dir);
    let police = RunningNode::start(&dir, POLICE).await;
    eventually("it knows that it is an old copy", async || is_behind(&police).await).await;
    police.kill().await;
    assert!(succeed(&dir).await.status.success());
    let police = RunningNode::start(&dir, POLICE).await;
    accept(&police, &[&cert]).await;
    settled(&[&police, &cert]).await;
    police.kill().await;
    let feed = cert.partner(POLICE).await.received;

    put_back(&newest, &dir);
    let police = RunningNode::start(&dir, POLICE).await;
    eventually("it is told that its logs were succeeded", async || {
        police.partner(CERT).await.last_error.contains("generation 2")
    })
    .await;
    assert_eq!(guard(&police).await, pb::GuardState::Asking, "nobody assures it");
    assert_eq!(cert.partner(POLICE).await.received, feed);
    assert!(cert.status().await.contradictions.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_lost_entries_knows_again_what_it_cosigned() {
    let (parent, police, cert) = pair().await;
    let (cert, old) = backed_up(cert, parent.path()).await;
    settled(&[&police, &cert]).await;
    let before = witnessed(&police).await;
    police.submit(vec![some_indicator()]).await;
    eventually("the witness cosigned it", async || witnessed(&police).await > before).await;
    let (dir, cosigned) = (cert.dir.clone(), witnessed(&police).await);
    cert.kill().await;
    put_back(&old, &dir);
    let cert = RunningNode::start(&dir, CERT).await;
    eventually("it knows that it is an old copy", async || is_behind(&cert).await).await;
    cert.kill().await;
    let made = succeed(&dir).await;
    assert!(made.status.success(), "{}", words(&made.stderr));
    let cert = RunningNode::start(&dir, CERT).await;
    accept(&cert, &[&police]).await;
    police.submit(vec![some_indicator()]).await;
    eventually("it cosigns what follows", async || witnessed(&police).await > cosigned).await;
    settled(&[&police, &cert]).await;
    assert_eq!(records(&cert).await, records(&police).await);
    assert!(police.status().await.contradictions.is_empty());
    audited(vec![cert, police]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_behind_is_not_succeeded() {
    let (_parent, police, cert) = pair().await;
    police.submit(vec![some_indicator()]).await;
    settled(&[&police, &cert]).await;
    let dir = police.dir.clone();
    police.kill().await;
    let refused = succeed(&dir).await;
    assert!(!refused.status.success());
    assert!(words(&refused.stderr).contains("lacks nothing"), "{}", words(&refused.stderr));
    // Nothing has changed by it.
    let police = RunningNode::start(&dir, POLICE).await;
    police.submit(vec![some_indicator()]).await;
    settled(&[&police, &cert]).await;
    audited(vec![police, cert]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_succession_that_nobody_accepted_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let node = eager(parent.path(), POLICE, "police").await;
    introduce(&[&node]).await;
    let mut impostor = Impostor::enrolled_at("impostor.example", &node).await;
    let record = impostor.record(some_indicator());
    let batch = impostor.batch(vec![record]);
    impostor.deliver(batch).await;
    let held = node.partner("impostor.example").await.received;
    // The node may refuse the generation before its own hello leaves.
    if let Ok(stream) = impostor.open_as(Generation::new(2).unwrap(), None).await {
        stream.ended().await;
    }
    eventually("it is told why", async || {
        node.partner("impostor.example").await.last_error.contains("generation 2")
    })
    .await;
    assert_eq!(node.partner("impostor.example").await.received, held);
    assert!(node.status().await.contradictions.is_empty());
    node.submit(vec![some_indicator()]).await;
}
