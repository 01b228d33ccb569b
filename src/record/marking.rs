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

#[cfg(test)]
mod tests {
    use super::*;

    fn marking() -> Marking {
        Marking {
            tlp: Tlp::Clear,
            pap: Pap::Clear,
            releasable_to: None,
            circles: None,
            orcon: false,
            use_limits: Use::default(),
            grading: None,
            personal_data: false,
            not_personal: false,
            jurisdictions: vec![],
            expires: None,
            retain_until: None,
            caveat: None,
            foreign: vec![],
        }
    }

    #[test]
    fn a_marking_comes_to_the_handling_codes_that_restrict_it_or_to_h0() {
        let codes = |marking: Marking| -> Vec<String> {
            marking
                .handling()
                .iter()
                .map(|(code, text)| format!("{}: {text}", code.name()))
                .collect()
        };
        assert_eq!(codes(marking()), ["H0: no handling code restricts it"]);
        let use_limits = Use { no_evidence: true, ..Use::default() };
        let caveat = Some("call the desk first".to_owned());
        let all = codes(Marking { orcon: true, use_limits, caveat, ..marking() });
        assert!(all[0].starts_with("H1: ") && all[1].starts_with("H2: "), "{all:?}");
        assert_eq!(all[2], "H3: call the desk first");
    }

    #[test]
    fn a_handling_code_is_read_in_any_case() {
        for code in Handling::ALL {
            assert_eq!(Handling::from_name(&code.name().to_lowercase()), Some(code));
        }
        assert_eq!(Handling::from_name("H4"), None);
    }
}
