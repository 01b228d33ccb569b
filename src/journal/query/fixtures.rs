//! A small real journal for the tests of queries.

use crate::ident::{AgencyName, SeriesId, Timestamp};
use crate::journal::transaction::Origin;
use crate::journal::view::View;
use crate::pb::{self, journal_entry::Event};
use crate::record::draft::{Draft, Place};
use crate::record::kind::Kind;
use crate::record::personal;
use crate::record::signed::Verified;
use crate::store::flip_byte_of_frame;
use crate::testkit::{self, Agency, NOW_MS, TestJournal, draft, green, secret, withdrawal_draft};
use crate::value::Value;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

pub(in crate::journal) const OWN: &str = "npa.go.jp";
pub(in crate::journal) const OTHER: &str = "jc3.or.jp";
pub(in crate::journal) const DAY: u64 = NOW_MS as u64;
pub(in crate::journal) const DAY_MS: u64 = 86_400_000;

pub(in crate::journal) struct Journal {
    journal: TestJournal,
    originators: [Agency; 2],
    /// The newest revision of each series that is not withdrawn.
    heads: HashMap<(SeriesId, AgencyName), Arc<Verified>>,
}

pub(in crate::journal) fn time(ms: u64) -> Timestamp {
    testkit::time(ms as i64)
}

pub(in crate::journal) fn draft_of(content: pb::draft::Content) -> pb::Draft {
    let value = match &content {
        pb::draft::Content::Indicator(m) => m.value.as_str(),
        pb::draft::Content::TakedownResult(m) => m.value.as_str(),
        _ => "",
    };
    let is_personal = |value: Value| personal::of_value(value.value_type()).is_some();
    let personal_data = Value::guess(value).is_ok_and(is_personal);
    let marking = pb::Marking { personal_data, ..green() };
    pb::Draft { marking: Some(marking), ..draft(content) }
}

pub(in crate::journal) fn indicator(value: &str, title: &str, cases: &[SeriesId]) -> pb::Draft {
    draft_of(pb::draft::Content::Indicator(pb::Indicator {
        value: value.into(),
        title: title.into(),
        cases: cases.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect(),
        ..pb::Indicator::default()
    }))
}

pub(in crate::journal) fn case(reference: &str, title: &str) -> pb::Draft {
    draft_of(pb::draft::Content::Case(pb::Case {
        reference: reference.into(),
        title: title.into(),
        opened_at_ms: DAY,
        ..pb::Case::default()
    }))
}

pub(in crate::journal) fn takedown(
    value: &str,
    reference: &str,
    status: pb::TakedownStatus,
    acted_at_ms: u64,
) -> pb::Draft {
    draft_of(pb::draft::Content::TakedownResult(pb::TakedownResult {
        value: value.into(),
        action: pb::TakedownAction::SuspendDomain.into(),
        status: status.into(),
        provider: "registrar".into(),
        country: "IN".into(),
        acted_at_ms,
        case_reference: reference.into(),
        ..pb::TakedownResult::default()
    }))
}

pub(in crate::journal) fn note(
    key: &str,
    title: &str,
    text: &str,
    records: &[SeriesId],
) -> pb::Draft {
    let content = pb::draft::Content::Note(pb::Note {
        title: title.into(),
        text: text.into(),
        records: records.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect(),
        ..pb::Note::default()
    });
    pb::Draft { key: key.into(), ..draft_of(content) }
}

pub(in crate::journal) fn action(
    kind: pb::CaseActionType,
    at_ms: u64,
    case: SeriesId,
) -> pb::Draft {
    let content = pb::draft::Content::CaseAction(pb::CaseAction {
        r#type: kind.into(),
        at_ms,
        count: 19,
        place: "Delhi".into(),
        agency: OWN.into(),
        cases: vec![Bytes::copy_from_slice(case.as_bytes())],
        ..pb::CaseAction::default()
    });
    pb::Draft { key: format!("{kind:?}-{at_ms}"), ..draft_of(content) }
}

impl Journal {
    pub(in crate::journal) fn new() -> Self {
        let originators = [Agency::own(), Agency::named(OTHER, 1)];
        Self { journal: TestJournal::new(), originators, heads: HashMap::new() }
    }

    pub(in crate::journal) fn view(&self) -> &View {
        self.journal.view()
    }

    /// Damages the stored content of a record, or mends it.
    pub(in crate::journal) fn damage_content(&self, of: &Verified) {
        let place = self.view().place(&of.id()).unwrap().unwrap();
        flip_byte_of_frame(self.journal.dir(), place.content);
    }

    /// Damages the entry that accepted a record, or mends it.
    pub(in crate::journal) fn damage_entry(&self, of: &Verified) {
        let place = self.view().place(&of.id()).unwrap().unwrap();
        self.damage_at(place.journal_index);
    }

    /// Damages an entry, or mends it.
    pub(in crate::journal) fn damage_at(&self, index: u64) {
        let position = self.view().journal().position(index).unwrap();
        flip_byte_of_frame(self.journal.dir(), position);
    }

    /// Makes an entry at a time; what comes later is made then too.
    pub(in crate::journal) fn append_at(&self, at_ms: u64, event: Event) {
        self.journal.set_time(at_ms as i64);
        self.journal.append(event);
    }

    /// Signs a draft as the next revision of its series and keeps it.
    pub(in crate::journal) fn add(
        &mut self,
        originator: &str,
        wire: pb::Draft,
        at_ms: u64,
    ) -> Arc<Verified> {
        self.add_all(originator, vec![wire], at_ms).remove(0)
    }

    /// All in one commit; no two of one series.
    pub(in crate::journal) fn add_all(
        &mut self,
        originator: &str,
        wire: Vec<pb::Draft>,
        at_ms: u64,
    ) -> Vec<Arc<Verified>> {
        let drafts = wire.into_iter().map(|wire| {
            let draft = Draft::try_from(wire).unwrap();
            let series = draft.series(&secret());
            (draft, series)
        });
        let drafts: Vec<_> = drafts.collect();
        self.keep(originator, drafts, at_ms)
    }

    /// Withdraws the newest revision of a series.
    pub(in crate::journal) fn withdraw(&mut self, of: &Verified, at_ms: u64) -> Arc<Verified> {
        let originator = of.header().originator.clone();
        let series = of.header().series;
        self.keep(originator.as_str(), vec![(withdrawal_draft(), series)], at_ms).remove(0)
    }

    fn keep(
        &mut self,
        originator: &str,
        drafts: Vec<(Draft, SeriesId)>,
        at_ms: u64,
    ) -> Vec<Arc<Verified>> {
        let by = self.originators.iter().find(|agency| agency.name.as_str() == originator).unwrap();
        let placed = drafts.into_iter().map(|(draft, series)| {
            let place = match self.heads.get(&(series, by.name.clone())) {
                _ if draft.kind() == Kind::Withdrawal => Place::end(series),
                Some(head) => Place::after(series, head.header().revision, head.id()),
                None => Place::first(series),
            };
            (draft, place)
        });
        let signed = by.sign_all(placed.collect(), time(at_ms));
        let signed: Vec<Arc<Verified>> = signed.into_iter().map(Arc::new).collect();
        // A revision that comes after the withdrawal of its series follows the one before that.
        for record in signed.iter().filter(|record| record.kind() != Kind::Withdrawal) {
            self.heads.insert((record.header().series, by.name.clone()), Arc::clone(record));
        }
        let job = signed.clone();
        self.journal.commit(move |tx| {
            job.into_iter().try_for_each(|r| tx.accept(r, Origin::Client("test")).map(drop))
        });
        signed
    }
}
