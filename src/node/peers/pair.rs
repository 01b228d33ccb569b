//! The two sides of an exchange with a partner: their logs and keys, from the cards in the journal.

use crate::exchange::{Pair, Side, SideKeys};
use crate::ident::{AgencyName, Generation};
use crate::journal::entry::{receipt_name, witness_name};
use crate::journal::view::View;
use crate::merkle::{NoteVerifier, SignatureType};
use crate::node::error::NodeError;
use crate::node::partners::partner_facts::unknown;
use crate::partner::{Card, PublicKey, VerifiedCard};

/// Own cards looked at for keys of generations before: a year has one card or two.
const CARDS_MAX: usize = 256;

/// This agency and a partner as the journal knows them.
pub(in crate::node) fn pair_with(
    view: &View,
    own: &AgencyName,
    partner: &AgencyName,
) -> Result<Pair, NodeError> {
    let snapshot = view.snapshot();
    let card = snapshot.state.card.as_ref().ok_or(NodeError::NoCard)?;
    let known = snapshot.state.partners.get(partner).ok_or_else(|| unknown(partner))?;
    let retired = retired(view, card.card())?;
    Ok(Pair {
        own: side(own, partner, card.card())?.with_retired(retired),
        partner: side(partner, own, known.card.card())?,
    })
}

fn side(agency: &AgencyName, feed_to: &AgencyName, card: &Card) -> Result<Side, NodeError> {
    let Card { generation, .. } = card;
    let keys = SideKeys {
        log: verifier(
            generation.feed_origin(agency, feed_to),
            SignatureType::Ed25519,
            &card.journal_key,
        )?,
        receipts: verifier(receipt_name(agency), SignatureType::Cosignature, &card.receipt_key)?,
        journal: verifier(
            generation.journal_origin(agency),
            SignatureType::Ed25519,
            &card.journal_key,
        )?,
        witness: verifier(witness_name(agency), SignatureType::Cosignature, &card.witness_key)?,
    };
    Side::new(agency.clone(), *generation, keys)
        .map_err(|error| NodeError::start("the keys on a card", error))
}

/// The receipt and witness keys of generations before that of this card.
fn retired(view: &View, newest: &Card) -> Result<Vec<NoteVerifier>, NodeError> {
    let mut keys = Vec::new();
    if newest.generation == Generation::FIRST {
        return Ok(keys);
    }
    for signed in view.cards(None, CARDS_MAX)? {
        let card = VerifiedCard::try_from(signed)
            .map_err(|error| NodeError::start("an own card", error))?;
        let card = card.card();
        if card.generation < newest.generation {
            let agency = &card.agency;
            for (name, key) in [
                (receipt_name(agency), &card.receipt_key),
                (witness_name(agency), &card.witness_key),
            ] {
                keys.push(verifier(name, SignatureType::Cosignature, key)?);
            }
        }
    }
    Ok(keys)
}

fn verifier(name: String, role: SignatureType, key: &PublicKey) -> Result<NoteVerifier, NodeError> {
    let failed = |error| NodeError::start("verifier key on a card", error);
    NoteVerifier::new(name.parse().map_err(failed)?, role, key.as_bytes()).map_err(failed)
}
