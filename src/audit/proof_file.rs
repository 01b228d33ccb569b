//! The proof of one record as one text file: read and written.
//!
//! ```text
//! liaison-proof/v1
//! -- envelope
//! <base64 of the serialised Envelope, lines of 64>
//! -- cards <agency>                     (one section an agency, names ascending)
//! <armoured cards, oldest first>
//! -- acceptance <agency>
//! <tlog-proof, with the journal entry as its extra data>
//! -- consent <originator>               (only if there is one: to use the record as evidence)
//! <base64 of the serialised Consent, lines of 64>
//! -- disclosure <partner>               (one section a receipt, names ascending)
//! <tlog-proof, with the feed entry as its extra data>
//! -- sha256 <hex of SHA-256 over all bytes before this line>
//! ```
//!
//! The sum finds accidents, not forgery. Reading is strict: what would not print back to the same
//! bytes is refused. Nothing here says whether anything holds; see [`super::verify_proof`].

use super::card::{armoured, signed_of_armour};
use crate::ident::AgencyName;
use crate::merkle::{TlogProof, TlogProofError};
use crate::pb;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Longest file: an envelope of 31 slots of 48 KiB, and what stands around it for a hundred partners.
pub const PROOF_FILE_BYTES_MAX: usize = 8 << 20;

/// Most receipts in a file: each comes with the cards of its partner.
pub const PROOF_DISCLOSURES_MAX: usize = 100;

/// Most cards of one agency: an agency that issues one a month is covered for years.
pub const PROOF_CARDS_MAX: usize = 32;

const FIRST_LINE: &str = "liaison-proof/v1\n";
const SECTION: &str = "-- ";
const BASE64_LINE: usize = 64;

/// The reason why bytes are not a proof file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    #[error("a proof has at most {PROOF_FILE_BYTES_MAX} bytes, found {0}")]
    Length(usize),
    #[error("not UTF-8 from byte {0} on")]
    Utf8(usize),
    #[error("first line is not liaison-proof/v1")]
    Version,
    #[error("section {0} is missing")]
    Missing(&'static str),
    #[error("section {0:?} may not stand there")]
    Section(String),
    #[error("sum over the file is {computed}, its last line has {stated:?}")]
    Sum { computed: String, stated: String },
    #[error("section {0} has unexpected content")]
    Contents(String),
    #[error("proof in section {section} is malformed")]
    Proof { section: String, source: TlogProofError },
    #[error("{found} of {what}, at most {most}")]
    TooMany { what: &'static str, found: usize, most: usize },
    #[error("it is not written in its one form")]
    Form,
}

/// A record and what proves it, as it stands in the file. Well formed, not verified.
#[derive(Debug, Clone, PartialEq)]
pub struct ProofFile {
    /// The record, as far as its holder shows it.
    pub envelope: pb::Envelope,
    /// Cards of each agency, oldest first.
    pub cards: BTreeMap<AgencyName, Vec<pb::SignedCard>>,
    /// The agency whose journal accepted the record.
    pub holder: AgencyName,
    /// The extra data is the journal entry.
    pub acceptance: TlogProof,
    /// The originator's consent to use the record as evidence.
    pub consent: Option<(AgencyName, pb::Consent)>,
    /// For each partner whose receipt covers the record; the extra data is the feed entry.
    pub disclosures: BTreeMap<AgencyName, TlogProof>,
}

impl ProofFile {
    /// Returns true if bytes begin as a proof of this form.
    pub fn is_named_by(bytes: &[u8]) -> bool {
        bytes.starts_with(FIRST_LINE.as_bytes())
    }

    /// Reads a file. What it accepts, [`ProofFile::to_bytes`] gives back byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        if bytes.len() > PROOF_FILE_BYTES_MAX {
            return Err(ProofFileError::Length(bytes.len()));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| ProofFileError::Utf8(error.valid_up_to()))?;
        let body = text.strip_prefix(FIRST_LINE).ok_or(ProofFileError::Version)?;
        let summed = text.rfind("\n-- sha256 ").ok_or(ProofFileError::Missing("sha256"))? + 1;
        check_sum(&text[..summed], &text[summed..])?;
        let body = body.get(..body.len() - (text.len() - summed)).unwrap_or_default();
        let file = Parts::of(body)?.into_file()?;
        // Order, repeated names, white space, other forms of base64 and of messages.
        if file.to_bytes() == bytes { Ok(file) } else { Err(ProofFileError::Form) }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let body = self.to_string();
        let sum = sum_of(&body);
        format!("{body}-- sha256 {sum}\n").into_bytes()
    }
}

impl fmt::Display for ProofFile {
    /// The file without its last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FIRST_LINE}-- envelope\n{}", base64_lines(&self.envelope.encode_to_vec()))?;
        for (agency, cards) in &self.cards {
            writeln!(f, "-- cards {agency}")?;
            cards.iter().try_for_each(|card| f.write_str(&armoured(card)))?;
        }
        write!(f, "-- acceptance {}\n{}", self.holder, self.acceptance)?;
        if let Some((originator, consent)) = &self.consent {
            write!(f, "-- consent {originator}\n{}", base64_lines(&consent.encode_to_vec()))?;
        }
        self.disclosures
            .iter()
            .try_for_each(|(partner, proof)| write!(f, "-- disclosure {partner}\n{proof}"))
    }
}

fn check_sum(before: &str, line: &str) -> Result<(), ProofFileError> {
    let (computed, stated) = (sum_of(before), line.trim_start_matches("-- sha256 "));
    if stated.strip_suffix('\n') == Some(computed.as_str()) {
        return Ok(());
    }
    Err(ProofFileError::Sum { computed, stated: stated.chars().take(80).collect() })
}

fn sum_of(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64_lines(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let lines = encoded.as_bytes().chunks(BASE64_LINE).map(String::from_utf8_lossy);
    lines.map(|line| format!("{line}\n")).collect()
}

/// The sections by their name, while a file is read.
#[derive(Default)]
struct Parts {
    envelope: Option<pb::Envelope>,
    cards: BTreeMap<AgencyName, Vec<pb::SignedCard>>,
    acceptance: Option<(AgencyName, TlogProof)>,
    consent: Option<(AgencyName, pb::Consent)>,
    disclosures: BTreeMap<AgencyName, TlogProof>,
}

impl Parts {
    fn of(body: &str) -> Result<Self, ProofFileError> {
        let mut parts = Self::default();
        let mut rest = body;
        while !rest.is_empty() {
            let other = || ProofFileError::Section(rest.chars().take(80).collect());
            let (title, behind) = rest
                .strip_prefix(SECTION)
                .and_then(|rest| rest.split_once('\n'))
                .ok_or_else(other)?;
            // No line within a section begins like this: base64, armour, decimals, em dashes.
            let end = behind.find("\n-- ").map_or(behind.len(), |at| at + 1);
            let (contents, next) = behind.split_at(end);
            parts.take(title, contents)?;
            rest = next;
        }
        Ok(parts)
    }

    fn take(&mut self, title: &str, contents: &str) -> Result<(), ProofFileError> {
        let wrong = || ProofFileError::Contents(title.to_owned());
        let other = || ProofFileError::Section(title.to_owned());
        let (name, agency) = title.split_once(' ').map_or((title, None), |(n, a)| (n, Some(a)));
        let agency = agency.map(|agency| agency.parse().map_err(|_| wrong())).transpose()?;
        let proof = || {
            TlogProof::parse(contents.as_bytes())
                .map_err(|source| ProofFileError::Proof { section: title.to_owned(), source })
        };
        match (name, agency) {
            ("envelope", None) => self.envelope = Some(message(contents).ok_or_else(wrong)?),
            ("cards", Some(agency)) => {
                drop(self.cards.insert(agency, cards(contents).ok_or_else(wrong)?));
            }
            ("acceptance", Some(agency)) => self.acceptance = Some((agency, proof()?)),
            ("consent", Some(agency)) => {
                self.consent = Some((agency, message(contents).ok_or_else(wrong)?));
            }
            ("disclosure", Some(agency)) => drop(self.disclosures.insert(agency, proof()?)),
            _ => return Err(other()),
        }
        Ok(())
    }

    fn into_file(self) -> Result<ProofFile, ProofFileError> {
        let too_many = |what, found, most| ProofFileError::TooMany { what, found, most };
        let (found, most) = (self.disclosures.len(), PROOF_DISCLOSURES_MAX);
        if found > most {
            return Err(too_many("receipts", found, most));
        }
        let found = self.cards.values().map(Vec::len).max().unwrap_or_default();
        if found > PROOF_CARDS_MAX {
            return Err(too_many("cards of one agency", found, PROOF_CARDS_MAX));
        }
        let (holder, acceptance) = self.acceptance.ok_or(ProofFileError::Missing("acceptance"))?;
        Ok(ProofFile {
            envelope: self.envelope.ok_or(ProofFileError::Missing("envelope"))?,
            cards: self.cards,
            holder,
            acceptance,
            consent: self.consent,
            disclosures: self.disclosures,
        })
    }
}

fn message<M: prost::Message + Default>(contents: &str) -> Option<M> {
    let encoded: String = contents.lines().collect();
    let bytes = STANDARD.decode(encoded).ok()?;
    M::decode(&bytes[..]).ok()
}

fn cards(contents: &str) -> Option<Vec<pb::SignedCard>> {
    let ends = contents.split_inclusive("-----END LIAISON CARD-----\n");
    ends.map(|text| signed_of_armour(text).ok()).collect()
}
