//! The id of a record as a user gives it: whole, or its first digits as tables show them.

use std::str::FromStr;

use super::Context;
use super::connection::Role;
use super::error::CliError;
use crate::ident::RecordId;
use crate::journal::query::IdPrefix;
use crate::pb;
use crate::pb::record_service_client::RecordServiceClient;

/// The id of a record, or its first digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenId(String);

impl FromStr for GivenId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        match text.parse::<IdPrefix>() {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl GivenId {
    /// An id that is known whole.
    pub(super) fn of(id: RecordId) -> Self {
        Self(id.to_string())
    }

    /// The whole id, if it was given whole.
    pub(super) fn whole(&self) -> Option<RecordId> {
        self.0.parse().ok()
    }

    /// The one record that is meant. A beginning is looked up at the node as one of these roles.
    pub(super) async fn resolve(
        &self,
        context: &Context,
        roles: &[Role],
    ) -> Result<RecordId, CliError> {
        if let Some(id) = self.whole() {
            return Ok(id);
        }
        let request = pb::FindRecordIdsRequest { prefix: self.0.clone() };
        let answer = RecordServiceClient::new(context.channel(roles).await?)
            .find_record_ids(context.request(request))
            .await
            .map_err(CliError::node("find the record by the first digits of its id"))?
            .into_inner();
        self.only(&answer)
    }

    fn only(&self, answer: &pb::FindRecordIdsResponse) -> Result<RecordId, CliError> {
        let ids = answer.record_ids.iter().map(|id| RecordId::try_from(&id[..]));
        let ids: Vec<RecordId> =
            ids.collect::<Result<_, _>>().map_err(|error| CliError::Answer(error.to_string()))?;
        match ids[..] {
            [id] if !answer.more => Ok(id),
            [] => Err(CliError::NotFound {
                what: format!("a record whose id begins with {}", self.0),
            }),
            _ => {
                let all: Vec<String> = ids.iter().map(ToString::to_string).collect();
                let more = if answer.more { ", and more" } else { "" };
                Err(CliError::usage(
                    format!("{} is the beginning of several ids: {}{more}", self.0, all.join(", ")),
                    "give more digits",
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ambiguous_beginning_lists_the_candidates() {
        let given: GivenId = "ABABAB".parse().unwrap();
        assert_eq!(given.whole(), None);
        let of = |last: &[u8], more| pb::FindRecordIdsResponse {
            record_ids: last
                .iter()
                .map(|last| [&[0xab; 31][..], &[*last]].concat().into())
                .collect(),
            more,
        };
        assert_eq!(given.only(&of(&[7], false)).unwrap().as_bytes()[31], 7);
        assert_eq!(given.only(&of(&[], false)).unwrap_err().exit().code(), 3);
        let several = given.only(&of(&[7, 8], true)).unwrap_err();
        assert_eq!(several.exit().code(), 2);
        let text = several.to_string();
        assert!(text.contains("abab07, ") && text.contains("abab08, and more"), "{text}");
    }

    #[test]
    fn a_whole_id_needs_no_node() {
        let text = "ab".repeat(32);
        assert_eq!(text.parse::<GivenId>().unwrap().whole(), text.parse().ok());
        assert!("abcde".parse::<GivenId>().is_err());
        assert!("evil.example".parse::<GivenId>().is_err());
    }
}
