//! Consent: asking originators, answering those who hold records of this agency, and ends by time.
//!
//! What is asked and said is an entry first; the feed to the partner concerned carries it on from the
//! journal. A consent shows more to a third agency, so it takes two persons; a refusal and a
//! revocation take one.

pub(super) mod error;
mod listing;
pub(super) mod rosters;

use super::approvals::proposal::propose;
use super::client::Client;
use super::commit::commit_unless_refused;
use super::core::Core;
use super::error::NodeError;
use super::submission::record_signer::RecordSigner;
use crate::exchange::{ConsentMessage, OpenRequest};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::journal::JournalError;
use crate::journal::transaction::Transaction;
use crate::journal::writer::Committed;
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::record::consent::{
    Consent, ConsentRequest, ConsentTerms, ConsentVerdict, Parties, Purpose, Scope, Subject,
};
use error::ConsentCaseError;
use listing::listed;
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

fn subject_of(wire: Option<pb::ConsentSubject>) -> Result<Subject, ConsentCaseError> {
    Ok(wire.unwrap_or_default().try_into()?)
}

/// Returns whether a consent or a request can reach the agency: over the feed to it, so it must be a partner of
/// this very node.
fn is_direct(tx: &Transaction<'_>, agency: &AgencyName) -> bool {
    tx.state().partners.contains_key(agency)
}

/// The originator that is to be asked, if asking can be of any use.
fn check_ask(
    tx: &Transaction<'_>,
    named: &str,
    subject: &Subject,
) -> Result<AgencyName, NodeError> {
    let refused = |error: ConsentCaseError| Err(NodeError::from(error));
    let named = if named.is_empty() { None } else { Some(named.parse::<AgencyName>()?) };
    let originator = match (&subject.scope, named) {
        (Scope::Record(id), named) => {
            let Some(record) = tx.record(id)? else {
                return Err(NodeError::UnknownRecord { id: *id });
            };
            let (id, header) = (*id, record.header());
            if let Some(named) = named.filter(|named| *named != header.originator) {
                let originator = header.originator.clone();
                return refused(ConsentCaseError::OtherOriginator { id, originator, named });
            }
            let marking = &header.marking;
            if subject.purpose == Purpose::Evidence && !marking.use_limits.no_evidence {
                return refused(ConsentCaseError::EvidenceAllowed { id });
            }
            if let Purpose::Circle(roster) = &subject.purpose
                && !marking.circles.iter().flatten().any(|name| name == roster.circle())
            {
                let circle = roster.circle().to_owned();
                return refused(ConsentCaseError::NotForCircle { id, circle });
            }
            let restricts =
                marking.orcon || marking.releasable_to.is_some() || marking.circles.is_some();
            if matches!(subject.purpose, Purpose::Forward(_)) && !restricts {
                return refused(ConsentCaseError::Unrestricted { id });
            }
            header.originator.clone()
        }
        (_, Some(named)) => named,
        (_, None) => return refused(ConsentCaseError::NoOriginator),
    };
    if originator == tx.signing().agency {
        return refused(ConsentCaseError::OwnRecords);
    }
    if let Purpose::Forward(to) = &subject.purpose {
        if *to == originator {
            return refused(ConsentCaseError::ToOriginator { to: to.clone() });
        }
        if !is_direct(tx, to) {
            return refused(ConsentCaseError::ToStranger { to: to.clone() });
        }
    }
    if !is_direct(tx, &originator) {
        return refused(ConsentCaseError::OriginatorNotPartner { agency: originator });
    }
    Ok(originator)
}

fn stage_ask(
    tx: &mut Transaction<'_>,
    client: &Client,
    request: pb::AskConsentRequest,
) -> Result<u64, NodeError> {
    let subject = subject_of(request.subject)?;
    let originator = check_ask(tx, &request.originator, &subject)?;
    let dealings = Arc::clone(&tx.state().consents.dealings);
    let same = |open: &OpenRequest| open.request.subject == subject;
    if let Some(open) = dealings.asking(&originator).find(|open| same(open)) {
        let (originator, entry) = (originator.clone(), open.entry);
        return Err(ConsentCaseError::Asked { originator, entry }.into());
    }
    let number = dealings.next_request(&originator, tx.state().generation());
    let request =
        ConsentRequest::new(number, subject, request.reason).map_err(ConsentCaseError::from)?;
    dealings.check_ask(&originator, &request).map_err(ConsentCaseError::from)?;
    let event = Event::ConsentRequested(pb::ConsentRequested {
        partner: originator.to_string(),
        request: Some((&request).into()),
        client: client.name.clone(),
        role: client.role.name().to_owned(),
        feed_index: 0,
    });
    Ok(tx.append(event)?)
}

/// Returns the plan of an act in the present state.
pub(super) fn plan(tx: &Transaction<'_>, act: &pb::GrantConsentAct) -> Result<Plan, NodeError> {
    let holder: AgencyName = act.holder.parse()?;
    let subject = subject_of(act.subject.clone())?;
    let own = &tx.signing().agency;
    if holder != *own && !is_direct(tx, &holder) {
        return Err(ConsentCaseError::HolderNotPartner { agency: holder }.into());
    }
    if let Purpose::Forward(to) = &subject.purpose
        && (*to == holder || to == own)
    {
        return Err(ConsentCaseError::ToHolder { to: to.clone() }.into());
    }
    rosters::check(tx, &subject, &holder)?;
    let until = i64::try_from(act.valid_until_ms)
        .ok()
        .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
        .ok_or(ConsentCaseError::NoEnd { found: act.valid_until_ms })?;
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
pub(in crate::node) fn prepare(
    tx: &Transaction<'_>,
    act: pb::GrantConsentAct,
    signer: &RecordSigner,
) -> Result<pb::GrantConsentAct, NodeError> {
    if let Some(pb::ConsentSubject { scope, record_id, .. }) = &act.subject
        && *scope == i32::from(pb::ConsentScope::Record)
        && let Ok(id) = RecordId::try_from(&record_id[..])
    {
        let own = &tx.signing().agency;
        if tx.record(&id)?.is_none_or(|record| record.header().originator != *own) {
            return Err(ConsentCaseError::NotOwn { id }.into());
        }
    }
    let act = pb::GrantConsentAct { subject: rosters::with_members(tx, act.subject), ..act };
    sign(tx, &plan(tx, &act)?, signer)?;
    Ok(act)
}

fn sign(tx: &Transaction<'_>, plan: &Plan, signer: &RecordSigner) -> Result<Consent, NodeError> {
    let parties = Parties { originator: &tx.signing().agency, holder: &plan.holder };
    let consent = Consent::sign(plan.saying.clone(), parties, signer.parts())
        .map_err(ConsentCaseError::from)?;
    let register = &tx.state().consents.dealings;
    register.check_say(parties, &consent).map_err(ConsentCaseError::from)?;
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

/// Signs a statement that takes one person, and writes it down.
pub(in crate::node) fn say(
    tx: &mut Transaction<'_>,
    client: &Client,
    (holder, saying): (AgencyName, ConsentTerms),
    signer: &RecordSigner,
) -> Result<u64, NodeError> {
    let plan = Plan { holder, saying }.signed(tx, signer)?;
    Ok(plan.carry_out(tx, (&client.name, client.role.name()), 0)?)
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

/// Consents: what is asked of originators, and what is said to those who hold records of this agency.
pub struct Consents {
    core: Arc<Core>,
    signer: RecordSigner,
}

impl Consents {
    pub(super) fn new(core: Arc<Core>, signer: RecordSigner) -> Arc<Self> {
        Arc::new(Self { core, signer })
    }

    /// Asks the originator of records for its consent.
    pub async fn ask(
        &self,
        client: Client,
        request: pb::AskConsentRequest,
    ) -> Result<(pb::ConsentView, Committed), NodeError> {
        let job = move |tx: &mut Transaction<'_>| stage_ask(tx, &client, request);
        let (entry, committed) = commit_unless_refused(&self.core.journal, job).await?;
        let found = self.list(false)?.0.into_iter().find(|view| view.entry == entry);
        Ok((found.unwrap_or_default(), committed))
    }

    /// Proposes to consent. It changes nothing until a second person approves.
    pub async fn propose(
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
        let signer = self.signer.clone();
        propose(&self.core.journal, client, (act, Act::GrantConsent), move |tx, act| {
            prepare(tx, act, &signer)
        })
        .await
    }

    fn waiting_request(&self, entry: u64) -> Result<(AgencyName, OpenRequest), NodeError> {
        let dealings = Arc::clone(&self.core.view().snapshot().state.consents.dealings);
        let found = dealings.waiting().find(|(_, open)| open.entry == entry);
        let found = found.map(|(agency, open)| (agency.clone(), open.clone()));
        found.ok_or_else(|| ConsentCaseError::UnknownRequest { entry }.into())
    }

    /// Refuses a partner's request.
    pub async fn refuse(
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
    pub async fn revoke(
        &self,
        client: Client,
        entry: u64,
        reason: String,
    ) -> Result<(u64, Committed), NodeError> {
        let dealings = Arc::clone(&self.core.view().snapshot().state.consents.dealings);
        let found = dealings.given().find(|(_, given)| given.entry == entry);
        let Some((holder, given)) = found else {
            return Err(ConsentCaseError::UnknownConsent { entry }.into());
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
        let signer = self.signer.clone();
        commit_unless_refused(&self.core.journal, move |tx| {
            let saying = saying(tx, &holder);
            say(tx, &client, (holder, saying), &signer)
        })
        .await
    }

    /// Lists the requests and statements, newest first; true if there are more.
    pub fn list(&self, only_open: bool) -> Result<(Vec<pb::ConsentView>, bool), NodeError> {
        let (view, own) = (self.core.view(), self.core.agency());
        let entries = view.consent_entries(view.snapshot().size)?;
        let mut listed = listed(entries, own, self.core.now());
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
        let mut stopping = self.core.stopping();
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
        let snapshot = self.core.view().snapshot();
        if snapshot.state.consents.in_force().ended(self.core.now()).is_empty() {
            return Ok(0);
        }
        let (ended, _) = self
            .core
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
