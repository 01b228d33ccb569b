//! The Merkle tree of RFC 9162 and the C2SP formats that sign its heads: what makes a history
//! checkable by somebody who trusts nobody.
//!
//! In scope: hashing, appending, inclusion and consistency proofs made and verified, the batch tree
//! over record ids, signed notes, checkpoints, cosignatures, tiles, what is
//! sent to a witness, proofs of one entry. Out of scope: where leaves are stored,
//! which heads may be signed when, and who is trusted; a caller brings leaf hashes, keys and times.
//!
//! Never here: a clock, a disk, a socket, randomness; a root, size or signature line taken from
//! outside that leaves as verified without having been.
//!
//! Sources: RFC 9162 section 2.1 (the tree; the same as in RFC 6962), and from c2sp.org signed-note
//! v1.0.0, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-witness,
//! tlog-proof.

mod add_checkpoint;
mod batch;
mod checkpoint;
mod cosignature;
mod frontier;
mod hash;
mod key;
mod lines;
mod note;
mod proof;
mod prove;
mod shortfall;
mod signed_checkpoint;
mod signer;
mod tile_tree;
mod tiles;
mod tlog_proof;
mod verifier;
mod witness;

#[cfg(test)]
mod tests;

pub use add_checkpoint::{
    ADD_CHECKPOINT_BYTES_MAX, ADD_CHECKPOINT_HASHES_MAX, AddCheckpoint, AddCheckpointError,
    parse_size_line, signature_lines, size_line,
};
pub use batch::{BATCH_LEAVES, BatchError, BatchPath, BatchTree, ProvenNodes};
pub use checkpoint::{Checkpoint, CheckpointError, ORIGIN_BYTES_MAX, Origin};
pub use cosignature::{CosignatureTime, Cosigner, TimeBeyondRange};
pub use frontier::{Frontier, FrontierError};
pub use hash::{EMPTY_ROOT, TREE_SIZE_MAX, TreeHead, leaf_hash, node_hash, root_of};
pub use key::{KEY_NAME_BYTES_MAX, KeyError, NoteKeyId, NoteKeyName, SignatureType};
pub use lines::HashesError;
pub use note::{NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, Note, NoteError, NoteSignature, NoteText};
pub use proof::{
    PROOF_HASHES_MAX, ProofError, WhichTree, root_from_inclusion, verify_consistency,
    verify_inclusion,
};
pub use prove::{NodeSource, ProveError, prove_consistency, prove_inclusion, root_at};
pub use shortfall::Shortfall;
pub use signed_checkpoint::{Cosignature, OpenError, SignedCheckpoint};
pub use signer::NoteSigner;
pub use tile_tree::{LeafHashes, TILE_LEAVES, TileError, TileTree};
pub use tiles::{
    BUNDLE_ENTRY_BYTES_MAX, CHECKPOINT_PATH, HashTiles, TILE_WIDTH_MAX, Tile, TileRow, TiledNodes,
    TiledNodesError, TilesError, encode_hashes, push_entry,
};
pub use tlog_proof::{
    EXTRA_BYTES_MAX, NotProved, ProofPolicy, TLOG_PROOF_BYTES_MAX, TlogProof, TlogProofError,
};
pub use verifier::{NoteVerifier, VerifiedLine, VerifyError, verify_note};
pub use witness::{ShownCheckpoint, WitnessRefusal, judge, origin_of};
