//! `liaison audit watch`: follows a journal and checks that it only ever grows.
//!
//! It keeps the last head that it verified, with the right edge of the tree, in a file of its own. Every
//! further entry is hashed here, so what the log says is never taken for what it is. The first bad
//! answer ends it.

use super::Context;
use super::audit::{exported::Directory, read_card};
use super::connection::Role;
use super::error::{CliError, Exit};
use super::interrupt;
use super::verify::unreadable;
use crate::audit::{CHECKPOINT, Card, Folder};
use crate::ident::{TreeHash, TreeSize};
use crate::merkle::{
    BUNDLE_ENTRY_BYTES_MAX, Frontier, TILE_LEAVES, Tile, TileRow, TreeHead, leaf_hash,
    verify_consistency,
};
use crate::pb::{self, log_service_client::LogServiceClient};
use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::transport::Channel;

/// Entries asked for at once; a node gives no more.
const ENTRIES_MAX: u32 = 1_000;
/// A state has a head and at most 63 hashes.
const STATE_BYTES_MAX: u64 = 16 << 10;
const NOTE_BYTES_MAX: u64 = 64 << 10;

/// Follow a node's journal and check that it only ever grows; ends at the first bad answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  liaison audit watch --card npa-card.txt --state npa.state --client auditor.toml
  liaison audit watch npa-export --card npa-card.txt --state npa.state --once

Exit code 6 means that the journal contradicts itself or what was seen of it before.")]
pub struct WatchLogArgs {
    /// An export; without it the node of the client profile is asked.
    export: Option<PathBuf>,
    /// The agency's card, whose number was compared over a second channel.
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// Where the last verified head is kept from one look to the next.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Look once and end.
    #[arg(long)]
    once: bool,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "10",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
}

/// Where the log is.
enum Source {
    Node(Box<LogServiceClient<Channel>>),
    Export(Directory),
}

pub(super) async fn run(args: WatchLogArgs, context: &Context) -> Result<(), CliError> {
    let card = read_card(&args.card).map_err(unreadable)?;
    let mut source = match &args.export {
        Some(dir) => Source::Export(Directory(dir.clone())),
        None => {
            let channel = context.channel(&[Role::Auditor]).await?;
            Source::Node(Box::new(LogServiceClient::new(channel)))
        }
    };
    let mut seen = load(&args.state)?;
    loop {
        match source.look(&card, seen.clone(), context).await {
            Ok(tree) => {
                keep(&args.state, &tree)?;
                show(&tree, context)?;
                seen = tree;
            }
            Err(error) if !args.once && error.exit() == Exit::Unavailable => {
                context.output.note(&error.to_text());
            }
            Err(error) => return Err(error),
        }
        if args.once {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.every)) => {}
            () = interrupt::interrupted() => return Ok(()),
        }
    }
}

fn bad(found: impl Into<String>) -> CliError {
    CliError::Verification { found: found.into() }
}

impl Source {
    /// The tree at the newest checkpoint, which continues `seen`.
    async fn look(
        &mut self,
        card: &Card,
        seen: Frontier,
        context: &Context,
    ) -> Result<Frontier, CliError> {
        let note = self.checkpoint(context).await?;
        let head = card.checkpoint(&note).map_err(|fault| bad(fault.to_string()))?;
        let before = seen.head();
        if head.size < before.size {
            return Err(bad(format!("the log had {} entries and has {}", before.size, head.size)));
        }
        if before.size.get() > 0 && before.size < head.size {
            self.check_consistency(&before, &head, context).await?;
        }
        let mut tree = seen;
        while tree.size() < head.size {
            let entries = self.entries(tree.size(), head.size, context).await?;
            if entries.is_empty() {
                return Err(bad(format!("entry {} is not given", tree.size())));
            }
            let left = (head.size.get() - tree.size().get()) as usize;
            tree.extend(entries.iter().take(left).map(|entry| leaf_hash(entry)));
        }
        if tree.head() == head {
            return Ok(tree);
        }
        let (signed, found) = (head.root, tree.root());
        Err(bad(format!("{} entries lead to root {found}, {signed} was signed", head.size)))
    }

    async fn checkpoint(&mut self, context: &Context) -> Result<Bytes, CliError> {
        match self {
            Self::Export(folder) => folder
                .read(CHECKPOINT, NOTE_BYTES_MAX)
                .map_err(CliError::file("read", &folder.0))?
                .ok_or_else(|| bad("there is no checkpoint")),
            Self::Node(client) => {
                let request = context.request(pb::GetCheckpointRequest::default());
                let answer = client.get_checkpoint(request).await;
                Ok(answer.map_err(CliError::node("read the checkpoint"))?.into_inner().note)
            }
        }
    }

    /// Asks a node for a proof; hashing the entries of an export shows the same.
    async fn check_consistency(
        &mut self,
        before: &TreeHead,
        head: &TreeHead,
        context: &Context,
    ) -> Result<(), CliError> {
        let Self::Node(client) = self else { return Ok(()) };
        let request = context.request(pb::GetConsistencyProofRequest {
            feed: String::new(),
            old_size: before.size.get(),
            new_size: head.size.get(),
        });
        let answer = client.get_consistency_proof(request).await;
        let answer = answer.map_err(CliError::node("prove consistency"))?.into_inner();
        let proof: Result<Vec<TreeHash>, _> =
            answer.path.iter().map(|hash| TreeHash::try_from(&hash[..])).collect();
        let proof = proof.map_err(|error| bad(format!("the consistency proof: {error}")))?;
        verify_consistency(before, head, &proof)
            .map_err(|error| bad(format!("the log does not continue what was seen: {error}")))
    }

    /// Some entries from `start` on.
    async fn entries(
        &mut self,
        start: TreeSize,
        size: TreeSize,
        context: &Context,
    ) -> Result<Vec<Bytes>, CliError> {
        match self {
            Self::Export(folder) => bundle(folder, start, size),
            Self::Node(client) => {
                let request = context.request(pb::ListEntriesRequest {
                    feed: String::new(),
                    start: start.get(),
                    limit: ENTRIES_MAX,
                });
                let answer = client.list_entries(request).await;
                Ok(answer.map_err(CliError::node("read entries"))?.into_inner().entries)
            }
        }
    }
}

fn bundle(folder: &Directory, start: TreeSize, size: TreeSize) -> Result<Vec<Bytes>, CliError> {
    const BYTES_MAX: u64 = TILE_LEAVES * (2 + BUNDLE_ENTRY_BYTES_MAX as u64);
    let tile = Tile::within(TileRow::Entries, start.get() / TILE_LEAVES, size)
        .ok_or_else(|| bad(format!("there is no entry {start}")))?;
    let bytes = folder
        .read(&tile.to_string(), BYTES_MAX)
        .map_err(CliError::file("read", &folder.0))?
        .ok_or_else(|| bad(format!("{tile} is missing")))?;
    let entries = tile.parse_entries(&bytes).map_err(|error| bad(error.to_string()))?;
    let skipped = (start.get() % TILE_LEAVES) as usize;
    Ok(entries.into_iter().skip(skipped).map(|entry| bytes.slice_ref(entry)).collect())
}

fn show(tree: &Frontier, context: &Context) -> Result<(), CliError> {
    let head = tree.head();
    let value = json!({ "size": head.size.to_string(), "root": head.root.to_string() });
    context.output.either(value, || format!("size {} root {}", head.size, head.root))
}

/// The tree that was seen last; empty before the first look.
fn load(path: &Path) -> Result<Frontier, CliError> {
    let other = |reason: String| {
        CliError::usage(
            format!("{} is no state of a watch: {reason}", path.display()),
            "name another file with --state",
        )
    };
    let folder = Directory(PathBuf::new());
    let text = folder.read(&path.to_string_lossy(), STATE_BYTES_MAX);
    let Some(text) = text.map_err(CliError::file("read", path))? else {
        return Ok(Frontier::new());
    };
    let state: Value = serde_json::from_slice(&text).map_err(|error| other(error.to_string()))?;
    let size = state["size"].as_str().and_then(|size| size.parse().ok());
    let hashes = state["edge"].as_array().and_then(|edge| {
        edge.iter().map(|hash| hash.as_str()?.parse::<TreeHash>().ok()).collect::<Option<Vec<_>>>()
    });
    let (Some(size), Some(hashes)) = (size, hashes) else {
        return Err(other("it has no size and edge".to_owned()));
    };
    Frontier::from_hashes(TreeSize::new(size), hashes).map_err(|error| other(error.to_string()))
}

/// Keeps the tree: a cut in between leaves the one of before.
fn keep(path: &Path, tree: &Frontier) -> Result<(), CliError> {
    let edge: Vec<String> = tree.to_hashes().iter().map(ToString::to_string).collect();
    let state = json!({ "size": tree.size().to_string(), "edge": edge });
    let new = path.with_extension("new");
    std::fs::write(&new, format!("{state:#}\n")).map_err(CliError::file("write", &new))?;
    std::fs::rename(&new, path).map_err(CliError::file("replace", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::audit::fixtures::{Node, Party};

    #[test]
    fn what_was_kept_is_what_was_seen_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("npa.state");
        assert_eq!(load(&path).unwrap(), Frontier::new());
        let tree: Frontier = (0..7_u8).map(|n| leaf_hash(&[n])).collect();
        keep(&path, &tree).unwrap();
        assert_eq!(load(&path).unwrap(), tree);
        for other in ["{}", "[", r#"{"size": "7", "edge": []}"#] {
            std::fs::write(&path, other).unwrap();
            assert_eq!(load(&path).unwrap_err().exit(), Exit::Usage, "{other}");
        }
    }

    #[tokio::test]
    async fn a_log_that_grows_is_followed_and_one_that_lost_entries_or_changed_is_not() {
        let context = Context::new(crate::cli::GlobalOptions::for_tests());
        let (small, full) = tokio::task::spawn_blocking(|| {
            let out = |node: &Node| {
                let dir = tempfile::tempdir().unwrap();
                let stop = std::sync::atomic::AtomicBool::new(false);
                crate::cli::export::export(node.path(), &dir.path().join("e"), &stop).unwrap();
                dir
            };
            (out(&Node::new()), out(&Node::full()))
        })
        .await
        .unwrap();
        let card = Card::from_text(&Party::own().card().to_armour().unwrap()).unwrap();
        let look = async |dir: &tempfile::TempDir, seen: &Frontier| {
            let mut source = Source::Export(Directory(dir.path().join("e")));
            source.look(&card, seen.clone(), &context).await
        };
        let first = look(&small, &Frontier::new()).await.unwrap();
        let later = look(&full, &first).await.unwrap();
        assert!(later.size() > first.size());
        let shrunk = look(&small, &later).await.unwrap_err();
        assert_eq!(shrunk.exit(), Exit::VerificationFailed);
        let other: Frontier = (0..first.size().get()).map(|n| leaf_hash(&[n as u8])).collect();
        assert_eq!(look(&full, &other).await.unwrap_err().exit(), Exit::VerificationFailed);
        let stranger = Card::from_text(&Party::partner().card().to_armour().unwrap()).unwrap();
        let mut source = Source::Export(Directory(full.path().join("e")));
        let unsigned = source.look(&stranger, Frontier::new(), &context).await.unwrap_err();
        assert_eq!(unsigned.exit(), Exit::VerificationFailed);
    }
}
