//! The facts and the bundles that policies are tested with.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use crate::ident::{AgencyName, Timestamp};
use crate::policy::{
    Bundle, Circle, Compiled, Finding, PartnerFacts, PolicyHour, RecordFacts, Report, Sector,
    Vocabulary,
};
use crate::record::kind::Kind;
use crate::record::marking::{Pap, Tlp};

/// The node's own agency in every test.
pub(crate) const OWN: &str = "npa.example";

/// An example of an agency's sharing policy.
pub(crate) const SAMPLE: &str = include_str!("../policy/sample.cedar");

pub(crate) fn agency(name: &str) -> AgencyName {
    name.parse().unwrap()
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The n-th hour after ten o'clock on the day of the tests.
pub(crate) fn hour(n: u8) -> PolicyHour {
    PolicyHour::at(time("2026-11-22T10:00:00Z").plus_ms(i64::from(n) * 3_600_000))
}

pub(crate) fn files(texts: &[&str]) -> Vec<(String, String)> {
    texts.iter().enumerate().map(|(n, text)| (format!("{n}.cedar"), (*text).to_owned())).collect()
}

pub(crate) fn load(text: &str) -> Result<Bundle, Vec<Finding>> {
    Bundle::load(files(&[text]), &Vocabulary::default())
}

pub(crate) fn compiled(text: &str) -> Compiled {
    let bundle = load(text).unwrap_or_else(|found| panic!("{}", Report(&found)));
    Compiled::new(Arc::new(bundle), agency(OWN), [])
}

pub(crate) fn sample(partners: impl IntoIterator<Item = PartnerFacts>) -> Compiled {
    static BUNDLE: LazyLock<Arc<Bundle>> = LazyLock::new(|| {
        Arc::new(load(SAMPLE).unwrap_or_else(|found| panic!("{}", Report(&found))))
    });
    Compiled::new(BUNDLE.clone(), agency(OWN), partners)
}

/// A CERT in good standing, in the circle `fraud` and the operation `chakra`.
pub(crate) fn partner() -> PartnerFacts {
    PartnerFacts {
        agency: agency("cert.example"),
        sector: Sector::Cert,
        country: "FR".parse().unwrap(),
        client: false,
        suspended: false,
        agreement_until: time("2030-01-01"),
        circles: vec!["fraud".to_owned()],
        operations: vec!["chakra".to_owned()],
        tags: Default::default(),
    }
}

/// Our own TLP:CLEAR indicator without any caveat.
pub(crate) fn record() -> RecordFacts {
    RecordFacts {
        kind: Kind::Indicator,
        tlp: Tlp::Clear,
        pap: Pap::Clear,
        originator: agency(OWN),
        labels: vec![],
        releasable_to: None,
        circles: None,
        members: vec![],
        orcon: false,
        confidence: 80,
        created_hour: time("2026-11-20T08:00:00Z"),
        expires_hour: None,
        personal_data: false,
        jurisdictions: vec![],
        operation: None,
        caveat: false,
        foreign: false,
        no_evidence: false,
        no_notify: false,
        no_attribution: false,
    }
}

/// The same of another originator.
pub(crate) fn foreign_record() -> RecordFacts {
    RecordFacts { originator: agency("fbi.example"), ..record() }
}

fn names(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(prop::sample::select(of), 0..=of.len().min(3))
        .prop_map(|set| set.into_iter().map(str::to_owned).collect())
}

fn odd_labels() -> impl Strategy<Value = Vec<String>> {
    let odd = "[ \"\\\\\n\t\u{0}'*é日\u{301}\u{1F600}a]{0,4}";
    prop_oneof![
        4 => names(&["takedown", "phishing", "vishing"]),
        1 => prop::collection::btree_set(odd, 0..4).prop_map(|set| set.into_iter().collect()),
    ]
}

const AGENCIES: &[&str] = &["cert.example", "vendor.example", "police.example", "fbi.example"];
const CIRCLES: &[&str] = &["fraud", "ransomware"];
const OPERATIONS: &[&str] = &["chakra", "endgame"];
const COUNTRIES: &[&str] = &["JP", "FR", "IN"];

fn hours() -> impl Strategy<Value = Timestamp> {
    (-3_000_i64..3_000).prop_map(|h| time("2026-11-22T10:00:00Z").plus_ms(h * 3_600_000))
}

pub(crate) fn any_record() -> impl Strategy<Value = RecordFacts> {
    let what = (
        prop::sample::select(&Kind::ALL[..]),
        prop::sample::select(&Tlp::ALL[..]),
        prop::sample::select(&Pap::ALL[..]),
        prop::sample::select(&[OWN, "fbi.example"][..]),
        odd_labels(),
        0_u8..=100,
        hours(),
        prop::option::weighted(0.2, hours()),
    );
    let who = (
        prop::option::weighted(0.3, names(AGENCIES)),
        prop::option::weighted(0.3, (names(CIRCLES), names(AGENCIES))),
        names(COUNTRIES),
        prop::option::of(prop::sample::select(OPERATIONS)),
    );
    (what, who, prop::bits::u8::ANY).prop_map(|(what, who, flags)| {
        let (kind, tlp, pap, originator, labels, confidence, created_hour, expires_hour) = what;
        let (releasable_to, circles, jurisdictions, operation) = who;
        let flag = |n: u32| flags & 1 << n != 0;
        RecordFacts {
            kind,
            tlp,
            pap,
            originator: agency(originator),
            labels,
            releasable_to: releasable_to.map(|list| list.iter().map(|n| agency(n)).collect()),
            members: match &circles {
                Some((_, members)) if originator != OWN => {
                    members.iter().map(|name| agency(name)).collect()
                }
                _ => vec![],
            },
            circles: circles.map(|(names, _)| {
                let circle = |name| Circle { agency: agency(originator), name };
                names.into_iter().map(circle).collect()
            }),
            orcon: flag(0),
            confidence,
            created_hour,
            expires_hour,
            personal_data: flag(1),
            jurisdictions,
            operation: operation.map(str::to_owned),
            // Rare, or nothing would ever be forwarded.
            caveat: flag(2) && flag(3),
            foreign: flag(4) && flag(5),
            no_evidence: flag(6),
            no_notify: flag(7),
            no_attribution: flag(3),
        }
    })
}

pub(crate) fn any_partner() -> impl Strategy<Value = PartnerFacts> {
    (
        prop::sample::select(AGENCIES),
        prop::sample::select(&Sector::ALL[..]),
        prop::sample::select(COUNTRIES),
        any::<bool>(),
        prop::bool::weighted(0.1),
        (names(CIRCLES), names(OPERATIONS)),
        prop::option::of(names(&["a", "b", "c"])),
    )
        .prop_map(|(name, sector, country, client, suspended, (circles, operations), tag)| {
            PartnerFacts {
                agency: agency(name),
                sector,
                country: country.parse().unwrap(),
                client,
                suspended,
                agreement_until: time("2026-12-31"),
                circles,
                operations,
                tags: tag.map(|values| ("labels".to_owned(), values)).into_iter().collect(),
            }
        })
}
