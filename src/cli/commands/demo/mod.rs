//! `liaison demo`: four agencies' nodes on this machine play a joint operation, for real.
//!
//! Nothing here is a short cut: nodes are processes, clients have certificates, partners were added
//! with their numbers, policies were applied, the vendor's results were pushed by `liaison push`.

pub(in crate::cli::commands) mod agencies;
pub(in crate::cli::commands) mod data;
pub(in crate::cli::commands) mod nodes;
mod report;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::interrupt;
use crate::node::config::Config;
use crate::pb::{
    self, act_service_client::ActServiceClient, node_service_client::NodeServiceClient,
    partner_service_client::PartnerServiceClient, policy_service_client::PolicyServiceClient,
    record_service_client::RecordServiceClient,
};
use crate::policy::ClientRole;
use crate::store::DirLock;
use agencies::{AGENCIES, Agency, CASE, CBI, DCU, JC3, NPA, OPERATION};
use bytes::Bytes;
use clap::Args;
use nodes::{LOOK_EVERY, RunningNode};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The longest time until the last receipt comes.
const SETTLE_DEADLINE: Duration = Duration::from_secs(600);
/// Drafts of one request.
const DRAFTS: usize = 64;

/// Run four agencies' nodes on this machine and play a joint operation through them.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  liaison demo\n  liaison demo --exit -o json --records 66000 --dir chakra"
)]
pub struct DemoArgs {
    /// Takedown results that the vendor pushes.
    #[arg(long, default_value = "66000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    records: u32,
    /// End when everything was shown, instead of running until Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// Remove an earlier demonstration in the directory first.
    #[arg(long, requires = "dir")]
    replace: bool,
    /// The index engine of the nodes, fjall or sled.
    #[arg(long, default_value_t = crate::store::EngineKind::default())]
    engine: crate::store::EngineKind,
}

/// The vendor's results, below the directory of the demonstration.
const RESULTS_FILE: &str = "takedown-results.csv";

pub(super) async fn run(args: DemoArgs, context: &Context) -> Result<(), CliError> {
    let (dir, temporary) = directory(&args, context)?;
    let played = play(&args, &dir, context).await;
    if temporary && (args.exit || played.is_err()) {
        // The directory is ours and named by our process; what is left of it harms nobody.
        drop(std::fs::remove_dir_all(&dir));
    }
    played
}

fn directory(args: &DemoArgs, context: &Context) -> Result<(PathBuf, bool), CliError> {
    let Some(dir) = &context.options.dir else {
        let name = format!("liaison-demo-{}", std::process::id());
        return Ok((std::env::temp_dir().join(name), true));
    };
    if Config::path(dir).exists() {
        return Err(CliError::Precondition {
            found: format!("{} is the directory of a node", dir.display()),
            fix: "choose another directory for the demonstration with --dir".to_owned(),
        });
    }
    let taken: Vec<PathBuf> =
        AGENCIES.iter().map(|agency| dir.join(agency.name)).filter(|own| own.exists()).collect();
    if let Some(own) = taken.first().filter(|_| !args.replace) {
        return Err(CliError::Precondition {
            found: format!("{} holds a demonstration already", dir.display()),
            fix: format!(
                "start a node of it again with `liaison serve --dir {}`, or add --replace to remove it and \
                 play anew, or choose another directory with --dir",
                own.display()
            ),
        });
    }
    for own in &taken {
        remove_node(own)?;
    }
    Ok((dir.clone(), false))
}

/// Removes the node of an earlier demonstration, and nothing else: what has no configuration of a node
/// of that name stays, and so does a node that runs.
fn remove_node(own: &Path) -> Result<(), CliError> {
    let name = own.file_name().unwrap_or_default();
    let is_demonstration =
        Config::load(own).is_ok_and(|config| std::ffi::OsStr::new(&config.agency) == name);
    if !is_demonstration {
        return Err(CliError::Precondition {
            found: format!("{} is not a node of a demonstration", own.display()),
            fix: "look at it, or choose another directory with --dir".to_owned(),
        });
    }
    let store = own.join("store");
    let lock = store.is_dir().then(|| DirLock::acquire(&store)).transpose();
    let _lock = lock.map_err(|source| CliError::Other {
        doing: format!("cannot replace the node in {}", own.display()),
        exit: Exit::Precondition,
        fix: "stop the demonstration that runs there first".to_owned(),
        source: Box::new(source),
    })?;
    std::fs::remove_dir_all(own).map_err(CliError::file("remove", own))
}

async fn play(args: &DemoArgs, dir: &Path, context: &Context) -> Result<(), CliError> {
    let mut interrupted = std::pin::pin!(interrupt::interrupted());
    let mut nodes = Vec::new();
    let outcome = tokio::select! {
        outcome = scenes(args, dir, context, &mut nodes) => outcome,
        () = &mut interrupted => Err(CliError::Interrupted {
            kept: "the demonstration was cut off".to_owned(),
            fix: "run it again".to_owned(),
        }),
    };
    let verified = match &outcome {
        Ok(verified) => *verified,
        Err(_) => true,
    };
    if outcome.is_ok() && !args.exit {
        context.output.note("the nodes run until Ctrl-C");
        interrupted.await;
        context.output.note("stopping the nodes");
    }
    for node in nodes {
        node.stop().await;
    }
    outcome?;
    if verified {
        Ok(())
    } else {
        Err(CliError::Verification { found: "a journal was not accepted".to_owned() })
    }
}

/// Plays everything; returns true if all journals were accepted.
async fn scenes(
    args: &DemoArgs,
    dir: &Path,
    context: &Context,
    nodes: &mut Vec<RunningNode>,
) -> Result<bool, CliError> {
    let say = |text: &str| context.output.note(text);
    say(&format!("four nodes in {}", dir.display()));
    for agency in &AGENCIES {
        let own = dir.join(agency.name);
        nodes::make(&own, agency, args.engine)?;
        nodes.push(RunningNode::start(agency.name, &own).await?);
    }
    say(
        "cards exchanged, numbers compared, policies proposed by one officer and approved by others",
    );
    introduce(nodes).await?;
    for (node, agency) in nodes.iter().zip(&AGENCIES) {
        apply_policy(node, agency).await?;
    }
    let records = args.records as usize;
    let reported = (records / 60).clamp(20, 5_000);
    say(&format!("{JC3} reports {reported} indicators; {NPA} opens case {CASE}"));
    submit(find(nodes, JC3)?, data::indicators(reported)).await?;
    let case = submit(find(nodes, NPA)?, vec![data::case()]).await?;
    let case = case.first().map(|result| result.series.clone()).unwrap_or_default();
    submit(find(nodes, NPA)?, data::subjects(&case)).await?;
    submit(find(nodes, NPA)?, data::requests(reported, &case)).await?;
    settle(nodes).await?;
    say(&format!("{CBI} acts: 19 searches, 6 arrests, seizures, two call centres closed"));
    let arrived = arrived_case(find(nodes, CBI)?, &case).await?;
    submit(find(nodes, CBI)?, data::actions(&arrived)).await?;
    submit(find(nodes, CBI)?, data::evidence(&arrived)).await?;
    settle(nodes).await?;
    say(&format!("{DCU} pushes {records} takedown results"));
    let file = dir.join(RESULTS_FILE);
    std::fs::write(&file, data::results_csv(0..records)).map_err(CliError::file("write", &file))?;
    let started = Instant::now();
    let push_memory = push(find(nodes, DCU)?, &file, context).await?;
    let pushed = started.elapsed();
    settle(nodes).await?;
    let receipted = started.elapsed();
    say("all receipts are here; verifying the four journals offline");
    let figures = report::Figures {
        records,
        seconds_push: pushed.as_secs_f64(),
        seconds_receipts: receipted.as_secs_f64(),
        push_peak_memory_bytes: push_memory,
    };
    let verified = report::show(nodes, &figures, context).await?;
    if args.exit {
        report::show_left(dir, context);
    } else {
        report::show_next(dir, context);
    }
    Ok(verified)
}

fn find<'a>(nodes: &'a [RunningNode], name: &str) -> Result<&'a RunningNode, CliError> {
    nodes.iter().find(|node| node.name == name).ok_or_else(|| CliError::Answer(name.to_owned()))
}

pub(in crate::cli::commands) fn asked<T>(
    doing: &str,
    answer: Result<tonic::Response<T>, tonic::Status>,
) -> Result<T, CliError> {
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| CliError::Node { doing: doing.to_owned(), source: Box::new(status) })
}

/// Lets every node accept every other's card, with the number that its people would have compared.
pub(in crate::cli::commands) async fn introduce(nodes: &[RunningNode]) -> Result<(), CliError> {
    let mut cards = Vec::new();
    for node in nodes {
        let mut client = PartnerServiceClient::new(node.client(ClientRole::Admin).await?);
        let answer = client.get_own_card(pb::GetOwnCardRequest {}).await;
        cards.push((node.name.clone(), asked("read a card", answer)?));
    }
    for node in nodes {
        let mut client = PartnerServiceClient::new(node.client(ClientRole::Admin).await?);
        let mut officer = ActServiceClient::new(node.client(ClientRole::PolicyOfficer).await?);
        for (_, own) in cards.iter().filter(|(name, _)| *name != node.name) {
            let facts = pb::PartnerFacts {
                operations: vec![OPERATION.to_owned()],
                circles: vec!["anti-fraud".to_owned()],
                ..pb::PartnerFacts::default()
            };
            let request = pb::AddPartnerRequest {
                card: own.card.clone(),
                number: own.number.clone(),
                facts: Some(facts),
            };
            let added = asked("add a partner", client.add_partner(request).await)?;
            let proposal = added.act.map_or(0, |act| act.proposal);
            let decision = pb::DecideActRequest { proposal, approved: true, reason: String::new() };
            asked("approve a partner", officer.decide_act(decision).await)?;
        }
    }
    Ok(())
}

/// Puts the agency's policy in force as its people would: one officer looks at what it changes and
/// proposes it; a second officer approves, and the data protection officer where fields of a
/// sensitive class are revealed.
pub(in crate::cli::commands) async fn apply_policy(
    node: &RunningNode,
    agency: &Agency,
) -> Result<(), CliError> {
    apply_policy_text(node, agency.policy).await
}

/// The same with another policy.
pub(in crate::cli::commands) async fn apply_policy_text(
    node: &RunningNode,
    text: &str,
) -> Result<(), CliError> {
    let doing = "apply a policy";
    let mut client = PolicyServiceClient::new(node.client(ClientRole::PolicyOfficer).await?);
    let files = vec![pb::PolicyFile { name: "10-sharing.cedar".to_owned(), text: text.to_owned() }];
    let request = pb::ComparePolicyRequest { files: files.clone(), version: 0 };
    let mut answers = asked("compare a policy", client.compare_policy(request).await)?;
    let failed = |status| CliError::Node { doing: doing.to_owned(), source: Box::new(status) };
    while answers.message().await.map_err(failed)?.is_some() {}
    let request = pb::ApplyPolicyRequest { files, ..pb::ApplyPolicyRequest::default() };
    let Some(act) = asked(doing, client.apply_policy(request).await)?.act else { return Ok(()) };
    let approvers = [
        (node.profile_named(nodes::SECOND_OFFICER), ClientRole::PolicyOfficer),
        (node.profile(ClientRole::DataProtectionOfficer), ClientRole::DataProtectionOfficer),
    ];
    let wanted = |role: &ClientRole| act.wanted_roles.iter().any(|name| name == role.name());
    for (profile, _) in approvers.into_iter().filter(|(_, role)| wanted(role)) {
        let mut client = ActServiceClient::new(node.client_of(&profile).await?);
        let decision =
            pb::DecideActRequest { proposal: act.proposal, approved: true, reason: String::new() };
        asked("approve a policy", client.decide_act(decision).await)?;
    }
    Ok(())
}

async fn submit(
    node: &RunningNode,
    drafts: Vec<pb::Draft>,
) -> Result<Vec<pb::DraftResult>, CliError> {
    let mut client = RecordServiceClient::new(node.client(ClientRole::Analyst).await?);
    let mut results = Vec::with_capacity(drafts.len());
    for drafts in drafts.chunks(DRAFTS) {
        let request = pb::SubmitRecordsRequest { drafts: drafts.to_vec() };
        let answer = asked("submit records", client.submit_records(request).await)?;
        if let Some(refused) =
            answer.results.iter().find(|r| r.outcome() == pb::DraftOutcome::Refused)
        {
            return Err(CliError::Answer(format!("{}: {}", refused.field, refused.reason)));
        }
        results.extend(answer.results);
    }
    Ok(results)
}

/// The case as it arrived at a partner.
async fn arrived_case(node: &RunningNode, series: &Bytes) -> Result<Bytes, CliError> {
    let mut client = RecordServiceClient::new(node.client(ClientRole::Analyst).await?);
    let selector = Some(pb::get_record_request::Selector::Series(series.clone()));
    asked("read the case", client.get_record(pb::GetRecordRequest { selector }).await)?;
    Ok(series.clone())
}

/// Waits until every node considered everything and holds receipts for all that it disclosed.
async fn settle(nodes: &[RunningNode]) -> Result<(), CliError> {
    let mut clients = Vec::new();
    for node in nodes {
        clients.push(NodeServiceClient::new(node.client(ClientRole::Admin).await?));
    }
    let deadline = Instant::now() + SETTLE_DEADLINE;
    let mut before = Vec::new();
    loop {
        let mut sizes = Vec::new();
        let mut settled = true;
        for client in &mut clients {
            let status =
                asked("read the status", client.get_status(pb::GetStatusRequest {}).await)?;
            settled &= status
                .partners
                .iter()
                .all(|partner| partner.receipted == partner.feed_size && partner.lag_entries == 0);
            sizes.push(status.journal_size);
        }
        // Twice the same: nothing is on its way between two nodes.
        if settled && sizes == before {
            return Ok(());
        }
        before = sizes;
        if Instant::now() > deadline {
            return Err(CliError::Other {
                doing: "receipts are missing".to_owned(),
                exit: Exit::Unavailable,
                fix: "read node.log in the nodes' directories".to_owned(),
                source: "the deadline has passed".into(),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Pushes the results as the vendor's tool would; gives the peak memory of the pushing process.
pub(in crate::cli::commands) async fn push(
    node: &RunningNode,
    file: &Path,
    context: &Context,
) -> Result<u64, CliError> {
    let program = std::env::current_exe().map_err(CliError::file("find", file))?;
    let mut child = tokio::process::Command::new(program)
        .arg("push")
        .arg(file)
        .args(["--tlp", "GREEN", "--operation", OPERATION, "--case", CASE, "--label", "takedown"])
        .arg("--client")
        .arg(node.profile(ClientRole::VendorTool))
        .args(["--progress", "plain"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(CliError::file("start liaison push for", file))?;
    let mut memory = 0;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(CliError::file("wait for the push of", file))?,
            _ = looks.tick() => memory = memory.max(peak_memory_of(child.id())),
        }
    };
    if status.success() {
        return Ok(memory);
    }
    let mut words = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        use tokio::io::AsyncReadExt as _;
        drop(stderr.read_to_string(&mut words).await);
    }
    context.output.note(&words);
    Err(CliError::Answer(format!("liaison push ended with {status}")))
}

fn peak_memory_of(pid: Option<u32>) -> u64 {
    pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .map_or(0, |status| crate::node::peak_memory_in(&status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::context::GlobalOptions;

    #[test]
    fn a_demonstration_is_not_mixed_into_the_directory_of_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let options = GlobalOptions { dir: Some(dir.path().into()), ..GlobalOptions::for_tests() };
        let context = Context::new(options);
        let args = |replace| DemoArgs {
            records: 1,
            exit: true,
            replace,
            engine: crate::store::EngineKind::default(),
        };
        assert!(directory(&args(false), &context).is_ok());
        std::fs::write(Config::path(dir.path()), "agency = \"npa.go.jp\"").unwrap();
        for replace in [false, true] {
            let error = directory(&args(replace), &context).unwrap_err();
            assert_eq!(error.exit(), Exit::Precondition);
            assert!(error.to_string().ends_with("is the directory of a node"), "{error}");
        }
    }
}
