//! Facts of the wire in words, as more than one command shows them.

use super::names::word_of_number;
use super::schema::hex;
use super::schema::time_text;
use crate::pb;
use crate::policy::Reasons;
use serde_json::Value;
use serde_json::json;

/// The roles that must each still approve an act.
pub(super) fn waits_for(act: &pb::ActView) -> String {
    act.wanted_roles.join(" and ")
}

/// Rules by their names; what this program does not know, by its number.
pub(super) fn rules_text(rules: u32) -> String {
    Reasons::from_bits(rules).map_or_else(|| format!("{rules:#x}"), |reasons| reasons.to_string())
}

/// Returns the purpose of a consent in words.
pub(super) fn purpose_of(subject: &pb::ConsentSubject) -> String {
    match subject.purpose() {
        pb::ConsentPurpose::Forward => format!("pass on to {}", subject.partner),
        pb::ConsentPurpose::Evidence => "use as evidence".to_owned(),
        pb::ConsentPurpose::Circle if subject.members.is_empty() => {
            format!("pass on to members of circle {}", subject.circle)
        }
        pb::ConsentPurpose::Circle => {
            format!(
                "pass on to members of circle {}: {}",
                subject.circle,
                subject.members.join(" ")
            )
        }
        pb::ConsentPurpose::Unspecified => "unknown".to_owned(),
    }
}

/// Returns the records that a consent is for, in words.
pub(super) fn scope_of(subject: &pb::ConsentSubject) -> String {
    match subject.scope() {
        pb::ConsentScope::Record => hex(&subject.record_id),
        pb::ConsentScope::Operation => format!("operation {}", subject.operation),
        pb::ConsentScope::All => "all".to_owned(),
        pb::ConsentScope::Unspecified => "unknown".to_owned(),
    }
}

pub(super) fn slot_numbers(mask: u32) -> Vec<u32> {
    (1..32).filter(|number| mask & 1 << number != 0).collect()
}

/// `1, 3` for a mask of these.
pub(super) fn slots_text(mask: u32) -> String {
    let numbers: Vec<_> = slot_numbers(mask).iter().map(u32::to_string).collect();
    numbers.join(", ")
}

/// Returns the reasons for erased slots on one line.
pub(super) fn notes_text(notes: &[pb::ErasureNote]) -> String {
    let text = |note: &pb::ErasureNote| {
        let basis = word_of_number::<pb::ErasureBasis>(note.basis);
        format!("slots {} on {} ({basis})", slots_text(note.slots), time_text(note.at_ms))
    };
    notes.iter().map(text).collect::<Vec<_>>().join("; ")
}

pub(super) fn note_json(note: &pb::ErasureNote) -> Value {
    json!({
        "slots": slot_numbers(note.slots),
        "basis": word_of_number::<pb::ErasureBasis>(note.basis),
        "erased_at": time_text(note.at_ms),
    })
}
