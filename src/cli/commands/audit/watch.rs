//! `liaison audit watch`: follows a journal and checks that it only ever grows.
//!
//! It keeps the last checkpoint that it verified, with the right edge of the tree, in a file of its
//! own. Every further entry is hashed here, so what the log says is never taken for what it is. The
//! first bad answer ends it; that there is no answer does not.

mod files;
mod node;
mod seen;

use crate::audit::{CHECKPOINT, Card, changed_line_ends};
use crate::cli::audit_outcome::{refused, unreadable};
use crate::cli::audit_store::{read, read_card};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit, Source as Cause};
use crate::cli::interrupt;
use crate::cli::output::harmless;
use crate::ident::{TreeHash, TreeSize};
use crate::merkle::{Frontier, TILE_LEAVES, Tile, TileRow, TreeHead};
use bytes::Bytes;
use clap::Args;
use files::{Files, NoLeaves, bad};
use node::Node;
use seen::{Seen, keep_refused};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// The number of times that an export may be replaced during one look.
const REPLACED_MAX: usize = 5;
/// Certificates in PEM that https is to trust.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Follow a node's journal and check that it only ever grows; ends at the first bad answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  liaison audit watch --card npa-card.txt --state npa.state --client auditor.client
  liaison audit watch npa-export --card npa-card.txt --state npa.state --once
  liaison audit watch http://files.example/npa-export --card npa-card.txt --state npa.state

Exit code 6 means that the journal contradicts itself or what was seen of it before; its
checkpoint is then kept in STATE.refused, and the one before is in the state. Whoever does not
answer is asked again; with --once not, and the exit code is 8. A server's certificate says
nothing about the journal; the card does.")]
pub struct WatchLogArgs {
    /// An export: a folder, or where a file server has it, http:// or https://; without it the node of
    /// the client profile is asked.
    #[arg(value_name = "EXPORT|URL")]
    export: Option<String>,
    /// The agency's card, whose number was compared over a second channel.
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// File for the last verified checkpoint, kept between runs.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// For https: the certificate of the authority that issued the server's certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "export")]
    ca: Option<PathBuf>,
    /// Look once and end.
    #[arg(long)]
    once: bool,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "10",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
}

/// The source of the log.
enum Source {
    Node(Node),
    Files(Files),
}

/// The reason why a look failed.
#[derive(Debug)]
struct Failed {
    error: CliError,
    /// The checkpoint that does not hold though its signature does.
    note: Option<Bytes>,
}

impl From<CliError> for Failed {
    fn from(error: CliError) -> Self {
        Self { error, note: None }
    }
}

pub(super) async fn run(args: WatchLogArgs, context: &Context) -> Result<(), CliError> {
    let card = read_card(&args.card).map_err(unreadable)?;
    let mut source = source(&args, context)?;
    let mut seen = Seen::load(&args.state)?;
    let mut said = String::new();
    let mut interrupted = std::pin::pin!(interrupt::interrupted());
    loop {
        let look = tokio::select! {
            biased;
            () = &mut interrupted => return Err(stopped(&args)),
            look = source.look(&card, &seen, context) => look,
        };
        match look {
            Ok(newer) => {
                newer.keep(&args.state)?;
                show(&newer.tree, context)?;
                seen = newer;
                said.clear();
            }
            Err(Failed { error, .. }) if !args.once && error.exit() == Exit::Unavailable => {
                // Once, not at every look.
                let text = again(&error, args.every);
                if text != said {
                    context.output.note(&text);
                    said = text;
                }
            }
            Err(failed) => return Err(with_evidence(failed, &args, context)),
        }
        if args.once {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.every)) => {}
            () = &mut interrupted => return Err(stopped(&args)),
        }
    }
}

fn source(args: &WatchLogArgs, context: &Context) -> Result<Source, CliError> {
    let Some(place) = &args.export else { return Ok(Source::Node(Node::default())) };
    let authorities = match &args.ca {
        Some(path) => Some(read(path, CA_BYTES_MAX).map_err(CliError::file("read", path))?),
        None => None,
    };
    if authorities.is_some() && !place.starts_with("https:") {
        return Err(CliError::usage(
            format!("--ca is for https, and {place} is not"),
            "leave --ca away, or name an https address",
        ));
    }
    Files::at(place, authorities.as_deref(), context.options.timeout()).map(Source::Files)
}

fn stopped(args: &WatchLogArgs) -> CliError {
    let state = args.state.display();
    CliError::Interrupted {
        kept: format!("the last checkpoint that held is in {state}"),
        fix: "run it again; it goes on from there".to_owned(),
    }
}

fn again(error: &CliError, every: u64) -> String {
    let cause = error.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
    harmless(&format!("{error}{cause}; asked again every {every} s"))
}

/// The error, with where the checkpoint is kept that does not hold.
fn with_evidence(failed: Failed, args: &WatchLogArgs, context: &Context) -> CliError {
    let Failed { error, note } = failed;
    let (CliError::Verification { found }, Some(note)) = (&error, note) else { return error };
    match keep_refused(&args.state, &note) {
        Ok(path) => {
            let kept = format!("{found}; its checkpoint is in {}", path.display());
            bad(match args.state.exists() {
                true => format!("{kept}, the one before in {}", args.state.display()),
                false => kept,
            })
        }
        Err(failed) => {
            context.output.note(&format!("cannot keep the checkpoint: {failed}"));
            error
        }
    }
}

impl Source {
    /// Returns the newest checkpoint and its tree, which continues `seen`.
    async fn look(&mut self, card: &Card, seen: &Seen, context: &Context) -> Result<Seen, Failed> {
        let mut note = self.checkpoint(seen, context).await?;
        let mut head = signed(card, &note)?;
        for _ in 0..REPLACED_MAX {
            let missing = match self.follow(seen, &head, context).await {
                Ok(tree) => return Ok(Seen { tree, note }),
                Err(NoLeaves::Other(error)) => return Err(Failed { error, note: Some(note) }),
                Err(NoLeaves::Missing(missing)) => missing,
            };
            // The export may have been replaced by a newer one, which has other partial tiles.
            let newer = self.checkpoint(seen, context).await?;
            if newer == note {
                let error = bad(format!("{missing} is missing"));
                return Err(Failed { error, note: Some(note) });
            }
            let newer_head = signed(card, &newer)?;
            if newer_head.size < head.size {
                return Err(Failed { error: shrunk(&head, &newer_head), note: Some(newer) });
            }
            (note, head) = (newer, newer_head);
        }
        Err(bad(format!("files were missing {REPLACED_MAX} times, for another checkpoint each"))
            .into())
    }

    async fn checkpoint(&mut self, seen: &Seen, context: &Context) -> Result<Bytes, CliError> {
        let files = match self {
            Self::Node(node) => return node.checkpoint(context).await,
            Self::Files(files) => files,
        };
        files.checkpoint().await?.ok_or_else(|| {
            let place = files.place();
            let (exit, fix) = match seen.tree.size().get() {
                0 => (Exit::NotFound, "name a folder that holds checkpoint and tile"),
                _ => (
                    Exit::Unavailable,
                    "it may be about to be replaced; if it stays missing, ask the agency for it",
                ),
            };
            CliError::Other {
                doing: format!("there is no export at {place}"),
                exit,
                fix: fix.to_owned(),
                source: Cause::from("it has no checkpoint"),
            }
        })
    }

    /// The tree at `head`, which has `seen` as its beginning.
    async fn follow(
        &mut self,
        seen: &Seen,
        head: &TreeHead,
        context: &Context,
    ) -> Result<Frontier, NoLeaves> {
        let before = seen.tree.head();
        if head.size < before.size {
            return Err(shrunk(&before, head).into());
        }
        if head.size == before.size && head.root != before.root {
            let (size, one, other) = (head.size, before.root, head.root);
            return Err(
                bad(format!("two roots were signed for {size} entries: {one}, {other}")).into()
            );
        }
        if let Self::Node(node) = self
            && (1..head.size.get()).contains(&before.size.get())
        {
            node.check_consistency(&before, head, context).await?;
        }
        let tree = self.grown(seen.tree.clone(), head.size, head, context).await?;
        if tree.head() == *head {
            return Ok(tree);
        }
        // Whether the log itself is another or only what is served of it, its own beginning tells.
        let mut again = self.grown(Frontier::new(), before.size, head, context).await?;
        let begun = again.root();
        again = self.grown(again, head.size, head, context).await?;
        Err(bad(if again.head() == *head && begun != before.root {
            let (size, was) = (before.size, before.root);
            format!("it is another history: the first {size} entries had root {was}, now {begun}")
        } else {
            let (size, signed, found) = (head.size, head.root, tree.root());
            format!("{size} entries lead to root {found}, {signed} was signed")
        })
        .into())
    }

    /// The tree with further entries of the log at `head`, up to `size`.
    async fn grown(
        &mut self,
        mut tree: Frontier,
        size: TreeSize,
        head: &TreeHead,
        context: &Context,
    ) -> Result<Frontier, NoLeaves> {
        while tree.size() < size {
            let leaves = self.leaves(tree.size(), head.size, context).await?;
            let left = (size.get() - tree.size().get()) as usize;
            tree.extend(leaves.into_iter().take(left));
        }
        Ok(tree)
    }

    /// Hashes of entries from `start` on of a log of `size` entries: at least one, perhaps some beyond.
    async fn leaves(
        &mut self,
        start: TreeSize,
        size: TreeSize,
        context: &Context,
    ) -> Result<Vec<TreeHash>, NoLeaves> {
        let files = match self {
            Self::Node(node) => return Ok(node.leaves(start, context).await?),
            Self::Files(files) => files,
        };
        let bundle = Tile::within(TileRow::Entries, start.get() / TILE_LEAVES, size)
            .ok_or_else(|| bad(format!("there is no entry {start}")))?;
        let mut leaves = files.leaves(bundle).await?;
        leaves.drain(..(start.get() % TILE_LEAVES) as usize);
        Ok(leaves)
    }
}

fn signed(card: &Card, note: &[u8]) -> Result<TreeHead, CliError> {
    if let Some(generation) = card.succeeded_in(note) {
        return Err(CliError::Precondition {
            found: format!(
                "the log was succeeded by generation {generation}, because entries were lost for good; the card \
                 is of an earlier generation"
            ),
            fix: "verify the succession with `liaison audit verify`, then give the agency's newer card, which has \
                  the same number, with --card; the state is kept"
                .to_owned(),
        });
    }
    card.checkpoint(note).map_err(|fault| match changed_line_ends(note) {
        Some(fault) => refused(&fault, format!("{CHECKPOINT}: {fault}")),
        None => bad(fault.to_string()),
    })
}

fn shrunk(before: &TreeHead, head: &TreeHead) -> CliError {
    bad(format!("the log had {} entries and has {}", before.size, head.size))
}

fn show(tree: &Frontier, context: &Context) -> Result<(), CliError> {
    let head = tree.head();
    let value = json!({ "size": head.size.to_string(), "root": head.root.to_string() });
    context.output.either(value, || format!("size {} root {}", head.size, head.root))
}

#[cfg(test)]
mod tests;
