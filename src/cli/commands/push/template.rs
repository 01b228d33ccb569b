//! From the cells of a row to a draft: constants of the command first, cells over them.
//!
//! Checks what can be checked without the node: numbers, times, words, countries, types. The
//! node's own checks are the ones that count.

use bytes::Bytes;

use super::columns::Field;
use super::lists;
use super::marking::{self, MarkingArgs};
use super::row::{Cells, Refusal};
use crate::cli::names;
use crate::ident::{SeriesId, Timestamp};
use crate::pb;
use crate::value::{DeclaredType, Value, ValueError, ValueType, is_country};

/// The values that are the same for all rows.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) kind: pb::Kind,
    pub(super) marking: MarkingArgs,
    pub(super) labels: Vec<String>,
    pub(super) operation: String,
    pub(super) confidence: u32,
    pub(super) value_type: Option<DeclaredType>,
    pub(super) action: pb::TakedownAction,
    pub(super) status: pb::TakedownStatus,
    pub(super) provider: String,
    pub(super) country: String,
    pub(super) source: String,
    /// As the lead agency writes it; stands in takedown results.
    pub(super) case_reference: String,
    /// The case that indicators link to.
    pub(super) case_series: Option<SeriesId>,
    /// Record withdrawn values again.
    pub(super) reinstate: bool,
    /// Bring every value into its normal form here as well, as the node will.
    pub(super) check_values: bool,
}

impl Template {
    /// The draft of one row.
    pub(super) fn draft(&self, cells: Cells) -> Result<pb::Draft, Refusal> {
        let row = RowCells(cells);
        let (value_type, value) = self.value(&row)?;
        let marking = self.marking.of_row(&row, value_type)?;
        let labels = marking::without_labels(self.labels(&row), &marking)?;
        let content = match self.kind {
            pb::Kind::Indicator => {
                pb::draft::Content::Indicator(self.indicator(&row, value_type, value)?)
            }
            _ => pb::draft::Content::TakedownResult(self.takedown_result(&row, value_type, value)?),
        };
        Ok(pb::Draft {
            marking: Some(marking),
            labels,
            operation: row.or(Field::Operation, &self.operation),
            confidence: confidence(&row)?.unwrap_or(self.confidence),
            key: String::new(),
            reinstate: self.reinstate,
            content: Some(content),
        })
    }

    fn takedown_result(
        &self,
        row: &RowCells,
        value_type: ValueType,
        value: String,
    ) -> Result<pb::TakedownResult, Refusal> {
        Ok(pb::TakedownResult {
            r#type: value_type.number().into(),
            value,
            action: row.word(Field::Action)?.unwrap_or(self.action).into(),
            status: row.word(Field::Status)?.unwrap_or(self.status).into(),
            provider: row.or(Field::Provider, &self.provider),
            country: country(row)?.unwrap_or_else(|| self.country.clone()),
            acted_at_ms: row.time(Field::ActedAt)?,
            reason: row.text(Field::Reason),
            case_reference: row.or(Field::Case, &self.case_reference),
            source: row.or(Field::Source, &self.source),
            evidence: row.text(Field::Evidence),
            reporter: row.text(Field::Reporter),
            notes: row.text(Field::Notes),
            cases: Vec::new(),
        })
    }

    fn indicator(
        &self,
        row: &RowCells,
        value_type: ValueType,
        value: String,
    ) -> Result<pb::Indicator, Refusal> {
        Ok(pb::Indicator {
            r#type: value_type.number().into(),
            value,
            role: row.text(Field::Role),
            first_seen_ms: row.time(Field::FirstSeen)?,
            last_seen_ms: row.time(Field::LastSeen)?,
            valid_until_ms: row.time(Field::ValidUntil)?,
            title: row.text(Field::Title),
            source: row.or(Field::Source, &self.source),
            references: references(row)?,
            reporter: row.text(Field::Reporter),
            notes: notes(row),
            cases: self.cases(row)?,
        })
    }

    /// The type, and the value as it was written.
    fn value(&self, row: &RowCells) -> Result<(ValueType, String), Refusal> {
        let written = row.text(Field::Value);
        if written.is_empty() {
            return Err(Refusal::new("value", "the value is empty"));
        }
        let named = row.cell(Field::Type).map(DeclaredType::from_name).transpose();
        let named = named.map_err(|error| Refusal::new("type", error.to_string()))?;
        let refuse = |error: ValueError| Refusal::new("value", error.to_string());
        match named.or(self.value_type) {
            None => {
                let value = Value::guess(&written).map_err(refuse)?;
                Ok((value.value_type(), written))
            }
            // What was declared is narrower than the draft's type, so the value carries it.
            Some(declared) if declared.is_narrower() => {
                let value = declared.normalise(&written).map_err(refuse)?;
                Ok((value.value_type(), value.text().to_owned()))
            }
            Some(declared) if self.check_values => {
                let value = declared.normalise(&written).map_err(refuse)?;
                Ok((value.value_type(), written))
            }
            Some(declared) => Ok((declared.value_type(), written)),
        }
    }

    fn labels(&self, row: &RowCells) -> Vec<String> {
        let tags = lists::items(row.cell(Field::Tags).unwrap_or_default());
        let mut labels: Vec<String> =
            tags.map(str::to_owned).chain(self.labels.iter().cloned()).collect();
        labels.sort();
        labels.dedup();
        labels
    }

    fn cases(&self, row: &RowCells) -> Result<Vec<Bytes>, Refusal> {
        let in_row = row.cell(Field::Case).map(str::parse::<SeriesId>).transpose().map_err(|_| {
            Refusal::new("case", "an indicator links to a case by its series id (32 hexadecimal digits); use --case for a reference")
        })?;
        let series = in_row.or(self.case_series);
        Ok(series.map(|series| Bytes::copy_from_slice(series.as_bytes())).into_iter().collect())
    }
}

fn confidence(row: &RowCells) -> Result<Option<u32>, Refusal> {
    let Some(text) = row.cell(Field::Confidence) else { return Ok(None) };
    let number = text.parse::<u32>().ok().filter(|number| *number <= 100);
    number.map(Some).ok_or_else(|| {
        Refusal::new("confidence", format!("{text:?} is not a whole number from 0 to 100"))
    })
}

fn country(row: &RowCells) -> Result<Option<String>, Refusal> {
    row.parsed(Field::Country, parse_country)
}

/// ISO 3166-1 alpha-2, in any case. For clap and for cells.
pub(super) fn parse_country(text: &str) -> Result<String, String> {
    let code = text.to_ascii_uppercase();
    if is_country(&code) {
        Ok(code)
    } else {
        Err(format!("{text:?} is not a country code of two letters (ISO 3166-1)"))
    }
}

/// References, and the group when it is one.
fn references(row: &RowCells) -> Result<Vec<String>, Refusal> {
    let listed = lists::references(row.cell(Field::Reference).unwrap_or_default());
    let listed = listed.map_err(|reason| Refusal::new(Field::Reference.name(), reason))?;
    let group = row.cell(Field::Group).filter(|group| group.contains("://"));
    let mut references: Vec<String> = Vec::new();
    for reference in listed.into_iter().chain(group) {
        if !references.iter().any(|known| known == reference) {
            references.push(reference.to_owned());
        }
    }
    Ok(references)
}

/// Notes, and the group when it is words.
fn notes(row: &RowCells) -> String {
    let group = row.cell(Field::Group).filter(|group| !group.contains("://"));
    let group = group.map(|group| format!("group: {group}"));
    row.cell(Field::Notes)
        .map(str::to_owned)
        .into_iter()
        .chain(group)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The cells of a row by field.
pub(super) struct RowCells(pub(super) Cells);

impl RowCells {
    pub(super) fn cell(&self, field: Field) -> Option<&str> {
        self.0.iter().find(|(found, _)| *found == field).map(|(_, text)| text.as_str())
    }

    fn text(&self, field: Field) -> String {
        self.cell(field).unwrap_or_default().to_owned()
    }

    pub(super) fn or(&self, field: Field, constant: &str) -> String {
        self.cell(field).unwrap_or(constant).to_owned()
    }

    pub(super) fn word<E: names::WireEnum>(&self, field: Field) -> Result<Option<E>, Refusal> {
        self.parsed(field, names::parse)
    }

    /// Reads a cell; `None` if it is empty.
    pub(super) fn parsed<T>(
        &self,
        field: Field,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Refusal> {
        let found = self.cell(field).map(parse).transpose();
        found.map_err(|reason| Refusal::new(field.name(), reason))
    }

    /// Milliseconds since 1970; 0 when there is none.
    fn time(&self, field: Field) -> Result<u64, Refusal> {
        let time = self.parsed(field, parse_time)?;
        Ok(time.map_or(0, |time| time.unix_ms().unsigned_abs()))
    }
}

/// RFC 3339, a date, or `YYYY-MM-DD hh:mm:ss` in UTC as spreadsheets and feeds write it.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let is_bare = text.len() == 19 && matches!(text.as_bytes()[10], b' ' | b'T');
    let written =
        if is_bare { format!("{}T{}Z", &text[..10], &text[11..]) } else { text.to_owned() };
    written.parse().map_err(|_| {
        format!("{text:?} is not a time between 2000 and 2100, such as 2026-11-22T09:14:03Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn template(kind: pb::Kind) -> Template {
        Template {
            kind,
            marking: MarkingArgs { tlp: Some(pb::Tlp::Amber), ..MarkingArgs::default() },
            labels: vec!["tech-support-scam".into()],
            operation: "chakra".into(),
            confidence: 70,
            value_type: None,
            action: pb::TakedownAction::SuspendDomain,
            status: pb::TakedownStatus::Down,
            provider: "Registrar".into(),
            country: "JP".into(),
            source: String::new(),
            case_reference: "OP-1187".into(),
            case_series: None,
            reinstate: false,
            check_values: false,
        }
    }

    fn cells(list: &[(Field, &str)]) -> Cells {
        list.iter().map(|(field, text)| (*field, (*text).to_owned())).collect()
    }

    fn refusal(list: &[(Field, &str)]) -> Refusal {
        template(pb::Kind::TakedownResult).draft(cells(list)).unwrap_err()
    }

    #[test]
    fn constants_stand_where_the_row_says_nothing() {
        let row = cells(&[
            (Field::Value, "hxxp://evil[.]example/x"),
            (Field::Status, "up again"),
            (Field::ActedAt, "2026-11-22 09:14:03"),
            (Field::Country, "in"),
            (Field::Tlp, "TLP:GREEN"),
        ]);
        let draft = template(pb::Kind::TakedownResult).draft(row).unwrap();
        let marking = draft.marking.unwrap();
        assert_eq!((marking.tlp(), marking.pap()), (pb::Tlp::Green, pb::Pap::Green));
        assert_eq!(draft.confidence, 70);
        assert_eq!(draft.labels, ["tech-support-scam"]);
        let Some(pb::draft::Content::TakedownResult(result)) = draft.content else { panic!() };
        assert_eq!(result.r#type(), pb::ValueType::Url);
        assert_eq!(result.value, "hxxp://evil[.]example/x");
        assert_eq!(result.status(), pb::TakedownStatus::UpAgain);
        assert_eq!(result.country, "IN");
        assert_eq!(result.case_reference, "OP-1187");
        assert_eq!(crate::cli::schema::time_text(result.acted_at_ms), "2026-11-22T09:14:03.000Z");
    }

    #[test]
    fn a_cell_that_cannot_be_read_is_named_with_its_column() {
        let value = (Field::Value, "evil.example");
        let column = |cell| refusal(&[value, cell]).column;
        assert_eq!(column((Field::Confidence, "101")), "confidence");
        assert_eq!(column((Field::ActedAt, "yesterday")), "acted_at");
        assert_eq!(column((Field::Status, "gone")), "status");
        assert_eq!(column((Field::Country, "Japan")), "country");
        assert_eq!(column((Field::Type, "smell")), "type");
        assert_eq!(refusal(&[]).column, "value");
    }

    #[test]
    fn values_are_brought_into_normal_form_when_they_are_to_be_checked() {
        let row = || cells(&[(Field::Value, "not a domain"), (Field::Type, "domain")]);
        let mut template = template(pb::Kind::TakedownResult);
        assert!(template.draft(row()).is_ok());
        template.check_values = true;
        assert_eq!(template.draft(row()).unwrap_err().column, "value");
    }

    #[test]
    fn an_indicator_takes_references_tags_and_its_case() {
        let mut template = template(pb::Kind::Indicator);
        template.case_series = Some(SeriesId::from_bytes([5; 16]));
        let row = cells(&[
            (Field::Value, "evil.example"),
            (Field::Type, "domain-name"),
            (Field::Tags, "b;a"),
            (Field::Reference, "https://a.example https://b.example"),
            (Field::Group, "https://a.example"),
        ]);
        let draft = template.draft(row).unwrap();
        assert_eq!(draft.labels, ["a", "b", "tech-support-scam"]);
        let Some(pb::draft::Content::Indicator(indicator)) = draft.content else { panic!() };
        assert_eq!(indicator.references, ["https://a.example", "https://b.example"]);
        assert_eq!(indicator.cases, [Bytes::from(vec![5; 16])]);
    }

    #[test]
    fn times_with_characters_beyond_ascii_are_refused_and_not_cut() {
        assert!(parse_time("2026-11-2é 09:14:03").is_err());
        assert!(parse_time("2026-11-22é09:14:0").is_err());
    }
}
