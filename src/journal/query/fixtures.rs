//! A small real journal for the tests of queries.

use crate::ident::{AgencyName, KeyId, RecordId, SeriesId, Timestamp};
use crate::journal::open::{self, JournalOptions};
use crate::journal::transaction::{Origin, Signing};
use crate::journal::view::View;
use crate::journal::writer::{JournalWriter, WriterThread};
use crate::pb::{self, journal_entry::Event};
use crate::record::draft::{self, Draft, Place, SeriesSecret};
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::record::personal;
use crate::record::signed::Verified;
use crate::store::{EngineKind, flip_byte_of_frame};
use crate::value::Value;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

pub(in crate::journal) const OWN: &str = "npa.go.jp";
pub(in crate::journal) const OTHER: &str = "jc3.or.jp";
/// 2026-03-01T00:00:00Z
pub(in crate::journal) const DAY: u64 = 1_772_323_200_000;
pub(in crate::journal) const DAY_MS: u64 = 86_400_000;

pub(in crate::journal) struct Journal {
    journal: JournalWriter,
    _writer: WriterThread,
    dir: TempDir,
    /// The time of its clock, milliseconds since 1970.
    now_ms: Arc<AtomicU64>,
    runtime: tokio::runtime::Runtime,
    heads: HashMap<(SeriesId, AgencyName), Header>,
    ids: HashMap<(SeriesId, AgencyName), RecordId>,
}

fn secret() -> SeriesSecret {
    SeriesSecret::from_bytes([9; 32])
}

pub(in crate::journal) fn time(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms as i64).unwrap()
}

pub(in crate::journal) fn draft_of(content: pb::draft::Content) -> pb::Draft {
    let value = match &content {
        pb::draft::Content::Indicator(m) => m.value.as_str(),
        pb::draft::Content::TakedownResult(m) => m.value.as_str(),
        _ => "",
    };
    let is_personal = |value: Value| personal::of_value(value.value_type()).is_some();
    let marking = pb::Marking {
        tlp: pb::Tlp::Green.into(),
        pap: pb::Pap::Green.into(),
        personal_data: Value::guess(value).is_ok_and(is_personal),
        ..pb::Marking::default()
    };
    pb::Draft { marking: Some(marking), content: Some(content), ..pb::Draft::default() }
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
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions::new(dir.path(), EngineKind::Fjall);
        let signing = || Signing {
            agency: OWN.parse().unwrap(),
            journal_key: SigningKey::from_bytes(&[2; 32]),
            series_secret: secret(),
        };
        let now_ms = Arc::new(AtomicU64::new(DAY));
        let told = Arc::clone(&now_ms);
        let clock: crate::journal::writer::Clock =
            Arc::new(move || time(told.load(Ordering::Relaxed)));
        let genesis = open::genesis(&OWN.parse().unwrap());
        open::begin(&options, signing(), Arc::clone(&clock), move |tx| {
            tx.append(genesis).map(drop)
        })
        .unwrap();
        let (journal, writer, _) = open::open(&options, signing(), clock).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self {
            journal,
            _writer: writer,
            dir,
            now_ms,
            runtime,
            heads: HashMap::new(),
            ids: HashMap::new(),
        }
    }

    pub(in crate::journal) fn view(&self) -> &View {
        self.journal.view()
    }

    /// Damages the stored content of a record, or mends it.
    pub(in crate::journal) fn damage_content(&self, of: &Verified) {
        let place = self.view().place(&of.id()).unwrap().unwrap();
        flip_byte_of_frame(self.dir.path(), place.content);
    }

    /// Damages the entry that accepted a record, or mends it.
    pub(in crate::journal) fn damage_entry(&self, of: &Verified) {
        let place = self.view().place(&of.id()).unwrap().unwrap();
        self.damage_at(place.journal_index);
    }

    /// Damages an entry, or mends it.
    pub(in crate::journal) fn damage_at(&self, index: u64) {
        let position = self.view().journal().position(index).unwrap();
        flip_byte_of_frame(self.dir.path(), position);
    }

    /// Makes an entry at a time; what comes later is made then too.
    pub(in crate::journal) fn append_at(&self, at_ms: u64, event: Event) {
        self.now_ms.store(at_ms, Ordering::Relaxed);
        self.runtime.block_on(self.journal.commit(move |tx| tx.append(event))).unwrap();
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
        let content = pb::Withdrawal {
            reason: pb::WithdrawalReason::Error.into(),
            explanation: "wrong".into(),
        };
        let draft = Draft::withdrawal(content).unwrap();
        self.keep(originator.as_str(), vec![(draft, series)], at_ms).remove(0)
    }

    fn keep(
        &mut self,
        originator: &str,
        drafts: Vec<(Draft, SeriesId)>,
        at_ms: u64,
    ) -> Vec<Arc<Verified>> {
        let originator: AgencyName = originator.parse().unwrap();
        let mut salt = 0u128;
        let mut sealed = Vec::new();
        for (draft, series) in drafts {
            let key = (series, originator.clone());
            let place = match (self.heads.get(&key), self.ids.get(&key)) {
                _ if draft.kind() == Kind::Withdrawal => Place::end(series),
                (Some(head), Some(id)) => Place::after(series, head.revision, *id),
                _ => Place::first(series),
            };
            sealed.push(draft.seal(originator.clone(), place, time(at_ms), || {
                salt += 1;
                salt.to_be_bytes()
            }));
        }
        let key = SigningKey::from_bytes(&[1; 32]);
        let signed = draft::sign(sealed, &key, KeyId::from_bytes([7; 16]), || [5; 32]).unwrap();
        let signed: Vec<Arc<Verified>> = signed.into_iter().map(Arc::new).collect();
        // A revision that comes after the withdrawal of its series follows the one before that.
        for record in signed.iter().filter(|record| record.kind() != Kind::Withdrawal) {
            let key = (record.header().series, originator.clone());
            self.heads.insert(key.clone(), record.header().clone());
            self.ids.insert(key, record.id());
        }
        let job = signed.clone();
        let commit = self.journal.commit(move |tx| {
            job.into_iter().try_for_each(|r| tx.accept(r, Origin::Client("test")).map(drop))
        });
        self.runtime.block_on(commit).unwrap();
        signed
    }
}
