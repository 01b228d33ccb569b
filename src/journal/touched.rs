//! The keys that the writer changed lately: a caller's earlier lookup of an untouched key still
//! holds.

use std::collections::HashMap;
use std::hash::Hash;

/// Keys remembered at the least, beyond what is asked of one commit: twice as many at the most,
/// about 15 MB for both uses.
const KEYS_MIN: usize = 100_000;

/// The last entry that touched each key, for the newest part of the journal.
#[derive(Debug)]
pub(super) struct Touched<K> {
    newest: HashMap<K, u64>,
    older: HashMap<K, u64>,
    /// Nothing is known of entries below this index.
    older_from: u64,
    newest_from: u64,
}

impl<K: Eq + Hash> Touched<K> {
    /// Knows of everything from `size` on.
    pub(super) fn since(size: u64) -> Self {
        Self { newest: HashMap::new(), older: HashMap::new(), older_from: size, newest_from: size }
    }

    pub(super) fn touch(&mut self, key: K, index: u64) {
        if self.newest.len() >= KEYS_MIN {
            self.older = std::mem::take(&mut self.newest);
            self.older_from = std::mem::replace(&mut self.newest_from, index);
        }
        self.newest.insert(key, index);
    }

    /// Returns true if no entry from `size` on touched the key; false also where that is not known.
    pub(super) fn untouched_since(&self, key: &K, size: u64) -> bool {
        let last = self.newest.get(key).or_else(|| self.older.get(key));
        size >= self.older_from && last.is_none_or(|last| *last < size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_after_a_size_does_not_stand() {
        let mut touched = Touched::since(10);
        touched.touch("a", 12);
        assert!(touched.untouched_since(&"a", 13) && !touched.untouched_since(&"a", 12));
        assert!(touched.untouched_since(&"b", 10));
    }

    #[test]
    fn nothing_stands_from_before_what_is_remembered() {
        let mut touched = Touched::since(10);
        assert!(!touched.untouched_since(&0, 9));
        (0..3 * KEYS_MIN as u64).for_each(|n| touched.touch(n, 10 + n));
        let end = 10 + 3 * KEYS_MIN as u64;
        assert!(!touched.untouched_since(&u64::MAX, 10));
        assert!(touched.untouched_since(&(end - 11), end));
        assert!(!touched.untouched_since(&(end - 11), end - 1));
        assert!(touched.newest.len() + touched.older.len() <= 2 * KEYS_MIN);
    }
}
