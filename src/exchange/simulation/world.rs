//! All nodes with what people change at them: submissions, policies, agreements; and a fair network until
//! nobody has anything left to say.

use std::collections::BTreeMap;

use super::checks::Reached;
use super::erasures::RUNS_WITH_ERASURES;
use super::injected::Injected;
use super::node::{Masks, Node, Noted, Records, State};
use super::policies::{Asked, Book, EDITIONS, FACTS};
use super::relation::Relation;
use super::streams::Link;
use super::tail::Tails;
use super::{NODES, RECORDS, Random};
use crate::exchange::ConsentRegister;
use crate::exchange::fixture::{Agency, Feed, Ring, start_of_day};
use crate::ident::{Generation, Timestamp, TreeHash, TreeSize};
use crate::merkle::Frontier;
use crate::record::signed::VerifiedRoots;
/// Longer than what was refused waits for the next offer.
const LONG_MS: i64 = 8 * 24 * 3_600_000;

/// Rounds of a fair network after which nobody has anything left to say.
const ROUNDS_MAX: usize = 10_000;

pub(super) const PAIRS: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];

pub(super) struct World<'a> {
    pub(super) random: Random,
    pub(super) now: Timestamp,
    pub(super) book: &'a mut Book,
    pub(super) ring: Ring,
    pub(super) nodes: Vec<Node>,
    pub(super) links: BTreeMap<(usize, usize), Link>,
    pub(super) submitted: usize,
    /// In this run a node forges duties and lies about erasures. One that lost entries would not know what it
    /// gave.
    pub(super) hostile: Option<usize>,
    /// The hostile node denies nothing any more.
    pub(super) is_calm: bool,
    /// In this run a node is put back to an old copy of its state.
    pub(super) restores: bool,
    /// The node that was.
    pub(super) restored: Option<usize>,
    pub(super) tails: Tails,
    /// In this run originators order erasures, and records are put under holds.
    pub(super) erases: bool,
    /// For the checks: the slots that originators ever ordered erased.
    pub(super) ordered: Masks,
    /// In this run its logs are succeeded when it found out.
    pub(super) succeeds: bool,
    /// The roots that each witness cosigned of each log, by its generation.
    pub(super) cosigned: BTreeMap<(usize, usize, Generation), BTreeMap<TreeSize, TreeHash>>,
    pub(super) reached: &'a mut Reached,
}

impl<'a> World<'a> {
    pub(super) fn new(
        seed: u64,
        injected: Option<Injected>,
        book: &'a mut Book,
        reached: &'a mut Reached,
    ) -> Self {
        let mut random = Random(seed);
        let agencies = super::agencies();
        let ring = Ring::of(&agencies);
        let relations: Vec<BTreeMap<usize, Relation>> = (0..NODES)
            .map(|own| {
                let partners = (0..NODES).filter(|partner| *partner != own);
                let feed = |partner: usize| Feed::new(&agencies[own], &agencies[partner]);
                let relation = |to: usize| Relation::new(agencies[to].side(), feed(to));
                partners.map(|partner| (partner, relation(partner))).collect()
            })
            .collect();
        let node = |(agency, relations): (Agency, _)| Node {
            state: State {
                own: agency.name.clone(),
                edition: random.below(EDITIONS),
                policy_at: 0,
                records: Records::new(),
                given: BTreeMap::new(),
                provenance: BTreeMap::new(),
                erased: Masks::new(),
                marked: Masks::new(),
                journal: vec![Noted::Rules],
                accepted: Vec::new(),
                relations,
                submitted: Vec::new(),
                restricted: BTreeMap::new(),
                waiting: BTreeMap::new(),
                deferred: Vec::new(),
                dealings: ConsentRegister::default(),
                let_on: BTreeMap::new(),
                leaves: Vec::new(),
                roots: Vec::new(),
                edge: Frontier::new(),
                substance: 0,
                injected,
            },
            agency,
            life: 0,
            roots: VerifiedRoots::default(),
            progress: BTreeMap::new(),
            marks_opened: 0,
            claims_opened: 0,
            copy: None,
            is_behind: false,
        };
        let nodes = agencies.into_iter().zip(relations).map(node).collect();
        let restores = random.chance(2);
        Self {
            hostile: (!restores).then(|| random.below(NODES)),
            is_calm: false,
            restores,
            succeeds: !random.chance(8),
            random,
            now: start_of_day(),
            book,
            ring,
            nodes,
            links: BTreeMap::new(),
            submitted: 0,
            restored: None,
            tails: Tails::of_run(seed),
            erases: seed.is_multiple_of(RUNS_WITH_ERASURES),
            ordered: Masks::new(),
            cosigned: BTreeMap::new(),
            reached,
        }
    }
}

impl World<'_> {
    pub(super) fn asked(&self, own: usize, partner: usize) -> Asked {
        let state = &self.nodes[own].state;
        let facts = state.relations[&partner].facts;
        Asked { own, edition: state.edition, partner, facts }
    }

    /// Agrees something else with a partner.
    pub(super) fn change_partner(&mut self, own: usize, partner: usize) {
        let node = &mut self.nodes[own];
        let at = node.state.journal.len();
        let relation = node.state.relations.get_mut(&partner).unwrap();
        relation.facts = (relation.facts + 1) % FACTS;
        relation.changed_at = at;
        relation.rules_changed += 1;
        node.say(Noted::Rules);
        self.tell_acceptance((own.min(partner), own.max(partner)));
        self.follow_rosters(own);
    }

    /// Puts another policy in force, wider or narrower.
    pub(super) fn change_policy(&mut self, own: usize) {
        let node = &mut self.nodes[own];
        node.state.edition = (node.state.edition + 1 + self.random.below(EDITIONS - 1)) % EDITIONS;
        node.state.policy_at = node.state.journal.len();
        node.say(Noted::Rules);
        for relation in node.state.relations.values_mut() {
            relation.rules_changed += 1;
        }
        PAIRS
            .into_iter()
            .filter(|pair| pair.0 == own || pair.1 == own)
            .for_each(|pair| self.tell_acceptance(pair));
    }

    /// Some nodes put another policy in force.
    pub(super) fn change_policies(&mut self) {
        for own in 0..NODES {
            if !self.nodes[own].is_behind && self.random.chance(2) {
                self.change_policy(own);
            }
        }
    }

    pub(super) fn submit(&mut self, own: usize) {
        if self.submitted < RECORDS {
            self.submitted += 1;
            self.nodes[own].submit(&mut self.random);
        }
    }

    /// A fair network, until nobody has anything left to say.
    pub(super) fn quiesce(&mut self) {
        let spoilt = |link: &Link| link.tampered || link.draining;
        let spoilt: Vec<_> =
            self.links.iter().filter(|(_, link)| spoilt(link)).map(|(pair, _)| *pair).collect();
        spoilt.into_iter().for_each(|pair| self.cut(pair));
        self.succeed_and_accept_all();
        self.until_quiet();
        // What was refused is offered again now and then, and what was denied is by then.
        self.is_calm = true;
        self.now = self.now.plus_ms(LONG_MS);
        self.until_quiet();
    }

    fn until_quiet(&mut self) {
        let (mut busy, mut rounds) = (true, 0);
        while busy {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "the nodes never settle");
            busy = false;
            for pair in PAIRS {
                self.connect(pair);
                for (own, partner) in [pair, (pair.1, pair.0)] {
                    busy |= !self.nodes[own].is_behind && self.publish(own, partner);
                }
                for side in [0, 1] {
                    while self.deliver(pair, side) || self.work(pair, side) {
                        busy = true;
                    }
                }
            }
        }
    }
}
