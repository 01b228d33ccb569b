//! The rows of an NDJSON file: one JSON object a line.

use std::io::{BufRead, BufReader, Read};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::columns::{
    ColumnError, ColumnRules, Columns, Field, REJECTED_TEXT, REJECTION_COLUMNS, report_columns,
};
use super::lists;
use super::row::{Cells, ROW_BYTES_MAX, Refusal, Row, RowsError};

/// Names without a place in the kind that are remembered; there are fewer such fields.
const WITHOUT_PLACE_MAX: usize = 64;

/// Rows of an NDJSON file. Its first row settles the columns; later rows may have fewer, and a row
/// with an unknown one is refused by itself.
pub(super) struct JsonRows<R> {
    reader: BufReader<R>,
    rules: ColumnRules,
    first: Option<Row>,
    line: u64,
    bytes_read: u64,
    without_place: Vec<String>,
}

impl<R: Read> JsonRows<R> {
    pub(super) fn open(inner: R, rules: ColumnRules) -> Result<Self, RowsError> {
        let mut rows = Self {
            reader: BufReader::new(inner),
            rules,
            first: None,
            line: 0,
            bytes_read: 0,
            without_place: Vec::new(),
        };
        let Some((line, bytes)) = rows.next_line()? else { return Err(ColumnError::Empty.into()) };
        if let Ok(members) = members_of(&bytes) {
            let of_a_report = report_members(&members);
            let names: Vec<_> = members.into_iter().map(|(name, _)| name).collect();
            // A line that could not be read before says nothing about the rows after it.
            if of_a_report <= REJECTION_COLUMNS.len() {
                Columns::resolve_after(of_a_report, &names, &rows.rules)?;
            }
        }
        // From here on every row stands for itself: a mapped column may be absent.
        rows.first = Some(rows.row(line, bytes));
        Ok(rows)
    }

    /// The names without a place in the kind in the rows so far.
    pub(super) fn without_place(&self) -> &[String] {
        &self.without_place
    }

    pub(super) const fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    pub(super) fn next(&mut self) -> Result<Option<Row>, RowsError> {
        if let Some(row) = self.first.take() {
            return Ok(Some(row));
        }
        Ok(self.next_line()?.map(|(line, bytes)| self.row(line, bytes)))
    }

    /// The next line that is not blank, without its end.
    fn next_line(&mut self) -> Result<Option<(u64, Vec<u8>)>, RowsError> {
        loop {
            let mut bytes = Vec::new();
            let limit = ROW_BYTES_MAX as u64 + 1;
            let count = (&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut bytes)
                .map_err(|source| RowsError::Read { line: self.line, source })?;
            if count == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.bytes_read += count as u64;
            if count as u64 == limit {
                return Err(RowsError::RowTooLong { line: self.line });
            }
            bytes.truncate(bytes.trim_ascii_end().len());
            if !bytes.is_empty() {
                return Ok(Some((self.line, bytes)));
            }
        }
    }

    fn row(&mut self, line: u64, bytes: Vec<u8>) -> Row {
        let cells = members_of(&bytes).and_then(|members| self.cells(members));
        Row { line, cells, original: csv::ByteRecord::from(vec![bytes]) }
    }

    fn cells(&mut self, members: Members) -> Result<Cells, Refusal> {
        let of_a_report = report_members(&members);
        let names: Vec<_> = members.iter().map(|(name, _)| name.clone()).collect();
        let mut rules = self.rules.clone();
        rules.map.retain(|name, _| names[of_a_report..].contains(name));
        let columns = Columns::resolve_after(of_a_report, &names, &rules)
            .map_err(|error| Refusal::new("", error.to_string()))?;
        for name in &columns.without_place {
            if self.without_place.len() < WITHOUT_PLACE_MAX && !self.without_place.contains(name) {
                self.without_place.push(name.clone());
            }
        }
        let mut cells = Cells::new();
        for (at, (name, value)) in members.into_iter().enumerate() {
            let Some(field) = columns.meaning(at) else { continue };
            let text = text_of(field, &value).map_err(|reason| Refusal::new(&name, reason))?;
            let text = text
                .ok_or_else(|| Refusal::new(name, "expected text, a number or a list of texts"))?;
            if !text.is_empty() {
                cells.push((field, text));
            }
        }
        Ok(cells)
    }
}

/// Returns how many members a report of rejected rows has put in front, with the one that holds a line
/// that was not an object.
fn report_members(members: &Members) -> usize {
    let count = report_columns(members.iter().map(|(name, _)| name.as_str()));
    let holds_text = members.get(count).is_some_and(|(name, _)| name == REJECTED_TEXT);
    count + usize::from(count > 0 && holds_text)
}

/// Returns the text of a member, a list as a cell of CSV has it. A number keeps its digits as they were
/// written.
///
/// # Errors
/// For a number with a point or an exponent, as an identifier of digits has become another that way;
/// and for a list that would come out of a cell as another.
fn text_of(field: Field, member: &RawValue) -> Result<Option<String>, String> {
    let written = member.get();
    let value = serde_json::from_str(written).map_err(|error| error.to_string())?;
    Ok(match value {
        Value::Number(_) if written.contains(['.', 'e', 'E']) => {
            return Err(format!(
                "{written} is a number with a point or an exponent; write it in quotes, as text"
            ));
        }
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(_) | Value::Bool(_) => Some(written.to_owned()),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item.as_str()).collect();
            texts.map(|texts| lists::joined(field, &texts)).transpose()?
        }
        Value::Object(_) => None,
    })
}

/// The members of a JSON object in their order, repeated names included, each as it was written.
pub(super) type Members = Vec<(String, Box<RawValue>)>;

/// Reads the members of a JSON object.
pub(super) fn members_of(bytes: &[u8]) -> Result<Members, Refusal> {
    struct InOrder;
    impl<'de> Visitor<'de> for InOrder {
        type Value = Members;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object with the columns as names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let found = reader.deserialize_map(InOrder).and_then(|members| reader.end().map(|()| members));
    found.map_err(|error| Refusal::new("", format!("the line is not a JSON object: {error}")))
}
