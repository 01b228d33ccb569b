//! The bundles of policies that were in force before, as far as they stay loaded.

use crate::ident::BundleHash;
use crate::policy::Bundle;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Bundles of the past that stay loaded: whoever looks back asks about one or two of them.
const BUNDLES_MAX: usize = 4;

/// Bundles that were in force before, the one used last at the end.
#[derive(Default)]
pub(in crate::node) struct PastBundles(Mutex<VecDeque<Arc<Bundle>>>);

impl PastBundles {
    pub(in crate::node) fn find(&self, hash: BundleHash) -> Option<Arc<Bundle>> {
        let mut bundles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = bundles.iter().position(|bundle| bundle.hash() == hash)?;
        let bundle = bundles.remove(at)?;
        bundles.push_back(Arc::clone(&bundle));
        Some(bundle)
    }

    pub(in crate::node) fn keep(&self, bundle: Arc<Bundle>) {
        let mut bundles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bundles.push_back(bundle);
        while bundles.len() > BUNDLES_MAX {
            bundles.pop_front();
        }
    }
}
