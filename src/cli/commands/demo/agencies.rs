//! The four agencies of the demonstration, after the public story of Operation Chakra V.

/// One agency with its policy.
pub(in crate::cli::commands) struct Agency {
    pub(in crate::cli::commands) name: &'static str,
    pub(in crate::cli::commands) display_name: &'static str,
    pub(in crate::cli::commands) country: &'static str,
    pub(in crate::cli::commands) sector: &'static str,
    pub(in crate::cli::commands) policy: &'static str,
}

/// The joint operation that all records of the demonstration belong to.
pub(in crate::cli::commands) const OPERATION: &str = "chakra-v";
/// The lead agency's reference of the case.
pub(in crate::cli::commands) const CASE: &str = "NPA-2026-0417";

pub(in crate::cli::commands) const NPA: &str = "npa.go.jp";
pub(in crate::cli::commands) const JC3: &str = "jc3.or.jp";
pub(in crate::cli::commands) const CBI: &str = "cbi.gov.in";
pub(in crate::cli::commands) const DCU: &str = "dcu.example";

pub(in crate::cli::commands) const AGENCIES: [Agency; 4] = [
    Agency {
        name: NPA,
        display_name: "National Police Agency (demonstration)",
        country: "JP",
        sector: "police",
        policy: include_str!("../../../../demo/policies/npa.go.jp/10-sharing.cedar"),
    },
    Agency {
        name: JC3,
        display_name: "Japan Cybercrime Control Center (demonstration)",
        country: "JP",
        sector: "cert",
        policy: include_str!("../../../../demo/policies/jc3.or.jp/10-sharing.cedar"),
    },
    Agency {
        name: CBI,
        display_name: "Central Bureau of Investigation (demonstration)",
        country: "IN",
        sector: "police",
        policy: include_str!("../../../../demo/policies/cbi.gov.in/10-sharing.cedar"),
    },
    Agency {
        name: DCU,
        display_name: "Digital crimes unit of a vendor (demonstration)",
        country: "US",
        sector: "vendor",
        policy: include_str!("../../../../demo/policies/dcu.example/10-sharing.cedar"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Bundle, Vocabulary, examples};
    use std::sync::Arc;

    #[test]
    fn the_examples_of_each_policy_hold_and_say_what_each_permit_does() {
        for agency in AGENCIES {
            let dir = format!("{}/demo/policies/{}", env!("CARGO_MANIFEST_DIR"), agency.name);
            let examples = std::fs::read_to_string(format!("{dir}/10-sharing.test.toml")).unwrap();
            let files = [("10-sharing.cedar", agency.policy), ("10-sharing.test.toml", &examples)];
            let named = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
            let bundle = Arc::new(Bundle::load(named, &Vocabulary::default()).unwrap());
            let report = examples::run(files, &bundle);
            assert!(report.holds() && report.unexercised.is_empty(), "{}\n{report}", agency.name);
            assert!(report.passed > 0 && examples.contains(&format!("own = {:?}", agency.name)));
        }
    }
}
