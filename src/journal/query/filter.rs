//! The filter of a query: its conditions, parsed once at the door.
//!
//! A filter knows no index. It checks a header and then a content, and says yes or no.

use super::case::CaseScope;
use crate::ident::{AgencyName, IdentError, SeriesId};
use crate::journal::view::Kept;
use crate::journal::{search, words};
use crate::pb;
use crate::policy::{ClientRole, Visibility, VisiblePart};
use crate::record::content::Content;
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::value::{Network, Value, ValueError, ValueType, domain_suffix_key};

/// Words of one query: each is checked on every record that comes into question. A sentence in a
/// script without blanks has one for each character.
pub const QUERY_WORDS_MAX: usize = 64;
/// Bytes of a reference of a case; the slot has no more.
const REFERENCE_BYTES_MAX: usize = 256;

/// The fault of a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("value: {0}")]
    Value(ValueError),
    #[error("domain_suffix: {0}")]
    Domain(ValueError),
    #[error("network: {0}")]
    Network(ValueError),
    #[error("originator: {0}")]
    Originator(IdentError),
    #[error("kind {0} is unknown; wanted a number of liaison.v1.Kind, or 0 for every kind")]
    Kind(i32),
    #[error("case: a reference has at most {REFERENCE_BYTES_MAX} bytes, found {0}")]
    Case(usize),
    #[error("text: a word needs two letters or digits, found none")]
    NoWord,
    #[error("text: at most {QUERY_WORDS_MAX} words are possible, found {0}")]
    Words(usize),
    #[error("created_until_ms {until} is not after created_from_ms {from}")]
    Created { from: u64, until: u64 },
}

/// Names a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseSelector {
    /// As the agency that leads it wrote it.
    Reference(String),
    Series(SeriesId),
}

impl CaseSelector {
    /// 32 hexadecimal digits are a series id, everything else is a reference.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        match text.parse() {
            Ok(series) => Ok(Self::Series(series)),
            Err(_) if text.len() > REFERENCE_BYTES_MAX => Err(FilterError::Case(text.len())),
            Err(_) => Ok(Self::Reference(text.to_owned())),
        }
    }
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// The readings of a value, one for each type that it can be; empty for no condition.
    pub(super) values: Vec<Value>,
    /// The prefix of the domain key.
    pub(super) domain: Option<Vec<u8>>,
    pub(super) network: Option<Network>,
    pub(super) case: Option<CaseSelector>,
    pub(super) kind: Option<Kind>,
    pub(super) originator: Option<AgencyName>,
    pub(super) created: Created,
    pub(super) words: Vec<String>,
    pub(super) include_superseded: bool,
    visibility: Option<Visibility>,
}

/// Created at or after `from` and before `until`; milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Created {
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Default for Created {
    fn default() -> Self {
        Self { from: 0, until: u64::MAX }
    }
}

impl Created {
    pub(super) fn is_bounded(self) -> bool {
        self != Self::default()
    }

    fn contains(self, ms: u64) -> bool {
        (self.from..self.until).contains(&ms)
    }
}

impl TryFrom<&pb::QueryRecordsRequest> for Filter {
    type Error = FilterError;

    fn try_from(wire: &pb::QueryRecordsRequest) -> Result<Self, FilterError> {
        let pb::QueryRecordsRequest {
            value,
            domain_suffix,
            network,
            case,
            kind,
            originator,
            created_from_ms,
            created_until_ms,
            text,
            include_superseded,
            page_size: _,
            page_token: _,
        } = wire;
        Ok(Self {
            values: given(value).map_or(Ok(Vec::new()), readings)?,
            domain: given(domain_suffix)
                .map(|suffix| domain_suffix_key(suffix).map_err(FilterError::Domain))
                .transpose()?,
            network: given(network)
                .map(|text| Network::parse(text).map_err(FilterError::Network))
                .transpose()?,
            case: given(case).map(CaseSelector::parse).transpose()?,
            kind: kind_in(*kind)?,
            originator: given(originator)
                .map(|name| name.parse().map_err(FilterError::Originator))
                .transpose()?,
            created: created_in(*created_from_ms, *created_until_ms)?,
            words: given(text).map_or(Ok(Vec::new()), words_in)?,
            include_superseded: *include_superseded,
            visibility: None,
        })
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Every value that a text can be. A text that fits no type is told why by the guess.
fn readings(text: &str) -> Result<Vec<Value>, FilterError> {
    let mut values: Vec<Value> = ValueType::ALL
        .iter()
        .filter_map(|value_type| Value::normalise(*value_type, text).ok())
        .collect();
    match Value::guess(text) {
        Ok(value) if !values.contains(&value) => values.push(value),
        Err(error) if values.is_empty() => return Err(FilterError::Value(error)),
        _ => {}
    }
    Ok(values)
}

/// The kind of a request; `None` for every kind.
pub fn kind_in(number: i32) -> Result<Option<Kind>, FilterError> {
    match u32::try_from(number) {
        Ok(0) => Ok(None),
        Ok(known) => Kind::from_number(known).map(Some).ok_or(FilterError::Kind(number)),
        Err(_) => Err(FilterError::Kind(number)),
    }
}

fn created_in(from: u64, until: u64) -> Result<Created, FilterError> {
    let until = if until == 0 { u64::MAX } else { until };
    if until <= from {
        return Err(FilterError::Created { from, until });
    }
    Ok(Created { from, until })
}

fn words_in(text: &str) -> Result<Vec<String>, FilterError> {
    let mut words: Vec<String> = words::asked(&words::folded(text)).map(str::to_owned).collect();
    words.sort_unstable();
    words.dedup();
    match words.len() {
        0 => Err(FilterError::NoWord),
        1..=QUERY_WORDS_MAX => Ok(words),
        found => Err(FilterError::Words(found)),
    }
}

impl Filter {
    /// The filter of a client with this sight; without it, that of an analyst without a name.
    #[must_use]
    pub fn seeing(self, visibility: Visibility) -> Self {
        Self { visibility: Some(visibility), ..self }
    }

    /// Returns the sight of whoever asks.
    pub(super) fn visibility(&self) -> Visibility {
        self.visibility.clone().unwrap_or_else(|| Visibility::new(ClientRole::Analyst, ""))
    }

    /// Returns whether a record may be found at all. One of which only the header may be seen is listed with
    /// superseded ones when it was retracted, and never matched by what it contains.
    pub(super) fn admits_visibility(&self, kept: &Kept) -> bool {
        match self.visibility().of_record(&kept.status()) {
            VisiblePart::Content => true,
            VisiblePart::Header => {
                self.include_superseded && !kept.marks.is_restricted() && !self.asks_content()
            }
            VisiblePart::Nothing => false,
        }
    }

    /// Returns whether a condition is about the content of a record.
    fn asks_content(&self) -> bool {
        !self.values.is_empty()
            || self.domain.is_some()
            || self.network.is_some()
            || self.case.is_some()
            || !self.words.is_empty()
    }

    /// The conditions that a header answers.
    pub(super) fn admits_header(&self, header: &Header) -> bool {
        self.kind.is_none_or(|kind| kind == header.kind)
            && self.originator.as_ref().is_none_or(|name| *name == header.originator)
            && self.created.contains(header.created_at.unix_ms() as u64)
    }

    /// The conditions that only the content answers.
    pub(super) fn admits_content(&self, record: &Verified, scope: Option<&CaseScope>) -> bool {
        self.admits_value(record)
            && (scope.is_none() && self.words.is_empty()
                || record.content().is_ok_and(|content| {
                    let series = record.header().series;
                    scope.is_none_or(|scope| scope.contains(series, &content))
                        && self.admits_words(&content)
                }))
    }

    fn admits_value(&self, record: &Verified) -> bool {
        if self.values.is_empty() && self.domain.is_none() && self.network.is_none() {
            return true;
        }
        let Some(value) = record.value() else { return false };
        let below = |prefix: &Vec<u8>| value.domain_key().is_some_and(|k| k.starts_with(prefix));
        (self.values.is_empty() || self.values.contains(&value))
            && self.domain.as_ref().is_none_or(below)
            && self.network.as_ref().is_none_or(|network| meets(network, &value))
    }

    fn admits_words(&self, content: &Content) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let there = search::word_terms(content);
        self.words.iter().all(|word| there.binary_search(&search::word_term(word)).is_ok())
    }
}

/// An address or a network within the network, or a network that contains it.
fn meets(network: &Network, value: &Value) -> bool {
    if let Some(address) = value.ip_key() {
        return network.ip_keys().contains(&address);
    }
    let other = value.network().map(Network::from);
    other.is_some_and(|other| network.contains(&other) || other.contains(network))
}
