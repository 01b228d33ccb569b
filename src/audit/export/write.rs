//! Writes an export from the segments of a node, one piece after another.
//!
//! It copies and hashes, and verifies no more than that the entries lead to the last checkpoint:
//! whether the history holds is for whoever receives it.

use super::layout;
use super::rows::Rows;
use crate::audit::card::Card;
use crate::audit::feed_name::FeedName;
use crate::audit::replay::BundleFiles;
use crate::audit::segment::{Chunk, FrameKind};
use crate::ident::{AgencyName, BundleHash, FEEDS_MAX, Generation, TreeHash, TreeSize};
use crate::merkle::{
    Checkpoint, Frontier, Note, TILE_LEAVES, Tile, TileRow, TilesError, TreeHead, encode_hashes,
    leaf_hash, push_entry,
};
use crate::pb::{self, journal_entry::Event};
use bytes::Bytes;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Takes the files of an export.
pub trait Sink {
    /// Writes a file that is not there yet.
    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;
}

/// The reason why a history cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("entry {index} cannot be exported: {reason}")]
    Entry { index: u64, reason: String },
    #[error("the journal has not begun, so it has no checkpoint")]
    Empty,
    #[error("the entries lead to size {found}, the last checkpoint has size {signed}")]
    Head { signed: TreeSize, found: TreeSize },
    #[error("the files of policy {0} are not in the directory")]
    PolicyAbsent(BundleHash),
    #[error("a tile cannot be written")]
    Tile(#[from] TilesError),
    #[error("cannot write the export")]
    Write(#[from] io::Error),
}

/// The summary of a written export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    pub size: u64,
    pub root: String,
    pub feeds: BTreeMap<String, u64>,
    pub policies: u64,
    pub cards: u64,
    pub files: u64,
    pub bytes: u64,
}

/// An export under way.
#[derive(Debug)]
pub struct Exporter<S> {
    files: Counted<S>,
    journal: Log,
    contents: Vec<u8>,
    /// The content that belongs to the next entry.
    content: Option<Bytes>,
    /// By their numbers: the feeds of a generation have greater ones than those before.
    feeds: BTreeMap<u16, Feed>,
    partners: BTreeMap<AgencyName, (u16, String)>,
    generation: Generation,
    note: Option<Bytes>,
    cards: usize,
    newest_card: String,
    policies: BTreeSet<BundleHash>,
}

/// Counts what goes through it.
#[derive(Debug)]
struct Counted<S> {
    sink: S,
    files: u64,
    bytes: u64,
}

impl<S: Sink> Counted<S> {
    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        self.sink.write(path, bytes)?;
        self.files += 1;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// One log as tiles.
#[derive(Debug, Default)]
struct Log {
    prefix: String,
    frontier: Frontier,
    bundle: Vec<u8>,
    rows: Rows,
}

#[derive(Debug)]
struct Feed {
    name: FeedName,
    log: Log,
    /// Over the newest head, as it was published.
    published: Option<Bytes>,
    /// The same with the partner's receipt, if it came for that head.
    note: Option<Bytes>,
}

impl Log {
    fn size(&self) -> u64 {
        self.frontier.size().get()
    }

    /// Returns the bundle that became full, if one did.
    fn push<S: Sink>(
        &mut self,
        entry: &[u8],
        files: &mut Counted<S>,
    ) -> Result<Option<Tile>, ExportError> {
        let leaf = leaf_hash(entry);
        push_entry(&mut self.bundle, entry)?;
        self.frontier.push(leaf);
        let prefix = &self.prefix;
        self.rows.push(0, leaf, &mut |tile, hashes| write_tile(files, prefix, tile, hashes))?;
        if self.size().is_multiple_of(TILE_LEAVES) { self.flush(files) } else { Ok(None) }
    }

    /// Writes the bundle as far as it is filled.
    fn flush<S: Sink>(&mut self, files: &mut Counted<S>) -> Result<Option<Tile>, ExportError> {
        let last = self.size().saturating_sub(1) / TILE_LEAVES;
        let tile = Tile::within(TileRow::Entries, last, self.frontier.size());
        let Some(tile) = tile.filter(|_| !self.bundle.is_empty()) else { return Ok(None) };
        files.write(&format!("{}{tile}", self.prefix), &self.bundle)?;
        self.bundle.clear();
        Ok(Some(tile))
    }

    fn finish<S: Sink>(
        &mut self,
        note: Option<&Bytes>,
        files: &mut Counted<S>,
    ) -> Result<Option<Tile>, ExportError> {
        let note = note.ok_or(ExportError::Empty)?;
        let (signed, found) = (head(note), self.frontier.head());
        if signed != Some(found) {
            let signed = signed.map_or(TreeSize::new(0), |head| head.size);
            return Err(ExportError::Head { signed, found: found.size });
        }
        let bundle = self.flush(files)?;
        let prefix = &self.prefix;
        self.rows.finish(&mut |tile, hashes| write_tile(files, prefix, tile, hashes))?;
        files.write(&format!("{prefix}{}", layout::CHECKPOINT), note)?;
        Ok(bundle)
    }
}

fn write_tile<S: Sink>(
    files: &mut Counted<S>,
    prefix: &str,
    tile: Tile,
    hashes: &[TreeHash],
) -> Result<(), ExportError> {
    files.write(&format!("{prefix}{tile}"), &encode_hashes(hashes))
}

/// The head that a note states; its signature is not looked at.
pub(in crate::audit) fn head(note: &[u8]) -> Option<TreeHead> {
    Some(Checkpoint::parse(Note::parse(note).ok()?.text()).ok()?.head())
}

impl<S: Sink> Exporter<S> {
    pub fn new(sink: S) -> Self {
        Self {
            files: Counted { sink, files: 0, bytes: 0 },
            journal: Log::default(),
            contents: Vec::new(),
            content: None,
            feeds: BTreeMap::new(),
            partners: BTreeMap::new(),
            generation: Generation::FIRST,
            note: None,
            cards: 0,
            newest_card: String::new(),
            policies: BTreeSet::new(),
        }
    }

    /// Takes the next piece of the segments.
    pub fn take(&mut self, chunk: &Chunk) -> Result<(), ExportError> {
        for span in &chunk.spans {
            let payload = chunk.payload(*span);
            match span.kind {
                FrameKind::Content => self.content = Some(payload),
                FrameKind::Entry => self.entry(&payload)?,
                FrameKind::Feed => self.feed_entry(&payload)?,
                FrameKind::Commit => self.note = Some(payload),
            }
        }
        Ok(())
    }

    fn broken(&self, reason: impl ToString) -> ExportError {
        ExportError::Entry { index: self.journal.size(), reason: reason.to_string() }
    }

    fn entry(&mut self, bytes: &Bytes) -> Result<(), ExportError> {
        let entry = pb::JournalEntry::decode(bytes.clone()).map_err(|error| self.broken(error))?;
        if let Some(event) = entry.event {
            self.event(event)?;
        }
        layout::push_content(&mut self.contents, &self.content.take().unwrap_or_default());
        match self.journal.push(bytes, &mut self.files)? {
            Some(bundle) => self.write_contents(&bundle),
            None => Ok(()),
        }
    }

    fn write_contents(&mut self, bundle: &Tile) -> Result<(), ExportError> {
        self.files.write(&layout::contents(bundle), &self.contents)?;
        self.contents.clear();
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), ExportError> {
        match event {
            Event::CardIssued(issued) => {
                let (card, text) = self.card(issued.card)?;
                self.newest_card = text;
                if card.generation != self.generation {
                    self.generation = card.generation;
                    let partners: Vec<_> =
                        self.partners.iter().map(|(name, (n, _))| (name.clone(), *n)).collect();
                    partners.into_iter().for_each(|(name, number)| self.begin_feed(name, number));
                }
                self.files.write(&layout::own_card(self.cards), self.newest_card.as_bytes())?;
                self.cards += 1;
            }
            Event::PartnerChanged(changed) => {
                let (card, text) = self.card(changed.card)?;
                let number = u16::try_from(changed.number).map_err(|error| self.broken(error))?;
                if number > FEEDS_MAX {
                    return Err(self.broken(format!("partner number {number} is too large")));
                }
                // A reader knows the receipt key of the newest card.
                let to_it = self.feeds.values_mut().filter(|f| f.name.partner == card.agency);
                to_it.for_each(|feed| feed.note = feed.published.clone());
                self.partners.insert(card.agency.clone(), (number, text));
                self.begin_feed(card.agency, number);
            }
            Event::PolicyApplied(applied) => {
                let hash = BundleHash::try_from(&applied.bundle_hash[..]);
                self.policies.insert(hash.map_err(|error| self.broken(error))?);
            }
            Event::FeedPublished(published) => {
                if let Some(feed) = self.feed_to(&published.partner)
                    && feed.published.as_deref().and_then(head) != head(&published.note)
                {
                    feed.published = Some(published.note.clone());
                    feed.note = Some(published.note);
                }
            }
            Event::ReceiptReceived(receipt) => {
                if let Some(feed) = self.feed_to(&receipt.partner)
                    && feed.published.as_deref().and_then(head) == head(&receipt.note)
                {
                    feed.note = Some(receipt.note);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn card(&self, card: Option<pb::SignedCard>) -> Result<(Card, String), ExportError> {
        let card = Card::check(&card.unwrap_or_default()).map_err(|error| self.broken(error))?;
        let text = card.to_text();
        Ok((card, text))
    }

    /// The feed to a partner in the generation now, if it is not there yet.
    fn begin_feed(&mut self, partner: AgencyName, number: u16) {
        let name = FeedName { partner, generation: self.generation };
        self.feeds.entry(self.generation.feed_number(number)).or_insert_with(|| Feed {
            log: Log { prefix: layout::feed(&name), ..Log::default() },
            name,
            published: None,
            note: None,
        });
    }

    fn feed_to(&mut self, partner: &str) -> Option<&mut Feed> {
        self.feeds.values_mut().rev().find(|feed| feed.name.partner.as_str() == partner)
    }

    fn feed_entry(&mut self, payload: &Bytes) -> Result<(), ExportError> {
        let unknown = || self.broken("a feed entry without a partner");
        let (number, entry) = payload.split_first_chunk::<2>().ok_or_else(unknown)?;
        let number = u16::from_le_bytes(*number);
        if !self.feeds.contains_key(&number) {
            return Err(unknown());
        }
        if let Some(feed) = self.feeds.get_mut(&number) {
            feed.log.push(entry, &mut self.files)?;
        }
        Ok(())
    }

    /// Writes what is left. `policies` has the bundles in the node's directory.
    pub fn finish(
        mut self,
        policies: &BTreeMap<BundleHash, BundleFiles>,
    ) -> Result<Summary, ExportError> {
        let mut summary = Summary::default();
        for hash in std::mem::take(&mut self.policies) {
            // Bundles that were proposed and never in force are not part of a history.
            let files = policies.get(&hash).ok_or(ExportError::PolicyAbsent(hash))?;
            self.policy(hash, files)?;
            summary.policies += 1;
        }
        for (agency, (_, card)) in &self.partners {
            self.files.write(&layout::partner_card(agency), card.as_bytes())?;
        }
        for feed in self.feeds.values_mut() {
            if feed.note.is_some() {
                feed.log.finish(feed.note.as_ref(), &mut self.files)?;
                summary.feeds.insert(feed.name.to_string(), feed.log.size());
            }
        }
        if self.cards > 0 {
            self.files.write(layout::CARD, self.newest_card.as_bytes())?;
        }
        if let Some(bundle) = self.journal.finish(self.note.as_ref(), &mut self.files)? {
            self.write_contents(&bundle)?;
        }
        summary.size = self.journal.size();
        summary.root = self.journal.frontier.root().to_string();
        summary.cards = self.cards as u64;
        (summary.files, summary.bytes) = (self.files.files, self.files.bytes);
        Ok(summary)
    }

    fn policy(&mut self, hash: BundleHash, files: &BundleFiles) -> Result<(), ExportError> {
        let names: String = files.keys().map(|name| format!("{name}\n")).collect();
        self.files.write(&layout::policy_names(hash), names.as_bytes())?;
        for (name, text) in files {
            self.files.write(&layout::policy_file(hash, name), text)?;
        }
        Ok(())
    }
}
