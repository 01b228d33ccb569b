//! Cards of other agencies in files that a person names, and the keys in them.

use super::error::{CliError, Exit};
use crate::ident::AgencyName;
use crate::ident::KeyId;
use crate::ident::Timestamp;
use crate::partner::card::RecordKeyStatus;
use crate::partner::{Card, VerifiedCard};
use crate::record::signed::KeyRing;
use ed25519_dalek::VerifyingKey;
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
        doing: format!("{} is not a valid card", path.display()),
        exit: Exit::VerificationFailed,
        fix: "ask the partner to send its card again; add nothing that does not verify".into(),
        source: Box::new(error),
    })
}

/// The keys that one card lists.
pub(super) struct CardKeys<'a>(pub(super) &'a Card);

impl KeyRing for CardKeys<'_> {
    fn record_key(
        &self,
        originator: &AgencyName,
        key: KeyId,
        at: Timestamp,
    ) -> Option<VerifyingKey> {
        if self.0.agency != *originator {
            return None;
        }
        let listed = self.0.record_keys.iter().find(|listed| listed.key.id() == key)?;
        let is_lost = matches!(listed.status, RecordKeyStatus::Compromised(since) if at >= since);
        let is_good = (listed.from..listed.until).contains(&at) && !is_lost;
        is_good.then(|| *listed.key.verifying_key())
    }
}
