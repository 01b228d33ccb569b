//! Search terms: how a question becomes a range of index keys.
//!
//! A key is a term and then the journal index of the record, so that every answer comes in order
//! of acceptance and a page ends at an index.

use super::words;
use crate::ident::{AgencyName, SeriesId};
use crate::record::content::Content;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::record::slots::SlotNumber;
use crate::value::{Network, Value, ValueType};
use sha2::{Digest as _, Sha256};

/// Texts longer than this are indexed by their hash.
const TERM_BYTES_MAX: usize = 128;
/// Words of a record that are indexed; the rest of a long note is not found by search. Scripts without
/// blanks need two for each character.
const WORDS_MAX: usize = 512;
/// Longer words are cut.
const WORD_BYTES_MAX: usize = 32;

const VALUE: u8 = b'v';
const DOMAIN: u8 = b'd';
const ADDRESS: u8 = b'i';
const NETWORK: u8 = b'c';
const KIND: u8 = b'k';
const ORIGINATOR: u8 = b'o';
const CREATED: u8 = b't';
const WORD: u8 = b'w';
const LINKED: u8 = b'l';
const CASE: u8 = b'r';
const REVISION: u8 = b's';

/// The key of a record under a term.
pub fn key(mut term: Vec<u8>, journal_index: u64) -> Vec<u8> {
    term.extend_from_slice(&journal_index.to_be_bytes());
    term
}

/// A term with room for the journal index behind it, so that a key takes one allocation.
fn term(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let mut term = Vec::with_capacity(1 + bytes + size_of::<u64>());
    term.push(tag);
    parts.iter().for_each(|part| term.extend_from_slice(part));
    term
}

/// The journal index at the end of a key.
pub fn journal_index(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

fn text_term(tag: u8, text: &[u8]) -> Vec<u8> {
    if text.len() > TERM_BYTES_MAX {
        term(tag, &[&Sha256::digest(text), &[0]])
    } else {
        term(tag, &[text, &[0]])
    }
}

/// Records about exactly this value.
pub fn value_term(value: &Value) -> Vec<u8> {
    let text = [&[value.value_type().number()], value.text().as_bytes()].concat();
    text_term(VALUE, &text)
}

/// Records about a host at or below a domain; a prefix, not a whole term.
pub fn domain_prefix(reversed: &[u8]) -> Vec<u8> {
    term(DOMAIN, &[&reversed[..reversed.len().min(255)]])
}

fn domain_term(reversed: &[u8]) -> Vec<u8> {
    term(DOMAIN, &[&reversed[..reversed.len().min(255)], &[0]])
}

/// Records about exactly this address, mapped to IPv6; a range of these is a network.
pub fn address_term(address: [u8; 16]) -> Vec<u8> {
    term(ADDRESS, &[&address])
}

/// Records about exactly this network, given by [`crate::value::Network::key`].
pub fn network_term(network: [u8; 17]) -> Vec<u8> {
    term(NETWORK, &[&network])
}

pub fn kind_term(kind: Kind) -> Vec<u8> {
    term(KIND, &[&[kind.number()]])
}

pub fn originator_term(originator: &AgencyName) -> Vec<u8> {
    text_term(ORIGINATOR, originator.as_str().as_bytes())
}

/// Records created at a time; a range of these is a range of times.
pub fn created_term(unix_ms: u64) -> Vec<u8> {
    term(CREATED, &[&unix_ms.to_be_bytes()])
}

pub fn word_term(word: &str) -> Vec<u8> {
    text_term(WORD, &word.as_bytes()[..word.floor_char_boundary(WORD_BYTES_MAX)])
}

/// Records that refer to a series.
pub fn linked_term(series: SeriesId) -> Vec<u8> {
    term(LINKED, &[series.as_bytes()])
}

/// Records that refer to any series; a prefix, not a whole term.
pub fn linked_prefix() -> Vec<u8> {
    term(LINKED, &[])
}

/// The series that the record of a key refers to; `None` if the key is under another term.
pub fn linked_series(key: &[u8]) -> Option<SeriesId> {
    let (tag, rest) = key.split_first()?;
    let series = rest.first_chunk().filter(|_| *tag == LINKED)?;
    Some(SeriesId::from_bytes(*series))
}

/// Cases and takedown results with this reference, in whatever letter case.
pub fn case_term(reference: &str) -> Vec<u8> {
    text_term(CASE, folded_reference(reference).as_bytes())
}

/// A reference of a case as references are compared.
pub fn folded_reference(reference: &str) -> String {
    words::folded(reference.trim()).into_owned()
}

/// Revisions after the first of a series.
pub fn revision_term(series: SeriesId) -> Vec<u8> {
    term(REVISION, &[series.as_bytes()])
}

/// Hands out every term that a record is found by.
pub fn terms_of(record: &Verified, mut put: impl FnMut(Vec<u8>)) {
    let header = record.header();
    put(kind_term(header.kind));
    put(originator_term(&header.originator));
    put(created_term(header.created_at.unix_ms() as u64));
    if header.revision > 1 {
        put(revision_term(header.series));
    }
    if let Some(value) = record.value() {
        put(value_term(&value));
        if let Some(reversed) = value.domain_key() {
            put(domain_term(&reversed));
        }
        if let Some(address) = value.ip_key() {
            put(address_term(address));
        }
        if let (ValueType::Cidr, Some(network)) = (value.value_type(), value.network()) {
            put(network_term(Network::from(network).key()));
        }
    }
    for number in SlotNumber::of(header.kind) {
        record.references(number).into_iter().for_each(|series| put(linked_term(series)));
    }
    let Ok(content) = record.content() else { return };
    match &content {
        Content::Case(case) => put(case_term(&case.reference)),
        Content::TakedownResult(result) if !result.case_reference.is_empty() => {
            put(case_term(&result.case_reference));
        }
        _ => {}
    }
    word_terms(&content).into_iter().for_each(put);
}

/// The terms of the words that a record is found by, sorted, each once.
pub fn word_terms(content: &Content) -> Vec<Vec<u8>> {
    let mut terms = Vec::new();
    for text in content.searchable_text() {
        let folded = words::folded(text);
        terms.extend(words::indexed(&folded).take(WORDS_MAX - terms.len()).map(word_term));
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}
