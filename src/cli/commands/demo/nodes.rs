//! The processes of the demonstration: four nodes, each with a directory, keys and ports of its own.

use super::agencies::Agency;
use crate::cli::error::{CliError, Exit};
use crate::node::config::{Config, Http, Listen, Release, RollbackGuard, Store, Witness};
use crate::node::init;
use crate::node::limits::Limits;
use crate::policy::{ClientRole, LearningRule};
use crate::tls::{ClientProfile, connect_client};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, ChildStdin, Command};
use tonic::transport::Channel;

/// The longest time for a node to answer after its start.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// The longest time for a node to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// The interval between two looks at a condition that is waited for.
pub(in crate::cli::commands) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The name of the policy officer who approves what the first one proposes.
pub(in crate::cli::commands) const SECOND_OFFICER: &str = "second-officer";

/// A running node.
pub(in crate::cli::commands) struct RunningNode {
    pub(in crate::cli::commands) name: String,
    pub(in crate::cli::commands) dir: PathBuf,
    child: Child,
    /// The node stops when this is closed, however its parent ends.
    _lifeline: Option<ChildStdin>,
}

/// Ports that are free now.
fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    for _ in 0..N {
        listeners.push(TcpListener::bind("127.0.0.1:0")?);
    }
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Makes a node's directory with a client for each role, and a second policy officer.
pub(in crate::cli::commands) fn make(
    dir: &Path,
    agency: &Agency,
    engine: crate::store::EngineKind,
) -> Result<(), CliError> {
    let [partners, clients] = free_ports().map_err(CliError::file("find free ports for", dir))?;
    let config = Config {
        agency: agency.name.to_owned(),
        display_name: agency.display_name.to_owned(),
        country: agency.country.to_owned(),
        sector: agency.sector.to_owned(),
        hosts: vec!["127.0.0.1".to_owned()],
        addresses: vec![format!("127.0.0.1:{partners}")],
        listen: Listen {
            partners: format!("127.0.0.1:{partners}"),
            clients: format!("127.0.0.1:{clients}"),
        },
        store: Store { engine: engine.name().to_owned(), ..Store::default() },
        witness: Witness::default(),
        guard: RollbackGuard::default(),
        http: Http::default(),
        // A demonstration is over before a partner's learning days are.
        release: Release { learning: LearningRule::Off, ..Release::default() },
        limits: Limits::default(),
    };
    let now = (crate::journal::open::system_clock())();
    init::init(dir, &config, now)?;
    let clients = ClientRole::ALL.map(|role| (role.name(), role));
    for (name, role) in clients.into_iter().chain([(SECOND_OFFICER, ClientRole::PolicyOfficer)]) {
        let name = name.parse().map_err(|error| CliError::Other {
            doing: "cannot name a client".to_owned(),
            exit: Exit::Failed,
            fix: "report this".to_owned(),
            source: Box::new(error),
        })?;
        init::issue_client(dir, &name, role, now)?;
    }
    let policy = dir.join("policy").join("10-sharing.cedar");
    std::fs::write(&policy, agency.policy).map_err(CliError::file("write", &policy))
}

impl RunningNode {
    /// Starts the node of a directory; its words go to `node.log` there.
    pub(in crate::cli::commands) async fn start(name: &str, dir: &Path) -> Result<Self, CliError> {
        let log = dir.join("node.log");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(CliError::file("write", &log))?;
        let program = std::env::current_exe().map_err(CliError::file("find", dir))?;
        let mut child = Command::new(program)
            .args(["serve", "--until-stdin-ends", "--dir"])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(file)
            // Ctrl-C is for the demonstration, which then stops its nodes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(CliError::file("start a node in", dir))?;
        let _lifeline = child.stdin.take();
        let mut node = Self { name: name.to_owned(), dir: dir.to_owned(), child, _lifeline };
        node.wait_until_it_answers(&log).await?;
        Ok(node)
    }

    async fn wait_until_it_answers(&mut self, log: &Path) -> Result<(), CliError> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if self.client(ClientRole::Admin).await.is_ok() {
                return Ok(());
            }
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                return Err(CliError::Precondition {
                    found: format!("the node of {} did not start", self.name),
                    fix: format!("read {}", log.display()),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A channel to the node as one of its clients.
    pub(in crate::cli::commands) async fn client(
        &self,
        role: ClientRole,
    ) -> Result<Channel, CliError> {
        self.client_of(&self.profile(role)).await
    }

    /// A channel to the node with a certain profile.
    pub(in crate::cli::commands) async fn client_of(
        &self,
        path: &Path,
    ) -> Result<Channel, CliError> {
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| CliError::Connect {
            address: self.name.clone(),
            source,
        };
        let profile = ClientProfile::load(path).map_err(|error| unusable(Box::new(error)))?;
        connect_client(&profile).await.map_err(|error| unusable(Box::new(error)))
    }

    pub(in crate::cli::commands) fn profile(&self, role: ClientRole) -> PathBuf {
        self.profile_named(role.name())
    }

    pub(in crate::cli::commands) fn profile_named(&self, name: &str) -> PathBuf {
        self.dir.join("clients").join(format!("{name}.client"))
    }

    /// Returns the status of the node's process (proc_pid_status(5)).
    pub(in crate::cli::commands) fn process_status(&self) -> Option<String> {
        let pid = self.child.id()?;
        std::fs::read_to_string(format!("/proc/{pid}/status")).ok()
    }

    /// Asks the node to stop and waits until it has.
    pub(in crate::cli::commands) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // A node that has already ended needs no signal.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(STOP_DEADLINE, self.child.wait()).await.is_err() {
            drop(self.child.kill().await);
        }
    }
}
