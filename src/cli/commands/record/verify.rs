//! `liaison record verify`: commitments, batch path and signature of one record, checked here.
//!
//! Trusts nothing that the node says about the record. The originator's card may come from the
//! node too; then its number is shown, because only that number ties a card to an agency.

use super::which::{Which, read};
use crate::cli::card_file::CardKeys;
use crate::cli::card_file::{read_card, verify_card};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::given_id::RecordOrSeries;
use crate::cli::table::facts;
use crate::ident::RecordId;
use crate::partner::{Card, VerifiedCard};
use crate::pb;
use crate::record::signed::{RecordError, Signed, Verified, VerifiedRoots};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Record id, or series id for its newest revision; whole or the first digits, six at the least.
    id: Which,
    /// Your own copy of the originator's card; by default the card that the node holds.
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
}

pub(super) async fn run(args: &VerifyArgs, context: &Context) -> Result<(), CliError> {
    let (answer, asked) = read(&args.id, context).await?;
    let envelope = answer.record.and_then(|view| view.envelope);
    let envelope = envelope.ok_or_else(|| CliError::Answer("a record without envelope".into()))?;
    let card = match &args.card {
        Some(path) => verify_card(&read_card(path)?, path)?,
        None => verify_card(&answer.originator_card, Path::new("the card that the node has"))?,
    };
    let record = check(asked, envelope, card.card())?;
    show(&record, &card, context)
}

/// The record, if it is the one that was asked for and everything holds.
fn check(asked: RecordOrSeries, envelope: pb::Envelope, card: &Card) -> Result<Verified, CliError> {
    let record = Signed::decode(envelope)
        .and_then(|signed| signed.verify(&CardKeys(card), &mut VerifiedRoots::default()))
        .map_err(not_verified)?;
    let is_asked = match asked {
        RecordOrSeries::Record(id) => record.id() == id,
        RecordOrSeries::Series(series) => record.header().series == series,
    };
    if is_asked {
        Ok(record)
    } else {
        Err(CliError::Verification { found: wrong_record(record.id()) })
    }
}

fn wrong_record(found: RecordId) -> String {
    format!("the node sent another record than was asked for: {found}")
}

fn not_verified(error: RecordError) -> CliError {
    CliError::Other {
        doing: "verification failed: the record does not hold".into(),
        exit: Exit::VerificationFailed,
        fix: "keep what you have and raise an incident; do not try again".into(),
        source: Box::new(error),
    }
}

fn show(record: &Verified, card: &VerifiedCard, context: &Context) -> Result<(), CliError> {
    let open = record.open_slots().count();
    let all = record.slots().len();
    let document = json!({
        "verified": true,
        "id": record.id().to_string(),
        "originator": record.header().originator.to_string(),
        "slots": all,
        "open_slots": open,
        "card_serial": card.card().serial,
        "card_number": card.number().to_string(),
    });
    context.output.either(document, || {
        facts([
            ("verified", record.id().to_string()),
            ("originator", record.header().originator.to_string()),
            ("fields", format!("{open} of {all} open; every commitment holds")),
            ("signature", "holds under a key of the originator's card".to_owned()),
            ("card", format!("{}, number {}", card.card().serial, card.number())),
        ])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partner::RecordKeyStatus;
    use crate::partner::card::tests::{at, public};
    use crate::record::signed::KeyRing;
    use crate::testkit::sample_card;

    fn finds(card: &Card, originator: &str, when: &str) -> bool {
        let keys = CardKeys(card);
        keys.record_key(&originator.parse().unwrap(), public(2).id(), at(when)).is_some()
    }

    #[test]
    fn a_key_counts_only_for_its_agency_and_within_its_time() {
        let card = sample_card();
        assert!(finds(&card, "npa.go.jp", "2026-03-01"));
        assert!(!finds(&card, "jc3.or.jp", "2026-03-01"));
        assert!(!finds(&card, "npa.go.jp", "2025-12-31"));
        assert!(!finds(&card, "npa.go.jp", "2027-06-01"));
    }

    #[test]
    fn a_lost_key_counts_only_before_it_was_lost() {
        let mut card = sample_card();
        card.record_keys[0].status = RecordKeyStatus::Compromised(at("2026-05-01"));
        assert!(finds(&card, "npa.go.jp", "2026-04-30"));
        assert!(!finds(&card, "npa.go.jp", "2026-05-01"));
    }

    #[test]
    fn an_envelope_that_does_not_hold_is_an_incident() {
        let asked = RecordOrSeries::Record(RecordId::from_bytes([0; 32]));
        let error = check(asked, pb::Envelope::default(), &sample_card()).unwrap_err();
        assert_eq!(error.exit(), Exit::VerificationFailed);
    }
}
