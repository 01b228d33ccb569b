//! The decision on a new card from a known partner.
//!
//! Addresses, certificates and record keys change by themselves; whatever says who the agency is, or
//! how to reach its people, needs a human; another identity key needs a new ceremony. A pure function.

use super::card::{Card, RecordKeyStatus, VerifiedCard};
use super::public_key::PublicKey;
use crate::ident::{AgencyName, Generation, KeyId, Timestamp};

/// A change that an officer has to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CardChange {
    DisplayName,
    Country,
    Sector,
    /// The journal, witness or receipt key: it decides whose history is verified.
    LogKeys,
    /// Its logs were succeeded: entries that it signed are lost, and everything is disclosed again.
    Generation,
    /// Someone else answers the telephone over which numbers are compared.
    Contacts,
}

/// The reason why a card cannot replace the known one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the card is of {found}, wanted a card of {known}")]
    Agency { known: AgencyName, found: AgencyName },
    #[error(
        "the card has another identity key than the known card; ask the agency which card is genuine"
    )]
    Identity,
    #[error("the card has serial {found}, wanted a serial above {known}")]
    Serial { known: u64, found: u64 },
    #[error(
        "the card has the next serial and does not continue the known card; ask the agency which card is genuine"
    )]
    Chain,
    #[error("the card was issued at {found}, before the known one at {known}")]
    Issued { known: Timestamp, found: Timestamp },
    #[error("the card marks the compromised record key {0} as sound again")]
    CompromisedKey(KeyId),
    #[error(
        "the card has logs of generation {found}, the known one of {known}: logs that were given up never come back"
    )]
    Generation { known: Generation, found: Generation },
    #[error("the card has logs of generation {0} under a key of the generation before")]
    SucceededKeys(Generation),
}

/// The decision on the new card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardUpdate {
    /// It is the known card.
    Unchanged,
    /// It takes the known card's place at once.
    Automatic,
    /// An officer looks at these changes first.
    NeedsHuman(Vec<CardChange>),
    /// It is not taken.
    Refused(Refusal),
}

/// Compares the known card of a partner with a newly received one.
pub fn compare_cards(known: &VerifiedCard, new: &VerifiedCard) -> CardUpdate {
    if known.hash() == new.hash() {
        return CardUpdate::Unchanged;
    }
    if let Err(refusal) = follows(known, new) {
        return CardUpdate::Refused(refusal);
    }
    let changes = changes(known.card(), new.card());
    if changes.is_empty() { CardUpdate::Automatic } else { CardUpdate::NeedsHuman(changes) }
}

fn follows(known: &VerifiedCard, new: &VerifiedCard) -> Result<(), Refusal> {
    let known_hash = known.hash();
    let (known, new) = (known.card(), new.card());
    if known.agency != new.agency {
        return Err(Refusal::Agency { known: known.agency.clone(), found: new.agency.clone() });
    }
    if known.identity_key != new.identity_key {
        return Err(Refusal::Identity);
    }
    if new.serial <= known.serial {
        return Err(Refusal::Serial { known: known.serial, found: new.serial });
    }
    // Where cards between the two were missed, the chain cannot be followed and is not asked for.
    if new.serial == known.serial.saturating_add(1) && new.previous != Some(known_hash) {
        return Err(Refusal::Chain);
    }
    if new.issued_at < known.issued_at {
        return Err(Refusal::Issued { known: known.issued_at, found: new.issued_at });
    }
    generation_follows(known, new)?;
    compromised_keys_stay(known, new)
}

/// Logs of another generation have other keys, so that whoever still runs the old ones signs nothing
/// that would be taken for the new.
fn generation_follows(known: &Card, new: &Card) -> Result<(), Refusal> {
    if new.generation < known.generation {
        return Err(Refusal::Generation { known: known.generation, found: new.generation });
    }
    let [before, after] = [known, new].map(log_keys);
    if new.generation > known.generation && after.iter().any(|key| before.contains(key)) {
        return Err(Refusal::SucceededKeys(new.generation));
    }
    Ok(())
}

const fn log_keys(card: &Card) -> [PublicKey; 3] {
    [card.journal_key, card.witness_key, card.receipt_key]
}

/// Checks compromised keys. One may be left out of a new card, but not come back as a good one, nor
/// with a later time than before.
fn compromised_keys_stay(known: &Card, new: &Card) -> Result<(), Refusal> {
    for before in &known.record_keys {
        let RecordKeyStatus::Compromised(since) = before.status else { continue };
        let taken_back = new.record_keys.iter().any(|after| {
            let still = matches!(after.status, RecordKeyStatus::Compromised(now) if now <= since);
            after.key == before.key && !still
        });
        if taken_back {
            return Err(Refusal::CompromisedKey(before.key.id()));
        }
    }
    Ok(())
}

fn changes(known: &Card, new: &Card) -> Vec<CardChange> {
    [
        (known.display_name != new.display_name, CardChange::DisplayName),
        (known.country != new.country, CardChange::Country),
        (known.sector != new.sector, CardChange::Sector),
        (log_keys(known) != log_keys(new), CardChange::LogKeys),
        (known.generation != new.generation, CardChange::Generation),
        (known.contacts != new.contacts, CardChange::Contacts),
    ]
    .into_iter()
    .filter_map(|(differs, change)| differs.then_some(change))
    .collect()
}
