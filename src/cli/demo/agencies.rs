//! The four agencies of the demonstration, after the public story of Operation Chakra V.

/// One agency with its policy.
pub(super) struct Agency {
    pub(super) name: &'static str,
    pub(super) display_name: &'static str,
    pub(super) country: &'static str,
    pub(super) sector: &'static str,
    pub(super) policy: &'static str,
}

/// The joint operation that all records of the demonstration belong to.
pub(super) const OPERATION: &str = "chakra-v";
/// The lead agency's reference of the case.
pub(super) const CASE: &str = "NPA-2026-0417";

pub(super) const NPA: &str = "npa.go.jp";
pub(super) const JC3: &str = "jc3.or.jp";
pub(super) const CBI: &str = "cbi.gov.in";
pub(super) const DCU: &str = "dcu.example";

pub(super) const AGENCIES: [Agency; 4] = [
    Agency {
        name: NPA,
        display_name: "National Police Agency (demonstration)",
        country: "JP",
        sector: "police",
        policy: include_str!("../../../demo/policies/npa.go.jp/10-sharing.cedar"),
    },
    Agency {
        name: JC3,
        display_name: "Japan Cybercrime Control Center (demonstration)",
        country: "JP",
        sector: "cert",
        policy: include_str!("../../../demo/policies/jc3.or.jp/10-sharing.cedar"),
    },
    Agency {
        name: CBI,
        display_name: "Central Bureau of Investigation (demonstration)",
        country: "IN",
        sector: "police",
        policy: include_str!("../../../demo/policies/cbi.gov.in/10-sharing.cedar"),
    },
    Agency {
        name: DCU,
        display_name: "Digital crimes unit of a vendor (demonstration)",
        country: "US",
        sector: "vendor",
        policy: include_str!("../../../demo/policies/dcu.example/10-sharing.cedar"),
    },
];
