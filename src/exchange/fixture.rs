//! The kit of the tests of this module, with checks of a batch.

pub(super) use crate::testkit::{Agency, Feed, Ring, now as start_of_day};

use super::pair::Pair;
use super::{Acceptance, Batch, BatchFault, CheckContext, CheckedBatch, check_batch};
use crate::merkle::Frontier;
use crate::pb;
use crate::record::header::Header;
use crate::record::signed::VerifiedRoots;

/// Takes every record whose confidence is at least this.
pub(super) struct AtLeast(pub(super) u8);

impl Acceptance for AtLeast {
    fn accepts(&mut self, header: &Header) -> bool {
        header.confidence >= self.0
    }
}

/// Checks with a ring of its own and no memory of roots.
pub(super) fn check(
    pair: &Pair,
    ring: &Ring,
    frontier: Frontier,
    batch: pb::FeedBatch,
) -> Result<CheckedBatch, BatchFault> {
    let (roots, acceptance) = (&mut VerifiedRoots::default(), &mut AtLeast(0));
    let mut context = CheckContext { pair, keys: ring, roots, acceptance };
    check_batch(&mut context, frontier, Batch::try_from(batch).unwrap())
}
