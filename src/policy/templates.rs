//! Policies to start from, each with examples that come out.
//!
//! A template loads and its examples hold as they stand in this directory, for a partner of the
//! name [`PARTNER`]; a draft is the same text with another name and date. What only the agency can
//! know is marked, in words, where it belongs.

use crate::ident::{AgencyName, Timestamp};

/// The name that stands for the partner in the text of every template.
const PARTNER: &str = "partner.example";
/// The date that stands for the review.
const REVIEW: &str = "2000-01-01";
/// The prefix of every value that the agency has to name itself.
pub const TO_BE_NAMED: &str = "TO BE NAMED";

/// A policy for one partner, to be made one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    pub name: &'static str,
    /// A summary of the policy in one sentence.
    pub summary: &'static str,
    policy: &'static str,
    examples: &'static str,
}

macro_rules! templates {
    ($($name:literal, $summary:literal;)*) => {
        /// Every template, the narrowest first.
        pub const TEMPLATES: [Template; [$($name),*].len()] = [$(Template {
            name: $name,
            summary: $summary,
            policy: include_str!(concat!("templates/", $name, ".cedar")),
            examples: include_str!(concat!("templates/", $name, ".test.toml")),
        }),*];
    };
}

templates! {
    "case-by-case", "records that were released to the partner by name, with evidence and links";
    "indicators-only", "indicators up to TLP:GREEN without personal data, the core alone";
    "takedown-vendor", "takedown requests and indicators to take down, by TLP and PAP, never a victim";
    "cert-community", "indicators, sightings and opinions up to TLP:GREEN, passed on inside circles";
    "joint-operation", "everything of the operations that the partner takes part in";
    "prosecution", "cases, subjects and evidence that may be used in proceedings";
}

impl Template {
    pub fn named(name: &str) -> Option<Self> {
        TEMPLATES.into_iter().find(|template| template.name == name)
    }

    /// The two files of a draft for this partner, each a name and its text: the policy, and its
    /// examples. The review is due on the day of `review`.
    pub fn draft(&self, partner: &AgencyName, review: Timestamp) -> [(String, String); 2] {
        let review = review.to_string();
        let day = review.get(..REVIEW.len()).unwrap_or(REVIEW);
        let own = |text: &str| text.replace(REVIEW, day).replace(PARTNER, partner.as_str());
        [
            (format!("{partner}.cedar"), own(self.policy)),
            (format!("{partner}{}", super::EXAMPLES_ENDING), own(self.examples)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::examples::{Report, run};
    use crate::policy::{Bundle, Report as Findings, Vocabulary};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn tried(template: &Template, partner: &str) -> Report {
        let files = template.draft(&partner.parse().unwrap(), "2027-06-30".parse().unwrap());
        let bundle = Bundle::load(files.clone(), &Vocabulary::default())
            .unwrap_or_else(|found| panic!("{}: {}", template.name, Findings(&found)));
        run(files.iter().map(|(name, text)| (name.as_str(), text.as_str())), &Arc::new(bundle))
    }

    #[test]
    #[allow(clippy::print_stdout)]
    fn every_template_loads_and_its_examples_hold_and_say_what_each_permit_does() {
        let mut count = 0;
        for template in TEMPLATES {
            for partner in [PARTNER, "jc3.or.jp"] {
                let report = tried(&template, partner);
                assert!(report.holds(), "{}\n{report}", template.name);
                assert_eq!(report.unexercised, [], "{}", template.name);
                assert!(report.passed >= 8, "{}: {}", template.name, report.passed);
                count += report.passed;
            }
        }
        println!("{} scenarios of {} templates", count / 2, TEMPLATES.len());
    }

    #[test]
    fn a_template_for_the_longest_name_loads() {
        let label = "a".repeat(crate::ident::AGENCY_NAME_BYTES_MAX / 2 - 2);
        let partner = format!("{label}.{label}.bb");
        assert_eq!(partner.len(), crate::ident::AGENCY_NAME_BYTES_MAX);
        for template in TEMPLATES {
            assert!(tried(&template, &partner).holds(), "{}", template.name);
        }
    }

    #[test]
    fn a_draft_names_the_partner_and_the_day_and_says_what_is_still_to_be_named() {
        for template in TEMPLATES {
            let draft =
                template.draft(&"jc3.or.jp".parse().unwrap(), "2027-06-30".parse().unwrap());
            let [(policy_file, policy), (examples_file, examples)] = draft;
            assert_eq!(policy_file, "jc3.or.jp.cedar");
            assert_eq!(examples_file, "jc3.or.jp.test.toml");
            for text in [&policy, &examples] {
                assert!(!text.contains(PARTNER) && !text.contains(REVIEW), "{}", template.name);
                assert!(text.contains("jc3.or.jp"), "{}", template.name);
            }
            assert!(policy.contains("@review(\"2027-06-30\")"), "{}", template.name);
            assert!(policy.contains(&format!("@owner(\"{TO_BE_NAMED}")), "{}", template.name);
            assert!(policy.contains(&format!("@agreement(\"{TO_BE_NAMED}")), "{}", template.name);
        }
    }

    #[test]
    fn templates_are_found_by_name_and_each_has_its_own() {
        let names: BTreeSet<_> = TEMPLATES.iter().map(|template| template.name).collect();
        assert_eq!(names.len(), TEMPLATES.len());
        for template in TEMPLATES {
            assert_eq!(Template::named(template.name), Some(template));
        }
        assert_eq!(Template::named("everything"), None);
    }

    /// Nothing about victims goes by a template that does not say so in its summary.
    #[test]
    fn only_operations_and_proceedings_show_victims() {
        let shows: Vec<_> = TEMPLATES
            .into_iter()
            .filter(|template| {
                let permits =
                    template.policy.split("\n@id(").filter(|part| part.contains("\npermit"));
                permits.into_iter().any(|part| part.contains("reveal:victim"))
            })
            .map(|template| template.name)
            .collect();
        assert_eq!(shows, ["joint-operation", "prosecution"]);
    }
}
