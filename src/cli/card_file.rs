//! Cards of other agencies in files that a person names.

use super::error::{CliError, Exit};
use crate::partner::{Card, VerifiedCard};
use std::path::Path;

/// Longest file that is read as a card; the armour of the longest card is 8 KiB.
const CARD_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Reads a card of bounded size.
pub(super) fn read_card(path: &Path) -> Result<String, CliError> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CARD_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(CliError::file("read", path))?;
    Ok(text)
}

/// A card that its own identity key signed.
pub(super) fn verify_card(armour: &str, path: &Path) -> Result<VerifiedCard, CliError> {
    Card::verify(armour).map_err(|error| CliError::Other {
        doing: format!("{} is not a sound card", path.display()),
        exit: Exit::VerificationFailed,
        fix: "ask the partner to send its card again; add nothing that does not verify".into(),
        source: Box::new(error),
    })
}
