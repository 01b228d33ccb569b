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

use super::facts::{Circle, FactsError, PartnerFacts, RecordFacts, TAG_VALUES_MAX, circles_of};
use super::policy_hour::PolicyHour;
use crate::ident::{AgencyName, Timestamp};
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

fn datetime(time: Timestamp) -> RestrictedExpression {
    RestrictedExpression::new_datetime(time.to_string())
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

/// The record as Cedar sees it, whole.
pub(super) fn record_entity(facts: &RecordFacts) -> Result<Entity, FactsError> {
    // Destructured without `..`: a new fact breaks the build here.
    let RecordFacts {
        kind,
        tlp,
        pap,
        originator,
        labels,
        releasable_to,
        circles,
        members,
        orcon,
        confidence,
        created_hour,
        expires_hour,
        personal_data,
        jurisdictions,
        operation,
        caveat,
        foreign,
        no_evidence,
        no_notify,
        no_attribution,
    } = facts;
    let names = &*NAMES;
    let flag = RestrictedExpression::new_bool;
    let partner = |agency: &AgencyName| reference(&names.partner, agency.as_str());
    let circle = |circle: &Circle| reference(&names.circle, &circle.to_string());
    let required = [
        ("kind", reference(&names.kind, kind.name())),
        ("tlp", reference(&names.tlp, tlp.name())),
        ("pap", reference(&names.pap, pap.name())),
        ("originator", partner(originator)),
        ("labels", set(labels, |label| text(label))),
        ("members", set(members, partner)),
        ("orcon", flag(*orcon)),
        ("confidence", RestrictedExpression::new_long(i64::from(*confidence))),
        ("created", datetime(*created_hour)),
        ("personal_data", flag(*personal_data)),
        ("jurisdictions", set(jurisdictions, |country| text(country))),
        ("caveat", flag(*caveat)),
        ("foreign", flag(*foreign)),
        ("no_evidence", flag(*no_evidence)),
        ("no_notify", flag(*no_notify)),
        ("no_attribution", flag(*no_attribution)),
    ];
    let optional = [
        ("releasable_to", releasable_to.as_ref().map(|list| set(list, partner))),
        ("circles", circles.as_ref().map(|list| set(list, circle))),
        ("expires", expires_hour.map(datetime)),
        ("operation", operation.as_ref().map(|op| reference(&names.operation, op))),
    ];
    let present = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let attributes = required.into_iter().chain(present).map(|(name, v)| (name.to_owned(), v));
    Entity::new_with_tags(names.record.clone(), attributes, [], [])
        .map_err(|error| FactsError::Entity { what: "record", reason: error.to_string() })
}

/// The partner as Cedar sees it, whole. A circle of this agency has two names: the one that policies use,
/// and the one that its own markings have in facts of records.
pub(super) fn partner_entity(own: &AgencyName, facts: &PartnerFacts) -> Result<Entity, FactsError> {
    let PartnerFacts {
        agency,
        sector,
        country,
        client,
        suspended,
        agreement_until,
        circles,
        operations,
        tags,
    } = facts;
    let names = &*NAMES;
    let attributes = [
        ("sector", reference(&names.sector, sector.name())),
        ("country", text(country.as_str())),
        ("client", RestrictedExpression::new_bool(*client)),
        ("suspended", RestrictedExpression::new_bool(*suspended)),
        ("agreement_until", datetime(agreement_until.hour())),
        ("operations", set(operations, |operation| reference(&names.operation, operation))),
    ];
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
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)),
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
