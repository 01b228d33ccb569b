//! The lines that the C2SP text formats share: decimals and hashes, each in its one form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ident::TreeHash;

/// Cuts the first line off a text; `None` when no line feed ends it.
pub(super) fn next_line<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (line, behind) = rest.split_once('\n')?;
    *rest = behind;
    Some(line)
}

/// A number as ASCII decimal without leading zeros.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let is_canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical)
}

/// A hash as canonical base64.
pub(super) fn hash(text: &str) -> Option<TreeHash> {
    STANDARD.decode(text).ok()?.as_slice().try_into().ok()
}

/// Returns the line from which [`hash`] reads this hash.
pub(super) fn hash_line(hash: &TreeHash) -> String {
    STANDARD.encode(hash.as_bytes())
}

/// Reads hash lines up to an empty line, which is cut off too; at most `max`. `Err` gives the
/// fault.
pub(super) fn hashes(rest: &mut &str, max: usize) -> Result<Vec<TreeHash>, HashesError> {
    let mut found = Vec::new();
    loop {
        match next_line(rest).ok_or(HashesError::Open)? {
            "" => return Ok(found),
            _ if found.len() == max => return Err(HashesError::TooMany(max)),
            line => found.push(hash(line).ok_or(HashesError::Form(found.len() + 1))?),
        }
    }
}

/// The reason why lines are not hashes followed by an empty line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashesError {
    #[error("no empty line ends the proof")]
    Open,
    #[error("proof line {0} is not the canonical base64 of a hash")]
    Form(usize),
    #[error("more than {0} lines of proof")]
    TooMany(usize),
}
