//! The session drivers of all partners: one stream of each is driven at a time, and a newer one ends the older.

use crate::ident::AgencyName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The driver of a partner's present stream, as the next one finds it.
#[derive(Default)]
struct SessionDriver {
    /// Held by the stream that is driven; the next one waits for it.
    driving: Arc<tokio::sync::Mutex<()>>,
    /// The signal for the present stream to end.
    replaced: Option<watch::Sender<bool>>,
}

/// The session drivers of a node.
#[derive(Default)]
pub(in crate::node) struct SessionDrivers(Mutex<HashMap<AgencyName, SessionDriver>>);

impl SessionDrivers {
    /// Ends the present stream of a partner. Returns the lock under which the next one is driven, and the signal that
    /// ends that one in turn.
    pub(super) fn replace(
        &self,
        agency: &AgencyName,
    ) -> (Arc<tokio::sync::Mutex<()>>, watch::Receiver<bool>) {
        let (replace, replaced) = watch::channel(false);
        let mut drivers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let driver = drivers.entry(agency.clone()).or_default();
        if let Some(before) = driver.replaced.replace(replace) {
            before.send_replace(true);
        }
        (Arc::clone(&driver.driving), replaced)
    }
}
