//! The clients in examples/ against a running node: each records an indicator, finds it, and prints the decision.
//!
//! The Python client needs grpcio and grpcio-tools. LIAISON_PYTHON names an interpreter that must have them;
//! without it the test of that client passes where python3 has not.

#![allow(clippy::print_stderr, reason = "says why nothing was tested")]

use std::ffi::OsString;

use liaison::ident::RecordId;
use liaison::policy::ClientRole;
use tokio::process::Command;

use crate::fixture::{CORE_ONLY, OPERATION, RunningNode, introduce};

#[path = "../../examples/search.rs"]
#[allow(dead_code, reason = "a program of its own")]
mod search;

const PYTHON_CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/search.py");
const PARTNER: &str = "cert.example";
const DOMAIN: &str = "support-9.example";

/// A node with a partner that gets everything of the operation.
async fn node(dir: &tempfile::TempDir) -> [RunningNode; 2] {
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let partner = RunningNode::fresh(dir.path(), PARTNER, "cert", CORE_ONLY).await;
    introduce(&[&node, &partner]).await;
    [node, partner]
}

/// Checks that a client printed a record id and a decision that names the policy.
#[track_caller]
fn shows_the_decision(printed: &str) {
    let (first, explanation) = printed.split_once('\n').unwrap();
    assert!(first.strip_prefix("record ").unwrap().parse::<RecordId>().is_ok(), "{printed}");
    assert!(explanation.contains(PARTNER) && explanation.contains("test/share"), "{printed}");
}

/// The interpreter with the libraries of the client.
async fn python() -> Option<OsString> {
    let named = std::env::var_os("LIAISON_PYTHON");
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let imported = Command::new(&python).args(["-c", "import grpc, grpc_tools"]).output().await;
    let has_them = imported.is_ok_and(|output| output.status.success());
    assert!(has_them || named.is_none(), "{python:?} has no grpcio and grpcio-tools");
    if !has_them {
        eprintln!("python3 has no grpcio and grpcio-tools: the Python client was not tested");
    }
    has_them.then_some(python)
}

#[tokio::test]
async fn the_rust_client_prints_why_a_partner_gets_what_it_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let [node, _partner] = node(&dir).await;
    let profile = node.profile(ClientRole::Analyst);
    let printed = search::search(&profile, DOMAIN, OPERATION, PARTNER).await.unwrap();
    shows_the_decision(&printed);
}

#[tokio::test]
async fn the_python_client_prints_why_a_partner_gets_what_it_recorded() {
    let Some(python) = python().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let [node, _partner] = node(&dir).await;
    let mut client = Command::new(python);
    client.arg(PYTHON_CLIENT).arg(node.profile(ClientRole::Analyst));
    let output =
        client.args([DOMAIN, OPERATION, PARTNER]).kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    shows_the_decision(&String::from_utf8(output.stdout).unwrap());
}
