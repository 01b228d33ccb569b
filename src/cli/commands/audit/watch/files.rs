//! A log as files in the layout of C2SP tlog-tiles, in a folder here or behind a file server.
//!
//! Files come and go while an export is replaced by a newer one; what that explains is told apart
//! from what is bad.

use crate::audit::{CHECKPOINT, Folder as _};
use crate::cli::audit_store::exported::Directory;
use crate::cli::error::{CliError, Exit, Source};
use crate::ident::TreeHash;
use crate::merkle::{
    BUNDLE_ENTRY_BYTES_MAX, NOTE_BYTES_MAX, TILE_LEAVES, Tile, TileRow, leaf_hash,
};
use crate::tls::{WebClient, WebError};
use bytes::Bytes;
use http::StatusCode;
use std::path::PathBuf;
use std::time::Duration;

/// Longest bundle: 256 entries with their lengths.
const BUNDLE_BYTES_MAX: usize = TILE_LEAVES as usize * (2 + BUNDLE_ENTRY_BYTES_MAX);
const HASHES_BYTES_MAX: usize = TILE_LEAVES as usize * TreeHash::BYTES;

const NAME_CA: &str = "name the certificate of the server's authority, in PEM, with --ca FILE";

/// The place of the files.
pub(super) enum Files {
    Here(Directory),
    Web(Box<WebClient>),
}

/// The reason why leaves cannot be read.
pub(super) enum NoLeaves {
    /// A file is not there that the checkpoint implies: bad, unless there is a newer checkpoint.
    Missing(String),
    Other(CliError),
}

impl From<CliError> for NoLeaves {
    fn from(error: CliError) -> Self {
        Self::Other(error)
    }
}

impl Files {
    /// A folder, or `http://` or `https://` with the certificates in PEM that this is to trust.
    pub(super) fn at(
        place: &str,
        authorities: Option<&[u8]>,
        within: Duration,
    ) -> Result<Self, CliError> {
        if !place.contains("://") {
            return Ok(Self::Here(Directory::new(PathBuf::from(place))));
        }
        match WebClient::new(place, authorities, within) {
            Ok(client) => Ok(Self::Web(Box::new(client))),
            Err(error) => {
                use WebError::{Authority, NoAuthority, Pem};
                let fix = match error {
                    NoAuthority(_) | Pem(_) | Authority(_) => NAME_CA,
                    _ => "name a folder, or where a file server serves one over http or https",
                };
                Err(CliError::usage(error.to_string(), fix))
            }
        }
    }

    /// The newest checkpoint; `None` if there is none.
    pub(super) async fn checkpoint(&mut self) -> Result<Option<Bytes>, CliError> {
        self.read(CHECKPOINT, NOTE_BYTES_MAX).await
    }

    pub(super) fn place(&self) -> String {
        match self {
            Self::Here(folder) => folder.path().display().to_string(),
            Self::Web(client) => client.address(""),
        }
    }

    /// The hashes of a bundle's entries, each computed from the entry and compared with the log's own
    /// tile. More than the bundle is wide where only the full one is there.
    pub(super) async fn leaves(&mut self, bundle: Tile) -> Result<Vec<TreeHash>, NoLeaves> {
        let (bundle, bytes) = self.tile(bundle, BUNDLE_BYTES_MAX).await?;
        let entries = bundle.parse_entries(&bytes).map_err(|error| bad(error.to_string()))?;
        let level = Tile::new(TileRow::Hashes(0), bundle.number(), bundle.width());
        let level = level.map_err(|error| bad(error.to_string()))?;
        let (level, bytes) = self.tile(level, HASHES_BYTES_MAX).await?;
        let hashes = level.parse_hashes(&bytes).map_err(|error| bad(error.to_string()))?;
        let mut leaves = Vec::with_capacity(entries.len());
        for ((index, entry), said) in bundle.items().zip(entries).zip(&hashes) {
            let leaf = leaf_hash(entry);
            if leaf != *said {
                let found =
                    format!("entry {index} in {bundle} hashes to {leaf}, {level} has {said}");
                return Err(bad(found).into());
            }
            leaves.push(leaf);
        }
        Ok(leaves)
    }

    /// The bytes of a tile, or of the full one in its place: a log that grew may have no other.
    async fn tile(&mut self, tile: Tile, bytes_max: usize) -> Result<(Tile, Bytes), NoLeaves> {
        if let Some(bytes) = self.read(&tile.to_string(), bytes_max).await? {
            return Ok((tile, bytes));
        }
        if let Some(full) = tile.full().filter(|_| !tile.is_full())
            && let Some(bytes) = self.read(&full.to_string(), bytes_max).await?
        {
            return Ok((full, bytes));
        }
        Err(NoLeaves::Missing(tile.to_string()))
    }

    async fn read(&mut self, path: &str, bytes_max: usize) -> Result<Option<Bytes>, CliError> {
        match self {
            Self::Here(folder) => folder
                .read(path, bytes_max as u64)
                .map_err(CliError::file("read", &folder.path().join(path))),
            Self::Web(client) => over_http(client, path, bytes_max).await,
        }
    }
}

pub(super) fn bad(found: impl Into<String>) -> CliError {
    CliError::Verification { found: found.into() }
}

async fn over_http(
    client: &mut WebClient,
    path: &str,
    bytes_max: usize,
) -> Result<Option<Bytes>, CliError> {
    let address = client.address(path);
    let failed = |exit, fix: &str, source: Source| CliError::Other {
        doing: format!("cannot read {address}"),
        exit,
        fix: fix.to_owned(),
        source,
    };
    let answer = match client.get(path, bytes_max).await {
        Ok(answer) => answer,
        Err(error @ WebError::TooLong(..)) => return Err(bad(format!("{path}: {error}"))),
        Err(error @ WebError::Untrusted(..)) => {
            return Err(failed(Exit::Untrusted, NAME_CA, Box::new(error)));
        }
        Err(error) if error.is_passing() => {
            return Err(failed(Exit::Unavailable, "try again later", Box::new(error)));
        }
        Err(error) => return Err(failed(Exit::Failed, "check the address", Box::new(error))),
    };
    let status = answer.status;
    let answered = || Source::from(format!("it answered {status}"));
    match status {
        StatusCode::OK => Ok(Some(answer.body)),
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
        _ if status.is_redirection() => {
            let to = answer.location.unwrap_or_else(|| "another address".to_owned());
            Err(CliError::usage(
                format!("{address} redirects to {to}, and redirects are not followed"),
                "name the address that holds the files, if you mean that one",
            ))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let fix = "have the server give its files to whoever asks; they are made for that";
            Err(failed(Exit::Untrusted, fix, answered()))
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Err(failed(Exit::Unavailable, "try again later", answered()))
        }
        _ if status.is_server_error() => {
            Err(failed(Exit::Unavailable, "try again later", answered()))
        }
        _ => Err(failed(Exit::Failed, "check the address", answered())),
    }
}
