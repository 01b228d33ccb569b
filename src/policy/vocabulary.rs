//! The names that a policy may use.

use std::collections::BTreeSet;

/// The names that a policy may use. `None`: not checked.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    pub partners: Option<BTreeSet<String>>,
    pub circles: Option<BTreeSet<String>>,
    pub operations: Option<BTreeSet<String>>,
    pub labels: Option<BTreeSet<String>>,
}
