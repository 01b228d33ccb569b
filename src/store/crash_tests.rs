//! The recovery at start-up from every way in which a write can be cut short or damaged.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::batch::{BATCH_BYTES_MAX, Batch};
use super::disk::{Disk, UnsyncedDisk};
use super::error::StoreError;
use super::frame::{FRAME_PAYLOAD_BYTES_MAX, Frame, FrameKind};
use super::lock::DirLock;
use super::position::Position;
use super::position::SEGMENT_HEADER_BYTES;
use super::recovery::{Extent, Recovery};
use super::segment::{Appended, SegmentOptions, Segments};

/// Fails at the n-th operation and at all after it; a failing write leaves its first half.
#[derive(Debug)]
struct FailingDisk {
    left: AtomicUsize,
}

impl FailingDisk {
    fn after(operations: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(operations) })
    }

    fn step(&self) -> io::Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for FailingDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let whole = self.step();
        let len = if whole.is_ok() { bytes.len() } else { bytes.len() / 2 };
        file.write_all_at(&bytes[..len], offset)?;
        whole
    }

    fn sync_data(&self, _: &File) -> io::Result<()> {
        self.step()
    }
}

fn options(segment_bytes_max: u32) -> SegmentOptions {
    SegmentOptions { segment_bytes_max, disk: Arc::new(UnsyncedDisk) }
}

fn open(dir: &Path, from: Option<Position>) -> Result<(Segments, Recovery), StoreError> {
    open_with(dir, options(u32::MAX / 4), from)
}

/// Opens the log, and begins it first where there is none.
fn open_with(
    dir: &Path,
    options: SegmentOptions,
    from: Option<Position>,
) -> Result<(Segments, Recovery), StoreError> {
    if !dir.join("segments").exists() {
        drop(Segments::begin(dir, options.clone())?);
    }
    Segments::open(dir, options, from)
}

fn segment_file(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("segments/{number:08}.seg"))
}

/// A batch of one frame of each kind, told apart by `n`.
fn append(segments: &mut Segments, n: u8) -> Appended {
    let mut batch = Batch::new();
    batch.entry(&[n; 5]).unwrap();
    batch.content(&[&[n], &[n, n, n]]).unwrap();
    batch.feed(u16::from(n), &[n; 3]).unwrap();
    segments.append(&mut batch, format!("checkpoint {n}").as_bytes()).unwrap()
}

fn frames(segments: &Segments) -> Vec<(Position, Frame)> {
    segments.reader().scan(Position::START).collect::<Result<_, _>>().unwrap()
}

#[test]
fn frames_read_back_by_position_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, recovery) = open(dir.path(), None).unwrap();
    assert_eq!(recovery.end, Position::START);
    assert_eq!(recovery.last_commit, None);
    let appended = append(&mut segments, 7);
    let reader = segments.reader();
    let [entry, content, feed] = [0, 1, 2].map(|n| reader.read(appended.positions[n]).unwrap());
    assert_eq!((entry.kind, &entry.payload[..]), (FrameKind::Entry, &[7; 5][..]));
    assert_eq!((content.kind, &content.payload[..]), (FrameKind::Content, &[7; 4][..]));
    assert_eq!(feed.feed(), Some((7, vec![7; 3].into())));
    assert_eq!(entry.feed(), None);
    assert_eq!(&reader.read(appended.commit).unwrap().payload[..], b"checkpoint 7");
    let found = frames(&segments);
    assert_eq!(found.len(), 4);
    assert_eq!(found[3].0, appended.commit);
    assert!(matches!(reader.read(appended.end), Err(StoreError::NotCommitted { .. })));
    let within = Position { offset: entry_offset(&appended) + 1, ..appended.commit };
    assert!(matches!(reader.read(within), Err(StoreError::Corrupt { .. })));
}

fn entry_offset(appended: &Appended) -> u32 {
    appended.positions[0].offset
}

#[test]
fn a_batch_cut_at_any_byte_is_wholly_absent() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path(), None).unwrap();
    append(&mut segments, 1);
    let kept = append(&mut segments, 2);
    let before = frames(&segments);
    let cut = append(&mut segments, 3);
    drop(segments);
    let path = segment_file(dir.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    for len in kept.end.offset..cut.end.offset {
        std::fs::write(&path, &whole[..len as usize]).unwrap();
        let (mut segments, recovery) = open(dir.path(), Some(kept.end)).unwrap();
        assert_eq!(recovery.end, kept.end);
        assert_eq!(recovery.torn_bytes, u64::from(len - kept.end.offset));
        assert_eq!(&recovery.last_commit.unwrap().checkpoint[..], b"checkpoint 2");
        assert_eq!(frames(&segments), before);
        append(&mut segments, 4);
        assert_eq!(frames(&segments).len(), 12);
    }
    std::fs::write(&path, &whole).unwrap();
    let (segments, recovery) = open(dir.path(), None).unwrap();
    assert_eq!((recovery.end, recovery.torn_bytes), (cut.end, 0));
    assert_eq!(frames(&segments).len(), 12);
}

#[test]
fn any_byte_flipped_before_the_last_commit_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path(), None).unwrap();
    append(&mut segments, 1);
    append(&mut segments, 2);
    let last = append(&mut segments, 3);
    let reader = segments.reader();
    let path = segment_file(dir.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    let flip = |at: usize, by: u8| {
        let mut bytes = whole.clone();
        bytes[at] ^= by;
        std::fs::write(&path, bytes).unwrap();
    };
    for at in SEGMENT_HEADER_BYTES..last.end.offset as usize {
        flip(at, 0x10);
        assert!(reader.scan(Position::START).any(|found| found.is_err()), "scan, byte {at}");
    }
    drop(segments);
    for at in 0..last.commit.offset as usize {
        for by in [1, 0xFF] {
            flip(at, by);
            let opened = open(dir.path(), None);
            assert!(matches!(opened, Err(StoreError::Corrupt { segment: 1, .. })), "byte {at}");
        }
    }
}

#[test]
fn damage_before_the_trusted_position_is_left_to_a_full_check() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path(), None).unwrap();
    let first = append(&mut segments, 1);
    append(&mut segments, 2);
    drop(segments);
    let file = OpenOptions::new().write(true).open(segment_file(dir.path(), 1)).unwrap();
    file.write_all_at(&[0xEE], 20).unwrap();
    let (_, recovery) = open(dir.path(), Some(first.end)).unwrap();
    assert_eq!(recovery.checked_from, first.end);
    assert!(open(dir.path(), None).is_err());
}

#[test]
fn a_checkup_names_every_damaged_place_and_goes_on_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open_with(dir.path(), options(300), None).unwrap();
    let appended: Vec<Appended> = (1..=9).map(|n| append(&mut segments, n)).collect();
    let reader = segments.reader();
    let look = || {
        let mut checkup = reader.checkup();
        while !checkup.step().unwrap() {}
        reader.damages()
    };
    assert_eq!(look(), []);
    let flip = |at: Position| {
        let file =
            OpenOptions::new().read(true).write(true).open(segment_file(dir.path(), at.segment));
        let file = file.unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at.offset.into()).unwrap();
        file.write_all_at(&[byte[0] ^ 0x80], at.offset.into()).unwrap();
    };
    // Within a payload: the length is sound, and the next frame is where it was.
    let entry = appended[1].positions[0];
    flip(Position { offset: entry.offset + 11, ..entry });
    let content = appended[1].positions[1];
    let found = look();
    assert_eq!((found[0].start, found[0].end), (entry, content.offset));
    // The length itself: frames are found again behind a commit.
    let lost = appended[5].positions[1];
    flip(Position { offset: lost.offset + 2, ..lost });
    let found = look();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].start, lost);
    assert!(found[1].end > lost.offset);
    assert_eq!(reader.read(appended[8].positions[0]).unwrap().payload[..], [9; 5]);
    let rest = reader.scan(appended[6].positions[0]).filter(Result::is_ok).count();
    assert_eq!(rest, 12);
    assert!(reader.read(lost).is_err());
    assert_eq!(reader.damages().len(), 2, "a place is noted once");
}

#[test]
fn everything_behind_damage_is_given_up_only_where_the_caller_says_so() {
    let of_segment = |flip: &dyn Fn(&Appended) -> Position| {
        let dir = tempfile::tempdir().unwrap();
        let (mut segments, _) = open_with(dir.path(), options(300), None).unwrap();
        let appended: Vec<Appended> = (1..=9).map(|n| append(&mut segments, n)).collect();
        drop(segments);
        let first = appended.iter().position(|batch| batch.positions[0].segment == 2).unwrap();
        let at = flip(&appended[first]);
        let file = OpenOptions::new().write(true).open(segment_file(dir.path(), 2)).unwrap();
        file.write_all_at(&[0xEE], u64::from(at.offset) + 2).unwrap();
        assert!(matches!(
            open_with(dir.path(), options(300), None),
            Err(StoreError::Corrupt { .. })
        ));
        let lock = DirLock::acquire(dir.path()).unwrap();
        let examined =
            Segments::examine(lock, dir.path(), options(300), Extent::UpToDamage).unwrap();
        let recovery = examined.recovery().clone();
        assert_eq!(recovery.given_up.as_ref().map(|damage| damage.start.segment), Some(2));
        drop(examined.repair().unwrap());
        // What is left is whole, and the log goes on behind it.
        let (mut segments, after) = open_with(dir.path(), options(300), None).unwrap();
        assert_eq!((after.end, after.torn_bytes), (recovery.end, 0));
        append(&mut segments, 1);
        (recovery.end, appended[first - 1].end, appended[first].positions[0])
    };
    let (end, before, first) = of_segment(&|batch| batch.positions[1]);
    assert!(end == before || end == first, "{end} is the end of the last sound batch");
    let (end, before, _) = of_segment(&|_| Position { segment: 2, offset: 0 });
    assert_eq!(end, before, "a segment without its header is given up as a whole");
}

#[test]
fn a_position_that_is_no_end_of_a_batch_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path(), None).unwrap();
    let appended = append(&mut segments, 1);
    drop(segments);
    for from in [
        Position { segment: 1, offset: 0 },
        Position { segment: 1, offset: appended.end.offset + 1 },
        Position { segment: 9, offset: 16 },
        Position { segment: 0, offset: 99 },
        appended.commit,
    ] {
        let (_, recovery) = open(dir.path(), Some(from)).unwrap();
        assert_eq!((recovery.checked_from, recovery.end), (Position::START, appended.end));
    }
}

#[test]
fn a_batch_with_an_unwritten_sector_is_torn_even_if_its_commit_arrived() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path(), None).unwrap();
    let kept = append(&mut segments, 1);
    let mut batch = Batch::new();
    batch.entry(&[5; 4_000]).unwrap();
    segments.append(&mut batch, b"torn").unwrap();
    drop(segments);
    let path = segment_file(dir.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 512], 1_024).unwrap();
    let (segments, recovery) = open(dir.path(), None).unwrap();
    assert_eq!(recovery.end, kept.end);
    drop(segments);
    // The same hole before a later batch is damage.
    std::fs::write(&path, whole).unwrap();
    let (mut segments, _) = open(dir.path(), None).unwrap();
    append(&mut segments, 3);
    drop(segments);
    file.write_all_at(&[0; 512], 1_024).unwrap();
    assert!(matches!(open(dir.path(), None), Err(StoreError::Corrupt { .. })));
}

#[test]
fn segments_roll_over_at_batch_boundaries() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open_with(dir.path(), options(100), None).unwrap();
    let appended: Vec<_> = (1..=9).map(|n| append(&mut segments, n)).collect();
    assert_eq!(segments.end().segment, 5);
    let all = frames(&segments);
    assert_eq!(all.len(), 36);
    assert!(all.is_sorted_by_key(|(position, _)| *position));
    for (n, batch) in appended.iter().enumerate() {
        let rest = segments.reader().scan(batch.end).collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(rest, all[(n + 1) * 4..]);
    }
    drop(segments);
    for from in appended.iter().map(|batch| Some(batch.end)).chain([None]) {
        let (segments, recovery) = open_with(dir.path(), options(100), from).unwrap();
        assert_eq!(recovery.checked_from, from.unwrap_or(Position::START));
        assert_eq!(&recovery.last_commit.unwrap().checkpoint[..], b"checkpoint 9");
        assert_eq!(frames(&segments), all);
    }
}

#[test]
fn only_the_last_segment_may_be_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open_with(dir.path(), options(100), None).unwrap();
    (1..=5).for_each(|n| drop(append(&mut segments, n)));
    drop(segments);
    let path = segment_file(dir.path(), 1);
    let len = std::fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
    assert!(matches!(open(dir.path(), None), Err(StoreError::Corrupt { segment: 1, .. })));
    std::fs::remove_file(&path).unwrap();
    let missing = open(dir.path(), None);
    assert!(matches!(missing, Err(StoreError::MissingSegment { expected: 1, found: 2, .. })));
}

#[test]
fn a_segment_whose_start_was_cut_short_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path(), None).unwrap();
    let appended = append(&mut segments, 1);
    drop(segments);
    for len in 0..=SEGMENT_HEADER_BYTES {
        std::fs::write(segment_file(dir.path(), 2), vec![0; len]).unwrap();
        let (mut segments, recovery) = open(dir.path(), Some(appended.end)).unwrap();
        assert_eq!(recovery.end, Position { segment: 2, offset: 16 });
        assert_eq!(&recovery.last_commit.unwrap().checkpoint[..], b"checkpoint 1");
        append(&mut segments, 2);
        assert_eq!(frames(&segments).len(), 8);
    }
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), None).unwrap();
    assert!(matches!(open(dir.path(), None), Err(StoreError::Locked { .. })));
    drop(first);
    open(dir.path(), None).unwrap();
}

#[test]
fn frames_and_batches_at_their_maximum_are_taken_and_one_byte_more_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path(), None).unwrap();
    let largest = vec![3; FRAME_PAYLOAD_BYTES_MAX];
    let mut batch = Batch::new();
    assert!(matches!(batch.content(&[&largest, &[0]]), Err(StoreError::FrameTooLarge { .. })));
    assert!(batch.is_empty());
    while batch.bytes() + 2 * FRAME_PAYLOAD_BYTES_MAX < BATCH_BYTES_MAX {
        batch.content(&[&largest]).unwrap();
    }
    let room = BATCH_BYTES_MAX - batch.bytes() - 10 - 18;
    let rest = vec![4; room];
    let (half, other) = rest.split_at(room / 2);
    batch.content(&[half]).unwrap();
    batch.content(&[&other[10..]]).unwrap();
    let too_large = segments.append(&mut batch, b"x");
    assert!(matches!(too_large, Err(StoreError::BatchTooLarge { .. })));
    let frames_in = batch.len();
    let appended = segments.append(&mut batch, b"").unwrap();
    assert_eq!(appended.end.offset as usize, SEGMENT_HEADER_BYTES + BATCH_BYTES_MAX);
    assert!(batch.is_empty());
    let first = segments.reader().read(appended.positions[0]).unwrap();
    assert_eq!(first.payload.len(), FRAME_PAYLOAD_BYTES_MAX);
    assert_eq!(frames(&segments).len(), frames_in + 1);
    drop(segments);
    assert_eq!(open(dir.path(), None).unwrap().1.end, appended.end);
}

#[test]
fn a_failed_write_or_sync_stops_the_writer_and_start_up_repairs() {
    for operations in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let (mut segments, _) = open(dir.path(), None).unwrap();
        append(&mut segments, 1);
        drop(segments);
        // Opening syncs once.
        let disk = FailingDisk::after(1 + operations);
        let failing = SegmentOptions { disk, ..SegmentOptions::default() };
        let (mut segments, _) = Segments::open(dir.path(), failing, None).unwrap();
        let end = segments.end();
        let mut batch = Batch::new();
        batch.entry(b"lost").unwrap();
        let error = segments.append(&mut batch, b"c").unwrap_err();
        assert!(error.is_fatal() && matches!(error, StoreError::Io { .. }));
        assert!(matches!(segments.append(&mut batch, b"c"), Err(StoreError::Poisoned)));
        assert_eq!(segments.reader().end(), end);
        drop(segments);
        let (segments, recovery) = open(dir.path(), None).unwrap();
        // What only the sync failed on may survive, wholly.
        assert_eq!(recovery.end == end, operations == 0);
        assert_eq!(frames(&segments).len(), if operations == 0 { 4 } else { 6 });
    }
}

#[test]
fn content_is_overwritten_in_place_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path(), None).unwrap();
    let appended = append(&mut segments, 1);
    let [entry, content, _] = appended.positions[..] else { panic!("three frames") };
    segments.overwrite_content(content, b"gone").unwrap();
    let found = segments.reader().read(content).unwrap();
    assert!(found.is_erased());
    assert_eq!(&found.payload[..], b"gone");
    let length = segments.overwrite_content(content, b"longer");
    assert!(matches!(length, Err(StoreError::OverwriteLength { expected: 4, found: 6, .. })));
    let kind = segments.overwrite_content(entry, &[0; 5]);
    assert!(matches!(kind, Err(StoreError::NotContent { found: FrameKind::Entry, .. })));
    append(&mut segments, 2);
    drop(segments);
    let (segments, _) = open(dir.path(), None).unwrap();
    assert_eq!(frames(&segments).len(), 8);
    assert_eq!(std::fs::metadata(dir.path().join("overwrite.redo")).unwrap().len(), 0);
}

#[test]
fn an_interrupted_overwriting_is_done_wholly_or_not_at_all() {
    let mut outcomes = Vec::new();
    for operations in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let (mut segments, _) = open(dir.path(), None).unwrap();
        let content = append(&mut segments, 1).positions[1];
        append(&mut segments, 2);
        drop(segments);
        let disk = FailingDisk::after(1 + operations);
        let failing = SegmentOptions { disk, ..SegmentOptions::default() };
        let (mut segments, _) = Segments::open(dir.path(), failing, None).unwrap();
        let done = segments.overwrite_content(content, b"gone").is_ok();
        drop(segments);
        let (segments, _) = open(dir.path(), None).unwrap();
        let found = segments.reader().read(content).unwrap();
        assert!(found.payload[..] == [1; 4] || &found.payload[..] == b"gone");
        assert!(!done || found.is_erased());
        outcomes.push(found.is_erased());
    }
    assert_eq!(outcomes, [false, true, true, true, true, true]);
}

#[test]
fn many_contents_are_erased_in_one_round_and_an_interrupted_round_is_finished() {
    for operations in 0..9 {
        let dir = tempfile::tempdir().unwrap();
        let (mut segments, _) = open_with(dir.path(), options(200), None).unwrap();
        let contents: Vec<Position> =
            (1..=6).map(|n| append(&mut segments, n).positions[1]).collect();
        assert!(contents.iter().any(|position| position.segment > 1));
        drop(segments);
        let disk = FailingDisk::after(1 + operations);
        let failing = SegmentOptions { disk, ..options(200) };
        let (mut segments, _) = Segments::open(dir.path(), failing, None).unwrap();
        let done = segments.erase_content(&contents, 1).is_ok();
        drop(segments);
        let (segments, _) = open(dir.path(), None).unwrap();
        let erased = |position: &Position| {
            let found = segments.reader().read(*position).unwrap();
            assert!(!found.is_erased() || found.payload[1..] == [0; 3], "{found:?}");
            found.is_erased()
        };
        let count = contents.iter().filter(|position| erased(position)).count();
        // Half of the first write arrived: three frames of the round, each wholly.
        assert_eq!(count, if operations == 0 { 3 } else { 6 }, "after {operations}");
        assert!(!done || count == 6);
    }
}

#[test]
fn readers_see_batches_and_overwritings_made_on_another_thread() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open_with(dir.path(), options(2_000), None).unwrap();
    let first = append(&mut segments, 0).positions[1];
    let reader = segments.reader();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for n in 1..200u8 {
                append(&mut segments, n);
                segments.overwrite_content(first, &[n; 4]).unwrap();
            }
        });
        while !writer.is_finished() {
            let found = reader.read(first).unwrap();
            assert!(found.payload.iter().all(|byte| *byte == found.payload[0]));
            assert!(reader.scan(Position::START).all(|found| found.is_ok()));
        }
    });
    assert_eq!(reader.scan(Position::START).count(), 800);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_batches_read_back_after_reopening(
        batches in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5_000), 0..6),
            1..6,
        ),
        segment_bytes_max in 100..20_000u32,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut segments, _) =
            open_with(dir.path(), options(segment_bytes_max), None).unwrap();
        let mut batch = Batch::new();
        for frames in &batches {
            frames.iter().for_each(|frame| batch.entry(frame).unwrap());
            segments.append(&mut batch, b"c").unwrap();
        }
        drop(segments);
        let (segments, recovery) = open(dir.path(), None).unwrap();
        prop_assert_eq!(recovery.torn_bytes, 0);
        let found: Vec<_> = frames(&segments)
            .into_iter()
            .filter(|(_, frame)| frame.kind == FrameKind::Entry)
            .map(|(_, frame)| frame.payload.to_vec())
            .collect();
        prop_assert_eq!(found, batches.concat());
    }

    #[test]
    fn arbitrary_bytes_as_a_segment_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        keep_header: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), None).unwrap());
        let path = segment_file(dir.path(), 1);
        let mut file = std::fs::read(&path).unwrap();
        file.truncate(if keep_header { SEGMENT_HEADER_BYTES } else { 0 });
        file.extend_from_slice(&bytes);
        std::fs::write(&path, file).unwrap();
        let _ = open(dir.path(), None);
    }
}
