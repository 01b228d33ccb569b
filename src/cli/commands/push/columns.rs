//! The meaning of a file's columns, settled before anything is sent.
//!
//! A column that is not understood is named and refused, never silently dropped.

use std::collections::HashMap;

use crate::pb::Kind;

/// Columns of one file; far more than there are fields.
const COLUMNS_MAX: usize = 256;

/// The field of a draft that a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Value,
    Type,
    Status,
    Action,
    Provider,
    Country,
    ActedAt,
    Reason,
    Evidence,
    Source,
    Reporter,
    Notes,
    Case,
    FirstSeen,
    LastSeen,
    ValidUntil,
    Tags,
    Reference,
    Group,
    Role,
    Title,
    Tlp,
    Pap,
    Confidence,
    Operation,
    ReleasableTo,
    Circles,
    Handling,
    Caveat,
    PersonalData,
    Jurisdictions,
    Expires,
    RetainUntil,
    NoNotify,
    NoAttribution,
    Grading,
}

impl Field {
    const ALL: [Self; 36] = [
        Self::Value,
        Self::Type,
        Self::Status,
        Self::Action,
        Self::Provider,
        Self::Country,
        Self::ActedAt,
        Self::Reason,
        Self::Evidence,
        Self::Source,
        Self::Reporter,
        Self::Notes,
        Self::Case,
        Self::FirstSeen,
        Self::LastSeen,
        Self::ValidUntil,
        Self::Tags,
        Self::Reference,
        Self::Group,
        Self::Role,
        Self::Title,
        Self::Tlp,
        Self::Pap,
        Self::Confidence,
        Self::Operation,
        Self::ReleasableTo,
        Self::Circles,
        Self::Handling,
        Self::Caveat,
        Self::PersonalData,
        Self::Jurisdictions,
        Self::Expires,
        Self::RetainUntil,
        Self::NoNotify,
        Self::NoAttribution,
        Self::Grading,
    ];

    /// The column name that needs no mapping.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Type => "type",
            Self::Status => "status",
            Self::Action => "action",
            Self::Provider => "provider",
            Self::Country => "country",
            Self::ActedAt => "acted_at",
            Self::Reason => "reason",
            Self::Evidence => "evidence",
            Self::Source => "source",
            Self::Reporter => "reporter",
            Self::Notes => "notes",
            Self::Case => "case",
            Self::FirstSeen => "first_seen",
            Self::LastSeen => "last_seen",
            Self::ValidUntil => "valid_until",
            Self::Tags => "tags",
            Self::Reference => "reference",
            Self::Group => "group",
            Self::Role => "role",
            Self::Title => "title",
            Self::Tlp => "tlp",
            Self::Pap => "pap",
            Self::Confidence => "confidence",
            Self::Operation => "operation",
            Self::ReleasableTo => "releasable_to",
            Self::Circles => "circles",
            Self::Handling => "handling",
            Self::Caveat => "caveat",
            Self::PersonalData => "personal_data",
            Self::Jurisdictions => "jurisdictions",
            Self::Expires => "expires",
            Self::RetainUntil => "retain_until",
            Self::NoNotify => "no_notify",
            Self::NoAttribution => "no_attribution",
            Self::Grading => "grading",
        }
    }

    /// Other names that occur in such files.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Value => &["indicator", "ioc"],
            Self::Type => &["value_type"],
            Self::Provider => &["registrar", "hoster"],
            Self::Evidence => &["evidence_url"],
            Self::Notes => &["note", "comment"],
            Self::Case => &["case_reference"],
            Self::Tags => &["tag", "label", "labels"],
            Self::Reference => &["references"],
            Self::Circles => &["circle"],
            Self::Jurisdictions => &["jurisdiction"],
            Self::Expires => &["expires_at"],
            _ => &[],
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let folded = folded(name);
        Self::ALL
            .into_iter()
            .find(|field| field.name() == folded || field.aliases().contains(&folded.as_str()))
    }

    /// A record of this kind has a place for it.
    const fn belongs_to(self, kind: Kind) -> bool {
        let result_only = matches!(
            self,
            Self::Status
                | Self::Action
                | Self::Provider
                | Self::Country
                | Self::ActedAt
                | Self::Reason
                | Self::Evidence
        );
        let indicator_only = matches!(
            self,
            Self::FirstSeen
                | Self::LastSeen
                | Self::ValidUntil
                | Self::Reference
                | Self::Group
                | Self::Role
                | Self::Title
        );
        match kind {
            Kind::Indicator => !result_only,
            Kind::TakedownResult => !indicator_only,
            _ => false,
        }
    }
}

/// Columns that a file of rejected rows has in front; they are skipped when it is pushed again.
pub(super) const REJECTION_COLUMNS: [&str; 3] =
    ["rejected_line", "rejected_column", "rejected_reason"];

/// The member of a report in NDJSON that holds a line that is not a JSON object.
pub(super) const REJECTED_TEXT: &str = "rejected_row";

/// Returns how many columns a report of rejected rows has put in front: all of its own in their order, or
/// none. One of these names alone, or elsewhere, is a column of the file's author.
pub(super) fn report_columns<'a>(names: impl IntoIterator<Item = &'a str>) -> usize {
    let mut names = names.into_iter().map(folded);
    let are_in_front = REJECTION_COLUMNS.iter().all(|of| names.next().as_deref() == Some(*of));
    if are_in_front { REJECTION_COLUMNS.len() } else { 0 }
}

/// The user's rules for reading columns.
#[derive(Debug, Clone)]
pub(super) struct ColumnRules {
    pub(super) kind: Kind,
    /// From the column's name, as written, to what it means.
    pub(super) map: HashMap<String, Field>,
    pub(super) ignore_unknown: bool,
    /// The label is the same for all rows, so no column is needed.
    pub(super) tlp_is_given: bool,
}

/// The reason why the columns cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ColumnError {
    #[error("unknown columns: {}", .0.join(", "))]
    Unknown(Vec<String>),
    #[error("columns {first:?} and {second:?} both mean {field}")]
    Duplicate { field: &'static str, first: String, second: String },
    #[error("the file has no column value; found {}", .0.join(", "))]
    NoValue(Vec<String>),
    #[error("the file has no column tlp, and --tlp is not given")]
    NoTlp,
    #[error("--map names column {0:?}, which is not in the file")]
    MappedColumnAbsent(String),
    #[error("the file has {0} columns, at most {COLUMNS_MAX} are read")]
    TooMany(usize),
    #[error("the file is empty")]
    Empty,
}

impl ColumnError {
    /// Returns the remedy.
    pub(super) fn fix(&self) -> String {
        match self {
            Self::Unknown(_) => format!(
                "use --map COLUMN=FIELD or --ignore-unknown; fields: {}",
                Field::ALL.map(Field::name).join(", ")
            ),
            Self::Duplicate { .. } => "rename or remove one of them".into(),
            Self::NoValue(_) => "name the column with --map COLUMN=value".into(),
            Self::NoTlp => "add --tlp clear|green|amber|amber-strict|red".into(),
            Self::MappedColumnAbsent(_) => "compare --map with the file's first line".into(),
            Self::TooMany(_) => {
                "check that the first line separates its names by comma, semicolon or tab".into()
            }
            Self::Empty => "the first line names the columns".into(),
        }
    }
}

/// The meaning of each column; none where it is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    meanings: Vec<Option<Field>>,
    /// Columns that are understood but have no place in this kind.
    pub(super) without_place: Vec<String>,
}

impl Columns {
    /// Settles what the names of a header mean.
    pub(super) fn resolve(names: &[String], rules: &ColumnRules) -> Result<Self, ColumnError> {
        let of_a_report = report_columns(names.iter().map(String::as_str));
        Self::resolve_after(of_a_report, names, rules)
    }

    /// The same where the first names are those of a report of rejected rows and are not read.
    pub(super) fn resolve_after(
        of_a_report: usize,
        names: &[String],
        rules: &ColumnRules,
    ) -> Result<Self, ColumnError> {
        if names.iter().all(|name| name.trim().is_empty()) {
            return Err(ColumnError::Empty);
        }
        if names.len() > COLUMNS_MAX {
            return Err(ColumnError::TooMany(names.len()));
        }
        let (skipped, read) = names.split_at(of_a_report.min(names.len()));
        if let Some(absent) = rules.map.keys().find(|name| !read.contains(name)) {
            return Err(ColumnError::MappedColumnAbsent(absent.clone()));
        }
        let columns = Self::meanings_of(skipped.len(), read, rules)?;
        columns.check_duplicates(names)?;
        if !columns.meanings.contains(&Some(Field::Value)) {
            return Err(ColumnError::NoValue(names.to_vec()));
        }
        if !rules.tlp_is_given && !columns.meanings.contains(&Some(Field::Tlp)) {
            return Err(ColumnError::NoTlp);
        }
        Ok(columns)
    }

    /// Returns the meaning of the column at this position, if it is read.
    pub(super) fn meaning(&self, at: usize) -> Option<Field> {
        self.meanings.get(at).copied().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.meanings.len()
    }

    fn meanings_of(
        skipped: usize,
        names: &[String],
        rules: &ColumnRules,
    ) -> Result<Self, ColumnError> {
        let mut columns = Self { meanings: vec![None; skipped], without_place: Vec::new() };
        let mut unknown = Vec::new();
        for name in names {
            let field = rules.map.get(name).copied().or_else(|| Field::from_name(name));
            match field {
                Some(field) if !field.belongs_to(rules.kind) => {
                    columns.without_place.push(name.clone());
                    columns.meanings.push(None);
                }
                // A cell of a column without a name is refused with its row, unless it is empty.
                None if !name.is_empty() => {
                    unknown.push(name.clone());
                    columns.meanings.push(None);
                }
                field => columns.meanings.push(field),
            }
        }
        if unknown.is_empty() || rules.ignore_unknown {
            Ok(columns)
        } else {
            Err(ColumnError::Unknown(unknown))
        }
    }

    fn check_duplicates(&self, names: &[String]) -> Result<(), ColumnError> {
        let mut seen: HashMap<Field, &String> = HashMap::new();
        for (meaning, second) in self.meanings.iter().zip(names) {
            let Some(field) = meaning else { continue };
            if let Some(first) = seen.insert(*field, second) {
                return Err(ColumnError::Duplicate {
                    field: field.name(),
                    first: first.clone(),
                    second: second.clone(),
                });
            }
        }
        Ok(())
    }
}

/// For `--map COLUMN=FIELD`.
pub(super) fn parse_mapping(text: &str) -> Result<(String, Field), String> {
    let (column, field) =
        text.rsplit_once('=').ok_or_else(|| format!("{text:?} is not COLUMN=FIELD"))?;
    let meaning = Field::from_name(field).ok_or_else(|| {
        format!("{field:?} is not a field; known: {}", Field::ALL.map(Field::name).join(", "))
    })?;
    Ok((column.to_owned(), meaning))
}

fn folded(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace([' ', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(kind: Kind) -> ColumnRules {
        ColumnRules { kind, map: HashMap::new(), ignore_unknown: false, tlp_is_given: true }
    }

    fn names(list: &str) -> Vec<String> {
        list.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn names_and_common_aliases_are_understood_in_any_case() {
        let found = Columns::resolve(
            &names("Indicator,TYPE,Acted At,registrar"),
            &rules(Kind::TakedownResult),
        );
        let columns = found.unwrap();
        assert_eq!(
            columns.meanings,
            [Some(Field::Value), Some(Field::Type), Some(Field::ActedAt), Some(Field::Provider)]
        );
    }

    #[test]
    fn unknown_columns_are_named_and_refused_unless_ignored() {
        let header = names("value,colour,shape");
        let mut rules = rules(Kind::Indicator);
        let error = Columns::resolve(&header, &rules).unwrap_err();
        assert_eq!(error.to_string(), "unknown columns: colour, shape");
        assert!(error.fix().contains("acted_at"));
        rules.ignore_unknown = true;
        assert_eq!(Columns::resolve(&header, &rules).unwrap().meaning(1), None);
    }

    #[test]
    fn a_missing_value_column_and_doubled_meanings_are_refused() {
        let rules = rules(Kind::Indicator);
        assert!(matches!(
            Columns::resolve(&names("type,source"), &rules),
            Err(ColumnError::NoValue(_))
        ));
        assert!(matches!(
            Columns::resolve(&names("value,IOC"), &rules),
            Err(ColumnError::Duplicate { field: "value", .. })
        ));
        assert_eq!(Columns::resolve(&names(""), &rules), Err(ColumnError::Empty));
    }

    #[test]
    fn a_label_comes_from_a_flag_or_a_column() {
        let rules = ColumnRules { tlp_is_given: false, ..rules(Kind::Indicator) };
        assert_eq!(Columns::resolve(&names("value"), &rules), Err(ColumnError::NoTlp));
        assert!(Columns::resolve(&names("value,tlp"), &rules).is_ok());
    }

    #[test]
    fn a_mapping_wins_over_the_name() {
        let mut rules = rules(Kind::Indicator);
        rules.map = HashMap::from([parse_mapping("source=title").unwrap()]);
        let columns = Columns::resolve(&names("value,source"), &rules).unwrap();
        assert_eq!(columns.meaning(1), Some(Field::Title));
        rules.map = HashMap::from([parse_mapping("absent=title").unwrap()]);
        assert!(Columns::resolve(&names("value,source"), &rules).is_err());
    }

    #[test]
    fn a_known_column_without_a_place_in_the_kind_is_reported() {
        let columns =
            Columns::resolve(&names("value,first_seen"), &rules(Kind::TakedownResult)).unwrap();
        assert_eq!(columns.without_place, ["first_seen"]);
    }

    #[test]
    fn a_file_of_rejected_rows_can_be_pushed_again() {
        let header = names("rejected_line,rejected_column,rejected_reason,value,reason");
        let columns = Columns::resolve(&header, &rules(Kind::TakedownResult)).unwrap();
        assert_eq!(columns.meaning(2), None);
        assert_eq!(columns.meaning(4), Some(Field::Reason));
    }

    #[test]
    fn a_column_of_the_author_with_a_name_of_a_report_is_no_part_of_a_report() {
        let mut rules = rules(Kind::TakedownResult);
        let own = names("value,rejected_reason");
        let unknown = ColumnError::Unknown(vec!["rejected_reason".into()]);
        assert_eq!(Columns::resolve(&own, &rules), Err(unknown));
        rules.map = HashMap::from([parse_mapping("rejected_reason=reason").unwrap()]);
        assert_eq!(Columns::resolve(&own, &rules).unwrap().meaning(1), Some(Field::Reason));
        let header = "rejected_line,rejected_column,rejected_reason,value";
        let report = Columns::resolve(&names(&format!("{header},rejected_reason")), &rules);
        let report = report.unwrap();
        assert_eq!((report.meaning(2), report.meaning(4)), (None, Some(Field::Reason)));
        let absent = ColumnError::MappedColumnAbsent("rejected_reason".into());
        assert_eq!(Columns::resolve(&names(header), &rules), Err(absent));
    }
}
