//! `liaison audit prove`: writes the proof of one record to a file that needs nothing beside it.
//!
//! What is written was verified here first, by the same code that whoever gets it will run.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use prost::Message as _;
use serde_json::json;

use crate::audit::{Anchor, Fault, ProofFile, ProofReport, verify_proof};
use crate::cli::audit_store::kind_of;
use crate::cli::card_file::CardKeys;
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::given_id::GivenId;
use crate::ident::{AgencyName, Generation, LeafIndex, TreeHash};
use crate::merkle::{Note, TlogProof};
use crate::partner::VerifiedCard;
use crate::pb;
use crate::pb::log_service_client::LogServiceClient;
use crate::record::signed::{Signed, Verified, VerifiedRoots};
use crate::record::slots::{SlotMask, SlotNumber};

/// Write the proof of one record: the record, its place in the journal, receipts, and cards.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  liaison audit prove 9f31c2…(64 digits) --dir npa\n  liaison audit prove 9f31c2… --withhold notes --file for-the-court.liaison-proof\n  liaison audit verify for-the-court.liaison-proof --identity '41822 09379 55120 83013 26790 71154'"
)]
pub struct ProveArgs {
    /// Record id, or its first digits, six at the least.
    id: GivenId,
    /// File to write; RECORD-ID.liaison-proof in this directory if it is not given.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A field that the proof does not show; may be given several times.
    #[arg(long, value_name = "FIELD")]
    withhold: Vec<String>,
}

pub(super) async fn run(args: &ProveArgs, context: &Context) -> Result<(), CliError> {
    let roles = [Role::Auditor, Role::Analyst];
    let id = args.id.resolve(context, &roles).await?;
    let channel = context.channel(&roles).await?;
    let mut client = LogServiceClient::new(channel)
        .max_decoding_message_size(crate::cli::connection::ANSWER_BYTES_MAX);
    let request = pb::GetRecordProofRequest { record_id: Bytes::copy_from_slice(id.as_bytes()) };
    let answer = client
        .get_record_proof(context.request(request))
        .await
        .map_err(CliError::node(format!("get the proof of record {}", id)))?
        .into_inner();
    if answer.more_disclosures {
        context.output.note("more partners gave receipts than one proof holds; some are left out");
    }
    let mut file = file_of(answer).ok_or_else(|| CliError::Answer("no whole proof".to_owned()))?;
    if !args.withhold.is_empty() {
        file.envelope = without(&file, &args.withhold)?;
    }
    let bytes = file.to_bytes();
    let report = verify_proof(&bytes, &Anchor::Directory).map_err(|fault| failed(&fault))?;
    if report.record != id {
        let found = format!("the node sent the proof of another record: {}", report.record);
        return Err(CliError::Verification { found });
    }
    let path = args.file.clone().unwrap_or_else(|| format!("{}.liaison-proof", id).into());
    write(&path, &bytes)?;
    let shown = path.display().to_string();
    let document = json!({ "file": shown, "bytes": bytes.len(), "proof": report.to_json() });
    if report.is_kept_out {
        context.output.note(&format!(
            "its content is kept out of the proof: {} marks it not for evidence (H1). With its consent it is \
             in: liaison consent ask {} --evidence --reason TEXT (of an own record: liaison consent give)",
            report.originator, id
        ));
    }
    context.output.either(document, || format!("{report}written    {shown}"))
}

/// Verifies a proof that somebody handed over.
pub(super) fn verify(path: &Path, anchor: &Anchor) -> Result<ProofReport, CliError> {
    let bytes = crate::cli::audit_store::read(path, crate::audit::PROOF_FILE_BYTES_MAX as u64)
        .map_err(CliError::file("read", path))?;
    // A damaged proof still has its sections; a file without any of both is another one.
    let has_sections = String::from_utf8_lossy(&bytes).contains("\n-- acceptance ");
    if !bytes.starts_with(b"liaison-proof/") && !has_sections {
        let found = format!("{} is not a proof: it is {}", path.display(), kind_of(&bytes));
        return Err(CliError::usage(
            found,
            "name a proof that `audit prove` wrote, a node's directory, an export or a part",
        ));
    }
    verify_proof(&bytes, anchor).map_err(|fault| failed(&fault))
}

fn failed(fault: &Fault) -> CliError {
    crate::cli::audit_outcome::refused(fault, fault.to_string())
}

/// Never over a file that is there: it may be another's evidence.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(CliError::Precondition {
                found: format!("{} exists already", path.display()),
                fix: "name another file with --file".to_owned(),
            });
        }
        opened => opened.map_err(CliError::file("create", path))?,
    };
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(CliError::file("write", path))
}

/// The parts of the answer in their domain types; `None` if one is missing or malformed.
fn file_of(answer: pb::GetRecordProofResponse) -> Option<ProofFile> {
    let pb::GetRecordProofResponse {
        envelope,
        acceptance,
        disclosures,
        cards,
        more_disclosures: _,
        consent,
    } = answer;
    let acceptance = acceptance?;
    let holder = Note::parse(&acceptance.note).ok()?;
    let (holder, _) = Generation::of_journal(holder.text().as_str().lines().next()?)?;
    let disclosure = |found: pb::DisclosureProof| {
        Some((found.partner.parse::<AgencyName>().ok()?, tlog_proof(found.entry?)?))
    };
    let envelope = envelope?;
    let originator = pb::Header::decode(envelope.header.clone()).ok()?.originator.parse().ok()?;
    let cards = cards.into_iter().map(|found| Some((found.agency.parse().ok()?, found.cards)));
    Some(ProofFile {
        envelope,
        cards: cards.collect::<Option<BTreeMap<_, _>>>()?,
        holder,
        acceptance: tlog_proof(acceptance)?,
        consent: consent.map(|consent| (originator, consent)),
        disclosures: disclosures.into_iter().map(disclosure).collect::<Option<_>>()?,
    })
}

fn tlog_proof(wire: pb::EntryProof) -> Option<TlogProof> {
    let pb::EntryProof { index, entry, path, note } = wire;
    let path = path.iter().map(|hash| TreeHash::try_from(&hash[..]).ok()).collect::<Option<_>>()?;
    let note = Note::parse(&note).ok()?;
    let proof = TlogProof::new(LeafIndex::new(index), path, note).ok()?;
    proof.with_extra(entry.to_vec()).ok()
}

/// The envelope with these fields withheld.
fn without(file: &ProofFile, names: &[String]) -> Result<pb::Envelope, CliError> {
    let record = verified(file)?;
    let kind = record.kind();
    let named = |name: &String| {
        SlotNumber::of(kind).find(|number| number.spec(kind).name == *name).ok_or_else(|| {
            let known: Vec<_> = kind.slots().iter().map(|slot| slot.name).collect();
            CliError::usage(
                format!("{} has no field {name:?}", kind.name()),
                format!("its fields are {}", known.join(", ")),
            )
        })
    };
    let hidden: Vec<SlotNumber> = names.iter().map(named).collect::<Result<_, _>>()?;
    let hidden = hidden.into_iter().fold(SlotMask::NONE, SlotMask::with);
    Ok(record.redacted(record.open_slots().without(hidden)))
}

/// The record in its verified type, which alone can be redacted.
fn verified(file: &ProofFile) -> Result<Verified, CliError> {
    let found = |error: &dyn std::fmt::Display| CliError::Verification { found: error.to_string() };
    let signed = Signed::decode(file.envelope.clone()).map_err(|error| found(&error))?;
    let originator = &signed.header().originator;
    let cards = file.cards.get(originator).and_then(|cards| cards.last()).cloned();
    let card = VerifiedCard::try_from(cards.unwrap_or_default()).map_err(|error| found(&error))?;
    signed.verify(&CardKeys(card.card()), &mut VerifiedRoots::default()).map_err(|e| found(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::Exit;

    #[test]
    fn a_proof_that_cannot_be_read_is_a_failed_verification() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proof");
        write(&path, b"liaison-proof/v1\n").unwrap();
        let error = verify(&path, &Anchor::Directory).unwrap_err();
        assert_eq!(error.exit(), Exit::VerificationFailed);
        let again = write(&path, b"").unwrap_err();
        assert_eq!(again.exit(), Exit::Precondition);
    }
}
