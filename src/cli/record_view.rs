//! A record as people and scripts see it: header facts, open content, and what is not shown.
//!
//! Withheld, erased and empty fields are three different things and are never shown as one.

use prost::Message;
use serde_json::{Map, Value, json};

use super::names::{word, word_of_number};
use super::schema::{self, Absent, hex, time_text};
use crate::pb;

/// Hexadecimal digits of an id in a table; the whole is in the JSON.
pub(super) const SHORT_ID_DIGITS: usize = 12;

/// Erased fields that a line of a table names; of more it gives the number.
const ERASED_NAMES_MAX: usize = 3;

/// A record view, read once.
pub(super) struct RecordText {
    pub(super) id: String,
    pub(super) header: pb::Header,
    pub(super) content: Map<String, Value>,
    pub(super) slots: Vec<SlotText>,
    view: Value,
}

/// One slot of a record.
pub(super) struct SlotText {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) class: String,
    /// `open`, `empty`, `withheld` or `erased`.
    pub(super) state: String,
}

impl RecordText {
    /// Reads what a node sent. What cannot be read is shown as empty, never guessed.
    pub(super) fn from_view(view: &pb::RecordView) -> Self {
        let envelope = view.envelope.clone().unwrap_or_default();
        let header = pb::Header::decode(envelope.header.clone()).unwrap_or_default();
        let message = content_message(header.kind());
        let joined = open_bytes(&envelope.slots);
        let content = match schema::decode(&message, &joined, Absent::LeftOut) {
            Ok(Value::Object(content)) => content,
            _ => Map::new(),
        };
        Self {
            id: hex(&view.record_id),
            slots: slot_texts(&message, &envelope.slots),
            content,
            header,
            view: view_facts(view),
        }
    }

    pub(super) fn short_id(&self) -> &str {
        self.id.get(..SHORT_ID_DIGITS).unwrap_or(&self.id)
    }

    pub(super) fn kind(&self) -> String {
        word(self.header.kind())
    }

    pub(super) fn created(&self) -> String {
        time_text(self.header.created_at_ms)
    }

    pub(super) fn tlp(&self) -> String {
        let tlp = self.header.marking.as_ref().map_or(0, |marking| marking.tlp);
        word_of_number::<pb::Tlp>(tlp).to_uppercase().replace('-', "+")
    }

    /// Returns one line on the subject of the record.
    pub(super) fn what(&self) -> String {
        let part = |name: &str| match self.content.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            // The type alone was erased.
            None if name == "type" && self.content.get("value").is_some() => {
                "unknown-type".to_owned()
            }
            _ => String::new(),
        };
        let join = |names: &[&str], between: &str| {
            let parts = names.iter().map(|name| part(name)).filter(|text| !text.is_empty());
            parts.collect::<Vec<_>>().join(between)
        };
        let line = match self.header.kind() {
            pb::Kind::Indicator | pb::Kind::Sighting => {
                join(&["type", "value", "role", "title"], " ")
            }
            pb::Kind::Case => join(&["reference", "title"], ": "),
            pb::Kind::CaseAction => join(&["count", "type", "place", "country", "agency"], " "),
            pb::Kind::Subject => join(&["role", "type", "name", "country"], " "),
            pb::Kind::Evidence => join(&["count", "item", "exhibit", "country"], " "),
            pb::Kind::TakedownRequest => join(&["type", "value", "action", "provider"], " "),
            pb::Kind::TakedownResult => join(&["type", "value", "status", "provider"], " "),
            pb::Kind::Opinion => join(&["verdict", "explanation"], ": "),
            pb::Kind::Relationship => join(&["from", "verb", "to"], " "),
            pb::Kind::Note => join(&["title", "text"], ": "),
            pb::Kind::InformationRequest => join(&["title", "question"], ": "),
            pb::Kind::InformationResponse => join(&["status", "answer"], ": "),
            pb::Kind::Withdrawal => join(&["reason", "explanation"], ": "),
            pb::Kind::Unspecified => String::new(),
        };
        if line.is_empty() { "(nothing of it may be shown here)".to_owned() } else { line }
    }

    /// Names of the slots in a state.
    pub(super) fn slots_in(&self, state: &str) -> Vec<&str> {
        self.slots
            .iter()
            .filter(|slot| slot.state == state)
            .map(|slot| slot.name.as_str())
            .collect()
    }

    /// Returns the handling rules before passing it on or using it: H1, H2, and H3 in the
    /// originator's words.
    pub(super) fn handling(&self) -> Vec<String> {
        let Some(marking) = &self.header.marking else { return Vec::new() };
        let codes = [(marking.no_evidence, "H1"), (marking.orcon, "H2")];
        let codes = codes.into_iter().filter(|(set, _)| *set).map(|(_, code)| code.to_owned());
        let words = (!marking.caveat.is_empty()).then(|| format!("H3 {:?}", marking.caveat));
        codes.chain(words).collect()
    }

    /// Words about the record as a whole, for example `withdrawn`.
    pub(super) fn remarks(&self) -> Vec<&'static str> {
        ["superseded", "withdrawn", "conflicting", "restricted", "retracted"]
            .into_iter()
            .filter(|name| self.view[*name] == Value::Bool(true))
            .collect()
    }

    /// A remark about fields that were erased, so that no table shows one as empty.
    pub(super) fn erased(&self) -> Option<String> {
        match &self.slots_in("erased")[..] {
            [] => None,
            names if names.len() <= ERASED_NAMES_MAX => {
                Some(format!("erased: {}", names.join(", ")))
            }
            names => Some(format!("erased: {} fields", names.len())),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("id".to_owned(), self.id.clone().into());
        let header = schema::to_json("Header", &self.header, Absent::LeftOut);
        if let Value::Object(fields) = header {
            object.extend(fields.into_iter().filter(|(name, _)| !is_sealing(name)));
        }
        object.insert("content".to_owned(), Value::Object(self.content.clone()));
        object.insert("withheld".to_owned(), json!(self.slots_in("withheld")));
        object.insert("erased".to_owned(), json!(self.slots_in("erased")));
        if let Value::Object(facts) = &self.view {
            object.extend(facts.clone());
        }
        Value::Object(object)
    }
}

/// Header fields that only verification needs.
fn is_sealing(name: &str) -> bool {
    matches!(name, "suite" | "slot_count" | "slots_hash" | "schema_revision")
}

fn view_facts(view: &pb::RecordView) -> Value {
    json!({
        "journal_index": view.journal_index,
        "accepted_at": time_text(view.accepted_at_ms),
        "partner": view.partner,
        "superseded": view.superseded,
        "withdrawn": view.withdrawn,
        "conflicting": view.conflicting,
        "restricted": view.restricted,
        "retracted": view.retracted,
        "erasures": view.erasures.iter().map(super::wording::note_json).collect::<Vec<_>>(),
    })
}

/// `takedown-result` as `TakedownResult`.
fn content_message(kind: pb::Kind) -> String {
    word(kind)
        .split('-')
        .map(|part| {
            let mut letters = part.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

fn open_bytes(slots: &[pb::Slot]) -> Vec<u8> {
    let open = slots.iter().filter(|slot| slot.state() == pb::SlotState::Open);
    open.flat_map(|slot| slot.content.iter().copied()).collect()
}

fn slot_texts(message: &str, slots: &[pb::Slot]) -> Vec<SlotText> {
    let fields = schema::fields(message);
    (1_u32..)
        .zip(slots)
        .map(|(number, slot)| {
            let field = fields.and_then(|fields| fields.get(&number));
            let state = match slot.state() {
                pb::SlotState::Open if slot.content.is_empty() => "empty".to_owned(),
                pb::SlotState::Unspecified => "unknown".to_owned(),
                state => word(state),
            };
            SlotText {
                number,
                name: field.map_or_else(|| format!("slot {number}"), schema::Field::json_name),
                class: field.and_then(|field| field.class.clone()).unwrap_or_default(),
                state,
            }
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A takedown result with one slot withheld, one erased and one empty.
    pub(crate) fn view() -> pb::RecordView {
        let open = |message: pb::TakedownResult| pb::Slot {
            state: pb::SlotState::Open.into(),
            content: message.encode_to_vec().into(),
            ..Default::default()
        };
        let hidden = |state: pb::SlotState| pb::Slot { state: state.into(), ..Default::default() };
        let slots = vec![
            open(pb::TakedownResult { r#type: pb::ValueType::Domain.into(), ..Default::default() }),
            open(pb::TakedownResult { value: "evil.example".into(), ..Default::default() }),
            open(pb::TakedownResult::default()),
            open(pb::TakedownResult {
                status: pb::TakedownStatus::Down.into(),
                ..Default::default()
            }),
            hidden(pb::SlotState::Withheld),
            hidden(pb::SlotState::Erased),
        ];
        let header = pb::Header {
            kind: pb::Kind::TakedownResult.into(),
            originator: "dcu.example".into(),
            series: vec![7; 16].into(),
            revision: 2,
            created_at_ms: 1_763_800_000_000,
            confidence: 80,
            marking: Some(pb::Marking { tlp: pb::Tlp::AmberStrict.into(), ..Default::default() }),
            ..Default::default()
        };
        let envelope =
            pb::Envelope { header: header.encode_to_vec().into(), slots, ..Default::default() };
        pb::RecordView {
            envelope: Some(envelope),
            record_id: vec![0xcd; 32].into(),
            journal_index: 41,
            accepted_at_ms: 1_763_800_000_500,
            withdrawn: true,
            ..Default::default()
        }
    }

    #[test]
    fn withheld_erased_and_empty_fields_are_told_apart() {
        let text = RecordText::from_view(&view());
        let states: Vec<_> = text.slots.iter().map(|slot| slot.state.as_str()).collect();
        assert_eq!(states, ["open", "open", "empty", "open", "withheld", "erased"]);
        assert_eq!(text.slots_in("withheld"), ["provider"]);
        assert_eq!(text.slots_in("erased"), ["country"]);
        assert_eq!(text.erased().as_deref(), Some("erased: country"));
        assert_eq!(text.slots[1].class, "core");
    }

    #[test]
    fn a_record_is_one_line_for_people_and_one_document_for_scripts() {
        let text = RecordText::from_view(&view());
        assert_eq!(text.what(), "domain evil.example down");
        assert_eq!(text.tlp(), "AMBER+STRICT");
        assert_eq!(text.short_id(), "cdcdcdcdcdcd");
        assert_eq!(text.remarks(), ["withdrawn"]);
        let value = text.to_json();
        assert_eq!(
            value["content"],
            json!({"type": "domain", "value": "evil.example", "status": "down"})
        );
        assert_eq!(value["kind"], "takedown-result");
        assert_eq!(value["created_at"], "2025-11-22T08:26:40.000Z");
        assert_eq!(value["marking"]["tlp"], "amber-strict");
        assert_eq!(value["withheld"], json!(["provider"]));
    }

    #[test]
    fn a_view_without_anything_is_shown_and_not_a_panic() {
        let text = RecordText::from_view(&pb::RecordView::default());
        assert_eq!(text.what(), "(nothing of it may be shown here)");
        assert_eq!(text.kind(), "");
    }
}
