//! Every rpc with the largest and oddest messages that its descriptor allows, made from the
//! descriptors: none of them stops the node.

use std::time::Duration;

use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::fixture::{CORE_ONLY, RunningNode, indicator};
use crate::published::descriptors;
use crate::rpcs::{Callers, asked, commented};

/// More than a journal entry may have, in one field.
const LONG: usize = 70_000;
/// Elements of a list; with the smallest of them a message stays below its limit.
const MANY: usize = 4_000;
/// Messages within messages.
const DEPTH: usize = 4;
/// The longest wait for an answer; some streams never end.
const PATIENCE: Duration = Duration::from_millis(200);

/// The content that a field is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Oddity {
    Nothing,
    LongTexts,
    Nul,
    WrongLengths,
    RightLengths,
    LongLists,
    Extremes,
    NotUtf8,
}

impl Oddity {
    const ALL: [Self; 8] = [
        Self::Nothing,
        Self::LongTexts,
        Self::Nul,
        Self::WrongLengths,
        Self::RightLengths,
        Self::LongLists,
        Self::Extremes,
        Self::NotUtf8,
    ];

    fn bytes(self, number: u32) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::LongTexts => vec![b'a'; LONG],
            Self::Nul => vec![0; 3],
            Self::WrongLengths => vec![b'7'; [1, 15, 17, 31, 33][number as usize % 5]],
            Self::RightLengths | Self::Extremes => vec![b'7'; if number == 1 { 32 } else { 16 }],
            Self::LongLists => vec![b'l'; 1],
            Self::NotUtf8 => vec![0xff, 0xfe, b'x'],
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Extremes => u64::MAX,
            Self::LongTexts | Self::NotUtf8 => 1 << 31,
            Self::Nothing | Self::Nul => 0,
            Self::WrongLengths | Self::RightLengths | Self::LongLists => 1,
        }
    }

    fn times(self, field: &FieldDescriptorProto) -> usize {
        match self {
            _ if field.label() != Label::Repeated => 1,
            Self::LongLists if field.r#type() != Type::Message => MANY,
            Self::LongLists => MANY / 16,
            _ => 2,
        }
    }
}

fn message<'a>(set: &'a FileDescriptorSet, name: &str) -> &'a DescriptorProto {
    let (package, name) = name.trim_start_matches('.').rsplit_once('.').unwrap();
    let file = set.file.iter().filter(|file| file.package() == package);
    file.flat_map(|file| &file.message_type).find(|message| message.name() == name).unwrap()
}

/// Returns a message with every field set. Of a choice only one can count, so `choice` selects the
/// last one.
fn odd(
    set: &FileDescriptorSet,
    of: &DescriptorProto,
    oddity: Oddity,
    choice: usize,
    depth: usize,
) -> Vec<u8> {
    let mut fields: Vec<&FieldDescriptorProto> = of.field.iter().collect();
    if !fields.is_empty() {
        let middle = choice % fields.len();
        fields.rotate_left(middle);
    }
    let mut bytes = Vec::new();
    for field in fields {
        let number = field.number().cast_unsigned();
        for _ in 0..oddity.times(field) {
            match field.r#type() {
                Type::Message if depth == 0 => {}
                Type::Message => {
                    let inner =
                        odd(set, message(set, field.type_name()), oddity, choice, depth - 1);
                    encode_key(number, WireType::LengthDelimited, &mut bytes);
                    encode_varint(inner.len() as u64, &mut bytes);
                    bytes.extend(inner);
                }
                Type::String | Type::Bytes => {
                    let text = oddity.bytes(number);
                    encode_key(number, WireType::LengthDelimited, &mut bytes);
                    encode_varint(text.len() as u64, &mut bytes);
                    bytes.extend(text);
                }
                _ => {
                    encode_key(number, WireType::Varint, &mut bytes);
                    encode_varint(oddity.number(), &mut bytes);
                }
            }
        }
    }
    bytes
}

/// Sends one message and reads what comes within some time.
async fn call(channel: &Channel, rpc: &str, message: Vec<u8>) -> Result<(), Status> {
    let mut answers = asked(channel, rpc, message.into()).await?;
    while let Ok(next) = tokio::time::timeout(PATIENCE, answers.message()).await {
        if next?.is_none() {
            break;
        }
    }
    Ok(())
}

fn requests(set: &FileDescriptorSet) -> impl Iterator<Item = (Callers, String)> {
    commented().into_iter().map(|callers| {
        let (service, method) = callers.rpc.rsplit_once('/').unwrap();
        let (package, service) = service.rsplit_once('.').unwrap();
        let services = set.file.iter().filter(|file| file.package() == package);
        let service = services.flat_map(|file| &file.service).find(|s| s.name() == service);
        let method = service.unwrap().method.iter().find(|m| m.name() == method).unwrap();
        let input = method.input_type().to_owned();
        (callers, input)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_through_any_rpc_stops_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    node.submit(vec![indicator("known.example", "a record")]).await;
    let set = descriptors();
    for (Callers { rpc, callers }, input) in requests(&set) {
        let Some(role) = callers.iter().find(|role| **role != "a partner's node") else { continue };
        let channel = node.channel_of(role).await;
        let input = message(&set, &input);
        for oddity in Oddity::ALL {
            for choice in 0..input.field.len().clamp(1, 4) {
                let message = odd(&set, input, oddity, choice, DEPTH);
                let size = message.len();
                let answer = call(&channel, &rpc, message).await;
                let code = answer.err().map_or(Code::Ok, |status| status.code());
                let gone = matches!(code, Code::Unavailable | Code::Unknown);
                assert!(!gone, "{rpc} with {oddity:?}, {size} bytes: {code:?}");
            }
        }
        let beyond = call(&channel, &rpc, vec![0x0a; 5 << 20]).await.unwrap_err();
        assert_eq!(beyond.code(), Code::OutOfRange, "{rpc}: {beyond}");
    }
    assert_eq!(node.status().await.records, 1);
    node.end_audited().await;
}
