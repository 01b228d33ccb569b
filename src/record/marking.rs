//! The handling rules in a record's clear header: what a recipient must keep to.
//!
//! A marking is signed, never redacted and never holds personal data. Labels are those of FIRST
//! TLP 2.0; the rest follows FIRST IEP 2.0 and Europol's handling codes where named.

use crate::ident::{AgencyName, Timestamp};

/// Traffic Light Protocol 2.0 (FIRST, 2022).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tlp {
    Clear,
    Green,
    Amber,
    AmberStrict,
    Red,
}

impl Tlp {
    pub const ALL: [Self; 5] =
        [Self::Clear, Self::Green, Self::Amber, Self::AmberStrict, Self::Red];

    /// As FIRST writes it, without the `TLP:` prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "CLEAR",
            Self::Green => "GREEN",
            Self::Amber => "AMBER",
            Self::AmberStrict => "AMBER+STRICT",
            Self::Red => "RED",
        }
    }

    /// Takes the label with or without `TLP:`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let label = upper.strip_prefix("TLP:").unwrap_or(&upper);
        Self::ALL.into_iter().find(|tlp| tlp.name() == label)
    }
}

/// Permissible Actions Protocol: what the recipient may do with the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pap {
    Clear,
    Green,
    Amber,
    Red,
}

impl Pap {
    pub const ALL: [Self; 4] = [Self::Clear, Self::Green, Self::Amber, Self::Red];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "CLEAR",
            Self::Green => "GREEN",
            Self::Amber => "AMBER",
            Self::Red => "RED",
        }
    }

    /// Takes the label with or without `PAP:`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let label = upper.strip_prefix("PAP:").unwrap_or(&upper);
        Self::ALL.into_iter().find(|pap| pap.name() == label)
    }
}

/// Restrictions on use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Use {
    /// Not in judicial proceedings without the originator's permission (Europol H1).
    pub no_evidence: bool,
    /// Affected parties must not be notified (IEP affected_party_notifications).
    pub no_notify: bool,
    /// The originator must not be named (IEP attribution).
    pub no_attribution: bool,
}

/// Europol's handling codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Handling {
    /// Nothing is restricted.
    H0,
    /// Not in judicial proceedings without the originator's permission.
    H1,
    /// Not passed on without the originator's permission.
    H2,
    /// Restrictions in words.
    H3,
}

impl Handling {
    pub const ALL: [Self; 4] = [Self::H0, Self::H1, Self::H2, Self::H3];

    pub const fn name(self) -> &'static str {
        match self {
            Self::H0 => "H0",
            Self::H1 => "H1",
            Self::H2 => "H2",
            Self::H3 => "H3",
        }
    }

    /// Takes the code in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name().eq_ignore_ascii_case(name))
    }
}

/// A source grading. Letters and digits swap roles between schemes, so the scheme goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grading {
    pub scheme: GradingScheme,
    pub source: char,
    pub information: char,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GradingScheme {
    /// NATO Admiralty code: source A to F, information 1 to 6.
    Admiralty,
    /// Europol: source A, B, C, X; information 1 to 4.
    Europol,
    /// United Kingdom 3x5x2: source 1 to 3, information A to E.
    Uk3x5x2,
}

/// Handling rules that every record carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Marking {
    pub tlp: Tlp,
    pub pap: Pap,
    /// Absent: no caveat. Empty: nobody.
    pub releasable_to: Option<Vec<AgencyName>>,
    /// Communities that may have it; likewise absent or empty.
    pub circles: Option<Vec<String>>,
    /// The originator's consent is needed to forward (Europol H2).
    pub orcon: bool,
    pub use_limits: Use,
    pub grading: Option<Grading>,
    pub personal_data: bool,
    /// Personal by its kind or type, and by the originator's statement not a person's.
    pub not_personal: bool,
    /// ISO 3166-1 alpha-2 codes of the countries that personal data may go to.
    pub jurisdictions: Vec<String>,
    /// Past this time the record is no longer sent.
    pub expires: Option<Timestamp>,
    /// Past this time the content is to be erased.
    pub retain_until: Option<Timestamp>,
    /// Europol H3: a restriction in words. While it is there, no machine may forward the record.
    pub caveat: Option<String>,
    /// Markings of other schemes, kept as they came; their presence forbids forwarding.
    pub foreign: Vec<String>,
}

impl Marking {
    /// Returns whether anything that `before` restricts is no longer restricted as much: of two revisions
    /// of a record, a person looks at the later one before it goes. A caveat in other words counts, since
    /// nothing compares words.
    pub fn is_looser_than(&self, before: &Self) -> bool {
        // Destructured without `..`: a new rule breaks the build here.
        let Self {
            tlp,
            pap,
            releasable_to,
            circles,
            orcon,
            use_limits: Use { no_evidence, no_notify, no_attribution },
            grading: _,
            personal_data,
            not_personal,
            jurisdictions,
            expires,
            retain_until,
            caveat,
            foreign,
        } = self;
        let was_limited = before.releasable_to.is_some() || before.circles.is_some();
        let is_limited = releasable_to.is_some() || circles.is_some();
        *tlp < before.tlp
            || *pap < before.pap
            || was_limited
                && (!is_limited
                    || adds(releasable_to.as_deref(), before.releasable_to.as_deref())
                    || adds(circles.as_deref(), before.circles.as_deref()))
            || !orcon && before.orcon
            || !no_evidence && before.use_limits.no_evidence
            || !no_notify && before.use_limits.no_notify
            || !no_attribution && before.use_limits.no_attribution
            || !personal_data && before.personal_data
            || *not_personal && !before.not_personal
            || before.personal_data && adds(Some(jurisdictions), Some(&before.jurisdictions))
            || is_later(*expires, before.expires)
            || is_later(*retain_until, before.retain_until)
            || before.caveat.is_some() && *caveat != before.caveat
            || adds(Some(&before.foreign), Some(foreign))
    }

    /// The handling codes that it comes to, each in words for whoever has to keep to it; H3 in the
    /// originator's own.
    pub fn handling(&self) -> Vec<(Handling, String)> {
        let mut codes = Vec::new();
        if self.use_limits.no_evidence {
            let text = "not in judicial proceedings without the originator's permission";
            codes.push((Handling::H1, text.to_owned()));
        }
        if self.orcon {
            let text = "not passed on without the originator's permission";
            codes.push((Handling::H2, text.to_owned()));
        }
        codes.extend(self.caveat.clone().map(|words| (Handling::H3, words)));
        if codes.is_empty() {
            codes.push((Handling::H0, "no handling code restricts it".to_owned()));
        }
        codes
    }
}

/// Returns whether a list has members that the one before lacks.
fn adds<T: PartialEq>(list: Option<&[T]>, before: Option<&[T]>) -> bool {
    let before = before.unwrap_or_default();
    list.unwrap_or_default().iter().any(|member| !before.contains(member))
}

/// Returns whether a time that was set was moved to a later one or taken away.
fn is_later(time: Option<Timestamp>, before: Option<Timestamp>) -> bool {
    before.is_some_and(|before| time.is_none_or(|time| time > before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;
    use crate::testkit::marking;

    #[test]
    fn a_marking_comes_to_the_handling_codes_that_restrict_it_or_to_h0() {
        let codes = |marking: Marking| -> Vec<String> {
            marking
                .handling()
                .iter()
                .map(|(code, text)| format!("{}: {text}", code.name()))
                .collect()
        };
        let clear = marking(pb::Tlp::Clear, pb::Pap::Clear);
        assert_eq!(codes(clear.clone()), ["H0: no handling code restricts it"]);
        let use_limits = Use { no_evidence: true, ..Use::default() };
        let caveat = Some("call the desk first".to_owned());
        let all = codes(Marking { orcon: true, use_limits, caveat, ..clear });
        assert!(all[0].starts_with("H1: ") && all[1].starts_with("H2: "), "{all:?}");
        assert_eq!(all[2], "H3: call the desk first");
    }

    /// A marking with every restriction, and each restriction loosened alone.
    fn loosened() -> (Marking, Vec<(&'static str, Marking)>) {
        let text = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let agency = |name: &str| name.parse::<AgencyName>().unwrap();
        let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let strict = Marking {
            tlp: Tlp::Amber,
            pap: Pap::Amber,
            releasable_to: Some(vec![agency("jc3.or.jp")]),
            circles: Some(text(&["fraud"])),
            orcon: true,
            use_limits: Use { no_evidence: true, no_notify: true, no_attribution: true },
            grading: None,
            personal_data: true,
            not_personal: false,
            jurisdictions: text(&["JP"]),
            expires: time("2027-01-01T00:00:00Z"),
            retain_until: time("2028-01-01T00:00:00Z"),
            caveat: Some("call the desk first".to_owned()),
            foreign: text(&["acs"]),
        };
        let of = |change: &dyn Fn(&mut Marking)| {
            let mut marking = strict.clone();
            change(&mut marking);
            marking
        };
        let all = vec![
            ("tlp", of(&|m| m.tlp = Tlp::Green)),
            ("pap", of(&|m| m.pap = Pap::Green)),
            ("release list dropped", of(&|m| (m.releasable_to, m.circles) = (None, None))),
            ("release list widened", of(&|m| m.releasable_to = Some(vec![agency("a.example")]))),
            ("circles widened", of(&|m| m.circles = Some(text(&["fraud", "x"])))),
            ("originator control", of(&|m| m.orcon = false)),
            ("evidence", of(&|m| m.use_limits.no_evidence = false)),
            ("notification", of(&|m| m.use_limits.no_notify = false)),
            ("attribution", of(&|m| m.use_limits.no_attribution = false)),
            ("personal data", of(&|m| m.personal_data = false)),
            ("not a person's", of(&|m| (m.personal_data, m.not_personal) = (false, true))),
            ("jurisdictions", of(&|m| m.jurisdictions = text(&["FR", "JP"]))),
            ("expiry dropped", of(&|m| m.expires = None)),
            ("expiry later", of(&|m| m.expires = time("2027-01-02T00:00:00Z"))),
            ("retention dropped", of(&|m| m.retain_until = None)),
            ("caveat dropped", of(&|m| m.caveat = None)),
            ("caveat in other words", of(&|m| m.caveat = Some("call".to_owned()))),
            ("foreign marking dropped", of(&|m| m.foreign.clear())),
        ];
        (strict, all)
    }

    #[test]
    fn every_restriction_that_is_dropped_or_widened_makes_a_marking_looser() {
        let (strict, loosened) = loosened();
        for (what, marking) in &loosened {
            assert!(marking.is_looser_than(&strict), "{what}");
        }
        assert!(!strict.is_looser_than(&strict));
        assert!(
            !strict.is_looser_than(&marking(pb::Tlp::Clear, pb::Pap::Clear)),
            "more restrictions are never looser"
        );
        let fewer = Marking { circles: Some(vec![]), jurisdictions: vec![], ..strict.clone() };
        assert!(!fewer.is_looser_than(&strict));
    }

    #[test]
    fn a_handling_code_is_read_in_any_case() {
        for code in Handling::ALL {
            assert_eq!(Handling::from_name(&code.name().to_lowercase()), Some(code));
        }
        assert_eq!(Handling::from_name("H4"), None);
    }
}
