//! Pages: how many records, and where the page before ended.
//!
//! A token is good for the query that gave it and no other, so that a page never silently belongs
//! to other conditions. It is neither a secret nor a permission.

use crate::pb;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

/// Records in a page unless asked otherwise.
pub const PAGE_SIZE_DEFAULT: usize = 100;
/// Records in a page: a page is one stream, and a client that wants more asks for the next.
pub const PAGE_SIZE_MAX: usize = 1_000;

const FILTER_HASH_BYTES: usize = 8;
const TOKEN_BYTES: usize = FILTER_HASH_BYTES + 8;

/// The fault in the paging of a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("page_size {0} is above {PAGE_SIZE_MAX}")]
    Size(u32),
    #[error("page_token is not one that this node gave; begin again without it")]
    Form,
    #[error("page_token belongs to another query; ask as before, or begin again without it")]
    OtherQuery,
}

/// The requested part of all matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// 1 to [`PAGE_SIZE_MAX`].
    pub size: usize,
    /// Only records whose journal index is below.
    pub before: u64,
    filter_hash: [u8; FILTER_HASH_BYTES],
}

impl Page {
    pub fn parse(wire: &pb::QueryRecordsRequest) -> Result<Self, PageError> {
        let size = match wire.page_size as usize {
            0 => PAGE_SIZE_DEFAULT,
            size @ 1..=PAGE_SIZE_MAX => size,
            _ => return Err(PageError::Size(wire.page_size)),
        };
        let filter_hash = hash_of(wire);
        let before = match &*wire.page_token {
            "" => u64::MAX,
            token => before_in(token, filter_hash)?,
        };
        Ok(Self { size, before, filter_hash })
    }

    /// The token of the page that begins below `journal_index`.
    pub fn token(&self, journal_index: u64) -> String {
        let mut bytes = [0; TOKEN_BYTES];
        bytes[..FILTER_HASH_BYTES].copy_from_slice(&self.filter_hash);
        bytes[FILTER_HASH_BYTES..].copy_from_slice(&journal_index.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn before_in(token: &str, wanted: [u8; FILTER_HASH_BYTES]) -> Result<u64, PageError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| PageError::Form)?;
    let bytes: [u8; TOKEN_BYTES] = bytes.try_into().map_err(|_| PageError::Form)?;
    let (found, index) = bytes.split_first_chunk::<FILTER_HASH_BYTES>().ok_or(PageError::Form)?;
    if *found != wanted {
        return Err(PageError::OtherQuery);
    }
    index.try_into().map(u64::from_be_bytes).map_err(|_| PageError::Form)
}

/// The conditions alone: another page size is not another query.
fn hash_of(wire: &pb::QueryRecordsRequest) -> [u8; FILTER_HASH_BYTES] {
    let conditions =
        pb::QueryRecordsRequest { page_size: 0, page_token: String::new(), ..wire.clone() };
    let digest: [u8; 32] = Sha256::digest(conditions.encode_to_vec()).into();
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asking(text: &str) -> pb::QueryRecordsRequest {
        pb::QueryRecordsRequest { text: text.into(), ..pb::QueryRecordsRequest::default() }
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        let page_token = Page::parse(&asking("one")).unwrap().token(9);
        let same = pb::QueryRecordsRequest { page_token, page_size: 7, ..asking("one") };
        let page = Page::parse(&same).unwrap();
        assert_eq!((page.before, page.size), (9, 7));
        let other = pb::QueryRecordsRequest { text: "two".into(), ..same };
        assert_eq!(Page::parse(&other), Err(PageError::OtherQuery));
    }

    #[test]
    fn a_page_above_the_maximum_is_refused() {
        let wire = pb::QueryRecordsRequest { page_size: 1_001, ..asking("") };
        assert_eq!(Page::parse(&wire), Err(PageError::Size(1_001)));
        assert_eq!(Page::parse(&asking("")).map(|page| page.size), Ok(PAGE_SIZE_DEFAULT));
    }

    proptest! {
        #[test]
        fn any_text_as_a_token_is_decided_without_panic(page_token: String) {
            drop(Page::parse(&pb::QueryRecordsRequest { page_token, ..asking("") }));
        }

        #[test]
        fn a_token_gives_its_index_back(index: u64) {
            let page_token = Page::parse(&asking("x")).unwrap().token(index);
            let wire = pb::QueryRecordsRequest { page_token, ..asking("x") };
            prop_assert_eq!(Page::parse(&wire).map(|page| page.before), Ok(index));
        }
    }
}
