//! The explanation of a record's release or denial to a partner at one time, and the partners that
//! may have it now.

use super::Explanations;
use super::decision_context::DecisionContext;
use super::evaluation::{Evaluation, lag_of};
use super::missing_consent::missing_consent;
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::journal::index::Disclosure;
use crate::journal::state::PartnerRecord;
use crate::journal::view::Kept;
use crate::node::error::NodeError;
use crate::pb;
use crate::policy::{
    Account, ClassAccount, Condition, Decision, Explanation, Outcome, State, Visibility, explain,
};
use crate::record::kind::{ClassSet, Kind};
use crate::record::slots::SlotNumber;
use bytes::Bytes;

/// Hexadecimal digits of a bundle's hash in a line for people.
const HASH_DIGITS: usize = 16;

impl Explanations {
    /// Explains the decision on a record for a partner.
    pub fn explain(
        &self,
        id: RecordId,
        agency: &AgencyName,
        at: Option<Timestamp>,
        visibility: &Visibility,
    ) -> Result<pb::ExplainDecisionResponse, NodeError> {
        let context = match at {
            None => self.context(agency)?,
            Some(at) => self.setting_at(agency, at)?,
        };
        let kept = self.kept(&id)?;
        let judged = self.judge(&context, &kept)?;
        let facts = context.facts_of(&id, kept.record.header());
        let explanation =
            explain(&context.rules.compiled, &context.facts, &facts, &context.policy_hour);
        let fields = self.field_accounts(&context, &kept, &judged, (&explanation, visibility))?;
        let mut remarks = self.remarks_on(&context, &kept, &judged)?;
        remarks.extend(remarks_of_pair(&context, &kept, &judged));
        let missing = missing_consent(&self.core, &context, &kept, &judged);
        remarks.extend(missing.map(|(found, next)| format!("{found}: {next}")));
        let disclosure = self.core.view().disclosure(context.feed, &id)?;
        if let Some(disclosure) = disclosure {
            remarks.push(self.disclosed_in_words(&context, disclosure)?);
        }
        let snapshot = self.core.view().snapshot();
        let receipted = snapshot.state.partners.get(agency).map_or(0, |p| p.receipted);
        Ok(answer(&context, &judged, &explanation, fields, remarks, disclosure, receipted))
    }

    fn disclosed_in_words(
        &self,
        context: &DecisionContext,
        disclosure: Disclosure,
    ) -> Result<String, NodeError> {
        let index = disclosure.feed_index;
        let mut entries = self.core.view().feed_entries(context.feed, index..index + 1)?;
        let bytes = entries.pop().unwrap_or_default();
        let entry = crate::journal::entry::decode_feed(index, &bytes)?;
        let at = i64::try_from(entry.at_ms).ok().and_then(|ms| Timestamp::from_unix_ms(ms).ok());
        let at = at.map_or_else(String::new, |at| format!(" at {at}"));
        Ok(format!(
            "the newest entry about it in the feed to {} is {index}, made{at} under policy \
             version {}",
            context.agency, entry.policy_version
        ))
    }

    fn field_accounts(
        &self,
        context: &DecisionContext,
        kept: &Kept,
        judged: &Evaluation,
        (explanation, visibility): (&Explanation, &Visibility),
    ) -> Result<Vec<pb::FieldAccount>, NodeError> {
        let kind = kept.record.kind();
        SlotNumber::of(kind)
            .map(|slot| {
                let (fate, reason) =
                    self.field_fate(context, kept, judged, (explanation, visibility), slot)?;
                let spec = slot.spec(kind);
                Ok(pb::FieldAccount {
                    field: spec.name.to_owned(),
                    class: spec.class.name().to_owned(),
                    fate: fate.into(),
                    reason,
                })
            })
            .collect()
    }

    fn field_fate(
        &self,
        context: &DecisionContext,
        kept: &Kept,
        judged: &Evaluation,
        (explanation, visibility): (&Explanation, &Visibility),
        slot: SlotNumber,
    ) -> Result<(pb::FieldFate, String), NodeError> {
        let record = &kept.record;
        let class = slot.spec(record.kind()).class;
        let Some(permitted) = judged.permitted.filter(|_| judged.is_released()) else {
            return Ok((pb::FieldFate::NotReleased, "the record is not released".to_owned()));
        };
        if record.erased_slots().without(judged.history.erased_later).contains(slot) {
            let reason = match judged.history.erased.contains(slot) {
                true => "it is erased here",
                false => "its originator erased it",
            };
            return Ok((pb::FieldFate::Erased, reason.to_owned()));
        }
        if !judged.here.contains(slot) {
            return Ok((pb::FieldFate::NotHere, "it was withheld from this node".to_owned()));
        }
        if permitted.contains(slot) {
            return Ok((pb::FieldFate::Shown, String::new()));
        }
        if let Some(series) = &judged.series {
            return Ok((pb::FieldFate::ClassWithheld, series.clone()));
        }
        if judged.decision.revealed.contains(class) {
            let reason = self.hidden_references(context, kept, slot, visibility)?;
            return Ok((pb::FieldFate::ReferenceWithheld, reason));
        }
        let account = explanation.classes.iter().find(|account| account.class == class);
        let reason = account.map_or_else(|| "nothing permits it".to_owned(), class_in_words);
        Ok((pb::FieldFate::ClassWithheld, reason))
    }

    /// Every partner and whether it may have a record now.
    pub fn recipients(&self, id: RecordId) -> Result<pb::ExplainRecipientsResponse, NodeError> {
        let kept = self.kept(&id)?;
        let snapshot = self.core.view().snapshot();
        let mut answer = pb::ExplainRecipientsResponse {
            policy_version: self.rules.current().version.get(),
            ..Default::default()
        };
        for (agency, partner) in &snapshot.state.partners {
            let (view, remarks) = self.recipient(&kept, agency, partner)?;
            answer.recipients.push(view);
            // The same for every partner.
            answer.remarks = remarks;
        }
        Ok(answer)
    }

    fn recipient(
        &self,
        kept: &Kept,
        agency: &AgencyName,
        partner: &PartnerRecord,
    ) -> Result<(pb::RecipientView, Vec<String>), NodeError> {
        let mut context = self.context(agency)?;
        // A suspension ends; what is asked is whether the partner may have the record.
        if partner.state == pb::PartnerState::Suspended {
            context = context.if_active();
        }
        let judged = self.judge(&context, kept)?;
        let pause = self.pause_of(agency, partner).or_else(|| lag_of(agency, partner));
        let pause = pause.map(|(found, _)| found);
        let (verdict, reason) = verdict(&context, kept, &judged, pause);
        let shown = judged.permitted.filter(|_| judged.is_released()).unwrap_or_default();
        let kind = kept.record.kind();
        let slots = SlotNumber::of(kind).filter(|slot| shown.contains(*slot));
        let classes = slots
            .map(|slot| slot.spec(kind).class)
            .fold(ClassSet::EMPTY, ClassSet::with)
            .iter()
            .map(|class| class.name().to_owned());
        let disclosure = self.core.view().disclosure(partner.feed, &kept.record.id())?;
        let view = pb::RecipientView {
            partner: agency.to_string(),
            verdict: verdict.into(),
            classes: classes.collect(),
            policies: judged.decision.release.deciding.clone(),
            reason,
            feed_index: disclosure.map(|disclosure| disclosure.feed_index),
            receipted: disclosure.is_some_and(|d| d.feed_index < partner.receipted),
        };
        Ok((view, self.remarks_on(&context, kept, &judged)?))
    }
}

fn verdict(
    context: &DecisionContext,
    kept: &Kept,
    judged: &Evaluation,
    pause: Option<String>,
) -> (pb::RecipientVerdict, String) {
    use pb::RecipientVerdict::{Allowed, Denied, Paused};
    let of_pair = remarks_of_pair(context, kept, judged).into_iter().next();
    if let Some(reason) = of_pair.filter(|_| judged.is_own || !judged.is_released()) {
        return (Denied, reason);
    }
    if judged.history.hold.is_some() {
        return (Denied, "it is under a hold".to_owned());
    }
    if judged.history.retracted.is_some() {
        return (Denied, "it was retracted".to_owned());
    }
    let reason = reason_of(context, &judged.decision);
    if !judged.is_released() {
        let of_series = judged.series.clone().filter(|_| judged.decision.release.allowed);
        return (Denied, of_series.unwrap_or(reason));
    }
    pause.map_or((Allowed, reason), |pause| (Paused, pause))
}

/// The sentences of the policies that decided on the release.
fn reason_of(context: &DecisionContext, decision: &Decision) -> String {
    if decision.erred() {
        return "a policy could not be evaluated".to_owned();
    }
    let statements = context.rules.compiled.bundle().statements();
    let titles: Vec<&str> = statements
        .iter()
        .filter(|statement| decision.release.deciding.iter().any(|id| **id == *statement.id))
        .map(|statement| statement.title.as_str())
        .collect();
    if titles.is_empty() { "nothing permits it".to_owned() } else { titles.join("; ") }
}

/// Returns the remarks on this record and this partner beside policy.
fn remarks_of_pair(context: &DecisionContext, kept: &Kept, judged: &Evaluation) -> Vec<String> {
    let DecisionContext { agency, .. } = context;
    let mut remarks = Vec::new();
    if judged.is_own {
        let whose = if kept.record.header().originator == *agency {
            "is the originator"
        } else {
            "sent it here"
        };
        remarks.push(format!("{agency} {whose}: it is not sent back"));
    } else if kept.record.kind() == Kind::Withdrawal {
        let was = if judged.permitted.is_some() { "was" } else { "was not" };
        remarks.push(format!(
            "a withdrawal goes to the partners that were given the withdrawn records, and {agency} {was}"
        ));
    }
    remarks
}

fn class_in_words(account: &ClassAccount) -> String {
    if let Some(deciding) = account.deciding.first() {
        return format!("{} forbids it: {}", deciding.id, deciding.title);
    }
    account.nearest.first().map_or_else(
        || "nothing permits it".to_owned(),
        |near| {
            format!(
                "nothing permits it; nearest is {} ({} of {} conditions not met)",
                near.id,
                near.unmet(),
                near.conditions.len()
            )
        },
    )
}

fn answer(
    context: &DecisionContext,
    judged: &Evaluation,
    explanation: &Explanation,
    fields: Vec<pb::FieldAccount>,
    remarks: Vec<String>,
    disclosure: Option<Disclosure>,
    receipted: u64,
) -> pb::ExplainDecisionResponse {
    let with_fate = |shown: bool| {
        fields.iter().filter(move |field| (field.fate() == pb::FieldFate::Shown) == shown)
    };
    let hash = context.rules.hash();
    pb::ExplainDecisionResponse {
        allowed: judged.is_released(),
        revealed: with_fate(true).map(|field| field.field.clone()).collect(),
        withheld: with_fate(false).map(|f| format!("{} ({})", f.field, f.class)).collect(),
        policies: judged.decision.release.deciding.clone(),
        text: text(context, judged, explanation, &fields, &remarks),
        feed_index: disclosure.map(|disclosure| disclosure.feed_index),
        receipted: disclosure.is_some_and(|disclosure| disclosure.feed_index < receipted),
        at_ms: context.policy_hour.hour().unix_ms().unsigned_abs(),
        policy_version: context.rules.version.get(),
        bundle_hash: hash.map(|hash| Bytes::copy_from_slice(hash.as_bytes())).unwrap_or_default(),
        deciding: accounts(&explanation.deciding),
        nearest: accounts(&explanation.nearest),
        classes: explanation.classes.iter().map(class_account).collect(),
        fields,
        remarks,
    }
}

/// The whole explanation, for people.
fn text(
    context: &DecisionContext,
    judged: &Evaluation,
    explanation: &Explanation,
    fields: &[pb::FieldAccount],
    remarks: &[String],
) -> String {
    let hash = context.rules.hash().map(|hash| hash.to_string()).unwrap_or_default();
    let policy = match &context.applied {
        Some((since, client)) => format!(
            "policy version {} (bundle {}…), in force since {since}, applied by {client}",
            context.rules.version.get(),
            &hash[..hash.len().min(HASH_DIGITS)]
        ),
        None => "no policy was in force; nothing is shared".to_owned(),
    };
    let tense = if context.is_past { "as it was" } else { "as it is" };
    let mut text = format!("hour of {}, {tense}: {policy}\n", context.policy_hour.hour());
    for remark in remarks {
        text.push_str(&format!("! {remark}\n"));
    }
    text.push_str(&explanation.to_string());
    if judged.is_released() {
        // Classes were explained above.
        let others = fields.iter().filter(|field| {
            !matches!(field.fate(), pb::FieldFate::Shown | pb::FieldFate::ClassWithheld)
        });
        for field in others {
            text.push_str(&format!(
                "  field {} ({}) withheld: {}\n",
                field.field, field.class, field.reason
            ));
        }
    }
    text
}

fn accounts(accounts: &[Account]) -> Vec<pb::PolicyAccount> {
    accounts.iter().map(policy_account).collect()
}

fn policy_account(account: &Account) -> pb::PolicyAccount {
    // Destructured without `..`: what is new must be thought about here.
    let Account { id, title, agreement, owner, file, line, permits, conditions } = account;
    pb::PolicyAccount {
        id: id.clone(),
        title: title.clone(),
        agreement: agreement.clone().unwrap_or_default(),
        owner: owner.clone().unwrap_or_default(),
        file: file.clone(),
        line: *line,
        permits: *permits,
        conditions: conditions.iter().map(condition_view).collect(),
    }
}

fn condition_view(condition: &Condition) -> pb::ConditionView {
    let (state, reason) = match &condition.state {
        State::Holds => (pb::ConditionState::Holds, ""),
        State::Fails => (pb::ConditionState::Fails, ""),
        State::NotReached => (pb::ConditionState::NotReached, ""),
        State::Errs(reason) => (pb::ConditionState::Errs, reason.as_str()),
    };
    pb::ConditionView {
        text: condition.text.clone(),
        state: state.into(),
        reason: reason.to_owned(),
    }
}

fn class_account(account: &ClassAccount) -> pb::ClassAccount {
    pb::ClassAccount {
        class: account.class.name().to_owned(),
        shown: account.outcome == Outcome::Allowed,
        fields: account.fields.iter().map(|field| (*field).to_owned()).collect(),
        deciding: accounts(&account.deciding),
        nearest: accounts(&account.nearest),
    }
}
