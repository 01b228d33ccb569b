//! The sharing policy: what may go to which partner, down to the class of a field, and why.
//!
//! Everything here is a pure function of facts that the caller hands over. Policy sees the signed
//! header of a record and never its content, so that any decision can be replayed by an auditor,
//! after an erasure too. Default deny; the guardrails are compiled in; every error of evaluation
//! denies. The engine is Cedar, and nothing outside this module knows that.

mod access;
mod agreed;
mod agreement;
mod acts;
mod alteration;
mod atoms;
mod attributes;
mod brake;
mod bundle;
mod cedar;
mod consents;
mod decide;
mod difference;
mod difference_wire;
pub mod examples;
mod explain;
mod facts;
mod finding;
mod hold;
mod lint;
mod memo;
mod policy_hour;
mod parts;
mod proposed;

#[cfg(feature = "prove")]
mod prove;
mod select;
mod visibility;
mod source;
mod syntax;
mod templates;
mod texts;
mod baseline;

#[cfg(test)]
mod erring_tests;
#[cfg(test)]
mod guardrail_tests;
#[cfg(test)]
mod handbook_tests;
mod vocabulary;
#[cfg(test)]
mod scenario_tests;

pub use access::{Access, ClientRole, UnknownRole};
pub use acts::{ActKind, ActRefusal, ActRule, Person};
pub use agreed::{adds_nothing, may_reveal, may_reveal_to_new, only_narrows};
pub use agreement::{AgreementError, check_agreement};
pub use alteration::{Alteration, PolicyChange, alterations, change_of};
pub use baseline::{Baseline, Categories, GivenCategories, NewRecords, OriginatorNumber, Volume};
pub use brake::{
    BrakeLimits, FirstDisclosure, LearningRule, PersonalDataRule, Predecessors, Reasons,
    UnknownRule, Unusual, unusual,
};
pub use bundle::{Bundle, POLICIES_MAX, Statement};
pub use consents::{CONSENTS_MAX, Consents, if_consented};
pub use decide::{Compiled, Decision, Fault, PartnerPolicy, ReleaseAction, Verdict};
pub use difference::{Comparer, Difference, Extent, SAMPLES_MAX, Seen, Tally};
pub use difference_wire::{Miscounted, difference_hash};
pub use explain::{
    Acceptance, Account, ClassAccount, Condition, Explanation, Outcome, State, explain,
    explain_acceptance,
};
pub use facts::{
    Circle, Country, CountryError, FactsError, PartnerFacts, RecordFacts, Sector, TAG_VALUES_MAX,
    facts_hash,
};
pub use finding::{Finding, Report};
pub use hold::{Hold, hold, retention_ended};
pub use memo::{MEMO_ENTRIES_MAX, MemoDecider};
pub use policy_hour::PolicyHour;
pub use proposed::load_proposed;
#[cfg(feature = "prove")]
pub use prove::{Change, Counterexample, Proof, ProveError, Proved, Prover};
pub use select::{Selected, Selector};
pub use source::{
    BUNDLE_BYTES_MAX, EXAMPLES_ENDING, FILES_MAX, POLICY_BYTES_MAX, POLICY_DEPTH_MAX, is_examples,
};
pub use templates::{TEMPLATES, TO_BE_NAMED, Template};
pub use texts::{GUARDRAILS, SCHEMA};
pub use visibility::{Leaf, RecordStatus, Visibility, VisiblePart};
pub use vocabulary::Vocabulary;
