//! The record that a person names: a record, or the newest of a series.

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::given_id::{GivenId, RecordOrSeries};
use crate::ident::SeriesId;
use crate::pb;
use crate::pb::get_record_request::Selector;
use crate::pb::record_service_client::RecordServiceClient;
use bytes::Bytes;
use std::str::FromStr;

/// A record, or the newest of a series, by the whole id or its first digits. 32 digits are a series.
#[derive(Debug, Clone)]
pub(super) enum Which {
    Given(GivenId),
    Series(SeriesId),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self::Series).or_else(|_: crate::ident::IdentError| {
            text.parse().map(Self::Given).map_err(|_: String| {
                format!(
                    "{text:?} is neither a record id (64 hexadecimal digits) nor a series id (32), nor the first \
                     six digits or more of one"
                )
            })
        })
    }
}

/// Reads one record; one that is not there is an error.
pub(super) async fn read(
    id: &Which,
    context: &Context,
) -> Result<(pb::GetRecordResponse, RecordOrSeries), CliError> {
    let roles = [Role::Analyst, Role::Auditor, Role::PolicyOfficer];
    let asked = match id {
        Which::Given(id) => id.resolve_any(context, &roles).await?,
        Which::Series(id) => RecordOrSeries::Series(*id),
    };
    let channel = context.channel(&roles).await?;
    let selector = match asked {
        RecordOrSeries::Record(id) => Selector::RecordId(Bytes::copy_from_slice(id.as_bytes())),
        RecordOrSeries::Series(id) => Selector::Series(Bytes::copy_from_slice(id.as_bytes())),
    };
    let request = pb::GetRecordRequest { selector: Some(selector) };
    let answer = RecordServiceClient::new(channel)
        .get_record(context.request(request))
        .await
        .map_err(CliError::node("read the record"))?
        .into_inner();
    match answer.record {
        Some(_) => Ok((answer, asked)),
        None => Err(CliError::not_found("the record is not here", "`liaison query` finds ids")),
    }
}
