//! `liaison policy`: the sharing policy in force, checked, applied and explained.

mod new;
mod prove;
mod test;
mod what;
mod who;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};

use super::connection::Role;
use super::error::CliError;
use super::output::harmless_lines;
use super::schema::{self, Absent, hex};
use super::table::facts;
use super::{Context, parse_time};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb;
use crate::pb::policy_service_client::PolicyServiceClient;
use crate::policy::{Bundle, Vocabulary};

type Client = PolicyServiceClient<tonic::transport::Channel>;

/// Files of one bundle, as the node takes them.
const FILES_MAX: usize = 64;

/// Longest policy file; the longest real ones have a few hundred lines.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// See, check, apply and explain the sharing policy.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// Show the bundle in force.
    #[command(after_help = "Example:\n  liaison policy show")]
    Show,
    /// Check a bundle against the node's vocabulary; nothing changes.
    #[command(
        after_help = "Examples:\n  liaison policy check policies/\n  liaison policy check --offline policies/\n\nExits 5 when there are findings."
    )]
    Check(CheckArgs),
    /// Put a bundle in force.
    #[command(
        after_help = "Example:\n  liaison policy apply policies/\n\nExits 5 when the bundle is refused; nothing changes then."
    )]
    Apply(BundleArgs),
    /// Say why a partner may or may not have a record.
    #[command(
        after_help = "Example:\n  liaison policy explain --record 9f31c2… --partner jc3.or.jp --at 2026-11-01\n\nWith a time in the past it is the decision of then: its policy, its partner, its record."
    )]
    Explain(ExplainArgs),
    /// Run the examples of a bundle, without a node.
    #[command(
        after_help = "Example:\n  liaison policy test policies/\n\nExits 5 when an example fails, with the reasons of the decision, or when a file has findings.\ndocs/POLICY.md explains the form of an example."
    )]
    Test(test::TestArgs),
    /// Begin a policy for a partner from a template, with examples that hold.
    #[command(
        after_help = "Example:\n  liaison policy new --template takedown-vendor --partner dcu.example policies/\n\nFiles that are there are never written over."
    )]
    New(new::NewArgs),
    /// Say which partners may have a record, which fields of it, and why.
    #[command(after_help = "Example:\n  liaison policy who 9f31c2…")]
    Who(who::WhoArgs),
    /// Count what a partner may see of everything that is here, and what denies the rest.
    #[command(
        after_help = "Examples:\n  liaison policy what jc3.or.jp\n  liaison policy what jc3.or.jp --by denial\n\nEvery record is decided anew: some seconds for a million. The work ends when you do."
    )]
    What(what::WhatArgs),
    /// Prove what holds of every record and partner, or what a change widens and narrows; offline.
    #[command(
        after_help = "Examples:\n  liaison policy prove policies/\n  liaison policy prove new/ --against policies/\n\nNeeds a program built with the feature `prove`, and the solver cvc5. Exits 5 when something is\nnot proved."
    )]
    Prove(prove::ProveArgs),
}

#[derive(Debug, clap::Args)]
pub struct BundleArgs {
    /// Directory with *.cedar files; they are read in the order of their names.
    directory: PathBuf,
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
    /// Id of the record, 64 hexadecimal digits.
    #[arg(long)]
    record: RecordId,
    /// Name of the partner.
    #[arg(long)]
    partner: AgencyName,
    /// As of this time; now without it.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<Timestamp>,
}

pub(super) async fn run(command: PolicyCommand, context: &Context) -> Result<(), CliError> {
    match command {
        PolicyCommand::Show => show(context).await,
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
        PolicyCommand::Apply(args) => apply(&args, context).await,
        PolicyCommand::Explain(args) => explain(&args, context).await,
        PolicyCommand::Test(args) => test::run(&args, context),
        PolicyCommand::New(args) => new::run(&args, context),
        PolicyCommand::Who(args) => who::run(&args, context).await,
        PolicyCommand::What(args) => what::run(&args, context).await,
        PolicyCommand::Prove(args) => prove::run(&args, context).await,
    }
}

async fn client(context: &Context, natural: &[Role]) -> Result<Client, CliError> {
    context.channel(natural).await.map(PolicyServiceClient::new)
}

async fn show(context: &Context) -> Result<(), CliError> {
    let bundle = client(context, &[Role::PolicyOfficer, Role::Auditor, Role::Admin])
        .await?
        .get_policy(context.request(pb::GetPolicyRequest {}))
        .await
        .map_err(CliError::node("read the policy"))?
        .into_inner();
    let document = schema::to_json("GetPolicyResponse", &bundle, Absent::Shown);
    context.output.either(document, || bundle_text(&bundle))
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
    let files = files.into_iter().map(|file| (file.name, file.text));
    match Bundle::load(files, &Vocabulary::default()) {
        Ok(bundle) => Ok(hex(bundle.hash().as_bytes())),
        Err(found) => {
            let findings: Vec<_> = found.into_iter().map(pb::PolicyFinding::from).collect();
            Err(refused(&findings, context)?)
        }
    }
}

/// Shows findings; what to say of them.
fn refused(findings: &[pb::PolicyFinding], context: &Context) -> Result<CliError, CliError> {
    let found = format!("the bundle has {} findings; nothing was changed", findings.len());
    let documents: Vec<Value> = findings
        .iter()
        .map(|finding| schema::to_json("PolicyFinding", finding, Absent::Shown))
        .collect();
    context.output.either(json!({"findings": documents}), || {
        let lines: Vec<_> = findings.iter().map(finding_text).collect();
        harmless_lines(&lines.join("\n"))
    })?;
    Ok(CliError::Refused { found, fix: "correct the files and run it again".into() })
}

async fn apply(args: &BundleArgs, context: &Context) -> Result<(), CliError> {
    let files = read_bundle(&args.directory)?;
    let mut client = client(context, &[Role::PolicyOfficer]).await?;
    check(&mut client, files.clone(), context).await?;
    let answer = client
        .apply_policy(context.request(pb::ApplyPolicyRequest { files }))
        .await
        .map_err(CliError::node("apply the bundle"))?
        .into_inner();
    let hash = hex(&answer.bundle_hash);
    context.output.either(json!({"version": answer.version, "bundle_hash": hash}), || {
        facts([("in force", format!("version {}", answer.version)), ("bundle", hash.clone())])
    })
}

async fn explain(args: &ExplainArgs, context: &Context) -> Result<(), CliError> {
    let request = pb::ExplainDecisionRequest {
        record_id: Bytes::copy_from_slice(args.record.as_bytes()),
        partner: args.partner.to_string(),
        at_ms: args.at.map_or(0, |time| time.unix_ms().unsigned_abs()),
    };
    let answer = client(context, &[Role::PolicyOfficer, Role::Analyst, Role::Auditor])
        .await?
        .explain_decision(context.request(request))
        .await
        .map_err(CliError::node("explain the decision"))?
        .into_inner();
    let document = schema::to_json("ExplainDecisionResponse", &answer, Absent::Shown);
    context.output.either(document, || decision_text(&answer))
}

/// Reads the *.cedar files of a directory in the order of their names.
fn read_bundle(directory: &Path) -> Result<Vec<pb::PolicyFile>, CliError> {
    let entries = std::fs::read_dir(directory).map_err(CliError::file("read", directory))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(CliError::file("read", directory))?.path();
        if path.extension().is_some_and(|ending| ending == "cedar") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() || paths.len() > FILES_MAX {
        let found = format!("{} has {} *.cedar files", directory.display(), paths.len());
        return Err(CliError::usage(found, format!("a bundle has 1 to {FILES_MAX} of them")));
    }
    paths.iter().map(|path| read_policy(path)).collect()
}

fn read_policy(path: &Path) -> Result<pb::PolicyFile, CliError> {
    let length = std::fs::metadata(path).map_err(CliError::file("read", path))?.len();
    if length > FILE_BYTES_MAX {
        let found = format!("{} has {length} bytes", path.display());
        return Err(CliError::usage(found, format!("a policy file has at most {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(CliError::file("read", path))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(pb::PolicyFile { name, text })
}

/// `file:line:column: message`, as editors jump to it.
fn finding_text(finding: &pb::PolicyFinding) -> String {
    let place = format!("{}:{}:{}", finding.file, finding.line, finding.column);
    match finding.help.as_str() {
        "" => format!("{place}: {}", finding.message),
        help => format!("{place}: {}\n  fix: {help}", finding.message),
    }
}

fn bundle_text(bundle: &pb::GetPolicyResponse) -> String {
    if bundle.version == 0 {
        return "no policy was applied yet; nothing is shared".to_owned();
    }
    let mut text =
        facts([("version", bundle.version.to_string()), ("bundle", hex(&bundle.bundle_hash))]);
    for file in &bundle.files {
        text.push_str(&format!("\n\n// {}\n{}", file.name, file.text.trim_end()));
    }
    harmless_lines(&text)
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

    #[test]
    fn a_bundle_is_read_in_the_order_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("20-b.cedar", "b"), ("10-a.cedar", "a"), ("notes.txt", "x")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let files = read_bundle(dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["10-a.cedar", "20-b.cedar"]);
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
