//! The dry run of a policy: every record of a node, for so many partners, under two bundles; while
//! single records are submitted beside it.
//!
//! The records differ in what policies ask (kind, TLP label, labels, confidence, personal data), so
//! that hardly two have the same facts; records of one push would be alike and much faster. The
//! partners' cards are real and their nodes are not there: all are suspended, so that nothing else
//! is at work.

use super::figures::{Figure, Target};
use super::memory::{Memory, megabytes};
use super::pair;
use super::timing::failed;
use crate::cli::commands::demo::agencies::{AGENCIES, Agency, DCU};
use crate::cli::commands::demo::nodes::{self, RunningNode};
use crate::cli::commands::demo::{apply_policy_text, asked, data};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::node::config::{Config, Http, Listen, Release, RollbackGuard, Store, Witness};
use crate::node::init;
use crate::node::limits::Limits;
use crate::pb::{
    self, act_service_client::ActServiceClient, partner_service_client::PartnerServiceClient,
    policy_service_client::PolicyServiceClient, record_service_client::RecordServiceClient,
};
use crate::policy::ClientRole;
use crate::store::EngineKind;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Seconds for 1,000,000 records and 20 partners on two processors.
const SECONDS_MAX: f64 = 30.0;
/// The longest time for a live record meanwhile.
const LIVE_MILLISECONDS_MAX: f64 = 250.0;
/// Drafts of one message.
const DRAFTS: usize = 512;
/// Messages under way.
const WINDOW: usize = 8;
const SECTORS: [&str; 5] = ["police", "cert", "vendor", "prosecutor", "regulator"];
const COUNTRIES: [&str; 4] = ["JP", "IN", "FR", "US"];
/// Policies of each bundle.
const POLICIES: usize = 20;
/// Labels that records have two of.
const LABELS: usize = 20;

pub(super) async fn measure(
    dir: &Path,
    engine: EngineKind,
    records: usize,
    partners: usize,
    context: &Context,
) -> Result<Vec<Figure>, CliError> {
    let agency = AGENCIES.iter().find(|agency| agency.name == DCU);
    let agency = agency.ok_or_else(|| CliError::Answer(DCU.to_owned()))?;
    let own = dir.join(agency.name);
    nodes::make(&own, agency, engine)?;
    let node = RunningNode::start(agency.name, &own).await?;
    let measured = through(&node, dir, agency, (records, partners), context).await;
    node.stop().await;
    measured
}

async fn through(
    node: &RunningNode,
    dir: &Path,
    agency: &Agency,
    (records, partners): (usize, usize),
    context: &Context,
) -> Result<Vec<Figure>, CliError> {
    let say = |text: &str| context.output.note(text);
    for n in 0..partners {
        add_partner(node, dir, agency, n).await?;
    }
    apply_policy_text(node, &bundle(0)).await?;
    say(&format!("a node with {records} records and {partners} partners"));
    let started = Instant::now();
    fill(node, records).await?;
    let filled = started.elapsed();
    say("the diff of a bundle, and single records beside it");
    let next = bundle(1);
    let (shown, live) = tokio::join!(diff(node, &next), live(node, records));
    let (first, difference) = shown?;
    let mut live = live?;
    live.sort_unstable();
    let (again, _) = diff(node, &next).await?;
    let newly = |of: fn(&pb::PartnerDifference) -> Option<&pb::RecordDifference>| {
        difference.partners.iter().filter_map(of).map(|found| found.records).sum::<u64>()
    };
    let shown = newly(|partner| partner.shown.as_ref());
    let hidden = newly(|partner| partner.hidden.as_ref());
    let rate = |time: Duration| {
        let decisions = (difference.records * partners as u64 * 2) as f64;
        format!("{:.2} µs a record, partner and bundle", time.as_secs_f64() * 1e6 / decisions)
    };
    let target = Target::AtMost(SECONDS_MAX);
    Ok(vec![
        Figure::new(
            format!("records submitted before, of {partners} partners"),
            records as f64,
            "",
        )
        .remark(format!("in {:.0} s", filled.as_secs_f64())),
        Figure::new("diff of a policy, beside live records", first.as_secs_f64(), "s")
            .remark(format!("{}; +{shown} −{hidden}", rate(first)))
            .target(target),
        Figure::new("the same again, as before it is in force", again.as_secs_f64(), "s")
            .remark(rate(again))
            .target(target),
        pair::milliseconds("one record meanwhile, sent to acknowledged, median", &live, 50)
            .target(Target::AtMost(LIVE_MILLISECONDS_MAX)),
        pair::milliseconds("one record meanwhile, p99", &live, 99),
        Figure::new("peak memory of the node", megabytes(Memory::of(node).peak), "MB"),
    ])
}

/// The n-th partner: a card of its own, known to the node and not active.
async fn add_partner(
    node: &RunningNode,
    dir: &Path,
    agency: &Agency,
    n: usize,
) -> Result<(), CliError> {
    let name = format!("partner-{n:03}.example");
    let config = Config {
        agency: name.clone(),
        display_name: format!("Partner {n} (measurement)"),
        country: COUNTRIES[n % COUNTRIES.len()].to_owned(),
        sector: SECTORS[n % SECTORS.len()].to_owned(),
        hosts: vec!["127.0.0.1".to_owned()],
        addresses: Vec::new(),
        listen: Listen { partners: "127.0.0.1:1".to_owned(), clients: "127.0.0.1:2".to_owned() },
        store: Store::default(),
        witness: Witness::default(),
        guard: RollbackGuard::default(),
        http: Http::default(),
        release: Release::default(),
        limits: Limits::default(),
    };
    let place = dir.join(&name);
    let card = init::init(&place, &config, (crate::journal::open::system_clock())())?;
    let armour = card.to_armour().map_err(failed("cannot write a card"))?;
    let mut client = PartnerServiceClient::new(node.client(ClientRole::Admin).await?);
    let facts = pb::PartnerFacts {
        operations: vec![crate::cli::commands::demo::agencies::OPERATION.to_owned()],
        circles: vec![format!("circle-{}", n % 3)],
        client: agency.country == config.country,
        ..pb::PartnerFacts::default()
    };
    let number = card.number().to_string();
    let request = pb::AddPartnerRequest { card: armour, number, facts: Some(facts) };
    let added = asked("add a partner", client.add_partner(request).await)?;
    let mut officer = ActServiceClient::new(node.client(ClientRole::PolicyOfficer).await?);
    let proposal = added.act.map_or(0, |act| act.proposal);
    let decision = pb::DecideActRequest { proposal, approved: true, reason: String::new() };
    asked("approve a partner", officer.decide_act(decision).await)?;
    let state = pb::PartnerState::Suspended.into();
    let request = pb::SetPartnerStateRequest { agency: name, state };
    asked("suspend a partner", client.set_partner_state(request).await).map(drop)
}

/// A bundle of twenty policies; of another `edition` six of them are other ones.
fn bundle(edition: usize) -> String {
    let mut text = String::new();
    for n in 0..POLICIES {
        let (sector, label) = (SECTORS[n % SECTORS.len()], n % LABELS);
        let action = if n % 10 == 9 { "reveal:notes" } else { "share" };
        let least = 30 + 3 * n - if n % 3 == 0 { 8 * edition } else { 0 };
        let amber = if n % 4 == 0 { ", Liaison::Tlp::\"AMBER\"" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            r#"@id("bench/{n}") @title("Policy {n}") @agreement("none") @owner("policy@dcu.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"{action}", resource is Liaison::Record)
when {{
  principal.sector == Liaison::Sector::"{sector}" &&
  [Liaison::Tlp::"CLEAR", Liaison::Tlp::"GREEN"{amber}].contains(resource.tlp) &&
  resource.labels.contains("bench-{label}") && resource.confidence >= {least}
}};"#,
        );
    }
    text
}

/// The n-th record: hardly two of them are alike in what a policy may ask.
fn draft(n: usize) -> pb::Draft {
    let mut draft = if n.is_multiple_of(3) { data::indicator(n) } else { data::result(n) };
    let tlp = [pb::Tlp::Clear, pb::Tlp::Green, pb::Tlp::Amber, pb::Tlp::AmberStrict][n / 7 % 4];
    draft.confidence = (n * 37 % 101) as u32;
    draft.labels = vec![format!("bench-{:}", n % LABELS), format!("bench-{:}", n / 11 % LABELS)];
    draft.labels.sort_unstable();
    draft.labels.dedup();
    if let Some(marking) = &mut draft.marking {
        marking.tlp = tlp.into();
        marking.personal_data = n.is_multiple_of(13);
        if marking.personal_data {
            marking.jurisdictions = vec![COUNTRIES[n / 13 % COUNTRIES.len()].to_owned()];
        }
    }
    draft
}

async fn fill(node: &RunningNode, records: usize) -> Result<(), CliError> {
    let mut client = RecordServiceClient::new(node.client(ClientRole::VendorTool).await?);
    let (requests, outgoing) = mpsc::channel(WINDOW);
    // It ends with the last draft, or when nobody takes them any more.
    tokio::spawn(async move {
        for start in (0..records).step_by(DRAFTS) {
            let drafts = (start..records.min(start + DRAFTS)).map(draft).collect();
            if requests.send(pb::StreamRecordsRequest { drafts }).await.is_err() {
                return;
            }
        }
    });
    let stream = client.stream_records(ReceiverStream::new(outgoing)).await;
    let mut answers = asked("submit records", stream)?;
    let failed =
        |status| CliError::Node { doing: "submit records".to_owned(), source: Box::new(status) };
    while let Some(answer) = answers.message().await.map_err(failed)? {
        let refused = answer.results.into_iter().find(|r| r.outcome() == pb::DraftOutcome::Refused);
        if let Some(refused) = refused {
            return Err(CliError::Answer(format!("{}: {}", refused.field, refused.reason)));
        }
    }
    Ok(())
}

async fn diff(
    node: &RunningNode,
    text: &str,
) -> Result<(Duration, pb::PolicyDifference), CliError> {
    let mut client = PolicyServiceClient::new(node.client(ClientRole::PolicyOfficer).await?);
    let file = pb::PolicyFile { name: "10-sharing.cedar".to_owned(), text: text.to_owned() };
    let request = pb::ComparePolicyRequest { files: vec![file], version: 0 };
    let started = Instant::now();
    let mut answers = asked("compare a policy", client.compare_policy(request).await)?;
    let failed =
        |status| CliError::Node { doing: "compare a policy".to_owned(), source: Box::new(status) };
    while let Some(answer) = answers.message().await.map_err(failed)? {
        if let Some(difference) = answer.difference {
            return Ok((started.elapsed(), difference));
        }
    }
    Err(CliError::Answer("a comparison ended without a result".to_owned()))
}

/// Single records, one after another, each from sending it until it is acknowledged.
async fn live(node: &RunningNode, first: usize) -> Result<Vec<Duration>, CliError> {
    let mut client = RecordServiceClient::new(node.client(ClientRole::VendorTool).await?);
    let mut times = Vec::with_capacity(pair::SINGLES);
    for n in first..first + pair::SINGLES {
        let request = pb::SubmitRecordsRequest { drafts: vec![draft(n)] };
        let sent = Instant::now();
        asked("submit a record", client.submit_records(request).await)?;
        times.push(sent.elapsed());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Bundle, PolicyChange, Vocabulary, change_of};
    use std::collections::BTreeSet;

    #[test]
    fn the_bundles_are_sound_and_the_second_shows_more() {
        let load = |text: String| {
            let files = [("10-sharing.cedar".to_owned(), text)];
            Bundle::load(files, &Vocabulary::default()).unwrap()
        };
        let change = change_of(&load(bundle(0)), &load(bundle(1)));
        assert_eq!(change, PolicyChange::Revealing);
    }

    #[test]
    fn hardly_two_records_are_alike_in_what_a_policy_may_ask() {
        let asked = |n| {
            let draft = draft(n);
            format!("{:?} {} {:?} {}", draft.labels, draft.confidence, draft.marking, n % 3)
        };
        let different: BTreeSet<_> = (0..20_000).map(asked).collect();
        assert!(different.len() > 15_000, "{}", different.len());
    }
}
