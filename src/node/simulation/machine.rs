//! A node of the simulation: a directory with a real journal, the rules in force, the walk for each partner.
//!
//! Everything that it does is a job of the journal's writer, by the functions of a real node; the writer runs on
//! the thread of the caller. It knows no stream.

use super::notes::Notes;
use super::policies::Book;
use super::{NODES, PAUSE_OF_WITNESS_MS};
use crate::exchange::{Pair, Standing};
use crate::ident::{AgencyName, Generation, Timestamp, TreeSize};
use crate::journal::JournalError;
use crate::journal::gate::{self, Gate};
use crate::journal::ids::PartnerNumber;
use crate::journal::open::{self, JournalOptions};
use crate::journal::transaction::Transaction;
use crate::journal::view::{Snapshot, View};
use crate::journal::writer::{CallerWriter, Clock};
use crate::node::commit::unless_refused;
use crate::node::config;
use crate::node::disclosure::walk::{Looked, Walk};
use crate::node::error::NodeError;
use crate::node::peers::answers;
use crate::node::peers::pair::pair_with;
use crate::node::policies::rules::Rules;
use crate::node::rollback_guard::RollbackGuard;
use crate::node::submission::record_signer::RecordSigner;
use crate::pb::{self, journal_entry::Event};
use crate::policy::BrakeLimits;
use crate::store::{EngineKind, UnsyncedDisk};
use crate::testkit::{self, Agency, Pairs, assert_same_index, pairs};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

/// The signed cards of the agencies as they begin.
static CARDS: LazyLock<Vec<pb::SignedCard>> =
    LazyLock::new(|| (0..NODES).map(|node| agency(node).card().signed().clone()).collect());

pub(super) fn agency(node: usize) -> Agency {
    Agency::new(node as u8 + 1)
}

/// The number under which every node knows another.
pub(super) const fn number(node: usize) -> PartnerNumber {
    PartnerNumber::new(node as u16 + 1)
}

/// The one clock of all nodes.
#[derive(Clone)]
pub(super) struct SharedClock(Arc<AtomicI64>);

impl SharedClock {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(testkit::NOW_MS)))
    }

    pub(super) fn now(&self) -> Timestamp {
        testkit::time(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn go_on(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn of_writer(&self) -> Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

/// A copy of a node that somebody kept.
pub(super) struct Copy {
    pub(super) home: tempfile::TempDir,
    pub(super) notes: Notes,
    /// Entries of its journal.
    pub(super) size: u64,
    /// Entries of each partner's feed that it holds.
    pub(super) received: BTreeMap<usize, TreeSize>,
}

pub(super) struct Machine {
    pub(super) own: usize,
    pub(super) agency: Agency,
    pub(super) signer: RecordSigner,
    pub(super) notes: Notes,
    pub(super) limits: BrakeLimits,
    pub(super) rules: Arc<Rules>,
    /// The walk for each partner, with what a step found that is not written down yet; lost in a crash.
    pub(super) walks: BTreeMap<usize, (Walk, Option<Looked>)>,
    /// The number of changes of each partner's rules of acceptance, as far as known; lost in a crash.
    pub(super) acceptance: BTreeMap<usize, u64>,
    pub(super) copy: Option<Copy>,
    /// It found out that it runs on an old copy, or does not start, and does nothing more.
    pub(super) is_behind: bool,
    /// Its logs cannot be succeeded.
    pub(super) signed_two_histories: bool,
    /// Since its last start it signs nothing before a partner says that it misses nothing.
    gate: Gate,
    pub(super) guard: Option<Arc<RollbackGuard>>,
    /// The hello of each partner that showed it.
    pub(super) shown: BTreeMap<usize, pb::Hello>,
    book: &'static Book,
    clock: SharedClock,
    home: tempfile::TempDir,
    writer: Option<CallerWriter>,
}

fn new_home() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { builder.tempdir() }.unwrap()
}

impl Machine {
    /// Begins a node that knows all others, with a policy in force.
    pub(super) fn new(
        own: usize,
        (book, edition): (&'static Book, usize),
        clock: &SharedClock,
        limits: BrakeLimits,
    ) -> Self {
        let agency = agency(own);
        let home = new_home();
        let first = |tx: &mut Transaction<'_>| {
            tx.append(open::genesis(&agency.name))?;
            let card = Some(CARDS[own].clone());
            tx.append(Event::CardIssued(pb::CardIssued { card }))?;
            for partner in (0..NODES).filter(|partner| *partner != own) {
                tx.append(Event::PartnerChanged(pb::PartnerChanged {
                    agency: book.agency(partner).to_string(),
                    number: u32::from(number(partner).get()),
                    state: pb::PartnerState::Active.into(),
                    card: Some(CARDS[partner].clone()),
                    facts: Some(book.facts(partner, 0).clone()),
                    ..pb::PartnerChanged::default()
                }))?;
            }
            tx.append(policy_applied(tx, book, (own, edition))).map(drop)
        };
        let options = options(home.path());
        open::begin(&options, agency.signing(), clock.of_writer(), first).unwrap();
        let signer = RecordSigner::of(agency.record_key.clone(), agency.key_id());
        let (writer, _) = open::open_here(&options, agency.signing(), clock.of_writer()).unwrap();
        let rules = Arc::new(book.rules(own, &writer.view().snapshot().state));
        Self {
            own,
            agency,
            signer,
            notes: Notes::default(),
            limits,
            rules,
            walks: BTreeMap::new(),
            acceptance: BTreeMap::new(),
            copy: None,
            is_behind: false,
            signed_two_histories: false,
            gate: Gate::default(),
            guard: None,
            shown: BTreeMap::new(),
            book,
            clock: clock.clone(),
            home,
            writer: Some(writer),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        self.home.path()
    }

    pub(super) const fn book(&self) -> &'static Book {
        self.book
    }

    pub(super) fn name(&self) -> &AgencyName {
        self.book.agency(self.own)
    }

    pub(super) fn agency_of(&self, partner: usize) -> &AgencyName {
        self.book.agency(partner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns true if it may sign something now.
    pub(super) fn may_sign(&self) -> bool {
        !self.is_behind && self.gate.standing() == gate::Standing::Open
    }

    /// Goes on although no partner answered, as an administrator may have it start.
    pub(super) fn go_on_unanswered(&self) {
        self.gate.open();
    }

    /// Returns true if its journal is open. It is not where the segments lost their tail.
    pub(super) const fn is_open(&self) -> bool {
        self.writer.is_some()
    }

    pub(super) fn view(&self) -> &Arc<View> {
        self.writer.as_ref().unwrap().view()
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.view().snapshot()
    }

    /// Runs a job and makes durable what it staged; loads the rules anew if it changed them.
    pub(super) fn commit<T>(
        &mut self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let writer = self.writer.as_mut().unwrap();
        let done = writer.commit(unless_refused(job))?;
        writer.view().index().flush().map_err(JournalError::from)?;
        let state = &writer.view().snapshot().state;
        let since = |agency: &AgencyName| self.rules.since(agency) == state.rules_since(agency);
        if self.rules.version != state.policy_version() || !state.partners.keys().all(since) {
            self.rules = Arc::new(self.book.rules(self.own, state));
        }
        done
    }

    /// Looks something up as a job of the writer does.
    pub(super) fn look_up<T>(
        &mut self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, JournalError>,
    ) -> T {
        self.writer.as_mut().unwrap().commit(|tx| job(tx)).unwrap()
    }

    /// The generation of a partner's logs on its card that was accepted here.
    pub(super) fn generation_of(&self, partner: usize) -> Generation {
        self.snapshot().state.partners[self.agency_of(partner)].card.card().generation
    }

    pub(super) fn pair(&self, partner: usize) -> Pair {
        pair_with(self.view(), self.name(), self.book.agency(partner)).unwrap()
    }

    pub(super) fn standing(&self, partner: usize, pair: &Pair) -> Standing {
        let (snapshot, agency) = (self.snapshot(), self.book.agency(partner));
        let known = &snapshot.state.partners[agency];
        let (keys, time) = ((pair, &self.agency.receipts), (self.now(), PAUSE_OF_WITNESS_MS));
        answers::standing(&snapshot, (agency, known), keys, time)
    }

    /// The pairs of its index, for a comparison with an index made anew.
    pub(super) fn index(&self) -> Pairs {
        pairs(self.view().index())
    }

    /// Stops dead. What was durable stays, and so may a part of a batch that nobody was told of.
    pub(super) fn stop(&mut self, torn: &[u8]) {
        self.forget();
        self.writer = None;
        let last = last_segment(self.home.path());
        let bytes = std::fs::read(&last).unwrap();
        std::fs::write(&last, [&bytes[..], torn].concat()).unwrap();
    }

    /// Forgets what is not durable.
    pub(super) fn forget(&mut self) {
        self.walks.clear();
        self.acceptance.clear();
    }

    /// Starts it; returns the torn bytes that were cut off. `None`: its segments lost their tail, and it does not start.
    pub(super) fn start(&mut self) -> Option<u64> {
        let options = options(self.home.path());
        let opened = open::open_here(&options, self.agency.signing(), self.clock.of_writer());
        let (writer, report) = match opened {
            Ok(opened) => opened,
            Err(JournalError::Lost(_)) => return None,
            Err(error) => panic!("{}: {error}", self.name()),
        };
        self.rules = Arc::new(self.book.rules(self.own, &writer.view().snapshot().state));
        self.gate = Gate::default();
        let state = &writer.view().snapshot().state;
        let (gate, dir) = (self.gate.clone(), self.home.path().to_owned());
        self.guard = Some(RollbackGuard::new(gate, state, &config::RollbackGuard::default(), dir));
        self.writer = Some(writer);
        Some(report.torn_bytes)
    }

    /// Stops and starts; its index is made anew, and must be that of before.
    pub(super) fn restart(&mut self, torn: &[u8]) -> u64 {
        let live = self.index();
        self.stop(torn);
        let cut = self.start().unwrap();
        assert_same_index(&live, &self.index());
        cut
    }

    /// Copies everything that it keeps.
    pub(super) fn keep_copy(&mut self) {
        let (home, notes) = (new_home(), self.notes.clone());
        testkit::copy(self.home.path(), home.path());
        let (snapshot, own) = (self.snapshot(), self.own);
        let received = (0..NODES).filter(|partner| *partner != own).map(|partner| {
            let known = &snapshot.state.partners[self.agency_of(partner)];
            (partner, known.received.frontier.size())
        });
        let received = received.collect();
        self.copy = Some(Copy { home, notes, size: snapshot.size, received });
    }

    /// Is put back to a copy, which stopped it.
    pub(super) fn restore(&mut self, copy: Copy) {
        self.stop(&[]);
        self.home = copy.home;
        self.notes = copy.notes;
        assert_eq!(self.start(), Some(0), "a whole copy starts");
    }

    /// Loses the tail of its segments since a copy; what is written after them stays.
    pub(super) fn lose_tail(&mut self, copy: Copy) {
        self.stop(&[]);
        self.notes = copy.notes;
        let segments = self.home.path().join("segments");
        std::fs::remove_dir_all(&segments).unwrap();
        testkit::copy(&copy.home.path().join("segments"), &segments);
    }

    /// Removes every file that is written after the segments.
    pub(super) fn remove_derived(&self) {
        for path in std::fs::read_dir(self.home.path()).unwrap().map(|entry| entry.unwrap().path())
        {
            let derived = path.extension().is_some_and(|ending| ending == "leaves");
            if derived || path.file_name().is_some_and(|name| name == "loss") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// Opens the journal under keys of the next generation, whatever it lost; returns the entries that it lost at least.
    pub(super) fn open_for_succession(&mut self) -> u64 {
        self.writer = None;
        let options = options(self.home.path());
        let (signing, clock) = (self.agency.signing(), self.clock.of_writer());
        let (writer, loss) = open::open_here_after_loss(&options, signing, clock).unwrap();
        self.writer = Some(writer);
        self.gate = Gate::default();
        loss.map_or(0, |loss| loss.recorded)
    }
}

fn options(home: &Path) -> JournalOptions {
    let mut options = JournalOptions::new(home, EngineKind::Memory);
    options.segments.disk = Arc::new(UnsyncedDisk);
    options
}

fn last_segment(home: &Path) -> PathBuf {
    let segments = std::fs::read_dir(home.join("segments")).unwrap();
    segments.map(|entry| entry.unwrap().path()).max().unwrap()
}

/// The entry that puts a policy in force.
pub(super) fn policy_applied(
    tx: &Transaction<'_>,
    book: &Book,
    (own, edition): (usize, usize),
) -> Event {
    let hash = book.bundle_hash(own, edition);
    Event::PolicyApplied(pb::PolicyApplied {
        version: tx.state().policy_version().get() + 1,
        bundle_hash: Bytes::copy_from_slice(hash.as_bytes()),
        ..pb::PolicyApplied::default()
    })
}
