//! The report of an audit, for people and for programs.

use super::card::Number;
use super::disclosures::{Disclosure, UnknownName};
use super::failure::{Failure, Place};
use super::feed_name::FeedName;
use super::remarks::Remark;
use super::words::shown;
use crate::ident::{AgencyName, Timestamp};
use crate::merkle::TreeHead;
use crate::numerals::{counted, grouped};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// The verdict of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Sound,
    /// Everything holds that could be checked; the remarks say what could not.
    SoundWithRemarks,
    /// An incident.
    Failed,
}

/// The amounts that were verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records by originator.
    pub originators: BTreeMap<AgencyName, u64>,
    /// Records that local clients submitted.
    pub submitted: u64,
    /// Records that came in partners' feeds.
    pub received: u64,
    /// Entries with more slots of a record.
    pub extended: u64,
    /// Erasures, and those among them whose bytes are still there.
    pub erased: u64,
    pub not_carried_out: u64,
    /// Records whose signature was verified.
    pub signatures: u64,
    pub unknown_originator: u64,
    /// Orders to erase whose signature was verified.
    pub orders: u64,
    pub unknown_orders: u64,
    /// Statements about consent, given and received, with their signatures.
    pub consents: u64,
    pub compromised: u64,
    /// Checkpoints of the journal.
    pub batches: u64,
    /// Notes of feeds, published, received and receipted.
    pub notes: u64,
    pub policies: u64,
    pub cards: u64,
    /// Disclosures that were decided anew.
    pub decided: u64,
    /// Cosignatures of witnesses on this journal's checkpoints.
    pub cosignatures: u64,
    /// Cosignatures among them whose checkpoint was too long ago to be compared.
    pub old_cosignatures: u64,
    /// Tiles of an export that were computed anew and compared.
    pub tiles: u64,
}

/// The feeds to and from one partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCount {
    pub name: FeedName,
    /// Entries published to it.
    pub size: u64,
    /// Records disclosed to it.
    pub records: u64,
    /// Entries that it gave receipts for.
    pub receipted: u64,
    /// Entries that it did not take.
    pub exceptions: u64,
    /// Records that it refused and was not shown again since, or refused again.
    pub refused: u64,
    /// Entries of its feed that were taken in here.
    pub received: u64,
}

/// The part of this journal that one witness cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessCount {
    /// Name of its key.
    pub name: String,
    /// The newest checkpoint that it cosigned.
    pub size: u64,
    /// The time at which that came in.
    pub at: Timestamp,
    /// The reason why it does not count for a quorum, if it does not.
    pub not_counted: Option<NotCounted>,
}

/// The reason why a witness does not count for a quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotCounted {
    /// A key of the agency's own, of any generation.
    OwnKey,
    /// The key of another witness.
    KeyOf(String),
    /// No checkpoint that it cosigned was compared with the history: each cosignature came too late.
    Late,
}

impl fmt::Display for NotCounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnKey => f.write_str("a key of the agency's own"),
            Self::KeyOf(name) => write!(f, "the key of {name}"),
            Self::Late => f.write_str("its cosignatures came too late to be compared"),
        }
    }
}

/// The part of this journal that the required number of witnesses cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    pub wanted: usize,
    /// Entries that so many witnesses cover.
    pub reached: u64,
    /// Entries that they must cover.
    pub must: u64,
}

impl Quorum {
    pub const fn is_reached(&self) -> bool {
        self.reached >= self.must
    }
}

/// The report of an audit. After a failure, it counts only the entries before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub agency: Option<AgencyName>,
    pub number: Option<Number>,
    /// The last checkpoint that held.
    pub checkpoint: TreeHead,
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    /// The checkpoint that the auditor held from before.
    pub known: Option<TreeHead>,
    /// The reason why that checkpoint cannot be compared with this journal.
    pub unusable: Option<String>,
    pub records: u64,
    pub feeds: Vec<FeedCount>,
    pub witnesses: Vec<WitnessCount>,
    /// The quorum that the auditor asked for.
    pub quorum: Option<Quorum>,
    pub counts: Counts,
    pub remarks: Vec<Remark>,
    pub failure: Option<Failure>,
    /// The disclosure ledger, if it was asked for.
    pub disclosures: Vec<Disclosure>,
    /// A name in the ledger's filter that the history does not have.
    pub unknown: Option<UnknownName>,
}

impl Report {
    pub fn verdict(&self) -> Verdict {
        match (&self.failure, &self.remarks[..]) {
            (Some(_), _) => Verdict::Failed,
            (None, []) => Verdict::Sound,
            (None, _) => Verdict::SoundWithRemarks,
        }
    }

    /// For programs; 64-bit numbers are strings, as in proto3 JSON.
    pub fn to_json(&self) -> Value {
        let Self {
            agency,
            number,
            checkpoint,
            first_at,
            last_at,
            known,
            unusable,
            records,
            feeds,
            witnesses,
            quorum,
            counts,
            remarks,
            failure,
            disclosures: _,
            unknown: _,
        } = self;
        let text = |count: u64| count.to_string();
        let head =
            |head: &TreeHead| json!({"size": text(head.size.get()), "root": head.root.to_string()});
        let originators: BTreeMap<_, _> =
            counts.originators.iter().map(|(name, n)| (name.to_string(), text(*n))).collect();
        json!({
            "verdict": match self.verdict() {
                Verdict::Sound => "sound",
                Verdict::SoundWithRemarks => "sound_with_remarks",
                Verdict::Failed => "failed",
            },
            "agency": agency.as_ref().map(ToString::to_string),
            "number": number.map(|number| number.to_string()),
            "checkpoint": head(checkpoint),
            "known_checkpoint": known.as_ref().map(head),
            "known_checkpoint_unusable": unusable,
            "first_at": first_at.map(|at| at.to_string()),
            "last_at": last_at.map(|at| at.to_string()),
            "records": {
                "total": text(*records),
                "by_originator": originators,
                "submitted": text(counts.submitted),
                "received": text(counts.received),
                "extended": text(counts.extended),
                "erased": text(counts.erased),
                "unknown_originator": text(counts.unknown_originator),
                "orders": text(counts.orders),
                "unknown_orders": text(counts.unknown_orders),
                "compromised_key": text(counts.compromised),
            },
            "signatures": text(counts.signatures),
            "batches": text(counts.batches),
            "notes": text(counts.notes),
            "policies": text(counts.policies),
            "consents": text(counts.consents),
            "decided": text(counts.decided),
            "cosignatures": text(counts.cosignatures),
            "tiles": text(counts.tiles),
            "cards": text(counts.cards),
            "feeds": feeds.iter().map(|feed| json!({
                "partner": feed.name.partner.to_string(),
                "generation": feed.name.generation.get(),
                "size": text(feed.size),
                "records": text(feed.records),
                "receipted": text(feed.receipted),
                "exceptions": text(feed.exceptions),
                "refused": text(feed.refused),
                "received": text(feed.received),
            })).collect::<Vec<_>>(),
            "witnesses": witnesses.iter().map(|witness| json!({
                "name": witness.name,
                "size": text(witness.size),
                "at": witness.at.to_string(),
                "counts": witness.not_counted.is_none(),
            })).collect::<Vec<_>>(),
            "quorum": quorum.map(|quorum| json!({
                "wanted": quorum.wanted,
                "reached": text(quorum.reached),
                "must": text(quorum.must),
            })),
            "remarks": remarks.iter().map(|remark| json!({
                "code": remark.name(),
                "message": remark.to_string(),
            })).collect::<Vec<_>>(),
            "failure": failure.as_ref().map(|failure| json!({
                "check": failure.fault.check.name(),
                "message": failure.fault.check.to_string(),
                "place": failure.place.to_string(),
                "segment": match &failure.place { Place::Segment { number, .. } => *number, _ => 0 },
                "offset": text(match &failure.place { Place::Segment { offset, .. } => *offset, _ => 0 }),
                "entry": failure.entry.map(text),
                "expected": failure.fault.expected,
                "found": failure.fault.found,
            })),
        })
    }

    fn disclosures(&self) -> u64 {
        self.feeds.iter().map(|feed| feed.records).sum()
    }

    fn write_facts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agency = self.agency.as_ref().map_or("unknown agency", AgencyName::as_str);
        let day = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        writeln!(
            f,
            "journal    {agency}, {} … {}, {}, {}",
            day(self.first_at),
            day(self.last_at),
            counted(self.records, "record"),
            counted(self.disclosures(), "disclosure"),
        )?;
        match &self.number {
            Some(number) => writeln!(f, "number     {number}"),
            None => writeln!(f, "number     none"),
        }
    }

    fn write_checks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { originators, signatures, unknown_originator, batches, .. } = &self.counts;
        writeln!(
            f,
            "signatures ✓ {}, {}, {} of unknown originators",
            counted(*signatures, "record"),
            counted(originators.len() as u64, "originator"),
            grouped(*unknown_originator),
        )?;
        writeln!(
            f,
            "tree       ✓ root recomputed at size {} equals the checkpoint{}",
            grouped(self.checkpoint.size.get()),
            match batches.saturating_sub(1) {
                // An export has the newest checkpoint alone.
                0 => String::new(),
                before => format!(", as at {} before", counted(before, "checkpoint")),
            },
        )?;
        match self.known.as_ref().filter(|_| self.unusable.is_none()) {
            Some(known) => writeln!(
                f,
                "history    ✓ consistent with your checkpoint (size {})",
                grouped(known.size.get())
            )?,
            None => writeln!(
                f,
                "history    - no checkpoint from before: a cut at the end can't be seen"
            )?,
        }
        let policies = self.counts.policies;
        writeln!(
            f,
            "ledger     ✓ every disclosure names the policy version in force, of {policies}; {} decided anew",
            grouped(self.counts.decided),
        )?;
        self.feeds.iter().try_for_each(|feed| {
            writeln!(
                f,
                "feed       ✓ {}: {}, {} receipted, {} not taken{}; {} received",
                feed.name,
                counted(feed.size, "entry"),
                grouped(feed.receipted),
                grouped(feed.exceptions),
                match feed.refused {
                    0 => String::new(),
                    refused => format!(", {} refused to this day", counted(refused, "record")),
                },
                grouped(feed.received),
            )
        })?;
        self.witnesses.iter().try_for_each(|witness| {
            writeln!(
                f,
                "witness    ✓ {}: cosigned {} of {} entries, at {}{}",
                witness.name,
                grouped(witness.size),
                grouped(self.checkpoint.size.get()),
                witness.at,
                match &witness.not_counted {
                    Some(why) => format!("; does not count: {why}"),
                    None => String::new(),
                }
            )
        })?;
        match &self.quorum {
            Some(quorum) => writeln!(
                f,
                "quorum     ✓ {} {} {}",
                counted(quorum.wanted as u64, "witness"),
                if quorum.wanted == 1 { "covers" } else { "cover" },
                counted(quorum.reached.min(self.checkpoint.size.get()), "entry"),
            ),
            None => Ok(()),
        }
    }

    fn write_failure(&self, f: &mut fmt::Formatter<'_>, failure: &Failure) -> fmt::Result {
        let Failure { place, entry, fault } = failure;
        writeln!(f, "✗ {}", fault.check)?;
        writeln!(f, "  where      {place}")?;
        if let Some(entry) = entry {
            writeln!(f, "  entry      {}", grouped(*entry))?;
        }
        writeln!(f, "  expected   {}", fault.expected)?;
        writeln!(f, "  found      {}", fault.found)?;
        writeln!(f, "  last good  checkpoint of {}", shown(self.checkpoint))
    }
}

impl fmt::Display for Report {
    /// For people, with a line feed at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_facts(f)?;
        match &self.failure {
            Some(failure) => self.write_failure(f, failure)?,
            None => self.write_checks(f)?,
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "! {remark}"))?;
        match (self.verdict(), self.remarks.len()) {
            (Verdict::Sound, _) => writeln!(f, "OK"),
            (Verdict::SoundWithRemarks, 1) => writeln!(f, "OK with 1 remark"),
            (Verdict::SoundWithRemarks, count) => writeln!(f, "OK with {count} remarks"),
            (Verdict::Failed, _) => writeln!(f, "FAILED"),
        }
    }
}
