//! From flags to an open channel: which profile speaks for the user, and where the node is.
//!
//! Holds no secret longer than the connection needs it and prints nothing. Never looks into the
//! working directory: a planted file would lead an analyst to somebody else's node.

use std::path::{Path, PathBuf};

use tonic::transport::Channel;

use super::GlobalOptions;
use super::error::{CliError, Exit};
pub use crate::policy::ClientRole as Role;
use crate::tls::{ClientProfile, ConnectError, connect_client};

/// Largest answer that is taken, for a time line of 10,000 events with their records.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Opens a channel as the profile that was named, or as the first of the roles in `natural` that
/// this directory has a profile for.
pub async fn open(options: &GlobalOptions, natural: &[Role]) -> Result<Channel, CliError> {
    let path = profile_path(options, natural)?;
    connect(&path, options).await
}

/// Where the profile is.
fn profile_path(options: &GlobalOptions, natural: &[Role]) -> Result<PathBuf, CliError> {
    if let Some(path) = &options.client {
        return Ok(path.clone());
    }
    let role = natural.first().map_or("analyst", |role| role.name());
    let Some(dir) = &options.dir else {
        return Err(CliError::Profile {
            found: "no profile was named, so there is no node to talk to".into(),
            fix: "add --client FILE or --dir DIR, or set LIAISON_CLIENT or LIAISON_DIR".into(),
        });
    };
    let candidates = natural.iter().map(|role| profile_of(dir, *role));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let names: Vec<_> = natural.iter().map(|role| role.name()).collect();
        CliError::Profile {
            found: format!(
                "there is no profile for {} in {}",
                names.join(" or "),
                dir.join("clients").display()
            ),
            fix: format!("liaison client issue {role} --role {role} --dir {}", dir.display()),
        }
    })
}

fn profile_of(dir: &Path, role: Role) -> PathBuf {
    dir.join("clients").join(format!("{}.client", role.name()))
}

async fn connect(path: &Path, options: &GlobalOptions) -> Result<Channel, CliError> {
    let profile = ClientProfile::load(path).map_err(|error| CliError::Other {
        doing: format!("cannot use the profile {}", path.display()),
        exit: Exit::Untrusted,
        fix: "name another with --client FILE, or have it issued again: liaison client issue NAME --role ROLE --dir DIR".into(),
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
            fix: format!("liaison client issue {} --role {} --dir DIR", profile.name, profile.role),
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
