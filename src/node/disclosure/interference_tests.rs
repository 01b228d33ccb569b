//! Records that a partner may not see have no influence on what it gets.
//!
//! Two journals are told the same story, but for records that the partner may not see under any
//! policy of it, which one of them has, and for what such a record says where it revises one that is
//! shown: that takes the series back, whatever it says. Everything that the exchange gives the partner about records
//! is compared byte by byte: the entries of its feed with the newest signed head, and every envelope.
//! A hello holds nothing else of them than that head. Clock, keys and salts are fixed. Two things are
//! of another nature and left out: where the heads before the newest stand, which depends on what was
//! committed together, and the checkpoints of the whole journal that are shown to a partner as a
//! witness. Of the HTTP port there is nothing to compare: it answers about other logs alone.

use super::Discloser;
use super::loading::load_batch;
use super::walk::{Looked, Setting, StepLimit, Walk};
use crate::ident::{RecordId, SeriesId};
use crate::journal::JournalError;
use crate::journal::ids::FeedNumber;
use crate::journal::index::Marks;
use crate::journal::progress::Progress;
use crate::journal::transaction::Transaction;
use crate::node::policies::rules::Rules;
use crate::pb::{self, draft::Content, journal_entry::Event};
use crate::policy::{BrakeLimits, Bundle, Compiled, PolicyHour, Vocabulary};
use crate::record::draft::{Draft, Place};
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::store::{UnsyncedDisk, flip_byte_of_frame};
use crate::testkit::{
    self, Agency, Random, TestJournal, now, own, partner, partner_changed, secret,
};
use bytes::Bytes;
use std::sync::{Arc, LazyLock};

/// A policy under which nothing is shared.
pub(in crate::node) const NOTHING: usize = 4;

const SEEDS: u64 = 8;
const STEPS: usize = 40;
/// Steps between two comparisons.
const COMPARED_EVERY: usize = 5;

/// The policies for the partner in turn; none shows it a record that is labelled `hidden`.
const POLICIES: [(&str, &[&str]); 5] = [
    (r#"resource.labels.contains("shared")"#, &["links"]),
    (r#"resource.labels.contains("shared") && resource.confidence >= 50"#, &["links", "notes"]),
    (r#"resource.labels.contains("shared") && principal.client"#, &["links"]),
    (r#"resource.labels.contains("shared")"#, &[]),
    ("resource.confidence >= 101", &[]),
];

static BUNDLES: LazyLock<Vec<Arc<Bundle>>> =
    LazyLock::new(|| POLICIES.iter().map(|(when, classes)| bundle(when, classes)).collect());

fn bundle(when: &str, classes: &[&str]) -> Arc<Bundle> {
    let mut text = testkit::permit("share", "share", when);
    for class in classes {
        text += &testkit::permit(class, &format!("reveal:{class}"), "resource.confidence >= 0");
    }
    let files = [("10.cedar".to_owned(), text)];
    Arc::new(Bundle::load(files, &Vocabulary::default()).unwrap())
}

/// A draft that a policy shares or not by this label.
pub(super) fn labelled(content: Content, label: &str) -> pb::Draft {
    pb::Draft { labels: vec![label.to_owned()], confidence: 80, ..testkit::draft(content) }
}

/// One of the two journals.
pub(in crate::node) struct Store {
    pub(in crate::node) journal: TestJournal,
    own: Agency,
    policy: usize,
    /// With the entry from which its rules hold.
    discloser: Option<(u64, Discloser)>,
}

impl Store {
    pub(in crate::node) fn new() -> Self {
        let journal = TestJournal::with(|options| options.segments.disk = Arc::new(UnsyncedDisk));
        Self { journal, own: Agency::own(), policy: 0, discloser: None }
    }

    /// Stops, lets something happen to the directory, and starts.
    pub(in crate::node) fn started_anew(self, meanwhile: impl FnOnce(&std::path::Path)) -> Self {
        let Self { journal, discloser, .. } = self;
        drop(discloser);
        Self { journal: journal.restarted(meanwhile), discloser: None, ..self }
    }

    pub(in crate::node) fn commit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> T {
        self.journal.commit(job)
    }

    pub(in crate::node) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.journal.run(work)
    }

    pub(in crate::node) fn change_partner(&self, client: bool) {
        let facts = pb::PartnerFacts {
            client,
            sector: pb::Sector::Police.into(),
            country: "JP".to_owned(),
            ..pb::PartnerFacts::default()
        };
        let changed = partner_changed(&Agency::partner(), 1, pb::PartnerState::Active);
        let changed =
            pb::PartnerChanged { facts: Some(facts), client: "admin".to_owned(), ..changed };
        self.journal.append(Event::PartnerChanged(changed));
    }

    pub(super) fn apply_policy(&mut self, number: usize) {
        self.policy = number;
        let hash = BUNDLES[number].hash();
        self.commit(move |tx| {
            let applied = pb::PolicyApplied {
                version: tx.state().policy_version().get() + 1,
                bundle_hash: Bytes::copy_from_slice(hash.as_bytes()),
                ..pb::PolicyApplied::default()
            };
            tx.append(Event::PolicyApplied(applied)).map(drop)
        });
    }

    pub(in crate::node) fn accept(&self, record: &Verified) {
        self.journal.accept(record);
    }

    /// The rules under one of the policies.
    pub(in crate::node) fn rules(&self, policy: usize) -> Arc<Rules> {
        let state = Arc::clone(&self.journal.view().snapshot().state);
        let bundle = Arc::clone(&BUNDLES[policy]);
        let compiled = Compiled::new(bundle, own(), []);
        Arc::new(Rules::compile(&state, &compiled, Vec::new(), None).unwrap())
    }

    /// Signs a draft as the first of its series and accepts it.
    pub(in crate::node) fn accept_draft(&self, draft: Draft) -> RecordId {
        let record = self.own.first(draft);
        self.accept(&record);
        record.id()
    }

    /// The discloser of before, unless rules are others now.
    pub(in crate::node) fn take_discloser(&mut self) -> (u64, Discloser) {
        let state = Arc::clone(&self.journal.view().snapshot().state);
        let since = state.rules_since(&partner());
        let held = self.discloser.take().filter(|(of, _)| *of == since);
        held.unwrap_or_else(|| {
            let rules = self.rules(self.policy).for_partner(&partner()).unwrap();
            let (policy_hour, limits) = (PolicyHour::at(now()), BrakeLimits::default());
            let discloser =
                Discloser::new(self.journal.view(), rules, &partner(), policy_hour, limits);
            (since, discloser.unwrap())
        })
    }

    /// Walks the journal for the partner until there is nothing left, in steps of so many entries.
    pub(super) fn bring_up(&mut self, step: u64) {
        let mut walk = Walk::new(self.journal.view(), &partner());
        while let Some(looked) = self.look(&mut walk, step) {
            self.write(&mut walk, looked);
        }
    }

    /// Looks at up to so many entries; `None` if there is nothing to look at.
    pub(super) fn look(&self, walk: &mut Walk, step: u64) -> Option<Looked> {
        let (limits, snapshot) = (BrakeLimits::default(), self.journal.view().snapshot());
        walk.under(snapshot.state.rules_since(&partner()));
        let setting = Setting {
            view: self.journal.view(),
            rules: &self.rules(self.policy),
            limits: &limits,
            now: now(),
            is_connected: false,
            limit: StepLimit { live: step, rescan: step },
        };
        walk.next(&snapshot, &setting).map(|step| step.look().unwrap())
    }

    /// Writes down what a step found.
    pub(super) fn write(&self, walk: &mut Walk, looked: Looked) {
        let (after, writing) = walk.take(looked, self.journal.view());
        if let Some(mut writing) = writing {
            assert!(self.commit(move |tx| writing.write(tx)), "its basis stands");
        }
        walk.reached(after);
    }

    pub(in crate::node) fn written(&self) -> Progress {
        let snapshot = self.journal.view().snapshot();
        snapshot.state.partners[&partner()].published.progress
    }

    /// Everything that the partner is sent of the feed from its beginning, and its newest head.
    pub(super) fn sent(&mut self) -> (Vec<Bytes>, Vec<pb::Envelope>, Bytes) {
        let snapshot = self.journal.view().snapshot();
        let published = &snapshot.state.partners[&partner()].published;
        let (mut entries, mut envelopes) = (Vec::new(), Vec::new());
        let (since, mut discloser) = self.take_discloser();
        while (entries.len() as u64) < published.size {
            let (number, from) = (FeedNumber::new(1), entries.len() as u64);
            let (batch, ..) =
                load_batch(self.journal.view(), number, &mut discloser, from..u64::MAX).unwrap();
            entries.extend(batch.entries);
            envelopes.extend(batch.envelopes);
        }
        self.discloser = Some((since, discloser));
        (entries, envelopes, published.note.clone())
    }
}

/// A journal with so many records that a partner may have, the entries of some of them damaged; and what mends
/// them between two starts.
pub(in crate::node) fn with_damage(
    records: u8,
    damaged: &[usize],
) -> (Store, impl Fn(&std::path::Path) + use<>) {
    let store = Store::new();
    store.change_partner(false);
    let draft = |number| super::damage_tests::draft(number, "shared");
    let ids: Vec<_> = (0..records).map(|n| store.accept_draft(draft(n.into()))).collect();
    let view = store.journal.view();
    let position = |at: &usize| {
        let place = view.place(&ids[*at]).unwrap().unwrap();
        view.journal().position(place.journal_index).unwrap()
    };
    let positions: Vec<_> = damaged.iter().map(position).collect();
    // A start reads what the index lacks, which is the last batch.
    store.change_partner(false);
    let flip = move |dir: &std::path::Path| {
        positions.iter().for_each(|position| flip_byte_of_frame(dir, *position));
    };
    let store = store.started_anew(&flip);
    (store, flip)
}

/// The story.
pub(super) struct Story {
    random: Random,
    own: Agency,
    partner: Agency,
    /// The newest revision of each series, and what the partner may see of it.
    series: Vec<(Arc<Verified>, pb::Draft, Shows)>,
    pub(super) with: Store,
    without: Store,
    shown: usize,
    retracted: usize,
    /// Series whose newest revision is another one in each journal.
    parted: usize,
}

/// The part of a series that the partner may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Shown,
    /// Older revisions are shown, and the newest is not.
    Hidden,
    /// Nothing ever, and one journal alone has it.
    Never,
}

/// A hidden revision in which everything is another than in this one.
fn other_than(draft: pb::Draft) -> Draft {
    let agencies = vec![own().to_string()];
    let marking = pb::Marking {
        tlp: pb::Tlp::Red.into(),
        pap: pb::Pap::Red.into(),
        releasable_to: Some(pb::AgencyList { agencies }),
        orcon: true,
        caveat: "by hand alone".to_owned(),
        expires_at_ms: now().unix_ms() as u64 - 1,
        ..pb::Marking::default()
    };
    let draft = pb::Draft {
        marking: Some(marking),
        labels: vec!["hidden".to_owned(), "raid".to_owned()],
        operation: "chakra".to_owned(),
        confidence: 100 - draft.confidence,
        ..draft
    };
    Draft::try_from(draft).unwrap()
}

impl Story {
    pub(super) fn new(seed: u64) -> Self {
        let (with, without) = (Store::new(), Store::new());
        let mut story = Self {
            random: Random(seed),
            own: Agency::own(),
            partner: Agency::partner(),
            series: Vec::new(),
            with,
            without,
            shown: 0,
            retracted: 0,
            parted: 0,
        };
        for store in [&mut story.with, &mut story.without] {
            store.change_partner(false);
            store.apply_policy(0);
        }
        story
    }

    pub(super) fn sign(&self, draft: Draft, place: Place) -> Arc<Verified> {
        Arc::new(self.own.sign(draft, place))
    }

    /// Signs a record that the partner made.
    pub(super) fn sign_as_partner(&self, draft: Draft, place: Place) -> Arc<Verified> {
        Arc::new(self.partner.sign(draft, place))
    }

    fn any_series(&mut self) -> Option<SeriesId> {
        let at = self.random.index(self.series.len().max(1));
        self.series.get(at).map(|(record, ..)| record.header().series)
    }

    fn content(&mut self, number: usize) -> Content {
        let to = self.any_series().map(|series| Bytes::copy_from_slice(series.as_bytes()));
        let notes = "words".to_owned();
        match (self.random.index(4), to) {
            (0, Some(record)) => Content::Opinion(pb::Opinion {
                record,
                verdict: pb::OpinionVerdict::Agree.into(),
                notes,
                ..pb::Opinion::default()
            }),
            (1, to) => Content::Note(pb::Note {
                title: format!("note {number}"),
                records: to.into_iter().collect(),
                ..pb::Note::default()
            }),
            (2, _) => Content::Case(pb::Case {
                reference: format!("case-{number}"),
                title: "a case".to_owned(),
                status: pb::CaseStatus::Open.into(),
                ..pb::Case::default()
            }),
            (_, to) => Content::Indicator(pb::Indicator {
                r#type: pb::ValueType::Domain.into(),
                value: format!("host{number}.example"),
                notes,
                cases: to.into_iter().collect(),
                ..pb::Indicator::default()
            }),
        }
    }

    fn begin_series(&mut self, hidden: bool) {
        let number = self.series.len();
        let confidence = [20, 80][self.random.index(2)];
        let label = if hidden { "hidden" } else { "shared" };
        let key = format!("key-{number}");
        let draft = pb::Draft { confidence, key, ..labelled(self.content(number), label) };
        let typed = Draft::try_from(draft.clone()).unwrap();
        let series = typed.series(&secret());
        if self.series.iter().any(|(record, ..)| record.header().series == series) {
            return;
        }
        let record = self.sign(typed, Place::first(series));
        self.tell(&record, hidden);
        let shows = if hidden { Shows::Never } else { Shows::Shown };
        self.series.push((record, draft, shows));
    }

    /// Another revision, or a withdrawal. The first hidden revision of a series that was shown takes
    /// back what the partner has; so both journals get one, and nothing of it is the same. Those that
    /// follow it are told to one journal alone. What is shown after that, and the withdrawal, both get.
    fn revise(&mut self, hidden: bool) {
        let of_sort: Vec<usize> = (0..self.series.len())
            .filter(|at| hidden || self.series[*at].2 != Shows::Never)
            .collect();
        if of_sort.is_empty() {
            return;
        }
        let at = of_sort[self.random.index(of_sort.len())];
        let (last, mut draft, shows) = self.series[at].clone();
        if last.kind() == Kind::Withdrawal {
            return;
        }
        let header = last.header();
        let place = Place::after(header.series, header.revision, last.id());
        if self.random.index(4) == 0 && (!hidden || shows == Shows::Never) {
            let record = Arc::new(self.own.withdrawal(&last));
            self.tell(&record, hidden);
            self.series[at] = (record, draft, shows);
            return;
        }
        draft.confidence = [20, 80][self.random.index(2)];
        let sort = if hidden { "hidden" } else { "shown" };
        draft.labels = vec![if hidden { "hidden" } else { "shared" }.to_owned()];
        let record = self.sign(Draft::try_from(draft.clone()).unwrap(), place);
        match (hidden, shows) {
            (false, _) => self.tell(&record, false),
            (true, Shows::Shown) => {
                let other = self.sign(other_than(draft.clone()), place);
                self.with.accept(&record);
                self.without.accept(&other);
                self.parted += 1;
            }
            (true, Shows::Hidden | Shows::Never) => self.tell(&record, true),
        }
        let shows = match (shows, sort) {
            (Shows::Never, _) => Shows::Never,
            (_, "hidden") => Shows::Hidden,
            _ => Shows::Shown,
        };
        self.series[at] = (record, draft, shows);
    }

    fn tell(&mut self, record: &Arc<Verified>, hidden: bool) {
        self.with.accept(record);
        if !hidden {
            self.without.accept(record);
        }
    }

    fn hold_hidden(&mut self) {
        let hidden: Vec<RecordId> = self
            .series
            .iter()
            .filter(|(.., shows)| *shows != Shows::Shown)
            .map(|(record, ..)| record.id())
            .collect();
        if hidden.is_empty() {
            return;
        }
        let id = hidden[self.random.index(hidden.len())];
        self.with.commit(move |tx| {
            let on = !tx.marks(&id)?.is_some_and(Marks::is_restricted);
            tx.restrict(&id, on, "exhibit".to_owned(), "desk").map(drop)
        });
    }

    pub(super) fn step(&mut self) {
        match self.random.index(19) {
            0..=4 => self.begin_series(false),
            5..=8 => self.begin_series(true),
            9 | 10 => self.revise(false),
            11..=14 => self.revise(true),
            15 => self.hold_hidden(),
            16 => {
                let client = self.random.index(2) == 0;
                [&self.with, &self.without]
                    .into_iter()
                    .for_each(|store| store.change_partner(client));
            }
            _ => {
                let number = self.random.index(POLICIES.len());
                self.with.apply_policy(number);
                self.without.apply_policy(number);
            }
        }
        // Now and then more than one thing happens before a feed is brought up.
        if self.random.index(3) == 0 {
            return;
        }
        // Both bring the feed up, in steps that have nothing to do with each other.
        self.bring_up();
    }

    fn bring_up(&mut self) {
        let steps = [1, 3, 2_048];
        self.with.bring_up(steps[self.random.index(3)]);
        self.without.bring_up(steps[self.random.index(3)]);
    }

    fn compare(&mut self) {
        let (with, without) = (self.with.sent(), self.without.sent());
        assert_eq!(with.0, without.0, "the entries of the feed");
        assert_eq!(with.1, without.1, "the envelopes");
        assert_eq!(with.2, without.2, "the signed head");
        let actions = with
            .0
            .iter()
            .map(|bytes| crate::journal::entry::decode_feed(0, bytes).map(|entry| entry.action()));
        let retract = pb::FeedAction::Retract;
        self.retracted = actions.filter(|action| matches!(action, Ok(a) if *a == retract)).count();
        self.shown = with.0.len() - self.retracted;
    }
}

#[test]
fn what_a_partner_may_not_see_changes_no_byte_of_what_it_gets() {
    let (mut shown, mut retracted, mut hidden, mut parted) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let mut story = Story::new(seed);
        for _ in 0..STEPS / COMPARED_EVERY {
            (0..COMPARED_EVERY).for_each(|_| story.step());
            story.bring_up();
            story.compare();
        }
        shown += story.shown;
        retracted += story.retracted;
        hidden += story.series.iter().filter(|(.., shows)| *shows == Shows::Never).count();
        parted += story.parted;
    }
    let reached = format!("{shown} {retracted} {hidden} {parted}");
    assert!(shown > 60 && retracted > 30 && hidden > 40 && parted > 8, "{reached}");
}
