//! The proof of one record, from a running node: whoever holds the file needs no node to check it.

use std::path::Path;

use liaison::pb::{self, draft::Content};
use liaison::policy::ClientRole;
use serde_json::Value;

use crate::fixture::{CORE_ONLY, RunningNode, draft, hex, introduce, liaison, settled};

/// The additional policy of the agency in the middle: it passes on what others gave it.
const FORWARD: &str = r#"
@id("test/forward")
@title("What we were given for the operation goes on to those who take part in it")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"forward", resource is Liaison::Record)
when { resource has operation && principal.operations.contains(resource.operation) };
"#;

async fn prove(node: &RunningNode, record: &str, file: &Path) -> Value {
    let client = node.profile(ClientRole::Auditor);
    let arguments = ["audit", "prove", record, "-o", "json", "--file"];
    let output = liaison(&arguments, &[file, Path::new("--client"), &client]).await;
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit code and report; of a proof that does not hold, null.
async fn verify(file: &Path, identity: &str) -> (Option<i32>, Value) {
    let arguments = ["audit", "verify", "-o", "json", "--identity", identity];
    let output = liaison(&arguments, &[file]).await;
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn public_indicator() -> pb::Draft {
    let content = pb::Indicator {
        r#type: pb::ValueType::Domain.into(),
        value: "pop-up.example".to_owned(),
        title: "fake alert".to_owned(),
        notes: "who told us".to_owned(),
        ..pb::Indicator::default()
    };
    let mut wire = draft("", Content::Indicator(content));
    if let Some(marking) = &mut wire.marking {
        marking.tlp = pb::Tlp::Clear.into();
        marking.pap = pb::Pap::Clear.into();
    }
    wire
}

#[tokio::test]
async fn a_partners_partner_proves_what_the_originator_signed_without_the_withheld_fields() {
    let dir = tempfile::tempdir().unwrap();
    let to_the_middle = CORE_ONLY.replace(
        "@id(\"test/share\")",
        "@id(\"test/only-the-middle\") @title(\"no\") @agreement(\"none\") @owner(\"t@t.example\") \
         forbid (principal, action == Liaison::Action::\"share\", resource) \
         unless { principal == Liaison::Partner::\"middle.example\" };\n@id(\"test/share\")",
    );
    let forwards = format!("{CORE_ONLY}{FORWARD}");
    let police = RunningNode::fresh(dir.path(), "police.example", "police", &to_the_middle).await;
    let middle = RunningNode::fresh(dir.path(), "middle.example", "cert", &forwards).await;
    let far = RunningNode::fresh(dir.path(), "far.example", "vendor", CORE_ONLY).await;
    let nodes = [&police, &middle, &far];
    introduce(&nodes).await;
    let id = hex(&police.submit(vec![public_indicator()]).await[0].record_id);
    settled(&nodes).await;
    assert_eq!(far.status().await.records, 1, "it did not get to the far end");
    assert_eq!(police.partner("far.example").await.feed_size, 0);

    let identity = police.number().await;
    for (node, receipts) in [(&police, 1), (&middle, 1), (&far, 0)] {
        let file = dir.path().join(format!("{}.proof", node.agency));
        prove(node, &id, &file).await;
        let (code, report) = verify(&file, &identity).await;
        assert_eq!(code, Some(0), "{}", node.agency);
        assert_eq!((report["record"].as_str(), &report["verified"]), (Some(&*id), &true.into()));
        assert_eq!(report["originator"], "police.example");
        let withheld = report["fields"]["withheld"].as_array().unwrap();
        assert_eq!(withheld.contains(&"notes".into()), node.agency != "police.example");
        let checked = report["checked"].as_array().unwrap();
        let count = |what: &str| checked.iter().filter(|line| line["what"] == what).count();
        assert_eq!((count("record"), count("accepted"), count("receipted")), (1, 1, receipts));
    }
    let file = dir.path().join("far.example.proof");
    assert_eq!(verify(&file, &far.number().await).await.0, Some(4), "another's number");
    is_refused_wherever_changed(&file, &identity).await;
    fields_can_be_left_out(&police, &id, &dir.path().join("less.proof"), &identity).await;
}

async fn is_refused_wherever_changed(file: &Path, identity: &str) {
    let bytes = std::fs::read(file).unwrap();
    let changed = file.with_extension("changed");
    for at in (0..bytes.len()).step_by(bytes.len() / 16) {
        let mut other = bytes.clone();
        other[at] ^= 1;
        std::fs::write(&changed, &other).unwrap();
        assert_eq!(verify(&changed, identity).await.0, Some(6), "byte {at}");
    }
}

async fn fields_can_be_left_out(node: &RunningNode, id: &str, file: &Path, identity: &str) {
    let client = node.profile(ClientRole::Analyst);
    let arguments = ["audit", "prove", id, "--withhold", "title", "--file"];
    let output = liaison(&arguments, &[file, Path::new("--client"), &client]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (code, report) = verify(file, identity).await;
    assert_eq!((code, &report["fields"]["withheld"]), (Some(0), &serde_json::json!(["title"])));
    let again = liaison(&arguments, &[file, Path::new("--client"), &client]).await;
    assert_eq!(again.status.code(), Some(9), "it wrote over a file that was there");
}
