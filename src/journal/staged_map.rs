//! A map of the things that a batch changed, which a job that fails leaves as it found it.

use std::collections::HashMap;
use std::collections::hash_map;
use std::hash::Hash;

/// A map whose changes since a mark can be taken back.
#[derive(Debug)]
pub(super) struct StagedMap<K, V> {
    map: HashMap<K, V>,
    /// The value that each change since the mark replaced, oldest first.
    replaced: Vec<(K, Option<V>)>,
}

impl<K, V> Default for StagedMap<K, V> {
    fn default() -> Self {
        Self { map: HashMap::new(), replaced: Vec::new() }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> StagedMap<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.map.contains_key(key)
    }

    pub(super) fn iter(&self) -> hash_map::Iter<'_, K, V> {
        self.map.iter()
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let before = self.map.insert(key.clone(), value);
        self.replaced.push((key, before));
    }

    pub(super) fn clear(&mut self) {
        self.map.clear();
        self.replaced.clear();
    }

    /// Marks what a later [`StagedMap::take_back`] goes back to.
    pub(super) fn mark(&mut self) {
        self.replaced.clear();
    }

    pub(super) fn take_back(&mut self) {
        for (key, before) in self.replaced.drain(..).rev() {
            match before {
                Some(value) => self.map.insert(key, value),
                None => self.map.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_as_it_was_before_the_mark() {
        let mut map = StagedMap::default();
        map.insert("kept", 1);
        map.mark();
        map.insert("kept", 2);
        map.insert("new", 3);
        map.take_back();
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&"kept", &1)]);
    }
}
