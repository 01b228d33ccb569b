//! A node whose wall clock is wrong signs and erases nothing by it, and goes on once it is right.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::ident::Timestamp;
use liaison::journal::writer::WriterThread;
use liaison::node::config::Config;
use liaison::node::{Node, NodeError, TimeSource};
use liaison::pb;
use liaison::policy::ClientRole;

use crate::fixture::{
    self, CORE_ONLY, RunningNode, eventually, introduce, now, settled, some_indicator,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const POLICE: &str = "police.example";
const CERT: &str = "cert.example";

/// A node in this process whose wall clock can be set; the monotonic clock is the machine's.
struct Set {
    node: Arc<Node>,
    writer: WriterThread,
    off_ms: Arc<AtomicI64>,
}

impl Set {
    fn open(dir: &Path, off_ms: i64) -> Self {
        let off_ms = Arc::new(AtomicI64::new(off_ms));
        let off = Arc::clone(&off_ms);
        let wall = move || now().plus_ms(off.load(Ordering::SeqCst));
        let started = now().unix_ms();
        let clocks = TimeSource::new(Arc::new(wall), Arc::new(move || now().unix_ms() - started));
        let (node, writer, _) = Node::open(dir, clocks).unwrap();
        Self { node, writer, off_ms }
    }

    fn set(&self, off_ms: i64) {
        self.off_ms.store(off_ms, Ordering::SeqCst);
        self.node.now();
    }

    async fn submit(&self, draft: pb::Draft) -> Result<pb::DraftResult, NodeError> {
        let desk = liaison::node::Client { name: "desk".to_owned(), role: ClientRole::Analyst };
        let mut submitted = self.node.submissions.submit(&desk, vec![draft], None).await?;
        Ok(submitted.results.remove(0))
    }

    fn close(self) {
        let Self { node, writer, .. } = self;
        drop(node);
        writer.join().unwrap();
    }
}

fn keeps_until(until: Timestamp) -> pb::Draft {
    let mut draft = some_indicator();
    draft.marking.as_mut().unwrap().retain_until_ms = until.unix_ms().unsigned_abs();
    draft
}

/// Does not ask partners at the start whether it runs on an old copy.
fn asks_nobody(dir: &Path) {
    let mut config = Config::load(dir).unwrap();
    config.guard.answers = 0;
    config.store(dir).unwrap();
}

fn is_audited(dir: &Path) {
    let report = verify_directory(dir, &AuditOptions::default()).unwrap();
    assert!(report.failure.is_none(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_the_clock_holds_the_gate_until_the_clock_is_right_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(POLICE);
    fixture::make(&dir, POLICE, "police", CORE_ONLY);
    let set = Set::open(&dir, 0);
    set.submit(some_indicator()).await.unwrap();
    set.set(90 * MINUTE);
    let refused = set.submit(some_indicator()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    let text = refused.to_string();
    assert!(text.contains("the wall clock reads") && text.contains("and would read"), "{text}");
    let clock = set.node.status().clock.unwrap();
    assert!(!clock.doubt.is_empty());
    assert!(clock.decision_ms.abs_diff(now().unix_ms().unsigned_abs()) < MINUTE.unsigned_abs());
    set.set(0);
    set.submit(some_indicator()).await.unwrap();
    assert_eq!(set.node.status().clock.unwrap().doubt, "");
    set.close();
    is_audited(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_is_before_its_card_signs_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(POLICE);
    fixture::make(&dir, POLICE, "police", CORE_ONLY);
    let set = Set::open(&dir, -90 * MINUTE);
    let size = set.node.view().snapshot().size;
    let refused = set.submit(some_indicator()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert!(refused.to_string().contains("when this node last signed"), "{refused}");
    assert_eq!(set.node.view().snapshot().size, size);
    set.set(0);
    set.submit(some_indicator()).await.unwrap();
    set.close();
    is_audited(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_signed_90_minutes_ahead_is_disclosed_at_once_when_the_clock_is_right_again() {
    let parent = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(parent.path(), POLICE, "police", CORE_ONLY).await;
    let cert = RunningNode::fresh(parent.path(), CERT, "cert", CORE_ONLY).await;
    introduce(&[&police, &cert]).await;
    settled(&[&police, &cert]).await;
    let dir = police.dir.clone();
    police.kill().await;
    asks_nobody(&dir);
    let set = Set::open(&dir, 90 * MINUTE);
    let record = set.submit(some_indicator()).await.unwrap();
    set.close();
    let police = RunningNode::start(&dir, POLICE).await;
    eventually("the partner's time supports the clock", async || {
        let clock = police.status().await.clock.unwrap();
        clock.doubt.is_empty() && clock.agreeing == [CERT]
    })
    .await;
    eventually("the record is receipted", async || {
        let partner = police.partner(CERT).await;
        partner.receipted > 0 && partner.receipted == partner.feed_size
    })
    .await;
    cert.view(ClientRole::Analyst, &record.record_id).await.unwrap();
    let after = police.submit(vec![some_indicator()]).await;
    assert_eq!(after[0].outcome(), pb::DraftOutcome::Created);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_two_years_ahead_erases_nothing_and_signs_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(POLICE);
    fixture::make(&dir, POLICE, "police", CORE_ONLY);
    let set = Set::open(&dir, 0);
    set.submit(keeps_until(now().plus_ms(400 * DAY))).await.unwrap();
    let size = set.node.view().snapshot().size;
    set.close();
    let set = Set::open(&dir, 2 * 365 * DAY);
    let due = set.node.erasures.erase_due().await.unwrap();
    assert_eq!((due.erased, due.waits), (0, false));
    assert!(set.submit(some_indicator()).await.is_err());
    assert_eq!(set.node.view().snapshot().size, size);
    let confirmed = set.node.confirm_clock("admin", now()).await.unwrap_err();
    assert!(confirmed.to_string().contains("correct the wall clock first"), "{confirmed}");
    set.close();
    is_audited(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_time_has_ended_waits_for_somebody_who_vouches_for_the_clock() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(POLICE);
    fixture::make(&dir, POLICE, "police", CORE_ONLY);
    let set = Set::open(&dir, 0);
    set.submit(keeps_until(now().plus_ms(1))).await.unwrap();
    eventually("its time has ended and nobody vouches for that", async || {
        let due = set.node.erasures.erase_due().await.unwrap();
        assert_eq!(due.erased, 0);
        due.waits
    })
    .await;
    set.node.confirm_clock("admin", now()).await.unwrap();
    let due = set.node.erasures.erase_due().await.unwrap();
    assert_eq!((due.erased, due.waits), (1, false));
    set.close();
    is_audited(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_off_for_a_year_goes_on_with_an_administrators_word() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(POLICE);
    fixture::make(&dir, POLICE, "police", CORE_ONLY);
    let set = Set::open(&dir, 0);
    set.close();
    let set = Set::open(&dir, 365 * DAY);
    let doubt = set.node.status().clock.unwrap().doubt;
    assert!(doubt.contains("more than 30 days after"), "{doubt}");
    set.node.confirm_clock("admin", now().plus_ms(365 * DAY + MINUTE)).await.unwrap();
    set.submit(some_indicator()).await.unwrap();
    set.close();
    is_audited(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_key_signs_nothing_after_its_end() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(POLICE);
    fixture::make(&dir, POLICE, "police", CORE_ONLY);
    let set = Set::open(&dir, 0);
    set.close();
    let off = 600 * DAY;
    let set = Set::open(&dir, off);
    set.node.confirm_clock("admin", now().plus_ms(off)).await.unwrap();
    let refused = set.submit(some_indicator()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert!(refused.to_string().contains("signs from"), "{refused}");
    set.close();
    is_audited(&dir);
}
