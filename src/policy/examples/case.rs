//! One example as its file states it: what is given, what is asked, what is expected.

use std::collections::BTreeSet;

use toml::de::DeTable;

use super::given::{DEFAULT_ORIGINATOR, DEFAULT_OWN, Given, Presets, constant};
use super::reader::{Reader, Value, offer};
use crate::ident::{AgencyName, Timestamp};
use crate::policy::bundle::Statement;
use crate::policy::facts::{PartnerFacts, RecordFacts};
use crate::policy::finding::{Finding, Place};
use crate::record::kind::{ClassSet, SlotClass};

/// Longest name of an example: a sentence.
pub const NAME_BYTES_MAX: usize = 160;

const FILE_KEYS: [&str; 5] = ["own", "given", "partners", "records", "case"];
const CASE_KEYS: [&str; 4] = ["name", "given", "when", "expect"];
const EXPECT_KEYS: [&str; 4] = ["decision", "because", "revealed", "hidden"];

/// The question of an example to the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// May our own record go to the partner?
    Share,
    /// May the record of another originator go to the partner?
    Forward,
    /// May the partner send us the record?
    Accept,
}

impl Question {
    const ALL: [Self; 3] = [Self::Share, Self::Forward, Self::Accept];

    const fn name(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Forward => "forward",
            Self::Accept => "accept",
        }
    }
}

const DECISIONS: [bool; 2] = [true, false];

const fn decision_name(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}

/// The decision that an example expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) allowed: bool,
    /// The deciding policies, no more and no fewer, sorted. Not compared when absent.
    pub(super) because: Option<Vec<String>>,
    /// The sensitive classes that go with the record, no more and no fewer.
    pub(super) revealed: Option<ClassSet>,
    /// Classes that must not go with it.
    pub(super) hidden: ClassSet,
}

impl Expected {
    pub(super) const fn decision(&self) -> &'static str {
        decision_name(self.allowed)
    }

    /// Returns true if the verdict on this class is compared.
    pub(super) const fn compares(&self, class: SlotClass) -> bool {
        self.revealed.is_some() || self.hidden.contains(class)
    }
}

/// One example, understood.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) own: AgencyName,
    pub(super) hour: Timestamp,
    pub(super) partner: PartnerFacts,
    pub(super) record: RecordFacts,
    pub(super) question: Question,
    pub(super) expected: Expected,
}

impl Case {
    /// Returns findings on expected policies that cannot decide so: such an example always fails.
    pub(super) fn impossible(&self, statements: &[Statement]) -> Vec<Finding> {
        let mut found = Vec::new();
        for id in self.expected.because.iter().flatten() {
            let decides = match statements.iter().find(|statement| *statement.id == **id) {
                None => {
                    let own = statements.iter().filter(|statement| !statement.is_guardrail());
                    let known: Vec<_> = own.map(|statement| &*statement.id).collect();
                    let message = format!("the bundle has no policy {id:?}");
                    found.push(Finding::at(&self.place, message).with_help(offer(id, &known)));
                    continue;
                }
                Some(statement) => statement.permits == self.expected.allowed,
            };
            if !decides {
                let (kind, decision) =
                    if self.expected.allowed { ("forbid", "allow") } else { ("permit", "deny") };
                let message =
                    format!("{id:?} is a {kind}: it is never why a decision is {decision}");
                found.push(Finding::at(&self.place, message));
            }
        }
        found
    }
}

/// The examples of a file, and what was found wrong with it.
pub(super) fn read(file: &str, text: &str) -> (Vec<Case>, Vec<Finding>) {
    let mut reader = Reader::new(file, text);
    let cases = reader.document().map(|document| cases(&mut reader, &document));
    (cases.unwrap_or_default(), reader.found)
}

fn cases<'a>(reader: &mut Reader<'a>, document: &DeTable<'a>) -> Vec<Case> {
    let presets = Presets::read(reader, document);
    let mut own: AgencyName = constant(DEFAULT_OWN);
    let mut common = Given::default();
    let mut tables = Vec::new();
    for (key, value) in document {
        let name = key.get_ref().as_ref();
        match name {
            "own" => own = reader.parsed(name, value).unwrap_or(own),
            "given" => {
                if let Some(table) = reader.table(name, value) {
                    presets.apply(reader, &mut common, table);
                }
            }
            "case" => match value.get_ref().as_array() {
                Some(items) => tables.extend(items.iter()),
                None => reader.refuse(key.span(), "an example starts with [[case]]", None),
            },
            "partners" | "records" => {}
            _ => reader.unknown(key, "a file of examples", &FILE_KEYS),
        }
    }
    if tables.is_empty() {
        let help = "an example starts with [[case]]".to_owned();
        reader.refuse(0..0, "there is no example in this file", Some(help));
    }
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for value in tables {
        if let Some(table) = reader.table("case", value) {
            let draft = Draft { own: &own, common: &common, presets: &presets };
            let case = draft.case(reader, value, table);
            if let Some(case) = case {
                if !names.insert(case.name.clone()) {
                    let message = format!("there are two examples named {:?}", case.name);
                    reader.refuse(value.span(), message, None);
                }
                found.push(case);
            }
        }
    }
    found
}

/// The parts that the examples of a file have in common.
struct Draft<'d, 'a> {
    own: &'d AgencyName,
    common: &'d Given,
    presets: &'d Presets<'d, 'a>,
}

impl<'a> Draft<'_, 'a> {
    fn case(&self, reader: &mut Reader<'a>, at: &Value<'a>, table: &DeTable<'a>) -> Option<Case> {
        let mut given = self.common.clone();
        let (mut name, mut question, mut expect) = (None, Some(Question::Share), None);
        for (key, value) in table {
            let word = key.get_ref().as_ref();
            match word {
                "name" => name = self.name(reader, value),
                "given" => {
                    if let Some(table) = reader.table(word, value) {
                        self.presets.apply(reader, &mut given, table);
                    }
                }
                "when" => question = reader.word(word, value, &Question::ALL, Question::name),
                "expect" => expect = Some(value),
                _ => reader.unknown(key, "a case", &CASE_KEYS),
            }
        }
        for (word, absent) in [("name", !has(table, "name")), ("expect", !has(table, "expect"))] {
            if absent {
                reader.refuse(at.span(), format!("this case has no {word}"), None);
            }
        }
        let question = question?;
        let expected = expected(reader, question, expect?);
        let record = self.record(reader, question, &given, at)?;
        Some(Case {
            name: name?,
            place: reader.place(at.span()),
            own: self.own.clone(),
            hour: given.hour,
            partner: given.partner,
            record,
            question,
            expected: expected?,
        })
    }

    fn name(&self, reader: &mut Reader<'a>, value: &Value<'a>) -> Option<String> {
        let name = reader.text("name", value)?;
        if name.len() > NAME_BYTES_MAX {
            let message = format!("name has at most {NAME_BYTES_MAX} bytes");
            reader.refuse(value.span(), message, None);
            return None;
        }
        Some(name.to_owned())
    }

    /// Reads the record. The node itself picks share or forward by who signed, so an example for
    /// the other action would show what never happens.
    fn record(
        &self,
        reader: &mut Reader<'a>,
        question: Question,
        given: &Given,
        at: &Value<'a>,
    ) -> Option<RecordFacts> {
        let otherwise = match question {
            Question::Share => self.own.clone(),
            Question::Forward => constant(DEFAULT_ORIGINATOR),
            Question::Accept => given.partner.agency.clone(),
        };
        let record = given.record(otherwise);
        let ours = record.originator == *self.own;
        let (message, help) = match question {
            Question::Share if !ours => (
                format!(
                    "{} signed this record and {} does not share it",
                    record.originator, self.own
                ),
                "ask when = \"forward\", or leave originator out",
            ),
            Question::Forward if ours => (
                format!("{} signed this record itself and does not forward it", self.own),
                "ask when = \"share\", or name another originator",
            ),
            _ => return Some(record),
        };
        // A record signed by its file's own `given` is told of at the case that it does not fit.
        reader.refuse(at.span(), message, Some(help.to_owned()));
        None
    }
}

fn has(table: &DeTable<'_>, key: &str) -> bool {
    table.iter().any(|(name, _)| name.get_ref() == key)
}

/// Reads the expected decision: `"allow"`, `"deny"`, or a table with details.
fn expected<'a>(
    reader: &mut Reader<'a>,
    question: Question,
    value: &Value<'a>,
) -> Option<Expected> {
    let before = reader.found.len();
    let bare = Expected { allowed: false, because: None, revealed: None, hidden: ClassSet::EMPTY };
    if value.get_ref().as_str().is_some() {
        let allowed = reader.word("decision", value, &DECISIONS, decision_name)?;
        return Some(Expected { allowed, ..bare });
    }
    let mut expected = bare;
    let table = reader.table("expect", value)?;
    if !has(table, "decision") {
        let help = "write decision = \"allow\" or decision = \"deny\"".to_owned();
        reader.refuse(value.span(), "expect has no decision", Some(help));
    }
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        match name {
            "decision" => {
                let allowed = reader.word(name, value, &DECISIONS, decision_name);
                expected.allowed = allowed.unwrap_or_default();
            }
            "because" => expected.because = reader.texts(name, value),
            "revealed" => expected.revealed = classes(reader, name, value),
            "hidden" => expected.hidden = classes(reader, name, value).unwrap_or_default(),
            _ => reader.unknown(key, "expect", &EXPECT_KEYS),
        }
    }
    if reader.found.len() > before {
        return None;
    }
    let named = |key| table.iter().find(|(name, _)| name.get_ref() == key);
    for (key, _) in ["revealed", "hidden"].into_iter().filter_map(named) {
        let message = match (question, expected.allowed) {
            (Question::Accept, _) => "fields are revealed to a partner, not by one",
            (_, false) => "where the record does not go, no field does",
            (_, true) => continue,
        };
        reader.refuse(key.span(), message, Some(format!("leave {} out", key.get_ref())));
    }
    if let Some(revealed) = expected.revealed
        && let Some(class) = revealed.intersection(expected.hidden).iter().next()
    {
        let message = format!("{} can't be both revealed and hidden", class.name());
        reader.refuse(value.span(), message, None);
    }
    if let (Some((key, _)), true, Some([])) =
        (named("because"), expected.allowed, expected.because.as_deref())
    {
        reader.refuse(key.span(), "nothing is allowed without a permit", None);
    }
    (reader.found.len() == before).then_some(expected)
}

/// `core` is not among them: it goes with the record.
fn classes<'a>(reader: &mut Reader<'a>, key: &str, value: &Value<'a>) -> Option<ClassSet> {
    let class = |reader: &mut Reader<'a>, key: &str, item: &Value<'a>| {
        reader.word(
            &format!("class that may be {key}"),
            item,
            &SlotClass::SENSITIVE,
            SlotClass::name,
        )
    };
    reader.list(key, value, class).map(|classes| classes.into_iter().collect())
}
