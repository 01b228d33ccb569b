//! The facts that policy may see: of a record its signed header, of a partner what we agreed.
//!
//! Facts are owned, complete and comparable, so that a decision is a function of them alone. What
//! is not in here can't influence a decision: neither content, nor who asks, nor the wall clock
//! (only the hour).

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::policy_hour::PolicyHour;
use crate::ident::{AgencyName, Timestamp};
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::record::marking::{Marking, Pap, Tlp};
use crate::record::personal;
use crate::value::is_country;

const FACTS_TAG: &[u8] = b"liaison/partner-facts/v1\0";

/// Values of one tag of a partner; a tag is a parameter of a policy, not a data set.
pub const TAG_VALUES_MAX: usize = 256;

/// The reason why facts could not be put before the policy engine. Every decision on them is then
/// "no".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    #[error("the facts of a {what} do not make a policy entity: {reason}")]
    Entity { what: &'static str, reason: String },
    #[error("the policy request for {action:?} is invalid: {reason}")]
    Request { action: &'static str, reason: String },
}

/// The kind of organisation of an agency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sector {
    Police,
    Cert,
    Vendor,
    Prosecutor,
    Regulator,
    Other,
}

impl Sector {
    pub const ALL: [Self; 6] =
        [Self::Police, Self::Cert, Self::Vendor, Self::Prosecutor, Self::Regulator, Self::Other];

    /// The word that policies, commands and files use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Police => "police",
            Self::Cert => "cert",
            Self::Vendor => "vendor",
            Self::Prosecutor => "prosecutor",
            Self::Regulator => "regulator",
            Self::Other => "other",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sector| sector.name() == name)
    }
}

impl std::fmt::Display for Sector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A code that ISO 3166-1 alpha-2 assigns, for example `JP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the code of a country such as JP (two capital letters, ISO 3166-1 alpha-2)")]
pub struct CountryError(String);

impl Country {
    /// The country of a partner in an example that names none.
    pub(super) const NONE: Self = Self(*b"ZZ");

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::str::FromStr for Country {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        match text.as_bytes() {
            [a, b] if is_country(text) => Ok(Self([*a, *b])),
            _ => Err(CountryError(text.to_owned())),
        }
    }
}

impl std::fmt::Display for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A circle by its meaning: the roster of this agency contains its members. Two agencies may give one
/// name to different circles, so a name alone is never compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Circle {
    pub agency: AgencyName,
    pub name: String,
}

impl std::fmt::Display for Circle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.agency, self.name)
    }
}

/// The facts about a record that policy may read. They are made from the header only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordFacts {
    pub kind: Kind,
    pub tlp: Tlp,
    pub pap: Pap,
    pub originator: AgencyName,
    pub labels: Vec<String>,
    /// Absent: no caveat. Empty: nobody.
    pub releasable_to: Option<Vec<AgencyName>>,
    /// Circles of the originator. Absent: no caveat. Empty: nobody.
    pub circles: Option<Vec<Circle>>,
    /// Members of these circles by the originator's roster that is in force here. Empty for own records:
    /// their circles are those of the partner's facts.
    pub members: Vec<AgencyName>,
    pub orcon: bool,
    /// 0 to 100.
    pub confidence: u8,
    /// The start of the hour in which the record was made.
    pub created_hour: Timestamp,
    /// The start of the hour in which the record expires: cut down, so that it is withheld up to
    /// an hour early and never a minute late.
    pub expires_hour: Option<Timestamp>,
    /// Declared, or a subject that is not stated to be nobody's.
    pub personal_data: bool,
    pub jurisdictions: Vec<String>,
    pub operation: Option<String>,
    /// A restriction in words is there (Europol H3).
    pub caveat: bool,
    /// Markings of another scheme are there.
    pub foreign: bool,
    pub no_evidence: bool,
    pub no_notify: bool,
    pub no_attribution: bool,
}

impl From<&Header> for RecordFacts {
    fn from(header: &Header) -> Self {
        Self::new(
            header.kind,
            header.originator.clone(),
            header.created_at,
            &header.labels,
            header.operation.as_deref(),
            header.confidence,
            &header.marking,
        )
    }
}

impl RecordFacts {
    /// The facts of a record with this header. Lists are sorted and without repeats, so that two
    /// headers which mean the same make equal facts.
    pub fn new(
        kind: Kind,
        originator: AgencyName,
        created_at: Timestamp,
        labels: &[String],
        operation: Option<&str>,
        confidence: u8,
        marking: &Marking,
    ) -> Self {
        Self {
            kind,
            tlp: marking.tlp,
            pap: marking.pap,
            labels: as_set(labels),
            releasable_to: marking.releasable_to.as_deref().map(as_set),
            circles: marking.circles.as_deref().map(|names| circles_of(&originator, names)),
            members: Vec::new(),
            originator,
            orcon: marking.orcon,
            confidence: confidence.min(100),
            created_hour: created_at.hour(),
            expires_hour: marking.expires.map(Timestamp::hour),
            personal_data: personal::by_header(kind, marking),
            jurisdictions: as_set(&marking.jurisdictions),
            operation: operation.map(str::to_owned),
            caveat: marking.caveat.is_some(),
            foreign: !marking.foreign.is_empty(),
            no_evidence: marking.use_limits.no_evidence,
            no_notify: marking.use_limits.no_notify,
            no_attribution: marking.use_limits.no_attribution,
        }
    }
}

/// Returns the circles that a record of this originator is marked for by these names.
pub(super) fn circles_of(originator: &AgencyName, names: &[String]) -> Vec<Circle> {
    let circle = |name| Circle { agency: originator.clone(), name };
    as_set(names).into_iter().map(circle).collect()
}

fn as_set<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut set = list.to_vec();
    set.sort_unstable();
    set.dedup();
    set
}

/// The facts about a partner that policy may read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartnerFacts {
    pub agency: AgencyName,
    pub sector: Sector,
    pub country: Country,
    /// One of our own constituents: the clients of TLP:AMBER.
    pub client: bool,
    pub suspended: bool,
    /// From the hour in which this lies nothing is shared any more.
    pub agreement_until: Timestamp,
    /// Circles of our own that it is in, by name.
    pub circles: Vec<String>,
    pub operations: Vec<String>,
    /// Parameters of this one partner, at most [`TAG_VALUES_MAX`] values each.
    pub tags: BTreeMap<String, Vec<String>>,
}

impl PartnerFacts {
    /// Returns true if guard/partner-standing lets anything go at all. A partner that is suspended
    /// or whose agreement ran out is paused, whatever other policies permit.
    pub fn is_in_standing(&self, policy_hour: &PolicyHour) -> bool {
        !self.suspended && policy_hour.hour() < self.agreement_until.hour()
    }
}

/// Names exactly what policy may ask about these partners, in their order. SHA-256 over the tag and
/// for each partner its facts: texts and lists after their length, numbers as eight bytes, all with
/// the most significant byte first.
pub fn facts_hash<'a>(partners: impl IntoIterator<Item = &'a PartnerFacts>) -> [u8; 32] {
    let mut facts = FactsHasher(Sha256::new_with_prefix(FACTS_TAG));
    for partner in partners {
        // Destructured without `..`: a new fact breaks the build here.
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
        } = partner;
        facts.text(agency.as_str());
        facts.text(sector.name());
        facts.text(country.as_str());
        facts.0.update([u8::from(*client), u8::from(*suspended)]);
        facts.0.update(agreement_until.unix_ms().to_be_bytes());
        facts.list(circles);
        facts.list(operations);
        facts.length(tags.len());
        for (tag, values) in tags {
            facts.text(tag);
            facts.list(values);
        }
    }
    facts.0.finalize().into()
}

struct FactsHasher(Sha256);

impl FactsHasher {
    fn length(&mut self, length: usize) {
        self.0.update((length as u32).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text);
    }

    fn list(&mut self, list: &[String]) {
        self.length(list.len());
        list.iter().for_each(|text| self.text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_of_a_partner_counts_in_the_hash() {
        let base = crate::testkit::policy::partner();
        let one = |partner: PartnerFacts| facts_hash([&partner]);
        let hour = base.agreement_until.plus_ms(3_600_000);
        let others = [
            PartnerFacts { agency: "other.example".parse().unwrap(), ..base.clone() },
            PartnerFacts { sector: Sector::Police, ..base.clone() },
            PartnerFacts { country: "JP".parse().unwrap(), ..base.clone() },
            PartnerFacts { client: true, ..base.clone() },
            PartnerFacts { suspended: true, ..base.clone() },
            PartnerFacts { agreement_until: hour, ..base.clone() },
            PartnerFacts { circles: vec![], ..base.clone() },
            PartnerFacts { circles: vec!["fr".into(), "aud".into()], ..base.clone() },
            PartnerFacts { operations: vec![], ..base.clone() },
            PartnerFacts { tags: BTreeMap::from([("t".into(), vec![])]), ..base.clone() },
            PartnerFacts { tags: BTreeMap::from([("t".into(), vec!["v".into()])]), ..base.clone() },
        ];
        let hashes: std::collections::BTreeSet<_> =
            others.into_iter().chain([base.clone()]).map(one).collect();
        assert_eq!(hashes.len(), 12);
        assert_ne!(facts_hash([&base, &base]), facts_hash([&base]));
    }

    #[test]
    fn a_country_is_a_code_that_iso_3166_assigns() {
        assert_eq!("JP".parse::<Country>().map(|c| c.to_string()), Ok("JP".to_owned()));
        for bad in ["", "J", "jp", "JPN", "J1", "ÀÀ", "UK", "XX"] {
            assert!(bad.parse::<Country>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_sector_has_its_name() {
        for sector in Sector::ALL {
            assert_eq!(Sector::from_name(sector.name()), Some(sector));
            assert_eq!(sector.to_string(), sector.name());
        }
        assert_eq!(Sector::from_name("Police"), None);
    }

    #[test]
    fn headers_that_mean_the_same_make_equal_facts() {
        let marking = |jurisdictions: &[&str]| Marking {
            tlp: Tlp::Green,
            pap: Pap::Clear,
            releasable_to: None,
            circles: Some(vec![]),
            orcon: false,
            use_limits: Default::default(),
            grading: None,
            personal_data: true,
            not_personal: false,
            jurisdictions: jurisdictions.iter().map(|c| (*c).to_owned()).collect(),
            expires: None,
            retain_until: None,
            caveat: Some(String::new()),
            foreign: vec![],
        };
        let facts = |labels: &[&str], jurisdictions: &[&str], ms: i64| {
            let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
            RecordFacts::new(
                Kind::Indicator,
                "npa.go.jp".parse().unwrap(),
                Timestamp::from_unix_ms(1_800_000_000_000 + ms).unwrap(),
                &labels,
                None,
                200,
                &marking(jurisdictions),
            )
        };
        let one = facts(&["b", "a", "b"], &["JP", "FR"], 0);
        assert_eq!(one, facts(&["a", "b"], &["FR", "JP", "JP"], 59 * 60_000));
        assert_eq!((one.confidence, one.caveat, one.foreign), (100, true, false));
        assert_eq!((one.releasable_to, one.circles), (None, Some(vec![])));
    }

    #[test]
    fn circles_of_one_name_and_two_originators_are_two_circles() {
        let of = |agency: &str| circles_of(&agency.parse().unwrap(), &["fraud".to_owned()]);
        assert_ne!(of("npa.go.jp"), of("dcu.example"));
        assert_eq!(of("npa.go.jp")[0].to_string(), "npa.go.jp/fraud");
    }

    #[test]
    fn every_rule_of_the_header_is_a_fact() {
        use crate::record::marking::Use;
        let text =
            |list: &[&str]| -> Vec<String> { list.iter().map(|t| (*t).to_owned()).collect() };
        let named = |list: &[&str]| -> Vec<AgencyName> {
            list.iter().map(|name| name.parse().unwrap()).collect()
        };
        let marking = Marking {
            tlp: Tlp::AmberStrict,
            pap: Pap::Red,
            releasable_to: Some(named(&["jc3.or.jp", "cbi.gov.in", "jc3.or.jp"])),
            circles: Some(text(&["fraud", "certs"])),
            orcon: true,
            use_limits: Use { no_evidence: true, no_notify: false, no_attribution: true },
            grading: None,
            personal_data: true,
            not_personal: false,
            jurisdictions: text(&["JP", "IN"]),
            expires: Some("2027-01-01T10:59:59Z".parse().unwrap()),
            retain_until: None,
            caveat: None,
            foreign: text(&["acs"]),
        };
        let created = "2026-11-22T09:14:03Z".parse().unwrap();
        let labels = text(&["b", "a"]);
        let own = || "npa.go.jp".parse::<AgencyName>().unwrap();
        let facts =
            RecordFacts::new(Kind::Case, own(), created, &labels, Some("chakra"), 70, &marking);
        let expected = RecordFacts {
            kind: Kind::Case,
            tlp: Tlp::AmberStrict,
            pap: Pap::Red,
            originator: own(),
            labels: text(&["a", "b"]),
            releasable_to: Some(named(&["cbi.gov.in", "jc3.or.jp"])),
            circles: Some(circles_of(&own(), &text(&["certs", "fraud"]))),
            members: vec![],
            orcon: true,
            confidence: 70,
            created_hour: "2026-11-22T09:00:00Z".parse().unwrap(),
            expires_hour: Some("2027-01-01T10:00:00Z".parse().unwrap()),
            personal_data: true,
            jurisdictions: text(&["IN", "JP"]),
            operation: Some("chakra".to_owned()),
            caveat: false,
            foreign: true,
            no_evidence: true,
            no_notify: false,
            no_attribution: true,
        };
        assert_eq!(facts, expected);
    }
}
