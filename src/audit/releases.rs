//! Disclosures that the brake held: that none of them is in a feed before two persons released it, and
//! none ever that they refused. Why something is unusual is the node's configuration and not judged.

mod judge;

use super::failure::{Check, Fault};
use super::holdings::RowNumber;
use crate::ident::AgencyName;
use std::collections::{BTreeMap, HashMap};

/// Records of one entry at the most, and entries of one decision.
const HELD_RECORDS_MAX: usize = 1_024;
const DECIDED_ENTRIES_MAX: usize = 4_096;

/// The records that one entry holds.
#[derive(Debug)]
struct Entry {
    agency: AgencyName,
    rules: u32,
    records: Vec<RowNumber>,
}

/// The entries that wait for a release, and the records that were refused.
#[derive(Debug, Default)]
pub(super) struct Releases {
    waiting: BTreeMap<u64, Entry>,
    /// Records that may not be disclosed, by partner; true: they never may.
    barred: BTreeMap<AgencyName, HashMap<RowNumber, bool>>,
}

fn fault(expected: impl ToString, found: impl ToString) -> Fault {
    Fault::new(Check::Release, expected, found)
}

impl Releases {
    /// Returns `Some` if a record may not be disclosed to a partner; true if it never may.
    fn bars(&self, agency: &AgencyName, row: RowNumber) -> Option<bool> {
        self.barred.get(agency)?.get(&row).copied()
    }
}
