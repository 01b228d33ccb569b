//! Facts as Cedar sees them: names, entities, stores, requests.
//!
//! The constructors here always yield the whole entity: an attribute that is absent by accident
//! would make `has` false without an error. Tests hold them against the schema.

use std::collections::HashSet;
use std::sync::LazyLock;

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression, Schema,
};

use super::attributes::{Attribute, OF_PARTNER, OF_RECORD, Value, WordList};
use super::facts::{FactsError, PartnerFacts, RecordFacts, TAG_VALUES_MAX, circles_of};
use super::policy_hour::PolicyHour;
use crate::ident::AgencyName;
use crate::record::kind::SlotClass;

pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    super::texts::SCHEMA.parse().expect("the schema is a constant; a test parses it")
});

pub(super) static AUTHORIZER: LazyLock<Authorizer> = LazyLock::new(Authorizer::new);

struct TypeNames {
    action: EntityTypeName,
    circle: EntityTypeName,
    kind: EntityTypeName,
    operation: EntityTypeName,
    pap: EntityTypeName,
    partner: EntityTypeName,
    sector: EntityTypeName,
    tlp: EntityTypeName,
    record: EntityUid,
}

static NAMES: LazyLock<TypeNames> = LazyLock::new(|| {
    let name = |text: &str| -> EntityTypeName {
        format!("Liaison::{text}").parse().expect("a constant of identifiers is a type name")
    };
    TypeNames {
        action: name("Action"),
        circle: name("Circle"),
        kind: name("Kind"),
        operation: name("Operation"),
        pap: name("Pap"),
        partner: name("Partner"),
        sector: name("Sector"),
        tlp: name("Tlp"),
        // One name for every record: policy speaks of kinds of records, never of a single one.
        record: uid(&name("Record"), "record"),
    }
});

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

pub(super) fn partner_uid(agency: &AgencyName) -> EntityUid {
    uid(&NAMES.partner, agency.as_str())
}

pub(super) fn circle_uid(circle: &str) -> EntityUid {
    uid(&NAMES.circle, circle)
}

pub(super) fn record_uid() -> &'static EntityUid {
    &NAMES.record
}

/// The actions on which policies decide about a partner and a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Share,
    Forward,
    Accept,
    Reveal(SlotClass),
}

impl Action {
    #[cfg(any(test, feature = "prove"))]
    pub(super) const ALL: [Self; 9] = [
        Self::Share,
        Self::Forward,
        Self::Accept,
        Self::Reveal(SlotClass::Victim),
        Self::Reveal(SlotClass::Reporter),
        Self::Reveal(SlotClass::Source),
        Self::Reveal(SlotClass::Evidence),
        Self::Reveal(SlotClass::Notes),
        Self::Reveal(SlotClass::Links),
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Forward => "forward",
            Self::Accept => "accept",
            // The schema has no such action: asked for, it is denied.
            Self::Reveal(SlotClass::Core) => "reveal:core",
            Self::Reveal(SlotClass::Victim) => "reveal:victim",
            Self::Reveal(SlotClass::Reporter) => "reveal:reporter",
            Self::Reveal(SlotClass::Source) => "reveal:source",
            Self::Reveal(SlotClass::Evidence) => "reveal:evidence",
            Self::Reveal(SlotClass::Notes) => "reveal:notes",
            Self::Reveal(SlotClass::Links) => "reveal:links",
        }
    }

    pub(super) const fn group(self) -> Option<&'static str> {
        match self {
            Self::Share | Self::Forward => Some("release"),
            Self::Accept => None,
            Self::Reveal(_) => Some("reveal"),
        }
    }

    pub(super) fn uid(self) -> EntityUid {
        uid(&NAMES.action, self.name())
    }

    pub(super) fn group_uid(self) -> Option<EntityUid> {
        self.group().map(|group| uid(&NAMES.action, group))
    }

    fn entity(self) -> Entity {
        Entity::new_no_attrs(self.uid(), self.group_uid().into_iter().collect())
    }
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn reference(kind: &EntityTypeName, id: &str) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid(kind, id))
}

fn set<T>(items: &[T], one: impl Fn(&T) -> RestrictedExpression) -> RestrictedExpression {
    RestrictedExpression::new_set(items.iter().map(one))
}

fn expression(value: Value<'_>) -> RestrictedExpression {
    let names = &*NAMES;
    let partner = |agency: &AgencyName| reference(&names.partner, agency.as_str());
    let operation = |name: &str| reference(&names.operation, name);
    match value {
        Value::Flag(flag) => RestrictedExpression::new_bool(flag),
        Value::Number(number) => RestrictedExpression::new_long(number.into()),
        Value::Time(time) => RestrictedExpression::new_datetime(time.to_string()),
        Value::Word(WordList::Kind, word, _) => reference(&names.kind, word),
        Value::Word(WordList::Pap, word, _) => reference(&names.pap, word),
        Value::Word(WordList::Sector, word, _) => reference(&names.sector, word),
        Value::Word(WordList::Tlp, word, _) => reference(&names.tlp, word),
        Value::Text(word) => text(word),
        Value::Texts(list) => set(list, |word| text(word)),
        Value::Agency(agency) => partner(agency),
        Value::Agencies(list) => set(list, partner),
        Value::Circles(list) => set(list, |circle| reference(&names.circle, &circle.to_string())),
        Value::Operation(name) => operation(name),
        Value::Operations(list) => set(list, |name| operation(name)),
    }
}

/// The attributes that are there among these facts.
fn present<'a, F: 'static>(
    attributes: &'static [Attribute<F>],
    facts: &'a F,
) -> impl Iterator<Item = (String, RestrictedExpression)> + use<'a, F> {
    attributes.iter().filter_map(move |attribute| {
        Some((attribute.name.to_owned(), expression((attribute.value)(facts)?)))
    })
}

/// The record as Cedar sees it, whole.
pub(super) fn record_entity(facts: &RecordFacts) -> Result<Entity, FactsError> {
    Entity::new_with_tags(NAMES.record.clone(), present(&OF_RECORD, facts), [], [])
        .map_err(|error| FactsError::Entity { what: "record", reason: error.to_string() })
}

/// The partner as Cedar sees it, whole. A circle of this agency has two names: the one that policies use,
/// and the one that its own markings have in facts of records.
pub(super) fn partner_entity(own: &AgencyName, facts: &PartnerFacts) -> Result<Entity, FactsError> {
    let PartnerFacts { agency, circles, tags, .. } = facts;
    if let Some((tag, values)) = tags.iter().find(|(_, values)| values.len() > TAG_VALUES_MAX) {
        let reason = format!(
            "tag {tag:?} has {} values and at most {TAG_VALUES_MAX} are allowed",
            values.len()
        );
        return Err(FactsError::Entity { what: "partner", reason });
    }
    let qualified = circles_of(own, circles).into_iter().map(|circle| circle.to_string());
    let named = circles.iter().cloned().chain(qualified);
    let parents: HashSet<_> = named.map(|circle| circle_uid(&circle)).collect();
    Entity::new_with_tags(
        partner_uid(agency),
        present(&OF_PARTNER, facts),
        parents,
        tags.iter().map(|(tag, values)| (tag.clone(), set(values, |value| text(value)))),
    )
    .map_err(|error| FactsError::Entity { what: "partner", reason: error.to_string() })
}

/// A store of this one partner and these actions, checked against the schema here and never again.
pub(super) fn partner_store(
    own: &AgencyName,
    facts: &PartnerFacts,
    actions: impl IntoIterator<Item = Action>,
) -> Result<Entities, FactsError> {
    let fault = |error: cedar_policy::entities_errors::EntitiesError| FactsError::Entity {
        what: "partner",
        reason: error.to_string(),
    };
    let partner = partner_entity(own, facts)?;
    Entities::from_entities([partner.clone()], Some(&SCHEMA)).map_err(fault)?;
    let entities = std::iter::once(partner).chain(actions.into_iter().map(Action::entity));
    Entities::from_entities(entities, None).map_err(fault)
}

/// The store with the record in it. Not checked against the schema again: that would be half of
/// the cost of a decision.
pub(super) fn with_record(base: &Entities, facts: &RecordFacts) -> Result<Entities, FactsError> {
    let record = record_entity(facts)?;
    let fault = |reason: String| FactsError::Entity { what: "record", reason };
    let store = base.clone().add_entities([record], None).map_err(|e| fault(e.to_string()))?;
    match store.get(record_uid()) {
        Some(_) => Ok(store),
        None => Err(fault("the record is not in the store".to_owned())),
    }
}

pub(super) fn request(
    partner: &EntityUid,
    action: Action,
    policy_hour: &PolicyHour,
) -> Result<Request, FactsError> {
    request_in(partner, action, policy_hour.context())
}

/// The same about something that does not depend on the hour where `context` has none.
pub(super) fn request_in(
    partner: &EntityUid,
    action: Action,
    context: &Context,
) -> Result<Request, FactsError> {
    let resource = record_uid().clone();
    Request::new(partner.clone(), action.uid(), resource, context.clone(), None)
        .map_err(|e| FactsError::Request { action: action.name(), reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::policy::{OWN, agency, any_partner, any_record, partner};
    use proptest::prelude::*;

    #[test]
    fn the_schema_and_its_actions_are_those_of_the_code() {
        let mut actions: Vec<_> = Action::ALL.iter().map(|action| action.uid()).collect();
        actions.extend(["release", "reveal"].map(|group| uid(&NAMES.action, group)));
        let mut declared: Vec<_> = SCHEMA.actions().cloned().collect();
        actions.sort();
        declared.sort();
        assert_eq!(actions, declared);
    }

    #[test]
    fn the_actions_of_a_store_are_those_of_the_schema() {
        let declared = SCHEMA.action_entities().unwrap();
        for action in Action::ALL {
            let uid = action.uid();
            assert!(declared.get(&uid).unwrap().deep_eq(&action.entity()), "{uid}");
        }
    }

    #[test]
    fn a_tag_has_as_many_values_as_the_bound_and_no_more() {
        let tagged = |count: usize| {
            let values = (0..count).map(|n| n.to_string()).collect();
            let tags = [("t".to_owned(), values)].into();
            partner_entity(&agency(OWN), &PartnerFacts { tags, ..partner() })
        };
        assert!(tagged(TAG_VALUES_MAX).is_ok());
        let refused = tagged(TAG_VALUES_MAX + 1).unwrap_err().to_string();
        assert!(
            refused.contains("tag \"t\" has 257 values and at most 256 are allowed"),
            "{refused}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn any_facts_make_entities_of_the_schema(record in any_record(), partner in any_partner()) {
            let entities = [record_entity(&record).unwrap(), partner_entity(&agency(OWN), &partner).unwrap()];
            let checked = Entities::from_entities(entities, Some(&SCHEMA));
            prop_assert!(checked.is_ok(), "{:?}", checked.err());
            let policy_hour = PolicyHour::at(record.created_hour);
            for action in Action::ALL {
                let checked = Request::new(
                    partner_uid(&partner.agency),
                    action.uid(),
                    record_uid().clone(),
                    policy_hour.context().clone(),
                    Some(&SCHEMA),
                );
                prop_assert!(checked.is_ok(), "{:?}", checked.err());
            }
        }

        #[test]
        fn absent_and_empty_lists_stay_apart(record in any_record()) {
            let entity = record_entity(&record).unwrap();
            prop_assert_eq!(entity.attr("releasable_to").is_some(), record.releasable_to.is_some());
            prop_assert_eq!(entity.attr("circles").is_some(), record.circles.is_some());
            prop_assert_eq!(entity.attr("expires").is_some(), record.expires_hour.is_some());
            prop_assert_eq!(entity.attr("operation").is_some(), record.operation.is_some());
        }
    }
}
