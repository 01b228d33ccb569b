//! The progress of a feed: the entries considered for it as the journal grew, and those reconsidered
//! after rules changed. It does not contain the feed's entries.

/// The progress of considering the journal for a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Journal entries below this index were considered.
    pub considered: u64,
    pub rescan: Rescan,
}

impl Progress {
    /// Returns the progress under rules that hold from an entry on. Every entry that was considered
    /// under other rules is to be looked at again.
    #[must_use]
    pub fn under(self, rules: u64) -> Self {
        if self.rescan.rules == rules {
            return self;
        }
        Self { rescan: Rescan { rules, next: 0, end: self.considered.min(rules) }, ..self }
    }

    /// Returns the part of it that ends before an entry which could not be decided. A start goes on from there, so
    /// that the entry is considered once it can be read.
    #[must_use]
    pub fn before(self, undecided: Option<u64>) -> Self {
        let most = undecided.unwrap_or(u64::MAX);
        let Rescan { rules, next, end } = self.rescan;
        let rescan = Rescan { rules, next: next.min(most), end: end.min(most) };
        Self { considered: self.considered.min(most), rescan }
    }

    /// Everything is to be looked at again, under the same rules.
    #[must_use]
    pub fn again(self) -> Self {
        Self { rescan: Rescan { next: 0, end: self.considered, ..self.rescan }, ..self }
    }
}

/// The progress of reconsidering a feed under the rules in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rescan {
    /// The entry from which the rules hold; 0 before there are any.
    pub rules: u64,
    /// Entries below this index were looked at again.
    pub next: u64,
    pub end: u64,
}

impl Rescan {
    pub const fn is_done(&self) -> bool {
        self.next >= self.end
    }
}
