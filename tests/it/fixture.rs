//! Nodes for tests: real processes of the program on loopback ports, each in a directory of its own,
//! introduced to each other as people would do it. Nothing here looks into a node but by its rpcs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use liaison::audit::Report;
use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::ident::Timestamp;
use liaison::node::config::{Config, Http, Listen, Release, RollbackGuard, Store, Witness};
use liaison::node::init;
use liaison::node::limits::Limits;
use liaison::pb::act_service_client::ActServiceClient;
use liaison::pb::get_record_request::Selector;
use liaison::pb::node_service_client::NodeServiceClient;
use liaison::pb::partner_service_client::PartnerServiceClient;
use liaison::pb::policy_service_client::PolicyServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, draft::Content};
use liaison::policy::{ClientRole, LearningRule};
use liaison::tls::{ClientProfile, connect_client};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_liaison");
/// The operation that all records of these tests belong to.
pub(crate) const OPERATION: &str = "op-test";

/// The longest wait for any condition; far more than a slow machine needs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Shares everything of the operation with everybody, but only the fields of class core.
pub(crate) const CORE_ONLY: &str = r#"
@id("test/accept")
@title("We take records of the operation from those who take part in it")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"accept", resource is Liaison::Record)
when { resource has operation && principal.operations.contains(resource.operation) };

@id("test/share")
@title("Everything of the operation goes to those who take part in it")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource is Liaison::Record)
when { resource has operation && principal.operations.contains(resource.operation) };
"#;

/// Waits until a condition holds; looks again and again, and gives up loudly.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    eventually_within(DEADLINE, what, condition).await;
}

async fn eventually_within(
    deadline: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let waited = tokio::time::timeout(deadline, async {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            if condition().await {
                return;
            }
        }
    });
    assert!(waited.await.is_ok(), "within {deadline:?} it never came about that {what}");
}

pub(crate) fn now() -> Timestamp {
    (liaison::journal::open::system_clock())()
}

/// A port that no other test takes: counted up, below those that the system gives to callers.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 10_000 + u16::try_from(std::process::id() % 40).unwrap() * 500;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 500;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The configuration of an agency in Japan; one that is not `reachable` only dials out.
pub(crate) fn config(agency: &str, sector: &str, reachable: bool) -> Config {
    let [partners, clients] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    Config {
        agency: agency.to_owned(),
        display_name: format!("{agency} (test)"),
        country: "JP".to_owned(),
        sector: sector.to_owned(),
        hosts: vec!["127.0.0.1".to_owned()],
        addresses: if reachable { vec![partners.clone()] } else { Vec::new() },
        listen: Listen { partners, clients },
        store: Store::default(),
        witness: Witness::default(),
        guard: RollbackGuard::default(),
        http: Http::default(),
        // Tests are done before a partner's learning days are.
        release: Release { learning: LearningRule::Off, ..Release::default() },
        limits: Limits::default(),
    }
}

/// The policy officer who approves what the first one proposes.
pub(crate) const SECOND_OFFICER: &str = "second-officer";

/// Makes a node's directory with a client for each role and a second policy officer, and a policy
/// that the node starts with.
pub(crate) fn make(dir: &Path, agency: &str, sector: &str, policy: &str) {
    init::init(dir, &config(agency, sector, true), now()).unwrap();
    for role in ClientRole::ALL {
        init::issue_client(dir, &role.name().parse().unwrap(), role, now()).unwrap();
    }
    let second = SECOND_OFFICER.parse().unwrap();
    init::issue_client(dir, &second, ClientRole::PolicyOfficer, now()).unwrap();
    std::fs::write(dir.join("policy").join("10-sharing.cedar"), policy).unwrap();
}

/// A node's process.
pub(crate) struct RunningNode {
    pub(crate) agency: String,
    pub(crate) dir: PathBuf,
    policy: String,
    child: Child,
}

impl RunningNode {
    /// Makes a directory below `parent` and starts a node in it.
    pub(crate) async fn fresh(parent: &Path, agency: &str, sector: &str, policy: &str) -> Self {
        let dir = parent.join(agency);
        make(&dir, agency, sector, policy);
        Self { policy: policy.to_owned(), ..Self::start(&dir, agency).await }
    }

    /// Starts the node of a directory.
    pub(crate) async fn start(dir: &Path, agency: &str) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("node.log"));
        let child = Command::new(PROGRAM)
            .args(["serve", "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let policy = CORE_ONLY.to_owned();
        let mut node = Self { agency: agency.to_owned(), dir: dir.to_owned(), policy, child };
        let log = dir.join("node.log");
        eventually("the node answers", async || {
            if let Some(ended) = node.child.try_wait().unwrap() {
                let words = std::fs::read_to_string(&log).unwrap();
                panic!("the node ended with {ended}: {words}");
            }
            node.try_channel(ClientRole::Admin).await.is_some()
        })
        .await;
        node
    }

    pub(crate) fn profile(&self, role: ClientRole) -> PathBuf {
        self.profile_named(role.name())
    }

    pub(crate) fn profile_named(&self, name: &str) -> PathBuf {
        self.dir.join("clients").join(format!("{name}.client"))
    }

    pub(crate) async fn try_channel(&self, role: ClientRole) -> Option<Channel> {
        let profile = ClientProfile::load(&self.profile(role)).unwrap();
        connect_client(&profile).await.ok()
    }

    /// A connection as the client of this name.
    pub(crate) async fn channel_of(&self, name: &str) -> Channel {
        let profile = ClientProfile::load(&self.profile_named(name)).unwrap();
        connect_client(&profile).await.unwrap()
    }

    /// A connection as a client of a role.
    pub(crate) async fn channel(&self, role: ClientRole) -> Channel {
        self.try_channel(role).await.unwrap()
    }

    pub(crate) async fn records(&self, role: ClientRole) -> RecordServiceClient<Channel> {
        RecordServiceClient::new(self.channel(role).await)
    }

    pub(crate) async fn analyst(&self) -> RecordServiceClient<Channel> {
        self.records(ClientRole::Analyst).await
    }

    pub(crate) async fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel(ClientRole::PolicyOfficer).await)
    }

    /// The record as a client of this role sees it.
    pub(crate) async fn view(&self, role: ClientRole, id: &Bytes) -> Option<pb::RecordView> {
        let request = pb::GetRecordRequest { selector: Some(Selector::RecordId(id.clone())) };
        self.records(role).await.get_record(request).await.ok()?.into_inner().record
    }

    /// Returns true if the node has a record and may use it.
    pub(crate) async fn uses(&self, id: &Bytes) -> bool {
        self.view(ClientRole::Auditor, id).await.is_some_and(|view| !view.retracted)
    }

    pub(crate) async fn admin(&self) -> PartnerServiceClient<Channel> {
        PartnerServiceClient::new(self.channel(ClientRole::Admin).await)
    }

    pub(crate) async fn status(&self) -> pb::GetStatusResponse {
        let mut client = NodeServiceClient::new(self.channel(ClientRole::Admin).await);
        client.get_status(pb::GetStatusRequest {}).await.unwrap().into_inner()
    }

    /// Returns the state of the exchange with a partner.
    pub(crate) async fn partner(&self, agency: &str) -> pb::PartnerView {
        let status = self.status().await;
        status.partners.into_iter().find(|partner| partner.agency == agency).unwrap()
    }

    /// Returns the number of refusals for this reason since the start.
    pub(crate) async fn refused(&self, reason: &str) -> u64 {
        let counts = self.status().await.refused;
        counts.iter().find(|count| count.name == reason).map_or(0, |count| count.count)
    }

    /// Size and root of the journal.
    pub(crate) async fn journal(&self) -> (u64, Bytes) {
        let status = self.status().await;
        (status.journal_size, status.journal_root)
    }

    pub(crate) async fn submit(&self, drafts: Vec<pb::Draft>) -> Vec<pb::DraftResult> {
        let mut client = self.analyst().await;
        let answer = client.submit_records(pb::SubmitRecordsRequest { drafts }).await.unwrap();
        let results = answer.into_inner().results;
        for result in &results {
            let refused = result.outcome() == pb::DraftOutcome::Refused;
            assert!(!refused, "{}: {}", result.field, result.reason);
        }
        results
    }

    /// Makes the diff of a policy; gives the comparison with its journal entry.
    pub(crate) async fn compare_policy(
        &self,
        files: Vec<pb::PolicyFile>,
    ) -> Result<(u64, pb::PolicyDifference), tonic::Status> {
        let mut client = self.policies().await;
        let request = pb::ComparePolicyRequest { files, version: 0 };
        let mut answers = client.compare_policy(request).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            if let Some(difference) = answer.difference {
                return Ok((answer.comparison, difference));
            }
        }
        panic!("a comparison has a result");
    }

    /// Approves or refuses an act as the client of this name.
    pub(crate) async fn decide(
        &self,
        name: &str,
        proposal: u64,
        approved: bool,
    ) -> Result<pb::DecideActResponse, tonic::Status> {
        let mut client = ActServiceClient::new(self.channel_of(name).await);
        let reason = if approved { String::new() } else { "not like this".to_owned() };
        let request = pb::DecideActRequest { proposal, approved, reason };
        client.decide_act(request).await.map(tonic::Response::into_inner)
    }

    /// Puts a policy in force as people do: diff, proposal, and the approvals that it needs.
    pub(crate) async fn apply_policy(&self, text: &str) {
        let files = vec![policy_file(text)];
        self.compare_policy(files.clone()).await.unwrap();
        let mut client = self.policies().await;
        let request = pb::ApplyPolicyRequest { files, ..pb::ApplyPolicyRequest::default() };
        let Some(act) = client.apply_policy(request).await.unwrap().into_inner().act else {
            return;
        };
        let wants_dpo = self.wants_dpo(&act);
        let officers = self.decide(SECOND_OFFICER, act.proposal, true).await.unwrap();
        assert_eq!(officers.carried_out, !wants_dpo);
        if wants_dpo {
            self.approve_as_dpo(act.proposal).await;
        }
    }

    fn wants_dpo(&self, act: &pb::ActView) -> bool {
        let dpo = ClientRole::DataProtectionOfficer.name();
        act.wanted_roles.iter().any(|role| role == dpo)
    }

    async fn approve_as_dpo(&self, proposal: u64) {
        let dpo = ClientRole::DataProtectionOfficer.name();
        assert!(self.decide(dpo, proposal, true).await.unwrap().carried_out);
    }

    /// Adds a partner by its card, with the number that people would have compared, and has others
    /// approve it.
    pub(crate) async fn add_partner(&self, card: &str, number: &str) {
        let facts = pb::PartnerFacts {
            operations: vec![OPERATION.to_owned()],
            ..pb::PartnerFacts::default()
        };
        let (card, number) = (card.to_owned(), number.to_owned());
        let request = pb::AddPartnerRequest { card, number, facts: Some(facts) };
        let added = self.admin().await.add_partner(request).await.unwrap().into_inner();
        // A newer card of a known partner leaves what is agreed as it is.
        let Some(act) = added.act else { return };
        if self.wants_dpo(&act) {
            let officer = ClientRole::PolicyOfficer.name();
            assert!(!self.decide(officer, act.proposal, true).await.unwrap().carried_out);
            self.approve_as_dpo(act.proposal).await;
        } else {
            self.approve(act.proposal).await;
        }
    }

    /// Approves, as a policy officer, what somebody else asked for.
    pub(crate) async fn approve(&self, proposal: u64) {
        let mut client = ActServiceClient::new(self.channel(ClientRole::PolicyOfficer).await);
        let decision = pb::DecideActRequest { proposal, approved: true, reason: String::new() };
        assert!(client.decide_act(decision).await.unwrap().into_inner().carried_out);
    }

    pub(crate) async fn set_state(&self, agency: &str, state: pb::PartnerState) {
        let request = pb::SetPartnerStateRequest { agency: agency.to_owned(), state: state.into() };
        let mut client = PartnerServiceClient::new(self.channel(ClientRole::Admin).await);
        let answer = client.set_partner_state(request).await.unwrap().into_inner();
        if let Some(act) = answer.act {
            self.approve(act.proposal).await;
        }
    }

    /// The number of its agency, as people would read it out.
    pub(crate) async fn number(&self) -> String {
        let own = self.admin().await.get_own_card(pb::GetOwnCardRequest {}).await.unwrap();
        own.into_inner().number
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Kills the node, has its index made again from the segments, and starts it.
    pub(crate) async fn started_anew(self) -> Self {
        let (dir, agency, policy) = (self.dir.clone(), self.agency.clone(), self.policy.clone());
        self.kill().await;
        let reindexed = std::process::Command::new(PROGRAM)
            .args(["store", "reindex", "--dir"])
            .arg(&dir)
            .output()
            .unwrap();
        assert!(reindexed.status.success(), "{}", String::from_utf8_lossy(&reindexed.stderr));
        Self { policy, ..Self::start(&dir, &agency).await }
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Kills the node and verifies its history; gives the report, which has no failure.
    pub(crate) async fn end_audited(self) -> Report {
        let (dir, agency) = (self.dir.clone(), self.agency.clone());
        self.kill().await;
        verified(&dir, &agency)
    }
}

/// Verifies the history of a node that runs; gives the report, which has no failure.
pub(crate) fn audited(node: &RunningNode) -> Report {
    verified(&node.dir, &node.agency)
}

fn verified(dir: &Path, agency: &str) -> Report {
    let report = verify_directory(dir, &AuditOptions::default()).unwrap();
    assert!(report.failure.is_none(), "{agency}: {report}");
    report
}

/// The one file of a policy.
pub(crate) fn policy_file(text: &str) -> pb::PolicyFile {
    pb::PolicyFile { name: "10-sharing.cedar".to_owned(), text: text.to_owned() }
}

/// Lets every node know every other, and applies the policy that each was made with.
pub(crate) async fn introduce(nodes: &[&RunningNode]) {
    let mut cards = Vec::new();
    for node in nodes {
        let own = node.admin().await.get_own_card(pb::GetOwnCardRequest {}).await.unwrap();
        cards.push((&node.agency, own.into_inner()));
    }
    for node in nodes {
        for (_, own) in cards.iter().filter(|(agency, _)| **agency != node.agency) {
            node.add_partner(&own.card, &own.number).await;
        }
        node.apply_policy(&node.policy).await;
    }
}

/// Waits until every node considered its whole journal for all, under the rules in force, and holds
/// receipts for all that it disclosed, and nothing grew between two looks.
pub(crate) async fn settled(nodes: &[&RunningNode]) {
    settled_within(DEADLINE, nodes).await;
}

/// The same for as many records as take longer.
pub(crate) async fn settled_within(deadline: Duration, nodes: &[&RunningNode]) {
    let mut before = Vec::new();
    eventually_within(deadline, "every disclosure is receipted", async || {
        let mut sizes = Vec::new();
        let mut settled = true;
        for node in nodes {
            let status = node.status().await;
            let is_settled = |p: &pb::PartnerView| {
                p.receipted == p.feed_size && p.lag_entries == 0 && p.to_rescan == 0
            };
            settled &= status.partners.iter().all(is_settled);
            sizes.push(status.journal_size);
        }
        let quiet = settled && sizes == before;
        before = sizes;
        quiet
    })
    .await;
}

/// Runs the program to its end.
pub(crate) async fn liaison(arguments: &[&str], more: &[&Path]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).args(more).stdin(Stdio::null()).kill_on_drop(true);
    command.output().await.unwrap()
}

/// Copies a directory with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    // Keys are not taken from a directory that others may read.
    std::fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// A draft of the operation under TLP:GREEN.
pub(crate) fn draft(key: &str, content: Content) -> pb::Draft {
    let marking = pb::Marking {
        tlp: pb::Tlp::Green.into(),
        pap: pb::Pap::Green.into(),
        ..pb::Marking::default()
    };
    pb::Draft {
        marking: Some(marking),
        operation: OPERATION.to_owned(),
        confidence: 80,
        key: key.to_owned(),
        content: Some(content),
        ..pb::Draft::default()
    }
}

/// Returns an indicator with only its value and a note.
pub(crate) fn indicator(value: &str, notes: &str) -> pb::Draft {
    let content = pb::Indicator {
        r#type: pb::ValueType::Domain.into(),
        value: value.to_owned(),
        notes: notes.to_owned(),
        ..pb::Indicator::default()
    };
    draft("", Content::Indicator(content))
}

/// An indicator that nothing else contains.
pub(crate) fn some_indicator() -> pb::Draft {
    indicator(&canary(".example"), "a note")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Letters that nothing else contains, after a first one that few bytes are.
pub(crate) fn canary(what: &str) -> String {
    let mut random = [0; 12];
    getrandom::fill(&mut random).unwrap();
    let letters: String = random.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    format!("q{letters}{what}")
}
