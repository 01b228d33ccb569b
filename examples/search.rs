//! A client of about sixty lines: records an indicator, finds it again, and prints why a partner gets it or not.
//!
//! ```text
//! liaison client issue m.jansen --role analyst --dir cert
//! cargo run --example search -- cert/clients/m.jansen.client support-9.example chakra-v dcu.example
//! ```

#![allow(clippy::print_stdout, reason = "prints what it found")]

use std::error::Error;
use std::path::Path;

use liaison::pb::policy_service_client::PolicyServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, draft::Content};
use liaison::tls::{ClientProfile, connect_client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [profile, domain, operation, partner] = &arguments[..] else {
        return Err("usage: search PROFILE DOMAIN OPERATION PARTNER".into());
    };
    println!("{}", search(Path::new(profile), domain, operation, partner).await?);
    Ok(())
}

/// Returns the id of the record and the node's explanation for the partner.
pub(crate) async fn search(
    profile: &Path,
    domain: &str,
    operation: &str,
    partner: &str,
) -> Result<String, Box<dyn Error>> {
    // The profile names the node, its authority, and this client's certificate and key.
    let channel = connect_client(&ClientProfile::load(profile)?).await?;
    let mut records = RecordServiceClient::new(channel.clone());

    let draft = pb::Draft {
        marking: Some(pb::Marking {
            tlp: pb::Tlp::Green.into(),
            pap: pb::Pap::Green.into(),
            ..Default::default()
        }),
        operation: operation.into(),
        confidence: 80,
        content: Some(Content::Indicator(pb::Indicator {
            r#type: pb::ValueType::Domain.into(),
            value: domain.into(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let request = pb::SubmitRecordsRequest { drafts: vec![draft] };
    let results = records.submit_records(request).await?.into_inner().results;
    if let Some(refused) = results.iter().find(|of| of.outcome() == pb::DraftOutcome::Refused) {
        return Err(format!("{}: {}", refused.field, refused.reason).into());
    }

    let query = pb::QueryRecordsRequest { value: domain.into(), ..Default::default() };
    let mut found = records.query_records(query).await?.into_inner();
    let record = found.message().await?.and_then(|answer| answer.record);
    let record_id = record.ok_or("the record was not found")?.record_id;

    let question = pb::ExplainDecisionRequest {
        record_id: record_id.clone(),
        partner: partner.into(),
        at_ms: 0,
    };
    let answer = PolicyServiceClient::new(channel).explain_decision(question).await?.into_inner();
    let id: String = record_id.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("record {id}\n{}", answer.text))
}
