//! A node as a witness for anybody: the same answers over HTTP and gRPC, and to another node that
//! is not a partner.

use std::path::Path;

use ed25519_dalek::SigningKey;
use liaison::audit::Check;
use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::ident::{TreeHash, TreeSize};
use liaison::merkle::{
    AddCheckpoint, Checkpoint, Cosigner, Note, NoteSigner, NoteVerifier, Origin, SignedCheckpoint,
    TileTree, TreeHead, leaf_hash,
};
use liaison::node::config::Config;
use liaison::partner::NodeKeys;
use liaison::pb;
use liaison::pb::witness_service_client::WitnessServiceClient;
use liaison::policy::ClientRole;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use crate::fixture::{CORE_ONLY, RunningNode, eventually, make};

const ORIGIN: &str = "log.example/one";

/// A log that may go another way after its third entry.
struct Log {
    signer: NoteSigner,
    leaves: Vec<TreeHash>,
}

impl Log {
    fn new(origin: &str, way: &str) -> Self {
        let leaf = |n: usize| if n < 3 { format!("{n}") } else { format!("{way}{n}") };
        Self {
            signer: NoteSigner::new(origin.parse().unwrap(), SigningKey::from_bytes(&[5; 32])),
            leaves: (0..9).map(|n| leaf_hash(leaf(n).as_bytes())).collect(),
        }
    }

    fn tree(&self, size: usize) -> TileTree {
        let mut tree = TileTree::new();
        self.leaves[..size].iter().for_each(|leaf| tree.push(*leaf));
        tree
    }

    fn sign(&self, head: TreeHead) -> Note {
        let checkpoint = Checkpoint::new(Origin::from(self.signer.name()), head).unwrap();
        SignedCheckpoint::sign(checkpoint, &self.signer).note().clone()
    }

    fn request(&self, old: usize, size: usize) -> AddCheckpoint {
        let tree = self.tree(size);
        let (from, to) = (TreeSize::new(old as u64), TreeSize::new(size as u64));
        let proof = match old {
            0 => Vec::new(),
            _ => tree.consistency(&self.leaves, from, to).unwrap(),
        };
        AddCheckpoint::new(from, proof, self.sign(tree.head())).unwrap()
    }
}

/// Requests in their order, with the status of each.
fn table() -> Vec<(&'static str, Vec<u8>, u16)> {
    let (log, other) = (Log::new(ORIGIN, "a"), Log::new(ORIGIN, "b"));
    let mut forged = Log::new(ORIGIN, "a");
    let key = SigningKey::from_bytes(&[6; 32]);
    forged.signer = NoteSigner::new(ORIGIN.parse().unwrap(), key);
    let body = |request: AddCheckpoint| request.to_bytes();
    let larger = String::from_utf8(body(log.request(1, 3))).unwrap().replacen("old 1", "old 4", 1);
    let bad_proof = AddCheckpoint::new(
        TreeSize::new(3),
        vec![TreeHash::from_bytes([7; 32])],
        log.sign(log.tree(5).head()),
    );
    vec![
        ("the first", body(log.request(0, 1)), 200),
        ("the same again", body(log.request(1, 1)), 200),
        ("an unknown log", body(Log::new("log.example/two", "a").request(0, 1)), 404),
        ("another key", body(forged.request(1, 3)), 403),
        ("no request", b"old one\n\n".to_vec(), 400),
        ("an old size above the new", larger.into_bytes(), 400),
        ("a discovery", body(log.request(0, 3)), 409),
        ("the next", body(log.request(1, 3)), 200),
        ("a proof from before", body(log.request(1, 5)), 409),
        ("a proof that does not hold", body(bad_proof.unwrap()), 422),
        ("the next after a bad proof", body(log.request(3, 5)), 200),
        ("another branch", body(other.request(5, 5)), 422),
        ("a frozen log", body(log.request(5, 9)), 403),
    ]
}

async fn witness(parent: &Path, logs: Vec<String>) -> RunningNode {
    let dir = parent.join("witness.example");
    make(&dir, "witness.example", "cert", CORE_ONLY);
    let mut config = Config::load(&dir).unwrap();
    config.http.listen = "127.0.0.1:0".to_owned();
    config.witness.logs = logs;
    config.witness.quorum = 1;
    config.store(&dir).unwrap();
    RunningNode::start(&dir, "witness.example").await
}

async fn talk(node: &RunningNode, head: String, body: &[u8]) -> (u16, String) {
    let address = node.status().await.http_address;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!("{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may have answered before it read everything.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn own_witness(node: &RunningNode) -> NoteVerifier {
    let keys = NodeKeys::load(&node.dir).unwrap();
    let name = format!("{}/witness", node.agency).parse().unwrap();
    NoteVerifier::from(&Cosigner::new(name, keys.witness.signing_key().clone()))
}

fn log_key() -> String {
    NoteVerifier::from(&Log::new(ORIGIN, "a").signer).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_condition_has_its_status_over_http() {
    let parent = tempfile::tempdir().unwrap();
    let node = witness(parent.path(), vec![log_key()]).await;
    let log = Log::new(ORIGIN, "a");
    for (what, body, status) in table() {
        let (found, answer) = talk(&node, "POST /add-checkpoint".to_owned(), &body).await;
        assert_eq!(found, status, "{what}: {answer}");
        if status == 409 {
            assert!(answer.contains("text/x.tlog.size"), "{answer}");
            let known = if what == "a discovery" { "1\n" } else { "3\n" };
            assert_eq!(body_of(&answer), known);
        }
        if status == 200 {
            let request = AddCheckpoint::parse(&body).unwrap();
            let note = [request.note().to_bytes(), body_of(&answer).into()].concat();
            let key = NoteVerifier::from(&log.signer);
            let by = [own_witness(&node)];
            let origin = Origin::from(log.signer.name());
            let opened = SignedCheckpoint::open(&note, &key, &by, &origin).unwrap();
            assert_eq!(opened.cosignatures().len(), 1, "{what}");
        }
    }
    let hash: String = Sha256::digest(ORIGIN).iter().map(|byte| format!("{byte:02x}")).collect();
    let (status, answer) = talk(&node, format!("GET /{hash}/checkpoint"), b"").await;
    assert_eq!(status, 200);
    let note = Note::parse(body_of(&answer).as_bytes()).unwrap();
    assert_eq!(Checkpoint::parse(note.text()).unwrap().size().get(), 5);
    assert_eq!(note.signatures().len(), 2);
    assert_eq!(talk(&node, "GET /00/checkpoint".to_owned(), b"").await.0, 404);
    assert_eq!(talk(&node, "DELETE /add-checkpoint".to_owned(), b"").await.0, 405);
    let large = vec![b'a'; 200 * 1024];
    assert_eq!(talk(&node, "POST /add-checkpoint".to_owned(), &large).await.0, 413);
    let found = node.status().await.contradictions.remove(0);
    assert_eq!((found.origin.as_str(), found.kind()), (ORIGIN, pb::Contradiction::SameSize));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_condition_has_its_code_over_grpc() {
    let parent = tempfile::tempdir().unwrap();
    let node = witness(parent.path(), vec![log_key()]).await;
    let mut client = WitnessServiceClient::new(node.channel(ClientRole::Admin).await);
    for (what, body, status) in table() {
        let Ok(request) = AddCheckpoint::parse(&body) else { continue };
        let hash = |hash: &TreeHash| bytes::Bytes::copy_from_slice(hash.as_bytes());
        let checkpoint = pb::AddCheckpoint {
            old_size: request.old().get(),
            proof: request.proof().iter().map(hash).collect(),
            note: request.note().to_bytes().into(),
        };
        let request = pb::AddCheckpointRequest { checkpoint: Some(checkpoint) };
        let code = client.add_checkpoint(request).await.map_or_else(|e| e.code(), |_| Code::Ok);
        let wanted = match status {
            200 => Code::Ok,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            _ => Code::FailedPrecondition,
        };
        assert_eq!(code, wanted, "{what}");
    }
    let request = pb::GetCosignedCheckpointRequest { origin: ORIGIN.to_owned() };
    let note = client.get_cosigned_checkpoint(request).await.unwrap().into_inner().note;
    let note = Note::parse(&note).unwrap();
    assert_eq!(Checkpoint::parse(note.text()).unwrap().size().get(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_is_no_partner_cosigns_and_an_auditor_counts_it() {
    let parent = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(parent.path(), "police.example", "police", CORE_ONLY).await;
    let mut client = WitnessServiceClient::new(node.channel(ClientRole::Admin).await);
    let own = client.list_witnesses(pb::ListWitnessesRequest {}).await.unwrap().into_inner();
    let other = witness(parent.path(), vec![own.journal_vkey]).await;
    let url = format!("http://{}", other.status().await.http_address);
    let request = pb::AddWitnessRequest { vkey: own_witness(&other).to_string(), url };
    client.add_witness(request).await.unwrap();
    eventually("it cosigned", async || {
        let listed = client.list_witnesses(pb::ListWitnessesRequest {}).await.unwrap();
        listed.into_inner().witnesses.iter().any(|witness| witness.cosigned_size > 0)
    })
    .await;
    let status = node.status().await;
    assert_eq!((status.witnesses.len(), status.cosigned_by, status.quorum), (1, 1, 0));
    let status = other.status().await;
    assert_eq!((status.cosigned_by, status.quorum), (0, 1), "nobody witnesses the witness");
    let dir = node.dir.clone();
    node.kill().await;
    let with = |quorum| AuditOptions { quorum: Some(quorum), ..AuditOptions::default() };
    let report = verify_directory(&dir, &with(1)).unwrap();
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!(report.witnesses.len(), 1);
    let failure = verify_directory(&dir, &with(2)).unwrap().failure.unwrap();
    assert_eq!(failure.fault.check, Check::Quorum);
}
