//! The attributes of records and partners that policies may read: a row each, with its value.
//!
//! The entity that Cedar gets, the values that the fast selection tells apart and the keys of examples
//! follow from these rows. Tests hold them against the schema and against the facts.

use super::facts::{Circle, PartnerFacts, RecordFacts};
use crate::ident::{AgencyName, Timestamp};

/// A closed list of words, each with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordList {
    Kind,
    Pap,
    Sector,
    Tlp,
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Flag(bool),
    Number(u8),
    Time(Timestamp),
    Word(WordList, &'static str, u64),
    Text(&'a str),
    Texts(&'a [String]),
    Agency(&'a AgencyName),
    Agencies(&'a [AgencyName]),
    Circles(&'a [Circle]),
    Operation(&'a str),
    Operations(&'a [String]),
}

/// An attribute by its name in the schema.
pub(super) struct Attribute<F: 'static> {
    pub(super) name: &'static str,
    /// Returns its value among these facts, or `None` where the attribute is absent.
    pub(super) value: for<'a> fn(&'a F) -> Option<Value<'a>>,
}

impl<F> Attribute<F> {
    const fn new(name: &'static str, value: for<'a> fn(&'a F) -> Option<Value<'a>>) -> Self {
        Self { name, value }
    }
}

pub(super) static OF_RECORD: [Attribute<RecordFacts>; 20] = [
    Attribute::new("kind", |f| {
        Some(Value::Word(WordList::Kind, f.kind.name(), f.kind.number().into()))
    }),
    Attribute::new("tlp", |f| Some(Value::Word(WordList::Tlp, f.tlp.name(), f.tlp as u64))),
    Attribute::new("pap", |f| Some(Value::Word(WordList::Pap, f.pap.name(), f.pap as u64))),
    Attribute::new("originator", |f| Some(Value::Agency(&f.originator))),
    Attribute::new("labels", |f| Some(Value::Texts(&f.labels))),
    Attribute::new("releasable_to", |f| f.releasable_to.as_deref().map(Value::Agencies)),
    Attribute::new("circles", |f| f.circles.as_deref().map(Value::Circles)),
    Attribute::new("members", |f| Some(Value::Agencies(&f.members))),
    Attribute::new("orcon", |f| Some(Value::Flag(f.orcon))),
    Attribute::new("confidence", |f| Some(Value::Number(f.confidence))),
    Attribute::new("created", |f| Some(Value::Time(f.created_hour))),
    Attribute::new("expires", |f| f.expires_hour.map(Value::Time)),
    Attribute::new("personal_data", |f| Some(Value::Flag(f.personal_data))),
    Attribute::new("jurisdictions", |f| Some(Value::Texts(&f.jurisdictions))),
    Attribute::new("operation", |f| f.operation.as_deref().map(Value::Operation)),
    Attribute::new("caveat", |f| Some(Value::Flag(f.caveat))),
    Attribute::new("foreign", |f| Some(Value::Flag(f.foreign))),
    Attribute::new("no_evidence", |f| Some(Value::Flag(f.no_evidence))),
    Attribute::new("no_notify", |f| Some(Value::Flag(f.no_notify))),
    Attribute::new("no_attribution", |f| Some(Value::Flag(f.no_attribution))),
];

/// The attributes of a partner. Its name, its circles and its tags are other parts of its entity.
pub(super) static OF_PARTNER: [Attribute<PartnerFacts>; 6] = [
    Attribute::new("sector", |f| {
        Some(Value::Word(WordList::Sector, f.sector.name(), f.sector as u64))
    }),
    Attribute::new("country", |f| Some(Value::Text(f.country.as_str()))),
    Attribute::new("client", |f| Some(Value::Flag(f.client))),
    Attribute::new("suspended", |f| Some(Value::Flag(f.suspended))),
    Attribute::new("agreement_until", |f| Some(Value::Time(f.agreement_until.hour()))),
    Attribute::new("operations", |f| Some(Value::Operations(&f.operations))),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::policy::{partner, record};

    /// The attributes that an entity has in the schema, in their order.
    fn declared(entity: &str) -> Vec<&str> {
        let schema = crate::policy::texts::SCHEMA;
        let body = schema.split(entity).nth(1).unwrap().split('}').next().unwrap();
        let lines = body.lines().filter(|line| !line.trim().starts_with("//"));
        lines
            .filter_map(|line| Some(line.trim().split_once(':')?.0.trim_end_matches('?')))
            .collect()
    }

    /// The fields of facts, by how they are printed.
    fn fields(facts: &impl std::fmt::Debug) -> Vec<String> {
        let printed = format!("{facts:#?}");
        let fields = printed.lines().filter_map(|line| line.strip_prefix("    "));
        let names = fields.filter(|line| !line.starts_with([' ', ']', '}', ')']));
        names.map(|line| line.split(':').next().unwrap().trim_end_matches("_hour").into()).collect()
    }

    #[test]
    fn every_attribute_of_the_schema_has_a_row_and_so_has_every_fact() {
        let record_rows = OF_RECORD.each_ref().map(|attribute| attribute.name);
        assert_eq!(declared("entity Record {"), record_rows);
        let mut facts = fields(&record());
        facts.sort_unstable();
        let mut rows = record_rows;
        rows.sort_unstable();
        assert_eq!(facts, rows);
        let partner_rows = OF_PARTNER.each_ref().map(|attribute| attribute.name);
        assert_eq!(declared("entity Partner in [Circle] {"), partner_rows);
        let of_entity = ["agency", "circles", "tags"];
        let facts = fields(&partner());
        let facts: Vec<_> =
            facts.iter().filter(|name| !of_entity.contains(&name.as_str())).collect();
        assert_eq!(facts, partner_rows.iter().collect::<Vec<_>>());
    }
}
