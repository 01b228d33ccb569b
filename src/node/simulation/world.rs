//! The world of a run: the nodes, the streams between them, the clock, and a fair network until nobody has anything
//! left to say.

use super::faults::Tails;
use super::injected::{Injected, after_look};
use super::machine::{Machine, SharedClock};
use super::notes::Masks;
use super::plain::Plain;
use super::policies::{Book, EDITIONS};
use super::reached::{Reached, Situation};
use super::reading::Reading;
use super::streams::{Link, way_of};
use super::{NODES, brake_of_run};
use crate::exchange::{FeedAction, Input};
use crate::ident::{Generation, RecordId, TreeHash, TreeSize};
use crate::node::disclosure::walk::{Looked, Setting, StepLimit, Walk, is_offer_due};
use crate::node::peers::answers::journal_size;
use crate::pb;
use crate::record::slots::SlotMask;
use crate::testkit::Random;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longer than what was refused waits for the next offer.
const LONG_MS: i64 = 8 * 24 * 3_600_000;

/// Rounds of a fair network after which nobody has anything left to say.
const ROUNDS_MAX: usize = 2_000;

/// Runs with erasures: one in so many.
const RUNS_WITH_ERASURES: u64 = 2;

pub(super) const PAIRS: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];

/// Slots by record and partner.
pub(super) type Given = BTreeMap<(RecordId, usize), SlotMask>;

pub(super) struct World<'a> {
    pub(super) random: Random,
    pub(super) clock: SharedClock,
    pub(super) book: &'static Book,
    pub(super) nodes: Vec<Machine>,
    /// The records of each node when it was read last.
    pub(super) readings: Vec<Option<Reading>>,
    /// The slots of records that each node was ever given, by the partner that did, as the checks read them last.
    pub(super) provenance: Vec<Given>,
    pub(super) links: BTreeMap<(usize, usize), Link>,
    pub(super) submitted: usize,
    /// In this run a node forges duties and lies about erasures. One that lost entries would not know what it
    /// gave.
    pub(super) hostile: Option<usize>,
    /// The hostile node denies nothing any more.
    pub(super) is_calm: bool,
    /// In this run a node is put back to an old copy of its directory.
    pub(super) restores: bool,
    /// The node that was.
    pub(super) restored: Option<usize>,
    pub(super) tails: Tails,
    /// In this run originators order erasures, and records are put under holds.
    pub(super) erases: bool,
    /// The slots that originators ever ordered erased.
    pub(super) ordered: Masks,
    /// In this run its logs are succeeded when it found out.
    pub(super) succeeds: bool,
    /// The roots that each witness cosigned of each log, by its generation.
    pub(super) cosigned: BTreeMap<(usize, usize, Generation), BTreeMap<TreeSize, TreeHash>>,
    /// The fault that every node makes, in a run that shows that the checks find it.
    pub(super) injected: Option<Injected>,
    pub(super) reached: &'a mut Reached,
}

impl<'a> World<'a> {
    pub(super) fn new(
        seed: u64,
        injected: Option<Injected>,
        book: &'static Book,
        reached: &'a mut Reached,
    ) -> Self {
        let (mut random, clock) = (Random(seed), SharedClock::new());
        let node = |own: usize| {
            let policy = (book, random.index(EDITIONS));
            Machine::new(own, policy, &clock, brake_of_run(seed))
        };
        let nodes = (0..NODES).map(node).collect();
        let restores = random.chance(2);
        Self {
            hostile: (!restores).then(|| random.index(NODES)),
            is_calm: false,
            restores,
            succeeds: !random.chance(8),
            random,
            clock,
            book,
            nodes,
            readings: (0..NODES).map(|_| None).collect(),
            provenance: vec![Given::new(); NODES],
            links: BTreeMap::new(),
            submitted: 0,
            restored: None,
            tails: Tails::of_run(seed),
            erases: seed.is_multiple_of(RUNS_WITH_ERASURES),
            ordered: Masks::new(),
            cosigned: BTreeMap::new(),
            injected,
            reached,
        }
    }
}

impl World<'_> {
    /// Reads what a node holds by now.
    pub(super) fn read(&mut self, own: usize) -> &Reading {
        let size = self.nodes[own].snapshot().size;
        let reading = match self.readings[own].take() {
            Some(reading) if reading.size == size => reading,
            before => self.nodes[own].reading(before),
        };
        self.readings[own].insert(reading)
    }

    /// The plain form of what a node may give a partner, by what was read of it last.
    pub(super) fn plain(&self, own: usize, partner: usize) -> Plain<'_> {
        let (node, reading) = (&self.nodes[own], self.readings[own].as_ref().unwrap());
        let is_told = |id: &&_| node.gave_to(partner, id).is_some();
        Plain {
            book: self.book,
            asked: self.book.asked(own, partner, &node.snapshot().state),
            reading,
            let_on: &node.notes.let_on,
            told: reading.records.keys().filter(is_told).copied().collect(),
            held_back: reading
                .records
                .keys()
                .filter(|id| node.holds_back(partner, id))
                .copied()
                .collect(),
            live: reading.records.keys().filter(|id| node.may_use(partner, id)).copied().collect(),
        }
    }

    /// One step of the walk for a partner: first it looks, another time it writes down what it found. Tells whether
    /// there was anything to look at.
    pub(super) fn publish(&mut self, own: usize, partner: usize) -> bool {
        let agency = self.book.agency(partner);
        if !self.nodes[own].may_sign() {
            return false;
        }
        self.offer_refused(own, partner);
        let is_connected = self.links.contains_key(&way_of(own, partner).0);
        let limit =
            StepLimit { live: 1 + self.random.below(40), rescan: 1 + self.random.below(60) };
        let node = &mut self.nodes[own];
        let view = Arc::clone(node.view());
        let (mut walk, looked) =
            node.walks.remove(&partner).unwrap_or_else(|| (Walk::new(&view, agency), None));
        if let Some(looked) = looked {
            let found = looked.found();
            let is_any = !found.is_empty();
            let actions = found.runs.iter().flat_map(|run| &run.entries).map(pb::FeedEntry::action);
            let taken_back = actions.filter(|action| *action == pb::FeedAction::Retract);
            let taken_back = taken_back.count();
            let (after, writing) = walk.take(looked, &view);
            let stands =
                writing.is_none_or(|mut writing| node.commit(|tx| Ok(writing.write(tx)?)).unwrap());
            if stands {
                walk.reached(after);
                self.reached.add(Situation::TakenBack, taken_back);
            } else {
                self.reached.once(Situation::StepOvertaken);
            }
            node.walks.insert(partner, (walk, None));
            if is_any && !self.is_calm && self.hostile == Some(own) && self.random.chance(2) {
                self.forge(own, partner);
            }
            self.announce(own, partner);
            return true;
        }
        let snapshot = view.snapshot();
        let rules = Arc::clone(&node.rules);
        let before = walk.under(rules.since(agency));
        let limits = node.limits.clone();
        let setting = Setting {
            view: &view,
            rules: &rules,
            limits: &limits,
            now: node.now(),
            is_connected,
            limit,
        };
        let looked = walk.next(&snapshot, &setting).map(|step| step.look().unwrap());
        let looked = looked.map(|looked| after_look(self.injected, looked));
        self.check_found(own, partner, looked.as_ref());
        let node = &mut self.nodes[own];
        let is_any = looked.is_some();
        let is_rescan = is_any && before.considered == snapshot.size;
        self.reached.add(Situation::RescanStep, usize::from(is_rescan));
        node.walks.insert(partner, (walk, looked));
        if !is_any {
            self.announce(own, partner);
        }
        is_any
    }

    /// Checks that a step shows what the plain form of policy allows at that time.
    fn check_found(&mut self, own: usize, partner: usize, looked: Option<&Looked>) {
        let runs = looked.into_iter().flat_map(|looked| &looked.found().runs);
        let entries = runs.flat_map(|run| &run.entries);
        let shown: Vec<_> =
            entries.filter(|entry| FeedAction::shows_record(entry.action())).collect();
        if shown.is_empty() {
            return;
        }
        self.read(own);
        let mut plain = self.plain(own, partner);
        let id = |entry: &pb::FeedEntry| RecordId::try_from(&entry.record_id[..]).unwrap();
        // The entries of a step stand on one another.
        plain.told.extend(shown.iter().map(|entry| id(entry)));
        plain.live.extend(shown.iter().map(|entry| id(entry)));
        for entry in shown {
            let record = id(entry);
            let slots = SlotMask::from_bits(entry.open_slots);
            let is_allowed = plain.to_send(&record, slots).is_some();
            let what = || format!("{own} shows {record} to {partner}, which policy does not allow");
            assert!(is_allowed, "{}\n{}", what(), self.describe(own, partner));
        }
    }

    /// Offers again what a partner refused, if that is due.
    fn offer_refused(&mut self, own: usize, partner: usize) {
        let agency = self.book.agency(partner);
        let node = &mut self.nodes[own];
        let snapshot = node.snapshot();
        let acceptance = node.acceptance.get(&partner).copied().unwrap_or_default();
        let known = &snapshot.state.partners[agency];
        if is_offer_due(node.view(), known, acceptance, node.now()).unwrap() {
            node.commit(|tx| Ok(tx.offer_refused(agency, acceptance)?)).unwrap();
            self.reached.once(Situation::OfferedAgain);
        }
    }

    /// Notifies the stream, if there is one, that feed and journal grew.
    pub(super) fn announce(&mut self, own: usize, partner: usize) {
        let snapshot = self.nodes[own].snapshot();
        let published = snapshot.state.partners[self.book.agency(partner)].published.size;
        let way = way_of(own, partner);
        self.input(way, Input::Published(TreeSize::new(published)));
        self.input(way, Input::Journal(journal_size(&snapshot)));
    }

    /// A fair network, until nobody has anything left to say.
    pub(super) fn quiesce(&mut self) {
        self.meet();
        // What was refused is offered again now and then, and what was denied is by then.
        self.is_calm = true;
        self.clock.go_on(LONG_MS);
        self.until_quiet();
    }

    /// A fair network until all is quiet, where everybody takes the newest card of everybody. A node that could ask only a partner whose logs were succeeded
    /// since is started by an administrator to go on all the same.
    pub(super) fn meet(&mut self) {
        let is_spoilt = |link: &Link| link.is_tampered || link.is_draining;
        let spoilt = self.links.iter().filter(|(_, link)| is_spoilt(link)).map(|(pair, _)| *pair);
        spoilt.collect::<Vec<_>>().into_iter().for_each(|pair| self.cut(pair));
        loop {
            self.succeed_and_accept_all();
            self.until_quiet();
            let sound: Vec<_> = (0..NODES).filter(|own| !self.nodes[*own].is_behind).collect();
            let waits = |own: &&usize| !self.nodes[**own].may_sign();
            let is_sound =
                |pair: &(usize, usize)| sound.contains(&pair.0) && sound.contains(&pair.1);
            if let Some(own) = sound.iter().find(waits) {
                self.nodes[*own].go_on_unanswered();
                self.reached.once(Situation::StartedUnanswered);
            } else if PAIRS.into_iter().filter(is_sound).all(|pair| self.know_each_other(pair)) {
                return;
            }
        }
    }

    /// Returns false if one of the two would refuse the other, because it did not accept its newest card.
    fn know_each_other(&self, pair: (usize, usize)) -> bool {
        [pair, (pair.1, pair.0)].into_iter().all(|(own, partner)| {
            let is_open = self.nodes[own].is_open();
            is_open
                && self.nodes[own].generation_of(partner) == self.nodes[partner].agency.generation
        })
    }

    fn until_quiet(&mut self) {
        let (mut is_busy, mut rounds) = (true, 0);
        while is_busy {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "the nodes never settle");
            is_busy = false;
            for pair in PAIRS {
                if self.know_each_other(pair) {
                    self.connect(pair);
                }
                for (own, partner) in [pair, (pair.1, pair.0)] {
                    is_busy |= self.publish(own, partner);
                }
                for side in [0, 1] {
                    while self.deliver((pair, side)) || self.work((pair, side)) {
                        is_busy = true;
                    }
                }
            }
            if !is_busy {
                for own in 0..NODES {
                    is_busy |= self.nodes[own].may_sign() && self.decide_all(own);
                }
            }
        }
    }

    pub(super) fn drain(&mut self) {
        for pair in PAIRS {
            let first = self.random.index(2);
            self.begin_drain((pair, first));
            let mut moved = true;
            while moved {
                moved = self.deliver((pair, 0)) | self.deliver((pair, 1));
                moved |= self.work((pair, 0)) | self.work((pair, 1));
            }
        }
        assert!(self.links.is_empty(), "every stream ended in good order");
    }
}
