//! Decides disclosures anew: the bundle in force, the partner as the journal describes it, the
//! record's signed header, and the hour of the entry are all that a decision ever saw.
//!
//! The guardrails are those of this program, whatever the node had compiled in. That a slot of
//! references names nothing that the partner may not see is not decided here: it depends on other
//! records than the one disclosed.

use super::failure::{Check, Fault};
use crate::ident::{AgencyName, Timestamp};
use crate::policy::{
    Bundle, Compiled, PartnerFacts, PartnerPolicy, PolicyHour, RecordFacts, Vocabulary,
};
use crate::record::kind::{ClassSet, Kind, SlotClass};
use crate::record::slots::SlotMask;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The files of a bundle by their names.
pub type BundleFiles = BTreeMap<String, Vec<u8>>;

/// The number of one set of facts; records with equal facts have equal numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FactsNumber(u32);

#[cfg(test)]
impl FactsNumber {
    pub(super) const FIRST: Self = Self(0);
}

/// Every different set of facts that records so far have, about half a KiB each.
#[derive(Debug, Default)]
pub(super) struct KnownFacts {
    numbers: HashMap<Arc<RecordFacts>, FactsNumber>,
    facts: Vec<Arc<RecordFacts>>,
    /// Records come in bulk and alike.
    last: Option<FactsNumber>,
}

impl KnownFacts {
    pub(super) fn number(&mut self, facts: RecordFacts) -> FactsNumber {
        if let Some(last) = self.last.filter(|last| *self.of(*last) == facts) {
            return last;
        }
        let number = match self.numbers.get(&facts) {
            Some(number) => *number,
            None => {
                let facts = Arc::new(facts);
                // As many as there are records at the most, whose rows have 32 bits too.
                let number = FactsNumber(self.facts.len() as u32);
                self.facts.push(Arc::clone(&facts));
                self.numbers.insert(facts, number);
                number
            }
        };
        self.last = Some(number);
        number
    }

    pub(super) fn of(&self, number: FactsNumber) -> &RecordFacts {
        &self.facts[number.0 as usize]
    }
}

/// The bundle that files make, ready to decide for the node of `own`.
pub(super) fn load(files: &BundleFiles, own: &AgencyName) -> Result<Arc<Compiled>, Fault> {
    let fault = |found: &dyn ToString| {
        Fault::new(Check::PolicyFiles, "a bundle that loads", found.to_string())
    };
    let texts = files.iter().map(|(name, text)| {
        let text = String::from_utf8(text.clone()).map_err(|error| fault(&error))?;
        Ok((name.clone(), text))
    });
    let texts = texts.collect::<Result<Vec<_>, Fault>>()?;
    let bundle = Bundle::load(texts, &Vocabulary::default()).map_err(|findings| {
        fault(&findings.first().map(ToString::to_string).unwrap_or_default())
    })?;
    Ok(Arc::new(Compiled::new(Arc::new(bundle), own.clone(), [])))
}

/// The part that a partner may have of records with certain facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) is_released: bool,
    pub(super) classes: ClassSet,
    pub(super) slots: SlotMask,
}

/// One bundle ready to decide.
#[derive(Debug)]
pub(super) struct Replay {
    compiled: Arc<Compiled>,
    partners: HashMap<u16, Answers>,
}

/// The decisions for one partner in one hour.
#[derive(Debug)]
struct Answers {
    policy_hour: PolicyHour,
    policy: Arc<PartnerPolicy>,
    shown: HashMap<FactsNumber, Shown>,
}

impl Replay {
    pub(super) fn new(compiled: Arc<Compiled>) -> Self {
        Self { compiled, partners: HashMap::new() }
    }

    pub(super) fn bundle(&self) -> &Bundle {
        self.compiled.bundle()
    }

    /// The partner is another one now.
    pub(super) fn forget(&mut self, number: u16) {
        self.partners.remove(&number);
    }

    pub(super) fn shown(
        &mut self,
        number: u16,
        partner: &PartnerFacts,
        known: &KnownFacts,
        record: FactsNumber,
        at: Timestamp,
    ) -> Shown {
        let compiled = &self.compiled;
        let answers = self.partners.entry(number).or_insert_with(|| Answers {
            policy_hour: PolicyHour::at(at),
            policy: compiled.for_partner(partner),
            shown: HashMap::new(),
        });
        if answers.policy_hour.hour() != at.hour() {
            answers.policy_hour = PolicyHour::at(at);
            answers.shown.clear();
        }
        let Answers { policy_hour, policy, shown } = answers;
        *shown.entry(record).or_insert_with(|| decide(policy, known.of(record), policy_hour))
    }
}

fn decide(policy: &PartnerPolicy, record: &RecordFacts, policy_hour: &PolicyHour) -> Shown {
    let decision = policy.decide(record, policy_hour);
    // A withdrawal goes wherever what it withdraws went.
    let is_withdrawal = record.kind == Kind::Withdrawal;
    let classes =
        if is_withdrawal { decision.revealed.with(SlotClass::Core) } else { decision.revealed };
    Shown {
        is_released: is_withdrawal || decision.release.allowed,
        classes,
        slots: record.kind.slots_of(classes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::marking::Tlp;
    use crate::testkit::policy::{self, OWN, agency, record};

    const POLICY: &str = r#"
@id("agency/green") @title("Green goes to the certs") @agreement("a") @owner("o@npa.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource)
when { principal.sector == Liaison::Sector::"cert" && resource.tlp == Liaison::Tlp::"GREEN" };
"#;

    fn replay(text: &str) -> Result<Replay, Fault> {
        let files = BTreeMap::from([("a.cedar".to_owned(), text.into())]);
        load(&files, &agency(OWN)).map(Replay::new)
    }

    fn facts(kind: Kind, tlp: Tlp) -> RecordFacts {
        RecordFacts { kind, tlp, ..record() }
    }

    fn at() -> Timestamp {
        "2026-11-22T10:20:00Z".parse().unwrap()
    }

    fn partner(suspended: bool) -> PartnerFacts {
        PartnerFacts { suspended, ..policy::partner() }
    }

    #[test]
    fn core_slots_of_what_is_permitted_are_shown_and_of_a_withdrawal_always() {
        let (mut replay, mut known) = (replay(POLICY).unwrap(), KnownFacts::default());
        let numbers = [
            facts(Kind::Note, Tlp::Green),
            facts(Kind::Note, Tlp::Amber),
            facts(Kind::Withdrawal, Tlp::Amber),
            facts(Kind::Note, Tlp::Green),
        ]
        .map(|facts| known.number(facts));
        assert_eq!(numbers[0], numbers[3]);
        let shown = numbers.map(|n| replay.shown(1, &partner(false), &known, n, at()));
        assert_eq!(
            shown.map(|s| (s.is_released, s.slots.bits())),
            [(true, 0b10), (false, 0), (true, 0b10), (true, 0b10),]
        );
        let suspended = |replay: &mut Replay| {
            replay.shown(1, &partner(true), &known, numbers[0], at()).is_released
        };
        assert!(suspended(&mut replay), "remembered until the partner is forgotten");
        replay.forget(1);
        assert!(!suspended(&mut replay));
    }

    #[test]
    fn files_that_are_no_bundle_are_a_fault() {
        assert_eq!(replay("permit (").unwrap_err().check, Check::PolicyFiles);
        let files = BTreeMap::from([("a.cedar".to_owned(), vec![0xff])]);
        assert_eq!(load(&files, &agency(OWN)).unwrap_err().check, Check::PolicyFiles);
    }
}
