//! An export of a real journal is verified, and then changed in every way that we know.
//!
//! Changes to files are tried as they are; changes that an attacker with the journal's key would
//! make are hashed and signed again first. What only somebody with an older checkpoint can see is
//! tried with one.

use super::exported::is_export;
use super::fixtures::{Frame, Node, framed, frames};
use super::*;
use crate::audit::{Check, Ending, walk};
use crate::audit::{
    ExportAudit, ExportError, Exporter, Folder, Sink, Summary, examine_bundle, read_bundle,
};
use crate::ident::Generation;
use crate::merkle::{Frontier, leaf_hash};
use crate::pb::{self, FeedAction, journal_entry::Event};
use crate::policy::{Bundle, Compiled, PartnerFacts, Sector, Vocabulary};
use crate::record::commit;
use crate::record::header::Header;
use crate::testkit::{Agency, feed_entry, own, partner};
use prost::Message as _;
use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

/// The files of an export by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Memory(BTreeMap<String, Bytes>);

impl Folder for Memory {
    fn read(&self, path: &str, bytes_max: u64) -> io::Result<Option<Bytes>> {
        let cut = |bytes: &Bytes| bytes.slice(..bytes.len().min(bytes_max as usize + 1));
        Ok(self.0.get(path).map(cut))
    }
}

impl Sink for &mut Memory {
    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let before = self.0.insert(path.to_owned(), Bytes::copy_from_slice(bytes));
        assert_eq!(before, None, "{path} was written twice");
        Ok(())
    }
}

fn exported(
    segments: &[Vec<u8>],
    policies: &BTreeMap<BundleHash, BundleFiles>,
) -> Result<(Memory, Summary), ExportError> {
    let mut memory = Memory::default();
    let mut exporter = Exporter::new(&mut memory);
    let numbered = (1..).zip(segments).map(|(number, bytes)| Ok((number, &bytes[..])));
    let mut refused = None;
    let ending = walk(numbered, |chunk| {
        refused = refused.take().or(exporter.take(&chunk).err());
        ControlFlow::Continue(())
    });
    assert_eq!(ending.unwrap(), Ending::Whole);
    refused.map_or(Ok(()), Err)?;
    let summary = exporter.finish(policies)?;
    Ok((memory, summary))
}

struct History {
    segments: Vec<Vec<u8>>,
    policies: BTreeMap<BundleHash, BundleFiles>,
    loaded: BTreeMap<BundleHash, Arc<Compiled>>,
    export: Memory,
    summary: Summary,
}

impl History {
    fn of(node: &Node) -> Self {
        let (segments, policies) =
            (node.segments(), policies(&node.path().join("policies")).unwrap());
        let (export, summary) = exported(&segments, &policies).unwrap();
        let loaded = policies.iter().map(|(hash, files)| (*hash, compiled(files))).collect();
        Self { segments, policies, loaded, export, summary }
    }
}

static FULL: LazyLock<History> = LazyLock::new(|| History::of(&Node::full()));
/// More than one bundle in the journal and in a feed.
static LONG: LazyLock<History> = LazyLock::new(|| {
    let mut node = Node::new();
    for number in 0..5 {
        node.submit(number * 50..number * 50 + 50);
    }
    let entries = node.records.iter().flat_map(|record| {
        let entry = |action, slots| feed_entry(action, &record.id(), slots);
        [entry(FeedAction::Disclose, 0b10), entry(FeedAction::Revise, 0b100)]
    });
    node.publish(entries.collect());
    node.submit(250..255);
    History::of(&node)
});

fn audited_with(export: &impl Folder, expectations: Expectations) -> Report {
    let mut audit = ExportAudit::open(export, expectations).unwrap();
    for tile in audit.bundles() {
        if !audit.take(examine_bundle(read_bundle(export, tile).unwrap())).unwrap() {
            break;
        }
    }
    audit.finish().unwrap()
}

/// The policy takes most of the time to load, so the campaign loads it once.
fn expectations() -> Expectations {
    Expectations { loaded: FULL.loaded.clone(), ..Expectations::default() }
}

fn compiled(files: &BundleFiles) -> Arc<Compiled> {
    let text = |(name, text): (&String, &Vec<u8>)| {
        (name.clone(), String::from_utf8(text.clone()).unwrap())
    };
    let bundle = Bundle::load(files.iter().map(text), &Vocabulary::default()).unwrap();
    let card = Agency::partner().card();
    let partner = PartnerFacts {
        agency: partner(),
        sector: Sector::from_name(card.card().sector.name()).unwrap(),
        country: card.card().country.to_string().parse().unwrap(),
        client: false,
        suspended: false,
        agreement_until: crate::ident::Timestamp::MAX,
        circles: vec![],
        operations: vec![],
        tags: BTreeMap::new(),
    };
    Arc::new(Compiled::new(Arc::new(bundle), own(), [partner]))
}

fn audited(export: &impl Folder) -> Report {
    audited_with(export, expectations())
}

fn failed(report: &Report, what: &str) -> (Check, String) {
    let failure = report.failure.as_ref().unwrap_or_else(|| panic!("{what}: nothing failed"));
    assert!(!failure.fault.expected.is_empty() && !failure.fault.found.is_empty(), "{failure}");
    (failure.fault.check, failure.place.to_string())
}

#[test]
fn an_export_says_what_the_directory_says() {
    let node = Node::full();
    let dir = verify_directory(node.path(), &AuditOptions::default()).unwrap();
    let mut report = audited(&FULL.export);
    assert_eq!(report.failure, None);
    assert!(report.counts.tiles > 0);
    assert!(report.counts.decided >= 10, "{}", report.counts.decided);
    report.counts.tiles = 0;
    report.counts.batches = dir.counts.batches;
    let names = |report: &Report| report.remarks.iter().map(Remark::name).collect::<Vec<_>>();
    assert_eq!(names(&report), ["trusts_directory", "no_card_file", "unknown_originators"]);
    report.remarks.clone_from(&dir.remarks);
    assert_eq!(report, dir);
    assert_eq!(FULL.summary.size, dir.checkpoint.size.get());
    assert_eq!(FULL.summary.feeds["cert.example"], 10);
}

#[test]
fn an_export_on_a_disk_is_verified_there_and_never_written_twice() {
    let node = Node::full();
    let out = node.path().join("export");
    let go_on = AtomicBool::new(false);
    let summary = crate::cli::commands::audit::export::export(node.path(), &out, &go_on).unwrap();
    assert_eq!(summary, FULL.summary);
    assert!(is_export(&out) && !is_export(node.path()));
    let number = Agency::own().card().number().to_string();
    let options = AuditOptions { identity: Some(number), ..AuditOptions::default() };
    let report = verify_directory(&out, &options).unwrap();
    assert_eq!(report.failure, None);
    assert_eq!(report.remarks.len(), 1, "{report}");
    for (path, bytes) in &FULL.export.0 {
        assert_eq!(std::fs::read(out.join(path)).unwrap(), bytes[..], "{path}");
    }
    assert!(crate::cli::commands::audit::export::export(node.path(), &out, &go_on).is_err());
    let left = || {
        let names = std::fs::read_dir(node.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("partial")).collect::<Vec<_>>()
    };
    assert_eq!(left(), Vec::<String>::new());
    let stopped = crate::cli::commands::audit::export::export(
        node.path(),
        &node.path().join("b"),
        &true.into(),
    );
    assert!(matches!(stopped, Err(crate::cli::commands::audit::export::ExportFault::Interrupted)));
    assert_eq!(left(), Vec::<String>::new());
    assert!(!node.path().join("b").exists());
}

#[test]
fn tiles_above_the_leaves_are_computed_and_compared() {
    assert_eq!(audited(&LONG.export).failure, None);
    let tiles: Vec<_> = LONG.export.0.keys().filter(|path| path.contains("tile/")).collect();
    assert!(tiles.contains(&&"tile/1/000.p/1".to_owned()), "{tiles:?}");
    assert!(tiles.contains(&&"feed/cert.example/tile/1/000.p/1".to_owned()), "{tiles:?}");
    for path in tiles {
        let mut export = LONG.export.clone();
        let bytes = export.0.remove(path).unwrap();
        assert!(failed(&audited(&export), path).1.contains(path));
        let mut changed = bytes.to_vec();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        export.0.insert(path.clone(), changed.into());
        let (check, place) = failed(&audited(&export), path);
        assert!(matches!(check, Check::Tile | Check::ExportFile | Check::Content), "{check:?}");
        // Leaf hashes are compared with the entries they stand for.
        assert!(place.contains(path) || path.contains("tile/0/"), "{path}: {place}");
    }
}

/// Bytes as a program leaves them that takes them for text of this machine.
fn with_carriage_returns(bytes: &Bytes) -> Bytes {
    String::from_utf8(bytes.to_vec()).unwrap().replace('\n', "\r\n").into()
}

#[test]
fn changed_line_ends_are_named_in_every_text_file_of_an_export() {
    let is_binary = |path: &str| path.contains("tile/") || path.starts_with("content/");
    let texts: Vec<&String> = FULL.export.0.keys().filter(|path| !is_binary(path)).collect();
    assert!(texts.len() >= 7, "{texts:?}");
    let mut all = FULL.export.clone();
    for path in texts {
        let changed = with_carriage_returns(&FULL.export.0[path]);
        let mut export = FULL.export.clone();
        export.0.insert(path.clone(), changed.clone());
        all.0.insert(path.clone(), changed);
        let (check, place) = failed(&audited(&export), path);
        assert_eq!((check, &place), (Check::LineEnds, path));
    }
    assert_eq!(failed(&audited(&all), "all").0, Check::LineEnds);
}

/// Changes tried and found, by kind.
#[derive(Debug, Default)]
struct Campaign {
    tried: BTreeMap<&'static str, usize>,
    /// Found only with an older checkpoint.
    by_checkpoint: BTreeMap<&'static str, usize>,
    claimed_nothing: BTreeMap<&'static str, usize>,
    /// Found, and another file named than the one that was changed.
    misnamed: BTreeMap<&'static str, Vec<String>>,
}

impl Campaign {
    /// Checks that the audit finds a changed byte, or that its report stays the same. A partner
    /// alone decides between withheld and erased for a slot that it did not show, and no entry
    /// repeats that. So this is the one byte that can change without changing a claim.
    fn finds_or_claims_nothing(&mut self, kind: &'static str, export: &Memory, what: &str) {
        *self.tried.entry(kind).or_default() += 1;
        let report = audited(export);
        if report.failure.is_none() {
            *self.claimed_nothing.entry(kind).or_default() += 1;
            assert_eq!(report, audited(&FULL.export), "{kind}: {what}");
        }
    }

    fn finds(&mut self, kind: &'static str, export: &Memory, what: &str) -> (Check, String) {
        *self.tried.entry(kind).or_default() += 1;
        failed(&audited(export), &format!("{kind}: {what}"))
    }

    /// The same of changed files, one of which the finding must name. The hash of a policy is over all its
    /// files, so of these the folder is named.
    fn names(&mut self, kind: &'static str, export: &Memory, paths: &[&str], what: &str) {
        *self.tried.entry(kind).or_default() += 1;
        let report = audited(export);
        failed(&report, &format!("{kind}: {what}"));
        let finding = report.failure.map(|failure| failure.to_string()).unwrap_or_default();
        let is_named = |path: &&str| {
            let policy = path.strip_prefix("policies/").and_then(|rest| rest.split_once('/'));
            finding.contains(*path)
                || policy.is_some_and(|(hash, _)| finding.contains(&format!("policies/{hash}")))
        };
        if !paths.iter().any(is_named) {
            self.misnamed.entry(kind).or_default().push(format!("{what}: {finding}"));
        }
    }

    /// For an attacker who signs again: what the entries do not betray, an older checkpoint does.
    fn finds_resigned(&mut self, kind: &'static str, frames: &[Frame], what: &str) {
        *self.tried.entry(kind).or_default() += 1;
        let segments = [framed(1, &resigned(frames))];
        let Ok((export, _)) = exported(&segments, &FULL.policies) else {
            // No honest tool makes a folder of it; the directory itself does not hold either.
            failed(&tests::audited(&segments), &format!("{kind}: {what}"));
            return;
        };
        if audited(&export).failure.is_some() {
            return;
        }
        *self.by_checkpoint.entry(kind).or_default() += 1;
        let note = FULL.export.0["checkpoint"].clone();
        let checkpoint = Some(KnownCheckpoint::parse(note).unwrap());
        let held = audited_with(&export, Expectations { checkpoint, ..expectations() });
        let (check, _) = failed(&held, &format!("{kind}: {what}"));
        assert_eq!(check, Check::KnownCheckpoint, "{kind}: {what}");
    }

    /// Flips a bit at about `most` places of a file.
    fn flips(&mut self, kind: &'static str, path: &str, most: usize) {
        let bytes = FULL.export.0[path].clone();
        let mut export = FULL.export.clone();
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(most)) {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << (at % 7);
            let is_state = bytes[at] == 2 && changed[at] == 3 && kind == "slot or salt";
            export.0.insert(path.to_owned(), changed.into());
            let what = format!("byte {at} of {path}");
            if is_state {
                self.finds_or_claims_nothing(kind, &export, &what);
            } else {
                self.names(kind, &export, &[path], &what);
            }
        }
    }
}

fn entry_of(frame: &Frame) -> Option<pb::JournalEntry> {
    (frame.kind == 1).then(|| pb::JournalEntry::decode(&frame.payload[..]).unwrap())
}

fn with_entry(frame: &Frame, entry: &pb::JournalEntry) -> Frame {
    Frame { payload: entry.encode_to_vec(), ..frame.clone() }
}

/// The frames with all roots and totals computed and signed again by the owner of the journal's key.
fn resigned(frames: &[Frame]) -> Vec<Frame> {
    let originators = originators(frames);
    let (mut disclosed, mut totals) = (0, BTreeMap::new());
    let (mut counted, mut given) = (BTreeSet::new(), BTreeSet::new());
    signed(frames, |frame, published| match (frame, published) {
        (_, Some(published)) => {
            let total =
                |originator| pb::OriginatorTotal { originator, records: totals[&originator] };
            published.records_disclosed = disclosed;
            published.originators = std::mem::take(&mut counted).into_iter().map(total).collect();
        }
        (frame, None) => {
            let entry = pb::FeedEntry::decode(&frame.payload[2..]).unwrap();
            let (action, id) = (entry.action(), entry.record_id);
            disclosed += u64::from(matches!(action, FeedAction::Disclose | FeedAction::Withdraw));
            let originator = originators.get(&id).copied().unwrap_or(UNKNOWN);
            if action == FeedAction::Disclose && given.insert(id) {
                *totals.entry(originator).or_default() += 1;
                counted.insert(originator);
            }
        }
    })
}

/// The number of all agencies that are not partners.
const UNKNOWN: u32 = u16::MAX as u32;

/// The numbers of the originators of all records.
fn originators(frames: &[Frame]) -> BTreeMap<Bytes, u32> {
    let events = frames.iter().filter_map(entry_of).filter_map(|entry| entry.event);
    let accepted = events.filter_map(|event| match event {
        Event::RecordAccepted(accepted) => Some(accepted.header),
        _ => None,
    });
    let number = |header: &Bytes| {
        let originator = Header::decode(header).ok()?.originator;
        let parties = [(Agency::own(), 0), (Agency::partner(), 1)];
        parties.into_iter().find(|(party, _)| party.name == originator).map(|(_, number)| number)
    };
    let of = |header: Bytes| {
        let id = Bytes::copy_from_slice(commit::record_id(&header).as_bytes());
        (id, number(&header).unwrap_or(UNKNOWN))
    };
    accepted.map(of).collect()
}

/// The frames with all roots computed and signed again. `change` is called with each entry of the feed, and
/// with each head of it before it is written.
fn signed(
    frames: &[Frame],
    mut change: impl FnMut(&Frame, Option<&mut pb::FeedPublished>),
) -> Vec<Frame> {
    let (own, partner) = (Agency::own(), Agency::partner());
    let (mut journal, mut feed) = (Frontier::new(), Frontier::new());
    let sign = |origin: &str, head| own.signing().sign(origin, head).unwrap();
    let again = frames.iter().map(|frame| {
        let mut frame = frame.clone();
        match frame.kind {
            1 => {
                let mut entry = entry_of(&frame).unwrap();
                if let Some(Event::FeedPublished(published)) = &mut entry.event {
                    published.note =
                        sign(&Generation::FIRST.feed_origin(&own.name, &partner.name), feed.head());
                    change(&frame, Some(published));
                    frame = with_entry(&frame, &entry);
                }
                journal.push(leaf_hash(&frame.payload));
            }
            3 => {
                feed.push(leaf_hash(&frame.payload[2..]));
                change(&frame, None);
            }
            4 => {
                let origin = Generation::FIRST.journal_origin(&own.name);
                frame.payload = sign(&origin, journal.head()).to_vec();
            }
            _ => {}
        }
        frame
    });
    let mut again: Vec<Frame> = again.collect();
    // A batch without an entry has no checkpoint of its own.
    let is_empty =
        |at: usize, frames: &[Frame]| frames[at].kind == 4 && at > 0 && frames[at - 1].kind == 4;
    let empty: Vec<usize> = (0..again.len()).filter(|at| is_empty(*at, &again)).collect();
    empty.iter().rev().for_each(|at| drop(again.remove(*at)));
    again
}

fn all_frames() -> Vec<Frame> {
    FULL.segments.iter().flat_map(|segment| frames(segment)).collect()
}

#[test]
fn signing_again_what_was_not_changed_gives_a_sound_export() {
    let (export, _) = exported(&[framed(1, &resigned(&all_frames()))], &FULL.policies).unwrap();
    assert_eq!(audited(&export).failure, None);
    assert_eq!(export, FULL.export);
}

/// Every file changed byte by byte, cut, lengthened, taken away and put in another's place.
fn change_files(campaign: &mut Campaign) {
    let paths: Vec<&String> = FULL.export.0.keys().collect();
    for path in &paths {
        match &path[..] {
            p if p.starts_with("content/") => campaign.flips("slot or salt", p, 600),
            p if p.contains("tile/entries/") => campaign.flips("entry", p, 700),
            p if p.contains("tile/") => campaign.flips("tile", p, 300),
            "checkpoint" => campaign.flips("checkpoint", path, 100),
            p if p.ends_with("/checkpoint") => campaign.flips("cosignature", p, 120),
            p if p.starts_with("policies/") => campaign.flips("policy", p, 60),
            p => campaign.flips("key history", p, 40),
        }
        let bytes = &FULL.export.0[*path];
        let mut export = FULL.export.clone();
        export.0.remove(*path);
        campaign.names("file missing", &export, &[path], path);
        export.0.insert((*path).clone(), bytes.slice(..bytes.len() - 1));
        campaign.names("file cut", &export, &[path], path);
        export.0.insert((*path).clone(), [bytes, &b"x"[..]].concat().into());
        campaign.names("file lengthened", &export, &[path], path);
    }
    for (at, one) in paths.iter().enumerate() {
        for other in &paths[at + 1..] {
            let mut export = FULL.export.clone();
            let (a, b) = (export.0[*one].clone(), export.0[*other].clone());
            if a != b {
                export.0.insert((*one).clone(), b);
                export.0.insert((*other).clone(), a);
                let what = format!("{one} and {other}");
                campaign.names("file swapped", &export, &[one, other], &what);
            }
        }
    }
}

/// Entries dropped, exchanged and dated otherwise, and headers changed.
fn change_entries(campaign: &mut Campaign) {
    let all = all_frames();
    for at in (0..all.len()).filter(|at| all[*at].kind != 4) {
        let what = format!("frame {at}");
        let mut frames = all.clone();
        frames.remove(at);
        if all[at].kind != 2 {
            // Content goes with its entry.
            if at > 0 && all[at - 1].kind == 2 {
                frames.remove(at - 1);
            }
            campaign.finds_resigned("entry dropped", &frames, &what);
        }
        if let Some(next) = (at + 1..all.len()).find(|next| all[*next].kind == all[at].kind) {
            let mut frames = all.clone();
            frames.swap(at, next);
            if frames != all {
                campaign.finds_resigned("entries reordered", &frames, &what);
            }
        }
        let Some(entry) = entry_of(&all[at]) else { continue };
        let dated = |at_ms| with_entry(&all[at], &pb::JournalEntry { at_ms, ..entry.clone() });
        for shift in [1, 3_600_000] {
            for at_ms in [entry.at_ms - shift, entry.at_ms + shift] {
                let mut frames = all.clone();
                frames[at] = dated(at_ms);
                campaign.finds_resigned("back-dated", &frames, &format!("{what} at {at_ms}"));
            }
        }
        let Some(Event::RecordAccepted(accepted)) = &entry.event else { continue };
        let step = accepted.header.len().div_ceil(25);
        for byte in (0..accepted.header.len()).step_by(step) {
            let mut header = accepted.header.to_vec();
            header[byte] ^= 1 << (byte % 7);
            let accepted = pb::RecordAccepted { header: header.into(), ..accepted.clone() };
            let event = Some(Event::RecordAccepted(accepted));
            let mut frames = all.clone();
            frames[at] = with_entry(&all[at], &pb::JournalEntry { event, ..entry.clone() });
            campaign.finds_resigned("header", &frames, &format!("{what} byte {byte}"));
        }
    }
}

/// The order in a frame, and the frame with another one.
type WithOrder = Box<dyn Fn(pb::ErasureOrder) -> Frame>;

fn order_of(frame: &Frame) -> Option<(pb::ErasureOrder, WithOrder)> {
    let frame = frame.clone();
    if frame.kind == 3 {
        let entry = pb::FeedEntry::decode(&frame.payload[2..]).unwrap();
        let order = entry.order.clone()?;
        let with = move |order| {
            let entry = pb::FeedEntry { order: Some(order), ..entry.clone() };
            let payload = [&frame.payload[..2], &entry.encode_to_vec()].concat();
            Frame { payload, ..frame.clone() }
        };
        return Some((order, Box::new(with)));
    }
    let entry = entry_of(&frame)?;
    let order = match &entry.event {
        Some(Event::SlotsErased(erased)) => erased.order.clone()?,
        Some(Event::RecordRestricted(held)) => held.order.clone()?,
        _ => return None,
    };
    let with = move |order| {
        let mut entry = entry.clone();
        match &mut entry.event {
            Some(Event::SlotsErased(erased)) => erased.order = Some(order),
            Some(Event::RecordRestricted(held)) => held.order = Some(order),
            _ => {}
        }
        with_entry(&frame, &entry)
    };
    Some((order, Box::new(with)))
}

/// Orders to erase with other slots, ground, time, key or signature, signed again by the owner of the
/// journal's key: only the originator of the record could have given them.
fn change_orders(campaign: &mut Campaign) {
    let history = History::of(&Node::erased());
    let all: Vec<Frame> = history.segments.iter().flat_map(|segment| frames(segment)).collect();
    let mut orders = 0;
    for (at, frame) in all.iter().enumerate() {
        let Some((order, with)) = order_of(frame) else { continue };
        orders += 1;
        let flipped = |bytes: &Bytes, at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1 << (at % 7);
            Bytes::from(bytes)
        };
        let slots = (0..32).map(|bit| order.slots ^ 1 << bit);
        let mut changes: Vec<_> =
            slots.map(|slots| pb::ErasureOrder { slots, ..order.clone() }).collect();
        let grounds = (0..8).filter(|basis| *basis != order.basis);
        changes.extend(grounds.map(|basis| pb::ErasureOrder { basis, ..order.clone() }));
        let times = [1, 3_600_000, 86_400_000].map(|ms| [order.at_ms - ms, order.at_ms + ms]);
        let times = times.into_iter().flatten();
        changes.extend(times.map(|at_ms| pb::ErasureOrder { at_ms, ..order.clone() }));
        changes.extend((0..16).map(|at| {
            let key_id = flipped(&order.key_id, at);
            pb::ErasureOrder { key_id, ..order.clone() }
        }));
        changes.extend((0..64).map(|at| {
            let signature = flipped(&order.signature, at);
            pb::ErasureOrder { signature, ..order.clone() }
        }));
        for changed in changes {
            let what = format!("{changed:?} in frame {at}");
            let mut frames = all.clone();
            frames[at] = with(changed);
            let again = framed(1, &resigned(&frames));
            let (export, _) = exported(&[again], &history.policies).unwrap();
            let (check, _) = campaign.finds("order to erase", &export, &what);
            let is_named = matches!(
                check,
                // What came from a partner is held against its feed before its signature is.
                Check::ErasureOrder | Check::Erasure | Check::ReceivedFeed
            );
            assert!(is_named, "{check:?}: {what}");
        }
    }
    let is_duty = |frame: &Frame| frame.kind == 3 && order_of(frame).is_some();
    let at = all.iter().position(is_duty).unwrap();
    let left = all.iter().enumerate().filter(|(other, _)| *other != at);
    let left: Vec<Frame> = left.map(|(_, frame)| frame.clone()).collect();
    let (export, _) = exported(&[framed(1, &resigned(&left))], &history.policies).unwrap();
    let (check, _) = campaign.finds("order to erase", &export, "not carried on");
    assert_eq!(check, Check::Erasure);
    assert_eq!(orders, 4, "of an erasure, of a duty that waited and then went, and in a feed");
}

#[test]
fn orders_to_erase_and_what_waited_for_a_hold_are_verified() {
    let report = audited(&History::of(&Node::erased()).export);
    assert_eq!(report.failure, None);
    assert_eq!((report.counts.orders, report.counts.unknown_orders), (4, 0));
}

#[test]
fn a_hold_that_ends_without_the_erasure_that_waited_is_found() {
    let history = History::of(&Node::erased());
    let all: Vec<Frame> = history.segments.iter().flat_map(|segment| frames(segment)).collect();
    let waited = |frame: &Frame| {
        let event = entry_of(frame).and_then(|entry| entry.event);
        matches!(event, Some(Event::SlotsErased(erased)) if erased.proposal == 0)
    };
    let at = all.iter().position(waited).unwrap();
    let without = |dropped: &[usize]| {
        let left = all.iter().enumerate().filter(|(at, _)| !dropped.contains(at));
        let left: Vec<Frame> = left.map(|(_, frame)| frame.clone()).collect();
        audited(&exported(&[framed(1, &resigned(&left))], &history.policies).unwrap().0)
    };
    let (check, _) = failed(&without(&[at - 1, at]), "the erasure");
    assert_eq!(check, Check::Erasure);
    // With the end of the hold gone too, its content was overwritten under the hold.
    let (check, _) = failed(&without(&[at - 2]), "the end of the hold");
    assert_eq!(check, Check::Erasure);
}

/// An entry of the journal with another index of the feed that it came from.
fn with_feed_index(
    entry: &pb::JournalEntry,
    change: impl Fn(u64) -> u64,
) -> Option<pb::JournalEntry> {
    let mut entry = entry.clone();
    let (index, partner) = match entry.event.as_mut()? {
        Event::RecordAccepted(e) => (&mut e.feed_index, &e.partner),
        Event::SlotsReceived(e) => (&mut e.feed_index, &e.partner),
        Event::SlotsErased(e) => (&mut e.feed_index, &e.partner),
        Event::RecordRestricted(e) => (&mut e.feed_index, &e.partner),
        Event::RecordRetracted(e) => (&mut e.feed_index, &e.partner),
        Event::ErasureReported(e) => (&mut e.feed_index, &e.partner),
        _ => return None,
    };
    if partner.is_empty() {
        return None;
    }
    *index = change(*index);
    Some(entry)
}

/// Changes received entries: the node dropped one, or names another entry of the feed as its source. The
/// owner of the journal's key signs it again; no older checkpoint is needed to find it.
fn change_received(campaign: &mut Campaign) {
    let history = History::of(&Node::erased());
    let all: Vec<Frame> = history.segments.iter().flat_map(|segment| frames(segment)).collect();
    let find = |campaign: &mut Campaign, kind, frames: &[Frame], what: &str| {
        *campaign.tried.entry(kind).or_default() += 1;
        let report = tests::audited(&[framed(1, &resigned(frames))]);
        failed(&report, &format!("{kind}: {what}")).0
    };
    for (at, frame) in all.iter().enumerate() {
        let Some(entry) = entry_of(frame) else { continue };
        let what = format!("frame {at}");
        let changes: [fn(u64) -> u64; 3] =
            [|index| index + 1, |index| index.wrapping_sub(1), |index| index + 1_000];
        for change in changes {
            let Some(changed) = with_feed_index(&entry, change) else { continue };
            // The end of a hold carries out what came long before.
            let is_due = matches!(&entry.event, Some(Event::SlotsErased(_)));
            let mut frames = all.clone();
            frames[at] = with_entry(frame, &changed);
            if !is_due {
                let check = find(campaign, "index in a partner's feed", &frames, &what);
                assert_eq!(check, Check::ReceivedFeed, "{what}");
            }
        }
        let is_received = match &entry.event {
            Some(Event::RecordAccepted(e)) => !e.partner.is_empty(),
            Some(Event::RecordRestricted(e)) => !e.partner.is_empty(),
            Some(Event::ErasureReported(_) | Event::FeedReceived(_)) => true,
            Some(Event::FeedEntriesReceived(_)) => true,
            _ => false,
        };
        if is_received {
            let mut frames = all.clone();
            frames.remove(at);
            if at > 0 && all[at - 1].kind == 2 {
                frames.remove(at - 1);
            }
            find(campaign, "entry of a partner's feed dropped", &frames, &what);
        }
        if let Some(Event::ReceiptReceived(receipt)) = &entry.event {
            let exception = |change: fn(&mut pb::ReceiptReceived)| {
                let mut receipt = receipt.clone();
                change(&mut receipt);
                let event = Some(Event::ReceiptReceived(receipt));
                let mut frames = all.clone();
                frames[at] = with_entry(frame, &pb::JournalEntry { event, ..entry.clone() });
                frames
            };
            for change in [
                (|receipt: &mut pb::ReceiptReceived| receipt.exceptions.clear())
                    as fn(&mut pb::ReceiptReceived),
                |receipt: &mut pb::ReceiptReceived| receipt.exceptions[0].index += 1,
                |receipt: &mut pb::ReceiptReceived| {
                    receipt.exceptions[0].set_reason(pb::ExceptionReason::NotSupplied);
                },
                |receipt: &mut pb::ReceiptReceived| receipt.statement = None,
            ] {
                let check = find(campaign, "exceptions of a receipt", &exception(change), &what);
                assert_eq!(check, Check::Receipt, "{what}");
            }
        }
    }
}

/// Entries of the feed that show more than the policy allows, or that are dated when it would have.
fn change_disclosures(campaign: &mut Campaign) {
    let all = all_frames();
    for at in (0..all.len()).filter(|at| all[*at].kind == 3) {
        let entry = pb::FeedEntry::decode(&all[at].payload[2..]).unwrap();
        let mut changes: Vec<pb::FeedEntry> = (1..31)
            .map(|slot| pb::FeedEntry { open_slots: entry.open_slots | 1 << slot, ..entry.clone() })
            .collect();
        let hour = 3_600_000;
        changes.extend(
            [entry.at_ms - hour, entry.at_ms + hour]
                .map(|at_ms| pb::FeedEntry { at_ms, ..entry.clone() }),
        );
        changes
            .extend([0, 2].map(|policy_version| pb::FeedEntry { policy_version, ..entry.clone() }));
        for changed in changes.into_iter().filter(|changed| *changed != entry) {
            let mut frames = all.clone();
            let payload = [&all[at].payload[..2], &changed.encode_to_vec()].concat();
            frames[at] = Frame { payload, ..all[at].clone() };
            let what = format!("{changed:?}");
            campaign.finds_resigned("disclosure outside policy", &frames, &what);
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are the result of the campaign")]
fn every_single_change_to_an_export_is_found_and_named() {
    assert_eq!(audited(&FULL.export).failure, None);
    let mut campaign = Campaign::default();
    change_files(&mut campaign);
    change_entries(&mut campaign);
    change_disclosures(&mut campaign);
    change_orders(&mut campaign);
    change_received(&mut campaign);
    let total: usize = campaign.tried.values().sum();
    for (kind, tried) in &campaign.tried {
        let by_checkpoint = campaign.by_checkpoint.get(kind).copied().unwrap_or_default();
        let nothing = campaign.claimed_nothing.get(kind).copied().unwrap_or_default();
        println!(
            "{tried:5} {kind}: {} found, {by_checkpoint} of them by an older checkpoint alone; \
             {nothing} change nothing that is claimed",
            tried - nothing
        );
    }
    println!("{total:5} in all");
    for (kind, all) in &campaign.misnamed {
        println!("{:5} {kind}: found, and another file named; the first: {}", all.len(), all[0]);
    }
    assert!(campaign.misnamed.is_empty());
    assert!(total >= 2_000, "{total}");
    assert_eq!(campaign.tried.len(), 20, "{:?}", campaign.tried.keys());
}
