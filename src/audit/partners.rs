//! Partners: their cards, the feeds to them and from them.

use super::acts::Acts;
use super::card::Card;
use super::failure::{Check, Fault};
use super::feed::{Feed, exceptions};
use super::feed_name::FeedName;
use super::holdings::{Holdings, RowNumber};
use super::lines::Log;
use super::policy::InForce;
use super::received::Arriving;
use super::remarks::Remark;
use super::times::SignedTimes;
use super::words::shown;
use crate::ident::{AgencyName, FEEDS_MAX, Generation, RecordId, Timestamp, TreeHash, TreeSize};
use crate::merkle::{Frontier, TreeHead};
use crate::pb;
use crate::policy::{
    Bundle, OriginatorNumber, PartnerFacts, adds_nothing, facts_hash, may_reveal,
    may_reveal_to_new, only_narrows,
};
use crate::record::slots::SlotMask;
use std::collections::{BTreeMap, HashMap};

/// The state of one partner by the journal.
#[derive(Debug)]
pub(super) struct Partner {
    pub(super) number: u16,
    pub(super) card: Card,
    /// The facts of the partner that policy may see.
    facts: PartnerFacts,
    /// The agreement with the partner, as the journal has it.
    said: pb::PartnerFacts,
    is_active: bool,
    is_revoked: bool,
    /// The last entry that changed it.
    changed_at: u64,
    pub(super) feed: Feed,
    /// The feeds of the generations before, from the first on.
    pub(super) ended: Vec<Feed>,
    /// The newest head of its feed to us.
    pub(super) received: Option<TreeHead>,
    received_exceptions: u64,
    /// Its feed to us as far as it came.
    pub(super) arriving: Arriving,
    /// Entries of its feed that were made while it was not active.
    while_inactive: u64,
    identity_changed: bool,
    /// Made from the cards in force when they are needed.
    logs: Option<Logs>,
}

#[derive(Debug)]
struct Logs {
    published: Log,
    received: Log,
}

impl Partner {
    fn logs(&mut self, own: &[Card]) -> Result<&Logs, Fault> {
        if self.logs.is_none() {
            self.logs = own.last().and_then(|card| {
                Some(Logs {
                    published: Log::published(own, &self.card)?,
                    received: Log::received(&self.card, card)?,
                })
            });
        }
        self.logs.as_ref().ok_or_else(|| {
            Fault::new(Check::OwnCard, "the agency's card before anything signed", "none")
        })
    }
}

/// All partners.
#[derive(Debug, Default)]
pub(super) struct Partners {
    /// The generation of the agency's own logs.
    generation: Generation,
    partners: BTreeMap<AgencyName, Partner>,
    numbers: HashMap<u16, AgencyName>,
    /// Those whose feed grew since the last commit.
    grown: Vec<AgencyName>,
}

impl Partners {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AgencyName, &Partner)> {
        self.partners.iter()
    }

    pub(super) fn card(&self, agency: &AgencyName) -> Option<&Card> {
        self.partners.get(agency).map(|partner| &partner.card)
    }

    /// An order to erase is in the journal: the feed of everybody who has something of the record carries it
    /// on, but for the partner that brought it.
    pub(super) fn owe(&mut self, index: u64, row: RowNumber, erased: &pb::SlotsErased) {
        let Some(order) = &erased.order else { return };
        let ordered = SlotMask::from_bits(order.slots);
        let others = self.partners.iter_mut().filter(|(name, _)| name.as_str() != erased.partner);
        others.for_each(|(_, partner)| partner.feed.owe(index, row, ordered));
    }

    /// The feed to a partner carries on an order to erase.
    pub(super) fn ordered(&mut self, agency: &AgencyName, row: RowNumber, slots: SlotMask) {
        if let Some(partner) = self.partners.get_mut(agency) {
            partner.feed.order(row, slots);
        }
    }

    /// The card of the partner with this number.
    pub(super) fn numbered_card(&self, number: u16) -> Option<&Card> {
        self.card(self.numbers.get(&number)?)
    }

    pub(super) fn named_partner(&self, agency: &AgencyName) -> Option<&Partner> {
        self.partners.get(agency)
    }

    /// Returns true if anything of a record was ever disclosed to a partner.
    pub(super) fn was_given(&self, agency: &AgencyName, row: RowNumber) -> bool {
        self.partners.get(agency).is_some_and(|partner| partner.feed.was_given(row))
    }

    pub(super) fn number(&self, agency: &AgencyName) -> Option<u16> {
        self.partners.get(agency).map(|partner| partner.number)
    }

    /// The members of a circle of the agency, ascending.
    pub(super) fn members(&self, circle: &str) -> Vec<AgencyName> {
        let is_member = |partner: &Partner| {
            partner.is_active && partner.said.circles.iter().any(|name| name == circle)
        };
        let members = self.partners.iter().filter(|(_, partner)| is_member(partner));
        members.map(|(agency, _)| agency.clone()).collect()
    }

    /// Names what policy may ask about the partners: those not revoked, as if none were suspended.
    pub(super) fn facts_hash(&self) -> [u8; 32] {
        let standing = self.partners.values().filter(|partner| !partner.is_revoked);
        let standing: Vec<_> = standing
            .map(|partner| PartnerFacts { suspended: false, ..partner.facts.clone() })
            .collect();
        facts_hash(&standing)
    }

    /// The feed to a partner in the generation of the logs now, and its number.
    pub(super) fn feed(&self, agency: &AgencyName) -> Option<(FeedName, u16)> {
        let number = self.partners.get(agency)?.number;
        let name = FeedName { partner: agency.clone(), generation: self.generation };
        Some((name, self.generation.feed_number(number)))
    }

    /// Entries of the feed now to a partner that it gave receipts for.
    pub(super) fn receipted(&self, agency: &AgencyName) -> u64 {
        self.partners.get(agency).map_or(0, |partner| partner.feed.receipted())
    }

    /// Every feed that there ever was; with the newest to a partner, the head of the feed from it.
    pub(super) fn feeds(&self) -> impl Iterator<Item = (FeedName, &Feed, Option<TreeHead>)> {
        self.partners.iter().flat_map(|(agency, partner)| {
            let ended = partner.ended.iter().map(|feed| (feed, None));
            let all = ended.chain([(&partner.feed, partner.received)]);
            let numbered = (1..).filter_map(|number| Generation::new(number).ok()).zip(all);
            let is_there = |(generation, (feed, _)): &(Generation, (&Feed, _))| {
                *generation == self.generation || feed.size() > 0
            };
            numbered.filter(is_there).map(|(generation, (feed, received))| {
                (FeedName { partner: agency.clone(), generation }, feed, received)
            })
        })
    }

    /// The logs of the agency were succeeded by those of this generation.
    pub(super) fn succeed(&mut self, generation: Generation) {
        self.generation = generation;
        for partner in self.partners.values_mut() {
            let ended = partner.feed.succeed();
            partner.ended.push(ended);
            partner.logs = None;
        }
    }

    /// Checks a note over the newest head of a feed: it must be signed, and each of its lines be that of
    /// a known key.
    pub(super) fn newest_head(
        &self,
        feed: &FeedName,
        note: &[u8],
        own: &[Card],
    ) -> Result<(), Fault> {
        let FeedName { partner: agency, generation } = feed;
        let missing = || Fault::new(Check::FeedNote, "a feed of this journal", feed);
        let partner = self.partners.get(agency).ok_or_else(missing)?;
        let log = Log::published_in(*generation, own, &partner.card).ok_or_else(missing)?;
        let head = log.whole_head(note, Check::FeedNote)?;
        let ended = partner.ended.get(usize::from(generation.get() - Generation::FIRST.get()));
        let newest = ended.unwrap_or(&partner.feed).head();
        if head == newest {
            return Ok(());
        }
        Err(Fault::new(Check::FeedNote, shown(newest), shown(head)))
    }

    /// The partner of a feed of the generation now, and how many entries it has so far.
    pub(super) fn numbered(&self, feed: u16) -> Option<(&AgencyName, u64)> {
        let agency = self.partner_of(feed)?;
        Some((agency, self.partners.get(agency)?.feed.entries()))
    }

    fn partner_of(&self, feed: u16) -> Option<&AgencyName> {
        self.numbers.get(&feed.checked_sub(self.generation.feed_number(0))?)
    }

    /// Refuses the name of an agency that is not a partner.
    pub(super) fn known(&self, name: &str) -> Result<(), Fault> {
        let known =
            name.parse().ok().is_some_and(|name: AgencyName| self.partners.contains_key(&name));
        if known { Ok(()) } else { Err(stranger(name)) }
    }

    pub(super) fn named(&mut self, name: &str) -> Result<&mut Partner, Fault> {
        let agency: Option<AgencyName> = name.parse().ok();
        agency.and_then(|agency| self.partners.get_mut(&agency)).ok_or_else(|| stranger(name))
    }

    /// The keys of an own card changed.
    pub(super) fn forget_keys(&mut self) {
        self.partners.values_mut().for_each(|partner| partner.logs = None);
    }

    /// Returns the number of the partner that changed.
    pub(super) fn change(
        &mut self,
        index: u64,
        changed: pb::PartnerChanged,
        own: &Option<AgencyName>,
        acts: &mut Acts,
        bundle: Option<&Bundle>,
    ) -> Result<u16, Fault> {
        let fault = |expected: &str, found: &dyn std::fmt::Display| {
            Fault::new(Check::Partner, expected, found)
        };
        let agency: AgencyName =
            changed.agency.parse().map_err(|error| fault("an agency's name", &error))?;
        if own.as_ref() == Some(&agency) {
            return Err(fault("another agency", &agency));
        }
        let is_active = changed.state() == pb::PartnerState::Active;
        let is_revoked = changed.state() == pb::PartnerState::Revoked;
        let card = Card::check(&changed.card.clone().unwrap_or_default())
            .map_err(|fault| Fault::new(Check::PartnerCard, "a signed card", fault))?;
        if card.agency != agency {
            return Err(Fault::new(Check::PartnerCard, agency, card.agency));
        }
        let number = u16::try_from(changed.number)
            .ok()
            .filter(|number| (1..=FEEDS_MAX).contains(number))
            .ok_or_else(|| fault("a number from 1 to 1000", &changed.number))?;
        let said = changed.facts.clone().unwrap_or_default();
        let seen = |agreed: &pb::PartnerFacts| {
            PartnerFacts::agreed(agency.clone(), agreed, is_active)
                .map_err(|error| fault("what policy may ask about a partner", &error))
        };
        let facts = seen(&said)?;
        match self.partners.get(&agency) {
            Some(known) if !known.is_revoked || is_revoked => {
                let was = seen(&known.said)?;
                let is_less = bundle.map_or_else(
                    || adds_nothing(&was, &facts),
                    |bundle| only_narrows(bundle, &was, &facts),
                );
                if is_active && !known.is_active {
                    if said != known.said {
                        return Err(fault("a resumed partner with the facts of before", &"others"));
                    }
                    acts.cover_resumption(&changed, known.changed_at)?;
                } else if !is_less {
                    let reveals = bundle.is_some_and(|bundle| may_reveal(bundle, &was, &facts));
                    acts.cover_facts(&changed, &known.said, reveals)?;
                }
            }
            // A new partner, or one that begins again.
            _ => {
                let reveals = bundle.is_some_and(|bundle| may_reveal_to_new(bundle, &facts));
                acts.cover_addition(&changed, reveals)?;
            }
        }
        if let Some(partner) = self.partners.get_mut(&agency) {
            if partner.number != number {
                return Err(fault(&format!("number {}", partner.number), &number));
            }
            partner.identity_changed |= !partner.card.is_same_identity(&card);
            if partner.card.generation > card.generation {
                let expected = format!("logs of generation {}", partner.card.generation);
                return Err(Fault::new(Check::PartnerCard, expected, card.generation));
            }
            if partner.card.generation < card.generation {
                // Its feed begins anew.
                partner.received = None;
                partner.received_exceptions = 0;
                partner.arriving = Arriving::default();
                partner.feed.receive_from_successor();
            }
            partner.card = card;
            partner.facts = facts;
            partner.said = said;
            partner.is_active = is_active;
            partner.is_revoked = is_revoked;
            partner.changed_at = index;
            partner.logs = None;
            return Ok(number);
        }
        if self.numbers.insert(number, agency.clone()).is_some() {
            return Err(fault("a number of its own", &number));
        }
        let partner = Partner {
            number,
            card,
            facts,
            said,
            is_active,
            is_revoked,
            changed_at: index,
            feed: Feed::default(),
            ended: self.ended_before(),
            received: None,
            received_exceptions: 0,
            arriving: Arriving::default(),
            while_inactive: 0,
            identity_changed: false,
            logs: None,
        };
        self.partners.insert(agency, partner);
        Ok(number)
    }

    /// The feeds that a partner never had, because it is younger than they.
    fn ended_before(&self) -> Vec<Feed> {
        (Generation::FIRST.get()..self.generation.get()).map(|_| Feed::default()).collect()
    }

    /// The next entry of a feed, which discloses nothing.
    pub(super) fn tell(
        &mut self,
        feed: u16,
        leaf: TreeHash,
        entry: &pb::FeedEntry,
    ) -> Result<(), Fault> {
        let unknown = || stranger(&format!("number {feed}"));
        let agency = self.partner_of(feed).cloned().ok_or_else(unknown)?;
        let partner = self.partners.get_mut(&agency).ok_or_else(unknown)?;
        if self.grown.last() != Some(&agency) {
            self.grown.push(agency);
        }
        partner.feed.tell(leaf, entry)
    }

    /// The next entry of a feed.
    pub(super) fn disclose(
        &mut self,
        feed: u16,
        leaf: TreeHash,
        entry: &pb::FeedEntry,
        holdings: &Holdings,
        (own, policy): (Option<&AgencyName>, &mut InForce),
    ) -> Result<(), Fault> {
        let unknown = || stranger(&format!("number {feed}"));
        let agency = self.partner_of(feed).cloned().ok_or_else(unknown)?;
        let originator = match originator_of(entry, holdings, policy) {
            Some(name) if own == Some(name) => OriginatorNumber::OWN,
            name => name
                .and_then(|name| self.number(name))
                .map_or(OriginatorNumber::UNKNOWN, OriginatorNumber::numbered),
        };
        let partner = self.partners.get_mut(&agency).ok_or_else(unknown)?;
        let number = partner.number;
        if self.grown.last() != Some(&agency) {
            self.grown.push(agency);
        }
        let shows = matches!(
            entry.action(),
            pb::FeedAction::Disclose | pb::FeedAction::Revise | pb::FeedAction::Withdraw
        );
        partner.while_inactive += u64::from(shows && !partner.is_active);
        let (row, at) = partner.feed.push(leaf, entry, holdings, policy, originator)?;
        if shows {
            policy.decide((number, &partner.facts), row, holdings, entry, at)?;
        }
        Ok(())
    }

    pub(super) fn publish(
        &mut self,
        published: &pb::FeedPublished,
        own: &[Card],
        (index, at): (u64, Timestamp),
        policy: &InForce,
    ) -> Result<(), Fault> {
        let partner = self.named(&published.partner)?;
        let head = partner.logs(own)?.published.head(&published.note, Check::FeedNote)?;
        if published.considered > index {
            let expected = format!("at most {index} entries considered");
            return Err(Fault::new(Check::FeedTotals, expected, published.considered));
        }
        if published.policy_version != policy.version {
            let expected = format!("policy version {}", policy.version);
            return Err(Fault::new(Check::PolicyVersion, expected, published.policy_version));
        }
        let rules = partner.changed_at.max(policy.since);
        partner.feed.check_owed(published.considered)?;
        partner.feed.check_rescan(published, rules)?;
        partner.feed.publish(head, published, at)
    }

    /// No entry of a feed may be left without a published head when a batch is closed.
    pub(super) fn check_published(&mut self) -> Result<(), Fault> {
        self.grown
            .drain(..)
            .filter_map(|agency| self.partners.get(&agency))
            .try_for_each(|partner| partner.feed.check_published())
    }

    pub(super) fn receive(
        &mut self,
        received: &pb::FeedReceived,
        own: &[Card],
    ) -> Result<(), Fault> {
        let fault = |expected: &dyn ToString, found: &dyn ToString| {
            Fault::new(Check::ReceivedFeed, expected.to_string(), found.to_string())
        };
        let partner = self.named(&received.partner)?;
        let log = &partner.logs(own)?.received;
        let (head, _) = log.receipted_head(&received.note, Check::ReceivedFeed)?;
        let edge = right_edge(head.size, &received.frontier)
            .ok_or_else(|| fault(&"the right edge of the feed's tree", &"other bytes"))?;
        if edge.root() != head.root {
            return Err(fault(&head.root, &edge.root()));
        }
        let came = partner.arriving.edge().head();
        if came != head {
            let expected = format!("the entries that came, {}", shown(came));
            return Err(fault(&expected, &shown(head)));
        }
        if let Some(before) = partner.received {
            let same = before == head;
            if head.size < before.size || (head.size == before.size && !same) {
                return Err(fault(&format!("a head above {}", shown(before)), &shown(head)));
            }
        }
        partner.received = Some(head);
        partner.received_exceptions = exceptions(
            Check::ReceivedFeed,
            partner.received_exceptions,
            received.exceptions.len(),
            received.exceptions_total,
        )?;
        Ok(())
    }

    pub(super) fn receipt(
        &mut self,
        receipt: &pb::ReceiptReceived,
        own: &[Card],
        entry: (u64, Timestamp),
        times: &mut SignedTimes,
    ) -> Result<(), Fault> {
        let partner = self.named(&receipt.partner)?;
        let published = &partner.logs(own)?.published;
        let (head, signed) = published.receipted_head(&receipt.note, Check::Receipt)?;
        let range = published.check_statement(receipt)?;
        let by = (head, partner.card.receipt, signed);
        let time = partner.feed.receipt(by, receipt, range, entry)?;
        times.take(&format!("{}/receipt", receipt.partner), time, entry)
    }

    /// Checks that every entry of a partner's feed was receipted in its own batch.
    pub(super) fn check_settled(&self) -> Result<(), Fault> {
        let waiting = self.partners.iter().find(|(_, partner)| partner.arriving.waits());
        let Some((agency, _)) = waiting else { return Ok(()) };
        let expected = format!("the receipt for the entries of the feed of {agency}");
        Err(Fault::new(Check::ReceivedFeed, expected, "none"))
    }

    /// Every receipt must come with statements of the exceptions up to its head.
    pub(super) fn check_accounted(&self) -> Result<(), Fault> {
        self.partners.values().try_for_each(|partner| partner.feed.check_accounted())
    }

    /// A partner holds less of our feed than it gave receipts for with keys that it gave up.
    pub(super) fn lose_receipt(
        &mut self,
        lost: &pb::ReceiptLost,
        own: &[Card],
    ) -> Result<(), Fault> {
        let partner = self.named(&lost.partner)?;
        if partner.card.generation == Generation::FIRST {
            let expected = "a partner whose logs were succeeded";
            return Err(Fault::new(Check::Receipt, expected, &lost.partner));
        }
        let (size, signed) = match &lost.note[..] {
            [] => (TreeSize::default(), None),
            note => {
                let log = &partner.logs(own)?.published;
                let (head, signed) = log.receipted_head(note, Check::Receipt)?;
                (head.size, Some((partner.card.receipt, signed)))
            }
        };
        if size.get() != lost.held {
            return Err(Fault::new(Check::Receipt, format!("{size} entries held"), lost.held));
        }
        partner.feed.lose_receipt(size, signed)
    }

    /// The present feed to a partner.
    pub(super) fn feed_to(&mut self, partner: &str) -> Result<&mut Feed, Fault> {
        self.named(partner).map(|partner| &mut partner.feed)
    }

    pub(super) fn remark(&self, remarks: &mut Vec<Remark>) {
        for (agency, partner) in &self.partners {
            if partner.while_inactive > 0 {
                let (partner, entries) = (agency.clone(), partner.while_inactive);
                remarks.push(Remark::DisclosedWhileInactive { partner, entries });
            }
            let feeds = partner.ended.iter().chain([&partner.feed]);
            for (orders, entry) in feeds.filter_map(|feed| feed.refused.contradicted) {
                let partner = agency.clone();
                remarks.push(Remark::ContradictedReceipt { partner, orders, entry });
            }
            if partner.identity_changed {
                remarks.push(Remark::PartnerIdentityChanged { partner: agency.clone() });
            }
        }
    }
}

fn right_edge(size: TreeSize, bytes: &[u8]) -> Option<Frontier> {
    let (hashes, rest) = bytes.as_chunks::<{ TreeHash::BYTES }>();
    let hashes = hashes.iter().copied().map(TreeHash::from_bytes).collect();
    rest.is_empty().then(|| Frontier::from_hashes(size, hashes).ok()).flatten()
}

/// Returns the originator of the record that an entry of a feed is about, if the record was accepted.
fn originator_of<'a>(
    entry: &pb::FeedEntry,
    holdings: &Holdings,
    policy: &'a InForce,
) -> Option<&'a AgencyName> {
    let id = RecordId::try_from(&entry.record_id[..]).ok()?;
    let (_, row) = holdings.find(&id)?;
    Some(&policy.facts.of(row.facts).originator)
}

fn stranger(name: &str) -> Fault {
    Fault::new(Check::Partner, "a partner in the journal", format!("{name:?}"))
}
