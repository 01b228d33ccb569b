//! Markings, and drafts under TLP:GREEN and PAP:GREEN with only their content.

use bytes::Bytes;

use crate::ident::SeriesId;
use crate::pb::{self, draft::Content};
use crate::record::draft::Draft;
use crate::record::marking::Marking;

pub(crate) fn green() -> pb::Marking {
    pb::Marking { tlp: pb::Tlp::Green.into(), pap: pb::Pap::Green.into(), ..pb::Marking::default() }
}

/// A marking without any restriction but these.
pub(crate) fn marking(tlp: pb::Tlp, pap: pb::Pap) -> Marking {
    let marking = pb::Marking { tlp: tlp.into(), pap: pap.into(), ..pb::Marking::default() };
    marking.try_into().unwrap()
}

pub(crate) fn draft(content: Content) -> pb::Draft {
    pb::Draft { marking: Some(green()), content: Some(content), ..pb::Draft::default() }
}

pub(crate) fn indicator(value: &str, title: &str) -> pb::Draft {
    draft(Content::Indicator(pb::Indicator {
        value: value.to_owned(),
        title: title.to_owned(),
        ..pb::Indicator::default()
    }))
}

/// A note about series.
pub(crate) fn note(key: &str, text: &str, about: &[SeriesId]) -> pb::Draft {
    let content = pb::Note {
        text: text.to_owned(),
        records: about.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect(),
        ..pb::Note::default()
    };
    pb::Draft { key: key.to_owned(), ..draft(Content::Note(content)) }
}

pub(crate) fn withdrawal_draft() -> Draft {
    let reason = pb::WithdrawalReason::Error.into();
    Draft::withdrawal(pb::Withdrawal { reason, explanation: "mistaken".to_owned() }).unwrap()
}
