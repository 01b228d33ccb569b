//! Keys under which the index keeps what the state is made from again.

use crate::journal::ids::PartnerNumber;

/// The key under which the index keeps how many records there are.
pub(in crate::journal) const COUNT_KEY: &[u8; 7] = b"records";

/// Entries of the journal that an index had counted when it kept this value under [`COUNT_KEY`].
pub(in crate::journal) fn counted_entries(value: &[u8]) -> Option<u64> {
    let (_, last) = value.split_first_chunk::<8>()?;
    last.try_into().ok().map(|last| u64::from_be_bytes(last).saturating_add(1))
}

/// The beginning of the keys of a partner's cards, or of this agency's own; their serials follow.
pub(in crate::journal) fn cards_key(number: Option<PartnerNumber>) -> Vec<u8> {
    let mut key = b"cards/".to_vec();
    key.extend_from_slice(&number.map_or(0, PartnerNumber::get).to_be_bytes());
    key
}

/// Entries of one act sort together, the proposal first.
pub(in crate::journal) fn act_key(proposal: u64, entry: u64) -> Vec<u8> {
    let mut key = b"a/".to_vec();
    key.extend_from_slice(&proposal.to_be_bytes());
    key.extend_from_slice(&entry.to_be_bytes());
    key
}

/// The key of the comparison of a bundle.
pub(in crate::journal) fn compared_key(bundle_hash: &[u8]) -> Vec<u8> {
    [b"q/".as_slice(), bundle_hash].concat()
}

/// The key of the entry that put a version of the policy in force.
pub(in crate::journal) fn version_key(version: u64) -> Vec<u8> {
    [b"versions/".as_slice(), &version.to_be_bytes()].concat()
}

/// The key of the newest entry of one sort about a partner.
pub(in crate::journal) fn partner_key(number: u16, sort: u8) -> Vec<u8> {
    let mut key = b"p/".to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key.push(sort);
    key
}

/// `about`: 1 cosignatures given, 2 received, 3 contradictions, 4 witnesses added.
pub(in crate::journal) fn witnessing_key(about: u8, name: &str) -> Vec<u8> {
    [b"w/".as_slice(), &[about], name.as_bytes()].concat()
}
