//! Stores that an earlier build wrote, of which this one says the same.

use std::path::Path;

use crate::fixture;

const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores");

async fn assert_prints(arguments: &[&str], expected: &str) {
    let store = format!("{STORES}/npa.go.jp");
    let output = fixture::liaison(arguments, &[Path::new(&store)]).await;
    let expected = std::fs::read_to_string(format!("{STORES}/{expected}")).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[tokio::test]
async fn the_audit_of_an_earlier_history_finds_what_it_found() {
    assert_prints(&["audit", "verify", "-o", "json"], "npa.go.jp.json").await;
}

#[tokio::test]
async fn the_ledger_of_an_earlier_history_has_the_same_rows() {
    let ledger = ["audit", "ledger", "--partner", "cbi.gov.in", "-o", "ndjson"];
    assert_prints(&ledger, "npa.go.jp.ledger.ndjson").await;
}
