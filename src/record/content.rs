//! The content of each kind of record as its protobuf message, and the values derived from it.

use super::draft_error::{DraftError, KEY_BYTES_MAX};
use super::kind::Kind;
use crate::pb;
use crate::value::{Value, ValueType};
use bytes::Bytes;
use prost::Message as _;

macro_rules! contents {
    ($($kind:ident),* $(,)?) => {
        /// The content of a record.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Content {
            $($kind(pb::$kind),)*
        }

        impl Content {
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// The wire bytes, fields ascending.
            pub fn encode(&self) -> Bytes {
                match self {
                    $(Self::$kind(message) => message.encode_to_vec().into(),)*
                }
            }

            /// Reads the joined open slots of a record of this kind.
            pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, prost::DecodeError> {
                match kind {
                    $(Kind::$kind => pb::$kind::decode(bytes).map(Self::$kind),)*
                }
            }
        }
    };
}

contents!(
    Indicator,
    Case,
    CaseAction,
    Subject,
    Evidence,
    TakedownRequest,
    TakedownResult,
    Sighting,
    Opinion,
    Relationship,
    Note,
    InformationRequest,
    InformationResponse,
    Withdrawal,
);

impl From<pb::draft::Content> for Content {
    fn from(wire: pb::draft::Content) -> Self {
        use pb::draft::Content as Wire;
        match wire {
            Wire::Indicator(m) => Self::Indicator(m),
            Wire::Case(m) => Self::Case(m),
            Wire::CaseAction(m) => Self::CaseAction(m),
            Wire::Subject(m) => Self::Subject(m),
            Wire::Evidence(m) => Self::Evidence(m),
            Wire::TakedownRequest(m) => Self::TakedownRequest(m),
            Wire::TakedownResult(m) => Self::TakedownResult(m),
            Wire::Sighting(m) => Self::Sighting(m),
            Wire::Opinion(m) => Self::Opinion(m),
            Wire::Relationship(m) => Self::Relationship(m),
            Wire::Note(m) => Self::Note(m),
            Wire::InformationRequest(m) => Self::InformationRequest(m),
            Wire::InformationResponse(m) => Self::InformationResponse(m),
        }
    }
}

impl Content {
    /// Brings the value of an indicator, takedown or sighting into its normal form.
    pub(super) fn normalise(&mut self) -> Result<(), DraftError> {
        match self {
            Self::Indicator(m) => normalise_value(&mut m.r#type, &mut m.value),
            Self::TakedownRequest(m) => normalise_value(&mut m.r#type, &mut m.value),
            Self::TakedownResult(m) => normalise_value(&mut m.r#type, &mut m.value),
            Self::Sighting(m) => normalise_value(&mut m.r#type, &mut m.value),
            _ => Ok(()),
        }
    }

    /// Returns the natural key: two records of an originator with the same key belong to the same
    /// series.
    pub(super) fn natural_key(&self, key: &str) -> Result<Vec<u8>, DraftError> {
        if key.len() > KEY_BYTES_MAX {
            let reason = format!("{} bytes are more than {KEY_BYTES_MAX}", key.len());
            return Err(DraftError::new("key", reason));
        }
        let number = |n: i32| n.to_be_bytes().to_vec();
        let parts: Vec<Vec<u8>> = match self {
            // One series a source: what two feeds say of one value would otherwise replace each other
            // with every push.
            Self::Indicator(m) => {
                vec![number(m.r#type), m.value.clone().into(), m.source.clone().into()]
            }
            Self::TakedownRequest(m) => {
                vec![number(m.r#type), m.value.clone().into(), number(m.action)]
            }
            Self::TakedownResult(m) => {
                let (value, source) = (m.value.clone().into(), m.source.clone().into());
                vec![number(m.r#type), value, number(m.action), source]
            }
            Self::Case(m) => vec![required("reference", m.reference.as_bytes())?.to_vec()],
            Self::Opinion(m) => vec![required("record", &m.record[..])?.to_vec()],
            Self::Relationship(m) => {
                let verb = required("verb", m.verb.as_bytes())?;
                vec![m.from.to_vec(), m.to.to_vec(), verb.to_vec()]
            }
            Self::Withdrawal(_)
            | Self::CaseAction(_)
            | Self::Subject(_)
            | Self::Evidence(_)
            | Self::Sighting(_)
            | Self::Note(_)
            | Self::InformationRequest(_)
            | Self::InformationResponse(_) => {
                let named = required("key", key.as_bytes()).map_err(|_| {
                    let reason = "this kind needs a key that names what it speaks of, for \
                                  example your own reference";
                    DraftError::new("key", reason)
                })?;
                vec![named.to_vec()]
            }
        };
        let lengths = |part: &Vec<u8>| (part.len() as u32).to_be_bytes();
        Ok(parts.iter().flat_map(|part| lengths(part).into_iter().chain(part.clone())).collect())
    }

    /// Returns a summary of the record in one line, for people.
    pub fn summary(&self) -> String {
        match self {
            Self::Indicator(m) if m.title.is_empty() => m.value.clone(),
            Self::Indicator(m) => format!("{} ({})", m.value, m.title),
            Self::Case(m) => format!("{} {}", m.reference, m.title),
            Self::CaseAction(m) => {
                format!(
                    "{} {} in {} ({})",
                    m.count,
                    word(m.r#type().as_str_name()),
                    m.place,
                    m.agency
                )
            }
            Self::Subject(m) => {
                let who = if m.name.is_empty() { "name withheld" } else { &m.name };
                let (role, sort) = (m.role().as_str_name(), m.r#type().as_str_name());
                format!("{} {}: {who}", word(role), word(sort))
            }
            Self::Evidence(m) => format!("{} x {} {}", m.count, m.item, m.exhibit),
            Self::TakedownRequest(m) => {
                format!("{} {} at {}", word(m.action().as_str_name()), m.value, m.provider)
            }
            Self::TakedownResult(m) => format!(
                "{}: {} {}",
                m.value,
                word(m.action().as_str_name()),
                word(m.status().as_str_name())
            ),
            Self::Sighting(m) => format!("{} seen {} times", m.value, m.count),
            Self::Opinion(m) => format!("{} {}", word(m.verdict().as_str_name()), m.explanation),
            Self::Relationship(m) => m.verb.clone(),
            Self::Note(m) => m.title.clone(),
            Self::InformationRequest(m) => m.title.clone(),
            Self::InformationResponse(m) => m.answer.lines().next().unwrap_or_default().to_owned(),
            Self::Withdrawal(m) => format!("withdrawn: {}", word(m.reason().as_str_name())),
        }
    }

    /// Returns the time of the event in the content, if it has one; milliseconds since 1970.
    pub fn event_time_ms(&self) -> Option<u64> {
        let ms = match self {
            Self::Indicator(m) => m.first_seen_ms,
            Self::Case(m) => m.opened_at_ms,
            Self::CaseAction(m) => m.at_ms,
            Self::Evidence(m) => m.seized_at_ms,
            Self::TakedownResult(m) => m.acted_at_ms,
            Self::Sighting(m) => m.first_seen_ms,
            Self::Relationship(m) => m.since_ms,
            _ => 0,
        };
        (ms != 0).then_some(ms)
    }

    /// Titles and notes: the text that a search for words looks through.
    pub fn searchable_text(&self) -> Vec<&str> {
        match self {
            Self::Indicator(m) => vec![&m.title, &m.notes],
            Self::Case(m) => vec![&m.reference, &m.title, &m.summary],
            Self::CaseAction(m) => vec![&m.place, &m.notes],
            Self::Subject(m) => vec![&m.name, &m.notes],
            Self::Evidence(m) => vec![&m.item, &m.exhibit, &m.notes],
            Self::TakedownRequest(m) => vec![&m.notes],
            Self::TakedownResult(m) => vec![&m.notes],
            Self::Sighting(m) => vec![&m.notes],
            Self::Opinion(m) => vec![&m.explanation, &m.notes],
            Self::Relationship(m) => vec![&m.notes],
            Self::Note(m) => vec![&m.title, &m.text],
            Self::InformationRequest(m) => vec![&m.title, &m.question, &m.notes],
            Self::InformationResponse(m) => vec![&m.answer, &m.notes],
            Self::Withdrawal(m) => vec![&m.explanation],
        }
    }
}

/// `TAKEDOWN_STATUS_UP_AGAIN` becomes `up again`: the words after the enumeration's own name.
fn word(constant: &str) -> String {
    const PREFIXES: [&str; 7] = [
        "CASE_ACTION_TYPE_",
        "SUBJECT_ROLE_",
        "SUBJECT_TYPE_",
        "TAKEDOWN_ACTION_",
        "TAKEDOWN_STATUS_",
        "OPINION_VERDICT_",
        "WITHDRAWAL_REASON_",
    ];
    let rest = PREFIXES.iter().find_map(|prefix| constant.strip_prefix(prefix));
    rest.unwrap_or(constant).to_ascii_lowercase().replace('_', " ")
}

fn required<'a>(field: &str, value: &'a [u8]) -> Result<&'a [u8], DraftError> {
    if value.is_empty() {
        return Err(DraftError::new(field, "it is required and empty"));
    }
    Ok(value)
}

fn normalise_value(value_type: &mut i32, text: &mut String) -> Result<(), DraftError> {
    let refuse = |error| DraftError::new("value", error);
    let value = match u32::try_from(*value_type) {
        Ok(0) => Value::guess(text).map_err(refuse)?,
        number => {
            let known =
                number.ok().and_then(|n| ValueType::from_number(n).ok()).ok_or_else(|| {
                    let reason = format!("{value_type} is not the number of a value type");
                    DraftError::new("type", reason)
                })?;
            Value::normalise(known, text).map_err(refuse)?
        }
    };
    *value_type = i32::from(value.value_type().number());
    value.text().clone_into(text);
    Ok(())
}
