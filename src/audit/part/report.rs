//! The result of checking a part. Its first and last line name it as a part.

use super::manifest::{Selection, Share};
use crate::audit::card::Number;
use crate::audit::feed_name::FeedName;
use crate::audit::words::shown;
use crate::ident::AgencyName;
use crate::merkle::TreeHead;
use crate::numerals::grouped;
use serde_json::{Value, json};
use std::fmt;

/// A feed as far as it is in a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartFeed {
    pub name: FeedName,
    pub share: Share,
    /// Entries that the partner's receipt on the newest head covers; 0 if it has none.
    pub receipted: u64,
}

/// A part of which everything holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartReport {
    pub agency: AgencyName,
    /// The number of its newest card.
    pub number: Number,
    /// The number was given by whoever checks, and is that one.
    pub is_known: bool,
    pub asked: Selection,
    pub head: TreeHead,
    pub journal: Share,
    pub feeds: Vec<PartFeed>,
    /// Records with their content.
    pub records: u64,
    /// Records among them whose signature holds.
    pub signatures: u64,
    /// Accepted after the key was in other hands, by the card of that time.
    pub compromised: u64,
    /// Entries about slots, received or erased, of a record whose acceptance is not in the part.
    pub unplaced: u64,
    /// Published and receipted heads.
    pub notes: u64,
    /// Records whose content is not here, because their originators mark them not for evidence.
    pub kept_out: u64,
    /// Records so marked whose content is here without a consent in the part.
    pub unpermitted: u64,
    /// Every entry of the time that was asked for is here.
    pub is_complete: bool,
    /// Files in the folder that the manifest does not name; whoever lists the folder adds them.
    pub foreign: Vec<String>,
}

impl PartReport {
    fn unchecked(&self) -> Vec<String> {
        let mut list = Vec::new();
        let Self { agency, number, .. } = self;
        if !self.is_known {
            list.push(format!(
                "that {agency} has the number {number}: compare it, and give it as --identity"
            ));
        }
        if !self.is_complete {
            list.push(format!(
                "whether the journal has more about {}: only the whole shows that",
                self.asked
            ));
        }
        if self.signatures < self.records {
            let count = grouped(self.records - self.signatures);
            list.push(format!("signatures of {count} records whose originator is not a partner"));
        }
        if self.compromised > 0 {
            let count = grouped(self.compromised);
            list.push(format!("who signed {count} records: their key was in other hands"));
        }
        if self.unpermitted > 0 {
            let count = grouped(self.unpermitted);
            list.push(format!(
                "whether {count} records may be used in proceedings: their originators mark them not for \
                 evidence (H1), and the part holds no consent"
            ));
        }
        if self.unplaced > 0 {
            let count = grouped(self.unplaced);
            list.push(format!(
                "{count} times that fields came or were erased of records accepted outside the part"
            ));
        }
        for name in &self.foreign {
            list.push(format!("{name:?}, which the manifest does not name"));
        }
        list.push("disclosures against their policies: that takes the whole".to_owned());
        list
    }

    /// For programs; 64-bit numbers are strings, as in proto3 JSON.
    pub fn to_json(&self) -> Value {
        let text = |count: u64| count.to_string();
        json!({
            "verified": true,
            "part": true,
            "agency": self.agency.to_string(),
            "number": self.number.to_string(),
            "asked": self.asked.to_string(),
            "checkpoint": {
                "size": text(self.head.size.get()), "root": self.head.root.to_string(),
            },
            "entries": {"here": text(self.journal.here), "of": text(self.journal.of)},
            "complete": self.is_complete,
            "records": text(self.records),
            "signatures": text(self.signatures),
            "notes": text(self.notes),
            "kept_out": text(self.kept_out),
            "feeds": self.feeds.iter().map(|feed| json!({
                "partner": feed.name.partner.to_string(),
                "generation": feed.name.generation.get(),
                "here": text(feed.share.here),
                "of": text(feed.share.of),
                "receipted": text(feed.receipted),
            })).collect::<Vec<_>>(),
            "unchecked": self.unchecked(),
        })
    }
}

impl fmt::Display for PartReport {
    /// For people, with a line feed at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!(
            "a part: {} of {} entries",
            grouped(self.journal.here),
            grouped(self.journal.of)
        );
        writeln!(f, "journal    {}, {part}", self.agency)?;
        writeln!(f, "asked      {}", self.asked)?;
        writeln!(f, "number     {}", self.number)?;
        writeln!(f, "tree       ✓ each stands under the checkpoint of {}", shown(self.head))?;
        writeln!(
            f,
            "records    ✓ {} with their content, {} signatures hold",
            grouped(self.records),
            grouped(self.signatures)
        )?;
        if self.kept_out > 0 {
            writeln!(
                f,
                "kept out   the content of {}: their originators mark them not for evidence (H1) and \
                 did not consent; what they signed is here",
                grouped(self.kept_out)
            )?;
        }
        writeln!(f, "heads      ✓ {} of feeds, published or receipted", grouped(self.notes))?;
        for PartFeed { name, share, receipted } in &self.feeds {
            writeln!(
                f,
                "feed       ✓ {name}: {} of {} entries; receipted up to {}",
                grouped(share.here),
                grouped(share.of),
                grouped(*receipted)
            )?;
        }
        if self.is_complete {
            writeln!(f, "complete   ✓ no entry of the journal from that time is missing")?;
        }
        self.unchecked().iter().try_for_each(|line| writeln!(f, "- not checked: {line}"))?;
        writeln!(f, "OK, {part}")
    }
}
