//! Ids as users give them: whole, or by their first digits as tables show them.
//!
//! The one place that decides which id is meant. Where several begin with what was given, all of them
//! are named and none is taken.

use std::fmt::{self, Debug, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use tonic::transport::Channel;

use super::connection::Role;
use super::context::Context;
use super::error::CliError;
use crate::ident::{BundleHash, IdPrefix, PREFIX_IDS_MAX, RecordId, SeriesId};
use crate::pb;
use crate::pb::record_service_client::RecordServiceClient;

/// An id, or its first digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given<T> {
    digits: String,
    prefix: IdPrefix,
    of: PhantomData<T>,
}

/// The id of a record, or its first digits.
pub(super) type GivenId = Given<RecordId>;

/// The hash of a bundle, or its first digits.
pub(super) type GivenBundle = Given<BundleHash>;

impl<T> FromStr for Given<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = first_digits(text);
        match digits.parse() {
            Ok(prefix) => Ok(Self { digits, prefix, of: PhantomData }),
            Err(error) => Err(format!("{error}")),
        }
    }
}

/// Returns the digits of an id as tables print it, without the mark at its end that more follow.
pub(super) fn first_digits(text: &str) -> String {
    let digits = text.strip_suffix('…').or_else(|| text.strip_suffix("..."));
    digits.unwrap_or(text).to_ascii_lowercase()
}

impl<T: FromStr> Given<T> {
    /// The whole id, if it was given whole.
    pub(super) fn whole(&self) -> Option<T> {
        self.digits.parse().ok()
    }

    /// The digits that were given.
    pub(super) fn digits(&self) -> &str {
        &self.digits
    }

    pub(super) const fn prefix(&self) -> &IdPrefix {
        &self.prefix
    }
}

impl<T: Display + Copy + PartialEq + AsRef<[u8]>> Given<T> {
    /// The one id that is meant, of all there are. `what` names what it is the id of, with an article.
    pub(super) fn among(
        &self,
        what: &str,
        ids: impl IntoIterator<Item = T>,
    ) -> Result<T, CliError> {
        let mut found = Vec::new();
        for id in ids {
            if self.prefix.begins(id.as_ref()) && !found.contains(&id) {
                found.push(id);
            }
            if found.len() > PREFIX_IDS_MAX {
                break;
            }
        }
        let more = found.len() > PREFIX_IDS_MAX;
        found.truncate(PREFIX_IDS_MAX);
        only(&self.digits, what, &found, more)
    }
}

impl GivenId {
    /// An id that is known whole.
    pub(super) fn of(id: RecordId) -> Self {
        Self {
            digits: id.to_string(),
            // Every whole id is the beginning of itself.
            prefix: IdPrefix::from(id),
            of: PhantomData,
        }
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
        let found = Found::at_node(&self.digits, context.channel(roles).await?, context).await?;
        only(&self.digits, "a record", &found.records, found.more)
    }

    /// The one record or series that is meant.
    pub(super) async fn resolve_any(
        &self,
        context: &Context,
        roles: &[Role],
    ) -> Result<RecordOrSeries, CliError> {
        if let Some(id) = self.whole() {
            return Ok(RecordOrSeries::Record(id));
        }
        let found = Found::at_node(&self.digits, context.channel(roles).await?, context).await?;
        let records = found.records.into_iter().map(RecordOrSeries::Record);
        let all: Vec<_> =
            records.chain(found.series.into_iter().map(RecordOrSeries::Series)).collect();
        only(&self.digits, "a record or series", &all, found.more)
    }
}

/// The id of a record or of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordOrSeries {
    Record(RecordId),
    Series(SeriesId),
}

impl Display for RecordOrSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(id) => write!(f, "record {id}"),
            Self::Series(id) => write!(f, "series {id}"),
        }
    }
}

/// Returns the series that begins with these digits; `None` if no series does.
pub(super) async fn series_at_node(
    digits: &str,
    channel: Channel,
    context: &Context,
) -> Result<Option<SeriesId>, CliError> {
    let found = Found::at_node(digits, channel, context).await?;
    if found.series.is_empty() {
        return Ok(None);
    }
    only(digits, "a case", &found.series, found.more).map(Some)
}

/// The ids that a node has for some first digits.
struct Found {
    records: Vec<RecordId>,
    series: Vec<SeriesId>,
    more: bool,
}

impl Found {
    async fn at_node(digits: &str, channel: Channel, context: &Context) -> Result<Self, CliError> {
        let request = pb::FindRecordIdsRequest { prefix: digits.to_owned() };
        let answer = RecordServiceClient::new(channel)
            .find_record_ids(context.request(request))
            .await
            .map_err(CliError::node("find the id with these first digits"))?;
        Self::try_from(answer.into_inner())
    }
}

impl TryFrom<pb::FindRecordIdsResponse> for Found {
    type Error = CliError;

    fn try_from(answer: pb::FindRecordIdsResponse) -> Result<Self, CliError> {
        let pb::FindRecordIdsResponse { record_ids, more, series } = answer;
        let strange = |error: crate::ident::IdentError| CliError::Answer(error.to_string());
        let records = record_ids.iter().map(|id| RecordId::try_from(&id[..]).map_err(strange));
        let series = series.iter().map(|id| SeriesId::try_from(&id[..]).map_err(strange));
        Ok(Self {
            records: records.collect::<Result<_, _>>()?,
            series: series.collect::<Result<_, _>>()?,
            more,
        })
    }
}

fn only<T: Display + Copy>(digits: &str, what: &str, ids: &[T], more: bool) -> Result<T, CliError> {
    match ids {
        [id] if !more => Ok(*id),
        [] => Err(CliError::not_found(
            format!("{what} whose id begins with {digits} was not found"),
            "check the digits; `liaison query` finds ids",
        )),
        _ => Err(ambiguous(digits, ids, more)),
    }
}

/// The error of first digits that several ids begin with.
pub(super) fn ambiguous<T: Display>(digits: &str, ids: &[T], more: bool) -> CliError {
    let all: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let more = if more { ", and more" } else { "" };
    CliError::usage(
        format!("{digits} is the beginning of several ids: {}{more}", all.join(", ")),
        "give more digits",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn answer(records: &[u8], series: &[u8], more: bool) -> Found {
        let ending =
            |bytes: usize, last: &u8| [&vec![0xab; bytes - 1][..], &[*last]].concat().into();
        let answer = pb::FindRecordIdsResponse {
            record_ids: records.iter().map(|last| ending(32, last)).collect(),
            series: series.iter().map(|last| ending(16, last)).collect(),
            more,
        };
        Found::try_from(answer).unwrap()
    }

    #[test]
    fn an_ambiguous_beginning_lists_the_candidates() {
        let given: GivenId = "ABABAB".parse().unwrap();
        assert_eq!(given.whole(), None);
        let record = |found: Found| only(&given.digits, "a record", &found.records, found.more);
        assert_eq!(record(answer(&[7], &[], false)).unwrap().as_bytes()[31], 7);
        assert_eq!(record(answer(&[], &[], false)).unwrap_err().exit().code(), 3);
        let several = record(answer(&[7, 8], &[], true)).unwrap_err();
        assert_eq!(several.exit().code(), 2);
        let text = several.to_string();
        assert!(text.contains("abab07, ") && text.contains("abab08, and more"), "{text}");
    }

    #[test]
    fn an_id_is_taken_as_tables_print_it() {
        let plain: GivenId = "9f31c2aa".parse().unwrap();
        for printed in ["9f31c2aa…", "9F31C2AA...", "9f31c2aa"] {
            assert_eq!(printed.parse::<GivenId>().unwrap(), plain, "{printed}");
        }
        for wrong in ["9f31c2aa……", "9f31c2aa..", "…9f31c2aa", "9f31c…"] {
            assert!(wrong.parse::<GivenId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_id_among_others_is_found_by_its_first_digits() {
        let ids = [1, 1, 2].map(|last: u8| {
            BundleHash::from_bytes([[0xcd; 31].as_slice(), &[last]].concat().try_into().unwrap())
        });
        let given: GivenBundle = "cdcdcd".parse().unwrap();
        assert_eq!(given.among("a bundle", ids[..2].iter().copied()).unwrap(), ids[0]);
        let text = given.among("a bundle", ids).unwrap_err().to_string();
        assert!(text.contains("cdcd01, ") && text.contains("cdcd02"), "{text}");
        let other: GivenBundle = "abcdef".parse().unwrap();
        assert_eq!(other.among("a bundle", ids).unwrap_err().exit().code(), 3);
        let many = (0..40).map(|last| {
            BundleHash::from_bytes([[0xcd; 31].as_slice(), &[last]].concat().try_into().unwrap())
        });
        assert!(given.among("a bundle", many).unwrap_err().to_string().ends_with(", and more"));
    }

    #[test]
    fn a_whole_id_needs_no_node() {
        let text = "ab".repeat(32);
        assert_eq!(text.parse::<GivenId>().unwrap().whole(), text.parse().ok());
        assert!("abcde".parse::<GivenId>().is_err());
        assert!("evil.example".parse::<GivenId>().is_err());
        let id: RecordId = text.parse().unwrap();
        assert_eq!(GivenId::of(id), text.parse().unwrap());
    }

    /// The types of the values that the arguments of all commands are parsed to.
    fn argument_types(command: &clap::Command, found: &mut Vec<String>) {
        let name = command.get_name();
        let of = |arg: &clap::Arg| format!("{name} {}: {:?}", arg.get_id(), arg.get_value_parser());
        found.extend(command.get_arguments().map(of));
        command.get_subcommands().for_each(|command| argument_types(command, found));
    }

    #[test]
    fn no_command_takes_a_whole_id_only() {
        let mut found = Vec::new();
        argument_types(&crate::cli::Cli::command(), &mut found);
        // Where the names of types are not kept, nothing could be found.
        assert!(found.iter().any(|text| text.contains("Given<")), "{found:?}");
        let is_whole = |text: &&String| {
            ["ident::RecordId", "ident::SeriesId", "ident::BundleHash"]
                .iter()
                .any(|name| text.contains(name) && !text.contains("Given<"))
        };
        let whole: Vec<&String> = found.iter().filter(is_whole).collect();
        assert!(whole.is_empty(), "{whole:?}");
    }
}
