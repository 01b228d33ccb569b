//! The facts of an example: its own, over those of its file, over the defaults.
//!
//! Keys are the attributes of the policy schema by the same names; a test shows that each is read.
//! A default restricts nothing, so that a denial comes from what the example says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use toml::de::DeTable;

use super::reader::{Reader, Value};
use crate::ident::{AgencyName, Timestamp};
use crate::policy::attributes::{OF_PARTNER, OF_RECORD};
use crate::policy::consents::{consented, with_members};
use crate::policy::facts::{Country, PartnerFacts, RecordFacts, Sector, circles_of};
use crate::record::kind::Kind;
use crate::record::marking::{Pap, Tlp};

/// The agency of the node, where a file does not say `own`.
pub const DEFAULT_OWN: &str = "own.example";
/// The partner's name, where an example gives none.
pub const DEFAULT_PARTNER: &str = "partner.example";
/// The originator of a record that is forwarded, where an example does not give one.
pub const DEFAULT_ORIGINATOR: &str = "originator.example";
/// The hour, where an example gives none: examples do not change with the calendar.
pub const DEFAULT_HOUR: &str = "2026-01-01T00:00:00Z";

const DEFAULT_AGREEMENT_UNTIL: &str = "2099-12-31";
const DEFAULT_CONFIDENCE: u8 = 50;

/// The keys of a partner: its attributes, and the other parts of its entity.
pub(super) static PARTNER_KEYS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let attributes = OF_PARTNER.iter().map(|attribute| attribute.name);
    ["agency", "circles", "tags"].into_iter().chain(attributes).collect()
});
/// The keys of a record: its attributes without the members of its circles, which come from the roster
/// that is given beside the record.
pub(super) static RECORD_KEYS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let attributes = OF_RECORD.iter().map(|attribute| attribute.name);
    attributes.filter(|name| *name != "members").collect()
});
pub(super) const GIVEN_KEYS: [&str; 5] = ["partner", "record", "hour", "consents", "roster"];
/// The key that names the preset from which a table starts.
const LIKE: &str = "like";

/// Facts as far as they are given.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) hour: Timestamp,
    pub(super) partner: PartnerFacts,
    record: RecordFacts,
    originator: Option<AgencyName>,
    created: Option<Timestamp>,
    /// Names of the circles of the record's originator that the record is marked for.
    circles: Option<Vec<String>>,
    /// Members of these circles by the roster of the originator.
    roster: Vec<AgencyName>,
    /// The agencies to which the record's originator consents that it is passed on.
    consents: Vec<AgencyName>,
}

impl Default for Given {
    fn default() -> Self {
        let hour: Timestamp = constant(DEFAULT_HOUR);
        let partner = PartnerFacts {
            agency: constant(DEFAULT_PARTNER),
            sector: Sector::Other,
            country: Country::NONE,
            client: false,
            suspended: false,
            agreement_until: constant(DEFAULT_AGREEMENT_UNTIL),
            circles: vec![],
            operations: vec![],
            tags: BTreeMap::new(),
        };
        let record = RecordFacts {
            kind: Kind::Indicator,
            tlp: Tlp::Clear,
            pap: Pap::Clear,
            originator: constant(DEFAULT_OWN),
            labels: vec![],
            releasable_to: None,
            circles: None,
            members: vec![],
            orcon: false,
            confidence: DEFAULT_CONFIDENCE,
            created_hour: hour,
            expires_hour: None,
            personal_data: false,
            jurisdictions: vec![],
            operation: None,
            caveat: false,
            foreign: false,
            no_evidence: false,
            no_notify: false,
            no_attribution: false,
        };
        Self {
            hour,
            partner,
            record,
            originator: None,
            created: None,
            circles: None,
            roster: Vec::new(),
            consents: Vec::new(),
        }
    }
}

/// For the defaults above.
pub(super) fn constant<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a default is a constant; a test parses it")
}

impl Given {
    /// The record, signed by whom the example names or else by `otherwise`, with what its
    /// originator consents to.
    pub(super) fn record(&self, otherwise: AgencyName) -> RecordFacts {
        let originator = self.originator.clone().unwrap_or(otherwise);
        let facts = RecordFacts {
            circles: self.circles.as_deref().map(|names| circles_of(&originator, names)),
            originator,
            created_hour: self.created.unwrap_or(self.hour).hour(),
            ..self.record.clone()
        };
        let facts = consented(facts, self.consents.iter().cloned());
        with_members(facts, self.roster.iter().cloned())
    }
}

/// The named partners and records of a file.
#[derive(Default)]
pub(super) struct Presets<'t, 'a> {
    partners: BTreeMap<&'t str, &'t DeTable<'a>>,
    records: BTreeMap<&'t str, &'t DeTable<'a>>,
}

impl<'t, 'a> Presets<'t, 'a> {
    pub(super) fn read(reader: &mut Reader<'a>, document: &'t DeTable<'a>) -> Self {
        let mut presets = Self::default();
        for (key, value) in document {
            let named = match key.get_ref().as_ref() {
                "partners" => &mut presets.partners,
                "records" => &mut presets.records,
                _ => continue,
            };
            for (name, value) in reader.table(key.get_ref(), value).into_iter().flatten() {
                if let Some(table) = reader.table(name.get_ref(), value) {
                    named.insert(name.get_ref(), table);
                }
            }
        }
        // What is wrong with one is said once, here, and not at each use.
        for table in presets.partners.values() {
            alone(reader, table);
            partner_facts(reader, &mut Given::default().partner, table);
        }
        for table in presets.records.values() {
            alone(reader, table);
            record_facts(reader, &mut Given::default(), table);
        }
        presets
    }

    /// Puts the facts of a `given` table over those that are there.
    pub(super) fn apply(&self, reader: &mut Reader<'a>, given: &mut Given, table: &DeTable<'a>) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match name {
                "hour" => set(&mut given.hour, reader.time(name, value)),
                "partner" => self.partner(reader, &mut given.partner, value),
                "record" => self.record(reader, given, value),
                "consents" => {
                    let named = reader.list(name, value, Reader::parsed::<AgencyName>);
                    set(&mut given.consents, named);
                }
                "roster" => {
                    let named = reader.list(name, value, Reader::parsed::<AgencyName>);
                    set(&mut given.roster, named);
                }
                _ => reader.unknown(key, "given", &GIVEN_KEYS),
            }
        }
    }

    fn partner(&self, reader: &mut Reader<'a>, facts: &mut PartnerFacts, value: &Value<'a>) {
        let Some((name, table)) = named_or_table(reader, "partner", value) else { return };
        if let Some((name, at)) = name {
            match self.partners.get(name) {
                Some(table) => partner_facts(&mut reader.muted(), facts, table),
                None => unnamed(reader, "partners", name, &self.partners, at),
            }
        }
        if let Some(table) = table {
            partner_facts(reader, facts, table);
        }
    }

    fn record(&self, reader: &mut Reader<'a>, given: &mut Given, value: &Value<'a>) {
        let Some((name, table)) = named_or_table(reader, "record", value) else { return };
        if let Some((name, at)) = name {
            match self.records.get(name) {
                Some(table) => record_facts(&mut reader.muted(), given, table),
                None => unnamed(reader, "records", name, &self.records, at),
            }
        }
        if let Some(table) = table {
            record_facts(reader, given, table);
        }
    }
}

type Named<'t, 'a> = (&'t str, &'t Value<'a>);

/// `"name"`, or a table that may say which named one it is like.
fn named_or_table<'t, 'a>(
    reader: &mut Reader<'a>,
    key: &str,
    value: &'t Value<'a>,
) -> Option<(Option<Named<'t, 'a>>, Option<&'t DeTable<'a>>)> {
    if let Some(name) = value.get_ref().as_str() {
        return Some((Some((name, value)), None));
    }
    let table = reader.table(key, value)?;
    let like = table.iter().find(|(key, _)| key.get_ref() == LIKE).map(|(_, value)| value);
    let name = like.and_then(|value| Some((reader.text(LIKE, value)?, value)));
    Some((name, Some(table)))
}

/// A named one starts from no other, so that there is one place to look.
fn alone(reader: &mut Reader<'_>, table: &DeTable<'_>) {
    if let Some((key, _)) = table.iter().find(|(key, _)| key.get_ref() == LIKE) {
        let message = "a named partner or record is like no other";
        reader.refuse(key.span(), message, Some("write its facts in full".to_owned()));
    }
}

fn partner_facts<'a>(reader: &mut Reader<'a>, facts: &mut PartnerFacts, table: &DeTable<'a>) {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        match name {
            LIKE => {}
            "agency" => set(&mut facts.agency, reader.parsed(name, value)),
            "sector" => {
                set(&mut facts.sector, reader.word(name, value, &Sector::ALL, Sector::name));
            }
            "country" => set(&mut facts.country, reader.parsed(name, value)),
            "client" => set(&mut facts.client, reader.flag(name, value)),
            "suspended" => set(&mut facts.suspended, reader.flag(name, value)),
            "agreement_until" => set(&mut facts.agreement_until, reader.time(name, value)),
            "circles" => set(&mut facts.circles, reader.texts(name, value)),
            "operations" => set(&mut facts.operations, reader.texts(name, value)),
            "tags" => {
                for (tag, values) in reader.table(name, value).into_iter().flatten() {
                    if let Some(values) = reader.texts(tag.get_ref(), values) {
                        facts.tags.insert(tag.get_ref().to_string(), values);
                    }
                }
            }
            _ => reader.unknown(key, "a partner", &PARTNER_KEYS),
        }
    }
}

fn record_facts<'a>(reader: &mut Reader<'a>, given: &mut Given, table: &DeTable<'a>) {
    let facts = &mut given.record;
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        match name {
            LIKE => {}
            "kind" => set(&mut facts.kind, reader.word(name, value, &Kind::ALL, Kind::name)),
            "tlp" => set(&mut facts.tlp, reader.word(name, value, &Tlp::ALL, Tlp::name)),
            "pap" => set(&mut facts.pap, reader.word(name, value, &Pap::ALL, Pap::name)),
            "originator" => given.originator = reader.parsed(name, value),
            "labels" => set(&mut facts.labels, reader.texts(name, value)),
            "releasable_to" => {
                facts.releasable_to = reader.list(name, value, Reader::parsed::<AgencyName>);
            }
            "circles" => given.circles = reader.texts(name, value),
            "orcon" => set(&mut facts.orcon, reader.flag(name, value)),
            "confidence" => set(&mut facts.confidence, reader.number(name, value, 100)),
            "created" => given.created = reader.time(name, value),
            "expires" => facts.expires_hour = reader.time(name, value).map(Timestamp::hour),
            "personal_data" => set(&mut facts.personal_data, reader.flag(name, value)),
            "jurisdictions" => {
                let countries = reader.list(name, value, Reader::parsed::<Country>);
                let names = |list: Vec<Country>| list.iter().map(Country::to_string).collect();
                set(&mut facts.jurisdictions, countries.map(names));
            }
            "operation" => facts.operation = reader.text(name, value).map(str::to_owned),
            "caveat" => set(&mut facts.caveat, reader.flag(name, value)),
            "foreign" => set(&mut facts.foreign, reader.flag(name, value)),
            "no_evidence" => set(&mut facts.no_evidence, reader.flag(name, value)),
            "no_notify" => set(&mut facts.no_notify, reader.flag(name, value)),
            "no_attribution" => set(&mut facts.no_attribution, reader.flag(name, value)),
            _ => reader.unknown(key, "a record", &RECORD_KEYS),
        }
    }
}

fn set<T>(fact: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *fact = given;
    }
}

fn unnamed(
    reader: &mut Reader<'_>,
    among: &str,
    name: &str,
    known: &BTreeMap<&str, &DeTable<'_>>,
    at: &Value<'_>,
) {
    let known: Vec<_> = known.keys().copied().collect();
    let help = if known.is_empty() {
        format!("write [{among}.{name}] at the top of this file")
    } else {
        super::reader::offer(name, &known)
    };
    reader.refuse(at.span(), format!("[{among}.{name}] does not exist"), Some(help));
}
