//! The node's own private keys: one per role, made here, kept in files for the owner alone.
//!
//! A key signs for one role only, so that no signature of one kind can be passed off as another. A
//! private key must never be printed, logged, cloned or sent; nothing here gives out its bytes.

use std::fmt;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use zeroize::Zeroizing;

use super::public_key::{PublicKey, PublicKeyError};
use super::secret_file::{
    SecretFileError, create_secret, private_dir, read_secret, replace_secret,
};

/// Bytes of the secret under which series ids are computed: the output size of SHA-256.
pub const SERIES_SECRET_BYTES: usize = 32;

const SERIES_FILE: &str = "series.secret";

/// The role of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Cards. Needed only when one is issued; may be kept offline.
    Identity,
    /// Batches of records.
    Record,
    /// Checkpoints of the journal and the feeds.
    Journal,
    /// Other agencies' checkpoints, after checking that they only grew.
    Witness,
    /// Feed checkpoints: "I durably hold this".
    Receipt,
}

impl Role {
    /// Those whose keys are other ones with each generation of the logs.
    pub const LOGS: [Self; 3] = [Self::Journal, Self::Witness, Self::Receipt];

    pub const ALL: [Self; 5] =
        [Self::Identity, Self::Record, Self::Journal, Self::Witness, Self::Receipt];

    /// The name of the key's file without `.pem`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Record => "record",
            Self::Journal => "journal",
            Self::Witness => "witness",
            Self::Receipt => "receipt",
        }
    }

    /// Returns the path of this role's key below the node's directory.
    pub fn path(self, dir: &Path) -> PathBuf {
        keys_dir(dir).join(format!("{}.pem", self.name()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The reason why a key could not be made, stored or loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("the operating system gave no randomness")]
    Randomness(#[source] getrandom::Error),
    #[error("{} is not an Ed25519 private key in PKCS#8 PEM", path.display())]
    NotPkcs8 { path: PathBuf },
    #[error("the {role} key cannot be written as PKCS#8")]
    Encode { role: Role },
    #[error("{} holds a key that must not be used", path.display())]
    Unfit { path: PathBuf, source: PublicKeyError },
    #[error("{} does not hold {} hexadecimal digits", path.display(), SERIES_SECRET_BYTES * 2)]
    SeriesSecret { path: PathBuf },
    #[error("the {0} key and the {1} key are the same")]
    Shared(Role, Role),
}

/// A private key and the one role that it signs for. Wiped when dropped.
pub struct SecretKey {
    role: Role,
    signing: SigningKey,
    public: PublicKey,
}

impl SecretKey {
    /// Makes a key from the operating system's randomness.
    pub fn generate(role: Role) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(KeyError::Randomness)?;
        Self::new(role, SigningKey::from_bytes(&seed))
            .map_err(|source| KeyError::Unfit { path: PathBuf::from(role.name()), source })
    }

    fn new(role: Role, signing: SigningKey) -> Result<Self, PublicKeyError> {
        let public = PublicKey::try_from(signing.verifying_key().as_bytes().as_slice())?;
        Ok(Self { role, signing, public })
    }

    /// Loads the key of a role from `dir/keys`; refuses a file that others may read.
    pub fn load(dir: &Path, role: Role) -> Result<Self, KeyError> {
        let path = role.path(dir);
        let text = read_secret(&path)?;
        let Ok(signing) = SigningKey::from_pkcs8_pem(&text) else {
            return Err(KeyError::NotPkcs8 { path });
        };
        Self::new(role, signing).map_err(|source| KeyError::Unfit { path, source })
    }

    /// Writes the key into `dir/keys`; refuses to replace one that is there.
    pub fn store(&self, dir: &Path) -> Result<(), KeyError> {
        private_dir(&keys_dir(dir))?;
        Ok(create_secret(&self.role.path(dir), &self.pem()?)?)
    }

    /// Writes the key into `dir/keys` in the place of the one that is there, which is gone then.
    pub fn replace(&self, dir: &Path) -> Result<(), KeyError> {
        Ok(replace_secret(&self.role.path(dir), &self.pem()?)?)
    }

    fn pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let encode = |_| KeyError::Encode { role: self.role };
        self.signing.to_pkcs8_pem(LineEnding::LF).map_err(encode)
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// For the signers of records, checkpoints and cosignatures, which put their own tags before
    /// what they sign.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    #[cfg(test)]
    pub(crate) fn from_seed(role: Role, seed: [u8; 32]) -> Self {
        Self::new(role, SigningKey::from_bytes(&seed)).unwrap()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, {})", self.role, self.public.id())
    }
}

/// The originator's own secret: the HMAC key under which series ids are computed. Wiped when dropped.
#[derive(Clone)]
pub struct SeriesSecret(Zeroizing<[u8; SERIES_SECRET_BYTES]>);

impl SeriesSecret {
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; SERIES_SECRET_BYTES]);
        getrandom::fill(bytes.as_mut()).map_err(KeyError::Randomness)?;
        Ok(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; SERIES_SECRET_BYTES] {
        &self.0
    }

    pub fn path(dir: &Path) -> PathBuf {
        keys_dir(dir).join(SERIES_FILE)
    }

    pub fn load(dir: &Path) -> Result<Self, KeyError> {
        let path = Self::path(dir);
        let text = read_secret(&path)?;
        hex_bytes(text.trim_end_matches('\n')).map(Self).ok_or(KeyError::SeriesSecret { path })
    }

    pub fn store(&self, dir: &Path) -> Result<(), KeyError> {
        private_dir(&keys_dir(dir))?;
        let mut text = Zeroizing::new(String::with_capacity(SERIES_SECRET_BYTES * 2 + 1));
        for nibble in self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
            text.extend(char::from_digit(nibble.into(), 16));
        }
        text.push('\n');
        Ok(create_secret(&Self::path(dir), &text)?)
    }
}

impl fmt::Debug for SeriesSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeriesSecret(..)")
    }
}

/// Every private key that a running node needs.
#[derive(Debug)]
pub struct NodeKeys {
    /// Absent where the identity key is kept offline.
    pub identity: Option<SecretKey>,
    pub record: SecretKey,
    pub journal: SecretKey,
    pub witness: SecretKey,
    pub receipt: SecretKey,
    pub series: SeriesSecret,
}

impl NodeKeys {
    /// Makes all keys and writes them under `dir/keys`. Nothing that is there is replaced.
    pub fn create(dir: &Path) -> Result<Self, KeyError> {
        let make = |role| {
            let key = SecretKey::generate(role)?;
            key.store(dir)?;
            Ok::<_, KeyError>(key)
        };
        let series = SeriesSecret::generate()?;
        series.store(dir)?;
        Ok(Self {
            identity: Some(make(Role::Identity)?),
            record: make(Role::Record)?,
            journal: make(Role::Journal)?,
            witness: make(Role::Witness)?,
            receipt: make(Role::Receipt)?,
            series,
        })
    }

    /// Loads all keys from `dir/keys`. Only the identity key may be missing.
    pub fn load(dir: &Path) -> Result<Self, KeyError> {
        private_dir(&keys_dir(dir))?;
        let identity = match SecretKey::load(dir, Role::Identity) {
            Ok(key) => Some(key),
            Err(KeyError::File(found)) if found.is_absent() => None,
            Err(found) => return Err(found),
        };
        let keys = Self {
            identity,
            record: SecretKey::load(dir, Role::Record)?,
            journal: SecretKey::load(dir, Role::Journal)?,
            witness: SecretKey::load(dir, Role::Witness)?,
            receipt: SecretKey::load(dir, Role::Receipt)?,
            series: SeriesSecret::load(dir)?,
        };
        keys.refuse_shared()?;
        Ok(keys)
    }

    /// The keys that sign for the logs, in the order of their roles.
    pub fn of_logs(&self) -> [&SecretKey; 3] {
        [&self.journal, &self.witness, &self.receipt]
    }

    fn refuse_shared(&self) -> Result<(), KeyError> {
        let all: Vec<&SecretKey> = self
            .identity
            .iter()
            .chain([&self.record, &self.journal, &self.witness, &self.receipt])
            .collect();
        for (position, one) in all.iter().enumerate() {
            if let Some(other) = all[..position].iter().find(|other| other.public == one.public) {
                return Err(KeyError::Shared(other.role, one.role));
            }
        }
        Ok(())
    }
}

/// Returns the directory of the keys, below the node's directory.
pub fn keys_dir(dir: &Path) -> PathBuf {
    dir.join("keys")
}

fn hex_bytes(text: &str) -> Option<Zeroizing<[u8; SERIES_SECRET_BYTES]>> {
    let digits = text.as_bytes();
    if digits.len() != SERIES_SECRET_BYTES * 2 {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = Zeroizing::new([0; SERIES_SECRET_BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Signer;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn created_keys_load_again_and_are_all_different() {
        let dir = tempfile::tempdir().unwrap();
        let made = NodeKeys::create(dir.path()).unwrap();
        let loaded = NodeKeys::load(dir.path()).unwrap();
        assert_eq!(made.record.public(), loaded.record.public());
        assert_eq!(made.series.as_bytes(), loaded.series.as_bytes());
        let signature = loaded.journal.signing_key().sign(b"x").to_bytes();
        assert_eq!(made.journal.public().verify_strict(b"x", &signature), Ok(()));
        assert!(loaded.refuse_shared().is_ok());
    }

    #[test]
    fn every_key_file_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        NodeKeys::create(dir.path()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&keys_dir(dir.path())), 0o700);
        for role in Role::ALL {
            assert_eq!(mode(&role.path(dir.path())), 0o600, "{role}");
        }
        assert_eq!(mode(&SeriesSecret::path(dir.path())), 0o600);
    }

    #[test]
    fn a_key_that_the_group_may_read_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        NodeKeys::create(dir.path()).unwrap();
        let path = Role::Receipt.path(dir.path());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = NodeKeys::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("chmod 0600"), "{error}");
    }

    #[test]
    fn keys_are_never_made_twice() {
        let dir = tempfile::tempdir().unwrap();
        NodeKeys::create(dir.path()).unwrap();
        assert!(matches!(
            NodeKeys::create(dir.path()),
            Err(KeyError::File(SecretFileError::Exists { .. }))
        ));
    }

    #[test]
    fn a_node_runs_without_its_identity_key() {
        let dir = tempfile::tempdir().unwrap();
        NodeKeys::create(dir.path()).unwrap();
        std::fs::remove_file(Role::Identity.path(dir.path())).unwrap();
        assert!(NodeKeys::load(dir.path()).unwrap().identity.is_none());
        std::fs::remove_file(Role::Record.path(dir.path())).unwrap();
        assert!(NodeKeys::load(dir.path()).is_err());
    }

    #[test]
    fn one_key_for_two_roles_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        NodeKeys::create(dir.path()).unwrap();
        std::fs::copy(Role::Witness.path(dir.path()), Role::Receipt.path(dir.path())).unwrap();
        assert!(matches!(
            NodeKeys::load(dir.path()),
            Err(KeyError::Shared(Role::Witness, Role::Receipt))
        ));
    }

    #[test]
    fn a_damaged_key_file_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        NodeKeys::create(dir.path()).unwrap();
        let path = Role::Record.path(dir.path());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(matches!(NodeKeys::load(dir.path()), Err(KeyError::NotPkcs8 { .. })));
        std::fs::write(&path, text).unwrap();
        std::fs::write(SeriesSecret::path(dir.path()), "abc\n").unwrap();
        let error = NodeKeys::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits") && !error.contains("abc"), "{error}");
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let key = SecretKey::from_seed(Role::Record, [0x5a; 32]);
        assert_eq!(format!("{key:?}"), format!("SecretKey(record, {})", key.public().id()));
    }
}
