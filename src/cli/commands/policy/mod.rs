//! `liaison policy`: the sharing policy in force, checked, compared, applied and explained.

mod bundle_files;
mod client;
mod log;
mod new;
mod prove;
mod test;
mod what;
mod who;

use super::acts;
use crate::cli::connection::Role;
use crate::cli::context::{Context, parse_time};
use crate::cli::error::CliError;
use crate::cli::given_id::{GivenBundle, GivenId};
use crate::cli::output::{Format, harmless_lines};
use crate::cli::policy_difference::{change_text, difference_text};
use crate::cli::progress::Progress;
use crate::cli::schema::{self, Absent, hex};
use crate::cli::table::facts;
use crate::cli::wording::waits_for;
use crate::ident::{AgencyName, BundleHash, Timestamp};
use crate::pb;
use crate::policy::{Vocabulary, load_proposed};
use bundle_files::{read_bundle, refused};
use bytes::Bytes;
use client::{Client, client};
use log::LogArgs;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The steps of a change of policy, for the help of each command that is one of them.
const STEPS: &str = "A policy is changed in steps:
  1. liaison policy check DIR    is it sound?
  2. liaison policy diff DIR     who would newly see what? The journal notes that you looked.
  3. liaison policy apply DIR    puts it in force if nothing is newly shown; otherwise proposes it
  4. liaison acts approve N      another policy officer, for fields of a sensitive class that a
                                 partner was shown none of also the data protection officer";

/// See, check, compare, apply and explain the sharing policy.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// Show the bundle in force, an earlier version, or one that was proposed.
    #[command(
        after_help = "Examples:\n  liaison policy show\n  liaison policy show --version 3\n  liaison policy show --bundle 4f1c…"
    )]
    Show(ShowArgs),
    /// Check a bundle against the node's vocabulary; nothing changes.
    #[command(
        after_help = "Examples:\n  liaison policy check policies/\n  liaison policy check --offline policies/\n\nExits 5 when there are findings."
    )]
    Check(CheckArgs),
    /// Compare a bundle with the policy in force: newly shown and hidden records, by partner; nothing changes.
    #[command(
        after_help = format!("Examples:\n  liaison policy diff policies/\n  liaison policy diff --version 3\n\nCounts every record of the node. {STEPS}\n\nExits 5 when the bundle is invalid.")
    )]
    Diff(DiffArgs),
    /// Put a bundle in force, or propose it where others must approve.
    #[command(
        after_help = format!("Example:\n  liaison policy apply policies/ --note \"certs, as agreed on 3 May\"\n\n{STEPS}\n\nNeeds a diff of exactly this bundle with the policy in force, not older than 24 hours.\nExits 5 when the bundle is invalid, 9 when the diff is missing; then nothing changes.")
    )]
    Apply(ApplyArgs),
    /// Put the bundle of an earlier version in force again, after its changes were shown.
    #[command(
        after_help = "Examples:\n  liaison policy rollback\n  liaison policy rollback 3 --note \"the widening of 3 May was a mistake\"\n\nTakes the same diff and the same approvals as any other bundle: an earlier one may show more."
    )]
    Rollback(RollbackArgs),
    /// Show the versions of the policy: when, by whom, approved by whom, and what each changed.
    #[command(after_help = "Example:\n  liaison policy log")]
    Log(LogArgs),
    /// Explain the decision on one record for one partner.
    #[command(
        after_help = "Example:\n  liaison policy explain --record 9f31c2… --partner jc3.or.jp --at 2026-11-01\n\nWith a time in the past it is the decision at that time, with the policy, partner and record of that time."
    )]
    Explain(ExplainArgs),
    /// Run the examples of a bundle, without a node.
    #[command(
        after_help = "Example:\n  liaison policy test policies/\n\nExits 5 when an example fails, with the reasons of the decision, or when a file has findings.\ndocs/POLICY.md explains the form of an example."
    )]
    Test(test::TestArgs),
    /// Begin a policy for a partner from a template, with examples that pass.
    #[command(
        after_help = "Example:\n  liaison policy new --template takedown-vendor --partner dcu.example policies/\n\nExisting files are never overwritten."
    )]
    New(new::NewArgs),
    /// List the partners that may have a record, with the fields and the reasons.
    #[command(after_help = "Example:\n  liaison policy who 9f31c2…")]
    Who(who::WhoArgs),
    /// Count the records that a partner may see, and the policies that deny the others.
    #[command(
        after_help = "Examples:\n  liaison policy what jc3.or.jp\n  liaison policy what jc3.or.jp --by denial\n\nEvery record is decided anew: some seconds for a million. Disconnecting cancels the work."
    )]
    What(what::WhatArgs),
    /// Prove rules for every record and partner, or the effect of a change; offline.
    #[command(
        after_help = "Examples:\n  liaison policy prove policies/\n  liaison policy prove new/ --against policies/\n\nNeeds a program built with the feature `prove`, and the solver cvc5. Exits 5 when something is\nnot proved."
    )]
    Prove(prove::ProveArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct BundleArgs {
    /// Directory with *.cedar files and their examples in *.test.toml files; they are read in the
    /// order of their names.
    directory: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Number of an earlier version, as `liaison policy log` shows it.
    #[arg(long, value_name = "NUMBER")]
    version: Option<u64>,
    /// Hash of a bundle that was proposed or in force, or its first digits, six at the least.
    #[arg(long, value_name = "HASH", conflicts_with = "version")]
    bundle: Option<GivenBundle>,
}

#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// Directory with *.cedar files and their examples in *.test.toml files.
    #[arg(required_unless_present = "version")]
    directory: Option<PathBuf>,
    /// The bundle of an earlier version instead.
    #[arg(long, value_name = "NUMBER", conflicts_with = "directory")]
    version: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Note on the change, for those who approve and for the log; at most 1,024 bytes.
    #[arg(long, default_value = "")]
    note: String,
}

#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// Number of the version; by default the version before the one in force.
    version: Option<u64>,
    /// Note on the change, for those who approve and for the log; at most 1,024 bytes.
    #[arg(long, default_value = "")]
    note: String,
}

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Without a node: names of partners and circles are not compared with those that exist.
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Id of the record, or its first digits, six at the least.
    #[arg(long)]
    record: GivenId,
    /// Name of the partner.
    #[arg(long)]
    partner: AgencyName,
    /// Time of the decision; by default now.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<Timestamp>,
}

pub(super) async fn run(command: PolicyCommand, context: &Context) -> Result<(), CliError> {
    match command {
        PolicyCommand::Show(args) => show(&args, context).await,
        PolicyCommand::Check(args) => {
            let files = read_bundle(&args.bundle.directory)?;
            let hash = if args.offline {
                check_here(files, context)?
            } else {
                let mut client = client(context, &[Role::PolicyOfficer]).await?;
                check(&mut client, files, context).await?
            };
            let document = json!({"findings": [], "bundle_hash": hash});
            context.output.either(document, || facts([("sound", hash.clone())]))
        }
        PolicyCommand::Diff(args) => diff(&args, context).await,
        PolicyCommand::Apply(args) => apply(args, context).await,
        PolicyCommand::Rollback(args) => rollback(args, context).await,
        PolicyCommand::Log(args) => {
            log::run(&args, &mut client(context, log::READERS).await?, context).await
        }
        PolicyCommand::Explain(args) => explain(&args, context).await,
        PolicyCommand::Test(args) => test::run(&args, context),
        PolicyCommand::New(args) => new::run(&args, context),
        PolicyCommand::Who(args) => who::run(&args, context).await,
        PolicyCommand::What(args) => what::run(&args, context).await,
        PolicyCommand::Prove(args) => prove::run(&args, context).await,
    }
}

async fn show(args: &ShowArgs, context: &Context) -> Result<(), CliError> {
    let hash = match &args.bundle {
        Some(given) => Some(bundle_hash(given, context).await?),
        None => None,
    };
    let hash = hash.map(|hash| Bytes::copy_from_slice(hash.as_bytes()));
    let request = pb::GetPolicyRequest {
        version: args.version.unwrap_or_default(),
        bundle_hash: hash.unwrap_or_default(),
    };
    let bundle = client(context, log::READERS)
        .await?
        .get_policy(context.request(request))
        .await
        .map_err(CliError::node("read the policy"))?
        .into_inner();
    let document = schema::to_json("GetPolicyResponse", &bundle, Absent::Shown);
    context.output.either(document, || bundle_text(&bundle))
}

/// The bundle that is meant, among those that are proposed and those that were in force.
async fn bundle_hash(given: &GivenBundle, context: &Context) -> Result<BundleHash, CliError> {
    if let Some(hash) = given.whole() {
        return Ok(hash);
    }
    let mut hashes = acts::proposed_bundles(context).await?;
    hashes.extend(log::bundles(&mut client(context, log::READERS).await?, context).await?);
    given.among("a bundle", hashes.iter().filter_map(|hash| BundleHash::try_from(&hash[..]).ok()))
}

/// The hash of a sound bundle; findings are shown and refused.
async fn check(
    client: &mut Client,
    files: Vec<pb::PolicyFile>,
    context: &Context,
) -> Result<String, CliError> {
    let answer = client
        .check_policy(context.request(pb::CheckPolicyRequest { files }))
        .await
        .map_err(CliError::node("check the bundle"))?
        .into_inner();
    if answer.findings.is_empty() {
        return Ok(hex(&answer.bundle_hash));
    }
    Err(refused(&answer.findings, context)?)
}

/// The same without a node.
fn check_here(files: Vec<pb::PolicyFile>, context: &Context) -> Result<String, CliError> {
    let named = files.iter().map(|file| (file.name.as_str(), file.text.as_str()));
    match load_proposed(&named.collect::<Vec<_>>(), &Vocabulary::default()) {
        Ok(bundle) => Ok(hex(bundle.hash().as_bytes())),
        Err(found) => {
            let findings: Vec<_> = found.into_iter().map(pb::PolicyFinding::from).collect();
            Err(refused(&findings, context)?)
        }
    }
}

async fn diff(args: &DiffArgs, context: &Context) -> Result<(), CliError> {
    let mut client = client(context, &[Role::PolicyOfficer]).await?;
    let mut request = pb::ComparePolicyRequest::default();
    match &args.directory {
        Some(directory) => {
            request.files = read_bundle(directory)?;
            check(&mut client, request.files.clone(), context).await?;
        }
        None => request.version = args.version.unwrap_or_default(),
    }
    let (comparison, difference) = compare(&mut client, request, context).await?;
    show_difference(&difference, comparison, context)
}

fn show_difference(
    difference: &pb::PolicyDifference,
    comparison: u64,
    context: &Context,
) -> Result<(), CliError> {
    let mut document = schema::to_json("PolicyDifference", difference, Absent::Shown);
    if let Value::Object(fields) = &mut document {
        fields.insert("comparison".to_owned(), json!(comparison));
    }
    context.output.either(document, || harmless_lines(&difference_text(difference, comparison)))
}

/// Asks for a comparison and shows how far it is.
async fn compare(
    client: &mut Client,
    request: pb::ComparePolicyRequest,
    context: &Context,
) -> Result<(u64, pb::PolicyDifference), CliError> {
    let failed = || CliError::node("compare the policies");
    let mut answers =
        client.compare_policy(context.long_request(request)).await.map_err(failed())?.into_inner();
    let mut progress = Progress::start(context.options.progress, Some(0), 0, &context.output);
    while let Some(answer) = answers.message().await.map_err(failed())? {
        if let Some(difference) = answer.difference {
            progress.finish();
            return Ok((answer.comparison, difference));
        }
        progress.entries(answer.considered, answer.entries);
    }
    Err(CliError::Answer("the comparison ended without a result".to_owned()))
}

async fn apply(args: ApplyArgs, context: &Context) -> Result<(), CliError> {
    let files = read_bundle(&args.bundle.directory)?;
    let mut client = client(context, &[Role::PolicyOfficer]).await?;
    check(&mut client, files.clone(), context).await?;
    let request = pb::ApplyPolicyRequest { files, version: 0, note: args.note };
    ask_to_apply(&mut client, request, context).await
}

async fn rollback(args: RollbackArgs, context: &Context) -> Result<(), CliError> {
    let mut client = client(context, &[Role::PolicyOfficer]).await?;
    let version = match args.version {
        Some(version) => version,
        None => before_last(&mut client, context).await?,
    };
    let request = pb::ComparePolicyRequest { files: Vec::new(), version };
    let (comparison, difference) = compare(&mut client, request, context).await?;
    if context.output.format() == Format::Table {
        show_difference(&difference, comparison, context)?;
        context.output.text("")?;
    }
    let request = pb::ApplyPolicyRequest { files: Vec::new(), version, note: args.note };
    ask_to_apply(&mut client, request, context).await
}

/// The version before the one in force.
async fn before_last(client: &mut Client, context: &Context) -> Result<u64, CliError> {
    let answer = client
        .get_policy(context.request(pb::GetPolicyRequest::default()))
        .await
        .map_err(CliError::node("read the policy"))?;
    match answer.into_inner().version {
        0 | 1 => Err(CliError::Precondition {
            found: "there is no earlier version of the policy".to_owned(),
            fix: "liaison policy log".to_owned(),
        }),
        version => Ok(version - 1),
    }
}

async fn ask_to_apply(
    client: &mut Client,
    request: pb::ApplyPolicyRequest,
    context: &Context,
) -> Result<(), CliError> {
    let answer = client
        .apply_policy(context.long_request(request))
        .await
        .map_err(CliError::node("apply the bundle"))?
        .into_inner();
    let document = schema::to_json("ApplyPolicyResponse", &answer, Absent::LeftOut);
    context.output.either(document, || applied_text(&answer))
}

fn applied_text(answer: &pb::ApplyPolicyResponse) -> String {
    let bundle = ("bundle", hex(&answer.bundle_hash));
    let Some(act) = &answer.act else {
        return facts([("in force", format!("version {}", answer.version)), bundle]);
    };
    let proposal = act.proposal;
    let text = facts([
        ("proposed", format!("act {proposal}; nothing has changed yet")),
        bundle,
        ("change", change_text(answer.change()).to_owned()),
        ("waits for", waits_for(act)),
    ]);
    format!(
        "{text}\n\nThey look at it with `liaison acts show {proposal}` and approve it with `liaison acts approve {proposal}`."
    )
}

async fn explain(args: &ExplainArgs, context: &Context) -> Result<(), CliError> {
    let roles = [Role::PolicyOfficer, Role::Analyst, Role::Auditor];
    let record = args.record.resolve(context, &roles).await?;
    let request = pb::ExplainDecisionRequest {
        record_id: Bytes::copy_from_slice(record.as_bytes()),
        partner: args.partner.to_string(),
        at_ms: args.at.map_or(0, |time| time.unix_ms().unsigned_abs()),
    };
    let answer = client(context, &roles)
        .await?
        .explain_decision(context.request(request))
        .await
        .map_err(CliError::node("explain the decision"))?
        .into_inner();
    let document = schema::to_json("ExplainDecisionResponse", &answer, Absent::Shown);
    context.output.either(document, || decision_text(&answer))
}

fn bundle_text(bundle: &pb::GetPolicyResponse) -> String {
    if bundle.version == 0 && bundle.bundle_hash.is_empty() {
        return "no policy was applied yet; nothing is shared".to_owned();
    }
    let mut text =
        facts([("version", version(bundle.version)), ("bundle", hex(&bundle.bundle_hash))]);
    for file in &bundle.files {
        text.push_str(&format!("\n\n// {}\n{}", file.name, file.text.trim_end()));
    }
    harmless_lines(&text)
}

fn version(version: u64) -> String {
    match version {
        0 => "none; this bundle was proposed".to_owned(),
        version => version.to_string(),
    }
}

fn decision_text(answer: &pb::ExplainDecisionResponse) -> String {
    let disclosed = answer.feed_index.map_or_else(
        || "not in the partner's feed".to_owned(),
        |index| {
            let receipt = if answer.receipted { "receipted" } else { "no receipt yet" };
            format!("feed index {index}, {receipt}")
        },
    );
    let summary = facts([
        ("decision", if answer.allowed { "allowed" } else { "denied" }.to_owned()),
        ("revealed", answer.revealed.join(", ")),
        ("withheld", answer.withheld.join(", ")),
        ("policies", answer.policies.join(", ")),
        ("disclosed", disclosed),
    ]);
    format!("{summary}\n\n{}", harmless_lines(answer.text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::policy::bundle_files::finding_text;

    #[test]
    fn a_bundle_is_read_in_the_order_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("20-b.cedar", "b"),
            ("10-a.cedar", "a"),
            ("10-a.test.toml", "t"),
            ("other.toml", "y"),
            ("notes.txt", "x"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let files = read_bundle(dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["10-a.cedar", "10-a.test.toml", "20-b.cedar"]);
    }

    #[test]
    fn a_directory_without_policies_is_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_bundle(dir.path()).unwrap_err().exit().code(), 2);
    }

    #[test]
    fn a_finding_is_a_place_that_editors_jump_to() {
        let finding = pb::PolicyFinding {
            file: "10-a.cedar".into(),
            line: 3,
            column: 14,
            message: "unknown label".into(),
            help: "known: a, b".into(),
        };
        assert_eq!(finding_text(&finding), "10-a.cedar:3:14: unknown label\n  fix: known: a, b");
    }

    #[test]
    fn a_decision_names_what_is_revealed_and_by_which_policy() {
        let answer = pb::ExplainDecisionResponse {
            allowed: true,
            revealed: vec!["type".into(), "value".into()],
            withheld: vec!["notes (notes)".into()],
            policies: vec!["share-fraud".into()],
            text: "permit share-fraud applies".into(),
            feed_index: Some(7),
            receipted: true,
            ..Default::default()
        };
        assert_eq!(
            decision_text(&answer),
            "decision   allowed\nrevealed   type, value\nwithheld   notes (notes)\n\
             policies   share-fraud\ndisclosed  feed index 7, receipted\n\npermit share-fraud applies"
        );
    }
}
