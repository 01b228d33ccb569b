//! The entries of feeds that a part holds: each proved under the one head of its feed that is shown, and
//! about something that was asked for.

use super::{Part, PartFault, broken, prove};
use crate::audit::examine::feed_entry;
use crate::audit::export::Folder;
use crate::audit::failure::{Check, Fault};
use crate::audit::feed_name::FeedName;
use crate::audit::lines::Log;
use crate::audit::part::manifest::{Item, MANIFEST, Selection};
use crate::audit::part::report::PartFeed;
use crate::audit::part::write::time;
use crate::ident::RecordId;
use crate::merkle::TreeHead;
use bytes::Bytes;
use std::collections::BTreeMap;

impl<F: Folder> Part<'_, F> {
    pub(super) fn feeds(&self) -> Result<Vec<PartFeed>, PartFault> {
        let mut found: BTreeMap<&FeedName, Vec<u64>> = BTreeMap::new();
        for item in self.files.manifest.files.keys() {
            if let Item::Feed(name, index) = item {
                found.entry(name).or_default().push(*index);
            }
        }
        let named = self.files.manifest.feeds.keys();
        if !named.eq(found.keys().copied()) {
            let fault = Fault::new(Check::ExportFile, "the feeds that have entries here", "others");
            return Err(broken(MANIFEST, fault));
        }
        found.into_iter().map(|(name, indices)| self.feed(name, &indices)).collect()
    }

    fn feed(&self, name: &FeedName, indices: &[u64]) -> Result<PartFeed, PartFault> {
        let unknown = || Fault::new(Check::Partner, format!("a card of {}", name.partner), "none");
        let card = self.partners.get(&name.partner);
        let log = card
            .and_then(|card| Log::published_in(name.generation, &self.own, card))
            .ok_or_else(|| broken(MANIFEST, unknown()))?;
        let share = self.files.manifest.feeds.get(name).copied().unwrap_or_default();
        let mut first: Option<(Bytes, TreeHead)> = None;
        for index in indices {
            let item = Item::Feed(name.clone(), *index);
            let proof = self.files.proof(&item, *index)?;
            let place = |fault| broken(&item, fault);
            if first.is_none() {
                let note = Bytes::from(proof.note().to_string());
                let head = log.head(&note, Check::FeedNote).map_err(place)?;
                first = Some((note, head));
            }
            if let Some((note, head)) = &first {
                prove(&proof, note, *head).map_err(place)?;
            }
            self.feed_entry(proof.extra()).map_err(place)?;
        }
        let size = first.as_ref().map_or(0, |(_, head)| head.size.get());
        if (indices.len() as u64, size) != (share.here, share.of) {
            let found = format!("{} of {size}", indices.len());
            let expected = format!("{share} entries of the feed to {name}");
            return Err(broken(MANIFEST, Fault::new(Check::ExportFile, expected, found)));
        }
        let receipted = first.and_then(|(note, _)| log.receipted_head(&note, Check::Receipt).ok());
        let receipted = receipted.map_or(0, |(head, _)| head.size.get());
        Ok(PartFeed { name: name.clone(), share, receipted })
    }

    fn feed_entry(&self, bytes: &[u8]) -> Result<(), Fault> {
        let entry = feed_entry(Bytes::copy_from_slice(bytes))?;
        let fault = |expected, found: &dyn ToString| {
            Fault::new(Check::FeedEntry, expected, found.to_string())
        };
        let id = RecordId::try_from(&entry.record_id[..])
            .map_err(|error| fault("a record id", &error))?;
        if let Some(order) = &entry.order {
            self.order(order, &entry.record_id)?;
        }
        let is_asked = match &self.files.manifest.asked {
            asked @ Selection::Time { .. } => time(entry.at_ms).is_some_and(|at| asked.has(at)),
            Selection::Case(_) | Selection::Record(_) => self.accepted.contains_key(&id),
        };
        if is_asked {
            Ok(())
        } else {
            Err(fault("one that was asked for", &format!("record {id}")))
        }
    }
}
