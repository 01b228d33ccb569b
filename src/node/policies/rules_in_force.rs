//! The rules in force: loaded anew when the policy or a partner changes, and the signal of that change.

use super::rules::Rules;
use crate::node::core::Core;
use crate::node::error::NodeError;
use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

pub(in crate::node) struct RulesInForce {
    core: Arc<Core>,
    /// The node's directory, which holds the bundles.
    dir: PathBuf,
    rules: ArcSwap<Rules>,
    changes: watch::Sender<u64>,
    /// Held while rules are loaded.
    reloading: Mutex<()>,
}

impl RulesInForce {
    pub(in crate::node) fn new(core: Arc<Core>, dir: PathBuf) -> Result<Arc<Self>, NodeError> {
        let rules = Rules::load(&dir, core.agency(), &core.view().snapshot().state)?;
        let (changes, _) = watch::channel(0);
        let (rules, reloading) = (ArcSwap::from_pointee(rules), Mutex::default());
        Ok(Arc::new(Self { core, dir, rules, changes, reloading }))
    }

    pub(in crate::node) fn current(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Returns a watch that changes with the rules, with a partner, and when a log is frozen.
    pub(in crate::node) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Makes everybody who watches look again.
    pub(in crate::node) fn announce_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Brings the rules to the state of the journal: another bundle, other partners.
    pub(in crate::node) fn reload(&self) -> Result<(), NodeError> {
        // Two changes at once must not leave the older one's rules in place.
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.core.view().snapshot();
        let rules = self.rules.load();
        let in_force = snapshot.state.policy.as_ref().map(|policy| policy.bundle_hash.clone());
        let same = in_force.as_deref() == rules.hash.as_ref().map(|hash| &hash.as_bytes()[..]);
        let fresh = if same {
            Rules::compile(&snapshot.state, &rules.compiled, rules.files.clone(), rules.hash)?
        } else {
            Rules::load(&self.dir, self.core.agency(), &snapshot.state)?
        };
        self.rules.store(Arc::new(fresh));
        self.announce_change();
        Ok(())
    }
}
