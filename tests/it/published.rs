//! Everything of the wire format that was ever published stays as it is.
//!
//! proto/published.txt lists it, one line each, and can be read by a partner's engineers. New lines
//! are added with `LIAISON_BLESS=1 cargo test --test it published`; a line is changed or removed
//! only before a release, with `LIAISON_BLESS=unpublished`.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto,
};

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/published.txt");

pub(crate) fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(liaison::pb::FILE_DESCRIPTOR_SET).unwrap()
}

/// One published thing: what it is, and what must not change about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    /// For example `field liaison.v1.Header 009`.
    identity: String,
    /// For example `labels repeated string`.
    form: String,
}

impl Item {
    fn new(identity: String, form: impl Into<String>) -> Self {
        Self { identity, form: form.into() }
    }

    fn line(&self) -> String {
        format!("{} {}", self.identity, self.form).trim_end().to_owned()
    }

    /// The identity is the first three words; of a message, which has only two, both.
    fn parse(line: &str) -> Self {
        let identity = line.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let form = line[identity.len()..].trim_start().to_owned();
        Self { identity, form }
    }
}

fn items(set: &FileDescriptorSet) -> BTreeSet<Item> {
    let mut found = BTreeSet::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("liaison.")) {
        let package = file.package();
        file.message_type.iter().for_each(|message| message_items(package, message, &mut found));
        file.enum_type.iter().for_each(|values| enum_items(package, values, &mut found));
        for service in &file.service {
            let name = format!("{package}.{}", service.name());
            found.extend(service.method.iter().map(|method| rpc_item(&name, method)));
        }
    }
    found
}

fn message_items(parent: &str, message: &DescriptorProto, found: &mut BTreeSet<Item>) {
    let name = format!("{parent}.{}", message.name());
    found.insert(Item::new(format!("message {name}"), ""));
    found.extend(message.field.iter().map(|field| field_item(&name, message, field)));
    let synthetic = |index: usize| {
        message
            .field
            .iter()
            .any(|field| field.proto3_optional() && field.oneof_index == Some(index as i32))
    };
    let oneofs = message.oneof_decl.iter().enumerate().filter(|(index, _)| !synthetic(*index));
    found.extend(oneofs.map(|(_, one)| Item::new(format!("oneof {name} {}", one.name()), "")));
    message.nested_type.iter().for_each(|inner| message_items(&name, inner, found));
    message.enum_type.iter().for_each(|inner| enum_items(&name, inner, found));
}

fn field_item(message: &str, parent: &DescriptorProto, field: &FieldDescriptorProto) -> Item {
    let kind = if field.type_name().is_empty() {
        scalar_name(field.r#type()).to_owned()
    } else {
        field.type_name().trim_start_matches('.').to_owned()
    };
    let oneof = field
        .oneof_index
        .and_then(|index| parent.oneof_decl.get(usize::try_from(index).ok()?))
        .map(prost_types::OneofDescriptorProto::name);
    let label = match (field.label(), oneof) {
        (Label::Repeated, _) => "repeated ".to_owned(),
        _ if field.proto3_optional() => "optional ".to_owned(),
        (_, Some(oneof)) => format!("oneof {oneof} "),
        _ => String::new(),
    };
    let identity = format!("field {message} {:03}", field.number());
    Item::new(identity, format!("{} {label}{kind}", field.name()))
}

fn scalar_name(kind: Type) -> &'static str {
    kind.as_str_name().trim_start_matches("TYPE_").to_lowercase().leak()
}

fn enum_items(parent: &str, values: &EnumDescriptorProto, found: &mut BTreeSet<Item>) {
    let name = format!("{parent}.{}", values.name());
    found.extend(
        values
            .value
            .iter()
            .map(|value| Item::new(format!("enum {name} {:03}", value.number()), value.name())),
    );
}

fn rpc_item(service: &str, method: &MethodDescriptorProto) -> Item {
    let side = |streams: bool, name: &str| {
        let name = name.trim_start_matches('.');
        if streams { format!("stream {name}") } else { name.to_owned() }
    };
    let request = side(method.client_streaming(), method.input_type());
    let response = side(method.server_streaming(), method.output_type());
    Item::new(format!("rpc {service} {}", method.name()), format!("{request} -> {response}"))
}

/// The differences between the list and the protos.
#[derive(Debug, Default, PartialEq, Eq)]
struct Differences {
    /// Published and now another or gone: this breaks partners.
    broken: Vec<String>,
    /// Not yet on the list.
    unlisted: Vec<String>,
}

fn compare(published: &BTreeSet<Item>, current: &BTreeSet<Item>) -> Differences {
    let broken = published.difference(current).map(|was| {
        match current.iter().find(|now| now.identity == was.identity) {
            Some(now) => format!("changed: {}\n     now: {}", was.line(), now.line()),
            None => format!("removed: {}", was.line()),
        }
    });
    let is_new = |item: &&Item| published.iter().all(|was| was.identity != item.identity);
    let unlisted = current.difference(published).filter(is_new).map(Item::line);
    Differences { broken: broken.collect(), unlisted: unlisted.collect() }
}

fn parse_list(text: &str) -> BTreeSet<Item> {
    text.lines().filter(|line| !line.is_empty()).map(Item::parse).collect()
}

fn print_list(items: &BTreeSet<Item>) -> String {
    let mut lines: Vec<String> = items.iter().map(Item::line).collect();
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

/// Returns true if the list may be written again, under `LIAISON_BLESS`.
fn may_write(bless: Option<&str>, differences: &Differences) -> bool {
    match bless {
        Some("unpublished") => true,
        Some(_) => differences.broken.is_empty(),
        None => false,
    }
}

#[test]
fn what_was_published_is_unchanged_and_what_is_there_is_listed() {
    let current = items(&descriptors());
    let text = std::fs::read_to_string(LIST).unwrap_or_default();
    let differences = compare(&parse_list(&text), &current);
    let bless = std::env::var("LIAISON_BLESS").ok();
    if may_write(bless.as_deref(), &differences) {
        std::fs::write(Path::new(LIST), print_list(&current)).unwrap();
        return;
    }
    let Differences { broken, unlisted } = &differences;
    assert!(
        broken.is_empty(),
        "\npublished fields never change; give a new field a new number\n{}",
        broken.join("\n")
    );
    assert!(
        unlisted.is_empty(),
        "\nnot in proto/published.txt; to publish: LIAISON_BLESS=1 cargo test --test it published\n{}",
        unlisted.join("\n")
    );
    assert_eq!(text, print_list(&current), "the list is not sorted or has lines twice");
}

mod samples {
    use super::*;

    fn list(lines: &[&str]) -> BTreeSet<Item> {
        lines.iter().map(|line| Item::parse(line)).collect()
    }

    #[test]
    fn a_changed_and_a_removed_line_are_told_apart_from_a_new_one() {
        let published =
            list(&["field a.B 001 c string", "field a.B 002 d repeated bytes", "message a.B"]);
        let current = list(&["field a.B 001 c bytes", "field a.B 003 e string", "message a.B"]);
        let found = compare(&published, &current);
        assert_eq!(
            found.broken,
            [
                "changed: field a.B 001 c string\n     now: field a.B 001 c bytes",
                "removed: field a.B 002 d repeated bytes",
            ]
        );
        assert_eq!(found.unlisted, ["field a.B 003 e string"]);
        assert_eq!(compare(&published, &published), Differences::default());
    }

    #[test]
    fn a_blessing_adds_and_only_the_unpublished_one_breaks() {
        let broken = Differences { broken: vec!["x".to_owned()], unlisted: Vec::new() };
        let added = Differences { broken: Vec::new(), unlisted: vec!["x".to_owned()] };
        assert!(may_write(Some("1"), &added) && may_write(Some("unpublished"), &broken));
        assert!(!may_write(Some("1"), &broken) && !may_write(None, &added));
    }

    #[test]
    fn every_sort_of_thing_is_listed() {
        let text = print_list(&items(&descriptors()));
        for line in [
            "enum liaison.v1.Tlp 004 TLP_AMBER_STRICT",
            "field liaison.v1.Header 009 labels repeated string",
            "field liaison.v1.ExchangeFrame 002 feed_batch oneof body liaison.v1.FeedBatch",
            "field liaison.v1.ExplainDecisionResponse 006 feed_index optional uint64",
            "message liaison.v1.Drain",
            "oneof liaison.v1.ExchangeFrame body",
            "rpc liaison.v1.ExchangeService Exchange stream liaison.v1.ExchangeRequest -> stream liaison.v1.ExchangeResponse",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
        assert_eq!(print_list(&parse_list(&text)), text);
    }
}
