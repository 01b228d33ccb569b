//! Content that is personal data by its kind or by the type of its value.
//!
//! A marking declares personal data, and forms are forgotten: a person's name, telephone number or
//! account is personal data whether or not somebody ticked a box. A draft with such content is taken
//! only if its marking declares personal data or states that it is not a person's. A received record
//! that does neither is refused where its open slots show it, and policy treats a subject without either
//! as personal data: a header shows the kind and nothing of the slots.

use super::content::Content;
use super::draft_error::DraftError;
use super::kind::Kind;
use super::marking::Marking;
use crate::pb;
use crate::value::ValueType;
use std::fmt;

/// The ground on which content is personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PersonalGround {
    /// A subject that is a person or an account, that has a date of birth, or that is of no type.
    Subject,
    /// The value is of a type that names or reaches a person.
    Value(ValueType),
}

impl fmt::Display for PersonalGround {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => f.write_str("a subject that is a person or an account"),
            Self::Value(value_type) => write!(f, "a value of type {value_type}"),
        }
    }
}

/// Returns the ground on which a value of this type is personal data: by it a person is named or
/// reached. Addresses of machines, hashes and crypto addresses are not: only what is known besides
/// leads from them to a person, and then the draft declares it.
pub const fn of_value(value_type: ValueType) -> Option<PersonalGround> {
    match value_type {
        ValueType::Email
        | ValueType::Phone
        | ValueType::BankAccount
        | ValueType::PaymentHandle
        | ValueType::MessagingHandle
        | ValueType::SocialHandle => Some(PersonalGround::Value(value_type)),
        ValueType::Domain
        | ValueType::Url
        | ValueType::Ip
        | ValueType::Cidr
        | ValueType::Asn
        | ValueType::FileHash
        | ValueType::Certificate
        | ValueType::CryptoAddress
        | ValueType::RemoteAccessId
        | ValueType::AppId
        | ValueType::UserAgent
        | ValueType::AdAccount
        | ValueType::SmsSender => None,
    }
}

/// Returns the ground on which content is personal data by its kind or type; `None` if it is not.
/// Free text is not read.
pub fn of_content(content: &Content) -> Option<PersonalGround> {
    let value = |number: i32| {
        let number = u32::try_from(number).ok()?;
        of_value(ValueType::from_number(number).ok()?)
    };
    match content {
        Content::Indicator(m) => value(m.r#type),
        Content::TakedownRequest(m) => value(m.r#type),
        Content::TakedownResult(m) => value(m.r#type),
        Content::Sighting(m) => value(m.r#type),
        Content::Subject(m) => {
            let is_thing = matches!(
                m.r#type(),
                pb::SubjectType::Organisation | pb::SubjectType::Device | pb::SubjectType::Place
            );
            (!is_thing || !m.date_of_birth.is_empty()).then_some(PersonalGround::Subject)
        }
        Content::Case(_)
        | Content::CaseAction(_)
        | Content::Evidence(_)
        | Content::Opinion(_)
        | Content::Relationship(_)
        | Content::Note(_)
        | Content::InformationRequest(_)
        | Content::InformationResponse(_)
        | Content::Withdrawal(_) => None,
    }
}

/// Completes the marking of a draft with this content. A subject that is not a person's by its type
/// gets the statement that it is not, because a header alone does not show that.
///
/// # Errors
/// The content is personal by its kind or type, and the marking neither declares personal data nor
/// states that it is not a person's.
pub fn declare(content: &Content, marking: &mut Marking) -> Result<(), DraftError> {
    match of_content(content) {
        Some(ground) if !marking.personal_data && !marking.not_personal => Err(DraftError::new(
            "marking.personal_data",
            format!(
                "{ground} is personal data; set personal_data and the jurisdictions that it may go \
                 to, or set not_personal if it is not a person's"
            ),
        )),
        Some(_) => Ok(()),
        None => {
            if content.kind() == Kind::Subject && !marking.personal_data {
                marking.not_personal = true;
            }
            Ok(())
        }
    }
}

/// Returns the ground on which a value of this type breaks the rule under a marking: it is personal by
/// its type, and the marking neither declares that nor states otherwise.
pub fn undeclared(value_type: ValueType, marking: &Marking) -> Option<PersonalGround> {
    of_value(value_type).filter(|_| !marking.personal_data && !marking.not_personal)
}

/// Returns whether a record of this kind and marking is personal data as far as its header shows:
/// declared, or a subject without the statement that it is not a person's.
pub const fn by_header(kind: Kind, marking: &Marking) -> bool {
    marking.personal_data || (matches!(kind, Kind::Subject) && !marking.not_personal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::SubjectType;
    use crate::testkit::green;

    fn subject(sort: SubjectType) -> Content {
        Content::Subject(pb::Subject { r#type: sort.into(), ..Default::default() })
    }

    fn sighting(value_type: ValueType) -> Content {
        let number = i32::from(value_type.number());
        Content::Sighting(pb::Sighting { r#type: number, ..Default::default() })
    }

    fn marking(personal_data: bool, not_personal: bool) -> Marking {
        pb::Marking { personal_data, not_personal, ..green() }.try_into().unwrap()
    }

    #[test]
    fn values_that_name_or_reach_a_person_are_personal_and_those_of_machines_are_not() {
        let personal: Vec<&str> = ValueType::ALL
            .iter()
            .filter(|value_type| of_value(**value_type).is_some())
            .map(|value_type| value_type.name())
            .collect();
        assert_eq!(
            personal,
            [
                "email",
                "phone",
                "bank-account",
                "payment-handle",
                "messaging-handle",
                "social-handle"
            ]
        );
    }

    #[test]
    fn a_subject_is_personal_unless_it_is_an_organisation_a_device_or_a_place() {
        for sort in [SubjectType::Unspecified, SubjectType::Person, SubjectType::Account] {
            assert_eq!(of_content(&subject(sort)), Some(PersonalGround::Subject), "{sort:?}");
        }
        for sort in [SubjectType::Organisation, SubjectType::Device, SubjectType::Place] {
            assert_eq!(of_content(&subject(sort)), None, "{sort:?}");
        }
        let born = pb::Subject {
            r#type: SubjectType::Organisation.into(),
            date_of_birth: "1950-02-03".to_owned(),
            ..Default::default()
        };
        assert_eq!(of_content(&Content::Subject(born)), Some(PersonalGround::Subject));
    }

    #[test]
    fn personal_content_needs_the_declaration_or_the_statement_that_it_is_nobodys() {
        for content in [subject(SubjectType::Person), sighting(ValueType::Email)] {
            let refused = declare(&content, &mut marking(false, false)).unwrap_err();
            assert_eq!(refused.field, "marking.personal_data");
            assert!(
                refused.reason.contains("set personal_data and the jurisdictions"),
                "{refused}"
            );
            for said in [marking(true, false), marking(false, true)] {
                let mut after = said.clone();
                assert_eq!(declare(&content, &mut after), Ok(()));
                assert_eq!(after, said);
                assert_eq!(undeclared(ValueType::Email, &said), None);
            }
        }
        assert!(undeclared(ValueType::Email, &marking(false, false)).is_some());
        assert_eq!(undeclared(ValueType::Domain, &marking(false, false)), None);
        let mut plain = marking(false, false);
        assert_eq!(declare(&sighting(ValueType::Domain), &mut plain), Ok(()));
        assert_eq!(plain, marking(false, false));
    }

    #[test]
    fn a_subject_without_either_statement_is_personal_by_its_header() {
        assert!(by_header(Kind::Subject, &marking(false, false)));
        assert!(by_header(Kind::Subject, &marking(true, false)));
        assert!(!by_header(Kind::Subject, &marking(false, true)));
        assert!(!by_header(Kind::Indicator, &marking(false, false)));
        assert!(by_header(Kind::Indicator, &marking(true, false)));
    }

    #[test]
    fn a_header_shows_that_a_subject_is_an_organisation() {
        let mut said = marking(false, false);
        assert_eq!(declare(&subject(SubjectType::Organisation), &mut said), Ok(()));
        assert!(said.not_personal && !by_header(Kind::Subject, &said));
    }

    #[test]
    fn a_marking_with_both_statements_is_refused() {
        let wire = pb::Marking {
            personal_data: true,
            not_personal: true,
            ..(&marking(true, false)).into()
        };
        let refused = Marking::try_from(wire).unwrap_err().to_string();
        assert!(refused.contains("contradicts personal_data"), "{refused}");
    }
}
