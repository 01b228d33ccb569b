//! Entries about consent, judged one after another.

use super::{agency, consent_in, fault, in_full};
use crate::audit::failure::{Check, Fault};
use crate::audit::ledger::Audit;
use crate::audit::received::Claim;
use crate::exchange::ConsentMessage;
use crate::ident::{AgencyName, Generation, Timestamp, TreeHash};
use crate::pb;
use crate::policy::ClientRole;
use crate::record::consent::{Consent, ConsentRequest, ConsentVerdict, Parties, Subject};

impl Audit {
    /// A partner asked for consent, or was asked.
    pub(in crate::audit) fn ask(
        &mut self,
        index: u64,
        asked: pb::ConsentRequested,
    ) -> Result<(), Fault> {
        self.partners.known(&asked.partner)?;
        let partner = agency(&asked.partner)?;
        let request = ConsentRequest::try_from(asked.request.unwrap_or_default())
            .map_err(|error| fault("a request for consent", in_full(&error)))?;
        if asked.client.is_empty() {
            let entry = self.claim_message(&asked.partner, asked.feed_index, true)?;
            if entry.consent_request.map(|asked| *asked) != Some((&request).into()) {
                return Err(fault("the request of that entry of the feed", "another"));
            }
            let dealings = &mut self.policy.dealings;
            dealings
                .check_asked(&partner, &request)
                .map_err(|error| fault("a request that follows from those before", error))?;
            dealings.asked(index, &partner, request);
            return Ok(());
        }
        let dealings = &mut self.policy.dealings;
        let role = asked.role.parse::<ClientRole>();
        if !matches!(role, Ok(ClientRole::Analyst | ClientRole::PolicyOfficer)) {
            return Err(fault("an analyst or policy officer who asks", asked.role));
        }
        dealings
            .check_ask(&partner, &request)
            .map_err(|error| fault("a request that follows from those before", error))?;
        dealings.ask(index, &partner, request.clone());
        self.untold.entry(partner).or_default().add(ConsentMessage::Request(request));
        Ok(())
    }

    /// The entry of a partner's feed about consent that an entry of the journal came from.
    fn claim_message(
        &mut self,
        partner: &str,
        index: u64,
        is_request: bool,
    ) -> Result<pb::FeedEntry, Fault> {
        let action = match is_request {
            true => pb::FeedAction::ConsentRequest,
            false => pb::FeedAction::Consent,
        };
        let record = self.arrived_record(partner, index);
        self.claim(&Claim { partner, index, record: &record, actions: &[action] }).cloned()
    }

    /// Takes a statement of the agency as an originator.
    pub(in crate::audit) fn consent(
        &mut self,
        index: u64,
        at: Timestamp,
        given: pb::ConsentGiven,
    ) -> Result<(), Fault> {
        let Some(own) = self.own.last() else {
            return Err(Fault::new(Check::OwnCard, "the agency's card before any consent", "none"));
        };
        let (originator, holder) = (own.agency.clone(), agency(&given.holder)?);
        if holder != originator {
            self.partners.known(&given.holder)?;
        }
        let consent = consent_in(given.consent.clone())?;
        let parties = Parties { originator: &originator, holder: &holder };
        consent
            .verify(parties, own)
            .map_err(|error| fault(format!("a statement of {originator}"), error))?;
        self.policy
            .dealings
            .check_say(parties, &consent)
            .map_err(|error| fault("a statement that follows from those before", error))?;
        self.check_members(at, &holder, &consent)?;
        match consent.verdict {
            _ if given.client.is_empty() => self.check_followed(at, &holder, &given, &consent)?,
            ConsentVerdict::Granted { until } => self.acts.cover_consent(&given, until)?,
            ConsentVerdict::Refused | ConsentVerdict::Revoked => {
                if given.proposal != 0 || given.role != ClientRole::PolicyOfficer.name() {
                    return Err(fault("a policy officer who refuses or takes back", given.role));
                }
            }
        }
        self.counts.consents += 1;
        self.policy.dealings.say(index, parties, consent.clone());
        if holder != originator {
            self.untold.entry(holder).or_default().add(ConsentMessage::Consent(consent));
        }
        Ok(())
    }

    /// A roster names the members of the circle as the journal has them at its entry, and its holder is
    /// one of them.
    fn check_members(
        &self,
        at: Timestamp,
        holder: &AgencyName,
        consent: &Consent,
    ) -> Result<(), Fault> {
        let (Some(roster), ConsentVerdict::Granted { .. }) =
            (consent.subject.roster(), consent.verdict)
        else {
            return Ok(());
        };
        let members = self.partners.members(roster.circle());
        if members == roster.members() && roster.contains(holder) {
            return Ok(());
        }
        let in_words = |names: &[AgencyName]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            names.join(" ")
        };
        let circle = roster.circle();
        let expected = format!(
            "the members of circle {circle} at {at}, with {holder}: {}",
            in_words(&members)
        );
        Err(fault(expected, in_words(roster.members())))
    }

    /// Checks that a statement without a person only follows the circle: it must be the one that the
    /// last change of membership requires.
    fn check_followed(
        &self,
        at: Timestamp,
        holder: &AgencyName,
        given: &pb::ConsentGiven,
        consent: &Consent,
    ) -> Result<(), Fault> {
        let wanted = self.roster_change(at);
        let is_it = wanted.as_ref().is_some_and(|(of, saying)| {
            of == holder
                && saying.verdict == consent.verdict
                && saying.subject == consent.subject
                && saying.request == consent.request
                && given.role.is_empty()
                && given.proposal == 0
        });
        if is_it {
            return Ok(());
        }
        let expected = "a person who gives a consent, or a roster whose circle changed";
        Err(fault(expected, format!("consent {} to {holder}", consent.number)))
    }

    fn roster_change(
        &self,
        at: Timestamp,
    ) -> Option<(AgencyName, crate::record::consent::ConsentTerms)> {
        let generation = self.own.last().map_or(Generation::FIRST, |own| own.generation);
        let members = |circle: &str| self.partners.members(circle);
        self.policy.dealings.roster_change((at, generation), members)
    }

    /// Checks that every roster names the present members when a feed is published: a change of
    /// membership and its statements are written down together. While no record key signs, no statement
    /// can be made: then it waits for the next card.
    pub(in crate::audit) fn check_rosters(&mut self, at: Timestamp) -> Result<(), Fault> {
        let Some((holder, saying)) = self.roster_change(at) else {
            self.rosters_wait = false;
            return Ok(());
        };
        self.rosters_wait |= !self.own.last().is_some_and(|own| own.signs_records(at));
        if self.rosters_wait {
            return Ok(());
        }
        let circle = saying.subject.roster().map(|roster| roster.circle().to_owned());
        let circle = circle.unwrap_or_default();
        let expected = format!("{holder} told of the change of circle {circle} first");
        Err(fault(expected, "a feed that is published"))
    }

    /// Takes a statement of a partner as an originator.
    pub(in crate::audit) fn hear(&mut self, received: pb::ConsentReceived) -> Result<(), Fault> {
        let entry = self.claim_message(&received.partner, received.feed_index, false)?;
        if entry.consent.map(|said| *said) != received.consent {
            return Err(fault("the statement of that entry of the feed", "another"));
        }
        let originator = agency(&received.partner)?;
        let consent = consent_in(received.consent)?;
        let (Some(card), Some(own)) = (self.partners.card(&originator), self.own.last()) else {
            return Err(Fault::new(Check::OwnCard, "the agency's card before any consent", "none"));
        };
        let parties = Parties { originator: &originator, holder: &own.agency };
        consent
            .verify(parties, card)
            .map_err(|error| fault(format!("a statement of {originator}"), error))?;
        self.policy
            .dealings
            .check_heard(&originator, &consent)
            .map_err(|error| fault("a statement that follows from those before", error))?;
        self.counts.consents += 1;
        self.policy.dealings.heard(&originator, &consent);
        Ok(())
    }

    /// The time of a consent has ended.
    pub(in crate::audit) fn end_consent(
        &mut self,
        ended: pb::ConsentEnded,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let originator = agency(&ended.originator)?;
        let in_force = self.policy.dealings.in_force();
        let subject = ended.subject.and_then(|subject| Subject::try_from(subject).ok());
        let is_so = in_force.has_ended(&originator, ended.number, at)
            && in_force.subject(&originator, ended.number) == subject.as_ref();
        if !is_so {
            let found = format!("consent {} of {originator}", ended.number);
            return Err(fault("a consent whose time has ended", found));
        }
        self.policy.dealings.ended(&originator, ended.number);
        Ok(())
    }

    /// An entry of the feed to a partner that is about consent. `false`: it is about something else.
    pub(in crate::audit) fn tell(
        &mut self,
        number: u16,
        leaf: TreeHash,
        entry: &pb::FeedEntry,
    ) -> Result<bool, Fault> {
        let action = entry.action();
        let is_about_consent =
            matches!(action, pb::FeedAction::ConsentRequest | pb::FeedAction::Consent);
        if !is_about_consent {
            if entry.consent.is_some() || entry.consent_request.is_some() {
                let expected = "a consent with its own action alone";
                return Err(Fault::new(Check::FeedEntry, expected, "one"));
            }
            return Ok(false);
        }
        let next = self
            .partners
            .numbered(number)
            .and_then(|(agency, _)| self.untold.get_mut(agency)?.tell());
        let Some(next) = next else {
            return Err(fault("what an entry before it asked or said", "something else"));
        };
        let (asked, said) = match next {
            ConsentMessage::Request(request) => (Some(Box::new(request.into())), None),
            ConsentMessage::Consent(consent) => (None, Some(Box::new(consent.into()))),
        };
        let same = entry.consent_request == asked
            && entry.consent == said
            && entry.record_id[..] == next.record().as_bytes()[..]
            && entry.open_slots == 0
            && entry.order.is_none();
        if !same {
            return Err(fault("what an entry before it asked or said", "something else"));
        }
        self.partners.tell(number, leaf, entry)?;
        Ok(true)
    }
}
