//! A history as a plain folder that any file server can serve: written from the segments of a node,
//! and verified by somebody who has nothing else.
//!
//! The logs are in the layout of C2SP tlog-tiles; beside them lie what the entries only commit to:
//! content, cards and policies. Every path follows from the checkpoint and the entries, so nothing
//! needs a listing. docs/FORMATS.md has the layout.
//!
//! Never here: a file, a thread; a file that is believed because it is there.

mod bundle;
mod judge;
mod layout;
mod rows;
mod write;

pub use bundle::{ExaminedBundle, ReadBundle, examine_bundle, read_bundle};
pub use judge::ExportAudit;
pub use layout::{CARD, CHECKPOINT, is_plain_name};
pub(super) use write::head;
pub use write::{ExportError, Exporter, Sink, Summary};

use bytes::Bytes;
use std::io;

/// A source of the files of an export.
pub trait Folder: Sync {
    /// The file at `path`, from the top of the folder; `None` if there is none. Of a longer one, the
    /// first `bytes_max` + 1 bytes.
    fn read(&self, path: &str, bytes_max: u64) -> io::Result<Option<Bytes>>;
}
