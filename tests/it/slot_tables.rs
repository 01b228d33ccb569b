//! The frozen slot tables in `record` and the messages in proto/liaison/v1/content.proto are one
//! thing written down twice; here each is held against the other.

use std::collections::BTreeMap;

use liaison::record::kind::Kind;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{FieldDescriptorProto, FileDescriptorProto};

use crate::published::descriptors;

/// The description of a slot on both sides, in words that can be compared and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    number: i32,
    name: String,
    class: String,
    repeated: bool,
    varint: bool,
}

fn rows_of_kind(kind: Kind) -> Vec<Row> {
    (1..)
        .zip(kind.slots())
        .map(|(number, slot)| Row {
            number,
            name: slot.name.to_owned(),
            class: slot.class.name().to_owned(),
            repeated: slot.repeated,
            varint: slot.rule.is_varint(),
        })
        .collect()
}

fn rows_of_message(file: &FileDescriptorProto, name: &str) -> Option<Vec<Row>> {
    /// Field numbers of FileDescriptorProto.message_type and DescriptorProto.field.
    const MESSAGE: i32 = 4;
    const FIELD: i32 = 2;
    let comments: BTreeMap<&[i32], &str> = file
        .source_code_info
        .iter()
        .flat_map(|info| &info.location)
        .map(|location| (location.path.as_slice(), location.leading_comments()))
        .collect();
    let (position, message) =
        (0..).zip(&file.message_type).find(|(_, message)| message.name() == name)?;
    let row = |(index, field): (i32, &FieldDescriptorProto)| {
        let comment = comments.get([MESSAGE, position, FIELD, index].as_slice()).unwrap_or(&"");
        Row {
            number: field.number(),
            name: field.name().to_owned(),
            class: comment.trim().split('.').next().unwrap_or_default().to_owned(),
            repeated: field.label() == Label::Repeated,
            varint: is_varint(name, field),
        }
    };
    let mut rows: Vec<Row> = (0..).zip(&message.field).map(row).collect();
    rows.sort_by_key(|row| row.number);
    Some(rows)
}

/// The wire type, of the two that a slot may have.
fn is_varint(message: &str, field: &FieldDescriptorProto) -> bool {
    match field.r#type() {
        Type::Uint32 | Type::Uint64 | Type::Enum => true,
        Type::String | Type::Bytes | Type::Message => false,
        other => panic!("{message}.{}: a slot has no {}", field.name(), other.as_str_name()),
    }
}

fn differences(kind: &str, table: &[Row], message: &[Row]) -> Vec<String> {
    let count = (table.len() != message.len())
        .then(|| format!("{kind}: {} slots, {} fields", table.len(), message.len()));
    let pairs = table.iter().zip(message).filter(|(slot, field)| slot != field);
    pairs
        .map(|(slot, field)| format!("{kind}:\n  slot  {slot:?}\n  field {field:?}"))
        .chain(count)
        .collect()
}

#[test]
fn every_slot_is_the_field_of_its_number() {
    let set = descriptors();
    let content = set.file.iter().find(|file| file.name() == "liaison/v1/content.proto").unwrap();
    let findings: Vec<String> = Kind::ALL
        .into_iter()
        .flat_map(|kind| {
            let name = format!("{kind:?}");
            match rows_of_message(content, &name) {
                Some(message) => differences(&name, &rows_of_kind(kind), &message),
                None => vec![format!("{name}: no such message in content.proto")],
            }
        })
        .collect();
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn kinds_have_the_same_numbers_in_code_and_on_the_wire() {
    let set = descriptors();
    let record = set.file.iter().find(|file| file.name() == "liaison/v1/record.proto").unwrap();
    let kinds = record.enum_type.iter().find(|values| values.name() == "Kind").unwrap();
    let on_the_wire: Vec<(i32, String)> =
        kinds.value.iter().skip(1).map(|v| (v.number(), v.name().to_owned())).collect();
    let in_code: Vec<(i32, String)> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let name = kind.name().to_uppercase().replace('-', "_");
            (kind.number().into(), format!("KIND_{name}"))
        })
        .collect();
    assert_eq!(in_code, on_the_wire);
}

mod samples {
    use super::*;

    #[test]
    fn any_difference_between_slot_and_field_is_told() {
        let row = Row {
            number: 1,
            name: "value".to_owned(),
            class: "core".to_owned(),
            repeated: false,
            varint: false,
        };
        let same = [row.clone()];
        assert!(differences("K", &same, &same).is_empty());
        for other in [
            Row { number: 2, ..row.clone() },
            Row { name: "values".to_owned(), ..row.clone() },
            Row { class: "victim".to_owned(), ..row.clone() },
            Row { repeated: true, ..row.clone() },
            Row { varint: true, ..row.clone() },
        ] {
            assert_eq!(differences("K", &same, &[other]).len(), 1);
        }
        assert_eq!(differences("K", &same, &[]), ["K: 1 slots, 0 fields"]);
    }
}
