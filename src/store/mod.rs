//! The files of a node on disk: segment files that are the truth, leaf files and indexes derived from them.
//!
//! * [`Segments`] is the one append-only log of typed frames. What its `append` returned for is
//!   durable; nothing else in this module is on the acknowledged path.
//! * [`LeafFile`] keeps the leaf hashes of one Merkle log, and where each entry lies.
//! * [`Index`] keeps key-ordered tables in an engine of the operator's choice, behind the commit.
//!
//! Leaf files and indexes can be fed again from [`SegmentReader::scan`]. They are written after the
//! segments were made durable, so where one of them is ahead, something acknowledged is gone from the
//! segments: [`Segments::examine`] lets the caller compare before anything is cut. Everything here blocks; call it from threads of its
//! own. Trust: whoever can write to the directory can destroy data, and checksums only find
//! accidents. That nothing was altered is shown by the Merkle trees over the entries, not here.

mod batch;
mod commit_search;
mod committed;
mod damage;
mod disk;
mod engine;
mod error;
mod fjall_engine;
mod frame;
mod generation;
mod index;
mod leaves;
mod lock;
mod merge;
mod opening;
mod overlay;
mod overwrite;
mod position;
mod reader;
mod recovery;
mod segment;
mod segment_header;
mod sled_engine;
mod system_fault;
mod walk;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod memory_engine;

pub use batch::{BATCH_BYTES_MAX, Batch};
pub use committed::{Committed, Piece};
#[cfg(test)]
pub(crate) use damage::flip_byte_of_frame;
pub use damage::{Checkup, DAMAGES_MAX, Damage};
#[cfg(test)]
pub use disk::UnsyncedDisk;
pub use disk::{Disk, SystemDisk, check_writable, sync_dir};
pub use engine::{
    Change, EngineKind, EngineScan, EngineSize, IndexEngine, KeyRange, KeyValue, Order, Table,
    UnknownEngine,
};
pub use error::{IndexFault, StoreError, describe};
pub use frame::{ERASED, FRAME_PAYLOAD_BYTES_MAX, Frame, FrameKind};
pub use generation::Marker;
pub use index::{Index, IndexLag, IndexOptions, OpenOutcome, RebuildReason};
pub use leaves::{LEAF_EXTENSION, LeafFile, LeafReach, LeafRecord};
pub use lock::DirLock;
pub use merge::IndexScan;
pub use opening::Examined;
pub use overlay::{OVERLAY_BYTES_MAX, OVERLAY_RUNS_MAX};
pub use position::Position;
pub use reader::{Scan, SegmentReader};
pub use recovery::{Extent, LastCommit, Recovery};
pub use segment::{Appended, SEGMENT_BYTES_MAX, SegmentOptions, Segments};
pub use system_fault::{Remedy, SystemFault};
