//! A difference as it is shown, kept and sent; and back to what people approved with it.

use super::alteration::Alteration;
use super::bundle::Statement;
use super::decide::{Compiled, Decision};
use super::difference::{Count, Difference, Extent, PartnerChange, Seen, Shown};
use super::policy_hour::PolicyHour;
use crate::ident::{IdentError, RecordId};
use crate::pb;
use crate::record::kind::{ClassSet, Kind, SlotClass};
use crate::record::marking::Tlp;
use bytes::Bytes;
use sha2::{Digest, Sha256};

const TAG: &[u8] = b"liaison/difference/v1\0";
/// Partners with samples: 24 of each, some 200 bytes each, so that the whole stays below 2 MiB.
const SAMPLED_MAX: usize = 200;

/// Names the exact bytes of a serialised `PolicyDifference`: SHA-256 over the tag and them.
pub fn difference_hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(TAG).chain_update(bytes).finalize().into()
}

/// Cedar decides otherwise than the selection that counted: nothing may be built on that count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the count and the decision for record {0} differ")]
pub struct Miscounted(RecordId);

impl Difference<'_> {
    /// Returns the message for people, with Cedar's own reasons for each sample. Fields that only
    /// the node knows are left empty.
    pub fn to_wire(
        &self,
        before: &Compiled,
        after: &Compiled,
        policy_hour: &PolicyHour,
    ) -> Result<pb::PolicyDifference, Miscounted> {
        let sampler = Sampler { before, after, policy_hour };
        let partners = self.partners.iter().enumerate().map(|(at, change)| {
            let samples = if at < SAMPLED_MAX { usize::MAX } else { 0 };
            sampler.partner(change, samples)
        });
        Ok(pb::PolicyDifference {
            records: self.records,
            damaged: self.damaged,
            at_ms: policy_hour.hour().unix_ms().unsigned_abs(),
            change: self.change().to_wire().into(),
            statements: self.alterations.iter().map(statement).collect(),
            partners: partners.collect::<Result<_, _>>()?,
            ..pb::PolicyDifference::default()
        })
    }

    /// Each partner in short, those first to whom most is newly shown.
    pub fn counts(&self, most: usize) -> Vec<pb::PolicyCount> {
        let mut counts: Vec<_> = self.partners.iter().map(count).collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.newly_shown));
        counts.truncate(most);
        counts
    }
}

fn names(classes: ClassSet) -> Vec<String> {
    classes.iter().map(|class| class.name().to_owned()).collect()
}

fn count(change: &PartnerChange<'_>) -> pb::PolicyCount {
    pb::PolicyCount {
        agency: change.facts.agency.to_string(),
        newly_shown: change.tally.shown.records,
        newly_hidden: change.tally.hidden.records,
        revealed: names(change.tally.revealed_classes()),
    }
}

fn statement(altered: &Alteration<'_>) -> pb::PolicyStatement {
    let alteration = match (altered.before, altered.after) {
        (Some(_), Some(_)) => pb::PolicyAlteration::Changed,
        (None, _) => pb::PolicyAlteration::Added,
        (_, None) => pb::PolicyAlteration::Removed,
    };
    let change = altered.change().to_wire();
    let told = altered.after.or(altered.before);
    let place = |told: &Statement| format!("{}:{}", told.file, told.line);
    pb::PolicyStatement {
        alteration: alteration.into(),
        id: told.map(|told| told.id.to_string()).unwrap_or_default(),
        title: told.map(|told| told.title.clone()).unwrap_or_default(),
        place: told.map(place).unwrap_or_default(),
        permits: told.is_some_and(|told| told.permits),
        widens: change != pb::PolicyChange::Narrowing,
        reveals: change == pb::PolicyChange::Revealing,
    }
}

/// The part of Cedar's decision that a sample is about.
#[derive(Clone, Copy)]
enum About {
    Release,
    Class(SlotClass),
}

impl About {
    /// Returns true if the decision shows that part.
    fn of(self, decision: &Decision) -> bool {
        match self {
            Self::Release => decision.release.allowed,
            Self::Class(class) => decision.revealed.contains(class),
        }
    }
}

struct Sampler<'a> {
    before: &'a Compiled,
    after: &'a Compiled,
    policy_hour: &'a PolicyHour,
}

impl Sampler<'_> {
    fn partner(
        &self,
        change: &PartnerChange<'_>,
        samples: usize,
    ) -> Result<pb::PartnerDifference, Miscounted> {
        let tally = &change.tally;
        let first = change.first_revealed();
        let classes = |counts: &[Count], first: ClassSet| {
            let counted = SlotClass::SENSITIVE.into_iter().zip(counts);
            let counted = counted.filter(|(_, count)| count.records > 0);
            counted
                .map(|(class, count)| {
                    Ok(pb::ClassDifference {
                        class: class.name().to_owned(),
                        records: count.records,
                        personal_data: count.personal_data,
                        first: first.contains(class),
                        samples: self.samples(change, count, About::Class(class), samples)?,
                    })
                })
                .collect::<Result<Vec<_>, Miscounted>>()
        };
        Ok(pb::PartnerDifference {
            agency: change.facts.agency.to_string(),
            suspended: false,
            shown: self.records(change, &tally.shown, samples)?,
            hidden: self.records(change, &tally.hidden, samples)?,
            revealed: classes(&tally.revealed, first)?,
            withheld: classes(&tally.withheld, ClassSet::EMPTY)?,
            may_reveal: names(change.may_reveal),
            erred: tally.erred,
        })
    }

    fn records(
        &self,
        change: &PartnerChange<'_>,
        count: &Count,
        samples: usize,
    ) -> Result<Option<pb::RecordDifference>, Miscounted> {
        if count.records == 0 {
            return Ok(None);
        }
        let counted = |name: &str, count: u64| pb::Count { name: name.to_owned(), count };
        let kinds = Kind::ALL.into_iter().zip(count.kinds).filter(|(_, count)| *count > 0);
        let tlp = Tlp::ALL.into_iter().zip(count.tlp).filter(|(_, count)| *count > 0);
        Ok(Some(pb::RecordDifference {
            records: count.records,
            personal_data: count.personal_data,
            kinds: kinds.map(|(kind, count)| counted(kind.name(), count)).collect(),
            tlp: tlp.map(|(tlp, count)| counted(tlp.name(), count)).collect(),
            samples: self.samples(change, count, About::Release, samples)?,
        }))
    }

    fn samples(
        &self,
        change: &PartnerChange<'_>,
        count: &Count,
        about: About,
        most: usize,
    ) -> Result<Vec<pb::PolicySample>, Miscounted> {
        let of = |seen: &Seen| {
            let [before, after] = [self.before, self.after]
                .map(|compiled| compiled.decide(change.facts, &seen.facts, self.policy_hour));
            if about.of(&before) == about.of(&after) {
                return Err(Miscounted(seen.id));
            }
            Ok(pb::PolicySample {
                record_id: Bytes::copy_from_slice(seen.id.as_bytes()),
                kind: seen.facts.kind.name().to_owned(),
                tlp: seen.facts.tlp.name().to_owned(),
                policies: deciding(&after, about),
                policies_before: deciding(&before, about),
            })
        };
        count.samples.iter().take(most).map(of).collect()
    }
}

fn deciding(decision: &Decision, about: About) -> Vec<String> {
    let class = match about {
        About::Class(class) if decision.release.allowed => {
            decision.classes.iter().find(|(found, _)| *found == class)
        }
        _ => None,
    };
    class.map_or(&decision.release, |(_, verdict)| verdict).deciding.clone()
}

impl TryFrom<&pb::PolicyDifference> for Extent {
    type Error = IdentError;

    fn try_from(wire: &pb::PolicyDifference) -> Result<Self, IdentError> {
        let partners = wire.partners.iter().map(|partner| {
            let shown = partner.shown.clone().unwrap_or_default();
            let revealed = |class: &SlotClass| {
                partner.revealed.iter().any(|found| found.class == class.name())
            };
            let personal = partner.revealed.iter().any(|class| class.personal_data > 0);
            let shown = Shown {
                records: shown.records > 0,
                personal_data: shown.personal_data > 0 || personal,
                classes: SlotClass::SENSITIVE.into_iter().filter(revealed).collect(),
            };
            Ok((partner.agency.parse()?, shown))
        });
        let partners = partners.collect::<Result<Vec<_>, IdentError>>()?;
        Ok(Self(partners.into_iter().filter(|(_, s)| *s != Shown::default()).collect()))
    }
}
