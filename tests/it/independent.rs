//! The logs of a running node, judged by other implementations. signed_note verifies its checkpoints,
//! ct-merkle and tlog_tiles its inclusion proofs, consistency proofs and tlog-proofs.

use std::path::Path;

use base64::Engine as _;
use bytes::Bytes;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use liaison::merkle::{NoteKeyName, NoteVerifier, SignatureType};
use liaison::partner::Card;
use liaison::pb::log_service_client::LogServiceClient;
use liaison::pb::{self, get_inclusion_proof_request::Leaf, journal_entry::Event};
use liaison::policy::ClientRole;
use sha2::Sha256;
use signed_note::{StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash, check_record, check_tree, record_hash};
use tonic::transport::Channel;

use crate::fixture::{CORE_ONLY, RunningNode, indicator, introduce, liaison, settled};

/// A head that another implementation read and whose signature it verified.
struct Head {
    size: u64,
    root: Hash,
}

impl Head {
    /// `log` is the log's key in the text form of C2SP.
    fn open(note: &[u8], log: &str, origin: &str) -> Self {
        let note = signed_note::Note::from_bytes(note).unwrap();
        let known = VerifierList::new(vec![Box::new(StandardVerifier::new(log).unwrap())]);
        let (verified, _) = note.verify(&known).unwrap();
        assert_eq!(verified.len(), 1);
        let checkpoint = Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!((checkpoint.origin(), checkpoint.extension()), (origin, ""));
        Self { size: checkpoint.size(), root: *checkpoint.hash() }
    }

    fn ct(&self) -> RootHash<Sha256> {
        RootHash::new(self.root.0.into(), self.size)
    }
}

fn hashes(path: &[Bytes]) -> Vec<Hash> {
    path.iter().map(|hash| Hash(hash[..].try_into().unwrap())).collect()
}

fn check_inclusion(head: &Head, index: u64, entry: &[u8], path: &[Bytes]) {
    check_record(&hashes(path), head.size, head.root, index, record_hash(entry)).unwrap();
    let proof = InclusionProof::<Sha256>::try_from_bytes(path.concat()).unwrap();
    head.ct().verify_inclusion(&entry, index, &proof).unwrap();
}

fn check_consistency(old: &Head, new: &Head, path: &[Bytes]) {
    check_tree(&hashes(path), new.size, new.root, old.size, old.root).unwrap();
    let proof = ConsistencyProof::<Sha256>::try_from_bytes(path.concat()).unwrap();
    new.ct().verify_consistency(&old.ct(), &proof).unwrap();
}

/// One log of a node as a client sees it.
struct Log {
    client: LogServiceClient<Channel>,
    feed: String,
    origin: String,
    key: String,
}

impl Log {
    async fn of(node: &RunningNode, feed: &str) -> Self {
        let own = node.admin().await.get_own_card(pb::GetOwnCardRequest {}).await.unwrap();
        let card = Card::verify(&own.into_inner().card).unwrap();
        let log = if feed.is_empty() { "journal".to_owned() } else { format!("feed/{feed}") };
        let origin = format!("{}/{log}", node.agency);
        let name: NoteKeyName = origin.parse().unwrap();
        let key = card.card().journal_key.verifying_key().to_bytes();
        let key = NoteVerifier::new(name, SignatureType::Ed25519, &key).unwrap().to_string();
        let client = LogServiceClient::new(node.channel(ClientRole::Auditor).await);
        Self { client, feed: feed.to_owned(), origin, key }
    }

    fn open(&self, note: &[u8]) -> Head {
        Head::open(note, &self.key, &self.origin)
    }

    async fn head(&mut self) -> Head {
        let request = pb::GetCheckpointRequest { feed: self.feed.clone() };
        let answer = self.client.get_checkpoint(request).await.unwrap().into_inner();
        self.open(&answer.note)
    }

    async fn inclusion(&mut self, index: u64) -> pb::GetInclusionProofResponse {
        let (feed, leaf) = (self.feed.clone(), Some(Leaf::Index(index)));
        let request = pb::GetInclusionProofRequest { feed, leaf, tree_size: 0 };
        self.client.get_inclusion_proof(request).await.unwrap().into_inner()
    }

    async fn consistency(&mut self, old: u64, new: u64) -> pb::GetConsistencyProofResponse {
        let feed = self.feed.clone();
        let request = pb::GetConsistencyProofRequest { feed, old_size: old, new_size: new };
        self.client.get_consistency_proof(request).await.unwrap().into_inner()
    }
}

fn drafts(batch: u64) -> Vec<pb::Draft> {
    (0..7).map(|n| indicator(&format!("host-{batch}-{n}.example"), "a note")).collect()
}

#[tokio::test]
async fn other_implementations_accept_the_checkpoints_and_proofs_of_journal_and_feed() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let partner = RunningNode::fresh(dir.path(), "cert.example", "cert", CORE_ONLY).await;
    introduce(&[&node, &partner]).await;
    let mut logs = [Log::of(&node, "").await, Log::of(&node, "cert.example").await];
    let mut heads: [Vec<Head>; 2] = [Vec::new(), Vec::new()];
    let mut id = Bytes::new();
    for batch in 0..3 {
        id = node.submit(drafts(batch)).await[3].record_id.clone();
        settled(&[&node, &partner]).await;
        for (log, heads) in logs.iter_mut().zip(&mut heads) {
            heads.push(log.head().await);
        }
    }
    for (log, heads) in logs.iter_mut().zip(&heads) {
        let (newest, earlier) = heads.split_last().unwrap();
        assert!(newest.size >= 21, "{} entries in {}", newest.size, log.origin);
        for old in earlier {
            assert!(old.size < newest.size);
            let proof = log.consistency(old.size, newest.size).await;
            check_consistency(old, newest, &proof.path);
        }
        for index in 0..newest.size {
            let proof = log.inclusion(index).await;
            let head = log.open(&proof.note);
            assert_eq!((proof.index, proof.tree_size), (index, head.size));
            check_inclusion(&head, index, &proof.entry, &proof.path);
        }
    }
    record_proof_holds(&node, &logs, &id, dir.path()).await;
}

/// The tlog-proofs that the program makes of what the running node answers: in the proof of a record,
/// of its acceptance and its disclosure, and in a part of the history, of each entry.
async fn record_proof_holds(node: &RunningNode, logs: &[Log; 2], record_id: &[u8], dir: &Path) {
    let [journal, feed] = logs;
    let id: String = record_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let client = node.profile(ClientRole::Auditor);
    let file = dir.join("proof");
    let paths = [&file, Path::new("--client"), &client];
    let output = liaison(&["audit", "prove", &id, "--file"], &paths).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&file).unwrap();
    let section = |name: &str| {
        let (_, rest) = text.split_once(&format!("\n-- {name}\n")).unwrap();
        rest.split_once("\n-- ").map_or(rest, |(section, _)| section).to_owned() + "\n"
    };
    let accepted = text_holds(journal, &section("acceptance police.example"));
    let entry = <pb::JournalEntry as prost::Message>::decode(&accepted[..]).unwrap();
    assert!(matches!(entry.event, Some(Event::RecordAccepted(_))), "{entry:?}");
    let disclosed = text_holds(feed, &section("disclosure cert.example"));
    assert!(disclosed.windows(32).any(|bytes| bytes == record_id), "another record's");

    let part = dir.join("part");
    let paths = [&part, Path::new("--client"), &client];
    let output = liaison(&["audit", "export", "--record", &id, "--out"], &paths).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (log, at) in [(journal, "journal"), (feed, "feed/cert.example")] {
        let proofs: Vec<_> = std::fs::read_dir(part.join(at)).unwrap().collect();
        assert!(!proofs.is_empty(), "no proof in {at}");
        for proof in proofs {
            text_holds(log, &std::fs::read_to_string(proof.unwrap().path()).unwrap());
        }
    }
}

/// Reads the text line by line, by the specification, and not with our own reader; returns the
/// entry that it proves.
fn text_holds(log: &Log, text: &str) -> Vec<u8> {
    let (proof, note) = text.split_once("\n\n").unwrap();
    let mut lines = proof.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    let extra = lines.next().unwrap().strip_prefix("extra ").unwrap();
    let entry = base64::engine::general_purpose::STANDARD.decode(extra).unwrap();
    let index = lines.next().unwrap().strip_prefix("index ").unwrap().parse().unwrap();
    let path: Vec<Hash> = lines.map(|line| Hash::parse_hash(line).unwrap()).collect();
    let head = log.open(note.as_bytes());
    check_record(&path, head.size, head.root, index, record_hash(&entry)).unwrap();
    let bytes: Vec<u8> = path.iter().flat_map(|hash| hash.0).collect();
    let proof = InclusionProof::<Sha256>::try_from_bytes(bytes).unwrap();
    head.ct().verify_inclusion(&entry, index, &proof).unwrap();
    entry
}
