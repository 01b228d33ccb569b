//! File hashes and certificate fingerprints, as `algorithm:hex`.
//!
//! The algorithm follows from the length. One that is named as well must agree, so that a cut or
//! mislabelled hash is noticed.

use super::Excerpt;
use super::error::Normalised;

/// Name and number of hexadecimal digits.
type Algorithm = (&'static str, usize);

const FILE_HASHES: [Algorithm; 6] =
    [("md5", 32), ("sha1", 40), ("sha224", 56), ("sha256", 64), ("sha384", 96), ("sha512", 128)];
const FINGERPRINTS: [Algorithm; 2] = [("sha1", 40), ("sha256", 64)];

/// Longer than any way to write an algorithm's name.
const NAME_BYTES_MAX: usize = 32;

pub(super) fn normalise_file_hash(text: &str) -> Normalised {
    let (name, hex) = split(text);
    tagged(&FILE_HASHES, name, hex.to_ascii_lowercase())
}

/// Takes colons and spaces between the bytes, and a name as in `SHA256 Fingerprint=AB:CD`.
pub(super) fn normalise_fingerprint(text: &str) -> Normalised {
    let (name, hex) = split(text);
    let hex = hex.chars().filter(|c| !matches!(c, ':' | ' ')).collect::<String>();
    tagged(&FINGERPRINTS, name, hex.to_ascii_lowercase())
}

/// Separates an algorithm's name, if there is one: two hexadecimal digits and a colon are a byte.
fn split(text: &str) -> (Option<&str>, &str) {
    match text.split_once([':', '=']) {
        Some((name, _)) if name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit()) => {
            (None, text)
        }
        Some((name, hex)) => (Some(name), hex),
        None => (None, text),
    }
}

fn tagged(algorithms: &[Algorithm], name: Option<&str>, hex: String) -> Normalised {
    if let Some(c) = hex.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("{c:?} is not a hexadecimal digit").into());
    }
    let Some((algorithm, _)) = algorithms.iter().find(|(_, digits)| *digits == hex.len()) else {
        let known = algorithms.iter().map(|(name, digits)| format!("{digits} ({name})"));
        let known = known.collect::<Vec<_>>().join(", ");
        return Err(format!("it has {} hexadecimal digits, wanted {known}", hex.len()).into());
    };
    match name {
        Some(name) if plain(name) != *algorithm => {
            let name = Excerpt::of(name);
            Err(format!("it is called {name} but has the length of {algorithm}; check both").into())
        }
        _ => Ok(format!("{algorithm}:{hex}")),
    }
}

/// `SHA-256`, `sha_256` and `SHA256 Fingerprint` are `sha256`.
fn plain(name: &str) -> String {
    if name.len() > NAME_BYTES_MAX {
        return String::new();
    }
    let name = name.to_ascii_lowercase().replace(['-', '_', ' '], "");
    name.strip_suffix("fingerprint").unwrap_or(&name).to_owned()
}
