//! The messages of `liaison.v1` as JSON, driven by the compiled descriptors.
//!
//! One walk serves every message, so a field that is added to the protocol shows up here by itself.
//! Bytes from outside never panic it: what does not parse is an error. It follows three rules of the
//! tool rather than proto3 JSON: 64-bit numbers below 2^53 are numbers, `*_ms` times are RFC 3339
//! under the name without `_ms`, bytes are hexadecimal, notes and cards are text.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value};

use super::names::word_of;
use crate::ident::Timestamp;
use crate::pb;

/// Deepest nesting of messages that is followed; the protocol's own is 4.
const DEPTH_MAX: usize = 16;

/// Numbers from here on are strings in JSON, because many readers hold numbers as doubles.
const JSON_NUMBER_END: u64 = 1 << 53;

/// The fault in the bytes of a message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("liaison.v1 has no message {0}")]
    UnknownMessage(String),
    #[error("the bytes of {0} end inside a field")]
    Truncated(String),
    #[error("field {field} of {message} has wire type {found}")]
    WireType { message: String, field: u32, found: u8 },
    #[error("field {field} of {message} is not UTF-8")]
    Text { message: String, field: u32 },
    #[error("messages are nested deeper than {DEPTH_MAX}")]
    Depth,
}

/// The treatment of absent fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// Show their default, so that a script finds every name.
    Shown,
    /// Leave them out, because absence has a meaning of its own.
    LeftOut,
}

/// One field of a message.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    /// The first word of the comment on a field of content: the class of the slot.
    pub(super) class: Option<String>,
    repeated: bool,
    has_presence: bool,
    kind: FieldKind,
}

#[derive(Debug, Clone)]
enum FieldKind {
    Number,
    Bool,
    Text,
    Bytes,
    Enum(String),
    Message(String),
}

type Fields = BTreeMap<u32, Field>;

struct Schema {
    messages: HashMap<String, Fields>,
    enums: HashMap<String, HashMap<u64, String>>,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).unwrap_or_default();
    Schema::from_files(&set.file)
});

/// The fields of a message, by number.
pub(super) fn fields(message: &str) -> Option<&'static BTreeMap<u32, Field>> {
    SCHEMA.messages.get(message)
}

/// A message of ours as JSON. `name` is its name in `liaison.v1`.
pub(super) fn to_json<M: prost::Message>(name: &str, message: &M, absent: Absent) -> Value {
    decode(name, &message.encode_to_vec(), absent)
        .unwrap_or_else(|error| Value::String(error.to_string()))
}

/// The bytes of a message as JSON.
pub(super) fn decode(name: &str, bytes: &[u8], absent: Absent) -> Result<Value, SchemaError> {
    SCHEMA.decode(name, bytes, absent, 0).map(Value::Object)
}

impl Schema {
    fn from_files(files: &[FileDescriptorProto]) -> Self {
        let mut schema = Self { messages: HashMap::new(), enums: HashMap::new() };
        for file in files.iter().filter(|file| file.package() == "liaison.v1") {
            for (at, message) in file.message_type.iter().enumerate() {
                let classes = content_classes(file, at);
                schema
                    .messages
                    .insert(message.name().to_owned(), message_fields(message, &classes));
            }
            for listed in &file.enum_type {
                let prefix = enum_prefix(listed.name());
                let words = listed
                    .value
                    .iter()
                    .map(|value| (value.number() as u64, word_of(value.name(), &prefix)))
                    .collect();
                schema.enums.insert(listed.name().to_owned(), words);
            }
        }
        schema
    }

    fn decode(
        &self,
        name: &str,
        mut bytes: &[u8],
        absent: Absent,
        depth: usize,
    ) -> Result<Map<String, Value>, SchemaError> {
        if depth > DEPTH_MAX {
            return Err(SchemaError::Depth);
        }
        let fields =
            self.messages.get(name).ok_or_else(|| SchemaError::UnknownMessage(name.to_owned()))?;
        let mut object = Map::new();
        if absent == Absent::Shown {
            let shown = fields.values().filter(|field| !field.has_presence);
            object.extend(shown.map(|field| (field.json_name(), self.default_of(field))));
        }
        while !bytes.is_empty() {
            let (number, raw) = Raw::split_off(&mut bytes)
                .ok_or_else(|| SchemaError::Truncated(name.to_owned()))?;
            let Some(field) = fields.get(&number) else { continue };
            if let Raw::Bytes(packed) = raw
                && field.is_packed()
            {
                let mut rest = packed;
                while !rest.is_empty() {
                    let one = varint(&mut rest).map(Raw::Varint);
                    let one = one.ok_or_else(|| SchemaError::Truncated(name.to_owned()))?;
                    place(
                        &mut object,
                        field,
                        self.value(name, number, field, &one, absent, depth)?,
                    );
                }
                continue;
            }
            let value = self.value(name, number, field, &raw, absent, depth)?;
            place(&mut object, field, value);
        }
        Ok(object)
    }

    fn value(
        &self,
        message: &str,
        number: u32,
        field: &Field,
        raw: &Raw<'_>,
        absent: Absent,
        depth: usize,
    ) -> Result<Value, SchemaError> {
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec())
                .map_err(|_| SchemaError::Text { message: message.to_owned(), field: number })
        };
        Ok(match (&field.kind, raw) {
            (FieldKind::Number, Raw::Varint(value)) => field.number(*value),
            (FieldKind::Bool, Raw::Varint(value)) => Value::Bool(*value != 0),
            (FieldKind::Enum(name), Raw::Varint(value)) => self.enum_word(name, *value),
            (FieldKind::Text, Raw::Bytes(bytes)) => Value::String(text(bytes)?),
            (FieldKind::Bytes, Raw::Bytes(bytes)) if field.is_note() => Value::String(text(bytes)?),
            (FieldKind::Bytes, Raw::Bytes(bytes)) => Value::String(hex(bytes)),
            (FieldKind::Message(name), Raw::Bytes(bytes)) => {
                Value::Object(self.decode(name, bytes, absent, depth + 1)?)
            }
            _ => {
                let found = raw.wire_type();
                return Err(SchemaError::WireType {
                    message: message.to_owned(),
                    field: number,
                    found,
                });
            }
        })
    }

    fn enum_word(&self, name: &str, number: u64) -> Value {
        let word = self.enums.get(name).and_then(|words| words.get(&number));
        word.map_or_else(|| Value::from(number), |word| Value::String(word.clone()))
    }

    fn default_of(&self, field: &Field) -> Value {
        if field.repeated {
            return Value::Array(Vec::new());
        }
        match &field.kind {
            FieldKind::Number => field.number(0),
            FieldKind::Bool => Value::Bool(false),
            FieldKind::Text | FieldKind::Bytes => Value::String(String::new()),
            FieldKind::Enum(name) => self.enum_word(name, 0),
            FieldKind::Message(_) => Value::Null,
        }
    }
}

impl Field {
    fn is_time(&self) -> bool {
        self.name.ends_with("_ms")
    }

    /// Returns whether several values may come in one run of bytes, as proto3 writes lists of numbers.
    const fn is_packed(&self) -> bool {
        let is_varint =
            matches!(self.kind, FieldKind::Number | FieldKind::Bool | FieldKind::Enum(_));
        self.repeated && is_varint
    }

    fn is_note(&self) -> bool {
        self.name == "note" || self.name.ends_with("_note")
    }

    /// The name in JSON.
    pub(super) fn json_name(&self) -> String {
        self.name.strip_suffix("_ms").unwrap_or(&self.name).to_owned()
    }

    fn number(&self, value: u64) -> Value {
        if self.is_time() {
            return if value == 0 { Value::Null } else { Value::String(time_text(value)) };
        }
        if value < JSON_NUMBER_END { Value::from(value) } else { Value::String(value.to_string()) }
    }
}

/// Milliseconds since 1970 as RFC 3339; what lies outside 2000 to 2100 is shown as a number.
pub(super) fn time_text(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
        .map_or_else(|| ms.to_string(), |time| time.to_string())
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn place(object: &mut Map<String, Value>, field: &Field, value: Value) {
    let name = field.json_name();
    if !field.repeated {
        object.insert(name, value);
        return;
    }
    match object.get_mut(&name) {
        Some(Value::Array(list)) => list.push(value),
        _ => {
            object.insert(name, Value::Array(vec![value]));
        }
    }
}

fn message_fields(message: &DescriptorProto, classes: &HashMap<i32, String>) -> Fields {
    let listed = message.field.iter().enumerate();
    listed
        .filter_map(|(at, field)| {
            let class = i32::try_from(at).ok().and_then(|at| classes.get(&at).cloned());
            Some((u32::try_from(field.number()).ok()?, field_of(field, class)?))
        })
        .collect()
}

fn field_of(field: &FieldDescriptorProto, class: Option<String>) -> Option<Field> {
    let type_name = || field.type_name().rsplit('.').next().unwrap_or_default().to_owned();
    let kind = match field.r#type() {
        Type::Uint64 | Type::Uint32 | Type::Int64 => FieldKind::Number,
        Type::Bool => FieldKind::Bool,
        Type::String => FieldKind::Text,
        Type::Bytes => FieldKind::Bytes,
        Type::Enum => FieldKind::Enum(type_name()),
        Type::Message => FieldKind::Message(type_name()),
        _ => return None,
    };
    Some(Field {
        name: field.name().to_owned(),
        class,
        repeated: field.label() == Label::Repeated,
        has_presence: field.oneof_index.is_some(),
        kind,
    })
}

/// First words of the comments on the fields of a content message, by position of the field.
fn content_classes(file: &FileDescriptorProto, message_at: usize) -> HashMap<i32, String> {
    let Some(info) =
        file.source_code_info.as_ref().filter(|_| file.name().ends_with("content.proto"))
    else {
        return HashMap::new();
    };
    let class_of = |comment: &str| {
        let (word, _) = comment.trim_start().split_once('.')?;
        word.bytes().all(|b| b.is_ascii_lowercase()).then(|| word.to_owned())
    };
    // Path of a field: 4 is message_type of a file, 2 is field of a message (descriptor.proto).
    info.location
        .iter()
        .filter_map(|location| match location.path.as_slice() {
            [4, message, 2, field] if usize::try_from(*message) == Ok(message_at) => {
                Some((*field, class_of(location.leading_comments())?))
            }
            _ => None,
        })
        .collect()
}

/// `TakedownStatus` as `TAKEDOWN_STATUS_`.
fn enum_prefix(name: &str) -> String {
    let mut prefix = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    prefix.push('_');
    prefix
}

/// The value of one field as it stands on the wire.
enum Raw<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed(u8),
}

impl<'a> Raw<'a> {
    /// Takes the next field off the front; none when the bytes end inside it.
    fn split_off(bytes: &mut &'a [u8]) -> Option<(u32, Self)> {
        let tag = varint(bytes)?;
        let number = u32::try_from(tag >> 3).ok()?;
        let wire_type = (tag & 7) as u8;
        let raw = match wire_type {
            0 => Self::Varint(varint(bytes)?),
            1 => bytes.split_off(..8).map(|_| Self::Fixed(wire_type))?,
            2 => {
                let length = usize::try_from(varint(bytes)?).ok()?;
                Self::Bytes(bytes.split_off(..length)?)
            }
            5 => bytes.split_off(..4).map(|_| Self::Fixed(wire_type))?,
            _ => return None,
        };
        Some((number, raw))
    }

    const fn wire_type(&self) -> u8 {
        match self {
            Self::Varint(_) => 0,
            Self::Bytes(_) => 2,
            Self::Fixed(found) => *found,
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn result() -> pb::TakedownResult {
        pb::TakedownResult {
            r#type: pb::ValueType::Domain.into(),
            value: "evil.example".into(),
            status: pb::TakedownStatus::UpAgain.into(),
            acted_at_ms: 1_763_800_000_000,
            cases: vec![vec![0xab; 16].into()],
            ..Default::default()
        }
    }

    #[test]
    fn enumerations_times_and_bytes_have_their_text_forms() {
        let value = to_json("TakedownResult", &result(), Absent::LeftOut);
        assert_eq!(
            value,
            serde_json::json!({
                "type": "domain",
                "value": "evil.example",
                "status": "up-again",
                "acted_at": "2025-11-22T08:26:40.000Z",
                "cases": ["abababababababababababababababab"],
            })
        );
    }

    #[test]
    fn absent_fields_are_shown_with_their_default_when_asked() {
        let value = to_json("GetStatusResponse", &pb::GetStatusResponse::default(), Absent::Shown);
        assert_eq!(value["records"], 0);
        assert_eq!(value["partners"], serde_json::json!([]));
        assert_eq!(value["started_at"], Value::Null);
    }

    #[test]
    fn a_list_of_numbers_comes_in_one_run_of_bytes() {
        let applied = pb::PolicyApplied { decisions: vec![7, 300], ..Default::default() };
        let value = to_json("PolicyApplied", &applied, Absent::LeftOut);
        assert_eq!(value, serde_json::json!({"decisions": [7, 300]}));
        let cut = SCHEMA.decode("PolicyApplied", &[0x3a, 1, 0x80], Absent::LeftOut, 0);
        assert_eq!(cut, Err(SchemaError::Truncated("PolicyApplied".to_owned())));
    }

    #[test]
    fn numbers_beyond_2_to_the_53_are_strings() {
        let status = pb::GetStatusResponse { records: u64::MAX, ..Default::default() };
        assert_eq!(
            to_json("GetStatusResponse", &status, Absent::Shown)["records"],
            u64::MAX.to_string()
        );
    }

    #[test]
    fn every_field_of_content_has_a_class() {
        for message in ["Indicator", "Case", "Subject", "TakedownResult", "Withdrawal"] {
            let fields = fields(message).unwrap();
            assert!(fields.values().all(|field| field.class.is_some()), "{message}");
        }
        assert_eq!(fields("Subject").unwrap()[&4].class.as_deref(), Some("victim"));
    }

    #[test]
    fn bytes_that_end_inside_a_field_are_refused() {
        let bytes = result().encode_to_vec();
        assert_eq!(
            decode("TakedownResult", &bytes[..bytes.len() - 1], Absent::LeftOut),
            Err(SchemaError::Truncated("TakedownResult".into()))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_from_outside_panic(bytes: Vec<u8>) {
            let _ = decode("Evidence", &bytes, Absent::LeftOut);
        }
    }
}
