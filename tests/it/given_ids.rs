//! Every command that takes an id takes its first digits, and means the same thing by them.

use std::path::Path;
use std::process::Output;

use liaison::policy::ClientRole;
use serde_json::Value;

use crate::fixture::{CORE_ONLY, RunningNode, introduce, liaison, settled};

const VENDOR: &str = "vendor.example";
/// Digits that a test node's few ids do not share.
const DIGITS: usize = 10;

async fn run(node: &RunningNode, role: ClientRole, arguments: &[&str]) -> Output {
    liaison(&[arguments, &["--client"]].concat(), &[&node.profile(role)]).await
}

async fn document(node: &RunningNode, role: ClientRole, arguments: &[&str]) -> Value {
    let output = run(node, role, &[arguments, &["-o", "json"]].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The ids of a node, each whole or by its first digits.
struct Ids {
    record: String,
    series: String,
    bundle: String,
}

impl Ids {
    fn short(&self) -> Self {
        let short = |id: &String| id[..DIGITS].to_owned();
        Self {
            record: short(&self.record),
            series: short(&self.series),
            bundle: short(&self.bundle),
        }
    }

    fn fill(&self, command: &str, node: &Path, out: &Path) -> Vec<String> {
        let filled = command.split(' ').map(|word| {
            word.replace("{record}", &self.record)
                .replace("{series}", &self.series)
                .replace("{bundle}", &self.bundle)
                .replace("{node}", node.to_str().unwrap())
                .replace("{out}", out.to_str().unwrap())
        });
        filled.collect()
    }
}

/// Commands that read, with the role that may.
const READING: [(ClientRole, &str); 17] = [
    (ClientRole::Analyst, "record show {record}"),
    (ClientRole::Analyst, "record show {series}"),
    (ClientRole::Analyst, "record verify {record}"),
    (ClientRole::Analyst, "record verify {series}"),
    (ClientRole::Analyst, "record erasures {record}"),
    (ClientRole::Analyst, "record why-not {record} --partner vendor.example"),
    (ClientRole::Analyst, "case show {series}"),
    (ClientRole::Analyst, "case timeline {series}"),
    (ClientRole::Analyst, "query --case {series}"),
    (ClientRole::Analyst, "takedown status {series}"),
    (ClientRole::PolicyOfficer, "policy who {record}"),
    (ClientRole::PolicyOfficer, "policy explain --record {record} --partner vendor.example"),
    (ClientRole::PolicyOfficer, "policy show --bundle {bundle}"),
    (ClientRole::Auditor, "audit ledger {node} --record {record}"),
    (ClientRole::Auditor, "audit prove {record} --file {out}"),
    (ClientRole::Auditor, "audit export {node} --record {record} --out {out}"),
    (ClientRole::Auditor, "audit export --record {record} --out {out}"),
];

/// Commands that change something, each of which can be given once.
const CHANGING: [(ClientRole, &str); 5] = [
    (ClientRole::Analyst, "record restrict {record} --reason x"),
    (ClientRole::PolicyOfficer, "record unrestrict {record} --reason x"),
    (ClientRole::Analyst, "record erase {record} --slots title --basis led-16 --authority x"),
    (ClientRole::Analyst, "record withdraw {record} --reason error"),
    (ClientRole::Analyst, "record show {record}"),
];

#[tokio::test]
async fn every_command_that_takes_an_id_takes_its_first_digits() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let vendor = RunningNode::fresh(dir.path(), VENDOR, "vendor", CORE_ONLY).await;
    introduce(&[&node, &vendor]).await;
    let create = "case create --reference OP-1187 --title T --tlp green --operation";
    let create: Vec<&str> = create.split(' ').chain([crate::fixture::OPERATION]).collect();
    let case = document(&node, ClientRole::Analyst, &create).await;
    settled(&[&node, &vendor]).await;
    let versions = document(&node, ClientRole::PolicyOfficer, &["policy", "log"]).await;
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{versions}")).to_owned();
    let ids = Ids {
        record: text(&case["id"]),
        series: text(&case["series"]),
        bundle: text(&versions["versions"][0]["applied"]["bundle_hash"]),
    };
    let given = async |ids: &Ids, role, command: &str, name: String| {
        let filled = ids.fill(command, &node.dir, &dir.path().join(name));
        let filled: Vec<&str> = filled.iter().map(String::as_str).collect();
        let output = run(&node, role, &filled).await;
        assert!(output.status.success(), "{filled:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for (number, (role, command)) in READING.into_iter().enumerate() {
        let whole = given(&ids, role, command, format!("{number}-whole")).await;
        let short = given(&ids.short(), role, command, format!("{number}-short")).await;
        assert!(!whole.is_empty(), "{command}");
        if !command.contains("{out}") {
            assert_eq!(short, whole, "{command}");
        }
    }
    for (role, command) in CHANGING {
        given(&ids.short(), role, command, "nothing".to_owned()).await;
    }
    let unknown = "0".repeat(DIGITS);
    for command in ["record show", "record verify", "policy who"] {
        let arguments: Vec<&str> = command.split(' ').chain([unknown.as_str()]).collect();
        let output = run(&node, ClientRole::PolicyOfficer, &arguments).await;
        assert_eq!(output.status.code(), Some(3), "{command}: {output:?}");
    }
}
