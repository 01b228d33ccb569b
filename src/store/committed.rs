//! The committed bytes of all segments as they lie there, for somebody who reads them elsewhere.
//!
//! They come in pieces that begin and end with a frame. An overwriting meanwhile shows in a piece
//! wholly or not at all; and as the entry that ordered it is older than it, the last piece comes
//! only after that entry.

use std::sync::Arc;

use bytes::Bytes;

use super::error::StoreError;
use super::frame::{ERASED, push};
use super::position::Position;
use super::reader::Shared;
use super::segment_header::header;
use super::walk::Walk;

/// A piece is given once it has reached this; a longest frame may come on top.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes of one segment file that follow those of the piece before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub segment: u32,
    pub bytes: Bytes,
}

/// Reads on from piece to piece. It ends with the commit that was the last when it began, or with a
/// later one if content was overwritten by then.
pub struct Committed {
    shared: Arc<Shared>,
    next: Position,
    end: Position,
    walk: Option<Walk>,
}

impl Committed {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let end = shared.end();
        Self { shared, next: Position::START, end, walk: None }
    }

    /// The next piece; `None` at the end. After an error there is nothing more to ask for.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, StoreError> {
        while self.next < self.end {
            let segment = self.next.segment;
            let mut bytes = Vec::new();
            if self.next == Position::first_of(segment) {
                bytes.extend_from_slice(&header(segment));
            }
            let is_in = |next: Position, end| next < end && next.segment == segment;
            while is_in(self.next, self.end) && bytes.len() < PIECE_BYTES {
                self.take_frame(&mut bytes)?;
            }
            // Nothing is left of a segment that the piece before ended with.
            if !bytes.is_empty() {
                return Ok(Some(Piece { segment, bytes: bytes.into() }));
            }
        }
        Ok(None)
    }

    /// Appends the next frame, or goes to the next segment.
    fn take_frame(&mut self, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        let position = self.next;
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None => Walk::new(
                self.shared.file(position.segment)?,
                position.offset.into(),
                self.limit(position.segment)?,
            ),
        };
        let path = self.shared.path(position.segment);
        let read = |walk: &mut Walk, bytes: &mut Vec<u8>| {
            let found = walk.next().map_err(StoreError::io("read", &path))?;
            let frame = match found.transpose() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(Ok(None)),
                Err(flaw) => return Ok(Err(flaw)),
            };
            push(bytes, frame.kind, frame.flags, &[frame.payload])?;
            Ok(Ok(Some(frame.flags)))
        };
        let flags = match read(&mut walk, bytes)? {
            Ok(flags) => flags,
            Err(_) => {
                // It may be just being overwritten: look again when that is done.
                let _settled = self.shared.lock_overwriting();
                walk.seek(position.offset.into());
                read(&mut walk, bytes)?.map_err(|flaw| Shared::corrupt(position, flaw))?
            }
        };
        match flags {
            // The walk went as far as was committed when it began; more may be by now.
            None if u64::from(position.offset) < self.limit(position.segment)? => {}
            None => self.next = Position::first_of(position.segment + 1),
            Some(flags) => {
                if flags & ERASED != 0 {
                    self.end = self.shared.end();
                }
                // Offsets of a segment fit, because a batch begins below the limit of a segment.
                self.next = Position { offset: walk.offset() as u32, ..position };
                self.walk = Some(walk);
            }
        }
        Ok(())
    }

    /// Returns the end of the readable bytes of a segment.
    fn limit(&self, segment: u32) -> Result<u64, StoreError> {
        if segment == self.end.segment {
            return Ok(self.end.offset.into());
        }
        let path = self.shared.path(segment);
        let file = self.shared.file(segment)?;
        Ok(file.metadata().map_err(StoreError::io("examine", &path))?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, SegmentOptions, Segments};
    use std::collections::BTreeMap;
    use std::path::Path;

    fn open(dir: &Path) -> Segments {
        let options = SegmentOptions { segment_bytes_max: 1_000, ..SegmentOptions::default() };
        if dir.join("segments/00000001.seg").exists() {
            return Segments::open(dir, options, None).unwrap().0;
        }
        Segments::begin(dir, options).unwrap()
    }

    /// Appends a content frame and its entry; gives where the content lies.
    fn append(segments: &mut Segments, fill: u8) -> Position {
        let mut batch = Batch::new();
        batch.content(&[&[fill; 60]]).unwrap();
        batch.entry(&[fill; 30]).unwrap();
        segments.append(&mut batch, b"checkpoint").unwrap().positions[0]
    }

    /// The bytes of each segment as far as they were given.
    fn read(committed: &mut Committed) -> BTreeMap<u32, Vec<u8>> {
        let mut found: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        while let Some(piece) = committed.next_piece().unwrap() {
            let last = found.last_key_value().map_or(1, |(last, _)| *last);
            assert!(piece.segment == last || piece.segment == last + 1);
            found.entry(piece.segment).or_default().extend_from_slice(&piece.bytes);
        }
        found
    }

    fn files(dir: &Path) -> BTreeMap<u32, Vec<u8>> {
        let path = |number: u32| dir.join("segments").join(format!("{number:08}.seg"));
        (1..).map_while(|number| Some((number, std::fs::read(path(number)).ok()?))).collect()
    }

    #[test]
    fn the_pieces_are_the_files_and_what_comes_later_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = open(dir.path());
        let mut empty = segments.reader().committed();
        assert_eq!(empty.next_piece().unwrap(), None);
        for n in 0..40 {
            append(&mut segments, n);
        }
        let before = files(dir.path());
        assert!(before.len() > 3, "{}", before.len());
        let mut committed = segments.reader().committed();
        assert!(committed.next_piece().unwrap().is_some());
        let mut again = segments.reader().committed();
        append(&mut segments, 41);
        assert_eq!(read(&mut again), before);
        read(&mut committed);
    }

    #[test]
    fn content_that_was_overwritten_comes_with_the_entry_that_ordered_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = open(dir.path());
        let contents: Vec<Position> = (0..40).map(|n| append(&mut segments, n)).collect();
        let mut committed = segments.reader().committed();
        let first = committed.next_piece().unwrap().unwrap();
        assert_eq!(first.segment, 1);
        // The order is an entry of its own batch, and then content far behind is overwritten.
        append(&mut segments, 99);
        let order = files(dir.path());
        segments.erase_content(&contents[30..31], 4).unwrap();
        append(&mut segments, 100);
        let rest = read(&mut committed);
        let (last, bytes) = rest.last_key_value().unwrap();
        assert!(*last >= *order.last_key_value().unwrap().0);
        let now = files(dir.path());
        assert_eq!(bytes, &now[last], "the commit after the overwriting is there too");
        assert!(now[last].windows(4).any(|w| w == [100; 4]));
    }

    #[test]
    fn overwriting_on_another_thread_never_shows_by_half() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = open(dir.path());
        let contents: Vec<Position> = (0..40).map(|n| append(&mut segments, n)).collect();
        let reader = segments.reader();
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                for fill in 0..60_u8 {
                    for position in &contents {
                        segments.overwrite_content(*position, &[fill; 60]).unwrap();
                    }
                }
            });
            while !writer.is_finished() {
                let copy = tempfile::tempdir().unwrap();
                std::fs::create_dir(copy.path().join("segments")).unwrap();
                for (number, bytes) in read(&mut reader.committed()) {
                    let name = format!("segments/{number:08}.seg");
                    std::fs::write(copy.path().join(name), bytes).unwrap();
                }
                // A frame by half would be damage before a later commit.
                assert_eq!(open(copy.path()).reader().scan(Position::START).count(), 120);
            }
        });
    }
}
