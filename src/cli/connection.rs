//! The way from flags to an open channel: the user's profile, and the address of the node.
//!
//! Holds no secret longer than the connection needs it and prints nothing. Never looks into the
//! working directory: a planted file would lead an analyst to somebody else's node.

use std::path::{Path, PathBuf};

use tonic::transport::Channel;

use super::context::GlobalOptions;
use super::error::{CliError, Exit};
pub use crate::policy::ClientRole as Role;
use crate::tls::{ClientProfile, ConnectError, connect_client};

/// Largest answer that is taken, for a time line of 10,000 events with their records.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Profiles of a directory that are looked at: more people than work at one machine.
const PROFILES_MAX: usize = 256;

/// Opens a channel as the profile that was named, or as the first of the roles in `natural` that
/// this directory has a profile for.
pub async fn open(options: &GlobalOptions, natural: &[Role]) -> Result<Channel, CliError> {
    let path = profile_path(options, natural)?;
    connect(&path, options).await
}

/// Returns the path of the client profile.
fn profile_path(options: &GlobalOptions, natural: &[Role]) -> Result<PathBuf, CliError> {
    if let Some(path) = &options.client {
        return Ok(path.clone());
    }
    let Some(dir) = &options.dir else {
        return Err(CliError::Profile {
            found: "no profile is given, so the node is not known".into(),
            fix: "add --client FILE or --dir DIR, or set LIAISON_CLIENT or LIAISON_DIR".into(),
        });
    };
    let mut named = natural.iter().map(|role| profile_of(dir, *role));
    match named.find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => only_profile(dir, natural),
    }
}

/// The one profile of the first role that any profile of the directory has, whatever its name.
fn only_profile(dir: &Path, natural: &[Role]) -> Result<PathBuf, CliError> {
    let profiles = profiles_in(&dir.join("clients"));
    let of_role = |role: &Role| -> Vec<&PathBuf> {
        profiles.iter().filter(|(_, found)| found == role).map(|(path, _)| path).collect()
    };
    let found = natural.iter().map(of_role).find(|found| !found.is_empty()).unwrap_or_default();
    match found[..] {
        [only] => Ok(only.clone()),
        [] => Err(CliError::Profile {
            found: format!(
                "there is no profile for {} in {}",
                natural.iter().map(|role| role.name()).collect::<Vec<_>>().join(" or "),
                dir.join("clients").display()
            ),
            fix: {
                let role = natural.first().map_or("analyst", |role| role.name());
                format!("liaison client issue {role} --role {role} --dir {}", dir.display())
            },
        }),
        // Who acts stands in the journal, so none is taken by chance.
        [first, ..] => Err(CliError::usage(
            format!(
                "{} profiles can do this: {}",
                found.len(),
                found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
            ),
            format!("name yours, for example --client {}", first.display()),
        )),
    }
}

/// Profiles that can be used, by path, with their roles. What cannot be read is not ours to use.
fn profiles_in(clients: &Path) -> Vec<(PathBuf, Role)> {
    let Ok(entries) = std::fs::read_dir(clients) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "client"))
        .take(PROFILES_MAX)
        .collect();
    paths.sort_unstable();
    let with_role = |path: PathBuf| {
        let role = ClientProfile::load(&path).ok()?.role;
        Some((path, role))
    };
    paths.into_iter().filter_map(with_role).collect()
}

fn profile_of(dir: &Path, role: Role) -> PathBuf {
    dir.join("clients").join(format!("{}.client", role.name()))
}

async fn connect(path: &Path, options: &GlobalOptions) -> Result<Channel, CliError> {
    let profile = ClientProfile::load(path).map_err(|error| CliError::Other {
        doing: format!("cannot use the profile {}", path.display()),
        exit: Exit::Untrusted,
        fix: "name another with --client FILE, or have it issued again: liaison client issue NAME --role ROLE --again --dir DIR".into(),
        source: Box::new(error),
    })?;
    let dialled = tokio::time::timeout(options.timeout(), connect_client(&profile)).await;
    match dialled {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(not_connected(&profile, error)),
        Err(elapsed) => {
            Err(CliError::Connect { address: profile.node.to_string(), source: Box::new(elapsed) })
        }
    }
}

fn not_connected(profile: &ClientProfile, error: ConnectError) -> CliError {
    match error {
        // Nobody is there now: the same command may succeed later.
        ConnectError::Tcp { source, .. } => {
            CliError::Connect { address: profile.node.to_string(), source: Box::new(source) }
        }
        ConnectError::Channel { source, .. } => {
            CliError::Connect { address: profile.node.to_string(), source: Box::new(source) }
        }
        other => CliError::Other {
            doing: format!("cannot connect as {} ({})", profile.name, profile.role),
            exit: Exit::Untrusted,
            fix: format!(
                "liaison client issue {} --role {} --again --dir DIR",
                profile.name, profile.role
            ),
            source: Box::new(other),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path) -> GlobalOptions {
        GlobalOptions { dir: Some(dir.to_owned()), ..GlobalOptions::for_tests() }
    }

    #[test]
    fn the_natural_role_comes_first_and_others_follow() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("clients")).unwrap();
        let natural = [Role::VendorTool, Role::Analyst];
        std::fs::write(dir.path().join("clients/analyst.client"), "").unwrap();
        let found = profile_path(&options(dir.path()), &natural).unwrap();
        assert!(found.ends_with("clients/analyst.client"));
        std::fs::write(dir.path().join("clients/vendor-tool.client"), "").unwrap();
        let found = profile_path(&options(dir.path()), &natural).unwrap();
        assert!(found.ends_with("clients/vendor-tool.client"));
    }

    #[test]
    fn a_profile_of_any_name_is_found_by_its_role_and_several_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("node");
        let config = crate::node::config::Config {
            agency: "npa.go.jp".to_owned(),
            display_name: "NPA".to_owned(),
            country: "JP".to_owned(),
            sector: "police".to_owned(),
            hosts: Vec::new(),
            addresses: Vec::new(),
            listen: crate::node::config::Listen::default(),
            store: crate::node::config::Store::default(),
            witness: crate::node::config::Witness::default(),
            guard: crate::node::config::RollbackGuard::default(),
            http: crate::node::config::Http::default(),
            release: crate::node::config::Release::default(),
            limits: crate::node::limits::Limits::default(),
        };
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        crate::node::init::init(&home, &config, now).unwrap();
        let issue = |name: &str| {
            let name = name.parse().unwrap();
            crate::node::init::issue_client(&home, &name, Role::Analyst, now).unwrap()
        };
        let first = issue("m.jansen");
        let natural = [Role::Auditor, Role::Analyst];
        assert_eq!(profile_path(&options(&home), &natural).unwrap(), first);
        assert!(profile_path(&options(&home), &[Role::Auditor]).is_err());
        let second = issue("k.tanaka");
        let error = profile_path(&options(&home), &natural).unwrap_err();
        for path in [first, second] {
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
        assert_eq!(error.exit(), Exit::Usage);
    }

    #[test]
    fn without_a_profile_the_next_command_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = profile_path(&options(dir.path()), &[Role::Admin]).unwrap_err();
        assert_eq!(error.exit().code(), 4);
        assert!(error.fix().unwrap().starts_with("liaison client issue admin --role admin --dir"));
    }

    #[test]
    fn a_named_profile_wins_over_the_directory() {
        let options = GlobalOptions { client: Some("p.client".into()), ..options(Path::new("d")) };
        assert_eq!(profile_path(&options, &[Role::Admin]).unwrap(), Path::new("p.client"));
    }
}
