//! The callers of each rpc by its comment in proto/, the comparison with the access policy, and a
//! client for any rpc by name.
//!
//! The table of rpcs and roles is kept in git, so that a change shows as a line that a lawyer can
//! read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost_types::FileDescriptorProto;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::published::descriptors;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rpc-comments.txt");

/// Roles of local clients, as the access policy names them.
pub(crate) const ROLES: [&str; 6] =
    ["analyst", "vendor-tool", "auditor", "policy-officer", "data-protection-officer", "admin"];
/// The other sort of caller: on the partner port, known by its certificate, without a role.
const PARTNER: &str = "a partner's node";

const BEFORE: &str = "Called by: ";

/// An rpc, `liaison.v1.Service/Method`, and who calls it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Callers {
    pub(crate) rpc: String,
    pub(crate) callers: BTreeSet<&'static str>,
}

/// Messages as their bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Calls an rpc, `liaison.v1.Service/Method`, with one message; whatever it answers comes as bytes.
pub(crate) async fn asked(
    channel: &Channel,
    rpc: &str,
    message: Bytes,
) -> Result<Streaming<Bytes>, Status> {
    // Above what a port takes in, so that it is the port that refuses.
    const BYTES_MAX: usize = 64 << 20;
    let mut client = tonic::client::Grpc::new(channel.clone())
        .max_encoding_message_size(BYTES_MAX)
        .max_decoding_message_size(BYTES_MAX);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = format!("/{rpc}").parse().unwrap();
    let sent = Request::new(tokio_stream::once(message));
    client.streaming(sent, path, Raw).await.map(Response::into_inner)
}

/// The callers that a comment names between `Called by: ` and the full stop.
fn parse_callers(comment: &str) -> Result<BTreeSet<&'static str>, String> {
    let line = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    let (names, _) = line
        .strip_prefix(BEFORE)
        .and_then(|rest| rest.split_once('.'))
        .ok_or_else(|| format!("the comment does not begin with \"{BEFORE}<roles>.\": {line}"))?;
    let known = |name: &str| {
        ROLES.into_iter().chain([PARTNER]).find(|role| *role == name).ok_or_else(|| {
            format!("{name:?} is not a caller; callers are {} and {PARTNER}", ROLES.join(", "))
        })
    };
    let callers: Vec<&str> = names.split(", ").map(known).collect::<Result<_, _>>()?;
    let set: BTreeSet<&str> = callers.iter().copied().collect();
    if set.len() < callers.len() { Err(format!("a caller stands twice: {names}")) } else { Ok(set) }
}

fn rpcs_of(file: &FileDescriptorProto) -> Vec<Callers> {
    /// Field numbers of FileDescriptorProto.service and ServiceDescriptorProto.method.
    const SERVICE: i32 = 6;
    const METHOD: i32 = 2;
    let comments: BTreeMap<&[i32], &str> = file
        .source_code_info
        .iter()
        .flat_map(|info| &info.location)
        .map(|location| (location.path.as_slice(), location.leading_comments()))
        .collect();
    let mut found = Vec::new();
    for (s, service) in (0..).zip(&file.service) {
        for (m, method) in (0..).zip(&service.method) {
            let rpc = format!("{}.{}/{}", file.package(), service.name(), method.name());
            let comment = comments.get([SERVICE, s, METHOD, m].as_slice()).unwrap_or(&"");
            let callers = parse_callers(comment).unwrap_or_else(|error| panic!("{rpc}: {error}"));
            found.push(Callers { rpc, callers });
        }
    }
    found
}

/// All rpcs in the order of the files and services.
pub(crate) fn commented() -> Vec<Callers> {
    descriptors().file.iter().flat_map(rpcs_of).collect()
}

fn table(rpcs: &[Callers]) -> String {
    let columns = || ROLES.into_iter().chain([PARTNER]);
    let mut text = format!("{:<46}", "rpc");
    columns().for_each(|role| write!(text, "{role:<25}").unwrap());
    let mut lines = vec![text];
    for Callers { rpc, callers } in rpcs {
        let mut line = format!("{rpc:<46}");
        for role in columns() {
            let cell = if callers.contains(role) { "yes" } else { "-" };
            write!(line, "{cell:<25}").unwrap();
        }
        lines.push(line);
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Returns the differences between the decision for a local client and the comment. A partner's
/// node has no role: rpcs that only it calls must be refused to every role.
pub(crate) fn disagreements(rpcs: &[Callers], allowed: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let each = rpcs.iter().flat_map(|rpc| ROLES.into_iter().map(move |role| (rpc, role)));
    each.filter_map(|(Callers { rpc, callers }, role)| {
        let (said, decided) = (callers.contains(role), allowed(role, rpc));
        let word = |yes: bool| if yes { "may" } else { "may not" };
        (said != decided).then(|| {
            format!("{role} {} call {rpc}, its comment says it {}", word(decided), word(said))
        })
    })
    .collect()
}

#[test]
fn the_callers_in_the_comments_are_the_ones_in_git() {
    let table = table(&commented());
    if std::env::var_os("LIAISON_BLESS").is_some() {
        std::fs::write(Path::new(GOLDEN), &table).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert_eq!(table, golden, "if this is meant: LIAISON_BLESS=1 cargo test --test it rpcs");
}

#[test]
fn the_access_policy_decides_what_the_comments_say() {
    let access = liaison::policy::Access::compile().unwrap();
    let found = disagreements(&commented(), |role, rpc| {
        role.parse().is_ok_and(|role| access.allowed(role, rpc))
    });
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_rpc_that_is_published_is_one_of_the_client_port_or_of_the_partner_port() {
    let published: Vec<String> = commented().into_iter().map(|callers| callers.rpc).collect();
    let listed = liaison::pb::PARTNER_RPCS.into_iter().chain(liaison::pb::CLIENT_RPCS);
    assert_eq!(published, listed.collect::<Vec<_>>());
}

#[test]
fn only_a_partners_node_calls_exchange_and_it_calls_nothing_else() {
    for Callers { rpc, callers } in commented() {
        let expected = liaison::pb::PARTNER_RPCS.contains(&rpc.as_str());
        assert_eq!(callers.contains(PARTNER), expected, "{rpc}");
        assert!(!expected || callers.len() == 1, "{rpc}");
    }
}

mod samples {
    use super::*;

    #[test]
    fn callers_are_read_up_to_the_full_stop() {
        assert_eq!(
            parse_callers(" Called by: analyst,\n vendor-tool. Signs; not auditor.\n"),
            Ok(BTreeSet::from(["analyst", "vendor-tool"]))
        );
        for bad in [
            "Signs and keeps.",
            "Called by: analyst",
            "Called by: analysts.",
            "Called by: .",
            "Called by: analyst, analyst.",
        ] {
            assert!(parse_callers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_difference_from_the_decisions_is_told() {
        let rpcs = [
            Callers { rpc: "A/B".to_owned(), callers: BTreeSet::from(["admin", "auditor"]) },
            Callers { rpc: "A/C".to_owned(), callers: BTreeSet::from([PARTNER]) },
        ];
        let as_said = |role: &str, rpc: &str| rpc == "A/B" && ["admin", "auditor"].contains(&role);
        assert!(disagreements(&rpcs, as_said).is_empty());
        let admin_everywhere = |role: &str, _: &str| role == "admin";
        assert_eq!(
            disagreements(&rpcs, admin_everywhere),
            [
                "auditor may not call A/B, its comment says it may",
                "admin may call A/C, its comment says it may not",
            ]
        );
    }
}
