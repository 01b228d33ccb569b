//! The judgement on one record for a partner: the decision, and every obstacle beside policy.
//!
//! The decision is the one of the feed; nothing here decides in another way. What is said of
//! references is said for people, after the decision withheld their field.

use super::Explanations;
use super::decision_context::DecisionContext;
use crate::exchange::{Allowed, Disclosed, Lag, Place, SeriesVerdict};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::journal::JournalError;
use crate::journal::history::RecordHistory;
use crate::journal::index::Marks;
use crate::journal::state::PartnerRecord;
use crate::journal::view::Kept;
use crate::node::disclosure::Discloser;
use crate::node::error::NodeError;
use crate::pb;
use crate::policy::{Decision, Visibility, VisiblePart};
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::record::slots::{SlotMask, SlotNumber};
use std::sync::Arc;

/// References named in one reason; a slot has at most 64.
const REFERENCES_MAX: usize = 3;

/// A record, a partner, and what comes of them.
pub(in crate::node) struct Evaluation {
    pub(in crate::node) decision: Arc<Decision>,
    /// The slots that were ever here and that policy and references permit; `None`: none.
    pub(in crate::node) permitted: Option<SlotMask>,
    /// The reason why the other records of its series limit it, in words.
    pub(in crate::node) series: Option<String>,
    /// Slots that were here.
    pub(in crate::node) here: SlotMask,
    pub(in crate::node) history: RecordHistory,
    /// It is the partner's own or came from it.
    pub(in crate::node) is_own: bool,
    /// The time at which this node accepted it, if that was after the time that is asked about.
    pub(in crate::node) accepted_later: Option<Timestamp>,
}

impl Evaluation {
    /// Something of the record may go to the partner.
    pub(in crate::node) const fn is_released(&self) -> bool {
        self.permitted.is_some()
            && !self.is_own
            && self.history.hold.is_none()
            && self.history.retracted.is_none()
    }
}

impl Explanations {
    pub(in crate::node) fn kept(&self, id: &RecordId) -> Result<Kept, NodeError> {
        self.core.view().kept(id)?.ok_or(NodeError::UnknownRecord { id: *id })
    }

    pub(in crate::node) fn judge(
        &self,
        context: &DecisionContext,
        kept: &Kept,
    ) -> Result<Evaluation, NodeError> {
        let record = &kept.record;
        let header = record.header();
        let facts = context.facts_of(&record.id(), header);
        let decision = context.rules.compiled.decide(&context.facts, &facts, &context.policy_hour);
        let history = self.core.view().history_at(&record.id(), context.size)?;
        let here = record.open_slots().without(history.came_later).or(history.erased_later);
        // Whatever policy says of it, a withdrawal goes where what it withdraws went.
        let may_go = decision.release.allowed || record.kind() == Kind::Withdrawal;
        let mut series = None;
        let permitted = match self.discloser(context).filter(|_| may_go) {
            Some(mut discloser) => {
                // What was erased since cannot be looked into; its class alone speaks for it.
                let erased = record.slots_in(decision.revealed).and(history.erased_later);
                if record.kind() != Kind::Withdrawal {
                    let found = discloser.series_of(header, Marks::default())?;
                    series = found.and_then(|found| series_in_words(&context.agency, found));
                }
                // What befell the record by then is looked at beside this.
                match discloser.verdict(record, Marks::default())?.allowed {
                    Allowed::Slots { open, .. } => Some(open.or(erased).and(here)),
                    // It stays with a partner that has it.
                    Allowed::Kept { open, .. } => discloser
                        .told(&record.id())?
                        .filter(Disclosed::is_live)
                        .map(|told| open.and(told.slots)),
                    Allowed::Nothing | Allowed::AsItIs => None,
                }
            }
            None => None,
        };
        Ok(Evaluation {
            series,
            decision: Arc::new(decision),
            permitted,
            here,
            is_own: header.originator == context.agency
                || kept.partner.as_ref() == Some(&context.agency),
            accepted_later: (kept.journal_index >= context.size).then_some(kept.accepted_at),
            history,
        })
    }

    /// Returns the remarks on a record that are for everybody who asks about it.
    pub(in crate::node) fn remarks_on(
        &self,
        context: &DecisionContext,
        kept: &Kept,
        judged: &Evaluation,
    ) -> Result<Vec<String>, NodeError> {
        let header = kept.record.header();
        let mut remarks = Vec::new();
        if let Some(at) = judged.accepted_later {
            remarks.push(format!(
                "this node accepted the record at {at}; before that nothing was decided about it"
            ));
        }
        remarks.extend(hold_in_words(&judged.history));
        if let Some(at) = judged.history.retracted {
            let from = kept.partner.as_ref().map_or("its sender", AgencyName::as_str);
            remarks.push(format!("{from} retracted it at {at}: it is not passed on"));
        }
        remarks.extend(judged.series.clone());
        remarks.extend(self.newer_in_words(context, &kept.record.id(), header)?);
        Ok(remarks)
    }

    fn newer_in_words(
        &self,
        context: &DecisionContext,
        id: &RecordId,
        header: &Header,
    ) -> Result<Option<String>, JournalError> {
        let Some(head) = self.core.view().series_head(header.series, &header.originator)? else {
            return Ok(None);
        };
        let was_here = self.core.view().place(&head.id)?;
        if head.id == *id || was_here.is_none_or(|place| place.journal_index >= context.size) {
            return Ok(None);
        }
        Ok(Some(match (head.is_withdrawn(), head.revision > header.revision) {
            (true, _) => format!("its originator has withdrawn it: {}", head.id),
            (false, true) => {
                format!("it is superseded: revision {} of its series is {}", head.revision, head.id)
            }
            (false, false) => {
                format!("another revision names the same predecessor: {}", head.id)
            }
        }))
    }

    /// Returns in words the references of a slot that the partner may not see. References are content:
    /// they are named only to those who may see the record's.
    pub(in crate::node) fn hidden_references(
        &self,
        context: &DecisionContext,
        kept: &Kept,
        slot: SlotNumber,
        visibility: &Visibility,
    ) -> Result<String, NodeError> {
        let mut text = format!("it refers to what {} may not see", context.agency);
        if !sees_content(visibility, kept) {
            return Ok(text);
        }
        let mut named = Vec::new();
        let Some(mut discloser) = self.discloser(context) else { return Ok(String::new()) };
        for series in kept.record.references(slot) {
            if discloser.sees_series(series)? {
                continue;
            }
            let heads = self.core.view().series_heads(series)?;
            if heads.is_empty() {
                named.push(format!("a record that is not here (series {series})"));
            }
            for head in heads {
                let found = self.core.view().record_with_marks(&head.id)?;
                let is_usable = found.is_some_and(|(_, marks)| marks.is_usable());
                let why = match (is_usable, discloser.is_held(&head.id)?) {
                    (false, _) => " (under a hold or retracted)",
                    (true, true) => " (its release is held)",
                    (true, false) => "",
                };
                named.push(format!("{}{why}", head.id));
            }
        }
        let more = named.len().saturating_sub(REFERENCES_MAX);
        named.truncate(REFERENCES_MAX);
        if !named.is_empty() {
            text.push_str(&format!(": {}", named.join(", ")));
        }
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        Ok(text)
    }

    /// The one way to the decision of the feed.
    pub(super) fn discloser(&self, context: &DecisionContext) -> Option<Discloser> {
        let rules = context.rules.for_partner(&context.agency)?;
        let (hour, limits) = (context.policy_hour.clone(), self.limits.clone());
        let discloser = Discloser::new(self.core.view(), rules, &context.agency, hour, limits)?;
        Some(discloser.at_size(context.size, context.consents.in_effect()))
    }

    /// Returns the reason why nothing goes to a partner at the hour, and the next step.
    pub(in crate::node) fn pause_of(
        &self,
        agency: &AgencyName,
        partner: &PartnerRecord,
    ) -> Option<(String, String)> {
        let told = |found: String, next: String| Some((found, next));
        match partner.state {
            pb::PartnerState::Active => {}
            pb::PartnerState::Suspended => {
                return told(
                    format!("{agency} is suspended"),
                    format!("when it may go on: liaison partner resume {agency}"),
                );
            }
            pb::PartnerState::Revoked => {
                return told(
                    format!("{agency} is revoked"),
                    "nothing goes to it any more; a new ceremony makes it a partner again".into(),
                );
            }
            _ => {
                return told(
                    format!("{agency} is not active yet"),
                    format!("finish the ceremony: liaison partner show {agency}"),
                );
            }
        }
        let frozen = self.core.view().snapshot().state.witnessing.is_frozen(agency);
        frozen.then(|| {
            let found = format!("the log of {agency} is frozen, because it showed two histories");
            let next = "see `liaison status`, and a frozen partner in docs/OPERATIONS.md";
            (found, next.to_owned())
        })
    }
}

/// Returns a remark and the next step if receipts lag too long for anything new to be disclosed.
pub(super) fn lag_of(agency: &AgencyName, partner: &PartnerRecord) -> Option<(String, String)> {
    let lagging = Lag::of(partner.published.size, partner.receipted).check().err()?;
    Some((lagging.to_string(), format!("find out why {agency} gives no receipts: liaison status")))
}

/// Returns whether a client may see the content of a record.
pub(super) fn sees_content(visibility: &Visibility, kept: &Kept) -> bool {
    visibility.of_record(&kept.status()) == VisiblePart::Content
}

/// Returns in words the effect of a series on one of its revisions.
fn series_in_words(agency: &AgencyName, found: (SeriesVerdict, Place)) -> Option<String> {
    Some(match found {
        (SeriesVerdict::Withdrawn, _) => {
            format!("its series is withdrawn: {agency} gets the withdrawal for what it has of it")
        }
        (SeriesVerdict::Denied, Place::Older) => {
            format!("the newest revision of its series is denied to {agency}, and so is this one")
        }
        (SeriesVerdict::Denied, Place::Newest) => format!(
            "another revision of its series is as new and denied to {agency}, or this one is"
        ),
        (SeriesVerdict::Unchanged, _) => {
            "the newest revision of its series waits, is held or has expired: nothing changes"
                .into()
        }
        (SeriesVerdict::Shown(_), Place::Older) => {
            format!("an older revision is not disclosed anew: {agency} keeps what it has of it")
        }
        (SeriesVerdict::Shown(_), Place::Newest) => return None,
    })
}

pub(super) fn hold_in_words(history: &RecordHistory) -> Option<String> {
    let (at, hold) = history.hold.as_ref()?;
    let by = if hold.client.is_empty() { "a partner's duty" } else { &hold.client };
    Some(format!(
        "it is under a hold since {at} by {by} ({}): it is kept and not passed on",
        hold.reason
    ))
}
