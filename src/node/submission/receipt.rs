//! The receipt over a bulk submission: a signed note over its figures and the ids that were answered.
//!
//! The node signs and its client verifies what stands here in one place. It says that the journal
//! durably holds the records, not that any partner does.

use crate::ident::AgencyName;
use crate::merkle::{
    KeyError, Note, NoteSigner, NoteText, NoteVerifier, SignatureType, verify_note,
};
use crate::partner::PublicKey;
use crate::pb;
use ed25519_dalek::SigningKey;

/// The reason why a receipt is not taken, or cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("the name of the receipt's key is wrong")]
    Name(#[from] KeyError),
    #[error("the receipt is not a signed note")]
    Note(#[from] crate::merkle::NoteError),
    #[error("the signature does not verify under the node's receipt key")]
    Signature(#[from] crate::merkle::VerifyError),
    #[error("the signed text is not over the figures that came with it")]
    Figures,
}

fn name(agency: &AgencyName) -> String {
    format!("{agency}/submission")
}

/// Origin, the four figures by outcome, and the root over the ids, a line each.
fn text(agency: &AgencyName, figures: &pb::SubmissionReceipt) -> String {
    let pb::SubmissionReceipt { created, revised, unchanged, refused, ids_root, .. } = figures;
    let ids: String = ids_root.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{name}\ncreated {created}\nrevised {revised}\nunchanged {unchanged}\nrefused {refused}\nids {ids}\n",
        name = name(agency),
    )
}

/// The signed note over a submission's figures.
pub fn sign(
    agency: &AgencyName,
    figures: &pb::SubmissionReceipt,
    key: &SigningKey,
) -> Result<Vec<u8>, ReceiptError> {
    let text = NoteText::new(text(agency, figures))?;
    let line = NoteSigner::new(name(agency).parse()?, key.clone()).sign(&text);
    Ok(Note::new(text, vec![line])?.to_bytes())
}

/// Checks that the receipt key signed exactly these figures.
pub fn verify(
    agency: &AgencyName,
    receipt: &pb::SubmissionReceipt,
    key: &PublicKey,
) -> Result<(), ReceiptError> {
    let note = Note::parse(&receipt.note)?;
    let known = NoteVerifier::new(name(agency).parse()?, SignatureType::Ed25519, key.as_bytes())?;
    verify_note(&note, &[known])?;
    if note.text().as_str() == text(agency, receipt) { Ok(()) } else { Err(ReceiptError::Figures) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_holds_for_its_figures_its_key_and_its_agency_only() {
        let agency: AgencyName = "dcu.example".parse().unwrap();
        let signing = SigningKey::from_bytes(&[7; 32]);
        let key = PublicKey::try_from(signing.verifying_key().as_bytes().as_slice()).unwrap();
        let mut receipt = pb::SubmissionReceipt {
            created: 3,
            ids_root: vec![9; 32].into(),
            ..Default::default()
        };
        receipt.note = sign(&agency, &receipt, &signing).unwrap().into();
        assert!(verify(&agency, &receipt, &key).is_ok());
        for change in [
            |r: &mut pb::SubmissionReceipt| r.created += 1,
            |r: &mut pb::SubmissionReceipt| r.refused += 1,
            |r: &mut pb::SubmissionReceipt| r.ids_root = vec![8; 32].into(),
        ] {
            let mut changed = receipt.clone();
            change(&mut changed);
            assert!(matches!(verify(&agency, &changed, &key), Err(ReceiptError::Figures)));
        }
        assert!(verify(&"jc3.or.jp".parse().unwrap(), &receipt, &key).is_err());
        let other = SigningKey::from_bytes(&[8; 32]);
        let other = PublicKey::try_from(other.verifying_key().as_bytes().as_slice()).unwrap();
        assert!(verify(&agency, &receipt, &other).is_err());
    }
}
