//! The file with which a client reaches its node; for its owner alone.
//!
//! It holds a private key, so it is refused where others may read it, and never printed.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::client::{ClientName, ClientNameError};
use crate::ident::{AgencyName, IdentError};
use crate::partner::secret_file::{SecretFileError, private_dir, read_secret, replace_secret};
use crate::partner::{Address, HostError};
use crate::policy::{ClientRole, UnknownRole};

/// The reason why a profile could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error(transparent)]
    File(#[from] SecretFileError),
    // The parser's own message would quote the line, which may be the key's.
    #[error("{} is not a client profile in TOML with node, agency, name, role, ca_pem, cert_pem and key_pem", path.display())]
    Form { path: PathBuf },
    #[error("the profile cannot be written as TOML")]
    Write,
    #[error("the node of the profile is wrong")]
    Node(#[from] HostError),
    #[error("the agency of the profile is wrong")]
    Agency(#[from] IdentError),
    #[error("the client of the profile is wrong")]
    Client(#[from] ClientNameError),
    #[error("the role of the profile is wrong")]
    Role(#[from] UnknownRole),
}

/// A client's way to its node. The texts in PEM are parsed when it dials.
#[derive(Clone)]
pub struct ClientProfile {
    /// The address of the node's API port.
    pub node: Address,
    pub agency: AgencyName,
    pub name: ClientName,
    pub role: ClientRole,
    pub authority_pem: String,
    pub certificate_pem: String,
    pub key_pem: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    node: String,
    agency: String,
    name: String,
    role: String,
    ca_pem: String,
    cert_pem: String,
    key_pem: String,
}

impl Drop for Form {
    fn drop(&mut self) {
        self.key_pem.zeroize();
    }
}

impl ClientProfile {
    /// Returns the path of a client's profile below the node's directory.
    pub fn path(dir: &Path, name: &ClientName) -> PathBuf {
        dir.join("clients").join(format!("{name}.client"))
    }

    /// Loads a profile; refuses a file that others may read.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let text = read_secret(path)?;
        let form: Form =
            toml::from_str(&text).map_err(|_| ProfileError::Form { path: path.to_owned() })?;
        Ok(Self {
            node: form.node.parse()?,
            agency: form.agency.parse()?,
            name: form.name.parse()?,
            role: form.role.parse()?,
            authority_pem: form.ca_pem.clone(),
            certificate_pem: form.cert_pem.clone(),
            key_pem: Zeroizing::new(form.key_pem.clone()),
        })
    }

    /// Writes the profile to `dir/clients/<name>.client`, in the place of an older one.
    pub fn store(&self, dir: &Path) -> Result<PathBuf, ProfileError> {
        private_dir(&dir.join("clients"))?;
        let form = Form {
            node: self.node.to_string(),
            agency: self.agency.to_string(),
            name: self.name.to_string(),
            role: self.role.to_string(),
            ca_pem: self.authority_pem.clone(),
            cert_pem: self.certificate_pem.clone(),
            key_pem: self.key_pem.to_string(),
        };
        let text = toml::to_string_pretty(&form).map_err(|_| ProfileError::Write)?;
        let path = Self::path(dir, &self.name);
        replace_secret(&path, &Zeroizing::new(text))?;
        Ok(path)
    }
}

impl fmt::Debug for ClientProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientProfile({} as {} at {})", self.name, self.role, self.node)
    }
}
