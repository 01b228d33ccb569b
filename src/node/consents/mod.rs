//! Consent: asking originators, answering those who hold records of this agency, and ends by time.
//!
//! What is asked and said is an entry first; the feed to the partner concerned carries it on from the
//! journal. A consent shows more to a third agency, so it takes two persons; a refusal and a
//! revocation take one.

pub(super) mod rosters;

use super::Node;
use super::client::Client;
use super::error::NodeError;
use super::explanation::decision_context::DecisionContext;
use super::explanation::evaluation::Evaluation;
use super::submission::record_signer::RecordSigner;
use crate::exchange::{ConsentFault, ConsentMessage, OpenRequest};
use crate::ident::{AgencyName, IdentError, RecordId, Timestamp};
use crate::journal::JournalError;
use crate::journal::consents::ConsentEntry;
use crate::journal::transaction::Transaction;
use crate::journal::view::Kept;
use crate::journal::writer::Committed;
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::if_consented;
use crate::record::consent::{
    Consent, ConsentError, ConsentRequest, ConsentTerms, ConsentVerdict, Parties, Purpose, Scope,
    Subject,
};
use crate::record::header::Header;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Entries of one answer to who lists.
const LISTED_MAX: usize = 1_000;
/// The interval between two looks for consents that end by time; policy counts in hours.
const EVERY: Duration = Duration::from_secs(60);

/// The consent of an approved act, before it is signed.
pub(super) struct Plan {
    holder: AgencyName,
    saying: ConsentTerms,
}

fn invalid(error: &ConsentError) -> NodeError {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    NodeError::Invalid(format!("{error}{}", source.unwrap_or_default()))
}

fn refused(fault: &ConsentFault) -> NodeError {
    NodeError::Precondition(fault.to_string())
}

fn agency(name: &str) -> Result<AgencyName, NodeError> {
    name.parse().map_err(|error: IdentError| NodeError::Invalid(error.to_string()))
}

fn subject_of(wire: Option<pb::ConsentSubject>) -> Result<Subject, NodeError> {
    wire.unwrap_or_default().try_into().map_err(|error| invalid(&error))
}

/// A consent reaches its holder over the feed to it, and a request its originator, so both must be
/// partners of this very node.
fn check_direct(tx: &Transaction<'_>, agency: &AgencyName, what: &str) -> Result<(), NodeError> {
    if tx.state().partners.contains_key(agency) {
        return Ok(());
    }
    Err(NodeError::Precondition(format!(
        "{agency} is no partner of this node, so it cannot {what} over the exchange: ask it by \
         another way to name the release in the record itself, or make it a partner"
    )))
}

/// The originator that is to be asked, if asking can be of any use.
fn check_ask(
    tx: &Transaction<'_>,
    named: &str,
    subject: &Subject,
) -> Result<Result<AgencyName, NodeError>, JournalError> {
    let precondition = |text: String| Ok(Err(NodeError::Precondition(text)));
    let named = if named.is_empty() { None } else { Some(agency(named)) };
    let originator = match (&subject.scope, named) {
        (_, Some(Err(error))) => return Ok(Err(error)),
        (Scope::Record(id), named) => {
            let Some(record) = tx.record(id)? else {
                return Ok(Err(NodeError::NotFound(format!("this node holds no record {id}"))));
            };
            let header = record.header();
            if let Some(Ok(named)) =
                named.filter(|named| named.as_ref().ok() != Some(&header.originator))
            {
                let text = format!("record {id} is of {}, not of {named}", header.originator);
                return Ok(Err(NodeError::Invalid(text)));
            }
            let marking = &header.marking;
            if subject.purpose == Purpose::Evidence && !marking.use_limits.no_evidence {
                return precondition(format!("record {id} is not marked against use as evidence"));
            }
            if let Purpose::Circle(roster) = &subject.purpose
                && !marking.circles.iter().flatten().any(|name| name == roster.circle())
            {
                return precondition(format!(
                    "record {id} is not marked for circle {}, so its roster changes nothing",
                    roster.circle()
                ));
            }
            let restricts =
                marking.orcon || marking.releasable_to.is_some() || marking.circles.is_some();
            if matches!(subject.purpose, Purpose::Forward(_)) && !restricts {
                return precondition(format!(
                    "record {id} is under no originator control and has no release list, so a \
                     consent changes nothing; `liaison record why-not` tells what stands in the way"
                ));
            }
            header.originator.clone()
        }
        (_, Some(Ok(named))) => named,
        (_, None) => {
            return Ok(Err(NodeError::Invalid("the originator is not named".to_owned())));
        }
    };
    if originator == tx.signing().agency {
        return precondition(
            "the record is this agency's own: whom it goes to the policy says, and its use as \
             evidence two of its people permit with `liaison consent give`"
                .to_owned(),
        );
    }
    if let Purpose::Forward(to) = &subject.purpose {
        if *to == originator {
            return precondition(format!("{to} signed the record itself"));
        }
        if !tx.state().partners.contains_key(to) {
            return precondition(format!(
                "{to} is no partner of this node, so nothing can be passed on to it"
            ));
        }
    }
    Ok(check_direct(tx, &originator, "be asked").map(|()| originator))
}

fn stage_ask(
    tx: &mut Transaction<'_>,
    client: &Client,
    request: pb::AskConsentRequest,
) -> Result<Result<u64, NodeError>, JournalError> {
    let subject = match subject_of(request.subject) {
        Ok(subject) => subject,
        Err(error) => return Ok(Err(error)),
    };
    let originator = match check_ask(tx, &request.originator, &subject)? {
        Ok(originator) => originator,
        Err(error) => return Ok(Err(error)),
    };
    let dealings = Arc::clone(&tx.state().consents.dealings);
    let same = |open: &OpenRequest| open.request.subject == subject;
    if let Some(open) = dealings.asking(&originator).find(|open| same(open)) {
        let text = format!("{originator} was asked already, in entry {}", open.entry);
        return Ok(Err(NodeError::Precondition(text)));
    }
    let number = dealings.next_request(&originator, tx.state().generation());
    let request = match ConsentRequest::new(number, subject, request.reason) {
        Ok(request) => request,
        Err(error) => return Ok(Err(invalid(&error))),
    };
    if let Err(fault) = dealings.check_ask(&originator, &request) {
        return Ok(Err(refused(&fault)));
    }
    let event = Event::ConsentRequested(pb::ConsentRequested {
        partner: originator.to_string(),
        request: Some((&request).into()),
        client: client.name.clone(),
        role: client.role.name().to_owned(),
        feed_index: 0,
    });
    tx.append(event).map(Ok)
}

/// Returns the plan of an act in the present state.
pub(super) fn plan(tx: &Transaction<'_>, act: &pb::GrantConsentAct) -> Result<Plan, NodeError> {
    let holder = agency(&act.holder)?;
    let subject = subject_of(act.subject.clone())?;
    let own = &tx.signing().agency;
    if holder != *own {
        check_direct(tx, &holder, "be told")?;
    }
    if let Purpose::Forward(to) = &subject.purpose
        && (*to == holder || to == own)
    {
        return Err(NodeError::Invalid(format!("{to} holds the records already")));
    }
    rosters::check(tx, &subject, &holder)?;
    let until = i64::try_from(act.valid_until_ms)
        .ok()
        .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
        .ok_or_else(|| NodeError::Invalid("a consent ends at some time; name it".to_owned()))?;
    let dealings = &tx.state().consents.dealings;
    let saying = ConsentTerms {
        number: dealings.next_consent(&holder, tx.state().generation()),
        request: act.request,
        verdict: ConsentVerdict::Granted { until },
        subject,
        at: tx.now(),
        reason: act.reason.clone(),
    };
    Ok(Plan { holder, saying })
}

/// The same, checked to the end, for whoever proposes.
pub(super) fn prepare(
    tx: &Transaction<'_>,
    act: pb::GrantConsentAct,
    signer: &RecordSigner,
) -> Result<Result<pb::GrantConsentAct, NodeError>, JournalError> {
    if let Some(pb::ConsentSubject { scope, record_id, .. }) = &act.subject
        && *scope == i32::from(pb::ConsentScope::Record)
        && let Ok(id) = RecordId::try_from(&record_id[..])
    {
        let own = &tx.signing().agency;
        if tx.record(&id)?.is_none_or(|record| record.header().originator != *own) {
            let text = format!("this agency signed no record {id} that is here");
            return Ok(Err(NodeError::NotFound(text)));
        }
    }
    let act = pb::GrantConsentAct { subject: rosters::with_members(tx, act.subject), ..act };
    let checked = plan(tx, &act).and_then(|plan| sign(tx, &plan, signer));
    Ok(checked.map(|_| act))
}

fn sign(tx: &Transaction<'_>, plan: &Plan, signer: &RecordSigner) -> Result<Consent, NodeError> {
    let parties = Parties { originator: &tx.signing().agency, holder: &plan.holder };
    let consent = Consent::sign(plan.saying.clone(), parties, signer.parts())
        .map_err(|error| invalid(&error))?;
    tx.state().consents.dealings.check_say(parties, &consent).map_err(|fault| refused(&fault))?;
    Ok(consent)
}

impl Plan {
    pub(super) const fn new(holder: AgencyName, saying: ConsentTerms) -> Self {
        Self { holder, saying }
    }

    /// The statement, ready to be written down.
    pub(super) fn signed(
        self,
        tx: &Transaction<'_>,
        signer: &RecordSigner,
    ) -> Result<SignedPlan, NodeError> {
        signer.check(tx.state(), tx.now())?;
        let consent = sign(tx, &self, signer)?;
        Ok(SignedPlan { holder: self.holder, consent })
    }
}

/// A statement that was checked.
pub(super) struct SignedPlan {
    holder: AgencyName,
    consent: Consent,
}

impl SignedPlan {
    pub(super) fn carry_out(
        self,
        tx: &mut Transaction<'_>,
        (client, role): (&str, &str),
        proposal: u64,
    ) -> Result<u64, JournalError> {
        tx.append(Event::ConsentGiven(pb::ConsentGiven {
            holder: self.holder.to_string(),
            consent: Some((&self.consent).into()),
            client: client.to_owned(),
            role: role.to_owned(),
            proposal,
        }))
    }
}

/// Writes down a partner's entry about consent. It was checked.
pub(super) fn hear(
    tx: &mut Transaction<'_>,
    agency: &AgencyName,
    said: &ConsentMessage,
    feed_index: u64,
) -> Result<(), JournalError> {
    let partner = agency.to_string();
    tx.append(match said {
        ConsentMessage::Request(request) => Event::ConsentRequested(pb::ConsentRequested {
            partner,
            request: Some(request.into()),
            client: String::new(),
            role: String::new(),
            feed_index,
        }),
        ConsentMessage::Consent(consent) => Event::ConsentReceived(pb::ConsentReceived {
            partner,
            consent: Some(consent.into()),
            feed_index,
        }),
    })
    .map(drop)
}

impl Node {
    /// Asks the originator of records for its consent.
    pub async fn ask_consent(
        &self,
        client: Client,
        request: pb::AskConsentRequest,
    ) -> Result<(pb::ConsentView, Committed), NodeError> {
        let (outcome, committed) =
            self.journal.commit(move |tx| stage_ask(tx, &client, request)).await?;
        let entry = outcome?;
        let found = self.consents(false)?.0.into_iter().find(|view| view.entry == entry);
        Ok((found.unwrap_or_default(), committed))
    }

    /// Proposes to consent. It changes nothing until a second person approves.
    pub async fn propose_consent(
        &self,
        client: Client,
        request: pb::ProposeConsentRequest,
    ) -> Result<(pb::ActView, Committed), NodeError> {
        let pb::ProposeConsentRequest { request_entry, holder, subject, valid_until_ms, reason } =
            request;
        let act = match request_entry {
            0 => pb::GrantConsentAct { holder, request: 0, subject, valid_until_ms, reason },
            entry => {
                let (holder, open) = self.waiting_request(entry)?;
                let asked = pb::ConsentSubject::from(&open.request.subject);
                pb::GrantConsentAct {
                    holder: holder.to_string(),
                    request: open.request.number,
                    subject: Some(subject.unwrap_or(asked)),
                    valid_until_ms,
                    reason,
                }
            }
        };
        self.propose(client, Act::GrantConsent(act)).await
    }

    fn waiting_request(&self, entry: u64) -> Result<(AgencyName, OpenRequest), NodeError> {
        let dealings = Arc::clone(&self.view().snapshot().state.consents.dealings);
        let found = dealings.waiting().find(|(_, open)| open.entry == entry);
        let found = found.map(|(agency, open)| (agency.clone(), open.clone()));
        found.ok_or_else(|| {
            NodeError::NotFound(format!(
                "no request of entry {entry} waits for this agency; `liaison consent list --open` \
                 shows those that do"
            ))
        })
    }

    /// Refuses a partner's request.
    pub async fn refuse_consent(
        &self,
        client: Client,
        entry: u64,
        reason: String,
    ) -> Result<(u64, Committed), NodeError> {
        let (holder, OpenRequest { request, .. }) = self.waiting_request(entry)?;
        let (number, subject) = (request.number, request.subject);
        self.say(client, holder, move |tx, holder| ConsentTerms {
            number: tx.state().consents.dealings.next_consent(holder, tx.state().generation()),
            request: number,
            verdict: ConsentVerdict::Refused,
            subject,
            at: tx.now(),
            reason,
        })
        .await
    }

    /// Takes back a consent that this agency gave.
    pub async fn revoke_consent(
        &self,
        client: Client,
        entry: u64,
        reason: String,
    ) -> Result<(u64, Committed), NodeError> {
        let dealings = Arc::clone(&self.view().snapshot().state.consents.dealings);
        let found = dealings.given().find(|(_, given)| given.entry == entry);
        let Some((holder, given)) = found else {
            return Err(NodeError::NotFound(format!(
                "this agency gave no consent of entry {entry} that is in force; `liaison consent \
                 list --open` shows those that are"
            )));
        };
        let (number, subject) = (given.consent.number, given.consent.subject.clone());
        self.say(client, holder.clone(), move |tx, _| ConsentTerms {
            number,
            request: 0,
            verdict: ConsentVerdict::Revoked,
            subject,
            at: tx.now(),
            reason,
        })
        .await
    }

    /// Makes a statement that takes one person.
    async fn say(
        &self,
        client: Client,
        holder: AgencyName,
        saying: impl FnOnce(&Transaction<'_>, &AgencyName) -> ConsentTerms + Send + 'static,
    ) -> Result<(u64, Committed), NodeError> {
        let signer = self.record_signer();
        let (outcome, committed) = self
            .journal
            .commit(move |tx| {
                let saying = saying(tx, &holder);
                match (Plan { holder, saying }).signed(tx, &signer) {
                    Ok(plan) => plan.carry_out(tx, (&client.name, client.role.name()), 0).map(Ok),
                    Err(error) => Ok(Err(error)),
                }
            })
            .await?;
        Ok((outcome?, committed))
    }

    /// Lists the requests and statements, newest first; true if there are more.
    pub fn consents(&self, only_open: bool) -> Result<(Vec<pb::ConsentView>, bool), NodeError> {
        let (view, own) = (self.view(), self.agency());
        let entries = view.consent_entries(view.snapshot().size)?;
        let mut listed = listed(entries, own, self.now());
        if only_open {
            listed.retain(|view| {
                matches!(
                    view.standing(),
                    pb::ConsentStanding::Waiting | pb::ConsentStanding::Granted
                )
            });
        }
        let more = listed.len() > LISTED_MAX;
        listed.truncate(LISTED_MAX);
        Ok((listed, more))
    }

    /// Writes down which consents have ended by time, so that what rested on them is taken back.
    pub(super) async fn end_consents(self: Arc<Self>) {
        let mut stopping = self.stopping();
        loop {
            if let Err(error) = self.end_due_consents().await {
                tracing::warn!(%error, "what rested on consents that have ended is not taken back");
            }
            if let Err(error) = self.follow_rosters().await {
                tracing::warn!(%error, "rosters do not follow their circles");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Ends the consents whose time has come, and returns their number.
    pub async fn end_due_consents(&self) -> Result<usize, NodeError> {
        let snapshot = self.view().snapshot();
        if snapshot.state.consents.in_force().ended(self.now()).is_empty() {
            return Ok(0);
        }
        let (ended, _) = self
            .journal
            .commit(|tx| {
                let dealings = Arc::clone(&tx.state().consents.dealings);
                let due = dealings.in_force().ended(tx.now());
                for (originator, number) in &due {
                    let subject = dealings.in_force().subject(originator, *number);
                    tx.append(Event::ConsentEnded(pb::ConsentEnded {
                        originator: originator.to_string(),
                        number: *number,
                        subject: subject.map(Into::into),
                    }))?;
                }
                Ok(due.len())
            })
            .await?;
        Ok(ended)
    }
}

/// Returns the remark on a record that its originator alone can release to a partner, and the next
/// step. `None`: its consent would change nothing, or is not wanted.
pub(super) fn missing(
    node: &Node,
    context: &DecisionContext,
    kept: &Kept,
    judged: &Evaluation,
) -> Option<(String, String)> {
    let (id, header) = (kept.record.id(), kept.record.header());
    let (originator, partner) = (&header.originator, &context.agency);
    if originator == node.agency() || judged.is_own || judged.decision.release.allowed {
        return None;
    }
    let facts = context.facts_of(&id, header);
    let consented = if_consented(&facts, partner)?;
    let compiled = &context.rules.compiled;
    let then = compiled.decide(&context.facts, &consented, &context.policy_hour).release;
    if !then.allowed && then.deciding == judged.decision.release.deciding {
        return None;
    }
    let rest = match (then.allowed, &then.deciding[..]) {
        (true, _) => String::new(),
        (false, []) => ", and a policy that permits it".to_owned(),
        (false, forbids) => format!(", and {} stands in the way besides", forbids.join(", ")),
    };
    let circles = facts.circles.as_deref().unwrap_or_default();
    let hour = context.policy_hour.hour();
    let in_force = context.consents.in_force();
    let unknown = circles.iter().find(|circle| !in_force.has_roster(circle, hour));
    let roster = match (circles, unknown) {
        ([], _) => String::new(),
        (_, Some(circle)) => format!(
            ", or its roster of circle {circle} with {partner} in it, and none is in force here"
        ),
        ([circle, ..], None) => {
            format!(", and its roster of circle {circle} does not name {partner}")
        }
    };
    let found = format!("it takes the consent of its originator {originator}{roster}{rest}");
    let snapshot = node.view().snapshot();
    let dealings = &snapshot.state.consents.dealings;
    let asks = |open: &&OpenRequest| {
        let Subject { purpose, scope } = &open.request.subject;
        *purpose == Purpose::Forward(partner.clone()) && covers(scope, &id, header)
    };
    let next = if let Some(open) = dealings.asking(originator).find(asks) {
        format!("{originator} was asked in entry {} and has not answered", open.entry)
    } else if snapshot.state.partners.contains_key(originator) {
        let roster = unknown.map(|circle| {
            let name = &circle.name;
            format!(
                ", or liaison consent ask --all --circle {name} --of {originator} --reason TEXT"
            )
        });
        let roster = roster.unwrap_or_default();
        format!("liaison consent ask {id} --for {partner} --reason TEXT{roster}")
    } else {
        format!(
            "{originator} is no partner of this node, so it cannot be asked over the exchange; ask \
             it by another way to name {partner} in the record"
        )
    };
    Some((found, next))
}

fn covers(scope: &Scope, id: &RecordId, header: &Header) -> bool {
    match scope {
        Scope::Record(of) => of == id,
        Scope::Operation(code) => header.operation.as_ref() == Some(code),
        Scope::All => true,
    }
}

/// Returns the rows of a list: one for each request, and one for each consent that nobody asked
/// for.
fn listed(entries: Vec<ConsentEntry>, own: &AgencyName, now: Timestamp) -> Vec<pb::ConsentView> {
    let own = own.to_string();
    let mut rows: Vec<pb::ConsentView> = Vec::new();
    // Where what was asked and what was granted stands, by originator, holder and number.
    let mut asked: BTreeMap<(String, String, u64), usize> = BTreeMap::new();
    let mut granted: BTreeMap<(String, String, u64), usize> = BTreeMap::new();
    // Where the roster of a circle stands that the next one replaces.
    let mut rosters: Vec<(String, String, Subject, usize)> = Vec::new();
    for ConsentEntry { index, at, event } in entries {
        let at_ms = at.unix_ms().unsigned_abs();
        let (originator, holder, consent) = match event {
            Event::ConsentRequested(event) => {
                let (originator, holder) = match event.client.is_empty() {
                    true => (own.clone(), event.partner),
                    false => (event.partner, own.clone()),
                };
                let request = event.request.unwrap_or_default();
                asked.insert((originator.clone(), holder.clone(), request.number), rows.len());
                rows.push(pb::ConsentView {
                    entry: index,
                    originator,
                    holder,
                    subject: request.subject,
                    standing: pb::ConsentStanding::Waiting.into(),
                    at_ms,
                    asked: request.reason,
                    ..Default::default()
                });
                continue;
            }
            Event::ConsentGiven(event) => (own.clone(), event.holder, event.consent),
            Event::ConsentReceived(event) => (event.partner, own.clone(), event.consent),
            _ => continue,
        };
        let consent = consent.unwrap_or_default();
        let by = |number| (originator.clone(), holder.clone(), number);
        let verdict = consent.verdict();
        let known = match verdict {
            pb::ConsentVerdict::Revoked => granted.get(&by(consent.number)).copied(),
            _ => asked.get(&by(consent.request)).copied(),
        };
        let at = known.unwrap_or(rows.len());
        if at == rows.len() {
            rows.push(pb::ConsentView {
                originator: originator.clone(),
                holder: holder.clone(),
                ..Default::default()
            });
        }
        if verdict == pb::ConsentVerdict::Granted {
            granted.insert(by(consent.number), at);
        }
        let standing = match verdict {
            pb::ConsentVerdict::Granted => {
                let until = i64::try_from(consent.valid_until_ms).ok();
                let until = until.and_then(|ms| Timestamp::from_unix_ms(ms).ok());
                if until.is_some_and(|until| now.hour() < until.hour()) {
                    pb::ConsentStanding::Granted
                } else {
                    pb::ConsentStanding::Ended
                }
            }
            pb::ConsentVerdict::Refused => pb::ConsentStanding::Refused,
            _ => pb::ConsentStanding::Revoked,
        };
        let subject = consent.subject.clone().unwrap_or_default();
        if standing == pb::ConsentStanding::Granted
            && let Ok(subject) = Subject::try_from(subject)
            && subject.roster().is_some()
        {
            rosters.retain(|(by, of, replaced, place)| {
                let is_replaced =
                    (by, of) == (&originator, &holder) && subject.supersedes(replaced);
                if is_replaced && *place != at {
                    rows[*place].standing = pb::ConsentStanding::Ended.into();
                }
                !is_replaced
            });
            rosters.push((originator.clone(), holder.clone(), subject, at));
        }
        let row = &mut rows[at];
        row.entry = index;
        row.subject = consent.subject;
        row.standing = standing.into();
        row.at_ms = at_ms;
        row.valid_until_ms = consent.valid_until_ms;
        row.said = consent.reason;
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.entry));
    rows
}
