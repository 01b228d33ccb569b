//! The header: the signed part of a record that everybody who holds it can read.
//!
//! The bytes as signed are the truth. A header is taken only in its one encoding, so that no two
//! readers can take it differently; it is never written again from what was read.

use super::kind::Kind;
use super::marking::{Grading, GradingScheme, Marking, Pap, Tlp, Use};
use super::personal;
use super::withdrawal::{self, END_OF_SERIES};
use crate::ident::{AgencyName, IdentError, RecordId, SeriesId, Timestamp};
use crate::pb;
use crate::value::is_country;
use bytes::Bytes;
use prost::Message as _;

/// SHA-256 with Ed25519.
pub const SUITE: u32 = 1;
/// Revision of all slot tables.
pub const SCHEMA_REVISION: u32 = 1;
/// A header is an eighth of a journal entry at the most, with the signature less than a quarter.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
/// Labels of a record.
pub const LABELS_MAX: usize = 16;
/// Bytes of a label, circle or operation code.
pub const CODE_BYTES_MAX: usize = 64;
/// Agencies on a release list.
pub const RELEASE_LIST_MAX: usize = 64;
/// Circles, jurisdictions and foreign markings of a record.
pub const MARKING_LIST_MAX: usize = 16;
/// Bytes of a caveat or foreign marking.
pub const CAVEAT_BYTES_MAX: usize = 512;

/// The reason for refusing a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("a header has at most {HEADER_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    #[error("it is not a protobuf message of type Header")]
    Protobuf,
    #[error("it is not in its one encoding: fields ascending, each once, nothing unknown")]
    Encoding,
    #[error("suite {0} is unknown; this program knows {SUITE}")]
    Suite(u32),
    #[error("kind {0} is unknown")]
    Kind(i32),
    #[error("schema revision {0} is unknown; this program knows {SCHEMA_REVISION}")]
    SchemaRevision(u32),
    #[error("{field}: {reason}")]
    Field { field: &'static str, reason: String },
    #[error("revision {revision} {} a predecessor", if *has_previous { "names" } else { "lacks" })]
    Chain { revision: u32, has_previous: bool },
    #[error("{0}: only a withdrawal has the last revision number, and it has the one form")]
    Withdrawal(&'static str),
    #[error("found {found} slots, the kind has {wanted}")]
    SlotCount { found: u32, wanted: usize },
}

impl HeaderError {
    fn field(field: &'static str, reason: impl ToString) -> Self {
        Self::Field { field, reason: reason.to_string() }
    }
}

/// The decoded content of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub originator: AgencyName,
    pub series: SeriesId,
    /// Position in the series, from 1; of a withdrawal [`END_OF_SERIES`].
    pub revision: u32,
    pub previous: Option<RecordId>,
    pub created_at: Timestamp,
    /// Sorted, without repeats.
    pub labels: Vec<String>,
    pub operation: Option<String>,
    /// 0 to 100.
    pub confidence: u8,
    pub marking: Marking,
    pub slots_hash: [u8; 32],
}

impl Header {
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(HeaderError::TooLong(bytes.len()));
        }
        let wire = pb::Header::decode(bytes).map_err(|_| HeaderError::Protobuf)?;
        if wire.encoded_len() != bytes.len() || wire.encode_to_vec() != bytes {
            return Err(HeaderError::Encoding);
        }
        Self::try_from(wire)
    }

    /// Returns whether the record is personal data as far as its header shows.
    pub const fn is_personal_data(&self) -> bool {
        personal::by_header(self.kind, &self.marking)
    }

    pub fn encode(&self) -> Bytes {
        pb::Header {
            suite: SUITE,
            kind: i32::from(self.kind.number()),
            schema_revision: SCHEMA_REVISION,
            originator: self.originator.to_string(),
            series: Bytes::copy_from_slice(self.series.as_bytes()),
            revision: self.revision,
            previous: self
                .previous
                .map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes())),
            created_at_ms: self.created_at.unix_ms() as u64,
            labels: self.labels.clone(),
            operation: self.operation.clone().unwrap_or_default(),
            confidence: u32::from(self.confidence),
            marking: Some(pb::Marking::from(&self.marking)),
            slot_count: self.kind.slots().len() as u32,
            slots_hash: Bytes::copy_from_slice(&self.slots_hash),
        }
        .encode_to_vec()
        .into()
    }
}

impl TryFrom<pb::Header> for Header {
    type Error = HeaderError;

    fn try_from(wire: pb::Header) -> Result<Self, HeaderError> {
        let pb::Header {
            suite,
            kind,
            schema_revision,
            originator,
            series,
            revision,
            previous,
            created_at_ms,
            labels,
            operation,
            confidence,
            marking,
            slot_count,
            slots_hash,
        } = wire;
        if suite != SUITE {
            return Err(HeaderError::Suite(suite));
        }
        if schema_revision != SCHEMA_REVISION {
            return Err(HeaderError::SchemaRevision(schema_revision));
        }
        let kind =
            u32::try_from(kind).ok().and_then(Kind::from_number).ok_or(HeaderError::Kind(kind))?;
        let previous = if previous.is_empty() {
            None
        } else {
            Some(at("previous", RecordId::try_from(&previous[..]))?)
        };
        let is_first = revision == 1 || revision == END_OF_SERIES;
        if revision == 0 || is_first == previous.is_some() {
            return Err(HeaderError::Chain { revision, has_previous: previous.is_some() });
        }
        if slot_count as usize != kind.slots().len() {
            return Err(HeaderError::SlotCount { found: slot_count, wanted: kind.slots().len() });
        }
        let header = Self {
            kind,
            originator: at("originator", originator.parse())?,
            series: at("series", SeriesId::try_from(&series[..]))?,
            revision,
            previous,
            created_at: time("created_at_ms", created_at_ms)?,
            labels: labels_in(labels)?,
            operation: operation_in(operation)?,
            confidence: confidence_in(confidence)?,
            marking: marking
                .ok_or_else(|| HeaderError::field("marking", "a record without one is refused"))?
                .try_into()?,
            slots_hash: slots_hash[..]
                .try_into()
                .map_err(|_| HeaderError::field("slots_hash", "it does not have 32 bytes"))?,
        };
        withdrawal::check(&header).map(|()| header)
    }
}

pub(super) fn labels_in(labels: Vec<String>) -> Result<Vec<String>, HeaderError> {
    codes("labels", labels, LABELS_MAX)
}

pub(super) fn operation_in(operation: String) -> Result<Option<String>, HeaderError> {
    if operation.is_empty() {
        return Ok(None);
    }
    code("operation", operation).map(Some)
}

pub(super) fn confidence_in(confidence: u32) -> Result<u8, HeaderError> {
    u8::try_from(confidence)
        .ok()
        .filter(|c| *c <= 100)
        .ok_or_else(|| HeaderError::field("confidence", format!("{confidence} is above 100")))
}

fn at<T>(field: &'static str, parsed: Result<T, IdentError>) -> Result<T, HeaderError> {
    parsed.map_err(|error| HeaderError::field(field, error))
}

fn time(field: &'static str, ms: u64) -> Result<Timestamp, HeaderError> {
    at(field, Timestamp::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX)))
}

fn optional_time(field: &'static str, ms: u64) -> Result<Option<Timestamp>, HeaderError> {
    if ms == 0 { Ok(None) } else { time(field, ms).map(Some) }
}

/// A short machine-readable code: printable, without white space.
fn code(field: &'static str, text: String) -> Result<String, HeaderError> {
    if is_code(&text) {
        Ok(text)
    } else {
        Err(HeaderError::field(
            field,
            format!("{text:?} is not 1 to {CODE_BYTES_MAX} bytes without white space"),
        ))
    }
}

/// Returns true for a name that an agency may give to a circle. A slash is not in it, so that
/// `originator/circle` can be read in one way only.
pub fn is_circle_name(text: &str) -> bool {
    is_code(text) && !text.contains('/')
}

fn is_code(text: &str) -> bool {
    (1..=CODE_BYTES_MAX).contains(&text.len())
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn codes(field: &'static str, list: Vec<String>, most: usize) -> Result<Vec<String>, HeaderError> {
    ascending(field, &list, most)?;
    list.into_iter().map(|text| code(field, text)).collect()
}

fn ascending<T: Ord>(field: &'static str, list: &[T], most: usize) -> Result<(), HeaderError> {
    if list.len() > most {
        return Err(HeaderError::field(field, format!("{} are more than {most}", list.len())));
    }
    if list.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(HeaderError::field(field, "they are not sorted and different"));
    }
    Ok(())
}

fn words(field: &'static str, text: String) -> Result<String, HeaderError> {
    if text.len() > CAVEAT_BYTES_MAX || text.chars().any(char::is_control) {
        let wanted = format!("it is not one line of at most {CAVEAT_BYTES_MAX} bytes");
        return Err(HeaderError::field(field, wanted));
    }
    Ok(text)
}

impl TryFrom<pb::Marking> for Marking {
    type Error = HeaderError;

    fn try_from(wire: pb::Marking) -> Result<Self, HeaderError> {
        let pb::Marking {
            tlp,
            pap,
            releasable_to,
            circles,
            orcon,
            no_evidence,
            no_notify,
            no_attribution,
            grading,
            personal_data,
            jurisdictions,
            expires_at_ms,
            retain_until_ms,
            caveat,
            foreign,
            not_personal,
        } = wire;
        let tlp = match pb::Tlp::try_from(tlp) {
            Ok(pb::Tlp::Clear) => Tlp::Clear,
            Ok(pb::Tlp::Green) => Tlp::Green,
            Ok(pb::Tlp::Amber) => Tlp::Amber,
            Ok(pb::Tlp::AmberStrict) => Tlp::AmberStrict,
            Ok(pb::Tlp::Red) => Tlp::Red,
            Ok(pb::Tlp::Unspecified) | Err(_) => {
                return Err(HeaderError::field("marking.tlp", "a TLP 2.0 label is required"));
            }
        };
        let pap = match pb::Pap::try_from(pap) {
            Ok(pb::Pap::Clear) => Pap::Clear,
            Ok(pb::Pap::Green) => Pap::Green,
            Ok(pb::Pap::Amber) => Pap::Amber,
            Ok(pb::Pap::Red) => Pap::Red,
            Ok(pb::Pap::Unspecified) | Err(_) => {
                return Err(HeaderError::field("marking.pap", "a PAP label is required"));
            }
        };
        let releasable_to = releasable_to
            .map(|list| {
                let names: Vec<AgencyName> = list
                    .agencies
                    .iter()
                    .map(|name| at("marking.releasable_to", name.parse()))
                    .collect::<Result<_, _>>()?;
                ascending("marking.releasable_to", &names, RELEASE_LIST_MAX).map(|()| names)
            })
            .transpose()?;
        let circles = circles
            .map(|list| codes("marking.circles", list.circles, MARKING_LIST_MAX))
            .transpose()?;
        if let Some(name) = circles.iter().flatten().find(|name| !is_circle_name(name)) {
            let reason = format!("{name:?} has a slash, which divides originator and circle");
            return Err(HeaderError::field("marking.circles", reason));
        }
        if let Some(code) = jurisdictions.iter().find(|code| !is_country(code)) {
            let reason =
                format!("{code:?} is not the code of a country in ISO 3166-1, for example JP");
            return Err(HeaderError::field("marking.jurisdictions", reason));
        }
        ascending("marking.jurisdictions", &jurisdictions, RELEASE_LIST_MAX)?;
        ascending("marking.foreign", &foreign, MARKING_LIST_MAX)?;
        if personal_data && not_personal {
            let reason = "it contradicts personal_data; set one of them";
            return Err(HeaderError::field("marking.not_personal", reason));
        }
        Ok(Self {
            tlp,
            pap,
            releasable_to,
            circles,
            orcon,
            use_limits: Use { no_evidence, no_notify, no_attribution },
            grading: grading.map(Grading::try_from).transpose()?,
            personal_data,
            not_personal,
            jurisdictions,
            expires: optional_time("marking.expires_at_ms", expires_at_ms)?,
            retain_until: optional_time("marking.retain_until_ms", retain_until_ms)?,
            caveat: if caveat.is_empty() { None } else { Some(words("marking.caveat", caveat)?) },
            foreign: foreign
                .into_iter()
                .map(|text| words("marking.foreign", text))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Marking> for pb::Marking {
    fn from(marking: &Marking) -> Self {
        let ms = |time: Option<Timestamp>| time.map_or(0, |t| t.unix_ms() as u64);
        Self {
            tlp: match marking.tlp {
                Tlp::Clear => pb::Tlp::Clear,
                Tlp::Green => pb::Tlp::Green,
                Tlp::Amber => pb::Tlp::Amber,
                Tlp::AmberStrict => pb::Tlp::AmberStrict,
                Tlp::Red => pb::Tlp::Red,
            }
            .into(),
            pap: match marking.pap {
                Pap::Clear => pb::Pap::Clear,
                Pap::Green => pb::Pap::Green,
                Pap::Amber => pb::Pap::Amber,
                Pap::Red => pb::Pap::Red,
            }
            .into(),
            releasable_to: marking.releasable_to.as_ref().map(|names| pb::AgencyList {
                agencies: names.iter().map(ToString::to_string).collect(),
            }),
            circles: marking.circles.clone().map(|circles| pb::CircleList { circles }),
            orcon: marking.orcon,
            no_evidence: marking.use_limits.no_evidence,
            no_notify: marking.use_limits.no_notify,
            no_attribution: marking.use_limits.no_attribution,
            grading: marking.grading.as_ref().map(pb::Grading::from),
            personal_data: marking.personal_data,
            jurisdictions: marking.jurisdictions.clone(),
            expires_at_ms: ms(marking.expires),
            retain_until_ms: ms(marking.retain_until),
            caveat: marking.caveat.clone().unwrap_or_default(),
            foreign: marking.foreign.clone(),
            not_personal: marking.not_personal,
        }
    }
}

impl TryFrom<pb::Grading> for Grading {
    type Error = HeaderError;

    fn try_from(wire: pb::Grading) -> Result<Self, HeaderError> {
        let pb::Grading { scheme, source, information } = wire;
        let (scheme, sources, informations) = match pb::GradingScheme::try_from(scheme) {
            Ok(pb::GradingScheme::Admiralty) => (GradingScheme::Admiralty, "ABCDEF", "123456"),
            Ok(pb::GradingScheme::Europol) => (GradingScheme::Europol, "ABCX", "1234"),
            Ok(pb::GradingScheme::Uk3x5x2) => (GradingScheme::Uk3x5x2, "123", "ABCDE"),
            Ok(pb::GradingScheme::Unspecified) | Err(_) => {
                return Err(HeaderError::field("marking.grading", "its scheme is missing"));
            }
        };
        let pick = |text: &str, allowed: &str| {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) if allowed.contains(c) => Ok(c),
                _ => Err(HeaderError::field(
                    "marking.grading",
                    format!("{text:?} is not one of {allowed}"),
                )),
            }
        };
        Ok(Self {
            scheme,
            source: pick(&source, sources)?,
            information: pick(&information, informations)?,
        })
    }
}

impl From<&Grading> for pb::Grading {
    fn from(grading: &Grading) -> Self {
        Self {
            scheme: match grading.scheme {
                GradingScheme::Admiralty => pb::GradingScheme::Admiralty,
                GradingScheme::Europol => pb::GradingScheme::Europol,
                GradingScheme::Uk3x5x2 => pb::GradingScheme::Uk3x5x2,
            }
            .into(),
            source: grading.source.to_string(),
            information: grading.information.to_string(),
        }
    }
}
