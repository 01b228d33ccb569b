//! The errors of the use cases around the sharing policy.

use crate::ident::{BundleHash, PolicyVersion, Timestamp};
use crate::policy::Finding;
use tonic::Code;

/// The reason why a bundle is not loaded, compared, proposed or put in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("a bundle has at most {max} files, found {found}")]
    TooManyFiles { found: usize, max: usize },
    #[error(
        "{name:?} is not a file name of a bundle; a policy is named like 10-agency.cedar, its examples like \
         10-agency.test.toml"
    )]
    FileName { name: String },
    #[error("the bundle is refused:\n{}", lines(.findings))]
    Refused { findings: Vec<Finding> },
    #[error("the policy never had a version {version}; `liaison policy log` shows the versions")]
    UnknownVersion { version: u64 },
    #[error("no bundle {} was ever proposed here", short(.hash))]
    UnknownBundle { hash: BundleHash },
    #[error("this bundle is in force already, as version {version}")]
    InForce { version: u64 },
    #[error(
        "bundle {} was never compared with {}: run `liaison policy diff` and look at the result; a file that \
         was changed after its diff makes another bundle",
        short(.hash),
        in_force(*.version)
    )]
    NotCompared { hash: BundleHash, version: PolicyVersion },
    #[error(
        "the diff of this bundle was made at {at}, more than {hours_max} hours ago; run \
         `liaison policy diff` again"
    )]
    OldDiff { at: Timestamp, hours_max: i64 },
    #[error(
        "the newest diff of this bundle is journal entry {newest}, and the act refers to entry {referred}; look \
         at the newest diff, then apply the bundle again"
    )]
    NewerDiff { newest: u64, referred: u64 },
    #[error(
        "the policy changed after the diff: version {version} is in force now; run `liaison policy diff` again"
    )]
    OtherBase { version: PolicyVersion },
    #[error(
        "a partner was added or changed after the diff (its circles, operations, agreement, sector or country), \
         so the bundle may show something else now; run `liaison policy diff` again"
    )]
    OtherPartners,
    #[error(
        "since its diff the bundle newly shows {beyond}, and nothing was changed; run `liaison policy diff` again"
    )]
    ShowsMore { beyond: String },
    #[error("act {proposal} proposes this bundle already; `liaison acts show {proposal}` shows it")]
    Proposed { proposal: u64 },
    #[error(
        "version {in_force} of the policy is in force and version {loaded} is still loaded; try again in a moment"
    )]
    Changing { loaded: PolicyVersion, in_force: PolicyVersion },
    #[error("journal entry {entry} is not a diff of a policy")]
    NotADiff { entry: u64 },
    #[error(
        "the act refers to journal entry {entry}, which is not a diff of a policy; propose the bundle again"
    )]
    ActWithoutDiff { entry: u64 },
    #[error("the diff does not state its kind of change; run `liaison policy diff` again")]
    NoChange,
    #[error("the result of this diff is no longer kept; run `liaison policy diff` again")]
    DiffGone,
    #[error("the kept result of this diff was altered; run `liaison policy diff` again")]
    DiffAltered,
    #[error(
        "the kept files of bundle {} make bundle {}; apply the bundle again with the files that were proposed",
        short(.proposed),
        short(.found)
    )]
    OtherFiles { proposed: BundleHash, found: BundleHash },
    #[error("bundle {} does not load: {finding}", shown(.hash.as_ref()))]
    Unloadable { hash: Option<BundleHash>, finding: String },
    #[error(
        "the files in policies/{applied} make bundle {found}; bring the files of that directory back from a backup"
    )]
    AlteredFiles { applied: BundleHash, found: BundleHash },
}

impl PolicyError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::TooManyFiles { .. } | Self::FileName { .. } | Self::Refused { .. } => {
                Code::InvalidArgument
            }
            Self::UnknownVersion { .. } | Self::UnknownBundle { .. } | Self::NotADiff { .. } => {
                Code::NotFound
            }
            Self::InForce { .. }
            | Self::NotCompared { .. }
            | Self::OldDiff { .. }
            | Self::NewerDiff { .. }
            | Self::OtherBase { .. }
            | Self::OtherPartners
            | Self::ShowsMore { .. }
            | Self::Proposed { .. }
            | Self::Changing { .. }
            | Self::ActWithoutDiff { .. }
            | Self::NoChange
            | Self::DiffGone
            | Self::DiffAltered
            | Self::OtherFiles { .. } => Code::FailedPrecondition,
            Self::Unloadable { .. } | Self::AlteredFiles { .. } => Code::Internal,
        }
    }
}

fn short(hash: &BundleHash) -> String {
    hash.as_bytes().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn shown(hash: Option<&BundleHash>) -> String {
    hash.map_or_else(|| "without files".to_owned(), short)
}

fn in_force(version: PolicyVersion) -> String {
    match version.get() {
        0 => "the rules in force (no policy yet)".to_owned(),
        version => format!("the policy in force (version {version})"),
    }
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
