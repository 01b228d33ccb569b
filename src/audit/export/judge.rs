//! An export judged in order: the journal's bundles as they come, and of each feed exactly as many
//! entries as every published head covers, at the place where it was published.
//!
//! Tiles above the leaves are computed and compared as soon as they are full. The checkpoint comes
//! last: it signs all that was seen.

use super::bundle::{Broken, ExaminedBundle, leaves, unfit};
use super::rows::Rows;
use super::write::head;
use super::{Folder, layout};
use crate::audit::card::Card;
use crate::audit::examine::{DecodedEntry, DecodedFrame, feed_entry};
use crate::audit::expectations::{Expectations, KnownCheckpoint};
use crate::audit::failure::{Check, Fault, Place};
use crate::audit::feed_name::FeedName;
use crate::audit::ledger::{Audit, still_there};
use crate::audit::line_ends::{changed_line_ends, changed_policy};
use crate::audit::policy::bundle_hash;
use crate::audit::replay::BundleFiles;
use crate::audit::report::Report;
use crate::audit::walk::Ending;
use crate::ident::{AgencyName, BundleHash, Generation, RecordId, TreeHash, TreeSize};
use crate::merkle::{TILE_LEAVES, Tile, TileRow, TilesError, encode_hashes, root_of};
use crate::pb::{self, journal_entry::Event};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::io;

/// An audit of an export under way.
#[derive(Debug)]
pub struct ExportAudit<'f, F> {
    folder: &'f F,
    audit: Audit,
    note: Bytes,
    size: TreeSize,
    rows: Rows,
    feeds: BTreeMap<FeedName, Feed>,
}

/// A feed as far as it was read.
#[derive(Debug)]
struct Feed {
    number: u16,
    prefix: String,
    note: Bytes,
    size: TreeSize,
    taken: u64,
    waiting: VecDeque<(TreeHash, pb::FeedEntry)>,
    rows: Rows,
}

/// The reason why judging stops.
enum Stop {
    /// The first broken thing.
    Broken(Broken),
    /// The audit has noted it itself.
    Noted,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<TilesError> for Stop {
    fn from(error: TilesError) -> Self {
        Self::Broken(unfit("tile", "a tile that a tree can have", error))
    }
}

impl<'f, F: Folder> ExportAudit<'f, F> {
    /// Reads the checkpoint. Its content is believed only at the end.
    pub fn open(folder: &'f F, expectations: Expectations) -> io::Result<Self> {
        let note = folder.read(layout::CHECKPOINT, layout::NOTE_BYTES_MAX)?;
        let mut audit = Audit::new(expectations);
        // Another log's has another size, and files of that size are missing.
        let known = note.clone().and_then(|note| KnownCheckpoint::parse(note).ok());
        let known = known.filter(|known| Generation::of_journal(known.origin()).is_some());
        let signed = known.map(|known| known.head());
        if signed.is_none() {
            let found = if note.is_some() { "other bytes" } else { "none" };
            let expected = "the signed note of a checkpoint of a journal";
            let fault = note.as_deref().and_then(changed_line_ends);
            let fault = fault.unwrap_or_else(|| Fault::new(Check::ExportFile, expected, found));
            audit.fail(Place::File(layout::CHECKPOINT.to_owned()), fault);
        }
        Ok(Self {
            folder,
            audit,
            note: note.unwrap_or_default(),
            size: signed.map_or(TreeSize::new(0), |head| head.size),
            rows: Rows::default(),
            feeds: BTreeMap::new(),
        })
    }

    /// The bundles of the journal, in the order in which they are to be taken.
    pub fn bundles(&self) -> impl Iterator<Item = Tile> + Send + 'static {
        let size = self.size;
        (0..size.get().div_ceil(TILE_LEAVES))
            .map_while(move |number| Tile::within(TileRow::Entries, number, size))
    }

    /// Takes the next bundle. `false`: something does not hold, and nothing after it is wanted.
    pub fn take(&mut self, bundle: ExaminedBundle) -> io::Result<bool> {
        let judged = self.judge(bundle);
        self.settle(judged)
    }

    fn settle(&mut self, judged: Result<(), Stop>) -> io::Result<bool> {
        match judged {
            Ok(()) => Ok(true),
            Err(Stop::Noted) => Ok(false),
            Err(Stop::Io(error)) => Err(error),
            Err(Stop::Broken(broken)) => {
                let (place, fault) = *broken;
                let cause = match &place {
                    Place::File(path) => self.changed_on_the_way(path)?,
                    _ => None,
                };
                self.audit.fail(place, cause.unwrap_or(fault));
                Ok(false)
            }
        }
    }

    /// Looks for the cause at the file that was refused.
    fn changed_on_the_way(&self, path: &str) -> io::Result<Option<Fault>> {
        let bytes = self.folder.read(path, layout::TEXT_BYTES_MAX)?;
        Ok(bytes.as_deref().and_then(changed_line_ends))
    }

    fn judge(&mut self, bundle: ExaminedBundle) -> Result<(), Stop> {
        let ExaminedBundle { tile, found, root } = bundle;
        for (index, found) in tile.items().zip(found) {
            let found = found?;
            // The entry stands under its leaf: what does not fit it is its content.
            let brings = match &found {
                DecodedFrame::Entry { told, .. } => !matches!(told, DecodedEntry::Other(_)),
                DecodedFrame::Feed { .. } | DecodedFrame::Commit(_) => false,
            };
            let place = || Place::Entry { file: tile.to_string(), index };
            if let DecodedFrame::Entry { told: DecodedEntry::Other(event), .. } = &found {
                self.prepare(event, &place)?;
            }
            if !self.audit.take_one(Ok(found), place) {
                if brings {
                    self.audit.blame_content(|| layout::contents(&tile));
                }
                return Err(Stop::Noted);
            }
        }
        self.audit.counts.tiles += 2;
        let Some(root) = root else { return Ok(()) };
        let (folder, tiles) = (self.folder, &mut self.audit.counts.tiles);
        self.rows.push(1, root, &mut |tile, hashes| compare(folder, "", tile, hashes, tiles))
    }

    /// Reads the parts of an entry that lie in other files.
    fn prepare(&mut self, event: &Event, place: &dyn Fn() -> Place) -> Result<(), Stop> {
        match event {
            Event::PolicyApplied(applied) => self.policy(&applied.bundle_hash),
            Event::FeedPublished(published) => self.feed(published, place),
            _ => Ok(()),
        }
    }

    fn policy(&mut self, hash: &[u8]) -> Result<(), Stop> {
        // What is not a hash is found where the entry is judged.
        let Ok(hash) = BundleHash::try_from(hash) else { return Ok(()) };
        let files = policy_files(self.folder, hash)?;
        let found = bundle_hash(&files);
        if found != hash {
            if let Some((name, fault)) = changed_policy(&files, hash) {
                let place = Place::File(layout::policy_file(hash, name));
                return Err(Box::new((place, fault)).into());
            }
            // The hash is over all files together: any of them may be the one.
            let place = Place::File(layout::policy_folder(hash));
            return Err(Box::new((place, Fault::new(Check::PolicyFiles, hash, found))).into());
        }
        self.audit.expectations.policies.insert(hash, files);
        Ok(())
    }

    /// Judges the entries of a feed up to the head that is being published.
    fn feed(
        &mut self,
        published: &pb::FeedPublished,
        place: &dyn Fn() -> Place,
    ) -> Result<(), Stop> {
        // What is not a partner or not a note is found where the entry is judged.
        let Some(wanted) = head(&published.note).map(|head| head.size) else { return Ok(()) };
        let Ok(agency) = published.partner.parse::<AgencyName>() else { return Ok(()) };
        let Some((name, number)) = self.audit.partners.feed(&agency) else { return Ok(()) };
        let mut feed = match self.feeds.remove(&name) {
            Some(feed) => feed,
            None => Feed::open(self.folder, &name, number)?,
        };
        if wanted > feed.size {
            let expected = format!("a head of size {} at the most", feed.size);
            let fault = Fault::new(Check::FeedRoot, expected, format!("size {wanted}"));
            return Err(Box::new((place(), fault)).into());
        }
        while feed.taken < wanted.get() {
            let tiles = &mut self.audit.counts.tiles;
            let (file, index, found) = feed.next(self.folder, tiles)?;
            if !self.audit.take_one(Ok(found), || Place::Entry { file, index }) {
                return Err(Stop::Noted);
            }
        }
        self.feeds.insert(name, feed);
        Ok(())
    }

    /// Ends the audit: partial tiles, the checkpoints, the cards.
    pub fn finish(mut self) -> io::Result<Report> {
        if self.audit.has_failed() {
            return Ok(self.audit.finish(Ending::Stopped));
        }
        let ended = self.end();
        self.settle(ended)?;
        Ok(self.audit.finish(Ending::Whole))
    }

    fn end(&mut self) -> Result<(), Stop> {
        let (folder, tiles) = (self.folder, &mut self.audit.counts.tiles);
        self.rows.finish(&mut |tile, hashes| compare(folder, "", tile, hashes, tiles))?;
        for (name, feed) in std::mem::take(&mut self.feeds) {
            self.end_feed(&name, &feed)?;
        }
        if let Some(id) = self.audit.unfinished.first().copied() {
            // An export is made of what was committed, and a node overwrites before it shows that.
            let place = Place::File(self.content_file(&id)?);
            return Err(Box::new((place, still_there(&id))).into());
        }
        let note = DecodedFrame::Commit(self.note.clone());
        if !self.audit.take_one(Ok(note), || Place::File(layout::CHECKPOINT.to_owned())) {
            return Err(Stop::Noted);
        }
        let own = self.audit.own.iter().enumerate().map(|(at, card)| (layout::own_card(at), card));
        let newest = self.audit.own.last().map(|card| (layout::CARD.to_owned(), card));
        let partners = self.audit.partners.iter();
        let partners = partners.map(|(name, partner)| (layout::partner_card(name), &partner.card));
        for (path, card) in own.chain(newest).chain(partners) {
            compare_card(self.folder, &path, card)?;
        }
        Ok(())
    }

    /// The first bundle of content that has bytes of a record which are not overwritten.
    fn content_file(&self, id: &RecordId) -> io::Result<String> {
        for tile in self.bundles() {
            let path = layout::contents(&tile);
            let bytes = self.folder.read(&path, layout::CONTENTS_BYTES_MAX)?.unwrap_or_default();
            let width = usize::from(tile.width());
            let mut contents = layout::parse_contents(bytes, width).into_iter().flatten().flatten();
            let is_there = contents.any(|content| {
                let rest = content.strip_prefix(id.as_bytes());
                rest.is_some_and(|rest| rest.iter().any(|byte| *byte != 0))
            });
            if is_there {
                return Ok(path);
            }
        }
        Ok(layout::CHECKPOINT.to_owned())
    }

    fn end_feed(&mut self, name: &FeedName, feed: &Feed) -> Result<(), Stop> {
        let path = format!("{}{}", feed.prefix, layout::CHECKPOINT);
        if feed.taken != feed.size.get() {
            let fault = Fault::new(
                Check::FeedRoot,
                format!("a head of size {}, the last that was published", feed.taken),
                format!("size {}", feed.size),
            );
            return Err(Box::new((Place::File(path), fault)).into());
        }
        let (folder, tiles) = (self.folder, &mut self.audit.counts.tiles);
        let prefix = &feed.prefix;
        feed.rows.finish(&mut |tile, hashes| compare(folder, prefix, tile, hashes, tiles))?;
        let own = &self.audit.own;
        self.audit
            .partners
            .newest_head(name, &feed.note, own)
            .map_err(|fault| Box::new((Place::File(path), fault)).into())
    }
}

impl Feed {
    fn open<F: Folder>(folder: &F, name: &FeedName, number: u16) -> Result<Self, Stop> {
        let prefix = layout::feed(name);
        let path = format!("{prefix}{}", layout::CHECKPOINT);
        let note = folder
            .read(&path, layout::NOTE_BYTES_MAX)?
            .ok_or_else(|| unfit(&path, "the checkpoint of the feed", "none"))?;
        let head = head(&note)
            .ok_or_else(|| unfit(&path, "the signed note of a checkpoint", "other bytes"))?;
        Ok(Self {
            number,
            prefix,
            note,
            size: head.size,
            taken: 0,
            waiting: VecDeque::new(),
            rows: Rows::default(),
        })
    }

    /// The next entry, with its file and index.
    fn next<F: Folder>(
        &mut self,
        folder: &F,
        tiles: &mut u64,
    ) -> Result<(String, u64, DecodedFrame), Stop> {
        let number = self.taken / TILE_LEAVES;
        let tile = Tile::within(TileRow::Entries, number, self.size)
            .ok_or_else(|| unfit(&self.prefix, "an entry of the feed", "none"))?;
        let file = format!("{}{tile}", self.prefix);
        if self.waiting.is_empty() {
            self.fill(folder, &tile, &file, tiles)?;
        }
        let (leaf, entry) =
            self.waiting.pop_front().ok_or_else(|| unfit(&file, "an entry of the feed", "none"))?;
        let index = self.taken;
        self.taken += 1;
        Ok((file, index, DecodedFrame::Feed { number: self.number, leaf, entry }))
    }

    fn fill<F: Folder>(
        &mut self,
        folder: &F,
        tile: &Tile,
        file: &str,
        tiles: &mut u64,
    ) -> Result<(), Stop> {
        let prefix = &self.prefix;
        let level = Tile::new(TileRow::Hashes(0), tile.number(), tile.width())?;
        let entries = folder.read(file, layout::BUNDLE_BYTES_MAX)?;
        let hashes = folder.read(&format!("{prefix}{level}"), layout::HASHES_BYTES_MAX)?;
        let (entries, hashes) = leaves(prefix, tile, entries, hashes)?;
        for ((index, bytes), leaf) in tile.items().zip(entries).zip(&hashes) {
            let entry = feed_entry(bytes).map_err(|fault| {
                Broken::from((Place::Entry { file: file.to_owned(), index }, fault))
            })?;
            self.waiting.push_back((*leaf, entry));
        }
        *tiles += 2;
        if !tile.is_full() {
            return Ok(());
        }
        let prefix = &self.prefix;
        let root = root_of(&hashes);
        self.rows.push(1, root, &mut |tile, hashes| compare(folder, prefix, tile, hashes, tiles))
    }
}

/// Compares a tile that was computed with the one in the folder.
fn compare<F: Folder>(
    folder: &F,
    prefix: &str,
    tile: Tile,
    hashes: &[TreeHash],
    tiles: &mut u64,
) -> Result<(), Stop> {
    let path = format!("{prefix}{tile}");
    let found = folder
        .read(&path, layout::HASHES_BYTES_MAX)?
        .ok_or_else(|| unfit(&path, "a tile of hashes", "none"))?;
    if found[..] == encode_hashes(hashes)[..] {
        *tiles += 1;
        return Ok(());
    }
    let fault = match tile.parse_hashes(&found) {
        Err(error) => Fault::new(Check::Tile, "hashes", error),
        Ok(found) => {
            let other = found.iter().zip(hashes).find(|(found, hash)| found != hash);
            let (found, hash) = other.unwrap_or((&found[0], &hashes[0]));
            Fault::new(Check::Tile, format!("hash {hash}"), found)
        }
    };
    Err(Box::new((Place::File(path), fault)).into())
}

fn compare_card<F: Folder>(folder: &F, path: &str, wanted: &Card) -> Result<(), Stop> {
    let expected = format!("the card {} of {} in the journal", wanted.serial, wanted.agency);
    let bytes = folder
        .read(path, crate::audit::CARD_TEXT_BYTES_MAX as u64)?
        .ok_or_else(|| unfit(path, &expected, "none"))?;
    if bytes[..] == *wanted.to_text().as_bytes() {
        return Ok(());
    }
    let found = match Card::from_text(&String::from_utf8_lossy(&bytes)) {
        Ok(card) => format!("card {} of {}, or its text in another form", card.serial, card.agency),
        Err(error) => error.to_string(),
    };
    Err(unfit(path, &expected, found).into())
}

fn policy_files<F: Folder>(folder: &F, hash: BundleHash) -> Result<BundleFiles, Stop> {
    let path = layout::policy_names(hash);
    let names = folder
        .read(&path, layout::POLICY_BYTES_MAX)?
        .ok_or_else(|| unfit(&path, "the names of the policy's files", "none"))?;
    let names = std::str::from_utf8(&names)
        .map_err(|error| unfit(&path, "the names of the policy's files", error))?;
    let mut files = BundleFiles::new();
    if !names.ends_with('\n') {
        return Err(unfit(&path, "lines that end", "a cut one").into());
    }
    for name in names.split_terminator('\n') {
        if files.len() == layout::POLICY_FILES_MAX || !layout::is_plain_name(name) {
            let expected = format!("at most {} plain names", layout::POLICY_FILES_MAX);
            return Err(unfit(&path, &expected, format!("{name:?}")).into());
        }
        let path = layout::policy_file(hash, name);
        let text = folder
            .read(&path, layout::POLICY_BYTES_MAX)?
            .ok_or_else(|| unfit(&path, "a file of the policy", "none"))?;
        files.insert(name.to_owned(), text.to_vec());
    }
    Ok(files)
}
