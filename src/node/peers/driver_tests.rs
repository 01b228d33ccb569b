//! The driver of exchange streams on a node without ports.

use super::flow::OUTBOUND_MAX;
use crate::ident::RecordId;
use crate::journal::progress::Progress;
use crate::journal::writer::Clock;
use crate::node::Node;
use crate::node::config::{Config, Http, Listen, Release, RollbackGuard, Store, Witness};
use crate::node::init;
use crate::node::limits::Limits;
use crate::pb::{self, exchange_frame::Body, journal_entry::Event};
use crate::testkit::{Agency, feed_entry, now, partner, partner_changed};
use std::sync::Arc;
use tokio::sync::mpsc;

fn config() -> Config {
    Config {
        agency: "npa.go.jp".to_owned(),
        display_name: "NPA (test)".to_owned(),
        country: "JP".to_owned(),
        sector: "police".to_owned(),
        hosts: vec!["127.0.0.1".to_owned()],
        addresses: Vec::new(),
        listen: Listen::default(),
        store: Store::default(),
        witness: Witness::default(),
        guard: RollbackGuard::default(),
        http: Http::default(),
        release: Release::default(),
        limits: Limits::default(),
    }
}

#[tokio::test]
async fn a_stream_begins_with_the_receipts_of_the_stream_before() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    init::init(&dir, &config(), now()).unwrap();
    let clock: Clock = Arc::new(now);
    let (node, writer, _) = Node::open(&dir, clock).unwrap();
    let id = RecordId::from_bytes([7; 32]);
    let entry = feed_entry(pb::FeedAction::Disclose, &id, 0b10);
    let added = partner_changed(&Agency::partner(), 1, pb::PartnerState::Active);
    let publish = node.core.journal.commit(move |tx| {
        tx.append(Event::PartnerChanged(added))?;
        tx.publish(&partner(), &[entry], Progress::default(), 0)
    });
    publish.await.unwrap();
    let note = node.view().snapshot().state.partners[&partner()].published.note.clone();

    // The writer is busy, and the receipt that the stream before recorded waits behind that.
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let busy = node.core.journal.enqueue(move |_| {
        waits.recv().unwrap();
        Ok(())
    });
    drop(busy.await.unwrap());
    let receipt = pb::ReceiptReceived {
        partner: partner().to_string(),
        note,
        ..pb::ReceiptReceived::default()
    };
    drop(node.core.journal.enqueue(move |tx| tx.receipt(receipt)).await.unwrap());
    let (outbound, mut frames) = mpsc::channel(OUTBOUND_MAX);
    let inbound = tokio_stream::pending();
    let driving = tokio::spawn(Arc::clone(&node.peers).drive(partner(), inbound, outbound));
    // On this runtime the driver goes as far as it can before this returns.
    tokio::task::yield_now().await;
    go_on.send(()).unwrap();
    let first = frames.recv().await.unwrap().body;
    let Some(Body::Hello(hello)) = first else { panic!("wanted a hello, found {first:?}") };
    assert_eq!(hello.receipted, 1);

    node.stop();
    driving.await.unwrap();
    drop(node);
    writer.join().unwrap();
}
